"""Records that were made before the unit knew the time: dated whichever comes first, once, and never back and forth."""

import hashlib
import json
from dataclasses import replace
from itertools import count, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from server.live import Arrival, Verdict, take
from server.store import history_rows, retiming_rows
from server.store.db import Store
from server.store.tables import batches, events, retimings, units
from server.watch.retiming import (
    DRIFT_PPM,
    ENROLMENT_TOLERANCE_MS,
    JUMP_MS,
    SOURCE_UNCERTAINTY_MS,
    WORST_DRIFT_PPM,
    Finding,
    Tie,
    Timing,
    dated,
    judge,
    span,
    telling,
    tie_of,
    timeless_in,
    times_of,
    timing,
)
from server.watch.vehicle_state import FUTURE_TOLERANCE_MS, OBD_FIELDS, VehicleState
from server.web.track_drawing import drawn
from server.web.twins import event_json, track_json
from tests.server.cars import NOW_MS, Car, add_car, fold_samples, put_into, sample
from tests.server.cars import told as read
from wire.codec import encode_body
from wire.records import Body, Event, Sample, TimeQuality

GNSS, NTP, RTC, FLOOR, NONE = TimeQuality
OFFSET_MS = NOW_MS - 3_600_000  # of `sample`
LATER_MS = NOW_MS + 60_000
TIE = Tie(OFFSET_MS, 5000, 1000, GNSS)


def timeless(at_s: float, quality: TimeQuality = NONE, **values: float) -> Sample:
    """`sample`, made before the unit knew the time; of quality FLOOR it claims one that is far off."""
    return replace(sample(at_s, **values), time_quality=quality, time_utc_ms=1 if quality is FLOOR else None)


def told(offset_ms: int, at_s: float, source: TimeQuality = GNSS) -> Sample:
    return Sample(at_s, round(at_s * 1000) + offset_ms, source)


# -- pure


def test_a_batch_ties_by_the_middle_of_its_best_source() -> None:
    rows = (told(OFFSET_MS - 900, 1), told(OFFSET_MS + 5, 2), told(OFFSET_MS + 90, 3), told(OFFSET_MS, 4, NTP))
    assert tie_of(read(*rows), NOW_MS, 0) == Tie(OFFSET_MS + 5, 2000, SOURCE_UNCERTAINTY_MS[GNSS], GNSS)
    assert tie_of(read(*rows[3:]), NOW_MS, 0) == Tie(OFFSET_MS, 4000, SOURCE_UNCERTAINTY_MS[NTP], NTP)


def test_an_event_ties_too() -> None:
    event = Event("unit_started", 7000, OFFSET_MS + 7000, NTP)
    assert tie_of(read(timeless(1), events=[event]), NOW_MS, 0) == Tie(OFFSET_MS, 7000, 1000, NTP)


@pytest.mark.parametrize("quality", [RTC, FLOOR, NONE])
def test_other_sources_tie_nothing(quality: TimeQuality) -> None:
    assert tie_of(read(replace(sample(1), time_quality=quality)), NOW_MS, 0) is None


def test_a_batch_without_records_ties_nothing() -> None:
    assert tie_of(read(), NOW_MS, 0) is None
    assert tie_of(read(Sample(1.0, None, GNSS)), NOW_MS, 0) is None


def test_a_tie_lies_between_enrolment_and_now() -> None:
    time_ms = OFFSET_MS + 1000
    body = read(sample(1))
    for arrived_ms, enrolled_ms, ties in (
        (time_ms - FUTURE_TOLERANCE_MS, 0, True),
        (time_ms - FUTURE_TOLERANCE_MS - 1, 0, False),
        (NOW_MS, time_ms + ENROLMENT_TOLERANCE_MS, True),
        (NOW_MS, time_ms + ENROLMENT_TOLERANCE_MS + 1, False),
    ):
        assert (tie_of(body, arrived_ms, enrolled_ms) is not None) == ties


def test_the_first_tie_holds_and_those_that_agree_change_nothing() -> None:
    assert judge(None, TIE) is Finding.FIRST
    most = JUMP_MS + 2000
    for away_ms, finding in ((0, Finding.AGREES), (most, Finding.AGREES), (most + 1, Finding.CONTRADICTS)):
        assert judge(TIE, replace(TIE, offset_ms=OFFSET_MS + away_ms)) is finding
        assert judge(TIE, replace(TIE, offset_ms=OFFSET_MS - away_ms)) is finding


