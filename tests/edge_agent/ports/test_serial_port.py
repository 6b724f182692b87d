"""A pty stands for the receiver's port; closing its master is pulling the plug."""

import contextlib
import errno
import fcntl
import gc
import os
import struct
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from edge_agent.ports.place import Place, fixed
from edge_agent.ports.serial_port import SerialSource, holder, open_line, why


class Plug:
    """A pty whose slave is reachable under a stable link, as udev does for a USB adapter."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master: int | None = None

    def put_in(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.link.symlink_to(os.ttyname(slave))
        os.close(slave)

    def pull_out(self) -> None:
        if self.master is not None:
            os.close(self.master)
            self.link.unlink()
        self.master = None

    def say(self, data: bytes) -> None:
        assert self.master is not None
        os.write(self.master, data)


class Heard:
    def __init__(self) -> None:
        self.chunks: list[tuple[bytes, float]] = []
        self.silences: list[float] = []

    @property
    def data(self) -> bytes:
        return b"".join(data for data, _ in self.chunks)

    def on_bytes(self, data: bytes, mono_s: float) -> None:
        self.chunks.append((data, mono_s))

    def on_silence(self, mono_s: float) -> None:
        self.silences.append(mono_s)


def until(condition: Callable[[], bool], within_s: float = 30.0) -> float:
    """Seconds until `condition`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, "waited in vain"
        time.sleep(0.005)
    return time.monotonic() - began_s


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Plug]:
    plug = Plug(tmp_path / "gnss")
    yield plug
    plug.pull_out()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def source(plug: Plug, heard: Heard) -> Iterator[SerialSource]:
    source = SerialSource(fixed(str(plug.link), 9600), heard.on_bytes, heard.on_silence)
    yield source
    source.stop()


def test_bytes_come_with_the_time_of_their_first_and_one_silence(
    plug: Plug, source: SerialSource, heard: Heard
) -> None:
    plug.put_in()
    source.start()
    until(lambda: source.state == "open")
    time.sleep(0.3)
    assert heard.silences == []  # nothing came, so nothing fell silent
    said_s = time.monotonic()
    plug.say(b"$BDRMC,")
    time.sleep(0.08)  # a pause inside a burst
    plug.say(b"1*00\r\n")
    until(lambda: bool(heard.silences))
    assert heard.data == b"$BDRMC,1*00\r\n"
    assert said_s <= heard.chunks[0][1] < said_s + 1
    assert 0.14 < heard.silences[0] - heard.chunks[-1][1] < 2
    time.sleep(0.4)
    assert len(heard.silences) == 1
    plug.say(b"more")
    until(lambda: len(heard.silences) == 2)


def test_every_byte_value_comes_through_unchanged(plug: Plug, source: SerialSource, heard: Heard) -> None:
    plug.put_in()
    source.start()
    until(lambda: source.state == "open")
    everything = bytes(range(256))
    plug.say(everything)
    until(lambda: len(heard.data) == 256)
    assert heard.data == everything
    assert source.counts.bytes_in == 256


def test_a_port_that_is_missing_and_then_appears(plug: Plug, source: SerialSource, heard: Heard) -> None:
    source.start()
    until(lambda: source.state == f"waiting: no such port {plug.link}")
    time.sleep(0.7)
    plug.put_in()
    until(lambda: source.state == "open")
    plug.say(b"hello")
    until(lambda: heard.data == b"hello")


def test_a_port_that_vanishes_and_returns_as_another_device(plug: Plug, source: SerialSource, heard: Heard) -> None:
    plug.put_in()
    source.start()
    until(lambda: source.state == "open")
    plug.say(b"before")
    until(lambda: heard.data == b"before")
    keep_its_number = os.openpty()  # so that the next pty cannot get the same name
    plug.pull_out()
    until(lambda: source.state.startswith("waiting: "))
    assert source.state in (f"waiting: {plug.link} vanished", f"waiting: no such port {plug.link}")
    plug.put_in()
    assert until(lambda: source.state == "open") < 15
    plug.say(b"after")
    until(lambda: heard.data == b"beforeafter")
    assert source.counts.opened == 2
    assert source.counts.lost == 1
    for fd in keep_its_number:
        os.close(fd)


