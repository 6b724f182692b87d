"""What leaves the car: order, nothing twice, all around events, the error bound of thin, bounded memory."""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sampling import (
    MOST_IN_RING,
    MOST_LEFT_OUT,
    MOST_LEFT_OUT_S,
    OBD_STEPS,
    PAUSE_S,
    RING_S,
    Sampler,
    SamplingSettings,
)
from edge_agent.settings import ConfigError, read_section
from wire.codec import COLUMNS, on_wire
from wire.records import Sample, TimeQuality

FULL, THIN = SamplingSettings(), SamplingSettings(profile="thin")
LAT, LON = 31.8187242, 117.2257202
METRES = 111_194.9


def sample(mono_s: float, north_m: float | None = 0.0, east_m: float = 0.0, **other: Any) -> Sample:
    """A sample as it is on the wire; without a position where `north_m` is None."""
    where: dict[str, Any] = {"fix_quality": 0}
    if north_m is not None:
        east_deg = east_m / METRES / math.cos(math.radians(LAT))
        where = {"lat_deg": LAT + north_m / METRES, "lon_deg": LON + east_deg, "fix_quality": 1}
    return on_wire(Sample(mono_s, round(mono_s * 1000), TimeQuality.GNSS, **(where | other)))


def drive(start_s: float, count: int, **other: Any) -> list[Sample]:
    """Straight north at 15 m/s."""
    return [sample(start_s + i, 15.0 * (start_s + i), **other) for i in range(count)]


def given_out(sampler: Sampler, samples: Iterable[Sample], moving: bool) -> list[Sample]:
    return [out for each in samples for out in sampler.on_sample(each, moving, each.mono_s)]


def test_full_while_driving_gives_every_sample_at_once() -> None:
    sampler = Sampler(FULL)
    for each in drive(0.0, 100):
        assert sampler.on_sample(each, True, each.mono_s) == (each,)
        assert sampler.pending() == ()
    assert sampler.finish() == ()


def test_parked_gives_a_heartbeat_in_a_quarter_of_an_hour() -> None:
    sampler = Sampler(FULL)
    last = given_out(sampler, drive(0.0, 10), moving=True)[-1]
    out = given_out(sampler, (sample(10.0 + i, 150.0) for i in range(3600)), moving=False)
    assert [each.mono_s for each in out] == [last.mono_s + 900 * n for n in (1, 2, 3)]
    assert len(sampler.pending()) <= RING_S + 1


def test_a_heartbeat_does_not_wait_for_the_next_sample() -> None:
    sampler = Sampler(FULL)
    only = sample(5.0)
    assert sampler.on_sample(only, False, 5.0) == ()
    assert sampler.on_tick(65.0) == ()
    assert sampler.on_tick(65.5) == (only,)


def test_setting_off_gives_the_minute_before_it_whole() -> None:
    sampler = Sampler(FULL)
    parked = [sample(float(i)) for i in range(300)]
    before = given_out(sampler, parked, moving=False)
    first = sample(300.0, 3.0)
    out = sampler.on_sample(first, True, 300.0)
    assert out == (*parked[-61:], first)
    assert len(before) == 1, "the first of all"


def test_an_event_while_parked_gives_the_minute_before_and_after_it_at_full_rate() -> None:
    sampler = Sampler(FULL)
    parked = [sample(float(i)) for i in range(600)]
    out = given_out(sampler, parked[:300], moving=False)
    out += sampler.on_event(299.0, 60.0)
    out += given_out(sampler, parked[300:], moving=False)
    out += sampler.finish()
    assert [each for each in out if 239 <= each.mono_s <= 359] == parked[239:360]
    assert len(out) == 1 + 121


def test_a_shorter_window_decides_about_the_rest_as_ever() -> None:
    sampler = Sampler(THIN)
    straight = drive(0.0, 200)
    out = given_out(sampler, straight, moving=True)
    out += sampler.on_event(199.0, 10.0)
    assert [each for each in out if each.mono_s >= 189] == straight[189:]
    assert len([each for each in out if each.mono_s < 189]) < 10
    assert sampler.on_event(199.0, 60.0) == (), "nothing twice"


