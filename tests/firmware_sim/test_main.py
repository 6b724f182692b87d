"""The command line: refusals are sentences with exit status 2, and the help teaches."""

import json
from pathlib import Path

import pytest

from firmware_sim.__main__ import main

DRIVE = ["drive", "--duration", "60"]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as ended:  # argparse refuses this way
        status = int(str(ended.code))
    captured = capsys.readouterr()
    assert status == 2
    assert "Traceback" not in captured.err
    assert captured.out == ""
    return captured.err.splitlines()[-1]


def test_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text, cut, folder, table = tmp_path / "notes.txt", tmp_path / "cut.gz", tmp_path, tmp_path / "table.parquet"
    text.write_text("# a note\nnothing of a receiver\n")
    cut.write_bytes(b"\x1f\x8b\x08\x00")
    table.write_text("PAR1 no")
    said = {
        "nothing to replay": refusal(capsys, "replay"),
        "no NMEA recording": refusal(capsys, "replay", "--nmea", text),
        "cut short": refusal(capsys, "replay", "--nmea", cut),
        "Is a directory": refusal(capsys, "replay", "--nmea", folder),
        "No such file": refusal(capsys, "replay", "--nmea", tmp_path / "none"),
        "no such file": refusal(capsys, "replay", "--obd", tmp_path / "none"),
        "cannot be read as a Parquet table": refusal(capsys, "replay", "--obd", table),
        "exists and is not a link": refusal(capsys, *DRIVE, "--gnss-link", text),
        "Cannot make the link": refusal(capsys, *DRIVE, "--gnss-link", tmp_path / "no" / "folder"),
        "nothing to play": refusal(capsys, *DRIVE, "--no-gnss", "--no-obd"),
        "needs --realtime": refusal(capsys, *DRIVE, "--no-wait"),
        "its check digit (9th character) should be 0": refusal(capsys, *DRIVE, "--vin", "LSVPW5001T2000001"),
        "17 characters": refusal(capsys, *DRIVE, "--vin", "LSVPW"),
        "'fast' is not a speed": refusal(capsys, *DRIVE, "--speed", "fast"),
        "'nan' is not a speed": refusal(capsys, *DRIVE, "--speed", "nan"),
        "from 60 to": refusal(capsys, "drive", "--duration", "5"),
        "neither a time": refusal(capsys, *DRIVE, "--start", "tomorrow"),
        "cannot write": refusal(capsys, *DRIVE, "--nmea-out", folder),
        "invalid choice: 'atlantis'": refusal(capsys, "drive", "--city", "atlantis"),
    }
    assert not [(wanted, found) for wanted, found in said.items() if wanted not in found]
    assert text.read_text().startswith("# a note")


def test_a_link_to_something_else_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    link = tmp_path / "gnss"
    link.symlink_to(tmp_path / "precious")
    assert "is no simulated port" in refusal(capsys, *DRIVE, "--gnss-link", link)
    assert str(link.readlink()) == str(tmp_path / "precious")


def test_the_same_seed_gives_the_same_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(files, ("7", "7", "8"), strict=True):
        assert main([*DRIVE, "--city", "chengdu", "--seed", seed, "--nmea-out", str(path)]) == 0
    assert files[0].read_bytes() == files[1].read_bytes() != files[2].read_bytes()
    summary = json.loads(capsys.readouterr().out.splitlines()[0])
    assert summary["bytes"] == files[0].stat().st_size
    assert summary["sentences"] == files[0].read_bytes().count(b"\r\n") >= 60 * 6


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    assert "成都" in capsys.readouterr().out
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["cities"]["beijing"]["zh"] == "北京"
    assert {"speed_kmh", "engine_load"} <= set(listed["obd_columns"])


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "pledgewatch-sim replay --nmea receiver.log.gz" in capsys.readouterr().out