def test_a_quartz_may_drift_between_two_ties() -> None:
    ten_days_ms = 864_000_000
    drift_ms = ten_days_ms * WORST_DRIFT_PPM // 1_000_000
    for away_ms, finding in ((0, Finding.AGREES), (1, Finding.CONTRADICTS)):
        later = Tie(OFFSET_MS + JUMP_MS + 2000 + drift_ms + away_ms, TIE.at_mono_ms + ten_days_ms, 1000, GNSS)
        assert judge(TIE, later) is finding


@pytest.mark.parametrize(
    ("held", "new", "finding"),
    [(NTP, GNSS, Finding.BETTER), (GNSS, NTP, Finding.CONTRADICTS), (NTP, NTP, Finding.CONTRADICTS)],
)
def test_only_a_better_source_wins_against_the_first(held: TimeQuality, new: TimeQuality, finding: Finding) -> None:
    other = replace(TIE, offset_ms=OFFSET_MS + 3_600_000, source=new)
    assert judge(replace(TIE, source=held), other) is finding
    assert judge(replace(TIE, source=held), replace(other, offset_ms=OFFSET_MS)) is Finding.AGREES


def test_what_holds_after_a_batch() -> None:
    other = replace(TIE, offset_ms=0)
    assert timing(None, None) == Timing(None, None, None)
    assert timing(TIE, None) == Timing(TIE, None, None)
    assert timing(None, TIE) == Timing(TIE, TIE, Finding.FIRST)
    assert timing(TIE, other) == Timing(TIE, other, Finding.CONTRADICTS)
    assert timing(replace(TIE, source=NTP), other) == Timing(other, other, Finding.BETTER)


@given(st.lists(st.tuples(st.integers(-(10**10), 10**10), st.sampled_from([GNSS, NTP])), max_size=30))
def test_a_kernel_boot_is_dated_at_most_twice(said: list[tuple[int, TimeQuality]]) -> None:
    held: Tie | None = None
    changes = 0
    for offset_ms, source in said:
        now = timing(held, Tie(offset_ms, 0, 1000, source)).tie
        changes += now != held
        held = now
    assert changes <= 2


def test_uncertainty_grows_with_the_distance_both_ways() -> None:
    day_ms = 86_400_000
    assert TIE.uncertainty_at(5000) == 1000
    assert TIE.uncertainty_at(5000 + day_ms) == TIE.uncertainty_at(5000 - day_ms) == 1000 + day_ms * DRIFT_PPM // 10**6


def test_only_records_without_a_time_of_their_own_are_retimed() -> None:
    own = [replace(sample(n), time_quality=quality) for n, quality in enumerate((GNSS, NTP, RTC))]
    without = [timeless(8), timeless(9.25, FLOOR)]
    rows = read(*own, *without, events=[Event("x", 0, None, NONE), Event("x", 0, 5, GNSS)])
    own_ms = [each.time_utc_ms for each in own]
    assert times_of(rows.samples, TIE).tolist() == [*own_ms, OFFSET_MS + 8000, OFFSET_MS + 9250]
    undated = times_of(rows.samples, None)
    assert undated[:3].tolist() == own_ms
    assert np.isnan(undated[3:]).all()  # FLOOR is no event time
    assert timeless_in(rows) == 3


def test_the_span_of_a_batch() -> None:
    for rows, expected in (
        ((timeless(1),), (None, None)),
        ((), (None, None)),
        ((sample(3), timeless(9), sample(1)), (OFFSET_MS + 1000, OFFSET_MS + 3000)),
    ):
        assert span(times_of(read(*rows).samples, None)) == expected


values = st.fixed_dictionaries({}, optional={name: st.integers(0, 9).map(float) for name in OBD_FIELDS})


parts = st.lists(st.tuples(st.integers(0, 4_200), values, st.booleans()), max_size=5)


