"""Carries a planned halt out: news first, then the power goes. The sleeper's tool may take long, so it has a thread.

The plan alone says whether the unit halts; this file only waits until everything is sent, or for a while.
"""

import logging
import threading
from collections.abc import Callable

from edge_agent.power.sleeping import HaltFailedError, Sleeper
from edge_agent.power.states import Halt, Memory

log = logging.getLogger(__name__)

_SEND_FOR_S = 30.0


class Halting:
    """One unit's way to be off."""

    def __init__(self, sleeper: Sleeper, on_failed: Callable[[str], None]) -> None:
        """`on_failed` is called from a thread with the reason why the machine stays on."""
        self._sleeper, self._on_failed = sleeper, on_failed
        self._planned: Halt | None = None
        self._since_s = 0.0
        self._is_asked = False

    def tend(self, halt: Halt | None, is_drained: bool, memory: Memory, mono_s: float) -> None:
        """Once a second: what the plan says, and whether all that waits has its receipt."""
        if halt != self._planned:
            self._planned, self._since_s, self._is_asked = halt, mono_s, False
        if halt is None or self._is_asked or not (is_drained or mono_s - self._since_s >= _SEND_FOR_S):
            return
        self._is_asked = True
        log.warning("halting: %s", halt.reason)
        threading.Thread(target=self._halt, args=(halt, memory), name="halting", daemon=True).start()

    def _halt(self, halt: Halt, memory: Memory) -> None:
        try:
            self._sleeper.halt(halt, memory)
        except HaltFailedError as error:
            log.error("the unit stays on: %s", error)
            self._on_failed(str(error))
