"""A serial port as timed byte chunks: opened, listened to, and opened again when it goes away.

One thread sleeps in the kernel until bytes arrive; it never polls. A chunk is whatever came within `GATHER_S` of its
first byte, so a 9600-baud receiver costs tens of wake-ups a second and not a thousand, and a chunk's time is that of
its first byte. When the line has been quiet for `quiet_s` after bytes, `on_silence` is called once: a receiver sends
each second's sentences in one burst, so the silence is the end of the burst.

`port` may be a path, or a callable that finds one each time the port is to be opened (None: nothing found yet).
"""

import contextlib
import errno
import logging
import random
import re
import select
import socket
import termios
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import serial

GATHER_S = 0.02  # at 460,800 baud 920 bytes: well inside the kernel's 4,096
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
JITTER = 0.2  # two ports that vanished with one hub are not opened in step

# What a person can do about a port that does not open. EAGAIN is how flock() reports another program's lock.
REASONS: Mapping[int, str] = {
    errno.ENOENT: "no such port {port}",
    errno.ENODEV: "no device behind {port}",
    errno.ENXIO: "no device behind {port}",
    errno.EIO: "{port} vanished",
    errno.EACCES: "no permission for {port}: add the user to group dialout",
    errno.EPERM: "no permission for {port}: add the user to group dialout",
    errno.EBUSY: "{port} is held by another program",
    errno.EAGAIN: "{port} is held by another program",
    errno.ENOTTY: "{port} is not a serial port",
    errno.EISDIR: "{port} is not a serial port",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PortCounts:
    """What has happened at the port since `start`."""

    opened: int = 0  # times
    lost: int = 0  # times an open port failed
    bytes_in: int = 0
    callback_errors: int = 0  # exceptions that on_bytes or on_silence let through


class SerialSource:
    """Bytes of one serial port (8N1), handed over from a thread of its own.

    `on_bytes(data, mono_s)` gets at least one byte and the monotonic time of the first, in s; `on_silence(mono_s)`
    comes once per silence. Both are called from one thread and should return within a few tens of milliseconds: the
    kernel keeps 4,096 bytes in the meantime. One object is one life: after `stop` make a new one.
    """

    def __init__(
        self,
        port: str | Callable[[], str | None],
        baud: int,
        on_bytes: Callable[[bytes, float], None],
        on_silence: Callable[[float], None] = lambda _mono_s: None,
        *,
        quiet_s: float = 0.15,
        name: str = "serial",
    ) -> None:
        if baud <= 0:
            raise ValueError(f"baud must be positive, not {baud}")
        self._find_port: Callable[[], str | None] = (lambda: port) if isinstance(port, str) else port
        self._baud = baud
        self._on_bytes = on_bytes
        self._on_silence = on_silence
        self._quiet_s = quiet_s
        self._wake, self._woken = socket.socketpair()  # stop() ends every wait of the thread through it
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._state = "not started"
        self._counts = PortCounts()

    @property
    def state(self) -> str:
        """`not started`, `open`, `waiting: <reason for a person>` or `stopped`."""
        return self._state

    @property
    def counts(self) -> PortCounts:
        """A consistent copy."""
        return self._counts

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the port; returns within a second, from any state and any thread."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # closed: the thread has already ended
            self._wake.send(b"x")
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(0.9)
        self._state = "stopped"

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        with self._wake, self._woken:
            while not self._stopping.is_set():
                before = self._counts.bytes_in
                reason = self._listen()
                if self._stopping.is_set():
                    break
                retry_s = FIRST_RETRY_S if self._counts.bytes_in > before else min(retry_s * 2, LONGEST_RETRY_S)
                if self._state != f"waiting: {reason}":
                    _log.warning("%s: %s", self._thread.name, reason)
                self._state = f"waiting: {reason}"
                self._sleep(retry_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - spreads retries, no secret
        self._state = "stopped"

    def _listen(self) -> str:
        """Open the port and hand over its bytes until it fails or stop() is called; returns why it ended."""
        path = None
        try:
            path = self._find_port()
            if path is None:
                return "no port found"
            with serial.Serial(path, self._baud, timeout=0, exclusive=True) as line:
                self._state = "open"
                self._counts = replace(self._counts, opened=self._counts.opened + 1)
                self._pass_on(line)
                return "stopped"
        except (OSError, termios.error, ValueError) as error:  # SerialException is an OSError; ValueError: odd baud
            if self._state == "open":
                self._counts = replace(self._counts, lost=self._counts.lost + 1)
            return why(error, path or "the port")

    def _pass_on(self, line: serial.Serial) -> None:
        quiet_at_s = None  # when the silence after the last bytes will be long enough
        while not self._stopping.is_set():
            wait_s = None if quiet_at_s is None else max(0.0, quiet_at_s - time.monotonic())
            ready, _, _ = select.select([line.fileno(), self._woken.fileno()], [], [], wait_s)
            now_s = time.monotonic()
            if line.fileno() in ready:
                self._sleep(GATHER_S)
                data = line.read(max(1, line.in_waiting))
                if data:
                    quiet_at_s = time.monotonic() + self._quiet_s
                    self._counts = replace(self._counts, bytes_in=self._counts.bytes_in + len(data))
                    self._call(self._on_bytes, data, now_s)
            elif quiet_at_s is not None and now_s >= quiet_at_s:
                quiet_at_s = None
                self._call(self._on_silence, now_s)

    def _sleep(self, seconds: float) -> None:
        select.select([self._woken], [], [], seconds)

    def _call(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - a fault further on must not end the listening; it is logged and counted
            _log.exception("%s: callback failed", self._thread.name)
            self._counts = replace(self._counts, callback_errors=self._counts.callback_errors + 1)


_WRAPPED = re.compile(
    r"(?:\[Errno |\()(\d+)"
)  # pyserial keeps only the text of some errors: `(25, '...')`, `[Errno 5] ...`


def why(error: Exception | str, port: str) -> str:
    """What a person should know about `error` (or its text) at `port`; one line."""
    number = getattr(error, "errno", None)
    if number is None and (wrapped := _WRAPPED.search(str(error))):
        number = int(wrapped[1])
    if number is None and "returned no data" in str(error):  # pyserial's words for a device that hung up
        number = errno.EIO
    return REASONS.get(number or 0, "{port}: {error}").format(port=port, error=error)