def test_thin_on_a_straight_road_keeps_one_sample_a_minute() -> None:
    sampler = Sampler(THIN)
    out = [*given_out(sampler, drive(0.0, 601), moving=True), *sampler.finish()]
    assert [each.mono_s for each in out] == [60.0 * n for n in range(11)]


def test_thin_keeps_both_sides_of_a_pause_and_every_change_of_what_is_known() -> None:
    sampler = Sampler(THIN)
    samples = [*drive(0.0, 10), *drive(30.0, 10), *(sample(40.0 + i, None) for i in range(10)), *drive(50.0, 10)]
    out = [*given_out(sampler, samples, moving=True), *sampler.finish()]
    assert [each.mono_s for each in out] == [0, 9, 30, 39, 40, 50, 59]


@pytest.mark.parametrize(("name", "step"), OBD_STEPS.items())
def test_thin_keeps_what_differs_by_more_than_a_step(name: str, step: float) -> None:
    level = 50.0 if step else 1
    for change, kept in ((step, 2), (2 * step + (step == 0), 3)):
        sampler = Sampler(THIN)
        samples = [sample(float(i), 0.0, **{name: level + (change if i >= 5 else 0)}) for i in range(10)]
        out = [*given_out(sampler, samples, moving=True), *sampler.finish()]
        assert len(out) == kept, (name, change)
        assert out[0] == samples[0]
        assert out[-1] == samples[-1]


def test_each_obd_value_has_its_step_and_none_is_finer_than_the_wire() -> None:
    wire = {column.name: 1 / column.steps_per_unit for column in COLUMNS}
    names = list(wire)
    assert list(OBD_STEPS) == names[names.index("obd_speed_kmh") : names.index("dtc_count") + 1]
    assert all(step == 0 or step >= wire[name] for name, step in OBD_STEPS.items())


def test_other_settings_take_what_waits_along() -> None:
    sampler = Sampler(THIN)
    straight = drive(0.0, 100)
    out = given_out(sampler, straight[:50], moving=True)
    sampler.change(FULL)
    out += given_out(sampler, straight[50:], moving=True)
    assert out == straight


def test_what_waits_is_bounded_even_at_a_mad_rate() -> None:
    for settings in (FULL, THIN):
        sampler = Sampler(settings)
        for i in range(5000):
            each = sample(i / 100, 0.0)
            sampler.on_sample(each, settings is THIN, each.mono_s)
            assert len(sampler.pending()) <= MOST_IN_RING + MOST_LEFT_OUT


def test_the_settings_are_bounded() -> None:
    assert read_section(SamplingSettings, {"profile": "thin", "heartbeat_s": 600}, "[sampling]").heartbeat_s == 600
    for wrong in ({"profile": "none"}, {"heartbeat_s": 1}, {"track_within_m": 0.1}):
        with pytest.raises(ConfigError):
            read_section(SamplingSettings, wrong, "[sampling]")


@dataclass(frozen=True)
class Step:
    """One second of a made-up life."""

    pause_s: float
    turn_m: tuple[float, float]
    moving: bool
    known: dict[str, Any]
    blind: bool
    event_window_s: float | None


steps = st.builds(
    Step,
    pause_s=st.sampled_from([1.0] * 12 + [0.5, 2.0, 4.0, 45.0]),
    turn_m=st.tuples(st.sampled_from([0.0, 0.0, 0.0, 2.0, 8.0, -5.0]), st.sampled_from([0.0, 0.0, 0.0, 1.0, 15.0])),
    moving=st.sampled_from([True] * 6 + [False]),
    known=st.fixed_dictionaries(
        {},
        optional={
            "obd_speed_kmh": st.sampled_from([50.0, 51.0, 54.0]),
            "engine_load_pct": st.sampled_from([30.2, 30.6, 31.0]),
        },
    ),
    blind=st.sampled_from([False] * 15 + [True]),
    event_window_s=st.sampled_from([None] * 30 + [0.0, 20.0, 60.0]),
)
runs = st.lists(st.tuples(st.integers(1, 25), steps), min_size=1, max_size=25)


