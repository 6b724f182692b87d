"""What goes over a port is in the file, to the byte, and is passed on; the file plays again."""

import contextlib
import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from firmware_sim import capture
from firmware_sim.answering import answer
from firmware_sim.arguments import parser
from firmware_sim.cables import SerialPort
from firmware_sim.capture import Recorder, open_capture
from firmware_sim.dialogue import Dialogue
from firmware_sim.ports import PortError, PtyPort
from firmware_sim.receiver.sentences import sentence
from firmware_sim.recording import Piece, capture_head, read_capture, read_recording

LINE = sentence("GNRMC,120000.00,A,3954.42285,N,11625.62329,E,12.5,90.00,010926,,,A,V")
BEGUN = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


class Clock:
    """A quarter of a second later at every look."""

    def __init__(self) -> None:
        self.t_s = 0.0

    def __call__(self) -> float:
        self.t_s += 0.25
        return self.t_s


@pytest.fixture
def device() -> Iterator[PtyPort]:
    """What is at the other end of the cable."""
    made = PtyPort()
    yield made
    with contextlib.suppress(OSError):
        made.close()


@pytest.fixture
def port(device: PtyPort) -> Iterator[SerialPort]:
    made = SerialPort(device.path, 9600)
    device.receive()
    yield made
    made.close()


def step_until(recorder: Recorder, done: Callable[[], bool]) -> None:
    for _ in range(200):
        recorder.step(0.05)
        if done():
            return
    raise AssertionError("it never happened")


def step_until_heard(recorder: Recorder, count: int) -> None:
    step_until(recorder, lambda: recorder.recorded.bytes_from_device == count)


def test_a_receiver_is_recorded_and_played_again(device: PtyPort, port: SerialPort, tmp_path: Path) -> None:
    path = tmp_path / "yard.capture.gz"
    sent = b""
    with open_capture(path, device.path, 9600, BEGUN) as out:
        recorder = Recorder(port, out, None, Clock())
        for part in (LINE[:20], LINE[20:], b"\xb5\x62\x00\r\n" + LINE):
            device.write(part)
            sent += part
            step_until_heard(recorder, len(sent))
    data = gzip.decompress(path.read_bytes())
    assert read_capture(data).facts == {"port": device.path, "baud": "9600", "begun_utc": "2026-11-23T08:15:00+00:00"}
    recording = read_recording(data)
    assert b"".join(event.data for event in recording.events) == sent
    times = [event.t_s for event in recording.events]
    assert times[0] == 0
    assert times == sorted(set(times))


def test_between_a_program_and_an_adapter(device: PtyPort, port: SerialPort, tmp_path: Path) -> None:
    path = tmp_path / "car.capture"
    through = PtyPort()
    program = os.open(through.path, os.O_RDWR | os.O_NOCTTY)
    got = b""
    try:
        with open_capture(path, device.path, 38400, BEGUN) as out:
            recorder = Recorder(port, out, through, Clock())
            os.write(program, b"ATZ\r")
            asked = bytearray()
            step_until(recorder, lambda: bool(asked.extend(device.receive()) or asked == b"ATZ\r"))
            device.write(b"ATZ\r\r\rELM327 v1.5\r\r>")
            step_until(recorder, lambda: recorder.recorded.bytes_from_device == 20 and through.unread() == 20)
            got = os.read(program, 100)
        assert recorder.recorded.bytes_lost == 0
    finally:
        os.close(program)
        through.close()
    assert got == b"ATZ\r\r\rELM327 v1.5\r\r>"
    pieces = read_capture(path.read_bytes()).pieces
    assert b"".join(piece.data for piece in pieces if piece.from_device) == got
    assert b"".join(piece.data for piece in pieces if not piece.from_device) == b"ATZ\r"
    assert not pieces[0].from_device


def test_a_port_that_goes_away_says_so(device: PtyPort, port: SerialPort, tmp_path: Path) -> None:
    with open_capture(tmp_path / "cut.capture", device.path, 9600, BEGUN) as out:
        recorder = Recorder(port, out, None, Clock())
        device.write(LINE)
        step_until_heard(recorder, len(LINE))
        device.close()
        with pytest.raises(PortError, match="gone"):
            recorder.step(0.05)
    assert read_capture((tmp_path / "cut.capture").read_bytes()).pieces[0].data.startswith(LINE[:1])


def test_the_command_records_for_a_while(device: PtyPort, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "short.capture.gz"
    arguments = ["record", device.path, "--out", str(path), "--seconds", "0.05"]
    assert capture.run(parser("record").parse_args(arguments)) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ended"], told["bytes_from_device"]) == ("time", 0)
    assert read_capture(gzip.decompress(path.read_bytes())).pieces == ()


def test_a_port_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["record", str(tmp_path / "ttyUSB9"), "--out", str(tmp_path / "x.capture")]
    assert capture.run(parser("record").parse_args(arguments)) == 2
    assert "ttyUSB9 cannot be opened" in capsys.readouterr().err
    assert not (tmp_path / "x.capture").exists()


def test_the_recorded_adapter_answers_on_a_pty() -> None:
    dialogue = Dialogue((Piece(0.0, False, b"ATI\r"), Piece(0.01, True, b"ELM327 v2.1\r\r>")))
    port = PtyPort()
    client = os.open(port.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    got = bytearray()
    until_s = time.monotonic() + 20
    try:
        os.write(client, b"ATI\r")

        def heard() -> bool:
            with contextlib.suppress(BlockingIOError):
                got.extend(os.read(client, 100))
            return got.endswith(b">") or time.monotonic() > until_s

        answer(port, dialogue, heard)
    finally:
        os.close(client)
        port.close()
    assert got == b"ELM327 v2.1\r\r>"
    assert dialogue.requests == 1


def test_answering_needs_a_dialogue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "receiver.capture"
    path.write_bytes(capture_head({}) + Piece(0.0, True, LINE).line())
    arguments = parser("answer").parse_args(["answer", str(path)])
    assert arguments.run(arguments) == 2
    assert "nobody asks anything" in capsys.readouterr().err
