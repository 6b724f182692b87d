"""Epochs and readings → one sample a second: the pace, what is joined to it, and what is left out."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.car.readings import READINGS, Reading
from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.sample import ALIVE_EVERY_S, FROM_READINGS, MIN_SPACING_MS, NO_EPOCH_S, Fuser
from edge_agent.timing.clock import Tie, UtcClock
from wire.records import PositionSource, Sample, TimeQuality

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T0_MS = 1_795_435_200_000
UNKNOWN = UtcClock(plays_recording=True)
OBD_FIELDS = tuple(FROM_READINGS)
BELIEVABLE = {"mil_on": 1.0, "coolant_temp_c": 88.0, "module_voltage_v": 13.9, "adapter_voltage_v": 13.2}


def fix(time_ms: int | None = T0_MS, **other: Any) -> Fix:
    values: dict[str, Any] = {
        "lat_deg": 31.8187242,
        "lon_deg": 117.2257202,
        "alt_m": 37.5,
        "speed_mps": 5.14,
        "course_deg": 90.0,
        "fix_quality": 1,
        "satellites_used": 9,
        "hdop": 0.8,
    }
    time_utc = None if time_ms is None else EPOCH + timedelta(milliseconds=time_ms)
    return Fix(time_utc, None, **(values | other))


def no_fix(time_ms: int | None = None) -> Fix:
    nothing = dict.fromkeys(("lat_deg", "lon_deg", "alt_m", "speed_mps", "course_deg", "satellites_used", "hdop"))
    return fix(time_ms, **nothing, fix_quality=0)


def fed(fuser: Fuser, epoch: Fix, mono_s: float, clock: UtcClock) -> Sample | None:
    """As the pipeline does it: the clock hears of the epoch first."""
    if epoch.time_utc is not None:
        clock = clock.told_by_gnss(epoch.time_utc, mono_s)
    return fuser.on_fix(epoch, mono_s, clock)


def reading(name: str, mono_s: float, value: float | None = None) -> Reading:
    return Reading(name, BELIEVABLE.get(name, 7.0) if value is None else value, mono_s)


def times_kept(times_ms: list[int]) -> list[int | None]:
    """Which epochs become samples, by a receiver that hands each over at once."""
    fuser = Fuser()
    samples = [fed(fuser, fix(time_ms), (time_ms - T0_MS) / 1000, UNKNOWN) for time_ms in times_ms]
    return [sample.time_utc_ms for sample in samples if sample]


def obd_of(sample: Sample | None) -> dict[str, Any]:
    assert sample is not None
    return {name: getattr(sample, name) for name in OBD_FIELDS if getattr(sample, name) is not None}


# The pace


def test_a_sample_holds_its_epoch_as_the_wire_carries_it() -> None:
    assert fed(Fuser(), fix(lat_deg=31.81872420123, lon_deg=-117.0, hdop=0.804), 3.004, UNKNOWN) == Sample(
        mono_s=3.0,
        time_utc_ms=T0_MS,
        time_quality=TimeQuality.GNSS,
        lat_deg=31.8187242,
        lon_deg=-117.0,
        alt_m=37.5,
        speed_mps=5.14,
        course_deg=90.0,
        fix_quality=1,
        satellites_used=9,
        hdop=0.8,
    )


def test_each_epoch_of_a_1_hz_receiver_becomes_a_sample() -> None:
    times_ms = [T0_MS + 1000 * n for n in range(60)]
    assert times_kept(times_ms) == times_ms


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=50))
def test_no_epoch_of_a_1_hz_receiver_that_wavers_by_30_ms_is_dropped(wavering_ms: list[int]) -> None:
    times_ms = [T0_MS + 1000 * n + off for n, off in enumerate(wavering_ms)]
    assert times_kept(times_ms) == times_ms


@given(st.lists(st.integers(-30, 30), min_size=2, max_size=50))
def test_nor_before_it_has_told_the_date(wavering_ms: list[int]) -> None:
    fuser = Fuser()
    samples = [fed(fuser, fix(None), n + off / 1000, UNKNOWN) for n, off in enumerate(wavering_ms)]
    assert None not in samples


@pytest.mark.parametrize("rate_hz", [2, 4, 5, 8, 10])
@pytest.mark.parametrize("begin_ms", [0, 300, 900])
def test_a_faster_receiver_is_thinned_to_the_first_epoch_of_each_second(rate_hz: int, begin_ms: int) -> None:
    times_ms = [T0_MS + begin_ms + n * 1000 // rate_hz for n in range(20 * rate_hz)]
    assert times_kept(times_ms) == [T0_MS + begin_ms + 1000 * n for n in range(20)]


@given(st.lists(st.integers(-10, 10), min_size=100, max_size=100))
def test_a_10_hz_receiver_that_wavers_still_gives_one_a_second(wavering_ms: list[int]) -> None:
    kept = times_kept([T0_MS + 100 * n + off for n, off in enumerate(wavering_ms)])
    assert len(kept) == 10


@pytest.mark.parametrize("rate_hz", [5, 10])
def test_a_faster_receiver_is_thinned_before_it_has_told_the_date(rate_hz: int) -> None:
    fuser = Fuser()
    samples = [fed(fuser, fix(None), n / rate_hz, UNKNOWN) for n in range(20 * rate_hz)]
    assert [sample.mono_s for sample in samples if sample] == [float(n) for n in range(20)]


def test_the_spacing_that_divides_two_seconds() -> None:
    assert times_kept([T0_MS, T0_MS + MIN_SPACING_MS - 1]) == [T0_MS]
    assert times_kept([T0_MS, T0_MS + MIN_SPACING_MS]) == [T0_MS, T0_MS + MIN_SPACING_MS]


def test_the_same_epoch_again_is_no_second_sample() -> None:
    fuser = Fuser()
    assert fed(fuser, fix(T0_MS), 1.0, UNKNOWN)
    assert fed(fuser, fix(T0_MS, lat_deg=31.9), 1.0, UNKNOWN) is None
    assert fed(fuser, fix(T0_MS), 700.0, UNKNOWN) is None
    assert fed(fuser, fix(T0_MS + 1000), 701.0, UNKNOWN)


def test_a_clock_that_jumps_back_keeps_its_samples() -> None:
    back_ms = T0_MS - 1024 * 7 * 86_400_000
    times_ms = [T0_MS, T0_MS + 1000, back_ms, back_ms + 1000, back_ms + 2000, T0_MS + 2000]
    assert times_kept(times_ms) == times_ms
    assert times_kept([T0_MS, T0_MS - 1]) == [T0_MS, T0_MS - 1]


def test_epochs_that_come_in_one_lump_are_told_apart_by_their_own_time() -> None:
    fuser = Fuser()
    samples = [fed(fuser, fix(T0_MS + 1000 * n), 50.0, UNKNOWN) for n in range(10)]
    assert [sample.time_utc_ms for sample in samples if sample] == [T0_MS + 1000 * n for n in range(10)]


def test_an_epoch_without_a_date_has_the_time_of_the_unit() -> None:
    sample = fed(Fuser(), fix(None), 10.0, UtcClock(ntp=Tie(T0_MS)))
    assert sample
    assert (sample.time_utc_ms, sample.time_quality) == (T0_MS + 10_000, TimeQuality.NTP)
    sample = fed(Fuser(), fix(None), 10.0, UNKNOWN)
    assert sample
    assert (sample.time_utc_ms, sample.time_quality) == (None, TimeQuality.NONE)


def test_an_epoch_that_the_clock_does_not_believe_has_the_clocks_time() -> None:
    clock = UtcClock().told_by_gnss(EPOCH + timedelta(milliseconds=T0_MS), 0.0)
    sample = fed(Fuser(), fix(T0_MS + 3_600_000), 1.0, clock)
    assert sample
    assert (sample.time_utc_ms, sample.time_quality) == (T0_MS + 1000, TimeQuality.GNSS)


@pytest.mark.parametrize(
    ("source", "accuracy_m", "told"),
    [
        (FixSource.GNSS, None, (None, None)),
        (FixSource.HELD, None, (PositionSource.HELD, None)),
        (FixSource.CELL, 1200.0, (PositionSource.CELL, 1200.0)),
        (FixSource.WIFI, 60.0, (PositionSource.WIFI, 60.0)),
    ],
)
def test_where_a_position_came_from_is_told(
    source: FixSource, accuracy_m: float | None, told: tuple[PositionSource | None, float | None]
) -> None:
    sample = fed(Fuser(), fix(source=source, accuracy_m=accuracy_m), 0.0, UNKNOWN)
    assert sample
    assert (sample.position_source, sample.position_accuracy_m) == told


# What the car says


@pytest.mark.parametrize("field", OBD_FIELDS)
@pytest.mark.parametrize("by_tick", [False, True])
def test_a_reading_is_joined_while_it_is_fresh_and_never_after(field: str, by_tick: bool) -> None:
    name = FROM_READINGS[field][0]
    limit_s = READINGS[name].stale_after_s

    def sample_at(mono_s: float) -> dict[str, Any]:
        fuser = Fuser()
        fuser.on_reading(reading(name, 100.0))
        return obd_of(fuser.on_tick(mono_s, UNKNOWN) if by_tick else fed(fuser, fix(), mono_s, UNKNOWN))

    assert sample_at(100.0) == {field: BELIEVABLE.get(name, 7.0)}
    assert sample_at(100.0 + limit_s) == {field: BELIEVABLE.get(name, 7.0)}
    assert sample_at(100.01 + limit_s) == {}


def test_every_field_of_the_car_has_its_reading() -> None:
    fuser = Fuser()
    for names in FROM_READINGS.values():
        fuser.on_reading(reading(names[0], 0.0))
    gnss = {"lat_deg", "lon_deg", "alt_m", "speed_mps", "course_deg", "fix_quality", "satellites_used", "hdop"}
    timing = {"mono_s", "time_utc_ms", "time_quality"}
    origin = {"position_source", "position_accuracy_m"}
    assert obd_of(fed(fuser, fix(), 0.0, UNKNOWN)).keys() == set(Sample.__slots__) - gnss - timing - origin
    assert {name for names in FROM_READINGS.values() for name in names} <= READINGS.keys()


def test_the_newest_value_counts_and_values_age_one_by_one() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("engine_rpm", 0.0, 800.0))
    fuser.on_reading(reading("speed_kmh", 3.0, 40.0))
    fuser.on_reading(reading("engine_rpm", 4.0, 1500.0))
    assert obd_of(fed(fuser, fix(T0_MS), 5.0, UNKNOWN)) == {"engine_rpm": 1500.0, "obd_speed_kmh": 40.0}
    assert obd_of(fed(fuser, fix(T0_MS + 3500), 8.5, UNKNOWN)) == {"engine_rpm": 1500.0}


def test_a_stale_value_is_never_repeated_while_the_adapter_is_silent() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("speed_kmh", 0.0, 40.0))
    samples = [fed(fuser, fix(T0_MS + 1000 * n), float(n), UNKNOWN) for n in range(12)]
    told = [sample.obd_speed_kmh for sample in samples if sample]
    assert told == [40.0] * 6 + [None] * 6


def test_flags_and_counts_are_whole_numbers() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("mil_on", 0.0, 1.0))
    fuser.on_reading(reading("dtc_count", 0.0, 3.0))
    sample = fed(fuser, fix(), 0.0, UNKNOWN)
    assert sample
    assert [(type(value), value) for value in (sample.mil_on, sample.dtc_count)] == [(int, 1), (int, 3)]


def test_zero_is_a_value() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("speed_kmh", 0.0, 0.0))
    assert obd_of(fed(fuser, fix(), 0.0, UNKNOWN)) == {"obd_speed_kmh": 0.0}


def test_the_adapters_own_voltage_stands_in_for_the_computers() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("adapter_voltage_v", 0.0, 13.2))
    assert obd_of(fed(fuser, fix(T0_MS), 0.0, UNKNOWN)) == {"module_voltage_v": 13.2}
    fuser.on_reading(reading("module_voltage_v", 1.0, 13.9))
    fuser.on_reading(reading("adapter_voltage_v", 20.0, 13.1))
    assert obd_of(fed(fuser, fix(T0_MS + 20_000), 20.0, UNKNOWN)) == {"module_voltage_v": 13.9}
    assert obd_of(fed(fuser, fix(T0_MS + 30_000), 30.0, UNKNOWN)) == {"module_voltage_v": 13.1}


def test_without_an_adapter_a_sample_is_the_receivers_alone() -> None:
    fuser = Fuser()
    assert [obd_of(fed(fuser, fix(T0_MS + 1000 * n), float(n), UNKNOWN)) for n in range(5)] == [{}] * 5


# Without epochs, and without positions


def test_without_a_receiver_the_adapter_sets_the_pace() -> None:
    fuser = Fuser()
    samples = []
    for n in range(10):
        fuser.on_reading(reading("speed_kmh", float(n), 10.0 * n))
        samples.append(fuser.on_tick(n + 0.5, UtcClock(ntp=Tie(T0_MS))))
    assert samples == [
        Sample(n + 0.5, T0_MS + 1000 * n + 500, TimeQuality.NTP, obd_speed_kmh=10.0 * n) for n in range(10)
    ]


def test_the_adapter_takes_over_when_epochs_stay_away() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("speed_kmh", 10.0))
    assert fed(fuser, fix(), 10.0, UNKNOWN)
    assert fuser.on_tick(10.0, UNKNOWN) is None
    assert fuser.on_tick(10.0 + NO_EPOCH_S - 0.01, UNKNOWN) is None
    assert fuser.on_tick(10.0 + NO_EPOCH_S, UNKNOWN)


def test_an_epoch_of_the_same_second_holds_the_adapter_back_no_longer() -> None:
    """A receiver whose clock stands still sets no pace."""
    fuser = Fuser()
    fuser.on_reading(reading("fuel_level_pct", 0.0))
    told = []
    for n in range(10):
        told.append(fed(fuser, fix(T0_MS), float(n), UNKNOWN))
        told.append(fuser.on_tick(n + 0.5, UNKNOWN))
    assert sum(sample is not None for sample in told) >= 9


def test_with_neither_the_unit_says_that_it_is_alive() -> None:
    fuser = Fuser()
    samples = [fuser.on_tick(float(n), UNKNOWN) for n in range(61)]
    assert [sample.mono_s for sample in samples if sample] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    assert fuser.on_tick(60.0 + ALIVE_EVERY_S - 0.01, UNKNOWN) is None
    assert fuser.on_tick(60.0 + ALIVE_EVERY_S, UNKNOWN) == Sample(70.0, None, TimeQuality.NONE)


def test_epochs_without_a_position_say_so_every_ten_seconds() -> None:
    fuser = Fuser()
    samples = [fed(fuser, no_fix(), float(n), UNKNOWN) for n in range(31)]
    assert [sample.mono_s for sample in samples if sample] == [0.0, 10.0, 20.0, 30.0]
    assert {sample.fix_quality for sample in samples if sample} == {0}
    assert fed(fuser, no_fix(), 30.0 + ALIVE_EVERY_S - 0.01, UNKNOWN) is None


def test_also_a_fast_receiver_and_one_that_knows_the_time() -> None:
    fuser = Fuser()
    samples = [fed(fuser, no_fix(T0_MS + 100 * n), n / 10, UNKNOWN) for n in range(301)]
    assert [sample.time_utc_ms for sample in samples if sample] == [T0_MS + 10_000 * n for n in range(4)]


def test_ticks_and_epochs_without_a_position_share_the_ten_seconds() -> None:
    fuser = Fuser()
    told = []
    for n in range(31):
        told += [fed(fuser, no_fix(), float(n), UNKNOWN), fuser.on_tick(n + 0.5, UNKNOWN)]
    assert [sample.mono_s for sample in told if sample] == [0.0, 10.0, 20.0, 30.0]


def test_while_the_car_talks_an_epoch_without_a_position_is_a_sample() -> None:
    fuser = Fuser()
    fuser.on_reading(reading("fuel_level_pct", 0.0))
    samples = [fed(fuser, no_fix(), float(n), UNKNOWN) for n in range(20)]
    assert all(samples)
    assert all(sample.lat_deg is None and sample.fuel_level_pct == 7.0 for sample in samples if sample)


def test_the_first_position_after_a_long_search_is_a_sample_at_once() -> None:
    fuser = Fuser()
    assert fed(fuser, no_fix(), 0.0, UNKNOWN)
    assert fed(fuser, no_fix(), 1.0, UNKNOWN) is None
    assert fed(fuser, fix(T0_MS), 2.0, UNKNOWN)
    assert fed(fuser, no_fix(T0_MS + 1000), 3.0, UNKNOWN) is None


@given(st.lists(st.integers(-5_000, 5_000), max_size=100))
def test_only_an_epoch_of_a_second_that_has_its_sample_is_dropped(steps_ms: list[int]) -> None:
    fuser, time_ms, last_ms = Fuser(), T0_MS, None
    for n, step_ms in enumerate(steps_ms):
        time_ms += step_ms
        sample = fed(fuser, fix(time_ms), float(n), UNKNOWN)
        assert (sample is None) == (last_ms is not None and 0 <= time_ms - last_ms < MIN_SPACING_MS)
        last_ms = sample.time_utc_ms if sample else last_ms
