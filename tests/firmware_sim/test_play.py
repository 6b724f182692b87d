"""The ports and the loop: nothing is lost, nothing is invented, and everything is taken away at the end."""

import contextlib
import gzip
import os
import random
import re
import signal
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serial

from firmware_sim.ports import MAX_UNREAD, PtyPort
from firmware_sim.receiver.sentences import sentence

Simulate = Callable[..., Any]  # conftest.Simulator
OpenPort = Callable[..., Any]  # conftest.Reader

# A reader that needs longer than the simulator waits for its opening flush loses bytes: seen on a busy machine.
pytestmark = pytest.mark.flaky(reruns=2)


def a_recording(seconds: int, seed: int = 1) -> bytes:
    """Sentences once a second with everything in between that a line can bring: noise, NULs, cut and false lines."""
    rng = random.Random(seed)
    lines = [sentence("GNTXT,01,01,02,recorded for a test")]
    for second in range(seconds):
        clock = f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}.00"
        lines.append(sentence(f"GNRMC,{clock},A,3954.42285,N,11625.62329,E,12.5,90.00,010926,,,A,V"))
        lines.append(sentence(f"GNGGA,{clock},3954.42285,N,11625.62329,E,1,21,0.72,47.9,M,,M,,"))
        lines.append(rng.randbytes(rng.randrange(200)))
        lines.append(sentence(f"GNRMC,{clock},A,,,,,,,,,,A,V").replace(b"*", b"*F")[: rng.randrange(5, 30)])
        lines.append(b"\x00\x11\x13\x03\x04\x7f\r\r\n# a line amid the file\n")
    return b"".join(lines)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "receiver.log.gz"
    path.write_bytes(gzip.compress(b"# Name: a test\n#\n" + a_recording(60)))
    return path


def test_every_byte_in_order(simulate: Simulate, open_port: OpenPort, recording: Path) -> None:
    simulator = simulate("replay", "--nmea", recording, "--speed", 100)
    assert open_port(simulator.ports["gnss"]).read() == a_recording(60)
    summary = simulator.summary()
    assert summary["ended"] == "end"
    assert summary["bytes_sent"] == len(a_recording(60))
    assert summary["bytes_unheard"] == summary["bytes_left_unread"] == 0
    assert summary["sentences_sent"] == len(re.findall(rb"^\$", a_recording(60), re.MULTILINE))
    assert summary["played_s"] == 59
    assert simulator.ports["obd"] is None


@pytest.mark.parametrize("attempt", range(3))
def test_pyserial_misses_nothing_by_its_opening_flush(simulate: Simulate, tmp_path: Path, attempt: int) -> None:
    path = tmp_path / "log.nmea"
    path.write_bytes(a_recording(3, seed=attempt))
    simulator = simulate("replay", "--nmea", path, "--speed", 100)
    time.sleep(0.05 * attempt)
    wanted = path.read_bytes()
    with serial.Serial(simulator.ports["gnss"], 9600, timeout=10) as port:
        assert port.read(len(wanted)) == wanted
    assert simulator.summary()["ended"] == "end"


def test_a_reader_that_comes_and_goes_loses_nothing(simulate: Simulate, open_port: OpenPort, recording: Path) -> None:
    simulator = simulate("replay", "--nmea", recording, "--speed", 1000)
    got = b""
    for _ in range(3):
        reader = open_port(simulator.ports["gnss"])
        got += reader.read(3000)
        reader.close()
        time.sleep(0.2)
    got += open_port(simulator.ports["gnss"]).read()
    assert got == a_recording(60)
    assert simulator.summary()["bytes_sent"] == len(got)


def test_a_killed_reader_costs_what_the_kernel_held(simulate: Simulate, open_port: OpenPort, recording: Path) -> None:
    """The next reader throws its input away on opening, as serial libraries do."""
    simulator = simulate("replay", "--nmea", recording, "--speed", 1000)
    reader = open_port(simulator.ports["gnss"], flush=True)
    before = reader.read(3000)
    reader.close()
    time.sleep(0.2)
    after = open_port(simulator.ports["gnss"], flush=True).read()
    whole = a_recording(60)
    assert whole.startswith(before)
    assert whole.endswith(after)
    assert 0 <= len(whole) - len(before) - len(after) <= 2 * MAX_UNREAD


