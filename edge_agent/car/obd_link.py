"""The car's OBD port as Readings: starts the worker process, believes its lines, and kills it when it falls silent.

Why a process and deadlines from outside: python-OBD can sit in one query for two minutes when an adapter hangs, does
not notice, and never reconnects. Here a worker that says nothing for too long is killed with SIGKILL, and every
recovery, whatever its cause, is the same: a fresh worker after a pause. The first pause is three seconds because an
adapter that was just closed refuses to open again sooner. The worker ends with this process, kill -9 included.

How much is asked is the power manager's choice (`ask`); the worker stops by itself when the engine is off.
"""

import contextlib
import logging
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from edge_agent.car.abilities import CarAbilities
from edge_agent.car.lifeline import (
    LONGEST_REST_S,
    MAX_LINE,
    Asking,
    Deadlines,
    Doing,
    Ending,
    Hello,
    Lifeline,
    Phase,
    Silent,
    Suspects,
    parse_line,
)
from edge_agent.car.readings import Reading, Refused, checked
from edge_agent.ports.place import Find, Place
from edge_agent.ports.serial_port import why

FUTURE_S = 0.5  # a reading that claims to be this far ahead of our own monotonic clock is refused
MUTE = "the adapter fell silent"  # the worker's own word for it, and ours
VOLTAGE_ROSE = "voltage rose"  # with this a resting worker goes over to asking everything
KILLED: Mapping[Phase, str] = {
    Phase.CONNECTING: "the adapter does not answer",
    Phase.QUERYING: MUTE,
}

_log = logging.getLogger(__name__)


class Ask(Enum):
    """How much is asked."""

    ALL = "all"  # the car by schedule, for as long as its engine turns
    RESTING = "resting"  # only the adapter's voltage; no question reaches the car, until the voltage rises
    OFF = "off"  # no worker, the port is closed


@dataclass(frozen=True, slots=True)
class ObdCounts:
    """What has happened since `start`."""

    spawned: int = 0
    killed_silent: int = 0
    readings: int = 0
    silent_answers: int = 0
    refused_lines: int = 0  # not understood
    refused_values: int = 0  # understood and not believed
    callback_errors: int = 0


