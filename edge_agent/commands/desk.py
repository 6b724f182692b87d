"""Where commands come in and answers go out: judge, remember, hold, answer. The agent only carries out.

    on_command / on_server_time ──▶ Do(command, action) ──▶ the agent acts ──▶ finish(command, outcome) ──▶ Answer
                                └─▶ Answer (refused, repeated, not understood)

An `Answer` is a `command_answer` event for the one outbox. No clock here; the memory is the only thing outside.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge_agent.commands.judging import Accepted, Action, Held, Refused, Repeated, Unbelieved, answer, judge
from edge_agent.commands.memory import CommandMemory
from edge_agent.commands.remote_settings import Sections
from wire.commands import Command, Outcome, Refusal

log = logging.getLogger(__name__)

MOST_HELD = 32  # before the server's time is known; the oldest go, the server sends them again
# The server sends a command again until it has the answer, and the broker hands over all that it queued for a unit that
# was away: one answer is enough for all of them.
ANSWER_AGAIN_S = 60.0
_MOST_ANSWERED = 256
# Refusals that would come out otherwise on another day: told apart by the memory, as carried out ones are.
_WORTH_REMEMBERING = (str(Refusal.PARAMETERS),)


@dataclass(frozen=True, slots=True)
class Do:
    """To be carried out now, once; then `CommandDesk.finish` makes the answer."""

    command: Command
    action: Action


@dataclass(frozen=True, slots=True)
class Answer:
    """The details of a `command_answer` event."""

    details: dict[str, str]


Step = Do | Answer


class CommandDesk:
    """One unit's commands. `counts` are by name, to be told with the unit's other counters."""

    def __init__(self, unit: str, keys: Iterable[Ed25519PublicKey], memory: CommandMemory, sections: Sections) -> None:
        self._unit, self._keys, self._memory, self._sections = unit, tuple(keys), memory, sections
        self._held: dict[bytes, None] = {}  # sealed bytes, oldest first, each once
        self._answered_s: dict[bytes, float] = {}
        self.counts = Counter[str]()

    def on_start(self, mono_s: float) -> tuple[Answer, ...]:
        """Power failed while these were carried out."""
        return tuple(
            self._tell(command_id, each.kind, Outcome.INTERRUPTED, "", mono_s)
            for command_id, each in self._memory.interrupted.items()
        )

    def on_command(self, sealed: bytes, mono_s: float, server_now_ms: int | None) -> tuple[Step, ...]:
        """A payload came on the command topic; `server_now_ms` is the server's time where it is known."""
        if server_now_ms is not None and not self._ready(server_now_ms):
            return ()
        judged = judge(sealed, self._unit, self._keys, self._memory.seen, self._sections, mono_s, server_now_ms)
        match judged:
            case Held():
                self._hold(sealed)
                return ()
            case Unbelieved(reason=reason):
                self.counts[f"commands.unbelieved.{reason}"] += 1
                log.warning("refused bytes on the command topic: %s", reason)
                return ()
            case Accepted(command=command, action=action):
                return self._begin(command, action)
            case Repeated(command=command, first=first):
                self.counts["commands.repeated"] += 1
                if first.outcome is None or self._answered_lately(command.id, mono_s):
                    return ()
                return (self._tell(command.id, first.kind, first.outcome, first.reason, mono_s, repeated=True),)
            case Refused(command=command, outcome=outcome, reason=reason):
                return self._refuse(command, outcome, reason, mono_s)

    def on_server_time(self, mono_s: float, server_now_ms: int) -> tuple[Step, ...]:
        """The server's time is known: what was held can be judged. Cheap where nothing is."""
        held, self._held = list(self._held), {}
        return tuple(step for sealed in held for step in self.on_command(sealed, mono_s, server_now_ms))

    def finish(self, command: Command, outcome: Outcome, reason: str, mono_s: float) -> Answer:
        """A `Do` was carried out, or could not be: the answer, remembered first."""
        self.counts[f"commands.{outcome}"] += 1
        log.info("command %s %s: %s %s", command.kind, command.id.hex(), outcome, reason)
        try:
            self._memory.end(command, outcome, reason)
        except OSError as error:  # the answer is still true; after a power cut it would be "interrupted"
            log.error("the outcome of %s is not remembered: %s", command.id.hex(), error)
        return self._tell(command.id, command.kind, outcome, reason, mono_s)

    def listed(self, most: int = 10) -> list[dict[str, str]]:
        """The newest commands that this unit remembers, for its status: id, kind, outcome and reason."""
        newest = list(self._memory.seen.commands.items())[-most:]
        return [
            {"id": command_id.hex(), "kind": each.kind, "outcome": str(each.outcome or "begun"), "reason": each.reason}
            for command_id, each in reversed(newest)
        ]

    def _ready(self, server_now_ms: int) -> bool:
        try:
            self._memory.know_time(server_now_ms)
        except OSError as error:
            log.error("the memory of commands cannot be written: %s; none is carried out", error)
            self.counts["commands.not_remembered"] += 1
            return False
        return True

    def _hold(self, sealed: bytes) -> None:
        self._held[sealed] = None
        if len(self._held) > MOST_HELD:
            del self._held[next(iter(self._held))]
            self.counts["commands.not_held"] += 1

    def _begin(self, command: Command, action: Action) -> tuple[Step, ...]:
        try:
            self._memory.begin(command)
        except OSError as error:  # unanswered: the server sends it again, and the card may have room then
            log.error("command %s is not carried out, since it cannot be remembered: %s", command.id.hex(), error)
            self.counts["commands.not_remembered"] += 1
            return ()
        return (Do(command, action),)

    def _refuse(self, command: Command, outcome: Outcome, reason: str, mono_s: float) -> tuple[Step, ...]:
        if self._answered_lately(command.id, mono_s):
            return ()
        if outcome is Outcome.NOT_UNDERSTOOD or reason.startswith(_WORTH_REMEMBERING):
            return (self.finish(command, outcome, reason, mono_s),)
        self.counts[f"commands.{outcome}"] += 1
        return (self._tell(command.id, command.kind, outcome, reason, mono_s),)

    def _answered_lately(self, command_id: bytes, mono_s: float) -> bool:
        answered_s = self._answered_s.get(command_id)
        return answered_s is not None and mono_s - answered_s < ANSWER_AGAIN_S

    def _tell(
        self, command_id: bytes, kind: str, outcome: Outcome, reason: str, mono_s: float, *, repeated: bool = False
    ) -> Answer:
        self._answered_s.pop(command_id, None)
        self._answered_s[command_id] = mono_s
        if len(self._answered_s) > _MOST_ANSWERED:
            del self._answered_s[next(iter(self._answered_s))]
        return Answer(answer(command_id, kind, outcome, reason, repeated=repeated))