def test_two_programs_cannot_hold_one_port(plug: Plug, source: SerialSource, heard: Heard) -> None:
    plug.put_in()
    with serial.Serial(str(plug.link), 9600, exclusive=True):
        source.start()
        until(lambda: source.state.startswith(f"waiting: {plug.link} is held by another program ("))
        assert f"process {os.getpid()})" in source.state
    until(lambda: source.state == "open")


@pytest.mark.parametrize("by", ["flock", "TIOCEXCL", "the kernel"])
def test_a_port_in_use_is_neither_opened_nor_changed(plug: Plug, by: str) -> None:
    plug.put_in()
    assert plug.master is not None
    before = termios.tcgetattr(plug.master)
    user = os.open(plug.link, os.O_RDWR | os.O_NOCTTY)
    if by == "flock":
        fcntl.flock(user, fcntl.LOCK_EX)
    elif by == "TIOCEXCL":  # root may open it all the same, and must not
        fcntl.ioctl(user, termios.TIOCEXCL)
    else:
        for discipline in (3, 1, 15, 27):  # N_PPP, N_SLIP, N_HCI, N_NULL
            with contextlib.suppress(OSError):
                fcntl.ioctl(user, termios.TIOCSETD, struct.pack("i", discipline))
                break
        else:
            pytest.skip("this kernel has no other line discipline to set")
    with pytest.raises(OSError) as error, open_line(str(plug.link), 115200):
        pass
    assert why(error.value, "/dev/x").startswith("/dev/x is held by another program")
    assert termios.tcgetattr(plug.master) == before
    os.close(user)


def test_the_holder_of_a_lock_is_named(plug: Plug) -> None:
    plug.put_in()
    assert holder(str(plug.link)) == ""
    with open_line(str(plug.link), 9600):
        assert holder(str(plug.link)).endswith(f", process {os.getpid()}")
    assert holder(str(plug.link)) == ""
    assert holder("/no/such/port") == ""


def test_a_plain_file_is_not_a_port(tmp_path: Path, heard: Heard) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"$BDRMC")
    source = SerialSource(fixed(str(path), 9600), heard.on_bytes)
    source.start()
    until(lambda: source.state == f"waiting: {path} is not a serial port")
    source.stop()
    assert heard.chunks == []


def test_the_path_may_be_found_anew_at_each_opening(plug: Plug, heard: Heard) -> None:
    found: list[Place] = []
    source = SerialSource(lambda: found[0] if found else None, heard.on_bytes)
    source.start()
    until(lambda: source.state == "waiting: no port found")
    plug.put_in()
    found.append(Place(str(plug.link), 57600))
    until(lambda: source.state == "open")
    assert plug.master is not None
    assert termios.tcgetattr(plug.master)[4] == termios.B57600  # a pty keeps the speed, and does nothing with it
    source.stop()


