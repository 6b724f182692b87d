"""Sentences → epochs: positions, dates, ends of epochs, and what must never become a position."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce
from operator import xor

import pytest

from edge_agent.gnss.nmea import (
    LEARNED_EPOCHS,
    MAX_EPOCH_SENTENCES,
    REMEMBERED_EPOCHS,
    Fix,
    FixSource,
    NmeaReader,
    best_of_each_time,
)

HEFEI = "3149.12345,N,11713.54321,E"


def signed(body: str) -> bytes:
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def rmc(
    time: str, place: str = HEFEI, status: str = "A", date: str = "231126", talker: str = "GN", rest: str = ",,,A"
) -> bytes:
    return signed(f"{talker}RMC,{time},{status},{place},10.000,90.00,{date}{rest}")


def gga(time: str, place: str = HEFEI, quality: str = "1", satellites: str = "09", talker: str = "GN") -> bytes:
    return signed(f"{talker}GGA,{time},{place},{quality},{satellites},0.80,37.5,M,-1.2,M,,")


def gll(time: str, place: str = HEFEI, status: str = "A,A", talker: str = "GN") -> bytes:
    return signed(f"{talker}GLL,{place},{time},{status}")


def gns(time: str, modes: str, place: str = HEFEI, talker: str = "GN") -> bytes:
    return signed(f"{talker}GNS,{time},{place},{modes},14,0.70,37.4,-1.2,,,V")


VTG = signed("GNVTG,45.00,T,,M,2.000,N,3.704,K,A")
GSA = signed("GNGSA,A,3,01,03,06,08,13,,,,,,,,2.10,1.10,1.79,4")


def read(*sentences: bytes) -> list[Fix]:
    reader = NmeaReader()
    return reader.feed(b"".join(sentences)) + reader.flush()


def places(fixes: list[Fix]) -> list[tuple[int | None, float, float]]:
    return [
        (fix.time_of_day_ms, round(fix.lat_deg, 7), round(fix.lon_deg, 7))
        for fix in fixes
        if fix.lat_deg is not None and fix.lon_deg is not None
    ]


def refusal(sentence: bytes) -> dict[str, int]:
    reader = NmeaReader()
    assert places(reader.feed(sentence) + reader.flush()) == []
    assert reader.counts.accepted == {}
    return dict(reader.counts.refused)


def test_the_sentences_of_a_second_are_one_fix() -> None:
    (fix,) = read(rmc("081503.00"), VTG, gga("081503.00"), GSA, gll("081503.00"))
    assert fix == Fix(
        time_utc=datetime(2026, 11, 23, 8, 15, 3, tzinfo=UTC),
        time_of_day_ms=29_703_000,
        lat_deg=pytest.approx(31 + 49.12345 / 60, abs=1e-12),
        lon_deg=pytest.approx(117 + 13.54321 / 60, abs=1e-12),
        alt_m=37.5,
        speed_mps=pytest.approx(10 * 1852 / 3600),
        course_deg=90.0,
        fix_quality=1,
        satellites_used=9,
        hdop=0.8,
        date_talker="GN",
        source=FixSource.GNSS,
        accuracy_m=None,
    )


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "BD", "GB", "QZ", "GI", "IN", "II"])
def test_every_talker_is_read(talker: str) -> None:
    (fix,) = read(rmc("081503", talker=talker), gga("081503", talker=talker))
    assert fix.lat_deg is not None
    assert fix.speed_mps is not None


def test_proprietary_sentences_are_not_mistaken_for_standard_ones() -> None:
    reader = NmeaReader()
    reader.feed(signed("PGRMC,A,100.0,100") + signed("PXGGA,081503.00," + HEFEI + ",1,09,0.8,1.0,M,,M,,"))
    assert reader.flush() == []
    assert (reader.counts.accepted, reader.counts.accepted_unused) == ({}, 2)


@pytest.mark.parametrize(
    ("place", "lat_deg", "lon_deg"),
    [
        ("3149.12345,N,11713.54321,E", 31.8187242, 117.2257202),
        ("3149.12345,S,11713.54321,W", -31.8187242, -117.2257202),
        ("0000.60000,N,00000.00000,E", 0.01, 0.0),
        ("9000.0,N,18000.0,W", 90.0, -180.0),
        ("3159.99999,N,11759.99999,E", 31.9999998, 117.9999998),
        ("3149,N,11713,E", 31.8166667, 117.2166667),
        ("49.5,N,13.5,E", 0.825, 0.225),
        ("03149.12345,N,11713.54321,E", 31.8187242, 117.2257202),
    ],
)
def test_angles(place: str, lat_deg: float, lon_deg: float) -> None:
    assert places(read(gga("081503", place))) == [(29_703_000, lat_deg, lon_deg)]


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("9000.00001,N,11713.5,E", "value_out_of_range"),
        ("3160.00000,N,11713.5,E", "value_out_of_range"),
        ("3149.12345,N,18000.00001,W", "value_out_of_range"),
        ("31x9.12345,N,11713.5,E", "malformed"),
        ("-3149.12345,N,11713.5,E", "malformed"),
        ("3149.12345,,11713.5,E", "malformed"),
        ("3149.12345,E,11713.5,N", "malformed"),
        ("3149.12345,N,,", "malformed"),
        ("0000.00000,N,00000.00000,E", "zero_position"),
    ],
)
def test_an_impossible_position_under_a_good_checksum_is_refused(place: str, reason: str) -> None:
    for sentence in (rmc("081503", place), gga("081503", place), gll("081503", place), gns("081503", "AA", place)):
        assert refusal(sentence) == {reason: 1}


@pytest.mark.parametrize(
    ("time", "reason"),
    [
        ("240000", "value_out_of_range"),
        ("086000", "value_out_of_range"),
        ("081561", "value_out_of_range"),
        ("0815", "malformed"),
        ("8:15:03", "malformed"),
        ("081503.0.0", "malformed"),
    ],
)
def test_an_impossible_time_under_a_good_checksum_is_refused(time: str, reason: str) -> None:
    assert refusal(gga(time)) == {reason: 1}


@pytest.mark.parametrize(("quality", "reason"), [("9", "value_out_of_range"), ("x", "malformed"), ("-1", "malformed")])
def test_an_impossible_quality_is_refused(quality: str, reason: str) -> None:
    assert refusal(gga("081503", quality=quality)) == {reason: 1}


def test_a_nul_under_a_good_checksum_gives_no_position() -> None:
    assert refusal(gga("081503", "3149.1\x00345,N,11713.54321,E")) == {"not_ascii": 1}


@pytest.mark.parametrize(
    "shortest",
    [
        f"GPRMC,081503,A,{HEFEI},10.0,90.0,231126",
        f"GPGGA,081503,{HEFEI},1",
        f"GPGGA,081503,{HEFEI},1,09",
        f"GPGGA,081503,{HEFEI},1,09,0.8",
        f"GPGLL,{HEFEI}",
        f"GPGNS,081503,{HEFEI},AA",
        "GPVTG,45.0,T,,M,2.0",
        "GPGSA,A,3,01,03,06,08,13,,,,,,,",
        "GPZDA,081503,23,11,2026",
    ],
)
def test_short_sentences_of_old_receivers_are_read(shortest: str) -> None:
    reader = NmeaReader()
    reader.feed(signed(shortest))
    assert reader.counts.accepted == {shortest[2:5]: 1}


@pytest.mark.parametrize(
    "too_short",
    [
        "GPRMC",
        f"GPRMC,081503,A,{HEFEI},10.0,90.0",
        f"GPGGA,081503,{HEFEI}",
        "GPGLL,3149.12345,N,11713.54321",
        f"GPGNS,081503,{HEFEI}",
        "GPVTG,45.0,T,,M",
        "GPGSA,A,3,01,03,06,08,13,,,,,,",
        "GPZDA,081503,23,11",
    ],
)
def test_a_sentence_cut_short_under_a_good_checksum_is_refused(too_short: str) -> None:
    assert refusal(signed(too_short)) == {"malformed": 1}


def test_two_sentences_run_together_are_refused() -> None:
    longest = f"GPGGA,081503.00,{HEFEI},1,09,0.80,37.5,M,-1.2,M,,".ljust(116, "0")
    assert refusal(signed(longest + "0")) == {"too_long": 1}
    assert len(places(read(signed(longest)))) == 1


@pytest.mark.parametrize(
    ("text", "time_of_day_ms"),
    [
        ("000000", 0),
        ("081503", 29_703_000),
        ("081503.", 29_703_000),
        ("081503.9", 29_703_900),
        ("081503.57", 29_703_570),
        ("081503.999", 29_703_999),
        ("081503.9999", 29_703_999),
        ("235959.999", 86_399_999),
        ("235960.000", 86_400_000),
    ],
)
def test_time_of_day(text: str, time_of_day_ms: int) -> None:
    assert [fix.time_of_day_ms for fix in read(gga(text))] == [time_of_day_ms]


def test_odd_fields_that_place_nothing_cost_no_position() -> None:
    (fix,) = read(
        signed(f"GNRMC,081503.00,A,{HEFEI},XXX,361.0,2208-1,,,A"),
        signed(f"GNGGA,081503.00,{HEFEI},1,nn,99.99,--,M,,M,,"),
    )
    assert fix.lat_deg is not None
    assert (fix.time_utc, fix.speed_mps, fix.course_deg) == (None, None, None)
    assert (fix.alt_m, fix.satellites_used, fix.hdop) == (None, None, None)


@pytest.mark.parametrize(
    ("satellites", "altitude", "expected"),
    [
        ("09", "-30.40", (9, -30.4)),
        ("4", "00176", (4, 176.0)),
        ("200", "100000", (200, 100_000)),
        ("201", "100000.1", (None, None)),
        ("-1", "-1000", (None, -1000)),
        ("", "-1000.1", (None, None)),
    ],
)
def test_satellites_and_altitudes(satellites: str, altitude: str, expected: tuple[int | None, float | None]) -> None:
    (fix,) = read(signed(f"GNGGA,081503.00,{HEFEI},1,{satellites},0.80,{altitude},M,-13.9,M,,"))
    assert (fix.satellites_used, fix.alt_m) == expected


@pytest.mark.parametrize(
    ("knots", "course", "expected"),
    [
        ("0.0", "0.0", (0.0, 0.0)),
        ("1000", "360", (1000 * 1852 / 3600, 360.0)),
        ("1000.1", "360.1", (None, None)),
        ("-0.1", "-0.1", (None, None)),
        ("", "", (None, None)),
        ("1e2", "nan", (None, None)),
    ],
)
def test_speeds_and_courses(knots: str, course: str, expected: tuple[float | None, float | None]) -> None:
    (fix,) = read(signed(f"GNRMC,081503.00,A,{HEFEI},{knots},{course},231126,,,A"))
    assert (fix.speed_mps, fix.course_deg) == pytest.approx(expected)
    (fix,) = read(gga("081503"), signed(f"GNVTG,{course},T,,M,{knots},N,,K,A"))
    assert (fix.speed_mps, fix.course_deg) == pytest.approx(expected)


# --- which position counts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sentence",
    [
        rmc("081503", status="V"),
        rmc("081503", rest=",,,N"),
        gga("081503", quality="0"),
        gga("081503", quality=""),
        gga("081503", satellites="00"),
        gga("081503", satellites="02"),
        gll("081503", status="V,N"),
        gll("081503", status="A,N"),
        gll("081503", status="N,V"),
        gll("081503", status=""),
        gns("081503", "NNNN"),
        gns("081503", ""),
        rmc("", ",,,", status="V", date=""),
        gga("", ",,,", quality="0", satellites="00"),
        gga("081503", ",,,"),
    ],
)
def test_a_position_that_is_not_declared_valid_is_none(sentence: bytes) -> None:
    (fix,) = read(sentence)
    assert (fix.lat_deg, fix.lon_deg, fix.alt_m, fix.speed_mps, fix.course_deg) == (None,) * 5


@pytest.mark.parametrize(
    "sentence",
    [
        rmc("081503", status="D"),
        rmc("081503", rest=""),
        rmc("081503", rest=",,,A,V"),
        gga("081503", quality="6", satellites="00"),
        gga("081503", quality="8", satellites="00"),
        gga("081503", satellites="03"),
        gga("081503", satellites=""),
        gll("081503", status="A"),
        gns("081503", "NNNA"),
        gns("081503", "A"),
    ],
)
def test_a_position_that_is_declared_valid_counts(sentence: bytes) -> None:
    assert places(read(sentence)) == [(29_703_000, 31.8187242, 117.2257202)]


def test_a_void_sentence_voids_the_epoch_of_its_talker() -> None:
    beyond_dead_reckoning_limits = rmc("081503", status="V", rest=",,,E") + gga("081503", quality="6")
    (fix,) = read(beyond_dead_reckoning_limits)
    assert (fix.lat_deg, fix.alt_m, fix.fix_quality) == (None, None, 6)


@pytest.mark.parametrize(
    "estimated",
    [
        gga("081503", quality="6"),
        gga("081503", quality="7"),
        gga("081503", quality="8"),
        gns("081503", "EE"),
        gns("081503", "NS"),
        gll("081503", status="A,M"),
        rmc("081503", rest=",,,E"),
    ],
)
def test_an_estimate_does_not_outweigh_a_void_wherever_it_stands(estimated: bytes) -> None:
    void = rmc("081503", status="V", rest=",,,E")
    assert places(read(void, estimated)) == places(read(estimated, void)) == []
    assert len(places(read(estimated))) == 1


@pytest.mark.parametrize(
    "found",
    [gga("081503", quality=quality) for quality in "12345"]
    + [gll("081503", status="A,D"), rmc("081503"), gns("081503", "EA"), rmc("081503", rest="")],
)
@pytest.mark.parametrize(
    "lost", [rmc("081503", status="V", rest=",,,N"), gga("081503", quality="0"), gll("081503", status="V,N")]
)
def test_of_a_fix_found_or_lost_within_the_burst_the_last_sentence_knows_best(found: bytes, lost: bytes) -> None:
    assert len(places(read(lost, found))) == 1
    assert places(read(found, lost)) == []
    assert places(read(lost, found, lost)) == []


def test_a_fix_of_one_talker_does_not_lift_the_void_of_another() -> None:
    other = gga("081503", "3149.00000,N,11713.00000,E", talker="GA")
    fixes = read(other, rmc("081503", status="V", talker="GA"), gga("081503", talker="GP"))
    assert places(fixes) == [(29_703_000, 31.8187242, 117.2257202)]


def test_a_void_sentence_of_another_talker_voids_nothing() -> None:
    (fix,) = read(gga("081503", talker="GP"), gga("081503", ",,,", quality="0", satellites="00", talker="GA"))
    assert (fix.lat_deg is not None, fix.fix_quality, fix.satellites_used) == (True, 1, 9)


def test_a_void_sentence_gives_no_altitude_or_motion_to_the_position_of_another_talker() -> None:
    void = rmc("081503", status="V", talker="GA") + gga("081503", quality="0", talker="GA")
    (fix,) = read(void, gll("081503", talker="GP"), gns("081503", "NN", talker="GA"))
    assert fix.lat_deg is not None
    assert (fix.alt_m, fix.speed_mps, fix.course_deg) == (None, None, None)


def test_the_most_precise_of_positions_that_agree_counts_wherever_it_stands() -> None:
    coarse, fine = "3149.123,N,11713.543,E", "3149.12345,N,11713.54321,E"
    expected = [(29_703_000, 31.8187242, 117.2257202)]
    assert places(read(rmc("081503", coarse), gga("081503", fine))) == expected
    assert places(read(gga("081503", fine), rmc("081503", coarse))) == expected


def test_of_equally_precise_positions_that_agree_the_later_counts() -> None:
    assert places(read(gga("081503", "3149.12345,N,11713.54321,E"), gll("081503", "3149.12347,N,11713.54323,E"))) == [
        (29_703_000, round(31 + 49.12347 / 60, 7), round(117 + 13.54323 / 60, 7))
    ]


def test_positions_that_contradict_each_other_all_come_out_with_all_that_is_known() -> None:
    fixes = read(
        rmc("081503", "3149.1234,N,11713.5432,E"),
        gga("081503", "3149.1200,N,11713.5432,E"),
        gll("081503", "3149.1199,N,11713.5432,E"),
    )
    assert places(fixes) == [
        (29_703_000, round(31 + 49.1234 / 60, 7), round(117 + 13.5432 / 60, 7)),
        (29_703_000, round(31 + 49.1199 / 60, 7), round(117 + 13.5432 / 60, 7)),
    ]
    assert {(fix.time_utc, fix.course_deg, fix.satellites_used) for fix in fixes} == {
        (datetime(2026, 11, 23, 8, 15, 3, tzinfo=UTC), 90.0, 9)
    }


def test_the_best_of_each_time_joins_what_contradicts_itself_and_nothing_else() -> None:
    rough, fine = rmc("081503", "3149.12,N,11713.54,E"), gga("081503", "3149.5000,N,11713.5432,E")
    fixes = best_of_each_time(read(rough, fine, rmc("081504"), gga("", quality="0"), GSA, gga("", quality="0")))
    assert [fix.time_of_day_ms for fix in fixes] == [29_703_000, 29_704_000, None, None]
    assert fixes[0].lat_deg == pytest.approx(31.825)
    assert best_of_each_time([]) == []


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("3149.1234,N,11713.5432,E", "3149.1235,N,11713.5433,E", True),  # 0.2 m
        ("3149.1234,N,11713.5432,E", "3149.1236,N,11713.5432,E", False),
        ("3149.1234,N,11713.5432,E", "3149.1234,N,11713.5434,E", False),
        ("3149.123,N,11713.543,E", "3149.124,N,11713.543,E", False),
        ("3149.123,N,11713.543,E", "3149.1239,N,11713.5439,E", True),  # cut, not rounded
        ("3149.123,N,11713.543,E", "3149.1221,N,11713.5421,E", True),
        ("3149.123,N,11713.543,E", "3149.1241,N,11713.5430,E", False),
        ("3149.123,N,11713.543,E", "3149.1230,N,11713.5441,E", False),
    ],
)
def test_positions_agree_up_to_rounding(first: str, second: str, agree: bool) -> None:
    for sentences in ((rmc("081503", first), gga("081503", second)), (rmc("081503", second), gga("081503", first))):
        assert len(read(*sentences)) == (1 if agree else 2)


def test_speed_and_course_come_from_vtg_where_there_is_no_rmc() -> None:
    (fix,) = read(gga("081503"), VTG)
    assert (fix.speed_mps, fix.course_deg) == (pytest.approx(2 * 1852 / 3600), 45.0)
    (void,) = read(gga("081503"), signed("GNVTG,45.00,T,,M,2.000,N,3.704,K,N"))
    assert void.speed_mps is None


def test_satellites_and_dilution_come_from_gsa_where_there_is_neither_gga_nor_gns() -> None:
    second_system = signed("GNGSA,A,3,65,66,75,,,,,,,,,,2.10,1.10,1.79,2")
    (fix,) = read(rmc("081503"), GSA, second_system)
    assert (fix.satellites_used, fix.hdop) == (8, 1.1)
    (fix,) = read(rmc("081503"), gns("081503", "AA"), GSA, second_system)
    assert (fix.satellites_used, fix.hdop) == (14, 0.7)


# --- when an epoch is over --------------------------------------------------------------------------------------------


def test_an_epoch_ends_when_the_next_begins() -> None:
    reader = NmeaReader()
    assert reader.feed(rmc("081503") + gga("081503")) == []
    assert places(reader.feed(rmc("081504"))) == [(29_703_000, 31.8187242, 117.2257202)]
    assert places(reader.flush()) == [(29_704_000, 31.8187242, 117.2257202)]
    assert reader.flush() == []


def test_once_the_cycle_is_known_an_epoch_ends_with_its_last_sentence() -> None:
    reader = NmeaReader()
    for second in range(LEARNED_EPOCHS + 1):
        reader.feed(rmc(f"0815{second:02d}") + GSA + GSA + gga(f"0815{second:02d}"))
    assert reader.flush() == []
    assert reader.feed(rmc("081530") + GSA + gga("081530")) == []
    (fix,) = reader.feed(GSA)
    assert fix.time_of_day_ms == 29_730_000


def test_a_sentence_that_the_cycle_did_not_have_is_late_once_and_then_waited_for() -> None:
    reader = NmeaReader()
    for second in range(LEARNED_EPOCHS + 1):
        reader.feed(rmc(f"0815{second:02d}"))
    assert places(reader.feed(gga("081516"))) == []
    fixes = reader.feed(rmc("081517") + gga("081517"))
    assert [(fix.time_of_day_ms, fix.fix_quality) for fix in fixes] == [(29_717_000, 1)]


@pytest.mark.parametrize("late", [gga("081503"), gll("081503"), gga("081503", "3149.99999,N,11713.54321,E"), VTG, GSA])
def test_what_comes_after_a_flush_makes_no_second_fix(late: bytes) -> None:
    reader = NmeaReader()
    assert len(reader.feed(rmc("081503")) + reader.flush()) == 1
    assert reader.feed(late) + reader.flush() == []
    fixes = reader.feed(late + rmc("081504") + gga("081504")) + reader.flush()
    assert [fix.time_of_day_ms for fix in fixes] == [29_704_000]


def test_a_flush_cannot_part_a_position_from_its_void() -> None:
    reader = NmeaReader()
    first = reader.feed(rmc("081503", status="V")) + reader.flush()
    rest = reader.feed(gga("081503", quality="8")) + reader.flush()
    assert places(first + rest) == []


def test_a_late_sentence_of_an_older_epoch_does_not_end_the_open_one() -> None:
    reader = NmeaReader()
    reader.feed(gga("081503") + gga("081504"))
    assert reader.feed(rmc("081503")) == []
    (fix,) = reader.feed(rmc("081504")) + reader.flush()
    assert (fix.time_of_day_ms, fix.fix_quality, fix.course_deg) == (29_704_000, 1, 90.0)


def test_a_late_date_still_dates_what_follows() -> None:
    reader = NmeaReader()
    (undated,) = reader.feed(gga("081503")) + reader.flush()
    reader.feed(rmc("081503"))
    (dated,) = reader.feed(gga("081504")) + reader.flush()
    assert (undated.time_utc, dated.time_utc) == (None, datetime(2026, 11, 23, 8, 15, 4, tzinfo=UTC))


def test_a_clock_that_stands_still_gives_one_fix() -> None:
    reader = NmeaReader()
    assert reader.feed(gga("081503") * (MAX_EPOCH_SENTENCES - 1)) == []
    assert len(reader.feed(gga("081503"))) == 1
    assert reader.feed(gga("081503") * 3 * MAX_EPOCH_SENTENCES) + reader.flush() == []


def test_a_time_of_day_counts_as_late_only_for_a_while() -> None:
    """A unit that is woken at the same second every day gives a fix every day."""
    reader = NmeaReader()
    for second in range(REMEMBERED_EPOCHS + 1):
        assert len(reader.feed(gga(f"08150{second}")) + reader.flush()) == 1
    assert reader.feed(gga("081501")) + reader.flush() == []
    assert len(reader.feed(gga("081500")) + reader.flush()) == 1


def test_untimed_epochs_end_when_a_sentence_comes_again() -> None:
    cold = rmc("", ",,,", status="V", date="") + gga("", ",,,", quality="0", satellites="00")
    fixes = read(cold, GSA, cold, GSA)
    assert [(fix.time_of_day_ms, fix.fix_quality, fix.satellites_used) for fix in fixes] == [(None, 0, 0)] * 2


def test_an_untimed_void_does_not_void_the_first_fix_after_it() -> None:
    cold = gll("", ",,,", status="V,N")
    assert places(read(cold, rmc("081503"), gga("081503"))) == [(29_703_000, 31.8187242, 117.2257202)]


def test_an_untimed_position_joins_the_epoch_around_it() -> None:
    (fix,) = read(gga(""), rmc("081503"))
    assert (fix.time_of_day_ms, fix.fix_quality, fix.course_deg) == (29_703_000, 1, 90.0)


def test_a_clock_that_runs_ahead_in_zda_does_not_part_the_epoch() -> None:
    (fix,) = read(gga("081503"), signed("GNZDA,081505.00,23,11,2026,,"), VTG)
    assert fix.time_utc == datetime(2026, 11, 23, 8, 15, 3, tzinfo=UTC)
    assert fix.course_deg == 45.0


# --- which date -------------------------------------------------------------------------------------------------------


def dates(*sentences: bytes) -> list[str | None]:
    return [fix.time_utc.isoformat() if fix.time_utc else None for fix in read(*sentences)]


def test_a_new_day_begins_before_its_rmc() -> None:
    assert dates(rmc("235959", date="281226"), gga("000000"), rmc("000000", date="291226"), gga("000001")) == [
        "2026-12-28T23:59:59+00:00",
        "2026-12-29T00:00:00+00:00",
        "2026-12-29T00:00:01+00:00",
    ]


def test_an_old_day_is_not_moved_by_the_new_days_date() -> None:
    zda = signed("GNZDA,000000.00,29,12,2026,,")
    assert dates(gga("235959"), zda, gga("000000")) == ["2026-12-28T23:59:59+00:00", "2026-12-29T00:00:00+00:00"]


def test_a_fix_says_whose_date_it_has() -> None:
    fixes = read(rmc("081503", talker="BD"), gga("081504", talker="GP"), gga("081505"), rmc("081505", talker="GP"))
    assert [fix.date_talker for fix in fixes] == ["BD", "BD", "GP"]
    assert [fix.date_talker for fix in read(gga("081503"))] == [None]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("215959", "2026-11-23T21:59:59+00:00"),
        ("220000", "2026-11-23T22:00:00+00:00"),
        ("220001", "2026-11-22T22:00:01+00:00"),
    ],
)
def test_a_time_without_a_date_is_at_most_half_a_day_away(time: str, expected: str) -> None:
    assert dates(rmc("100000"), gga(time))[1] == expected


def test_second_sixty_is_an_instant_of_its_own() -> None:
    fixes = read(*(rmc(time, date="311216") for time in ("235959", "235960")), rmc("000000", date="010117"))
    assert [fix.time_of_day_ms for fix in fixes] == [86_399_000, 86_400_000, 0]
    assert [fix.time_utc and fix.time_utc.isoformat() for fix in fixes] == [
        "2016-12-31T23:59:59+00:00",
        "2017-01-01T00:00:00+00:00",
        "2017-01-01T00:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("010180", "1980-01-01T08:15:03+00:00"),
        ("311299", "1999-12-31T08:15:03+00:00"),
        ("010100", "2000-01-01T08:15:03+00:00"),
        ("311279", "2079-12-31T08:15:03+00:00"),
        ("310226", None),
        ("001126", None),
        ("2208-1", None),
        ("", None),
    ],
)
def test_two_digit_years_and_dates_that_are_none(date: str, expected: str | None) -> None:
    assert dates(rmc("081503", date=date)) == [expected]


@pytest.mark.parametrize(
    ("day_month_year", "expected"),
    [
        ("23,11,2026", "2026-11-23T08:15:03+00:00"),
        ("31,02,2026", None),
        ("01,01,1980", "1980-01-01T08:15:03+00:00"),
        ("31,12,2100", "2100-12-31T08:15:03+00:00"),
        ("31,12,1979", None),
        ("01,01,2101", None),
        ("01,01,9999", None),
        (",,", None),
    ],
)
def test_zda_dates(day_month_year: str, expected: str | None) -> None:
    assert dates(signed(f"GPZDA,081503.00,{day_month_year},00,00"), gga("081503")) == [expected]


def test_the_date_of_a_void_rmc_is_not_believed() -> None:
    assert dates(rmc("081503", status="V", date="060180")) == [None]


def test_counts_tell_every_sentence() -> None:
    reader = NmeaReader()
    reader.feed(b"\x80\x81" + rmc("081503") + gga("081503") + gga("240000") + signed("GPGSV,1,1,00") + b"$GPRMC,x\r\n")
    before = reader.counts
    reader.feed(rmc("081504"))
    assert (before.accepted, before.accepted_unused) == ({"RMC": 1, "GGA": 1}, 1)
    assert (before.refused, before.noise_bytes) == ({"value_out_of_range": 1, "no_checksum": 1}, 2)
    assert reader.counts.accepted == {"RMC": 2, "GGA": 1}


def test_satellites_in_view_are_summed_over_the_systems_and_not_over_their_signals() -> None:
    reader = NmeaReader()
    views = [
        signed("GPGSV,1,1,03,01,40,083,46,02,17,308,41,12,07,344,39,1"),
        signed("GPGSV,1,1,02,01,40,083,40,02,17,308,38,8"),  # the same sky on L5
        signed("GBGSV,1,1,04,06,40,083,46,07,17,308,41,11,07,344,39,14,22,228,45,1"),
    ]
    reader.feed(b"".join([rmc("120000.00"), *views, rmc("120001.00")]))
    assert reader.satellites_in_view == 7
    reader.feed(b"".join([signed("GPGSV,1,1,00,1"), signed("GBGSV,1,1,00,1"), rmc("120002.00")]))
    assert reader.satellites_in_view == 0
    reader.feed(signed("GPGSV,1,1,x,1") + rmc("120003.00"))
    assert reader.satellites_in_view == 0
