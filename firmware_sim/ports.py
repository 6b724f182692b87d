"""The simulator's end of a serial line: a pty whose other end the agent opens like any serial port.

The simulator keeps only the master side open. So the kernel reports POLLHUP on it exactly while nobody has the other
side open, and that is how the simulator knows whether anybody listens; the price is that it must look every few
hundredths of a second while nobody does, because a hung-up descriptor cannot be waited on. Facts about Linux ptys that
this file rests on (measured on Linux 6.18): termios set once survive every close and open of the other side; bytes
written while nobody has it open wait in the kernel for the next reader, and so do bytes that a dead reader left; the
master may run 20 KiB ahead of the reader; packet mode (TIOCPKT) tells the master when the other side threw its input
away, which pyserial does right after opening.
"""

import contextlib
import fcntl
import os
import select
import struct
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path

MAX_UNREAD = 2048  # bytes: about what a reader killed with -9 leaves behind in the kernel
_READ_SIZE = 4096
_READS_AT_ONCE = 16  # one call takes at most this many packets, so that a chattering reader cannot hold up the play
_OPENING_S = 0.4  # after an open, sending waits until the reader threw its input away, or for this long


class PortError(Exception):
    """A port or its link cannot be made; the message is a sentence for a person."""


class PtyPort:
    """One pty. `path` is what the agent opens; `link`, where given, is a lasting name for it.

    `is_open` and `is_listening` are as of the last `receive()`.
    """

    def __init__(self, link: Path | None = None) -> None:
        self.link = link
        self.is_open = False  # somebody has the other side open
        self.is_listening = False  # and is past the flush that serial libraries do after opening
        self._opened_at = 0.0
        self._master, slave = os.openpty()
        self.path = os.ttyname(slave)
        tty.setraw(slave, termios.TCSANOW)  # no echo, no CR/LF translation, no signals
        os.close(slave)
        os.set_blocking(self._master, False)
        fcntl.ioctl(self._master, termios.TIOCPKT, struct.pack("i", 1))
        if link is not None:
            try:
                _point_link(link, self.path)
            except PortError:
                os.close(self._master)
                raise

    def fileno(self) -> int:
        return self._master

    def receive(self) -> bytes:
        """What the other side has written, even if it closed since; also looks whether anybody is there."""
        received = bytearray()
        flushed = False
        for _ in range(_READS_AT_ONCE):
            try:
                packet = os.read(self._master, _READ_SIZE)
            except OSError:  # EAGAIN: nothing more; EIO: nothing more and the other side is closed
                break
            if packet[:1] == b"\0":
                received += packet[1:]
            else:
                flushed = flushed or bool(packet[0] & termios.TIOCPKT_FLUSHREAD)
        poller = select.poll()
        poller.register(self._master, 0)
        was_open = self.is_open
        self.is_open = not any(event & select.POLLHUP for _, event in poller.poll(0))
        if self.is_open and not was_open:
            self._opened_at = time.monotonic()
        settled = flushed or time.monotonic() - self._opened_at >= _OPENING_S
        self.is_listening = self.is_open and (self.is_listening or settled)
        return bytes(received)

    def write(self, data: bytes | bytearray) -> int:
        """Bytes taken, possibly 0: never blocks, and leaves no more than about MAX_UNREAD unread in the kernel."""
        room = MAX_UNREAD - self.unread()
        if room <= 0 or not data:
            return 0
        try:
            return os.write(self._master, data[:room])
        except BlockingIOError:
            return 0

    def unread(self) -> int:
        """Bytes written that the reader has not taken yet."""
        with self._other_side() as slave:
            return int(struct.unpack("i", fcntl.ioctl(slave, termios.FIONREAD, b"\0" * 4))[0])

    def discard_unread(self) -> int:
        """Throw away what a reader that went away left behind, as a real port does; returns how much it was."""
        left = self.unread()
        with self._other_side() as slave:
            termios.tcflush(slave, termios.TCIFLUSH)
        return left

    def close(self) -> None:
        """Close the pty, which ends the reader's reads, and take the link away if it is still ours."""
        if self.link is not None and self.link.is_symlink() and str(self.link.readlink()) == self.path:
            self.link.unlink()
        os.close(self._master)

    @contextlib.contextmanager
    def _other_side(self) -> Iterator[int]:
        """The reader's side for a few microseconds: only there can the kernel be asked what is still unread."""
        slave = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            yield slave
        finally:
            os.close(slave)


def wait_for_bytes(ports: Sequence[PtyPort], timeout_s: float) -> None:
    """Sleep until a reader writes, goes away, or the time is over. Ports that nobody has open are left out."""
    poller = select.poll()
    for port in ports:
        if port.is_open:
            poller.register(port.fileno(), select.POLLIN)
    poller.poll(max(timeout_s, 0.0) * 1000)


def _point_link(link: Path, target: str) -> None:
    """Make `link` a symbolic link to the pty. Only a link to a pty, of an earlier run, is ever replaced."""
    if link.is_symlink():
        old = str(link.readlink())
        if not old.startswith("/dev/pts/"):
            raise PortError(f"{link} is a link to {old}, which is no simulated port; remove it or choose another name.")
    elif link.exists():
        raise PortError(f"{link} exists and is not a link; remove it or choose another name.")
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        fresh.symlink_to(target)
        fresh.replace(link)
    except OSError as error:
        raise PortError(f"Cannot make the link {link}: {error.strerror}.") from error
