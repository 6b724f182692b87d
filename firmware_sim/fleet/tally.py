"""What a play sent, what was answered and how long it took; the tallies of several processes add up. Pure."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

_RANKS = (500, 900, 990, 999)  # thousandths


def _times() -> "array[float]":
    return array("f")


@dataclass(slots=True)
class Tally:
    """Counts, and times in seconds. `seconds` is the play without connecting before it and draining behind it."""

    vehicles: int = 0
    connected: int = 0  # times that the broker took a unit in
    refused_connections: int = 0  # attempts that failed, whatever the reason
    dropped: int = 0  # connections that a storm ended
    lost_connections: int = 0  # connections that ended otherwise
    due: int = 0  # batches that the play asked for, copies too
    sent: int = 0  # handed to the network: all of it
    samples: int = 0  # in batches that were sent for the first time
    copies: int = 0  # of `sent`: duplicates on purpose
    again: int = 0  # of `sent`: because no receipt came in time
    bytes_sent: int = 0  # sealed bytes of all that was sent
    settled: int = 0  # batches with a receipt (with `--no-receipts`: the broker's acknowledgement)
    unsettled: int = 0
    receipts: int = 0
    refused_receipts: int = 0  # not signed by the pinned key, or not to be read
    commands: int = 0
    seconds: float = 0.0
    connect_s: float = 0.0
    drain_s: float = 0.0
    cpu_s: float = 0.0
    since_due_s: "array[float]" = field(default_factory=_times)
    since_sent_s: "array[float]" = field(default_factory=_times)
    late_s: "array[float]" = field(default_factory=_times)  # first sent, since due

    def summary(self) -> dict[str, Any]:
        """For the last line: counts, seconds, rates and percentiles in milliseconds."""
        told: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, array):
                told[each.name.removesuffix("_s") + "_ms"] = percentiles_ms(value)
            else:
                told[each.name] = round(value, 3)
        busy_s = max(self.seconds, 1e-9)
        told["sent_per_s"] = round(self.sent / busy_s, 1)
        told["settled_per_s"] = round(self.settled / (busy_s + self.drain_s), 1)
        return told


def added(tallies: Iterable[Tally]) -> Tally:
    """Processes that played at the same time: counts and processor time add up, durations are those of the longest."""
    total = Tally()
    for tally in tallies:
        for each in fields(Tally):
            mine, theirs = getattr(total, each.name), getattr(tally, each.name)
            longest = each.name in ("seconds", "connect_s", "drain_s")
            setattr(total, each.name, max(mine, theirs) if longest else mine + theirs)
    return total


def percentiles_ms(times_s: Sequence[float]) -> dict[str, float]:
    """Nearest-rank percentiles and the greatest, ms; nothing of nothing."""
    if not times_s:
        return {}
    ordered = sorted(times_s)
    ranks = {f"p{thousandths / 10:g}": ordered[-(-thousandths * len(ordered) // 1000) - 1] for thousandths in _RANKS}
    return {name: round(value * 1000, 1) for name, value in (ranks | {"max": ordered[-1]}).items()}
