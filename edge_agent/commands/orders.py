"""Carries out what the server asked for, once `commands/desk.py` has judged it. Nothing here can reach the car."""

import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from edge_agent.batch import Sealed
from edge_agent.commands.desk import Answer, CommandDesk, Do, Step
from edge_agent.commands.judging import Action, CancelFollow, ChangeSetting, Follow, Locate, Recall, SendStatus
from edge_agent.commands.overrides import Overrides
from edge_agent.commands.recall import recall
from edge_agent.config import UnitConfig
from edge_agent.pipeline import Pipeline
from edge_agent.settings import ConfigError
from edge_agent.store.kept import Following
from edge_agent.store.outbox import Outbox
from wire.commands import Outcome, Refusal

log = logging.getLogger(__name__)

_LOCATE_S = 15.0  # everything is sent for so long: the fix of now and how it moves


@dataclass(frozen=True, slots=True)
class _Done:
    """What became of an order, and the batches that it made due."""

    outcome: Outcome = Outcome.DONE
    reason: str = ""
    sealed: tuple[Sealed, ...] = ()


class Orders:
    """One unit's executor. Each call gives the batches that it made due."""

    def __init__(
        self,
        config: UnitConfig,
        desk: CommandDesk,
        pipeline: Pipeline,
        outbox: Outbox,
        overrides: Overrides,
        status: Callable[[], Mapping[str, str]],
        restart: Callable[[], None],
        following: Following | None = None,
    ) -> None:
        """`status` is what an event of that kind tells; `restart` begins the agent anew, with changed settings.

        `following`: what an earlier run was asked to follow; it goes on once the server's time is known.
        """
        self._config = config
        self._desk, self._pipeline, self._outbox, self._overrides = desk, pipeline, outbox, overrides
        self._status, self._restart = status, restart
        self.following = following  # to be kept for the next run
        self._goes_on = following is not None

    def on_start(self, mono_s: float) -> tuple[Sealed, ...]:
        """Answer what power cut short."""
        return self._take(self._desk.on_start(mono_s), mono_s)

    def on_command(self, data: bytes, mono_s: float, server_now_ms: int | None) -> tuple[Sealed, ...]:
        """Bytes on the command topic."""
        return self._take(self._desk.on_command(data, mono_s, server_now_ms), mono_s, server_now_ms)

    def on_server_time(self, mono_s: float, server_now_ms: int | None) -> tuple[Sealed, ...]:
        """The server's time may be known now: what was held is judged."""
        if server_now_ms is None:
            return ()
        if self._goes_on and self.following is not None and self.following.until_ms > server_now_ms:
            left_s = (self.following.until_ms - server_now_ms) / 1000
            self._pipeline.follow(Follow(self.following.every_s, mono_s + left_s), mono_s)
        self._goes_on = False
        return self._take(self._desk.on_server_time(mono_s, server_now_ms), mono_s, server_now_ms)

    def _take(self, steps: tuple[Step, ...], mono_s: float, server_now_ms: int | None = None) -> tuple[Sealed, ...]:
        sealed: tuple[Sealed, ...] = ()
        for step in steps:
            answer = step
            if isinstance(step, Do):
                done = self._carry_out(step.action, mono_s, server_now_ms)
                sealed += done.sealed
                answer = self._desk.finish(step.command, done.outcome, done.reason, mono_s)
            assert isinstance(answer, Answer)
            sealed += self._pipeline.on_event("command_answer", mono_s, answer.details)
        return sealed

    def _carry_out(self, action: Action, mono_s: float, server_now_ms: int | None) -> _Done:
        match action:
            case Locate():
                if not self._pipeline.follows(mono_s + _LOCATE_S):
                    self._pipeline.follow(Follow(1, mono_s + _LOCATE_S), mono_s)
            case Follow():
                assert server_now_ms is not None  # the desk holds what it cannot date
                until_ms = server_now_ms + round((action.until_mono_s - mono_s) * 1000)
                self.following = Following(action.every_s, until_ms)
                self._pipeline.follow(action, mono_s)
            case CancelFollow():
                self.following = None
                self._pipeline.follow(None, mono_s)
            case Recall(from_ms=from_ms, to_ms=to_ms):
                return self._recall(from_ms, to_ms, mono_s)
            case SendStatus():
                return _Done(sealed=self._pipeline.on_event("status", mono_s, self._status()))
            case ChangeSetting():
                return self._change(action)
        return _Done()

    def _recall(self, from_ms: int, to_ms: int, mono_s: float) -> _Done:
        try:
            batches = recall(self._outbox, from_ms, to_ms)
        except sqlite3.OperationalError as error:
            return _Done(Outcome.FAILED, f"the card does not take it: {error}")
        samples = self._pipeline.recall(from_ms, to_ms, mono_s)
        if not batches and not samples:
            return _Done(Outcome.FAILED, "nothing is kept of that time")
        return _Done(reason=f"{batches} batches again, {samples} samples not sent before")

    def _change(self, change: ChangeSetting) -> _Done:
        where = f"[{change.section}] {change.name}"
        section = getattr(self._config, change.section)
        if section is None:
            return _Done(Outcome.REFUSED, f"{Refusal.PARAMETERS}: [{change.section}] is not in use")
        try:
            replace(section, **{change.name: change.value})  # each section says what does not go together
            self._overrides.put(change.section, change.name, change.text)
        except ConfigError as error:
            return _Done(Outcome.REFUSED, f"{Refusal.PARAMETERS}: {error}")
        except OSError as error:
            return _Done(Outcome.FAILED, f"the card does not take it: {error}")
        log.warning("%s = %s, by a command of the server; the agent begins anew with it", where, change.text)
        self._restart()
        return _Done()
