"""Makes the receiver talk less, if the installer wants that: listen, ask who it is, write, see whether it worked. Pure.

The caller hands in every byte the receiver says (`feed`) and writes what `due` returns, at the latest once a second.
Nothing is written with `configure = "off"`, before the receiver has told a time (a wrong line speed, another device),
or if it already says what is wanted; a receiver that does not prove its make gets the four questions, once. Whatever it
answers, or not, ends in a state that says so. Nothing is saved (receiver_dialects.py), so a power cycle undoes all of
it, and `revert` undoes it at once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.gnss.receiver_dialects import (
    INTERVAL_MS,
    QUESTIONS,
    STARTED,
    SWITCHABLE,
    WANTED_TYPES,
    Command,
    Dialect,
    commands,
    who_is_it,
)
from edge_agent.settings import setting

LISTEN_S = 5.0  # a few epochs: what it says without being asked
ANSWER_S = 1.5
TRIES = 2
CHECK_S = 6.0  # the mix after writing; what was under way is left out
SETTLE_S = 2.0
AGAIN_AFTER_S = 60.0  # a receiver that restarts all the time is not set up all the time
KEPT_BYTES = 4096
MAX_TIMES = 32
_ADDRESS = re.compile(rb"\$[A-Z]{2}([A-Z]{3}),(\d{6}(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """`[receiver]` of unit.toml."""

    configure: str = setting(
        "auto: a receiver of a known make is told, until its next power cycle, to send RMC and GGA once a second only",
        "off",
        choices=("off", "auto"),
    )
    systems: str = setting(
        "which satellites it uses: as it is, or gps+beidou (CASIC and u-blox from M9 on)",
        "keep",
        choices=("keep", "gps+beidou"),
    )


class ReceiverSetup:
    """One receiver's setup; `state` says in words how far it is."""

    def __init__(self, settings: ReceiverSettings) -> None:
        self._settings = settings
        self._types: set[str] = set()  # of the sentences heard while listening or checking
        self._times: deque[str] = deque(maxlen=MAX_TIMES)  # of RMC or GGA, as said
        self._queue: deque[Command] = deque()
        self._tries = 0
        self._sent_s = 0.0
        self._finished_s = float("-inf")
        self.restart()

    def restart(self) -> None:
        """The port was opened anew: it may be another receiver, or the same without its setup."""
        self.state = "off" if self._settings.configure == "off" else "listening"
        self.dialect: Dialect | None = None
        self.refused: list[str] = []  # commands that were answered with no, or not at all
        self._since_s: float | None = None  # of the state
        self._heard = b""
        self._line = b""
        self._before: frozenset[str] | None = None
        self._before_ms: int | None = None
        self._aim = WANTED_TYPES
        self._types.clear()
        self._times.clear()
        self._queue.clear()

    def feed(self, data: bytes, mono_s: float) -> None:
        """What the receiver said; never raises."""
        if self.state in ("off", "unknown receiver"):
            return
        self._heard = (self._heard + data)[-KEPT_BYTES:]
        if self.state in ("listening", "checking"):
            self._note_sentences(data)
        if self._since_s is None:
            self._since_s = mono_s
        restarted = self.state.startswith(("done", "unconfirmed")) and STARTED.search(self._heard)
        if restarted and mono_s - self._finished_s >= AGAIN_AFTER_S:
            self.restart()

    def due(self, mono_s: float) -> bytes:
        """What to write to the receiver now; mostly nothing."""
        if self._since_s is None or self.state == "off":
            return b""
        waited_s = mono_s - self._since_s
        if self.state == "listening" and waited_s >= LISTEN_S:
            return self._listened(mono_s)
        if self.state == "asking":
            return self._ask(mono_s)
        if self.state == "writing":
            return self._write(mono_s)
        if self.state == "checking" and waited_s < SETTLE_S:
            self._types.clear()
        elif self.state == "checking" and waited_s >= CHECK_S:
            self._check(mono_s)
        return b""

    def revert(self, mono_s: float) -> None:
        """Have the mix and the interval written that were heard before; a power cycle does the same."""
        if self.dialect is None or self._before is None:
            return
        interval_ms = self._before_ms if self._before_ms != INTERVAL_MS else None
        self._aim = self._before
        self._begin_writing(commands(self.dialect, self._before, interval_ms), mono_s)

    def _note_sentences(self, data: bytes) -> None:
        lines, end, rest = (self._line + data).rpartition(b"\n")
        self._line = rest[-KEPT_BYTES:]
        for found in _ADDRESS.finditer(lines + end):
            self._types.add(found[1].decode())
            time = (found[2] or b"").decode()
            if found[1] in (b"RMC", b"GGA") and time and time not in self._times:
                self._times.append(time)

    def _listened(self, mono_s: float) -> bytes:
        if not self._times:  # not a receiver, another speed, or a cold start without even a time: do not talk to it
            self._since_s = mono_s
            return b""
        self._before = frozenset(self._types & set(SWITCHABLE))
        self._before_ms = _interval_ms(self._times)
        talks_as_wanted = self._before == WANTED_TYPES and self._before_ms in (None, INTERVAL_MS)
        if talks_as_wanted and self._settings.systems == "keep":
            self._finish("done: it already sends what is wanted", mono_s)
            return b""
        self._enter("asking", mono_s)
        self._queue = deque(QUESTIONS)
        self._sent_s = mono_s - ANSWER_S
        return self._ask(mono_s)

    def _ask(self, mono_s: float) -> bytes:
        self.dialect = who_is_it(self._heard)
        if self.dialect is not None:
            interval_ms = None if self._before_ms in (None, INTERVAL_MS) else INTERVAL_MS
            gps_beidou = self._settings.systems == "gps+beidou"
            self._begin_writing(commands(self.dialect, WANTED_TYPES, interval_ms, gps_beidou), mono_s)
            return self._write(mono_s)
        if mono_s - self._sent_s < ANSWER_S:
            return b""
        if not self._queue:
            self._finish("unknown receiver", mono_s)
            return b""
        self._sent_s = mono_s
        return self._queue.popleft().data

    def _begin_writing(self, todo: Iterable[Command], mono_s: float) -> None:
        self._enter("writing", mono_s)
        self._queue = deque(todo)
        self.refused = []
        self._tries = 0

    def _write(self, mono_s: float) -> bytes:
        while self._queue:
            command = self._queue[0]
            if self._tries and not self._is_over(command, mono_s):
                return b""
            if not self._tries or (self._tries < TRIES and self._is_unanswered(command)):
                self._tries += 1
                self._sent_s = mono_s
                self._heard = b""
                return command.data
            if command.ack is not None and command.ack.search(self._heard) is None:
                self.refused.append(command.about)
            self._queue.popleft()
            self._tries = 0
        self._enter("checking", mono_s)
        return b""

    def _is_unanswered(self, command: Command) -> bool:
        if command.ack is None:
            return False  # nothing ever answers it: saying it twice proves nothing
        answers = (command.ack, command.nak)
        return not any(answer is not None and answer.search(self._heard) for answer in answers)

    def _is_over(self, command: Command, mono_s: float) -> bool:
        answered = command.ack is not None and not self._is_unanswered(command)
        return answered or mono_s - self._sent_s >= ANSWER_S

    def _check(self, mono_s: float) -> None:
        heard = self._types & set(SWITCHABLE)
        if heard == self._aim:
            self._finish("done" if self._aim == WANTED_TYPES else "done: as it was before", mono_s)
        else:
            self._finish(f"unconfirmed: it sends {' '.join(sorted(heard)) or 'nothing'}", mono_s)

    def _finish(self, state: str, mono_s: float) -> None:
        self._enter(state, mono_s)
        self._finished_s = mono_s
        self._heard = b""

    def _enter(self, state: str, mono_s: float) -> None:
        self.state, self._since_s = state, mono_s


def _interval_ms(times: Iterable[str]) -> int | None:
    """Between epochs, from their times of day; None if too few were heard."""
    seconds = sorted({int(time[:2]) * 3600 + int(time[2:4]) * 60 + float(time[4:]) for time in times})
    gaps = sorted(round(1000 * (later - earlier)) for earlier, later in pairwise(seconds))
    return gaps[len(gaps) // 2] if len(gaps) >= 2 else None
