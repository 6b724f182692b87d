"""The memory of commands: durable at each step, bounded, and honest about a loss."""

import os
from pathlib import Path

import pytest

from edge_agent.commands import memory as command_memory
from edge_agent.commands.judging import Remembered
from edge_agent.commands.memory import MOST_REMEMBERED, CommandMemory
from edge_agent.store import durable_file
from tests.edge_agent.commanding import HOUR_MS, NOW_MS, command
from wire.commands import Outcome

DAY_MS = 24 * HOUR_MS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "commands.json"


def test_a_new_unit_remembers_nothing(path: Path) -> None:
    memory = CommandMemory(path)
    assert (dict(memory.seen.commands), memory.seen.not_before_ms, memory.interrupted) == ({}, 0, {})
    assert memory.seen.most == MOST_REMEMBERED
    assert not path.exists()


def test_power_fails_before_a_command_is_begun(path: Path) -> None:
    CommandMemory(path)
    assert CommandMemory(path).seen.commands == {}


def test_power_fails_between_begin_and_end(path: Path) -> None:
    made, done = command("follow"), command()
    memory = CommandMemory(path)
    memory.begin(done)
    memory.end(done, Outcome.DONE)
    memory.begin(made)
    assert memory.seen.commands[made.id].outcome is None
    for _ in range(2):  # the second start knows what the first one found
        again = CommandMemory(path)
        assert again.seen.commands[made.id] == Remembered("follow", made.expires_ms, Outcome.INTERRUPTED)
        assert again.seen.commands[done.id] == Remembered("locate", done.expires_ms, Outcome.DONE)
    assert again.interrupted == {}
    assert CommandMemory(path).interrupted == {}


def test_what_was_interrupted_is_told_once(path: Path) -> None:
    made = command()
    CommandMemory(path).begin(made)
    assert CommandMemory(path).interrupted == {made.id: Remembered("locate", made.expires_ms, Outcome.INTERRUPTED)}
    assert CommandMemory(path).interrupted == {}


def test_power_fails_after_the_end(path: Path) -> None:
    made = command()
    memory = CommandMemory(path)
    memory.begin(made)
    memory.end(made, Outcome.FAILED, "没有定位")
    again = CommandMemory(path)
    assert again.seen.commands == {made.id: Remembered("locate", made.expires_ms, Outcome.FAILED, "没有定位")}
    assert again.interrupted == {}


def test_an_id_outlives_its_command_by_a_day(path: Path) -> None:
    made = command()
    memory = CommandMemory(path)
    memory.begin(made)
    memory.end(made, Outcome.DONE)
    memory.know_time(made.expires_ms + DAY_MS - 1)
    assert made.id in memory.seen.commands
    memory.know_time(made.expires_ms + DAY_MS)
    assert memory.seen.commands == {}
    memory.begin(command())
    assert len(CommandMemory(path).seen.commands) == 1


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\x00" * 100,
        b"\xff\xfe",
        b"[]",
        b'{"commands": {}}',
        b'{"not_before_ms": 0, "commands": {"zz": {}}}',
        b'{"not_before_ms": 0, "commands": {"00": {"kind": "locate", "expires_ms": 1, "outcome": null, "reason": ""}}}',
        b'{"not_before_ms": 0, "commands": {"' + b"00" * 16 + b'": {"kind": "x", "expires_ms": 1, "outcome": "odd"}}}',
        b'{"not_before_ms": 0, "commands": []}',
    ],
)
def test_a_lost_memory_draws_a_line(path: Path, damaged: bytes) -> None:
    path.write_bytes(damaged)
    memory = CommandMemory(path)
    assert memory.seen.commands == {}
    memory.know_time(NOW_MS)
    assert memory.seen.not_before_ms == NOW_MS
    memory.know_time(NOW_MS + DAY_MS)  # the line is drawn once
    assert memory.seen.not_before_ms == NOW_MS
    assert CommandMemory(path).seen.not_before_ms == NOW_MS


def test_a_memory_that_is_there_draws_no_line(path: Path) -> None:
    CommandMemory(path).begin(command())
    memory = CommandMemory(path)
    memory.know_time(NOW_MS)
    assert memory.seen.not_before_ms == 0


def full_disk(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_card_without_room_begins_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, made = CommandMemory(path), command()
    monkeypatch.setattr(command_memory, "replace_durably", full_disk)
    with pytest.raises(OSError, match="No space"):
        memory.begin(made)
    assert memory.seen.commands == {}


def test_an_end_without_room_is_known_until_power_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, made = CommandMemory(path), command()
    memory.begin(made)
    monkeypatch.setattr(command_memory, "replace_durably", full_disk)
    with pytest.raises(OSError, match="No space"):
        memory.end(made, Outcome.DONE)
    assert memory.seen.commands[made.id].outcome is Outcome.DONE
    assert CommandMemory(path).seen.commands[made.id].outcome is Outcome.INTERRUPTED


# -- the file beneath


def test_power_fails_while_the_file_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is cut, the old text is there whole."""
    durable_file.replace_durably(path, "old")
    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        durable_file.replace_durably(path, "new")
    assert path.read_text() == "old"


def test_the_text_is_on_the_card_before_it_takes_the_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append("sync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (happened.append("rename"), replace(a, b))[1])
    durable_file.replace_durably(path, "汉字")
    assert happened == ["sync", "rename", "sync"]
    assert path.read_text(encoding="utf-8") == "汉字"
    assert list(path.parent.iterdir()) == [path]
