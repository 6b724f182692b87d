"""`pledgewatch-sim record`: a real port into a file, every piece of bytes with its time.

A receiver is only listened to. An adapter speaks when it is asked, so for it the recorder stands between: it opens the
adapter and offers a pty to the program that asks (`--through`), passes everything on both ways, and records both sides.
"""

import argparse
import contextlib
import gzip
import json
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from firmware_sim.cables import SerialPort
from firmware_sim.ports import PortError, PtyPort
from firmware_sim.recording import Piece, capture_head
from firmware_sim.signals import until_signalled

_REFUSED = 2
_LOOK_S = 0.05  # a pty that nobody has open cannot be waited on
_MOST_WAITING = 4096  # bytes that one side does not take; older ones are lost, as on a line without flow control
_KEEP_EVERY_S = 5.0  # what a recorder that is killed loses at most
_EXAMPLES = """\
examples:
  Ten minutes of a receiver, and its replay:
    pledgewatch-sim record /dev/ttyUSB0 --baud 9600 --seconds 600 --out yard.capture.gz
    pledgewatch-sim replay --nmea yard.capture.gz --gnss-link /tmp/gnss
  An adapter in a car, asked by the agent or any other program through /tmp/obd; and the adapter of that recording:
    pledgewatch-sim record /dev/ttyUSB1 --baud 38400 --through /tmp/obd --out car.capture.gz
    pledgewatch-sim answer car.capture.gz --obd-link /tmp/obd

Ctrl-C ends the recording. stdout ends with a JSON summary. exit status: 0 recorded, 2 refused.
"""


@dataclass(slots=True)
class Recorded:
    """What went by; `ended`: "stopped", "time" or "gone" (the port vanished)."""

    bytes_from_device: int = 0
    bytes_to_device: int = 0
    pieces: int = 0
    bytes_lost: int = 0  # recorded, but not taken by the other side
    ended: str = "stopped"


class Sink(Protocol):
    """A file, plain or compressed."""

    def write(self, data: bytes, /) -> int:
        """Add these."""

    def flush(self) -> None:
        """What was written can be read from now on."""


class Recorder:
    """Takes what both sides say, writes it down and passes it on."""

    def __init__(self, port: SerialPort, out: Sink, through: PtyPort | None, now_s: Callable[[], float]) -> None:
        self.recorded = Recorded()
        self._port, self._out, self._through, self._now_s = port, out, through, now_s
        self._began_s = self._kept_s = now_s()
        self._to_device, self._to_client = bytearray(), bytearray()

    def step(self, wait_s: float) -> None:
        """Wait for at most so long for bytes, and handle what came. Raises PortError: the port is gone."""
        poller = select.poll()
        poller.register(self._port.fileno(), select.POLLIN)
        if self._through is not None and self._through.is_open:
            poller.register(self._through.fileno(), select.POLLIN)
        elif self._through is not None:
            wait_s = min(wait_s, _LOOK_S)
        poller.poll(wait_s * 1000)
        if self._through is not None:
            asked = self._through.receive()
            self._note(asked, from_device=False)
            self._to_device += asked
            del self._to_device[: self._port.write(self._to_device)]
        said = self._port.receive()
        self._note(said, from_device=True)
        if self._through is not None:
            self._to_client += said if self._through.is_open else b""
            del self._to_client[: self._through.write(self._to_client)]
        for waiting in (self._to_device, self._to_client):
            too_many = max(0, len(waiting) - _MOST_WAITING)
            del waiting[:too_many]
            self.recorded.bytes_lost += too_many
        if self._now_s() - self._kept_s > _KEEP_EVERY_S:
            self._kept_s = self._now_s()
            self._out.flush()

    def _note(self, data: bytes, *, from_device: bool) -> None:
        if not data:
            return
        self._out.write(Piece(self._now_s() - self._began_s, from_device, data).line())
        self.recorded.pieces += 1
        if from_device:
            self.recorded.bytes_from_device += len(data)
        else:
            self.recorded.bytes_to_device += len(data)


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`record`; it sets `run`."""
    record = commands.add_parser(
        "record",
        help="record a real port into a file that can be played again",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    record.add_argument("port", metavar="PORT", help="the serial port, as /dev/ttyUSB0")
    record.add_argument("--baud", type=int, default=9600, help="of the port (default: %(default)s)")
    record.add_argument("--out", type=Path, required=True, metavar="FILE", help="written anew; .gz compresses it")
    record.add_argument("--through", type=Path, metavar="PATH", help="a port for the program that asks the device")
    record.add_argument("--seconds", type=float, metavar="S", help="for so long (default: until Ctrl-C)")
    record.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Record until a signal, the end of the time, or of the port."""
    try:
        with contextlib.ExitStack() as stack:
            port = SerialPort(arguments.port, arguments.baud)
            stack.callback(port.close)
            through = PtyPort(arguments.through) if arguments.through else None
            if through is not None:
                stack.callback(through.close)
            out = stack.enter_context(open_capture(arguments.out, arguments.port, arguments.baud, datetime.now(UTC)))
            stopping = stack.enter_context(until_signalled())
            if through is not None:
                print(f"ask through {arguments.through} ({through.path})", file=sys.stderr, flush=True)
            recorded = _record(Recorder(port, out, through, time.monotonic), stopping, arguments.seconds)
    except PortError as refused:
        print(f"pledgewatch-sim: {refused}", file=sys.stderr)
        return _REFUSED
    except OSError as error:
        print(f"pledgewatch-sim: cannot write {arguments.out}: {error.strerror or error}", file=sys.stderr)
        return _REFUSED
    print(json.dumps({"file": str(arguments.out), **asdict(recorded)}), flush=True)
    return 0


@contextlib.contextmanager
def open_capture(path: Path, port: str, baud: int, begun: datetime) -> Iterator[Sink]:
    """A capture file that begins with what is known of the port. Raises OSError."""
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        facts = {"port": port, "baud": str(baud), "begun_utc": begun.isoformat(timespec="seconds")}
        file.write(capture_head(facts))
        yield file


def _record(recorder: Recorder, stopping: Callable[[], bool], seconds: float | None) -> Recorded:
    until_s = None if seconds is None else time.monotonic() + seconds
    while not stopping():
        left_s = 0.2 if until_s is None else min(0.2, until_s - time.monotonic())
        if left_s <= 0:
            recorder.recorded.ended = "time"
            break
        try:
            recorder.step(left_s)
        except PortError as gone:
            print(f"pledgewatch-sim: {gone}", file=sys.stderr)
            recorder.recorded.ended = "gone"
            break
    return recorder.recorded
