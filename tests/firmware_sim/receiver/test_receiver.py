"""The sentences: shapes, checksums, times, talkers, rates; and the same seed gives the same bytes."""

import hashlib
import itertools
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.receiver.forms import FORMS
from firmware_sim.receiver.sentences import sentence
from firmware_sim.receiver.settings import (
    DEFAULT_SENTENCES,
    MAKES,
    SENTENCES,
    ReceiverFaults,
    ReceiverSettings,
    SettingsError,
)
from tests.firmware_sim.receiver.listening import START, listen, receiver, straight_on

FIELDS = {"RMC": 14, "VTG": 10, "GGA": 15, "GSA": 19, "GLL": 8, "GNS": 14, "ZDA": 7}  # with the address, NMEA 0183 4.11
SHAPES = {  # field → what it may hold where it is not empty
    "time": re.compile(r"([01]\d|2[0-3])[0-5]\d([0-5]\d|60)\.\d{2,3}"),
    "lat": re.compile(r"[0-8]\d[0-5]\d\.\d{5,8}"),
    "lon": re.compile(r"(0\d\d|1[0-7]\d)[0-5]\d\.\d{5,8}"),
}
WHERE = {"RMC": (1, 3, 5), "GGA": (1, 2, 4), "GLL": (5, 1, 3), "GNS": (1, 2, 4), "ZDA": (1, None, None)}

