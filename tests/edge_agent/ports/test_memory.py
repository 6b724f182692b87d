"""What is remembered survives a restart; what is damaged is forgotten."""

import json
from pathlib import Path

import pytest

from edge_agent.ports.memory import Memory
from edge_agent.ports.plan import Remembered
from edge_agent.ports.probe import Role

PLACE = Remembered("/dev/ttyUSB0", 9600, "1-1.2")


def test_places_survive(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "ports.json")
    assert memory.get(Role.GNSS) is None
    memory.put(Role.GNSS, PLACE)
    memory.put(Role.OBD, Remembered("/dev/ttyUSB1", 38400))
    again = Memory(tmp_path / "ports.json")
    assert again.get(Role.GNSS) == PLACE
    assert again.get(Role.OBD) == Remembered("/dev/ttyUSB1", 38400)
    assert [path.name for path in tmp_path.iterdir()] == ["ports.json"]


def test_the_card_is_written_only_when_something_changed(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    memory = Memory(path)
    memory.put(Role.GNSS, PLACE)
    before = path.stat().st_ino
    memory.put(Role.GNSS, PLACE)
    Memory(path).put(Role.GNSS, PLACE)
    assert path.stat().st_ino == before
    memory.put(Role.GNSS, Remembered("/dev/ttyUSB0", 115200, "1-1.2"))
    assert path.stat().st_ino != before


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"gnss": 3}',
        b'{"gnss": {"port": "/dev/x"}}',
        b'{"gnss": {"port": 1, "baud": 9600, "location": ""}}',
        b'{"gnss": {"port": "/dev/x", "baud": "9600", "location": ""}}',
        b'{"gnss": {"port": "/dev/x", "baud": -1, "location": ""}}',
        b'{"gnss": {"port": "/dev/x", "baud": 99999999999, "location": ""}}',
    ],
)
def test_a_damaged_file_is_forgotten(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "ports.json"
    path.write_bytes(damaged)
    memory = Memory(path)
    assert memory.get(Role.GNSS) is None
    memory.put(Role.GNSS, PLACE)
    assert json.loads(path.read_bytes())["gnss"] == {"port": "/dev/ttyUSB0", "baud": 9600, "location": "1-1.2"}


def test_a_disk_that_takes_nothing_is_no_reason_to_stop(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "no folder" / "ports.json")
    memory.put(Role.GNSS, PLACE)
    assert memory.get(Role.GNSS) == PLACE
