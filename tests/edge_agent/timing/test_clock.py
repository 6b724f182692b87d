"""UTC from the receiver, else from the network, else from nobody."""

import calendar
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.timing.clock import (
    CONFIRM_S,
    CONFIRM_TIMES,
    HORIZON_MS,
    JUMP_MS,
    SLACK_MS,
    SystemTime,
    UtcClock,
    utc_ms,
)
from wire.records import TimeQuality

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
NOON_MS = calendar.timegm(NOON.timetuple()) * 1000

anywhere = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
aware = st.datetimes(timezones=anywhere).filter(lambda time: 1 < time.year < 9999)
mono = st.floats(0, 1e9, allow_nan=False)
jumps = st.lists(st.integers(-(10**12), 10**12), max_size=20)
GNSS, NTP, RTC, FLOOR, NONE = TimeQuality


def system(offset_ms: int, *, disciplined: bool = False, rtc: bool = False) -> SystemTime:
    return SystemTime(offset_ms, disciplined, rtc)


def ntp(clock: UtcClock, offset_ms: int | None) -> UtcClock:
    """The clock after a look at a system clock that stands at this offset and is disciplined; None: it is not."""
    return clock.told_by_system(system(offset_ms or 0, disciplined=offset_ms is not None), 0.0)


def epochs(clock: UtcClock, offset_ms: int, times: int, every_s: float = 1.0, from_s: float = 0.0) -> UtcClock:
    """So many epochs whose times stand at this offset."""
    for n in range(times):
        mono_s = from_s + n * every_s
        told = NOON + timedelta(milliseconds=offset_ms - NOON_MS + round(mono_s * 1000))
        clock = clock.told_by_gnss(told, mono_s)
    return clock


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
    assert ntp(UtcClock(), 1_000_000).at(2.0) == (1_002_000, TimeQuality.NTP)
    assert ntp(UtcClock(), 0).at(2.0) == (2_000, TimeQuality.NTP)


def test_the_receiver_counts_more_than_the_network_whichever_came_last() -> None:
    for clock in (
        ntp(UtcClock().told_by_gnss(NOON, 100.0), NOON_MS - 99_000),
        ntp(UtcClock(), NOON_MS - 99_000).told_by_gnss(NOON, 100.0),
    ):
        assert clock.at(101.0) == (NOON_MS + 1_000, TimeQuality.GNSS)


def test_a_system_clock_that_lost_its_discipline_is_not_believed_any_more() -> None:
    assert ntp(ntp(UtcClock(), 5), None).at(1.0) == (None, TimeQuality.NONE)
    with_gnss = ntp(ntp(UtcClock().told_by_gnss(NOON, 1.0), 5), None)
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


# -- jumps


def test_an_epoch_that_wavers_moves_the_tie() -> None:
    clock = epochs(epochs(UtcClock(), NOON_MS, 1), NOON_MS + JUMP_MS, 1)
    assert (clock.gnss.offset_ms, clock.counts) == (NOON_MS + JUMP_MS, {})


@pytest.mark.parametrize("away_ms", [JUMP_MS + 1, -JUMP_MS - 1, 10**9, -(10**9)])
def test_a_jump_is_believed_when_it_lasts(away_ms: int) -> None:
    clock = epochs(UtcClock(), NOON_MS, 3)
    enough = max(CONFIRM_TIMES, round(CONFIRM_S) + 1)
    almost = epochs(clock, NOON_MS + away_ms, enough - 1)
    assert (almost.at(0.0), almost.counts) == ((NOON_MS, GNSS), {"clock.gnss_jumps": 1})
    assert epochs(clock, NOON_MS + away_ms, enough).at(0.0) == (NOON_MS + away_ms, GNSS)


def test_many_epochs_in_a_moment_confirm_nothing() -> None:
    clock = epochs(epochs(UtcClock(), NOON_MS, 1), NOON_MS + 10**6, 49, every_s=0.1)
    assert clock.gnss.offset_ms == NOON_MS
    assert epochs(clock, NOON_MS + 10**6, 1, from_s=5.0).gnss.offset_ms == NOON_MS + 10**6


def test_few_epochs_over_a_long_time_confirm_nothing() -> None:
    clock = epochs(epochs(UtcClock(), NOON_MS, 1), NOON_MS + 10**6, CONFIRM_TIMES - 1, every_s=60)
    assert clock.gnss.offset_ms == NOON_MS


def test_the_old_time_coming_back_ends_a_jump() -> None:
    clock = epochs(UtcClock(), NOON_MS, 1)
    for _ in range(3):
        clock = epochs(clock, NOON_MS + 10**9, 5)
        clock = epochs(clock, NOON_MS, 1)
    assert (clock.gnss.offset_ms, clock.counts) == (NOON_MS, {"clock.gnss_jumps": 3})


def test_jumps_that_disagree_do_not_confirm_each_other() -> None:
    clock = epochs(UtcClock(), NOON_MS, 1)
    for n in range(20):
        clock = epochs(clock, NOON_MS + (n + 1) * 10**6, 1, from_s=n)
    assert (clock.gnss.offset_ms, clock.counts["clock.gnss_jumps"]) == (NOON_MS, 20)


