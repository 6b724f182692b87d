"""A run of stories that is told to leave, or is killed, leaves no program and no folder behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], bool], what: str, within_s: float = 120.0) -> None:
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"waited in vain until {what}"
        time.sleep(0.1)


def programs_of(folder: Path) -> list[str]:
    """Command lines of all processes that have to do with it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.replace(b"\0", b" ").decode())
    return found


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_nothing_is_left(number: signal.Signals, status: int, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "firmware_sim", "run", "first_drive", "gnss_only_unit", "--jobs", "2"]
    run = subprocess.Popen(words, cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE)
    try:
        until(lambda: sum("edge_agent run" in each for each in programs_of(tmp_path)) == 2, "the agents run")
        run.send_signal(number)
        assert run.wait(30) == status
        until(lambda: not programs_of(tmp_path), "every program has ended")
        until(lambda: not list(tmp_path.iterdir()), "every folder is gone")
    finally:
        run.kill()
        run.communicate()
