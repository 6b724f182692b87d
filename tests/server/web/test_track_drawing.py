"""Thinning keeps ends, silences and outliers."""

from collections.abc import Sequence
from math import cos, hypot, radians

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.store.history_rows import Track, TrackPoint
from server.web import track_drawing
from server.web.track_drawing import GAP_MS, DrawnTrack


def columns(points: Sequence[TrackPoint]) -> Track:
    times = np.array([point.time_ms for point in points], np.int64)
    numbers = [np.array([point[n] for point in points], np.float64) for n in (1, 2, 3, 5)]
    return Track(times, numbers[0], numbers[1], numbers[2], np.ones(len(points), np.int64), numbers[3])


def drawn(points: Sequence[TrackPoint], most: int = track_drawing.MOST_DRAWN) -> DrawnTrack:
    return track_drawing.drawn(columns(points), most)


def line(count: int, start_ms: int = 0, lat: float = 30.0) -> list[TrackPoint]:
    return [TrackPoint(start_ms + 1000 * i, lat + i * 1e-5, 110.0, 10.0) for i in range(count)]


def test_a_short_track_stays_whole() -> None:
    points = line(10)
    assert drawn(points).points.points() == points
    assert drawn(points).gaps == ()


def test_nothing_gives_nothing() -> None:
    assert len(drawn([]).points) == 0


@pytest.mark.parametrize("count", [5001, 5050, 20_000])
def test_a_long_track_is_thinned_to_the_bound(count: int) -> None:
    track = drawn(line(count))
    assert 4000 < len(track.points) <= 5000
    assert track.stored == count
    times = track.points.time_ms.tolist()
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, 1000 * (count - 1))


def test_one_jump_among_many_stays_in() -> None:
    points = line(20_000)
    points[7777] = TrackPoint(points[7777].time_ms, 31.5, 112.0, 10.0)
    assert points[7777] in drawn(points, most=200).points.points()


def test_both_ends_of_a_silence_stay_in() -> None:
    before, after = line(9000), line(9000, start_ms=9000 * 1000 + GAP_MS + 1, lat=32.0)
    track = drawn([*before, *after])
    assert len(track.gaps) == 1
    points = track.points.points()
    assert points[track.gaps[0]] == after[0]
    assert points[track.gaps[0] - 1] == before[-1]


def test_a_pause_of_the_limit_is_no_silence() -> None:
    assert drawn([*line(2), *line(2, start_ms=1000 + GAP_MS)]).gaps == ()


def test_many_silences_stay_within_the_bound() -> None:
    points = [TrackPoint(i * (GAP_MS + 1 + i), 30.0, 110.0, None) for i in range(10_000)]
    track = drawn(points, most=1000)
    assert len(track.points) <= 1000
    assert len(track.gaps) == 249


def off_line(point: TrackPoint, before: TrackPoint, after: TrackPoint) -> float:
    """How far a point is from the straight line between two others, in degrees of latitude; said the plain way."""
    east = cos(radians(before.lat_deg))
    dx, dy = (after.lon_deg - before.lon_deg) * east, after.lat_deg - before.lat_deg
    x, y = (point.lon_deg - before.lon_deg) * east, point.lat_deg - before.lat_deg
    length = hypot(dx, dy)
    along = 0.0 if length == 0 else min(1.0, max(0.0, (x * dx + y * dy) / length**2))
    return hypot(x - along * dx, y - along * dy)


places = st.tuples(st.floats(-60, 60), st.floats(-180, 180))


@given(st.lists(places, min_size=1, max_size=80), st.integers(8, 40))
def test_what_is_farthest_of_each_run_stays_in(told: list[tuple[float, float]], most: int) -> None:
    points = [TrackPoint(1000 * n, lat, lon, None) for n, (lat, lon) in enumerate(told)]
    kept = drawn(points, most).points.points()
    assert len(kept) <= max(most, 2)
    at = [points.index(point) for point in kept]
    assert at == sorted(set(at))
    assert {0, len(points) - 1} <= set(at)
    if len(points) <= most:
        assert kept == points
        return
    runs, inner = max(1, (most - 2) // 2), len(points) - 2
    begins = sorted({1 + inner * run // runs for run in range(runs)})
    for begin, end in zip(begins, [*begins[1:], len(points) - 1], strict=True):
        assert begin in at
        rest = points[begin + 1 : end]
        if rest:
            far = max(off_line(point, points[begin], points[end]) for point in rest)
            assert any(
                points.index(point) in at and off_line(point, points[begin], points[end]) >= far - 1e-9
                for point in rest
            )
