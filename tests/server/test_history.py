"""Tracks are what a plain reading of every sample gives, however they are read."""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.live import take
from server.store.db import Store
from server.store.history_rows import TrackPoint, track
from server.watch.retiming import Tie
from tests.server.cars import NOW_MS, Car, add_car
from wire.records import PositionSource, Sample, TimeQuality

OFFSET_MS = NOW_MS - 3_600_000
TIE = Tie(OFFSET_MS, 1000, 1000, TimeQuality.GNSS)
HELD = PositionSource.HELD

places = st.sampled_from([None, 0.0, 30.5, -89.9999999, 91.0])
sources = st.sampled_from([None, *PositionSource])


@st.composite
def some_sample(draw: st.DrawFn) -> Sample:
    quality = draw(st.sampled_from(TimeQuality))
    mono_s = draw(st.integers(0, 60)) / 2
    own = OFFSET_MS + round(mono_s * 1000)
    time_ms = draw(st.sampled_from([own, own, own + 500, None]))
    speed = draw(st.none() | st.integers(0, 50).map(float))
    return Sample(mono_s, time_ms, quality, draw(places), draw(places), speed_mps=speed, position_source=draw(sources))


def plainly(told: list[list[Sample]], from_ms: int, to_ms: int) -> list[TrackPoint]:
    """Sample by sample."""
    found: dict[int, TrackPoint] = {}
    for each in (sample for batch in told for sample in batch):
        if None in (each.lat_deg, each.lon_deg) or each.lat_deg == 91.0:
            continue
        if each.position_source in (PositionSource.CELL, PositionSource.WIFI):
            continue
        time_ms, off_ms = each.time_utc_ms, None
        if each.time_quality in (TimeQuality.FLOOR, TimeQuality.NONE):
            mono_ms = round(each.mono_s * 1000)
            time_ms, off_ms = mono_ms + TIE.offset_ms, TIE.uncertainty_at(mono_ms)
        if time_ms is not None and from_ms <= time_ms < to_ms:
            place = (each.lat_deg or 0.0, each.lon_deg or 0.0)
            found[time_ms] = TrackPoint(time_ms, *place, each.speed_mps, each.time_quality, off_ms)
    return [found[time_ms] for time_ms in sorted(found)]


def read(car: Car, from_ms: int, to_ms: int) -> list[TrackPoint]:
    with car.store.read() as connection:
        return track(connection, car.lender_id, car.vehicle_id or 0, from_ms, to_ms).points()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(st.lists(some_sample(), max_size=6), max_size=5), st.integers(0, 30), st.integers(0, 30))
def test_a_track_is_that_of_its_samples(store: Store, told: list[list[Sample]], a: int, b: int) -> None:
    car = add_car(store)
    first = Sample(1.0, OFFSET_MS + 1000, TimeQuality.GNSS)  # the tie, without a place
    take(store, [car.seal(first)], NOW_MS)
    for batch in told:
        take(store, [car.seal(*batch)], NOW_MS)
    for from_ms, to_ms in ((0, 2**53), (OFFSET_MS + 1000 * min(a, b), OFFSET_MS + 1000 * max(a, b))):
        assert read(car, from_ms, to_ms) == plainly(told, from_ms, to_ms)


def test_nothing_stored_is_no_track(store: Store) -> None:
    car = add_car(store)
    assert read(car, 0, 2**53) == []


def test_what_nobody_can_date_is_left_out_until_somebody_can(store: Store) -> None:
    car = add_car(store)
    values: dict[str, Any] = {"lat_deg": 30.0, "lon_deg": 110.0, "position_source": HELD}
    take(store, [car.seal(Sample(5.0, None, TimeQuality.NONE, **values))], NOW_MS)
    assert read(car, 0, 2**53) == []
    take(store, [car.seal(Sample(9.0, OFFSET_MS + 9000, TimeQuality.GNSS))], NOW_MS)
    assert [point.time_ms for point in read(car, 0, 2**53)] == [OFFSET_MS + 5000]
