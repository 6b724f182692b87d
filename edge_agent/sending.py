"""What to send next, and when to send it again. Pure.

A window of batches is under way. One without a receipt after `PATIENCE_S` steps aside, so that those behind it go
ahead, and is tried again as soon as there is room, then after `PATIENCE_S`, then each time after twice as long. A batch
that the server will never take cannot block the rest.
Once `MOST_ASIDE` stand aside nothing is getting receipts at all, and nothing new is sent until one does.
"""

from dataclasses import dataclass, field

WINDOW = 20  # measured: more gain nothing (benchmarks of the MQTT client), fewer halve the rate
PATIENCE_S = 20.0
LONGEST_REST_S = 3600.0
MOST_ASIDE = 200


@dataclass(slots=True)
class SendWindow:
    """Which sequences are under way or stand aside; times are the unit's monotonic clock, s."""

    _under_way: dict[int, float] = field(default_factory=dict)  # sequence → given up at
    _aside: dict[int, float] = field(default_factory=dict)  # sequence → to be tried again at
    _tries: dict[int, int] = field(default_factory=dict)

    def on_connected(self) -> None:
        """A new connection: those aside may try again at once; those under way the MQTT client sends again itself."""
        self._aside = dict.fromkeys(self._aside, float("-inf"))

    def on_receipted(self, still_waiting: set[int]) -> None:
        """Receipts came; of what we hold only these are without one now."""
        for held in (self._under_way, self._aside, self._tries):
            for sequence in [each for each in held if each not in still_waiting]:
                del held[sequence]

    def held(self) -> set[int]:
        """Every sequence that is under way or stands aside."""
        return self._under_way.keys() | self._aside.keys()

    def expire(self, mono_s: float) -> None:
        """Put aside what has waited too long for its receipt."""
        for sequence in [each for each, until in self._under_way.items() if until <= mono_s]:
            del self._under_way[sequence]
            self._aside[sequence] = mono_s + self._rest_s(self._tries[sequence])

    def room(self) -> int:
        """How many batches that were never sent may leave now."""
        return 0 if len(self._aside) >= MOST_ASIDE else max(0, WINDOW - len(self._under_way))

    def again(self, mono_s: float) -> list[int]:
        """Which of those aside are due again, as many as there is room for."""
        due = sorted(each for each, at in self._aside.items() if at <= mono_s)
        return due[: max(0, WINDOW - len(self._under_way))]

    def on_sent(self, sequence: int, mono_s: float) -> None:
        """A batch was handed to the network."""
        self._aside.pop(sequence, None)
        self._tries[sequence] = self._tries.get(sequence, 0) + 1
        self._under_way[sequence] = mono_s + PATIENCE_S

    @staticmethod
    def _rest_s(tries: int) -> float:
        """How long a batch rests that was sent so often: 0, 20, 40, 80 … 3600 s."""
        return 0.0 if tries < 2 else min(LONGEST_REST_S, PATIENCE_S * 2.0 ** min(20, tries - 2))
