"""Thinning keeps ends, silences and outliers."""

import pytest

from server.store.history_rows import TrackPoint
from server.web.track_drawing import GAP_MS, drawn


def line(count: int, start_ms: int = 0, lat: float = 30.0) -> list[TrackPoint]:
    return [TrackPoint(start_ms + 1000 * i, lat + i * 1e-5, 110.0, 10.0) for i in range(count)]


def test_a_short_track_stays_whole() -> None:
    points = line(10)
    assert drawn(points).points == tuple(points)
    assert drawn(points).gaps == ()


def test_nothing_gives_nothing() -> None:
    assert drawn([]).points == ()


@pytest.mark.parametrize("count", [5001, 5050, 20_000])
def test_a_long_track_is_thinned_to_the_bound(count: int) -> None:
    track = drawn(line(count))
    assert 4000 < len(track.points) <= 5000
    assert track.stored == count
    times = [point.time_ms for point in track.points]
    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (0, 1000 * (count - 1))


def test_one_jump_among_many_stays_in() -> None:
    points = line(20_000)
    points[7777] = TrackPoint(points[7777].time_ms, 31.5, 112.0, 10.0)
    assert points[7777] in drawn(points, most=200).points


def test_both_ends_of_a_silence_stay_in() -> None:
    before, after = line(9000), line(9000, start_ms=9000 * 1000 + GAP_MS + 1, lat=32.0)
    track = drawn([*before, *after])
    assert len(track.gaps) == 1
    assert track.points[track.gaps[0]] == after[0]
    assert track.points[track.gaps[0] - 1] == before[-1]


def test_a_pause_of_the_limit_is_no_silence() -> None:
    assert drawn([*line(2), *line(2, start_ms=1000 + GAP_MS)]).gaps == ()


def test_many_silences_stay_within_the_bound() -> None:
    points = [TrackPoint(i * (GAP_MS + 1 + i), 30.0, 110.0, None) for i in range(10_000)]
    track = drawn(points, most=1000)
    assert len(track.points) <= 1000
    assert len(track.gaps) == 249
