"""What every door does with what has arrived, whichever broker stands before it.

A door (`mqtt_in.py`, `nats_in.py`) gathers arrivals, gives them to `Intake.take`, sends what that returns, and only
then tells its broker that they are taken. If the store fails, nothing is told and the same arrivals are tried again;
what a broker loses meanwhile, the units send again, for they have no receipt.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import SQLAlchemyError

from server.command_sending import due_messages, send_again
from server.config import IngestSettings
from server.fairness import Fairness
from server.live import Arrival, Outcome, Verdict, take
from server.store.db import Store
from wire.seal import seal_receipt
from wire.topics import COMMAND, RECEIPT, unit_of

log = logging.getLogger(__name__)

_TELL_AGAIN_S = 60.0


@dataclass
class IngestCounts:
    """What this process has taken in since it started."""

    batches: int = 0
    samples: int = 0
    redelivered: int = 0
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    put_off: int = 0  # above what one unit may send: not stored, not receipted, sent again by the unit
    commits: int = 0
    busy_ms: int = 0  # in commits, with all that is done for them


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish."""

    topic: str
    payload: bytes
    qos: int


class Intake:
    """Arrivals → store → receipts; and the commands that are due. `now_ms` is the server's clock (UTC ms)."""

    def __init__(
        self,
        store: Store,
        receipt_key: Ed25519PrivateKey,
        now_ms: Callable[[], int],
        limits: IngestSettings = IngestSettings(),  # noqa: B008 - frozen
    ) -> None:
        self.counts = IngestCounts()
        self._fairness = Fairness(limits.unit_per_s, limits.unit_burst)
        self._told_s: dict[str, float] = {}  # units that were put off, and when the log said so
        self._store, self._receipt_key, self._now_ms = store, receipt_key, now_ms
        self._broker_may_have_lost_commands = False

    def take(self, arrivals: Sequence[Arrival]) -> list[Message]:
        """Store what arrived, in one commit; the receipts, to be sent now that it is durable.

        Raises:
            SQLAlchemyError: the store did not take it; nothing is stored, the same may be tried again.
        """
        began_s = time.monotonic()
        admitted = [each for each in arrivals if self._admits(each, began_s)]
        self._fairness.sweep(began_s)
        try:
            outcomes, receipts = take(self._store, admitted, self._now_ms())
        except SQLAlchemyError:
            self._fairness.give_back(map(_unit, admitted))
            raise
        self._count(outcomes)
        self.counts.put_off += len(arrivals) - len(admitted)
        self.counts.commits += 1
        self.counts.busy_ms += round((time.monotonic() - began_s) * 1000)
        return [Message(RECEIPT.of(each.unit), seal_receipt(self._receipt_key, each), RECEIPT.qos) for each in receipts]

    def reconnected(self) -> None:
        """The broker may have lost commands that it held: every open one is due again."""
        self._broker_may_have_lost_commands = True

    def commands(self) -> list[Message]:
        """The commands that are due; they count as sent. None while the store does not tell."""
        try:
            if self._broker_may_have_lost_commands:
                self._broker_may_have_lost_commands = False
                send_again(self._store, self._now_ms())
            due = due_messages(self._store, self._receipt_key, self._now_ms())
        except SQLAlchemyError:
            self._broker_may_have_lost_commands = True
            log.exception("the store does not tell which commands are due; trying again")
            return []
        return [Message(topic, payload, COMMAND.qos) for topic, payload in due]

    def _admits(self, arrival: Arrival, now_s: float) -> bool:
        unit = _unit(arrival)
        if self._fairness.admits(unit, now_s):
            return True
        if now_s - self._told_s.get(unit, float("-inf")) > _TELL_AGAIN_S:
            log.warning("%s sends more than one unit may: batches of it are put off until it sends them again", unit)
            self._told_s = {name: at_s for name, at_s in self._told_s.items() if now_s - at_s <= _TELL_AGAIN_S}
            self._told_s[unit] = now_s
        return False

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.verdict is Verdict.STORED:
                self.counts.batches += 1
                self.counts.samples += outcome.samples
            elif outcome.verdict is Verdict.REDELIVERED:
                self.counts.redelivered += 1
            else:
                self.counts.refused += 1
                reason = str(outcome.reason)
                self.counts.refused_by_reason[reason] = self.counts.refused_by_reason.get(reason, 0) + 1


def _unit(arrival: Arrival) -> str:
    return unit_of(arrival.topic) or arrival.topic
