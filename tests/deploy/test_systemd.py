"""The service files, judged by systemd's own tools; no systemd has to run for it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "deploy" / "systemd" / "pledgewatch-agent.service"
MOST_EXPOSED = 2.5  # of 10, as systemd-analyze(1) counts; a service without any protection has 9.6


@pytest.fixture(scope="module")
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    return program


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    text = SERVICE.read_text().replace("/opt/pledgewatch/bin/pledgewatch-agent", sys.executable)
    path = tmp_path / SERVICE.name
    path.write_text(text)
    said = subprocess.run([analyze, "verify", "--man=no", path], capture_output=True, text=True, check=False)
    about_ours = [line for line in said.stderr.splitlines() if SERVICE.stem in line]
    assert (said.returncode, about_ours) == (0, [])


def test_the_service_is_fenced_in(analyze: str) -> None:
    command = [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", SERVICE]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-400:] + said.stderr


def test_the_service_starts_a_command_that_there_is() -> None:
    from edge_agent.__main__ import _parser

    (line,) = re.findall(r"^ExecStart=\S+/pledgewatch-agent (.+)$", SERVICE.read_text(), re.MULTILINE)
    arguments = _parser().parse_args(line.split())
    assert arguments.config == Path("/var/lib/pledgewatch/unit.toml")
