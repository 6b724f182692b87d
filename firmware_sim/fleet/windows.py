"""One unit's batches: those that wait, those under way, and what receipts say of them. Pure: times are arguments.

As a unit does it: at most 20 under way, the next when a receipt makes room, and without a receipt for 20 s the batch is
sent again, then after twice as long each time (`docs/flow.md`, sending). A copy of a batch waits for nothing: it stands
for a network that delivers twice.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from firmware_sim.fleet.sealing import Entry
from wire.records import SequenceRange

WINDOW = 20
PATIENCE_S = 20.0
_LONGEST_PATIENCE_S = 320.0


@dataclass(slots=True)
class _Sent:
    entry: Entry
    due_s: float
    first_s: float
    again_s: float
    patience_s: float


@dataclass(frozen=True, slots=True)
class Leaving:
    """A batch to hand to the network now."""

    entry: Entry
    late_s: float | None  # how long after it was due; None: not its first time
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A batch that is settled: seconds since it was due, and since it was first sent."""

    sequence: int
    since_due_s: float
    since_sent_s: float


class UnitWindow:
    """Batches of one unit and one boot."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Entry, float]] = deque()
        self._under_way: dict[int, _Sent] = {}
        self._settled: set[int] = set()

    @property
    def open(self) -> int:
        """How many batches have no receipt yet, sent or not."""
        return len({entry.sequence for entry, _ in self._waiting} - self._settled | self._under_way.keys())

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and not self._under_way

    def offer(self, entry: Entry, due_s: float) -> None:
        """A batch is due now."""
        self._waiting.append((entry, due_s))

    def leaving(self, now_s: float) -> list[Leaving]:
        """What may be sent now, in order."""
        found: list[Leaving] = []
        while self._waiting:
            entry, due_s = self._waiting[0]
            is_copy = entry.sequence in self._settled or entry.sequence in self._under_way
            if not is_copy:
                if len(self._under_way) >= WINDOW:
                    break
                self._under_way[entry.sequence] = _Sent(entry, due_s, now_s, now_s + PATIENCE_S, PATIENCE_S)
            self._waiting.popleft()
            found.append(Leaving(entry, None if is_copy else now_s - due_s, is_copy))
        return found

    def impatient(self, now_s: float) -> list[Leaving]:
        """What has waited too long for its receipt and is sent again."""
        found = []
        for sent in self._under_way.values():
            if sent.again_s <= now_s:
                sent.patience_s = min(_LONGEST_PATIENCE_S, 2 * sent.patience_s)
                sent.again_s = now_s + sent.patience_s
                found.append(Leaving(sent.entry, None))
        return found

    def receipted(self, committed: Iterable[SequenceRange], now_s: float) -> list[Answered]:
        """The server has these; returns what that settles."""
        ranges = tuple(committed)
        return [
            self._settle(sequence, now_s)
            for sequence in [each for each in self._under_way if any(each in span for span in ranges)]
        ]

    def acknowledged(self, sequence: int, now_s: float) -> Answered | None:
        """The broker has this one: for plays that ask no server. None where it was settled before."""
        return self._settle(sequence, now_s) if sequence in self._under_way else None

    def _settle(self, sequence: int, now_s: float) -> Answered:
        sent = self._under_way.pop(sequence)
        self._settled.add(sequence)
        return Answered(sequence, now_s - sent.due_s, now_s - sent.first_s)
