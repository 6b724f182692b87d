"""The last known state: the newest by event time, whatever came first."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store.tables import vehicle_states
from server.watch.vehicle_state import FIX_FIELDS, FUTURE_TOLERANCE_MS, OBD_FIELDS, VehicleState
from tests.server.cars import NOW_MS, fold_samples, sample
from wire.records import Sample, TimeQuality

LIMIT_MS = NOW_MS + FUTURE_TOLERANCE_MS


def at(time_ms: int | None, **values: Any) -> Sample:
    return Sample(1.0, time_ms, TimeQuality.GNSS, **values)


def folded(*samples: Sample, now_ms: int = NOW_MS) -> VehicleState:
    return fold_samples(VehicleState(), samples, now_ms)


NOT_OBD = ("sample_time_ms", "fix_time_ms", *FIX_FIELDS, "samples", "future_samples")
OBD = ("obd_time_ms", *OBD_FIELDS)

some = st.sampled_from([None, 0, 1, 2])
measured = st.fixed_dictionaries(
    dict.fromkeys((*FIX_FIELDS, *OBD_FIELDS), some)
    | {"mil_on": st.sampled_from([None, 0, 1]), "position_source": st.sampled_from([None, 1, 2])}
)
times = st.none() | st.integers(NOW_MS - 20, NOW_MS) | st.sampled_from([0, LIMIT_MS, LIMIT_MS + 1, 2**50])


@st.composite
def histories(draw: st.DrawFn) -> list[Sample]:
    """Samples of different times, with any of their values unknown; some without time, some from the future."""
    moments = draw(st.lists(times, max_size=5, unique_by=lambda time_ms: object() if time_ms is None else time_ms))
    return [at(time_ms, **draw(measured)) for time_ms in moments]


def part(state: VehicleState, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(state, name) for name in names}


@pytest.mark.parametrize("names", [NOT_OBD, OBD], ids=["fix", "obd"])
@given(histories(), st.data())
def test_the_order_of_arrival_does_not_matter(
    names: tuple[str, ...], history: list[Sample], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history))
    assert part(folded(*shuffled), names) == part(folded(*history), names)


@given(histories(), st.integers(0, 5))
def test_neither_does_the_cut_into_batches(history: list[Sample], cut: int) -> None:
    assert fold_samples(folded(*history[:cut]), history[cut:], NOW_MS) == folded(*history)


def newest(samples: list[Sample], *names: str) -> Sample | None:
    """The newest sample that knows any of these."""
    knowing = [each for each in samples if any(getattr(each, name) is not None for name in names)]
    return max(knowing, key=lambda each: each.time_utc_ms or 0, default=None)


@pytest.mark.parametrize("names", [NOT_OBD, OBD], ids=["fix", "obd"])
@given(histories())
def test_the_state_is_that_of_the_newest(names: tuple[str, ...], history: list[Sample]) -> None:
    """Said once more, another way: of each kind of OBD value the newest, of positions the newest with all its own."""
    present = [each for each in history if each.time_utc_ms is not None and each.time_utc_ms <= LIMIT_MS]
    fix = newest(present, "lat_deg")
    told = {name: getattr(newest(present, name), name, None) for name in OBD_FIELDS}
    expected = VehicleState(
        sample_time_ms=getattr(newest(present, "time_utc_ms"), "time_utc_ms", None),
        fix_time_ms=getattr(fix, "time_utc_ms", None),
        obd_time_ms=getattr(newest(present, *OBD_FIELDS), "time_utc_ms", None),
        samples=len(history),
        future_samples=sum((each.time_utc_ms or 0) > LIMIT_MS for each in history),
        **{name: getattr(fix, name, None) for name in FIX_FIELDS},
        **told,
    )
    assert part(folded(*history), names) == part(expected, names)


def test_late_values_of_a_kind_fill_in_where_it_was_not_heard_since() -> None:
    """A value that is polled once a minute is not lost because the minute's batch came late."""
    fuel, speed = at(NOW_MS - 2, fuel_level_pct=40.0), at(NOW_MS - 1, obd_speed_kmh=50.0)
    assert folded(fuel, speed).fuel_level_pct == 40.0
    assert folded(speed, fuel).fuel_level_pct == 40.0
    assert folded(speed, fuel).obd_time_ms == NOW_MS - 1


def test_late_samples_do_not_move_the_vehicle_back() -> None:
    newest, late = sample(2, engine_rpm=2.0), sample(1, engine_rpm=1.0)
    assert folded(newest, late) == replace(folded(newest), samples=2)


@pytest.mark.parametrize(
    ("ahead_ms", "counted"), [(0, False), (FUTURE_TOLERANCE_MS, False), (FUTURE_TOLERANCE_MS + 1, True)]
)
def test_how_far_ahead_is_the_future(ahead_ms: int, counted: bool) -> None:
    ahead = at(NOW_MS + ahead_ms, lat_deg=1.0, lon_deg=1.0, engine_rpm=5.0)
    state = folded(ahead)
    assert state.future_samples == counted
    assert (state.fix_time_ms, state.obd_time_ms, state.sample_time_ms) == (
        (None,) * 3 if counted else (NOW_MS + ahead_ms,) * 3
    )
    assert folded(ahead, sample(1)).lat_deg == (sample(1).lat_deg if counted else 1.0)


def test_a_clock_may_be_five_minutes_ahead() -> None:
    assert FUTURE_TOLERANCE_MS == 300_000


def test_a_sample_from_the_future_does_not_become_the_present_when_its_time_has_come() -> None:
    ahead = at(LIMIT_MS + 1, lat_deg=1.0)
    later = fold_samples(folded(ahead), [sample(1)], LIMIT_MS + 10)
    assert later.lat_deg == sample(1).lat_deg


def test_a_fix_is_taken_whole_and_an_absent_one_not_at_all() -> None:
    fix = at(NOW_MS - 2, lat_deg=1.0, lon_deg=2.0, speed_mps=3.0, course_deg=4.0, hdop=0.9, satellites_used=9)
    bare = at(NOW_MS - 1, lat_deg=5.0, lon_deg=6.0)
    state = folded(fix, bare)
    assert [getattr(state, name) for name in FIX_FIELDS] == [getattr(bare, name) for name in FIX_FIELDS]
    state = folded(fix, at(NOW_MS - 1, speed_mps=9.0, satellites_used=0))  # a tunnel
    assert (state.lat_deg, state.speed_mps, state.fix_time_ms) == (1.0, 3.0, NOW_MS - 2)
    assert state.sample_time_ms == NOW_MS - 1


def test_the_equator_and_zero_are_values() -> None:
    state = folded(
        at(NOW_MS - 2, lat_deg=9.0, mil_on=1, engine_rpm=900.0), at(NOW_MS - 1, lat_deg=0.0, mil_on=0, engine_rpm=0.0)
    )
    assert (state.lat_deg, state.mil_on, state.engine_rpm) == (0.0, 0, 0.0)


def test_the_state_has_a_column_for_every_field() -> None:
    names = {field.name for field in fields(VehicleState)}
    assert names <= set(vehicle_states.c.keys())
    assert {*FIX_FIELDS, *OBD_FIELDS} <= names & {field.name for field in fields(Sample)}