@given(st.lists(parts, max_size=8))
def test_the_few_batches_that_tell_move_a_vehicle_as_all_do(told: list[list[tuple[int, Any, bool]]]) -> None:
    tick = count()  # no two at the same instant, where the first to come would count
    made = [[timeless(at_s + next(tick) / 100, **each) for at_s, each, _ in part] for part in told]
    made = [
        [each if has else replace(each, lat_deg=None) for each, (_, _, has) in zip(rows, part, strict=True)]
        for rows, part in zip(made, told, strict=True)
    ]
    batches = [dated(n, encode_body(Body(1, tuple(rows))), TIE) for n, rows in enumerate(made)]
    few = telling(batches, NOW_MS)
    whole = fold_samples(VehicleState(), [each for rows in made for each in rows], tie=TIE)
    part = fold_samples(VehicleState(), [each for batch in few for each in made[batch.id]], tie=TIE)
    assert replace(part, samples=0, future_samples=0) == replace(whole, samples=0, future_samples=0)


def test_a_long_drive_is_told_by_its_last_batch() -> None:
    rows = [timeless(n, **dict.fromkeys(OBD_FIELDS, 1.0)) for n in range(100)]
    batches = [dated(n, encode_body(Body(1, tuple(rows[n : n + 10]))), TIE) for n in range(0, 100, 10)]
    assert [each.id for each in telling(batches, NOW_MS)] == [90]
    assert span(batches[1].times_ms) == (OFFSET_MS + 10_000, OFFSET_MS + 19_000)
    assert span(dated(1, encode_body(Body(1)), TIE).times_ms) == (None, None)


def test_a_dated_batch_keeps_the_times_that_are_its_own() -> None:
    rows = (sample(1), timeless(2), timeless(3, FLOOR), Sample(4.0, None, GNSS), told(7, 5, RTC))
    times_ms = dated(1, encode_body(Body(1, rows)), TIE).times_ms
    assert times_ms[[0, 1, 2, 4]].tolist() == [OFFSET_MS + 1000, OFFSET_MS + 2000, OFFSET_MS + 3000, 5007]
    assert np.isnan(times_ms[3])


# -- stored


@pytest.fixture
def car(store: Store) -> Car:
    return add_car(store)


def take_in(car: Car, *arrivals: Arrival, now_ms: int = NOW_MS) -> None:
    outcomes, _ = take(car.store, arrivals, now_ms)
    assert all(each.verdict is Verdict.STORED for each in outcomes)


def spans(car: Car) -> list[tuple[int | None, int | None]]:
    return [(row["first_time_ms"], row["last_time_ms"]) for row in car.rows(batches)]


def track(car: Car) -> list[history_rows.TrackPoint]:
    with car.store.read() as connection:
        return history_rows.track(connection, car.lender_id, car.vehicle_id or 0, 0, 2**53).points()


def told_events(car: Car) -> list[history_rows.EventRow]:
    with car.store.read() as connection:
        return history_rows.events_of(connection, car.lender_id, car.vehicle_id or 0)


def held(car: Car, kernel_boot: int = 1) -> Tie | None:
    with car.store.read() as connection:
        return retiming_rows.tie_held(connection, car.unit_id, kernel_boot)


def forge(car: Car, *samples: Sample, kernel_boot: int = 1, told: tuple[Event, ...] = ()) -> Arrival:
    """The next batch of the chain, of any kernel boot."""
    car.sequence += 1
    arrival = car.forge(car.sequence, car.link, Body(kernel_boot, samples, told))
    car.link = hashlib.sha256(arrival.payload).digest()[:16]
    car.sealed.append(arrival.payload)
    return arrival


def test_a_tie_dates_what_came_before_it(car: Car) -> None:
    started = Event("unit_started", 500, None, NONE)
    take_in(car, car.seal(timeless(1), timeless(2, FLOOR), events=[started]), car.seal(timeless(3, speed_mps=7.0)))
    assert (spans(car), track(car), held(car)) == ([(None, None)] * 2, [], None)
    assert car.state() == VehicleState(samples=3)

    take_in(car, car.seal(sample(10), timeless(11)), now_ms=LATER_MS)
    assert spans(car) == [
        (OFFSET_MS + 1000, OFFSET_MS + 2000),
        (OFFSET_MS + 3000, OFFSET_MS + 3000),
        (OFFSET_MS + 10_000, OFFSET_MS + 11_000),
    ]
    points = track(car)
    assert [point.time_ms - OFFSET_MS for point in points] == [1000, 2000, 3000, 10_000, 11_000]
    assert [point.time_quality for point in points] == [NONE, FLOOR, NONE, GNSS, NONE]
    assert [point.uncertainty_ms for point in points] == [1000, 1000, 1000, None, 1000]
    [event] = told_events(car)
    assert (event.time_ms, event.time_quality, event.uncertainty_ms) == (OFFSET_MS + 500, NONE, 1000)
    state = car.state()
    assert state is not None
    assert (state.fix_time_ms, state.lat_deg, state.samples) == (OFFSET_MS + 11_000, sample(11).lat_deg, 5)
    [row] = car.rows(retimings)
    assert row == {
        "lender_id": car.lender_id,
        "unit_id": car.unit_id,
        "kernel_boot": 1,
        "offset_ms": OFFSET_MS,
        "at_mono_ms": 10_000,
        "uncertainty_ms": 1000,
        "source": 1,
        "batch_id": car.rows(batches)[2]["id"],
        "made_ms": LATER_MS,
        "contradictions": 0,
        "other_offset_ms": None,
        "other_batch_id": None,
    }
    assert [each["sealed"] for each in car.rows(batches)] == car.sealed


