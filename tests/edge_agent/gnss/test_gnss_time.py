"""Week rollover: what is moved, by how much, what is not believed, and that no date locks the unit out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.gnss.gnss_time import (
    BEIDOU_CYCLE_WEEKS,
    BUILT_UTC,
    GPS_CYCLE_WEEKS,
    HORIZON,
    REASONS,
    SLACK,
    GnssTime,
    Repaired,
    cycle_weeks,
    repaired,
)
from edge_agent.gnss.nmea import Fix, NmeaReader

FLOOR = datetime(2026, 11, 23, 12, tzinfo=UTC)
GPS_CYCLE = timedelta(weeks=GPS_CYCLE_WEEKS)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fix(time_utc: datetime | None, talker: str | None = "GN") -> Fix:
    return Fix(time_utc, 1000, 31.8, 117.2, None, None, None, 1, 9, 0.8, date_talker=talker)


@pytest.mark.parametrize(
    ("said", "floor", "believed", "weeks"),
    [
        ("2026-11-23T12:00:00", FLOOR, "2026-11-23T12:00:00", 0),
        ("2026-11-22T12:00:00", FLOOR, "2026-11-22T12:00:00", 0),  # a day of slack
        ("2007-04-09T12:00:00", FLOOR, "2026-11-23T12:00:00", 1024),
        ("2007-04-08T12:00:00", FLOOR, "2026-11-22T12:00:00", 1024),
        ("1987-08-24T12:00:00", FLOOR, "2026-11-23T12:00:00", 2048),
        ("2016-06-01T00:00:00", FLOOR, "2036-01-16T00:00:00", 1024),
        ("1999-08-22T00:02:31", utc("2019-03-14"), "2019-04-07T00:02:31", 1024),  # april6_2019.log
        ("2019-04-07T00:02:31", utc("2019-03-14"), "2019-04-07T00:02:31", 0),
    ],
)
def test_a_time_before_the_floor_is_moved_by_whole_cycles(
    said: str, floor: datetime, believed: str, weeks: int
) -> None:
    assert repaired(utc(said), floor) == Repaired(utc(believed), weeks)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("2026-11-22T11:59:59", "before_floor"),  # more than the slack: a cycle would be 19 years ahead
        ("2020-02-07T00:00:00", "before_floor"),
        ("1999-08-22T00:00:00", "before_floor"),  # 2038 or a clock that was never set
        ("2036-09-16T12:00:01", "beyond_horizon"),
        ("2079-12-31T00:00:00", "beyond_horizon"),
        ("9999-12-31T23:59:59", "beyond_horizon"),
    ],
)
def test_what_no_cycle_explains_is_not_believed(said: str, reason: str) -> None:
    assert repaired(utc(said), FLOOR) == Repaired(None, 0, reason)
    assert reason in REASONS


def test_the_horizon_itself_is_believed() -> None:
    assert repaired(FLOOR + HORIZON, FLOOR) == Repaired(FLOOR + HORIZON)
    assert repaired(FLOOR + HORIZON - GPS_CYCLE, FLOOR) == Repaired(FLOOR + HORIZON, GPS_CYCLE_WEEKS)
    later = FLOOR + HORIZON + timedelta(seconds=1)
    assert repaired(later - GPS_CYCLE, FLOOR) == Repaired(None, 0, "before_floor")


def test_beidou_weeks_begin_anew_after_8192() -> None:
    assert [cycle_weeks(talker) for talker in ("BD", "GB", "GP", "GN", "GA", None)] == [
        8192,
        8192,
        1024,
        1024,
        1024,
        1024,
    ]
    floor = utc("2163-06-01")
    assert repaired(utc("2006-06-04T08:00:00"), floor, BEIDOU_CYCLE_WEEKS) == Repaired(
        utc("2163-06-05T08:00:00"), BEIDOU_CYCLE_WEEKS
    )
    # In 2026 the same date of a BeiDou receiver is a clock that was never set: adding 1,024 weeks would invent a time.
    assert repaired(utc("2007-04-09T12:00:00"), FLOOR, BEIDOU_CYCLE_WEEKS) == Repaired(None, 0, "before_floor")


times = st.datetimes(datetime(1980, 1, 1), datetime(2100, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


@given(times, times, st.sampled_from([GPS_CYCLE_WEEKS, BEIDOU_CYCLE_WEEKS]))
def test_a_believed_time_is_near_the_floor_and_whole_cycles_away(said: datetime, floor: datetime, cycle: int) -> None:
    result = repaired(said, floor, cycle)
    if result.time_utc is None:
        assert result.distrust in REASONS
        assert result.weeks_added == 0
        return
    assert result.time_utc - said == timedelta(weeks=result.weeks_added)
    assert result.weeks_added % cycle == 0
    assert result.weeks_added >= 0
    assert -SLACK <= result.time_utc - floor <= HORIZON
    assert result.weeks_added == 0 or said < floor - SLACK


@given(times, st.integers(1, 3), st.timedeltas(timedelta(0), HORIZON))
def test_every_rollover_of_a_true_time_is_undone(floor: datetime, cycles: int, since: timedelta) -> None:
    true = floor + since
    assert repaired(true - cycles * GPS_CYCLE, floor).time_utc == true


def test_a_spoofed_year_is_forgotten_with_the_spoofer() -> None:
    """Far beyond: no time. Within the horizon: believed, but the next true time counts as if nothing had been."""
    clock = GnssTime(FLOOR)
    true = FLOOR + timedelta(hours=1)
    said = [true, utc("2079-01-01"), true, utc("2035-01-01"), true, utc("2007-04-09T13:00:00"), utc("2020-01-01")]
    assert [clock.step(fix(each)).time_utc for each in said] == [
        true, None, true, utc("2035-01-01"), true, true, None
    ]  # fmt: skip
    assert clock.counts == {"beyond_horizon": 1, "repaired": 1, "before_floor": 1}


def test_what_is_not_believed_costs_only_the_time() -> None:
    unbelievable = fix(utc("2079-01-01"))
    result = GnssTime().step(unbelievable)
    assert (result.time_utc, result.time_of_day_ms, result.lat_deg) == (None, 1000, 31.8)
    undated = fix(None)
    assert GnssTime().step(undated) is undated


def test_the_floor_is_never_before_the_build_date_and_never_goes_back() -> None:
    clock = GnssTime(utc("1990-01-01"))
    assert clock.step(fix(BUILT_UTC - GPS_CYCLE)).time_utc == BUILT_UTC
    clock.raise_floor(utc("2030-01-01"))
    clock.raise_floor(utc("2028-01-01"))
    assert clock.step(fix(utc("2029-01-01"))).time_utc is None
    assert clock.step(fix(utc("2030-01-01") - GPS_CYCLE)).time_utc == utc("2030-01-01")


def test_the_talker_of_the_date_decides() -> None:
    clock = GnssTime(FLOOR)
    assert clock.step(fix(utc("2007-04-09T12:00:00"), "BD")).time_utc is None
    assert clock.step(fix(utc("2007-04-09T12:00:00"), "GN")).time_utc == FLOOR


@pytest.mark.shared
@pytest.mark.parametrize("log", ["april6_2019.log", "gp-320fw-2019-04-07-coldboot.log"])
def test_receivers_that_were_thrown_back_to_1999_are_in_2019(telemetry: Path, log: str) -> None:
    path = telemetry / "gpsd_nmea" / log
    if not path.exists():
        pytest.skip(f"no {path}")
    data = path.read_bytes()
    reader = NmeaReader()
    days = {
        repaired(each.time_utc, utc("2019-03-14"), cycle_weeks(each.date_talker)).time_utc.date().isoformat()  # type: ignore[union-attr]
        for each in reader.feed(data) + reader.flush()
        if each.time_utc is not None and each.lat_deg is not None
    }
    assert b",220899," in data
    assert days <= {"2019-04-06", "2019-04-07"}
    assert "2019-04-07" in days
