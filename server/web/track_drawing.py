"""A track, thinned for drawing: what the eye would miss stays in, what it would not is left out.

A browser draws 5,000 points at once, a week at one fix a second has 600,000. Taking every n-th point would lose exactly
what matters (one jump to another place), so of each run of points the one farthest from the straight line is kept too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, radians

from server.store.history_rows import TrackPoint

MOST_DRAWN = 5000
# Longer without a position, and the line between the two is a guess: it is drawn as one.
GAP_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class DrawnTrack:
    """The points to draw of `stored` ones; `gaps` are the indices of points that follow a silence."""

    points: tuple[TrackPoint, ...]
    stored: int
    gaps: tuple[int, ...]


def drawn(points: Sequence[TrackPoint], most: int = MOST_DRAWN) -> DrawnTrack:
    """Thin a track in time order to about `most` points; both ends of every silence stay in (up to a quarter of them).

    Args:
        points: in order of time.
        most: upper bound on the points that come back.
    """
    pieces = _pieces(points, most_pieces=max(1, most // 4))
    kept: list[TrackPoint] = []
    gaps: list[int] = []
    room = most - 2 * len(pieces)
    for piece in pieces:
        if kept:
            gaps.append(len(kept))
        share = 2 + room * len(piece) // max(1, len(points))
        kept.extend(_thinned(piece, share))
    return DrawnTrack(tuple(kept), len(points), tuple(gaps))


def _pieces(points: Sequence[TrackPoint], most_pieces: int) -> list[Sequence[TrackPoint]]:
    """The track, cut at its longest silences."""
    silences = [
        (after.time_ms - before.time_ms, index)
        for index, (before, after) in enumerate(pairwise(points), start=1)
        if after.time_ms - before.time_ms > GAP_MS
    ]
    cuts = sorted(index for _, index in sorted(silences, reverse=True)[: most_pieces - 1])
    bounds = [0, *cuts, len(points)]
    return [points[start:end] for start, end in pairwise(bounds) if end > start]


def _thinned(points: Sequence[TrackPoint], most: int) -> list[TrackPoint]:
    if len(points) <= most:
        return list(points)
    runs = max(1, (most - 2) // 2)
    inner = len(points) - 2
    kept = [points[0]]
    for run in range(runs):
        start, end = 1 + inner * run // runs, 1 + inner * (run + 1) // runs
        if start < end:
            rest = points[start + 1 : end]
            kept.append(points[start])
            if rest:
                kept.append(_farthest(rest, points[start], points[end]))
    kept.append(points[-1])
    return kept


def _farthest(run: Sequence[TrackPoint], before: TrackPoint, after: TrackPoint) -> TrackPoint:
    """The point of the run that is farthest from the straight line between its neighbours."""
    east = cos(radians(before.lat_deg))
    dx, dy = (after.lon_deg - before.lon_deg) * east, after.lat_deg - before.lat_deg
    length = hypot(dx, dy)

    def off_line(point: TrackPoint) -> float:
        x, y = (point.lon_deg - before.lon_deg) * east, point.lat_deg - before.lat_deg
        if length == 0.0:
            return hypot(x, y)
        along = min(1.0, max(0.0, (x * dx + y * dy) / length**2))
        return hypot(x - along * dx, y - along * dy)

    return max(run, key=off_line)