def test_a_batch_that_comes_after_its_tie_is_dated_at_once(car: Car) -> None:
    late = car.seal(timeless(1), events=[Event("unit_started", 500, None, NONE)])
    take_in(car, car.seal(sample(10)))
    take_in(car, late)
    assert spans(car)[1] == (OFFSET_MS + 1000, OFFSET_MS + 1000)
    assert [point.time_ms - OFFSET_MS for point in track(car)] == [1000, 10_000]
    assert told_events(car)[0].time_ms == OFFSET_MS + 500
    state = car.state()
    assert state is not None
    assert (state.lat_deg, state.samples) == (sample(10).lat_deg, 2)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_whichever_comes_first_all_ends_the_same(sqlite_store: Store, order: tuple[int, ...]) -> None:
    car = add_car(sqlite_store)
    made = [
        car.seal(timeless(1, engine_rpm=900.0), events=[Event("unit_started", 0, None, NONE)]),
        car.seal(sample(100)),
        car.seal(timeless(200, FLOOR, coolant_temp_c=80.0), events=[Event("trouble_codes", 150_000, 7, FLOOR)]),
    ]
    for n in order:
        take_in(car, made[n])
    assert [point.time_ms - OFFSET_MS for point in track(car)] == [1000, 100_000, 200_000]
    assert sorted((each.time_ms or 0) - OFFSET_MS for each in told_events(car)) == [0, 150_000]
    assert {each.uncertainty_ms for each in told_events(car)} == {1001, 1002}
    whole = [replace(each, time_utc_ms=OFFSET_MS + round(each.mono_s * 1000)) for each in (timeless(1), timeless(200))]
    whole = [replace(whole[0], engine_rpm=900.0), sample(100), replace(whole[1], coolant_temp_c=80.0)]
    assert car.state() == fold_samples(VehicleState(), whole, tie=TIE)


def test_a_tie_dates_only_its_own_kernel_boot_and_unit(car: Car) -> None:
    other = add_car(car.store)
    take_in(car, forge(car, timeless(1), kernel_boot=7), other.seal(timeless(1)), forge(car, timeless(1)))
    take_in(car, forge(car, sample(5)))
    assert spans(car)[:2] == [(None, None), (OFFSET_MS + 1000, OFFSET_MS + 1000)]
    assert spans(other) == [(None, None)]
    assert (held(car, 7), held(other)) == (None, None)
    take_in(car, forge(car, replace(sample(8), time_utc_ms=OFFSET_MS - 10**6), kernel_boot=7))
    assert spans(car)[0] == (OFFSET_MS - 10**6 - 7000, OFFSET_MS - 10**6 - 7000)
    assert [(row["kernel_boot"], row["offset_ms"]) for row in car.rows(retimings)] == [
        (1, OFFSET_MS),
        (7, OFFSET_MS - 10**6 - 8000),
    ]


def test_the_outbox_may_change_within_a_kernel_boot(car: Car) -> None:
    take_in(car, car.seal(timeless(1)))
    car.replace_outbox()
    take_in(car, car.seal(sample(5)))
    assert spans(car)[0] == (OFFSET_MS + 1000, OFFSET_MS + 1000)