def test_a_reader_that_flushes_late_misses_nothing(simulate: Simulate, open_port: OpenPort, recording: Path) -> None:
    """Between opening and the flush nothing is sent, so the flush throws nothing away."""
    simulator = simulate("replay", "--nmea", recording, "--speed", 1000)
    reader = open_port(simulator.ports["gnss"])
    time.sleep(0.2)
    termios.tcflush(reader.fd, termios.TCIFLUSH)
    assert reader.read() == a_recording(60)


def test_the_port_runs_only_a_little_ahead_of_its_reader(open_port: OpenPort) -> None:
    port = PtyPort()
    assert port.write(b"") == 0
    reader = open_port(port.path, flush=True)
    port.receive()
    assert port.is_listening
    taken = 0
    for _ in range(60):
        taken += port.write(bytes(1000))
        time.sleep(0.005)
    assert MAX_UNREAD <= taken <= 2 * MAX_UNREAD  # the kernel alone would take 20,480
    assert len(reader.read(taken, 2)) == taken
    port.close()


def test_time_stands_still_for_a_slow_reader(simulate: Simulate, open_port: OpenPort, tmp_path: Path) -> None:
    """Four seconds of play: after a stop of 2.5 s it goes on at its pace and does not hurry to catch up."""
    path = tmp_path / "log.nmea"
    path.write_bytes(a_recording(41))
    simulator = simulate("replay", "--nmea", path, "--speed", 10)
    reader = open_port(simulator.ports["gnss"])
    got = reader.read(100)
    time.sleep(2.5)
    assert got + reader.read() == path.read_bytes()
    assert simulator.summary()["seconds"] > 5


def test_the_last_bytes_wait_for_their_reader(simulate: Simulate, open_port: OpenPort, tmp_path: Path) -> None:
    path = tmp_path / "log.nmea"
    path.write_bytes(a_recording(3))
    simulator = simulate("replay", "--nmea", path, "--speed", 1000)
    reader = open_port(simulator.ports["gnss"], flush=True)
    time.sleep(1.0)
    assert reader.read() == path.read_bytes()
    assert simulator.summary()["ended"] == "end"


def test_a_slow_reader_is_waited_for(simulate: Simulate, open_port: OpenPort, recording: Path) -> None:
    simulator = simulate("replay", "--nmea", recording, "--speed", 1000)
    reader = open_port(simulator.ports["gnss"])
    got = reader.read(100)
    time.sleep(1.5)
    got += reader.read(5000)
    time.sleep(0.5)
    got += reader.read()
    assert got == a_recording(60)
    assert simulator.summary()["seconds"] >= 2


def test_realtime_counts_what_nobody_heard(simulate: Simulate, open_port: OpenPort, recording: Path) -> None:
    simulator = simulate("replay", "--nmea", recording, "--speed", 20, "--realtime")
    reader = open_port(simulator.ports["gnss"])
    heard = reader.read(2000)
    reader.close()
    summary = simulator.summary()  # nobody comes back, and it ends all the same
    assert summary["ended"] == "end"
    assert heard == a_recording(60)[:2000]
    assert summary["bytes_unheard"] > 1000
    assert summary["bytes_unheard"] + len(heard) == len(a_recording(60))


def test_realtime_without_waiting_plays_to_nobody(simulate: Simulate, recording: Path) -> None:
    summary = simulate("replay", "--nmea", recording, "--speed", 100, "--realtime", "--no-wait").summary()
    assert summary["bytes_unheard"] == len(a_recording(60))
    assert summary["bytes_sent"] == summary["sentences_sent"] == 0


def test_nobody_listens_so_nothing_is_played(simulate: Simulate, recording: Path) -> None:
    simulator = simulate("replay", "--nmea", recording, "--speed", 1000)
    time.sleep(1.3)
    began = time.monotonic()
    summary = simulator.end()
    assert time.monotonic() - began < 1.5
    assert summary["ended"] == "stopped"
    assert summary["bytes_sent"] == summary["played_s"] == 0
    assert "nobody has /dev/pts/" in simulator.errors()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_cleanly(
    simulate: Simulate, open_port: OpenPort, tmp_path: Path, number: signal.Signals
) -> None:
    links = tmp_path / "gnss", tmp_path / "obd"
    simulator = simulate("drive", "--gnss-link", links[0], "--obd-link", links[1])
    assert open_port(str(links[0])).read(100)
    assert [str(link.readlink()) for link in links] == [simulator.ports["gnss"], simulator.ports["obd"]]
    began = time.monotonic()
    simulator.process.send_signal(number)
    assert simulator.summary()["ended"] == "stopped"
    assert time.monotonic() - began < 1.5
    assert simulator.process.returncode == 0
    assert not any(link.is_symlink() for link in links)


