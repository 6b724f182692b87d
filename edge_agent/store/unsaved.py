"""Sealed batches that the disk did not take yet: kept in memory, bounded, and what had to go accounted for. Pure.

A full disk or a card that went read-only must not end the agent. Batches are put again as soon as the disk takes them;
none is sent before, since a sequence whose batch could vanish with the power would be given away twice.
"""

from collections.abc import Iterable

from edge_agent.batch import Sealed
from wire.records import Gap

MOST_BYTES = 4 * 1024 * 1024  # three days at a batch a minute
_REASON = "disk_full"


class Unsaved:
    """The batches of one boot that wait for the disk, oldest first."""

    def __init__(self, boot: bytes, most_bytes: int = MOST_BYTES) -> None:
        self._boot, self._most_bytes = boot, most_bytes
        self._batches: list[Sealed] = []
        self._bytes = 0
        self._lost: list[Gap] = []

    def add(self, sealed: Iterable[Sealed]) -> int:
        """Keep batches; over the bound the oldest go, those with samples only first. Returns how many went."""
        went = 0
        for each in sealed:
            self._batches.append(each)
            self._bytes += len(each.data)
        while self._bytes > self._most_bytes and len(self._batches) > 1:
            older = self._batches[:-1]  # the newest stays: the next links to it
            self._lose(next((each for each in older if not each.urgent), older[0]))
            went += 1
        return went

    @property
    def batches(self) -> tuple[Sealed, ...]:
        """What is to be put, in its order."""
        return tuple(self._batches)

    @property
    def lost(self) -> tuple[Gap, ...]:
        """What had to go, to be written down with the next put."""
        return tuple(self._lost)

    def on_put(self) -> None:
        """The disk has taken all of it."""
        self._batches.clear()
        self._lost.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def _lose(self, each: Sealed) -> None:
        self._batches.remove(each)
        self._bytes -= len(each.data)
        gaps = sorted([*self._lost, Gap(self._boot, each.sequence, each.sequence, each.samples, _REASON)], key=_first)
        self._lost = gaps[:1]
        for gap in gaps[1:]:  # runs that touch are one
            before = self._lost[-1]
            if before.last + 1 == gap.first:
                self._lost[-1] = Gap(self._boot, before.first, gap.last, before.samples + gap.samples, _REASON)
            else:
                self._lost.append(gap)


def _first(gap: Gap) -> int:
    return gap.first