def test_a_contradiction_is_recorded_and_changes_nothing(car: Car) -> None:
    take_in(car, car.seal(timeless(1)), car.seal(sample(2)))
    before = (spans(car), track(car), car.state(), held(car))
    take_in(car, car.seal(told(OFFSET_MS - 90_000_00, 3)))
    take_in(car, car.seal(timeless(4), told(OFFSET_MS - 90_000_01, 5)))
    assert (spans(car)[:2], track(car)[:2], held(car)) == (before[0], before[1], before[3])
    assert track(car)[-1].time_ms == OFFSET_MS + 4000  # what has no time goes by the tie that holds
    [row] = car.rows(retimings)
    last = car.rows(batches)[-1]["id"]
    assert (row["contradictions"], row["other_offset_ms"], row["other_batch_id"]) == (2, OFFSET_MS - 90_000_01, last)


def test_a_better_source_dates_a_kernel_boot_once_more(car: Car) -> None:
    wrong_ms = OFFSET_MS - 7_200_000
    take_in(car, car.seal(timeless(1), events=[Event("unit_started", 0, None, NONE)]))
    take_in(car, car.seal(told(wrong_ms, 2, NTP)))
    assert spans(car)[0] == (wrong_ms + 1000, wrong_ms + 1000)
    first = car.rows(batches)[1]["id"]
    take_in(car, car.seal(sample(3)))
    for offset_ms in (wrong_ms, OFFSET_MS + 86_400, wrong_ms):
        take_in(car, car.seal(told(offset_ms, 4, NTP)))
    assert spans(car)[0] == (OFFSET_MS + 1000, OFFSET_MS + 1000)
    assert told_events(car)[0].time_ms == OFFSET_MS
    assert held(car) == Tie(OFFSET_MS, 3000, 1000, GNSS)
    [row] = car.rows(retimings)
    assert (row["contradictions"], row["batch_id"]) == (4, car.rows(batches)[2]["id"])
    assert row["other_batch_id"] != first


def test_what_a_better_source_gave_up_is_kept(car: Car) -> None:
    take_in(car, car.seal(told(OFFSET_MS - 7_200_000, 2, NTP)), car.seal(sample(3)))
    [row] = car.rows(retimings)
    assert (row["other_offset_ms"], row["other_batch_id"]) == (OFFSET_MS - 7_200_000, car.rows(batches)[0]["id"])


def test_a_clock_from_the_future_or_before_enrolment_dates_nothing(car: Car) -> None:
    take_in(car, car.seal(timeless(1)))
    take_in(car, car.seal(told(NOW_MS + FUTURE_TOLERANCE_MS, 1)))
    take_in(car, car.seal(told(NOW_MS - ENROLMENT_TOLERANCE_MS - 10_000, 2)))
    assert (held(car), spans(car)[0]) == (None, (None, None))
    with car.store.write() as connection:
        connection.execute(update(units).where(units.c.id == car.unit_id).values(enrolled_ms=0))
    take_in(car, car.seal(told(NOW_MS - ENROLMENT_TOLERANCE_MS - 10_000, 3)))
    assert held(car) is not None


def test_dating_never_moves_a_vehicle_back_and_counts_no_sample_twice(car: Car) -> None:
    take_in(car, forge(car, timeless(1, engine_rpm=1.0)), forge(car, sample(50, engine_rpm=2.0), kernel_boot=2))
    before = car.state()
    take_in(car, forge(car, told(OFFSET_MS, 5)), now_ms=LATER_MS)
    state = car.state()
    assert before is not None
    assert state == replace(before, samples=before.samples + 1)


def test_a_sample_that_is_dated_into_the_future_does_not_become_the_present(car: Car) -> None:
    take_in(car, car.seal(timeless(3_600 + FUTURE_TOLERANCE_MS / 1000 + 1), timeless(2)))
    take_in(car, car.seal(told(OFFSET_MS, 1)))
    state = car.state()
    assert state is not None
    assert state.fix_time_ms == OFFSET_MS + 2000


def test_dated_samples_count_for_the_vehicle_in_which_they_were_made(car: Car) -> None:
    take_in(car, car.seal(timeless(1, engine_rpm=5.0)))
    old, arrived = car.vehicle_id, NOW_MS
    with car.store.write() as connection:
        car.vehicle_id = put_into(connection, car.lender_id, car.unit_id, "LGBH52E03KY012345")
    take_in(car, car.seal(sample(9)), now_ms=LATER_MS)
    new = car.state()
    assert new is not None
    assert (new.engine_rpm, new.fix_time_ms) == (None, OFFSET_MS + 9000)
    car.vehicle_id = old
    state = car.state()
    assert state is not None
    assert (state.engine_rpm, state.fix_time_ms) == (5.0, OFFSET_MS + 1000)
    assert [each.time_ms for each in track(car)] == [OFFSET_MS + 1000]
    with car.store.read() as connection:
        heard = connection.exec_driver_sql(f"select arrived_ms from vehicle_states where vehicle_id = {old}").scalar()
    assert heard == arrived  # its history grew, but nobody has heard of it since


