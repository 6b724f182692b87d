"""A unit at the other end of two serial cables: the bench reaches it through tty devices and a broker, nothing else."""

import json
import os
import select
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.fleet.authority import Authority
from server.fleet.observer import make_observer
from server.setting_up import authority_folder
from tests.journey.world import World

ROOT = Path(__file__).parents[2]
UNIT = "PW000001"
STORY = """title = { zh = "桌上的终端", en = "A unit on the desk" }
about = { zh = "开车半分钟。", en = "A drive of half a minute." }
tags = []
seed = 5
start = 2026-11-23T00:10:00Z
city = "beijing"
adapter = "none"
[[act]]
name = "drive"
do = "drive"
minutes = 0.5
[[act]]
name = "stand"
do = "park"
seconds = 5
[[expect]]
event = "unit_started"
in = "drive"
[[expect]]
fact = "gnss.state"
is = "open"
[[never]]
event = "*"
"""


class Cable:
    """Two ttys; what is written into one comes out of the other, as two USB adapters wired crosswise."""

    def __init__(self) -> None:
        self._ends = [os.openpty() for _ in range(2)]
        for _, end in self._ends:
            tty.setraw(end)
        self.near, self.far = (os.ttyname(end) for _, end in self._ends)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def _carry(self) -> None:
        (near, _), (far, _) = self._ends
        while not self._is_over.is_set():
            for ready in select.select([near, far], [], [], 0.2)[0]:
                os.write(far if ready == near else near, os.read(ready, 4096))

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()
        for pair in self._ends:
            for end in pair:
                os.close(end)


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()


def test_a_unit_on_cables_is_played_to_and_judged(world: World, cable: Cable, tmp_path: Path) -> None:
    folder = world.add_unit(UNIT, batch="after_s = 2.0")
    settings = (folder / "unit.toml").read_text().replace("plays_recording = true", "")
    (folder / "unit.toml").write_text(settings.replace(json.dumps(str(folder / "gnss")), json.dumps(cable.far)))
    observer = tmp_path / "observer"
    authority = Authority(authority_folder(world.settings))
    assert make_observer(world.store, authority, world.settings.broker, observer, datetime.now(UTC)) == 1
    world.start("broker", "ingest", f"agent {UNIT}")
    (tmp_path / "on_the_desk.toml").write_text(STORY)
    report = tmp_path / "report.xml"
    words = ["run", str(tmp_path / "on_the_desk.toml"), "--gnss", cable.near, "--unit", UNIT]
    words += ["--broker", f"mqtts://127.0.0.1:{world.settings.broker.port}", "--observer", str(observer)]
    done = subprocess.run(
        [sys.executable, "-m", "firmware_sim", *words, "--junit", str(report)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "every position of a drive arrives" not in done.stderr, done.stderr + world.log(f"agent {UNIT}")
    assert done.returncode == 0, done.stderr + world.log(f"agent {UNIT}")
    assert "1 of 1 stories passed; 2 expectations wait" in done.stderr
    assert 'name="on_the_desk"' in report.read_text()