def test_a_first_epoch_is_measured_against_the_network() -> None:
    by_ntp = UtcClock().told_by_system(system(NOON_MS, disciplined=True), 0.0)
    assert epochs(by_ntp, NOON_MS + JUMP_MS, 1).at(0.0) == (NOON_MS + JUMP_MS, GNSS)
    spoofed = epochs(by_ntp, NOON_MS + 10**9, 1)
    assert (spoofed.at(0.0), spoofed.counts) == ((NOON_MS, NTP), {"clock.gnss_jumps": 1})
    assert epochs(by_ntp, NOON_MS + 10**9, 10).at(0.0) == (NOON_MS + 10**9, GNSS)


@given(jumps)
def test_a_recording_is_taken_as_it_comes(offsets: list[int]) -> None:
    clock = UtcClock(plays_recording=True)
    for n, offset_ms in enumerate(offsets):
        clock = epochs(clock, NOON_MS + offset_ms, 1, from_s=n)
        assert clock.at(float(n)) == (NOON_MS + offset_ms + n * 1000, GNSS)
    assert clock.counts == {}


@given(jumps)
def test_the_tie_is_always_something_that_was_told(offsets: list[int]) -> None:
    clock = UtcClock()
    for n, offset_ms in enumerate(offsets):
        clock = epochs(clock, NOON_MS + offset_ms, 1, from_s=n)
    told = {NOON_MS + offset_ms for offset_ms in offsets}
    assert clock.gnss.offset_ms in told or not offsets


# -- the system clock


def test_a_battery_backed_clock_serves_from_the_floor_on() -> None:
    clock = UtcClock().told_by_floor(NOON_MS, is_told=True)
    assert clock.told_by_system(system(NOON_MS, rtc=True), 0.0).at(1.0) == (NOON_MS + 1000, RTC)
    assert clock.told_by_system(system(NOON_MS - 1, rtc=True), 0.0).at(1.0) == (NOON_MS + 1000, FLOOR)
    assert clock.told_by_system(system(NOON_MS), 0.0).at(1.0) == (NOON_MS + 1000, FLOOR)


def test_the_network_counts_more_than_the_chip() -> None:
    clock = UtcClock().told_by_system(system(NOON_MS, disciplined=True, rtc=True), 0.0)
    assert clock.at(0.0) == (NOON_MS, NTP)
    clock = clock.told_by_system(system(NOON_MS + 50, rtc=True), 1.0)
    assert clock.at(0.0) == (NOON_MS + 50, RTC)


@pytest.mark.parametrize("vouches", [{"disciplined": True}, {"rtc": True}])
@pytest.mark.parametrize(("away_ms", "believed"), [(HORIZON_MS, True), (HORIZON_MS + 1, False)])
def test_a_system_clock_far_in_the_future_is_wrong(vouches: dict[str, bool], away_ms: int, believed: bool) -> None:
    clock = UtcClock().told_by_floor(NOON_MS, is_told=False).told_by_system(system(NOON_MS + away_ms, **vouches), 0.0)
    assert (clock.at(0.0)[1] is not NONE) == believed


@pytest.mark.parametrize(("away_ms", "believed"), [(-SLACK_MS, True), (-SLACK_MS - 1, False)])
def test_the_network_may_be_a_little_behind_the_floor(away_ms: int, believed: bool) -> None:
    clock = UtcClock().told_by_floor(NOON_MS, is_told=True)
    clock = clock.told_by_system(system(NOON_MS + away_ms, disciplined=True), 0.0)
    assert (clock.at(0.0)[1] is NTP) == believed


def test_a_system_clock_that_jumps_is_believed_when_it_stays() -> None:
    clock = UtcClock()
    for n, offset_ms in enumerate([NOON_MS] * 3 + [NOON_MS + 3_600_000] * 6):
        clock = clock.told_by_system(system(offset_ms, disciplined=True), float(n))
        held_ms = NOON_MS if n < 8 else NOON_MS + 3_600_000
        assert clock.at(0.0) == (held_ms, NTP)
    assert clock.counts == {"clock.system_jumps": 1}


def test_jumps_stay_counted_when_the_discipline_is_lost() -> None:
    clock = UtcClock().told_by_system(system(NOON_MS, disciplined=True), 0.0)
    clock = clock.told_by_system(system(0, disciplined=True), 1.0).told_by_system(system(0), 2.0)
    assert (clock.at(0.0), clock.counts) == ((None, NONE), {"clock.system_jumps": 1})


# -- the floor


def test_the_floor_is_the_last_resort_and_only_after_a_receipt() -> None:
    assert UtcClock().told_by_floor(NOON_MS, is_told=False).at(5.0) == (None, NONE)
    clock = UtcClock().told_by_floor(NOON_MS, is_told=True)
    assert clock.at(5.0) == (NOON_MS + 5000, FLOOR)
    assert clock.witness_ms(5.0) is None
    assert UtcClock().witness_ms(5.0) is None
    for better in (epochs(clock, NOON_MS, 1), clock.told_by_system(system(NOON_MS, rtc=True), 0.0)):
        assert better.witness_ms(5.0) == NOON_MS + 5000
