"""A serial port as timed byte chunks: opened, listened to, and opened again when it goes away.

One thread sleeps in the kernel until bytes arrive; it never polls. A chunk is whatever came within `GATHER_S` of its
first byte, so a 9600-baud receiver costs tens of wake-ups a second and not a thousand, and a chunk's time is that of
its first byte. When the line has been quiet for `quiet_s` after bytes, `on_silence` is called once: a receiver sends
each second's sentences in one burst, so the silence is the end of the burst.

Where the port is, a `Find` says each time it is to be opened: `fixed` for a path that a person chose, or a role of
`port_finder.PortFinder`.

A port that another program holds is never touched. Two signs are looked at before anything is changed at it: flock()
and TIOCEXCL, which the kernel enforces for everybody but root; a third, a line discipline, says that the kernel itself
uses the port (Bluetooth, PPP).
"""

import contextlib
import errno
import fcntl
import logging
import os
import random
import re
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import serial

from edge_agent.ports.place import Find

GATHER_S = 0.02  # at 460,800 baud 920 bytes: well inside the kernel's 4,096
FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 5.0
NOT_FOUND = "no port found"
DOUBTED = "looked for anew"
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

_TIOCGEXCL = 0x80045440  # linux/asm-generic/ioctls.h: is TIOCEXCL set? Python's termios does not name it
_N_TTY = 0  # the line discipline of a port that only programs use

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def open_line(port: str, baud: int) -> Iterator[serial.Serial]:
    """A port (8N1, no flow control) that never blocks, held for us alone.

    Raises:
        OSError: it cannot be opened, or is held by another program (EBUSY); `why` explains each.
        ValueError: a speed that the port does not know.
    """
    guard = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        if _ask_kernel(guard, _TIOCGEXCL):
            raise OSError(errno.EBUSY, "opened exclusively")
        if _ask_kernel(guard, termios.TIOCGETD) != _N_TTY:  # some disciplines do not even say that it is a tty
            raise OSError(errno.EBUSY, "used by the kernel")
        if not os.isatty(guard):
            raise OSError(errno.ENOTTY, "not a serial port")
        fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with serial.Serial(port, baud, timeout=0) as line:
            try:
                yield line
            finally:
                with contextlib.suppress(OSError, termios.error):  # or close() would wait for what cannot be sent
                    line.reset_output_buffer()
    finally:
        os.close(guard)


def _ask_kernel(fd: int, request: int) -> int:
    """The int that an ioctl answers; 0 where the driver does not know the question."""
    with contextlib.suppress(OSError):
        return int(struct.unpack("i", fcntl.ioctl(fd, request, bytes(4)))[0])
    return 0


def holder(port: str) -> str:
    """Which program has locked `port` by flock(), as far as /proc/locks tells; "" otherwise."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        device = Path(port).stat()
        inode = f"{os.major(device.st_dev):02x}:{os.minor(device.st_dev):02x}:{device.st_ino}"
        for lock in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, kind, _, _, process, place, *_ = lock.split()  # "1: FLOCK ADVISORY WRITE 905 00:06:95 0 EOF"
            if kind == "FLOCK" and place == inode:
                name = Path(f"/proc/{process}/comm").read_text(encoding="utf-8", errors="replace").strip()
                return f"{name}, process {process}"
    return ""


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
        find: Find,
        on_bytes: Callable[[bytes, float], None],
        on_silence: Callable[[float], None] = lambda _mono_s: None,
        *,
        quiet_s: float = 0.15,
        name: str = "serial",
    ) -> None:
        self._find = find
        self._on_bytes = on_bytes
        self._on_silence = on_silence
        self._quiet_s = quiet_s
        self._wake, self._woken = socket.socketpair()  # stop() and reopen() end every wait of the thread through it
        self._wake.setblocking(False)
        self._stopping = threading.Event()
        self._reopen = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._line: serial.Serial | None = None  # while it is open
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

    def write(self, data: bytes) -> None:
        """Say something to the device, if its port is open; what the port does not take at once is lost."""
        line = self._line
        if line is not None:
            with contextlib.suppress(OSError, termios.error, TypeError):  # closed meanwhile: fd is None then
                os.write(line.fileno(), data)

    def reopen(self) -> None:
        """Close the port and find one again: what is there now is not believed any more. Returns at once."""
        self._reopen.set()
        self._wake_up()

    def stop(self) -> None:
        """End the thread and close the port; returns within a second, from any state and any thread."""
        self._stopping.set()
        self._wake_up()
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
                at_once = (
                    reason in (NOT_FOUND, DOUBTED) or self._counts.bytes_in > before
                )  # asking a Find costs nothing
                retry_s = FIRST_RETRY_S if at_once else min(retry_s * 2, LONGEST_RETRY_S)
                if self._state != f"waiting: {reason}":
                    _log.warning("%s: %s", self._thread.name, reason)
                self._state = f"waiting: {reason}"
                self._sleep(retry_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - spreads retries, no secret
        self._state = "stopped"

    def _listen(self) -> str:
        """Open the port and hand over its bytes until it fails or is to be closed; returns why it ended."""
        place = None
        self._reopen.clear()
        try:
            place = self._find()
            if place is None:
                return NOT_FOUND
            with open_line(place.port, place.baud) as line:
                self._state = "open"
                self._counts = replace(self._counts, opened=self._counts.opened + 1)
                self._line = line
                self._pass_on(line)
                return DOUBTED
        except (OSError, termios.error, ValueError) as error:  # SerialException is an OSError; ValueError: odd baud
            if self._state == "open":
                self._counts = replace(self._counts, lost=self._counts.lost + 1)
            return why(error, place.port if place else "the port")
        finally:
            self._line = None

    def _pass_on(self, line: serial.Serial) -> None:
        quiet_at_s = None  # when the silence after the last bytes will be long enough
        while not self._stopping.is_set() and not self._reopen.is_set():
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
            elif self._woken.fileno() in ready:
                self._sleep(0)
            elif quiet_at_s is not None and now_s >= quiet_at_s:
                quiet_at_s = None
                self._call(self._on_silence, now_s)

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):  # closed: the thread has already ended; full: it will wake anyhow
            self._wake.send(b"x")

    def _sleep(self, seconds: float) -> None:
        if select.select([self._woken], [], [], seconds)[0] and not self._stopping.is_set():
            self._woken.recv(64)  # it was reopen() that woke us: the next wait is a wait again

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
    by = holder(port) if number == errno.EAGAIN else ""
    return REASONS.get(number or 0, "{port}: {error}").format(port=port, error=error) + (f" ({by})" if by else "")
