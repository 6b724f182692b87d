"""The stories tagged "fast", each with a broker, a server and an agent of its own, as `make hil` plays all of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.bench.catalogue import all_files, read_file

ROOT = Path(__file__).parents[2]
FAST = [path.stem for path in all_files() if "fast" in read_file(path).tags]


def test_there_are_fast_stories() -> None:
    assert len(FAST) >= 6


@pytest.mark.parametrize("name", FAST)
def test_story(name: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "firmware_sim", "run", name, "--keep", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    log = tmp_path / name / "logs" / "agent.log"
    assert done.returncode == 0, done.stderr + (log.read_text()[-3000:] if log.exists() else "")
