"""A track, thinned for drawing: what the eye would miss stays in, what it would not is left out.

A browser draws 5,000 points at once, a week at one fix a second has 600,000. Taking every n-th point would lose exactly
what matters (one jump to another place), so of each run of points the one farthest from the straight line is kept too.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from server.columns import Floats, Ints
from server.store.history_rows import Track

MOST_DRAWN = 5000
# Longer without a position, and the line between the two is a guess: it is drawn as one.
GAP_MS = 5 * 60 * 1000


@dataclass(frozen=True, slots=True)
class DrawnTrack:
    """The points to draw of `stored` ones; `gaps` are the indices of points that follow a silence."""

    points: Track
    stored: int
    gaps: tuple[int, ...]


def drawn(track: Track, most: int = MOST_DRAWN) -> DrawnTrack:
    """Thin a track to about `most` points; both ends of every silence stay in (up to a quarter of them).

    Args:
        track: in order of time.
        most: upper bound on the points that come back.
    """
    pieces = _pieces(track.time_ms, most_pieces=max(1, most // 4))
    kept: list[Ints] = []
    gaps: list[int] = []
    count, room = 0, most - 2 * len(pieces)
    for begin, end in pieces:
        if kept:
            gaps.append(count)
        share = 2 + room * (end - begin) // max(1, len(track))
        kept.append(begin + _thinned(track.lat_deg[begin:end], track.lon_deg[begin:end], share))
        count += kept[-1].size
    at = np.concatenate(kept) if kept else np.empty(0, np.int64)
    return DrawnTrack(track.at(at), len(track), tuple(gaps))


def _pieces(time_ms: Ints, most_pieces: int) -> list[tuple[int, int]]:
    """The track, cut at its longest silences: where each piece begins and ends."""
    pauses_ms = np.diff(time_ms)
    silences = np.flatnonzero(pauses_ms > GAP_MS)
    longest = silences[np.argsort(-pauses_ms[silences], kind="stable")][: most_pieces - 1]
    bounds = [0, *sorted((longest + 1).tolist()), time_ms.size]
    return [(begin, end) for begin, end in pairwise(bounds) if end > begin]


def _thinned(lat_deg: Floats, lon_deg: Floats, most: int) -> Ints:
    """Indices of the points that stay: of each run the first, and the one farthest from the line to the next run."""
    count = lat_deg.size
    if count <= most:
        return np.arange(count)
    runs, inner = max(1, (most - 2) // 2), count - 2
    begins = 1 + inner * np.arange(runs) // runs
    begins = np.unique(begins)
    sizes = np.diff(np.append(begins, count - 1))
    run_of = np.repeat(np.arange(begins.size), sizes)
    before, after = begins[run_of], np.append(begins, count - 1)[1:][run_of]
    at = np.arange(1, count - 1)
    off = _off_line(lat_deg, lon_deg, at, before, after)
    off[begins - 1] = -1.0  # they stay anyhow
    # The farthest of each run: sorted by run and then by distance, the last of its run.
    ends = sizes.cumsum() - 1
    farthest = at[np.lexsort((off, run_of))[ends]]
    return np.unique(np.concatenate(([0], begins, farthest, [count - 1])))


def _off_line(lat_deg: Floats, lon_deg: Floats, at: Ints, before: Ints, after: Ints) -> Floats:
    """How far points are from the straight lines between two others, in degrees of latitude."""
    east = np.cos(np.radians(lat_deg[before]))
    dx, dy = (lon_deg[after] - lon_deg[before]) * east, lat_deg[after] - lat_deg[before]
    x, y = (lon_deg[at] - lon_deg[before]) * east, lat_deg[at] - lat_deg[before]
    length2 = dx * dx + dy * dy
    along = np.clip((x * dx + y * dy) / np.where(length2 == 0.0, 1.0, length2), 0.0, 1.0)
    off: Floats = np.hypot(x - along * dx, y - along * dy)
    return off
