"""Which sequences of a boot are stored, as ranges that know how they begin and end in the chain. Pure.

A range keeps the link that its first batch carries and the link that the batch after its last must carry, so a batch
that continues a range, or fills a hole, is checked without reading any other.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from wire.records import SequenceRange


@dataclass(frozen=True, slots=True)
class Range:
    """Sequences `first` to `last`. A link of None is not known: it stands in the stored batch itself."""

    first: int
    last: int
    first_link: bytes | None  # what batch `first` names as the one before it
    last_link: bytes | None  # what the batch after `last` has to name


@dataclass(slots=True)
class Received:
    """The ranges of one boot, sorted and disjoint, with at least one sequence between two of them."""

    ranges: list[Range] = field(default_factory=list)

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> "Received":
        """Ranges in any order."""
        return cls(sorted(ranges, key=lambda each: each.first))

    def has(self, sequence: int) -> bool:
        """Whether this sequence is stored."""
        at = self._at(sequence)
        return at >= 0 and sequence <= self.ranges[at].last

    def before(self, sequence: int) -> Range | None:
        """The range that ends right before it."""
        at = self._at(sequence)
        return self.ranges[at] if at >= 0 and self.ranges[at].last == sequence - 1 else None

    def after(self, sequence: int) -> Range | None:
        """The range that begins right after it."""
        at = self._at(sequence) + 1
        return self.ranges[at] if at < len(self.ranges) and self.ranges[at].first == sequence + 1 else None

    def add(self, sequence: int, link: bytes, next_link: bytes) -> None:
        """A new sequence: `link` is what it carries, `next_link` what the batch after it has to carry."""
        before, after = self.before(sequence), self.after(sequence)
        new = Range(sequence, sequence, link, next_link)
        at = self._at(sequence) + 1
        if before is not None:
            new, at = replace(new, first=before.first, first_link=before.first_link), at - 1
        if after is not None:
            new = replace(new, last=after.last, last_link=after.last_link)
        self.ranges[at : at + (before is not None) + (after is not None)] = [new]

    def newest(self, most: int) -> tuple[SequenceRange, ...]:
        """The `most` newest ranges, oldest first."""
        return tuple(SequenceRange(each.first, each.last) for each in self.ranges[-most:])

    def _at(self, sequence: int) -> int:
        """The index of the last range that begins at or before it, -1 for none."""
        if self.ranges and self.ranges[-1].first <= sequence:  # as nearly always
            return len(self.ranges) - 1
        return bisect_right(self.ranges, sequence, key=lambda each: each.first) - 1
