"""What to send next, and when to send it again. Pure.

A window of batches is under way. Four lanes wait for a place in it:

    live     sealed since the connection came up (and the newest before): the vehicle now; its events first
    events   older batches that tell an event or a loss
    again    was sent, got no receipt in time, and has rested
    backlog  older samples, oldest first

Live and events are the fast side, again and backlog the slow one. The fast side chooses first, but neither may fill the
window: `_KEPT` places are kept for the other, and within a side the lanes take turns. So what is live waits for nobody
else's receipt, and no lane waits for ever.

A batch without a receipt after `PATIENCE_S` steps aside, so that others go ahead; it is due again at once, then after
`PATIENCE_S`, then each time after twice as long. A batch that the server will never take cannot block the rest.
Once `MOST_ASIDE` stand aside nothing is getting receipts at all, and nothing new is sent until one does.

A batch is known here by its `id` (see `store/outbox_file.py`): a number that orders batches by boot, then sequence.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice, zip_longest

WINDOW = 20  # measured: more gain nothing (benchmarks of the MQTT client), fewer halve the rate
PATIENCE_S = 20.0
LONGEST_REST_S = 3600.0
MOST_ASIDE = 200
_KEPT = 4


@dataclass(frozen=True, slots=True)
class Waiting:
    """Ids of batches without a receipt that are not held by the window, each lane in the order to be sent in."""

    live: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    backlog: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """A batch that may leave now; `fast` where it takes a place of the fast side."""

    id: int
    fast: bool


@dataclass(slots=True)
class SendWindow:
    """Which batches are under way or stand aside; times are the unit's monotonic clock, s."""

    live_from: int | None = None  # ids from here on are live; None before the first connection
    _under_way: dict[int, float] = field(default_factory=dict)  # id → given up at
    _fast: set[int] = field(default_factory=set)  # of those under way
    _aside: dict[int, float] = field(default_factory=dict)  # id → to be tried again at
    _tries: dict[int, int] = field(default_factory=dict)
    _turns: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})  # sent on the fast side, and the slow

    def on_connected(self, live_from: int) -> None:
        """A new connection: those aside may try again at once; those under way the MQTT client sends again itself.

        `live_from` is the id of the newest batch: where the vehicle is now goes before where it was.
        """
        self.live_from = live_from
        self._aside = dict.fromkeys(self._aside, float("-inf"))

    def on_receipted(self, still_waiting: set[int]) -> None:
        """Receipts came; of what we hold only these are without one now."""
        for held in (self._under_way, self._aside, self._tries):
            for each in [each for each in held if each not in still_waiting]:
                del held[each]
        self._fast &= self._under_way.keys()

    def held(self) -> set[int]:
        """Every batch that is under way or stands aside."""
        return self._under_way.keys() | self._aside.keys()

    def expire(self, mono_s: float) -> None:
        """Put aside what has waited too long for its receipt."""
        for each in [each for each, until in self._under_way.items() if until <= mono_s]:
            del self._under_way[each]
            self._fast.discard(each)
            self._aside[each] = mono_s + self._rest_s(self._tries[each])

    def next(self, waiting: Waiting, mono_s: float) -> list[Choice]:
        """Which batches may leave now, in this order; `on_sent` says that one did.

        Args:
            waiting: the first of each lane, at least `WINDOW` where there are as many.
            mono_s: now.
        """
        stuck = len(self._aside) >= MOST_ASIDE
        due = sorted(each for each, at in self._aside.items() if at <= mono_s)
        fast = () if stuck else _in_turns(self._turns[True], waiting.live, waiting.events)
        slow = _in_turns(self._turns[False], due, () if stuck else waiting.backlog)
        room, most = max(0, WINDOW - len(self._under_way)), WINDOW - _KEPT
        chosen = [Choice(each, True) for each in islice(fast, max(0, min(room, most - len(self._fast))))]
        room, slow_under_way = room - len(chosen), len(self._under_way) - len(self._fast)
        return chosen + [Choice(each, False) for each in islice(slow, max(0, min(room, most - slow_under_way)))]

    def on_sent(self, choice: Choice, mono_s: float) -> None:
        """A batch was handed to the network."""
        self._aside.pop(choice.id, None)
        self._tries[choice.id] = self._tries.get(choice.id, 0) + 1
        self._under_way[choice.id] = mono_s + PATIENCE_S
        self._turns[choice.fast] += 1
        if choice.fast:
            self._fast.add(choice.id)

    @staticmethod
    def _rest_s(tries: int) -> float:
        """How long a batch rests that was sent so often: 0, 20, 40, 80 … 3600 s."""
        return 0.0 if tries < 2 else min(LONGEST_REST_S, PATIENCE_S * 2.0 ** min(20, tries - 2))


def _in_turns(turn: int, first: Iterable[int], second: Iterable[int]) -> Iterator[int]:
    """`turn` counts on over the calls, since often only one place is free."""
    if turn % 2:
        first, second = second, first
    return (each for each in chain.from_iterable(zip_longest(first, second)) if each is not None)
