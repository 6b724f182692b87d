"""`pledgewatch-sim run`, `list` and `describe`: what they refuse, and what a physical unit can be played."""

import json
import os
from pathlib import Path

import pytest

from firmware_sim.__main__ import main
from firmware_sim.bench.catalogue import all_files, chosen, read_file
from firmware_sim.bench.physical import require_playable
from firmware_sim.cables import SerialPort
from firmware_sim.ports import PortError
from firmware_sim.story.schema import StoryError


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Traceback" not in told.err
    return told.err.strip()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "first_driv"], "there is no story 'first_driv'; did you mean 'first_drive'?"),
        (["run", "tag:fastest"], "no story has the tag 'fastest'"),
        (["run", "/nowhere/story.toml"], "story.toml: cannot be read"),
        (["run", "first_drive", "--gnss", "/dev/ttyUSB0"], "a physical unit needs --gnss or --obd, --unit NAME"),
        (["run", "first_drive", "--agent", "/nowhere/agent"], "cannot start /nowhere/agent"),
        (["run", "first_drive", "--agent", "/bin/echo"], "/bin/echo knows no --bench-clock"),
        (["describe", "first_driv"], "did you mean 'first_drive'?"),
    ],
)
def test_refusals(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    assert told in refusal(capsys, *words)


def test_a_story_that_is_wrong_is_told_with_its_place(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = { zh = "一" }\n')
    assert "mine.toml: a story needs at least one [[act]]" in refusal(capsys, "run", str(path))


def test_list_names_every_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["stories"]
    assert list(told) == [path.stem for path in all_files()]
    assert main(["list", "--tag", "fast"]) == 0
    text = capsys.readouterr().out
    assert "first_drive" in text
    assert "honest_week" not in text
    assert main(["list", "--check"]) == 0
    assert f"{len(told)} stories read, 0 wrong" in capsys.readouterr().out


def test_describe_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "first_drive"]) == 0
    assert "必须看到" in capsys.readouterr().out
    assert main(["describe", "first_drive", "--language", "en"]) == 0
    assert "What must be seen" in capsys.readouterr().out


def test_stories_are_chosen_once() -> None:
    named = [story.name for story in chosen(["first_drive", "gnss_only_unit", "first_drive"])]
    assert named == ["first_drive", "gnss_only_unit"]


def test_another_seed() -> None:
    assert chosen(["first_drive"], seed=4711)[0].seed == 4711


def test_what_a_physical_unit_can_be_played() -> None:
    files = {path.stem: path for path in all_files()}
    require_playable(read_file(files["first_drive"]))
    with pytest.raises(StoryError, match="the clock of a physical unit cannot be steered"):
        require_playable(read_file(files["towed_at_night"]))
    with pytest.raises(StoryError, match=r"unit\.power_cut cannot be done to a physical unit"):
        require_playable(read_file(files["power_cuts_while_writing"]))


def test_a_serial_port_passes_bytes_both_ways() -> None:
    far, near = os.openpty()
    port = SerialPort(os.ttyname(near), 9600)
    try:
        assert port.is_listening
        assert port.receive() == b""
        assert port.write(b"$GNRMC\r\n") == 8
        assert os.read(far, 64) == b"$GNRMC\r\n"
        os.write(far, b"ATZ\r")
        received = b""
        while not received:
            received = port.receive()
        assert received == b"ATZ\r"
    finally:
        port.close()
        os.close(far)
        os.close(near)


def test_a_serial_port_that_is_not_there() -> None:
    with pytest.raises(PortError, match="/dev/ttyNOWHERE cannot be opened"):
        SerialPort("/dev/ttyNOWHERE", 9600)
