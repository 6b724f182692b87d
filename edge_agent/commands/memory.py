"""Which commands this unit has had, in `commands.json`: durable, so that none is carried out twice, and bounded.

An id is on the card before its command is carried out, and its outcome before it is answered. So when power fails
- before the first: the command has left no trace; the server sends it again, and it is carried out then;
- between the two: it was carried out once or not at all. It is answered `interrupted` and never carried out again;
- after the second, before the answer is in the outbox: the server sends it again, and gets the first outcome.

An id is kept until its command has expired and a day longer, since what has expired is refused anyhow.
"""

import json
import logging
from pathlib import Path

from edge_agent.commands.judging import Remembered, Seen
from edge_agent.store.durable_file import replace_durably
from wire.commands import COMMAND_ID_BYTES, Command, Outcome

log = logging.getLogger(__name__)

MOST_REMEMBERED = 200  # unexpired at once, some 30 KB; beyond it commands are refused
_KEEP_AFTER_EXPIRY_MS = 24 * 3600 * 1000  # the server's time is known to minutes at worst


class CommandMemory:
    """Used from one thread.

    Attributes:
        interrupted: commands that were begun and not ended when the unit was last switched off.
    """

    def __init__(self, path: Path) -> None:
        """Open the memory; a file that is not there is a unit that never had a command.

        A file that cannot be read is a memory lost: what was issued before the time that `know_time` is told next is
        refused, since nobody can say whether it was carried out.
        """
        self._path = path
        self._commands: dict[bytes, Remembered] = {}
        self._not_before_ms = 0
        self._lost = False
        self.interrupted: dict[bytes, Remembered] = {}
        try:
            self._not_before_ms, self._commands = _read(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("%s cannot be read (%r): commands of before now will be refused", path, error)
            self._lost = True
            return
        for command_id, each in self._commands.items():
            if each.outcome is None:
                self.interrupted[command_id] = Remembered(each.kind, each.expires_ms, Outcome.INTERRUPTED)
        if self.interrupted:
            self._commands |= self.interrupted
            try:
                self._save()
            except OSError as error:  # the next start finds them again
                log.error("%s cannot be written: %s", path, error)

    @property
    def seen(self) -> Seen:
        """What `judge` asks for."""
        return Seen(self._commands, self._not_before_ms, MOST_REMEMBERED)

    def know_time(self, server_now_ms: int) -> None:
        """Let go of what has long expired; after a loss, draw the line here. Raises OSError where that is not kept."""
        old = [
            each for each, told in self._commands.items() if told.expires_ms + _KEEP_AFTER_EXPIRY_MS <= server_now_ms
        ]
        for command_id in old:
            del self._commands[command_id]
        if self._lost:
            self._not_before_ms = server_now_ms
            self._save()
            self._lost = False

    def begin(self, command: Command) -> None:
        """About to be carried out: on the card when this returns. Raises OSError, and then it must not be."""
        self._put(command.id, Remembered(command.kind, command.expires_ms))

    def end(self, command: Command, outcome: Outcome, reason: str = "") -> None:
        """Carried out, or refused: on the card when this returns. Raises OSError; it is known until power fails."""
        made = Remembered(command.kind, command.expires_ms, outcome, reason)
        self._commands[command.id] = made
        self._save()

    def _put(self, command_id: bytes, made: Remembered) -> None:
        self._commands[command_id] = made
        try:
            self._save()
        except OSError:
            del self._commands[command_id]
            raise

    def _save(self) -> None:
        told = {
            command_id.hex(): {
                "kind": each.kind,
                "expires_ms": each.expires_ms,
                "outcome": each.outcome,
                "reason": each.reason,
            }
            for command_id, each in self._commands.items()
        }
        replace_durably(self._path, json.dumps({"not_before_ms": self._not_before_ms, "commands": told}))


def _read(text: str) -> tuple[int, dict[bytes, Remembered]]:
    found = json.loads(text)
    commands: dict[bytes, Remembered] = {}
    for name, each in found["commands"].items():
        command_id, outcome = bytes.fromhex(name), each["outcome"]
        if len(command_id) != COMMAND_ID_BYTES:
            raise ValueError(f"{name!r} is no id")
        commands[command_id] = Remembered(
            str(each["kind"]),
            int(each["expires_ms"]),
            None if outcome is None else Outcome(outcome),
            str(each["reason"]),
        )
    return int(found["not_before_ms"]), commands