FAULTS = st.builds(
    ReceiverFaults,
    jammed=st.floats(0, 1),
    tunnel=st.booleans(),
    canyon=st.floats(0, 1),
    multipath_m=st.floats(0, 100),
    spoof_jump_m=st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)),
    spoof_drag_mps=st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    frozen=st.booleans(),
    week_rollovers=st.integers(-1, 2),
    leap_second=st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(
    make=st.sampled_from(MAKES),
    seed=st.integers(0, 2**31),
    start=st.sampled_from(("running", "hot", "warm", "cold")),
    rate_hz=st.sampled_from((1.0, 2.0, 5.0, 10.0)),
    systems=st.permutations(("GPS", "BeiDou", "GLONASS", "Galileo")).flatmap(
        lambda all_: st.integers(1, 4).map(lambda count: tuple(all_[:count]))
    ),
    faults=st.lists(FAULTS, min_size=1, max_size=4),
    place=st.tuples(st.floats(-85, 85), st.floats(-180, 180)),
)
def test_every_sentence_is_well_formed(
    make: str, seed: int, start: str, rate_hz: float, systems: tuple[str, ...], faults: list[ReceiverFaults], place: Any
) -> None:
    sender = receiver(seed, make=make, start=start, rate_hz=rate_hz, systems=systems, sentences=SENTENCES)
    motions = straight_on(8, 20, step_s=0.1, start=place)
    seconds = listen(sender, motions, lambda t_s: faults[int(t_s) % len(faults)])
    assert seconds
    for line in itertools.chain.from_iterable(second.raw for second in seconds):
        text = line.decode("ascii")
        assert text.endswith("\r\n")
        assert len(text) <= (100 if make == "unicore_n4" else 82)  # NMEA 0183 4.11, 5.3; N4's 10^-8 minutes need more
        body, checksum = text[1:-2].split("*")
        assert sentence(body) == line
        assert re.fullmatch(r"[0-9A-F]{2}", checksum)
        fields, kind = body.split(","), body[2:5]
        if kind in FIELDS:
            assert len(fields) == FIELDS[kind]
        for shape, index in zip(SHAPES.values(), WHERE.get(kind, ()), strict=False):
            assert index is None or not fields[index] or shape.fullmatch(fields[index])
        if kind == "GSV":
            total, number, count = (int(field) for field in fields[1:4])
            assert 1 <= number <= total == max(1, -(-count // 4))
            assert (len(fields) - 5) == 4 * min(4, count - 4 * (number - 1))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    steps=st.lists(st.floats(0.05, 400), min_size=2, max_size=60),
    faults=st.lists(FAULTS, min_size=1, max_size=3),
)
def test_told_times_never_go_back(seed: int, steps: list[float], faults: list[ReceiverFaults]) -> None:
    """Whatever happens, at any rhythm of calls; week rollovers apart, which change the date on purpose."""
    calm = [ReceiverFaults(jammed=f.jammed, leap_second=f.leap_second, frozen=f.frozen) for f in faults]
    sender = receiver(seed, sentences=("ZDA",), start_utc=datetime(2026, 12, 31, 23, 50, tzinfo=UTC))
    told = []
    for index, t_s in enumerate(itertools.accumulate(steps)):
        (motion,) = straight_on(1, from_s=t_s)
        for line in sender.epoch(motion, calm[index % len(calm)]):
            clock, day, month, year = line.decode().split(",")[1:5]
            told.append((year, month, day, clock))
    assert told == sorted(told)


def test_times_and_dates_over_the_end_of_a_year() -> None:
    start = datetime(2026, 12, 31, 23, 59, 55, tzinfo=UTC)
    for second in listen(receiver(start_utc=start, rate_hz=10, sentences=("RMC", "ZDA")), straight_on(10, step_s=0.1)):
        rmc, zda = second.one("RMC"), second.one("ZDA")
        expected = start + timedelta(seconds=second.motion.t_s)
        assert datetime.combine(rmc.date, rmc.time, UTC) == expected
        assert (zda.year, zda.month, zda.day, zda.time) == (expected.year, expected.month, expected.day, rmc.time)


def test_a_leap_second_is_told_once() -> None:
    start = datetime(2026, 12, 31, 23, 59, 57, tzinfo=UTC)
    sender = receiver(start_utc=start, rate_hz=2, sentences=("RMC",))
    seconds = listen(sender, straight_on(6, step_s=0.5), ReceiverFaults(leap_second=True))
    told = [(line.decode().split(",")[1], line.decode().split(",")[9]) for second in seconds for line in second.raw]
    assert told == [
        (f"{clock}.{half}0", date)
        for clock, date in [
            ("235957", "311226"),
            ("235958", "311226"),
            ("235959", "311226"),
            ("235960", "311226"),
            ("000000", "010127"),
            ("000001", "010127"),
        ]
        for half in (0, 5)
    ]
    (later,) = listen(sender, straight_on(1, from_s=86_400 + 3))  # over, but the second stays
    assert later.raw[0].decode().split(",")[1] == "235959.00"


def test_week_rollovers_move_the_date_only() -> None:
    """GPS weeks have 10 bits, BeiDou's 13: a receiver dates itself 1,024 or 8,192 weeks too early."""
    fault = ReceiverFaults(week_rollovers=1)
    (wrong,) = listen(receiver(sentences=("RMC", "ZDA")), straight_on(1), fault)
    assert wrong.one("RMC").date == (START - timedelta(weeks=1024)).date() == datetime(2007, 4, 9, tzinfo=UTC).date()
    assert wrong.one("ZDA").year == 2007
    assert wrong.one("RMC").time == START.time()
    assert wrong.has_fix
    (beidou,) = listen(receiver(systems=("BeiDou",), sentences=("RMC", "ZDA")), straight_on(1), fault)
    assert beidou.one("ZDA").year == (START - timedelta(weeks=8192)).year == 1869
    (far,) = listen(receiver(sentences=("ZDA",)), straight_on(1), ReceiverFaults(week_rollovers=1000))
    assert far.raw[0].split(b",")[4] == b"0001"  # the calendar's beginning


@pytest.mark.parametrize("rate_hz", [1, 2, 4, 5, 10])
def test_the_rate(rate_hz: float) -> None:
    sender = receiver(rate_hz=rate_hz, sentences=("RMC",))
    assert sender.interval_s == 1 / rate_hz
    assert len(listen(sender, straight_on(20, step_s=1 / rate_hz))) == 20 * rate_hz
    called_more_often = listen(receiver(rate_hz=rate_hz, sentences=("RMC",)), straight_on(20, step_s=0.05))
    assert len(called_more_often) == 20 * rate_hz


@pytest.mark.parametrize(("position", "beidou"), list(itertools.product(("GN", "GP", "BD", "GB"), ("GB", "BD"))))
def test_talkers(position: str, beidou: str) -> None:
    (second,) = listen(receiver(talkers=(position, beidou), sentences=SENTENCES), straight_on(1))
    talkers = {(line[1:3].decode(), line[3:6].decode()) for line in second.raw}
    positions = {(position, kind) for kind in ("RMC", "VTG", "GGA", "GLL", "GNS", "ZDA")}
    assert talkers == positions | {("GN", "GSA"), ("GP", "GSV"), (beidou, "GSV"), ("GN", "TXT")}


@pytest.mark.parametrize("make", MAKES)
def test_the_mix_and_the_order_of_each_make(make: str) -> None:
    first, second = listen(receiver(make=make, start="hot"), straight_on(2))
    assert [raw[:-5].decode("ascii")[1:] for raw in first.raw][: len(FORMS[make].banner)] == list(FORMS[make].banner)
    kinds = [kind for kind, _ in itertools.groupby(line[3:6].decode() for line in second.raw)]
    assert sorted(kinds) == sorted(DEFAULT_SENTENCES[make])
    assert kinds == [kind for kind in FORMS[make].order if kind in kinds]


def test_a_casic_without_a_fix_says_what_recorded_ones_say() -> None:
    """The lines of an AT6558R after power-on, as several projects keep them, to the byte."""
    (second,) = listen(receiver(make="casic", start="cold"), straight_on(1))
    assert b"".join(second.raw).decode().split("\r\n") == [
        "$GPTXT,01,01,02,MA=CASIC*27",
        "$GPTXT,01,01,02,IC=AT6558R-5N-32-1C580901*13",
        "$GPTXT,01,01,02,SW=URANUS5,V5.3.0.0*1D",
        "$GPTXT,01,01,02,TB=2020-04-28,13:43:10*40",
        "$GPTXT,01,01,02,MO=GB*77",
        "$GNGGA,,,,,,0,00,25.5,,,,,,*64",
        "$GNGLL,,,,,,V,N*7A",
        "$GNGSA,A,1,,,,,,,,,,,,,25.5,25.5,25.5,1*01",
        "$GNGSA,A,1,,,,,,,,,,,,,25.5,25.5,25.5,4*04",
        "$GPGSV,1,1,00,0*65",
        "$BDGSV,1,1,00,0*74",
        "$GNRMC,,V,,,,,,,,,,N,V*37",
        "$GNVTG,,,,,,,,,N*2E",
        "$GNZDA,,,,,,*56",
        "$GPTXT,01,01,01,ANTENNA OK*35",
        "",
    ]


# A changed figure is a changed receiver: say why where it changes.
GOLDEN = {
    "generic": "1022b6de2a12d1e0",
    "casic": "779f465788f6dd19",
    "ublox": "e3fbfad703fc7ffb",
    "ublox_m8": "844915e3cd81fb1c",
    "unicore": "01f750ddc2c628f4",
    "unicore_n4": "37d579822716ae3d",
}


@pytest.mark.parametrize("make", MAKES)
def test_the_same_seed_gives_the_same_bytes(make: str) -> None:
    def digest(seed: int) -> str:
        sender = receiver(seed, make=make, start="cold", sentences=SENTENCES)
        fault = ReceiverFaults(canyon=0.5, corrupt_share=0.1, half_sentences_share=0.05, noise_bytes=9)
        told = [sender.epoch(motion, fault) for motion in straight_on(60, 12)]
        return hashlib.sha256(b"".join(itertools.chain.from_iterable(told))).hexdigest()[:16]

    assert digest(7) == GOLDEN[make]
    assert digest(8) != GOLDEN[make]


def test_a_fault_of_the_line_leaves_the_rest_as_it_was() -> None:
    plain = listen(receiver(3), straight_on(30, 10))
    noisy = listen(receiver(3), straight_on(30, 10), ReceiverFaults(noise_bytes=40))
    assert [second.raw for second in plain] == [second.raw[1:] for second in noisy]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"make": "garmin"}, "is no make"),
        ({"start": "lukewarm"}, "is no start"),
        ({"talkers": ("GA", "GB")}, "is no position talker"),
        ({"talkers": ("GN", "GQ")}, "is no BeiDou talker"),
        ({"talkers": ("GN",)}, "talkers are two"),
        ({"rate_hz": 0.0}, "0.1 to 10 Hz"),
        ({"rate_hz": 25.0}, "0.1 to 10 Hz"),
        ({"sentences": ("RMC", "XYZ")}, "'XYZ' is no sentence"),
        ({"baud": 1234}, "is no baud"),
        ({"systems": ()}, "at least one"),
        ({"systems": ("GPS", "GPS")}, "each once"),
        ({"start_utc": START.replace(tzinfo=None)}, "in UTC"),
    ],
)
def test_wrong_settings_are_refused_with_a_sentence(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        ReceiverSettings(**{"seed": 1, "start_utc": START, **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"jammed": 1.5},
        {"canyon": -0.1},
        {"corrupt_share": 2},
        {"multipath_m": -1},
        {"noise_bytes": 100_000},
        {"spoof_jump_m": (1.0,)},
        {"spoof_drag_mps": (float("nan"), 0.0)},
    ],
)
def test_wrong_faults_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        ReceiverFaults(**wrong)
