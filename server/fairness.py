"""How much of one unit is taken in at once, so that one gone mad does not slow the others. Pure: time is an argument.

A token bucket for each unit (the rule of RFC 2697, section 3, with one rate): a unit may send `burst` batches at once,
as one does that was without network for weeks, and `per_s` a second from then on. What comes above is neither stored
nor receipted, so the unit sends it again later: it is put off, not lost.
"""

from collections.abc import Iterable
from dataclasses import dataclass

_ROUNDING = 1e-6


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class Fairness:
    """Remembers each unit that was heard lately."""

    def __init__(self, per_s: float, burst: int) -> None:
        """`per_s` batches a second of one unit, and `burst` at once."""
        self._per_s, self._burst = per_s, burst
        self._buckets: dict[str, _Bucket] = {}
        self._swept_s = 0.0

    def admits(self, unit: str, now_s: float) -> bool:
        """Whether one more batch of this unit is taken in now."""
        bucket = self._buckets.get(unit)
        if bucket is None:
            bucket = self._buckets[unit] = _Bucket(self._burst, now_s)
        bucket.tokens = min(self._burst, bucket.tokens + max(0.0, now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.tokens < 1 - _ROUNDING:
            return False
        bucket.tokens -= 1
        return True

    def give_back(self, units: Iterable[str]) -> None:
        """Batches of these units were admitted and not taken in: they will be tried again."""
        for unit in units:
            if unit in self._buckets:
                self._buckets[unit].tokens += 1

    def sweep(self, now_s: float) -> None:
        """Forget units whose bucket is full again: they are as if they had never come."""
        if now_s - self._swept_s < self._burst / self._per_s:
            return
        self._swept_s = now_s
        full = [
            unit
            for unit, bucket in self._buckets.items()
            if bucket.tokens + (now_s - bucket.at_s) * self._per_s >= self._burst
        ]
        for unit in full:
            del self._buckets[unit]

    def __len__(self) -> int:
        return len(self._buckets)
