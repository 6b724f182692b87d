"""Fixtures of the whole journeys."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.journey.world import ROOT, World


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.end()


@pytest.fixture(scope="session")
def f9k_recording(telemetry: Path) -> Path:
    """The recorded drive (u-blox F9K, 1 Hz, 28 minutes)."""
    found = sorted((telemetry / "ublox_f9k_drive").glob("*ublox-F9K*.nmea.gz"))
    if not found:
        pytest.skip("the recorded drive ublox_f9k_drive is not here (--data)")
    return found[0]


@pytest.fixture(scope="session")
def synthetic_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive of 20 minutes as an NMEA log, made by the simulator; needs no data."""
    path = tmp_path_factory.mktemp("recording") / "drive.nmea"
    command = [sys.executable, "-m", "firmware_sim", "drive", "--city", "chengdu", "--seed", "5", "--duration", "1200"]
    subprocess.run([*command, "--nmea-out", str(path)], check=True, cwd=ROOT, capture_output=True)
    return path


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Seeded by the test's name: the same moments in every run."""
    return random.Random(request.node.name)
