"""Which ranges a receipt asks for again. Pure.

A hole below the newest stored sequence is either on its way, or was here before the server was restored from a backup;
the unit knows which. Holes that the unit has declared as gaps are not asked for.
"""

from collections.abc import Sequence
from itertools import pairwise

from wire.records import SequenceRange

# What one receipt names at most. A boot has one range in peace, and a few while batches overtake each other.
MOST_RANGES = 400
_MOST_WANTED = 32


def ranges_wanted(committed: Sequence[SequenceRange], declared: Sequence[SequenceRange]) -> tuple[SequenceRange, ...]:
    """The holes in `committed` (sorted, disjoint), less what is declared lost; at most 32, oldest first."""
    if len(committed) >= MOST_RANGES:
        return ()  # older ranges were left out, so what looks like a hole may be none
    edges = [SequenceRange(0, 0), *committed]
    holes = [SequenceRange(a.last + 1, b.first - 1) for a, b in pairwise(edges) if a.last + 1 < b.first]
    for lost in declared:
        holes = [part for hole in holes for part in _without(hole, lost)]
    return tuple(holes[:_MOST_WANTED])


def _without(hole: SequenceRange, lost: SequenceRange) -> list[SequenceRange]:
    if lost.last < hole.first or hole.last < lost.first:
        return [hole]
    parts = (SequenceRange(hole.first, lost.first - 1), SequenceRange(lost.last + 1, hole.last))
    return [part for part in parts if part.first <= part.last]