class ObdLink:
    """Readings of one ELM327 adapter, handed to `on_reading` from a thread of its own; no call blocks.

    One object is one life: after `stop` make a new one. The worker is started from that thread and dies with it
    (PR_SET_PDEATHSIG looks at the thread, not at the process).
    """

    def __init__(
        self,
        find: Find,
        on_reading: Callable[[Reading], None],
        *,
        protocol: str | None = None,
        limits: Deadlines | None = None,
        worker: Sequence[str] | None = None,
    ) -> None:
        """`find` is called on each start, from the link's thread; it may take its time, but not for ever.

        `protocol`: as in AT SP, None searches; `worker`: another command, taken as it is.
        """
        self._find = find
        self._protocol = protocol
        self._other_command = worker
        self._port = ""
        self._on_reading = on_reading
        self._life = Lifeline(limits or Deadlines())
        self._suspects = Suspects()
        self._abilities = CarAbilities()
        self._process: subprocess.Popen[bytes] | None = None
        self._unfinished = b""  # a line whose newline has not come yet
        self._newest_s: dict[str, float] = {}  # by name: time never runs backwards, nothing is repeated
        self._hello: Hello | None = None
        self._ending = ""
        self._counts = ObdCounts()
        self._state = "not started"
        self._wish: tuple[Ask, float] = (Ask.ALL, 60.0)  # how much to ask, and s between voltages at rest
        self._told: tuple[Ask, float] | None = None  # what the worker knows of it
        self._wake, self._woken = socket.socketpair()  # stop() and ask() end every wait of the thread through it
        self._woken.setblocking(False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="obd", daemon=True)

    @property
    def state(self) -> str:
        """`not started`, `connecting`, `querying`, `meeting the car`, `car silent`, `engine off`, `resting`, `off`,
        `waiting: <reason for a person>` or `stopped`."""
        return self._state

    @property
    def hello(self) -> Hello | None:
        """What the adapter said of itself, while a worker is connected."""
        return self._hello

    @property
    def counts(self) -> ObdCounts:
        """A consistent copy."""
        return self._counts

    @property
    def abilities(self) -> CarAbilities:
        """What the car can tell, as far as it is known; grows while it answers. A consistent copy."""
        return self._abilities

    @property
    def left_out(self) -> tuple[str, ...]:
        """Questions that are not asked because this adapter hung up at them."""
        return self._suspects.left_out(time.monotonic())

    @property
    def asked_for(self) -> Ask:
        """What `ask` said last; ALL again when a resting worker saw the voltage rise."""
        return self._wish[0]

    @property
    def worker_pid(self) -> int | None:
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        self._thread.start()

    def ask(self, how: Ask, rest_every_s: float = 60.0) -> None:
        """From any thread, at once and without blocking; `rest_every_s`: whole seconds between voltages at rest."""
        self._wish = (how, float(round(min(max(rest_every_s, 1.0), LONGEST_REST_S))))
        with contextlib.suppress(OSError):  # closed: the thread has already ended
            self._wake.send(b"x")

    def stop(self) -> None:
        """Kill the worker and end the thread; returns within two seconds, from any state and any thread."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # closed: the thread has already ended
            self._wake.send(b"x")
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(1.5)
            if self._thread.is_alive() and (process := self._process):  # it hangs in on_reading
                _kill(process)
        self._state = "stopped"

    def _run(self) -> None:
        with self._wake, self._woken:
            try:
                while not self._stopping.is_set():
                    self._turn(time.monotonic())
            finally:
                if self._process:
                    _kill(self._process)
        self._state = "stopped"

    def _turn(self, now_s: float) -> None:
        """One decision: rest, wait, start a worker or kill it."""
        if self._wish[0] is Ask.OFF:
            if self._process:
                self._worker_ended("no longer wanted")
            self._state = "off"
            self._wait(LONGEST_REST_S)
        elif not self._life.is_due(now_s):
            self._tell_wish()
            self._wait(self._life.due_s - now_s)
        elif self._life.phase is Phase.DOWN:
            self._start_worker(now_s)
        else:
            self._wait(0)  # what it said while on_reading was busy still counts
            if self._life.phase in KILLED and self._life.is_due(now_s):
                self._count("killed_silent")
                self._suspects = self._suspects.died(now_s)
                self._worker_ended(KILLED[self._life.phase])

    def _start_worker(self, now_s: float) -> None:
        try:
            place = self._find()
        except Exception as error:  # noqa: BLE001 - whatever the search stumbles over, the next one may not
            _log.exception("obd: looking for the adapter failed")
            place, nothing = None, f"{type(error).__name__} while looking for the adapter"
        else:
            nothing = "no adapter found"
        if place is None:
            self._life = self._life.nothing_found(time.monotonic())
            self._state = f"waiting: {nothing}"
            return
        if "://" not in place.port and not os.access(place.port, os.F_OK):
            self._life = self._life.no_port(now_s)
            self._state = f"waiting: no such port {place.port}"
            return
        if self._stopping.is_set():
            return
        self._port = place.port
        self._told = self._wish
        self._life = self._life.started(time.monotonic())
        self._unfinished, self._ending, self._state = b"", "", "connecting"
        try:
            self._process = subprocess.Popen(
                self._other_command or self._command(place),
                stdin=subprocess.PIPE,  # closes with us, and so ends the worker
                stdout=subprocess.PIPE,
                start_new_session=True,  # a process group of its own, to be killed as a whole
                cwd=Path(__file__).parents[2],
            )
        except OSError as error:  # no memory, no processes left
            self._worker_ended(str(error))
        else:
            self._count("spawned")

    def _command(self, place: Place) -> list[str]:
        command = [
            sys.executable,
            "-m",
            "edge_agent.obd_process.worker",
            f"--port={place.port}",
            f"--baud={place.baud}",
        ]
        command += [f"--protocol={self._protocol}"] if self._protocol else []
        command += [f"--rest={self._wish[1]:.0f}"] if self._wish[0] is Ask.RESTING else []
        command += [f"--without={','.join(self.left_out)}"] if self.left_out else []
        return command

    def _tell_wish(self) -> None:
        """One line to the worker, when it does not know yet; a pipe that is full or closed is found out elsewhere."""
        process, wish = self._process, self._wish
        if process and process.stdin and wish != self._told:
            self._told = wish
            with contextlib.suppress(OSError):
                os.set_blocking(process.stdin.fileno(), False)
                os.write(process.stdin.fileno(), b"all\n" if wish[0] is Ask.ALL else f"rest {wish[1]:.0f}\n".encode())

    def _wait(self, longest_s: float) -> None:
        """For the next bytes of the worker, at most `longest_s`."""
        out = self._process.stdout if self._process else None
        fds = [self._woken.fileno()] + ([out.fileno()] if out else [])
        ready, _, _ = select.select(fds, [], [], longest_s)
        if self._woken.fileno() in ready:
            with contextlib.suppress(OSError):
                self._woken.recv(4096)
        if not out or out.fileno() not in ready:
            return
        data = os.read(out.fileno(), 65_536)
        *lines, rest = (self._unfinished + data).split(b"\n")
        self._unfinished = rest[: MAX_LINE + 1]  # cut: still too long to be accepted
        for line in lines:
            if not self._stopping.is_set():
                self._take(line)
        if not data:
            if self._ending == MUTE:
                self._suspects = self._suspects.died(time.monotonic())
            self._worker_ended(why(self._ending, self._port) if self._ending else "the worker ended without a word")

    def _take(self, line: bytes) -> None:
        now_s = time.monotonic()
        message = parse_line(line)
        if isinstance(message, Refused):
            self._refuse("refused_lines", message)
            return
        self._life = self._life.heard(message, now_s)
        self._suspects = self._suspects.heard(message)
        if not isinstance(message, Reading):
            self._abilities = self._abilities.heard(message)
        match message:
            case Hello():
                self._hello, self._state = message, "querying" if message.car else "car silent"
                _log.info("obd: %s", message)
            case Doing(what):
                self._state = what
                if what == VOLTAGE_ROSE and self._wish == self._told:
                    self._wish = self._told = (Ask.ALL, self._wish[1])
            case Asking(name):
                _log.debug("obd: asks %s for the first time", name)
            case Silent():
                self._count("silent_answers")
            case Ending(reason):
                self._ending = reason
            case Reading(name, _, mono_s) if mono_s > now_s + FUTURE_S or mono_s <= self._newest_s.get(name, -1.0):
                self._refuse("refused_values", Refused(f"{name}: not newer than the last, or in the future"))
            case Reading():
                self._hand_over(message)

    def _hand_over(self, reading: Reading) -> None:
        believed = checked(reading)
        if isinstance(believed, Refused):
            self._refuse("refused_values", believed)
            return
        self._newest_s[believed.name] = believed.mono_s
        self._abilities = self._abilities.heard(believed)
        self._count("readings")
        try:
            self._on_reading(believed)
        except Exception:  # noqa: BLE001 - a fault further on must not end the listening; it is logged and counted
            _log.exception("obd: callback failed")
            self._count("callback_errors")

    def _worker_ended(self, reason: str) -> None:
        if self._process:
            _kill(self._process)
        self._process, self._hello = None, None
        self._life = self._life.ended(time.monotonic(), random.random())  # noqa: S311 - spreads restarts, no secret
        self._state = f"waiting: {reason}"
        _log.warning("obd: %s", reason)

    def _refuse(self, counter: str, refused: Refused) -> None:
        self._count(counter)
        _log.debug("obd: refused: %s", refused.reason)

    def _count(self, counter: str) -> None:
        self._counts = replace(self._counts, **{counter: getattr(self._counts, counter) + 1})


def _kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the whole group, then collect it; a process that hangs inside a driver is left to the kernel."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)
