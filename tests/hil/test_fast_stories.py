"""The stories tagged "fast", each with a broker, a server and an agent of its own, as `make hil` plays all of them."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as Xml

from firmware_sim.bench.catalogue import all_files, read_file

ROOT = Path(__file__).parents[2]
FAST = {path.stem for path in all_files() if "fast" in read_file(path).tags}


def test_they_pass(tmp_path: Path) -> None:
    """All at a time in one test: a story mostly waits."""
    assert len(FAST) >= 6
    report = tmp_path / "junit.xml"
    words = [sys.executable, "-m", "firmware_sim", "run", "tag:fast", "--jobs", "4", "--keep", str(tmp_path)]
    done = subprocess.run(
        [*words, "--junit", str(report)], cwd=ROOT, capture_output=True, text=True, timeout=550, check=False
    )
    logs = "".join(
        f"\n== {name}\n{(tmp_path / name / 'logs' / 'agent.log').read_text(errors='replace')[-2000:]}"
        for name in FAST
        if f"FAILED  {name}" in done.stderr and (tmp_path / name / "logs" / "agent.log").exists()
    )
    assert done.returncode == 0, done.stderr + logs
    assert {suite.get("name") for suite in Xml.parse(report).iter("testsuite")} == FAST
