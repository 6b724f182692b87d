"""UTC from the receiver, else from the network, else from nobody."""

import calendar
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import UtcClock, utc_ms
from wire.records import TimeQuality

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOON_MS = calendar.timegm(NOON.timetuple()) * 1000

anywhere = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
aware = st.datetimes(timezones=anywhere).filter(lambda time: 1 < time.year < 9999)
mono = st.floats(0, 1e9, allow_nan=False)


def test_nobody_has_told_the_time() -> None:
    assert UtcClock().at(12.5) == (None, TimeQuality.NONE)


def test_the_receiver_ties_the_monotonic_clock_to_utc() -> None:
    clock = UtcClock().told_by_gnss(NOON, 100.0)
    assert clock.at(100.0) == (NOON_MS, TimeQuality.GNSS)
    assert clock.at(103.25) == (NOON_MS + 3_250, TimeQuality.GNSS)
    assert clock.at(99.0) == (NOON_MS - 1_000, TimeQuality.GNSS)


def test_the_newest_epoch_counts() -> None:
    clock = UtcClock().told_by_gnss(NOON, 100.0).told_by_gnss(NOON + timedelta(milliseconds=700), 100.5)
    assert clock.at(100.5) == (NOON_MS + 700, TimeQuality.GNSS)


def test_a_disciplined_system_clock_serves_while_there_is_no_receiver() -> None:
    assert UtcClock().told_by_ntp(1_000_000).at(2.0) == (1_002_000, TimeQuality.NTP)
    assert UtcClock().told_by_ntp(0).at(2.0) == (2_000, TimeQuality.NTP)


def test_the_receiver_counts_more_than_the_network_whichever_came_last() -> None:
    for clock in (
        UtcClock().told_by_gnss(NOON, 100.0).told_by_ntp(5),
        UtcClock().told_by_ntp(5).told_by_gnss(NOON, 100.0),
    ):
        assert clock.at(101.0) == (NOON_MS + 1_000, TimeQuality.GNSS)


def test_a_system_clock_that_lost_its_discipline_is_not_believed_any_more() -> None:
    assert UtcClock().told_by_ntp(5).told_by_ntp(None).at(1.0) == (None, TimeQuality.NONE)
    with_gnss = UtcClock().told_by_gnss(NOON, 1.0).told_by_ntp(5).told_by_ntp(None)
    assert with_gnss.at(1.0) == (NOON_MS, TimeQuality.GNSS)


def test_milliseconds_are_cut_and_not_rounded() -> None:
    assert utc_ms(NOON.replace(microsecond=999_999)) == NOON_MS + 999
    assert utc_ms(datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)) == -1
    assert utc_ms(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@given(aware)
def test_any_aware_time_is_exact_to_the_millisecond(time: datetime) -> None:
    assert utc_ms(time) == calendar.timegm(time.utctimetuple()) * 1000 + time.microsecond // 1000


@given(aware, mono)
def test_at_the_instant_of_the_epoch_the_clock_says_the_epoch(time: datetime, mono_s: float) -> None:
    assert UtcClock().told_by_gnss(time, mono_s).at(mono_s) == (utc_ms(time), TimeQuality.GNSS)
