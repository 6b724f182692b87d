"""What networks do to a unit's batches: some come twice, some overtake each other. And when they leave. Pure."""

import heapq
import random
from collections.abc import Iterable, Iterator
from itertools import count

from firmware_sim.fleet.sealing import Entry

_TWICE_WITHIN_MS = 5000  # the second copy of a batch comes so much later at most


def disturbed(entries: Iterable[Entry], seed: int, duplicate_share: float, swap_share: float) -> Iterator[Entry]:
    """The entries in order of time, with copies and swaps.

    Args:
        entries: in order of time.
        seed: the same seed disturbs the same batches.
        duplicate_share: of the batches, how many are sent a second time, the same bytes up to 5 s later.
        swap_share: of the batches, how many leave right after the one that their vehicle sealed next.
    """
    dice = random.Random(f"fleet disturbed {seed}")  # noqa: S311 - repeatable on purpose
    held: dict[int, Entry] = {}
    copies: list[tuple[int, int, Entry]] = []
    number = count()
    last_ms = 0
    for entry in entries:
        last_ms = entry.due_ms
        while copies and copies[0][0] <= last_ms:
            yield heapq.heappop(copies)[2]
        is_copied, is_swapped = dice.random() < duplicate_share, dice.random() < swap_share
        after_ms = last_ms + dice.randint(0, _TWICE_WITHIN_MS)
        overtaken = held.pop(entry.vehicle, None)
        if is_swapped and overtaken is None:
            held[entry.vehicle] = entry
            continue
        yield entry
        if overtaken is not None:
            yield overtaken._replace(due_ms=last_ms)
        if is_copied:
            heapq.heappush(copies, (after_ms, next(number), entry._replace(due_ms=after_ms)))
    yield from (entry._replace(due_ms=last_ms) for entry in held.values())
    while copies:
        yield heapq.heappop(copies)[2]


def paced(entries: Iterable[Entry], per_s: float) -> Iterator[Entry]:
    """The same order, evenly spread: `per_s` batches a second, whatever their own times."""
    for place, entry in enumerate(entries):
        yield entry._replace(due_ms=round(place * 1000 / per_s))
