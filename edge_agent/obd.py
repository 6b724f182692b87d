"""The car's OBD port as Readings: starts the worker process, believes its lines, and kills it when it falls silent.

Why a process and deadlines from outside: python-OBD can sit in one query for two minutes when an adapter hangs, does
not notice, and never reconnects. Here a worker that says nothing for too long is killed with SIGKILL, and every
recovery, whatever its cause, is the same: a fresh worker after a pause. The first pause is three seconds because an
adapter that was just closed refuses to open again sooner. The worker ends with this process, kill -9 included.
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
from pathlib import Path

from edge_agent.obd_lifeline import MAX_LINE, Deadlines, Ending, Hello, Lifeline, Phase, Silent, parse_line
from edge_agent.readings import Reading, Refused, checked
from edge_agent.serial_port import why

FUTURE_S = 0.5  # a reading that claims to be this far ahead of our own monotonic clock is refused
KILLED: Mapping[Phase, str] = {
    Phase.CONNECTING: "the adapter does not answer",
    Phase.QUERYING: "the adapter fell silent",
}

_log = logging.getLogger(__name__)


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
        port: str,
        baud: int,
        on_reading: Callable[[Reading], None],
        *,
        protocol: str | None = None,
        limits: Deadlines | None = None,
        worker: Sequence[str] | None = None,
    ) -> None:
        """`port`: a path or a URL of pyserial; `protocol`: as in AT SP, None searches; `worker`: another command."""
        self._port = port if "://" in port else str(Path(port).absolute())
        own = [sys.executable, "-m", "edge_agent.obd_worker", f"--port={self._port}", f"--baud={baud}"]
        self._command = worker or [*own, *([f"--protocol={protocol}"] if protocol else [])]
        self._on_reading = on_reading
        self._life = Lifeline(limits or Deadlines())
        self._process: subprocess.Popen[bytes] | None = None
        self._unfinished = b""  # a line whose newline has not come yet
        self._newest_s: dict[str, float] = {}  # by name: time never runs backwards, nothing is repeated
        self._hello: Hello | None = None
        self._ending = ""
        self._counts = ObdCounts()
        self._state = "not started"
        self._wake, self._woken = socket.socketpair()  # stop() ends every wait of the thread through it
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="obd", daemon=True)

    @property
    def state(self) -> str:
        """`not started`, `connecting`, `querying`, `car silent`, `waiting: <reason for a person>` or `stopped`."""
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
    def worker_pid(self) -> int | None:
        process = self._process
        return process.pid if process else None

    def start(self) -> None:
        self._thread.start()

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
                    now_s = time.monotonic()
                    if not self._life.is_due(now_s):
                        self._wait(self._life.due_s - now_s)
                    elif self._life.phase is Phase.DOWN:
                        self._start_worker(now_s)
                    else:
                        self._wait(0)  # what it said while on_reading was busy still counts
                        if self._life.phase in KILLED and self._life.is_due(now_s):
                            self._count("killed_silent")
                            self._worker_ended(KILLED[self._life.phase])
            finally:
                if self._process:
                    _kill(self._process)
        self._state = "stopped"

    def _start_worker(self, now_s: float) -> None:
        if "://" not in self._port and not os.access(self._port, os.F_OK):
            self._life = self._life.no_port(now_s)
            self._state = f"waiting: no such port {self._port}"
            return
        self._life = self._life.started(now_s)
        self._unfinished, self._ending, self._state = b"", "", "connecting"
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,  # closes with us, and so ends the worker
                stdout=subprocess.PIPE,
                start_new_session=True,  # a process group of its own, to be killed as a whole
                cwd=Path(__file__).parent.parent,
            )
        except OSError as error:  # no memory, no processes left
            self._worker_ended(str(error))
        else:
            self._count("spawned")

    def _wait(self, longest_s: float) -> None:
        """For the next bytes of the worker, at most `longest_s`."""
        out = self._process.stdout if self._process else None
        fds = [self._woken.fileno()] + ([out.fileno()] if out else [])
        ready, _, _ = select.select(fds, [], [], longest_s)
        if not out or out.fileno() not in ready:
            return
        data = os.read(out.fileno(), 65_536)
        *lines, rest = (self._unfinished + data).split(b"\n")
        self._unfinished = rest[: MAX_LINE + 1]  # cut: still too long to be accepted
        for line in lines:
            if not self._stopping.is_set():
                self._take(line)
        if not data:
            self._worker_ended(why(self._ending, self._port) if self._ending else "the worker ended without a word")

    def _take(self, line: bytes) -> None:
        now_s = time.monotonic()
        message = parse_line(line)
        if isinstance(message, Refused):
            self._refuse("refused_lines", message)
            return
        self._life = self._life.heard(message, now_s)
        match message:
            case Hello():
                self._hello, self._state = message, "querying" if message.supported else "car silent"
                _log.info("obd: %s", message)
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
