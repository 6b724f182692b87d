"""`pledgewatch demo` as a newcomer runs it."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.journey.world import ROOT, free_port, until

DEMO = [sys.executable, "-m", "server", "demo"]


def run_demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*DEMO, "--port", str(free_port()), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)


def test_it_ends_by_itself_and_lost_nothing(synthetic_recording: Path) -> None:
    ended = run_demo("--for", "8", "--json", "--nmea", synthetic_recording)
    result = json.loads(ended.stdout.splitlines()[-1])
    assert ended.returncode == 0, ended.stderr
    assert set(result) == {
        "vehicles", "samples_sealed", "samples_stored", "lost", "duplicates", "refused", "seconds",
    }  # fmt: skip
    assert result["vehicles"] == 3
    assert result["samples_sealed"] == result["samples_stored"] > 15
    assert (result["lost"], result["duplicates"], result["refused"]) == (0, 0, 0)
    assert "Log in     demo" in ended.stderr


def test_without_mosquitto_the_embedded_broker_serves() -> None:
    ended = run_demo("--for", "6", "--json", "--embedded")
    assert ended.returncode == 0, ended.stderr
    assert "embedded" in ended.stderr
    result = json.loads(ended.stdout.splitlines()[-1])
    assert result["samples_sealed"] == result["samples_stored"] > 0


def test_ctrl_c_ends_everything_it_started(tmp_path: Path) -> None:
    command = [*DEMO, "--port", str(free_port()), "--dir", str(tmp_path), "--json"]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "logs" / "agent-DEMO-0003.log"
    until(lambda: log.exists() and "connected" in log.read_text(), 60, "the last agent is connected")
    assert processes_of(tmp_path)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=60)
    assert demo.returncode == 0, err
    assert json.loads(out.splitlines()[-1])["lost"] == 0
    assert "Traceback" not in err
    assert not processes_of(tmp_path)


def test_killing_it_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*DEMO, "--port", str(free_port()), "--dir", str(tmp_path)]
    demo = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = tmp_path / "logs" / "agent-DEMO-0003.log"
    until(lambda: log.exists() and "connected" in log.read_text(), 60, "the last agent is connected")
    demo.kill()
    demo.wait()
    until(lambda: not processes_of(tmp_path), 15, "every process has ended")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--nmea", "/nowhere/drive.nmea"), "/nowhere/drive.nmea is not a file"),
        (("--port", "{taken}"), "is taken, perhaps by another demo"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(arguments: tuple[str, str], sentence: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        filled = [each.format(taken=taken.getsockname()[1]) for each in arguments]
        ended = run_demo("--for", "5", *filled)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def processes_of(folder: Path) -> list[int]:
    """Processes whose command line names the folder, but for this test and the demo itself."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (
                (entry / "cmdline").read_bytes().decode(errors="replace").split("\0") if entry.name.isdigit() else []
            )
        except OSError:
            continue
        if any(str(folder) in part for part in command) and "demo" not in command and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