def test_a_unit_in_no_vehicle_is_dated_too(store: Store) -> None:
    car = add_car(store, vin=None)
    take_in(car, car.seal(timeless(1)), car.seal(sample(2)))
    assert spans(car)[0] == (OFFSET_MS + 1000, OFFSET_MS + 1000)


def test_a_redelivered_tie_changes_nothing(car: Car) -> None:
    take_in(car, car.seal(timeless(1)))
    tie = car.seal(told(OFFSET_MS, 2))
    take_in(car, tie)
    before = (car.rows(retimings), car.rows(batches), car.rows(events))
    outcomes, _ = take(car.store, [tie], LATER_MS)
    assert outcomes[0].verdict is Verdict.REDELIVERED
    assert (car.rows(retimings), car.rows(batches), car.rows(events)) == before


def test_a_tie_that_fails_leaves_nothing(car: Car, monkeypatch: pytest.MonkeyPatch) -> None:
    take_in(car, car.seal(timeless(1)))
    before = (spans(car), car.rows(retimings))

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(retiming_rows, "put_spans", fail)
    arrival = car.seal(sample(2))
    outcomes, _ = take(car.store, [arrival], NOW_MS)
    assert outcomes[0].verdict is Verdict.REFUSED
    assert (spans(car), car.rows(retimings)) == before
    monkeypatch.undo()
    take_in(car, arrival)
    assert spans(car)[0] == (OFFSET_MS + 1000, OFFSET_MS + 1000)


def test_an_event_with_an_impossible_monotonic_time_stays_undated(car: Car) -> None:
    take_in(car, car.seal(events=[Event("unit_started", 2**62, None, NONE), Event("unit_started", 1, None, NONE)]))
    take_in(car, car.seal(sample(2)))
    assert [each.time_ms for each in told_events(car)] == [OFFSET_MS + 1, None]
    take_in(car, car.seal(events=[Event("unit_started", -(2**62), None, NONE)]))
    assert told_events(car)[0].time_ms is None


def test_the_twins_say_how_exact_a_time_is(car: Car) -> None:
    take_in(car, car.seal(timeless(1), sample(2), events=[Event("unit_started", 0, None, NONE)]))
    with car.store.read() as connection:
        stored = history_rows.track(connection, car.lender_id, car.vehicle_id or 0, 0, 2**53)
    found = track_json(drawn(stored), "wgs84")
    assert (found["time_quality"], found["uncertainty_ms"]) == (["none", "gnss"], [1000, None])
    event = event_json(told_events(car)[0])
    assert (event["time_quality"], event["uncertainty_ms"], event["time_ms"]) == ("none", 1000, OFFSET_MS)
    assert json.dumps(found)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(6)), st.lists(st.sampled_from([GNSS, NONE, FLOOR, RTC]), min_size=6, max_size=6))
def test_any_order_of_arrival_dates_the_same(
    sqlite_store: Store, order: list[int], qualities: list[TimeQuality]
) -> None:
    car = add_car(sqlite_store)
    rows = [
        sample(10 * n) if quality in (GNSS, RTC) else timeless(10 * n, quality) for n, quality in enumerate(qualities)
    ]
    rows = [replace(row, time_quality=quality) for row, quality in zip(rows, qualities, strict=True)]
    made = [car.seal(row) for row in rows]
    for n in order:
        take_in(car, made[n])
    dated = [n for n, quality in enumerate(qualities) if GNSS in qualities or quality is RTC]
    assert [point.time_ms for point in track(car)] == [OFFSET_MS + 10_000 * n for n in dated]
    assert sorted(first for first, _ in spans(car) if first is not None) == [OFFSET_MS + 10_000 * n for n in dated]
    state = car.state()
    assert state is not None
    assert (state.samples, state.fix_time_ms) == (6, OFFSET_MS + 10_000 * max(dated) if dated else None)
