"""What signed receipts prove about the time. Pure.

A receipt names batches that the server has committed and the server's time when it said so. It was therefore made after
the newest of those batches was sealed and before it arrived here: the server's time then lies between two instants of
the monotonic clock. Replayed, delayed or queued at the broker for days, that stays true, only the interval gets wider.
A receipt that names no batch sealed in this run proves the lower bound alone.
"""

from collections import deque
from dataclasses import dataclass

from wire.records import Receipt

_REMEMBERED = 256
# Two bounds that miss each other by more than what a quartz drifts in months: the server's clock was set.
_DRIFT_MS = 600_000


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """UTC less monotonic, ms: between these two. None: nobody knows how late it may be."""

    earliest_offset_ms: int
    latest_offset_ms: int | None = None

    def earliest_ms(self, mono_s: float) -> int:
        """It is not earlier than this."""
        return round(mono_s * 1000) + self.earliest_offset_ms

    def latest_ms(self, mono_s: float) -> int | None:
        """It is not later than this; None: nobody knows."""
        return None if self.latest_offset_ms is None else round(mono_s * 1000) + self.latest_offset_ms

    def server_now_ms(self, mono_s: float) -> int | None:
        """The server's time by which commands expire, behind by as long as the receipt was on its way.

        None until a receipt names a batch sealed in this run: an older one may have lain at the broker for days, and
        would make an expired command look fresh. The receiver's clock can be spoofed and is never asked.
        """
        return None if self.latest_offset_ms is None else self.earliest_ms(mono_s)

    def told(self, server_time_ms: int, arrived_s: float, sealed_s: float | None) -> "TimeBounds":
        """The bounds after a receipt. Where it contradicts them, the server's clock was set: the fresh receipt counts.

        Args:
            server_time_ms: when the server made it, UTC ms.
            arrived_s: when it came, on the monotonic clock.
            sealed_s: when the newest batch that it names was sealed; None: not in this run.
        """
        earliest_ms = server_time_ms - round(arrived_s * 1000)
        if sealed_s is None:
            return TimeBounds(max(self.earliest_offset_ms, earliest_ms), self.latest_offset_ms)
        latest_ms = server_time_ms - round(sealed_s * 1000)
        is_after = self.latest_offset_ms is not None and earliest_ms > self.latest_offset_ms + _DRIFT_MS
        if is_after or latest_ms < self.earliest_offset_ms - _DRIFT_MS:
            return TimeBounds(earliest_ms, latest_ms)
        if self.latest_offset_ms is not None:
            latest_ms = min(latest_ms, self.latest_offset_ms)
        return TimeBounds(max(earliest_ms, self.earliest_offset_ms), latest_ms)


class SealTimes:
    """When the newest batches of this run were sealed."""

    def __init__(self, boot: bytes) -> None:
        self._boot = boot
        self._sealed: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)

    def on_sealed(self, sequence: int, mono_s: float) -> None:
        """A batch of this run was sealed; sequences rise."""
        self._sealed.append((sequence, mono_s))

    def of(self, receipt: Receipt) -> float | None:
        """When the newest batch that the receipt names was sealed at the earliest; None: not in this run."""
        if receipt.boot != self._boot:
            return None
        newest = max((each.last for each in receipt.committed), default=0)
        return max((mono_s for sequence, mono_s in self._sealed if sequence <= newest), default=None)