def test_pace(simulate: Simulate, open_port: OpenPort, tmp_path: Path) -> None:
    """Twenty recorded seconds ten times as fast: about two seconds, spread out and not in one burst."""
    path = tmp_path / "log.nmea"
    path.write_bytes(a_recording(21))
    simulator = simulate("replay", "--nmea", path, "--speed", 10)
    reader = open_port(simulator.ports["gnss"])
    assert reader.read(1)
    time.sleep(0.6)
    assert len(reader.read(timeout_s=0.05)) < len(path.read_bytes()) * 0.7
    reader.read()
    assert 1.9 < simulator.summary()["seconds"] < 12


def test_the_port_is_raw(simulate: Simulate, open_port: OpenPort) -> None:
    """No echo: what an agent writes to a receiver does not come back, and its bytes are not waited for."""
    simulator = simulate("drive", "--no-obd")
    reader = open_port(simulator.ports["gnss"], flush=True)
    os.write(reader.fd, b"$PCAS03,1,1,1,1*02\r\n" * 300)
    got = reader.read(600, 3)
    assert got.startswith(b"$GNRMC")
    assert b"PCAS" not in got


def test_the_adapter_keeps_its_settings_when_a_client_leaves(simulate: Simulate, open_port: OpenPort) -> None:
    simulator = simulate("drive", "--no-gnss")
    first = open_port(simulator.ports["obd"])
    assert first.ask("ATE0") == "ATE0\rOK\r\r>"
    assert first.ask("ATH1") == "OK\r\r>"
    os.write(first.fd, b"0902\r")  # and leaves without reading the answer
    time.sleep(0.3)
    first.close()
    time.sleep(0.3)
    second = open_port(simulator.ports["obd"])
    assert second.ask("ATSP6") == "OK\r\r>"  # not the first client's answer
    assert second.ask("010D") == "7E8 03 41 0D 00 \r\r>"
    assert simulator.end()["obd_requests"] == 2


def test_a_client_that_types_and_never_reads(simulate: Simulate, open_port: OpenPort) -> None:
    simulator = simulate("drive", "--no-gnss")
    client = open_port(simulator.ports["obd"])
    os.set_blocking(client.fd, False)
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        with contextlib.suppress(BlockingIOError):
            os.write(client.fd, b"0902\r" * 100)
        time.sleep(0.002)
    assert len(client.read(timeout_s=0.5)) < 20_000
    for end_of_what_was_cut in (b"", b"\r"):  # the last of what it typed was taken in part
        os.write(client.fd, end_of_what_was_cut)
        while client.read(timeout_s=0.5):
            pass
    assert client.ask("ATI").endswith("ELM327 v1.5\r\r>")
    assert simulator.end()["obd_requests"] > 1000


def test_a_hung_adapter(simulate: Simulate, open_port: OpenPort) -> None:
    simulator = simulate("drive", "--no-gnss", "--obd-silent-after", 1, "--speed", 2)
    client = open_port(simulator.ports["obd"])
    assert client.ask("ATI").endswith(">")
    time.sleep(1.2)
    assert client.ask("ATI", 0.5) == ""


def test_loop_goes_on(simulate: Simulate, open_port: OpenPort, tmp_path: Path) -> None:
    path = tmp_path / "log.nmea"
    path.write_bytes(a_recording(2))
    simulator = simulate("replay", "--nmea", path, "--speed", 100, "--loop")
    wanted = 5 * a_recording(2)
    assert open_port(simulator.ports["gnss"]).read(len(wanted)) == wanted
    assert simulator.end()["ended"] == "stopped"


def test_links_replace_links_of_earlier_runs_only(simulate: Simulate, tmp_path: Path) -> None:
    stale = tmp_path / "gnss"
    stale.symlink_to("/dev/pts/99999")
    simulator = simulate("drive", "--no-obd", "--gnss-link", stale)
    assert str(stale.readlink()) == simulator.ports["gnss"]
    other = simulate("drive", "--no-obd", "--gnss-link", stale)  # takes the name over
    simulator.end()
    assert str(stale.readlink()) == other.ports["gnss"]
    other.end()
    assert not stale.is_symlink()