def test_a_place_can_be_questioned_while_it_is_open(plug: Plug, heard: Heard) -> None:
    plug.put_in()
    asked: list[float] = []

    def find() -> Place:
        asked.append(time.monotonic())
        return Place(str(plug.link), 9600)

    source = SerialSource(find, heard.on_bytes)
    source.start()
    for times in range(1, 4):
        until(lambda: source.counts.opened == times and source.state == "open")  # noqa: B023 - called at once
        plug.say(b"x" * times)
        until(lambda: len(heard.data) == times * (times + 1) // 2)  # noqa: B023
        source.reopen()
    until(lambda: len(asked) > 3)
    assert source.counts.lost == 0
    source.stop()


def test_a_call_that_comes_too_late_keeps_nobody_awake(plug: Plug, source: SerialSource) -> None:
    """reopen() just before the port is opened leaves a wake-up behind, which must not be answered for ever."""
    plug.put_in()
    source.start()
    until(lambda: source.state == "open")
    source._wake_up()
    clock = time.pthread_getcpuclockid(source._thread.ident or 0)
    spent_s = time.clock_gettime(clock)
    time.sleep(0.5)
    assert time.clock_gettime(clock) - spent_s < 0.1
    assert source.state == "open"


def test_a_failing_callback_is_counted_and_the_listening_goes_on(plug: Plug) -> None:
    plug.put_in()
    got: list[bytes] = []

    def on_bytes(data: bytes, _mono_s: float) -> None:
        got.append(data)
        if len(got) == 1:
            raise RuntimeError("a fault further on")

    source = SerialSource(fixed(str(plug.link), 9600), on_bytes)
    source.start()
    until(lambda: source.state == "open")
    plug.say(b"one")
    until(lambda: len(got) == 1)
    plug.say(b"two")
    until(lambda: len(got) == 2)
    assert source.counts.callback_errors == 1
    source.stop()


@pytest.mark.parametrize("when", ["not started", "open", "missing", "in the callback", "twice"])
def test_stop_returns_within_a_second(plug: Plug, when: str) -> None:
    release = threading.Event()
    stopped_inside: list[bool] = []

    def on_bytes(_data: bytes, _mono_s: float) -> None:
        if when == "in the callback":
            listener.stop()
            stopped_inside.append(True)
        elif when == "twice":
            release.wait(5)  # a callback that hangs

    listener = SerialSource(fixed(str(plug.link), 9600), on_bytes)
    if when != "not started":
        if when != "missing":
            plug.put_in()
        listener.start()
        until(lambda: listener.state != "not started")
    if when in ("in the callback", "twice"):
        plug.say(b"x")
        time.sleep(0.2)
    for _ in range(2 if when == "twice" else 1):
        began_s = time.monotonic()
        listener.stop()
        assert time.monotonic() - began_s < 2.0
    assert listener.state == "stopped"
    assert stopped_inside == [True] * (when == "in the callback")
    release.set()


def test_stop_frees_the_port_for_others(plug: Plug, source: SerialSource) -> None:
    plug.put_in()
    source.start()
    until(lambda: source.state == "open")
    source.stop()
    with serial.Serial(str(plug.link), 9600, exclusive=True) as port:
        assert port.is_open


def test_listening_costs_little(plug: Plug, source: SerialSource, heard: Heard) -> None:
    """9600 baud is about a byte a millisecond; a wake-up for each would be 960 a second."""
    plug.put_in()
    source.start()
    until(lambda: source.state == "open")
    for _ in range(500):
        plug.say(b"x")
        time.sleep(0.001)
    until(lambda: len(heard.data) == 500)
    assert len(heard.chunks) < 100


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (serial.SerialException(errno.ENOENT, "could not open port"), "no such port /dev/x"),
        (serial.SerialException(errno.EACCES, "x"), "no permission for /dev/x: add the user to group dialout"),
        (serial.SerialException(errno.EBUSY, "x"), "/dev/x is held by another program"),
        (BlockingIOError(errno.EAGAIN, "x"), "/dev/x is held by another program"),
        (
            serial.SerialException("Could not configure port: (25, 'Inappropriate ioctl')"),
            "/dev/x is not a serial port",
        ),
        (serial.SerialException("read failed: [Errno 5] Input/output error"), "/dev/x vanished"),
        (serial.SerialException("device reports readiness to read but returned no data (...)"), "/dev/x vanished"),
        (termios.error(errno.EIO, "Input/output error"), "/dev/x vanished"),
        (OSError("something {new}"), "/dev/x: something {new}"),
        ("[Errno 13] could not open port", "no permission for /dev/x: add the user to group dialout"),
        ("the adapter vanished", "/dev/x: the adapter vanished"),
    ],
)
def test_reasons_are_for_a_person(error: Exception | str, reason: str) -> None:
    assert why(error, "/dev/x") == reason


def test_a_baud_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="baud"):
        fixed("/dev/null", 0)


def test_no_descriptor_is_left_behind(plug: Plug) -> None:
    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    plug.put_in()
    before = count()
    for _ in range(3):
        source = SerialSource(fixed(str(plug.link), 9600), lambda _data, _mono_s: None)
        source.start()
        time.sleep(0.1)
        assert source.state == "open"
        source.stop()
    assert count() <= before
