"""The server's time as this unit knows it, by which commands expire. Pure.

Only signed receipts move it, and only those that the server made in this run of the unit: one that names a batch sealed
in this run. An older receipt may have lain in the broker for days, and would make an expired command look fresh;
the receiver's clock can be spoofed and is never asked. Between receipts the unit's monotonic clock runs on.
"""

from dataclasses import dataclass, replace

from wire.records import Receipt


@dataclass(frozen=True, slots=True)
class ServerClock:
    """`boot` and `first_sequence` name the first batch that was sealed in this run."""

    boot: bytes
    first_sequence: int
    offset_ms: int | None = None  # server time less monotonic clock; None: nothing was told in this run

    def told_by(self, receipt: Receipt, mono_s: float) -> "ServerClock":
        """A receipt whose signature held came at `mono_s`. What was slow on its way tells too early a time."""
        fresh = receipt.boot == self.boot and any(each.last >= self.first_sequence for each in receipt.committed)
        if not fresh:
            return self
        offset_ms = receipt.server_time_ms - round(mono_s * 1000)
        return replace(self, offset_ms=offset_ms if self.offset_ms is None else max(self.offset_ms, offset_ms))

    def at(self, mono_s: float) -> int | None:
        """The server's time at a monotonic instant, UTC ms; behind by as long as the receipt was on its way."""
        return None if self.offset_ms is None else self.offset_ms + round(mono_s * 1000)