@given(runs, st.sampled_from([FULL, THIN, replace(THIN, track_within_m=20.0, heartbeat_s=60)]))
def test_order_completeness_and_the_error_bound(run: list[tuple[int, Step]], settings: SamplingSettings) -> None:
    sampler = Sampler(settings)
    taken: list[tuple[Sample, bool]] = []
    out: list[Sample] = []
    events: list[tuple[float, float]] = []
    mono_s, north_m, east_m = 100.0, 0.0, 0.0
    for times, step in run:
        for time in range(times):
            mono_s += step.pause_s
            north_m, east_m = north_m + step.turn_m[0] + 10 * step.moving, east_m + step.turn_m[1]
            each = sample(mono_s, None if step.blind else north_m, east_m, **step.known)
            taken.append((each, step.moving))
            out += sampler.on_sample(each, step.moving, mono_s)
            if step.event_window_s is not None and time == 0:
                events.append((mono_s, step.event_window_s))
                out += sampler.on_event(mono_s, step.event_window_s)
            waits = sampler.pending()
            assert [*out, *waits] == sorted({*out, *waits}, key=lambda each: each.mono_s), "in order, nothing twice"
            assert all(later.mono_s > out[-1].mono_s for later in waits if out)
    out += sampler.finish()
    assert sampler.pending() == ()
    _in_order_and_nothing_made_up(out, [each for each, _ in taken])
    _complete_around(events, out, [each for each, _ in taken])
    if settings.profile == "full":
        assert {each.mono_s for each, moving in taken if moving} <= {each.mono_s for each in out}
    _within_bound(out, taken, settings.track_within_m)


def _in_order_and_nothing_made_up(out: list[Sample], taken: list[Sample]) -> None:
    times = [each.mono_s for each in out]
    assert times == sorted(set(times))
    assert set(out) <= set(taken)


def _complete_around(events: list[tuple[float, float]], out: list[Sample], taken: list[Sample]) -> None:
    kept = {each.mono_s for each in out}
    for at_s, window_s in events:
        around = [each.mono_s for each in taken if at_s - window_s <= each.mono_s <= at_s + RING_S]
        assert set(around) <= kept


def _within_bound(out: list[Sample], taken: list[tuple[Sample, bool]], within_m: float) -> None:
    """Independent of the code: its own metres, by the arithmetic of the docstring."""
    times = [each.mono_s for each in out]
    for place, (each, moving) in enumerate(taken):
        if not moving or each.mono_s in set(times):
            continue
        after = bisect_right(times, each.mono_s)
        assert 0 < after < len(times), "what is left out lies between two that were kept"
        before, later = out[after - 1], out[after]
        assert each.mono_s - before.mono_s <= MOST_LEFT_OUT_S
        assert each.mono_s - taken[place - 1][0].mono_s <= PAUSE_S
        assert (each.lat_deg is None) == (before.lat_deg is None)
        if each.lat_deg is not None:
            share = (each.mono_s - before.mono_s) / (later.mono_s - before.mono_s)
            (lat, lon), (lat_after, lon_after), (lat_now, lon_now) = map(_place, (before, later, each))
            north_deg = lat_now - lat - share * (lat_after - lat)
            east_deg = (lon_now - lon - share * (lon_after - lon)) * math.cos(math.radians(lat))
            assert math.hypot(north_deg, east_deg) * METRES <= within_m * 1.001
        for name, step in OBD_STEPS.items():
            kept, now = getattr(before, name), getattr(each, name)
            assert (kept is None) == (now is None)
            assert kept is None or abs(now - kept) <= step + 0.11


def _place(each: Sample) -> tuple[float, float]:
    assert each.lat_deg is not None
    assert each.lon_deg is not None
    return each.lat_deg, each.lon_deg
