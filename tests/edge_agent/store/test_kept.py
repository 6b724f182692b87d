"""What the agent keeps between two runs: what is written, when, and what is read of a damaged file."""

import json
from pathlib import Path

import pytest

from edge_agent.store.kept import Kept, KeptFile

KEPT = Kept({"supply": True}, {"vin": "LSVAA4182E2184847", "dtc_codes": ["P0301"]}, '{"h": 1}')


def written(folder: Path) -> object:
    return json.loads((folder / "kept.json").read_text(encoding="utf-8"))


def test_the_next_run_reads_what_this_one_kept(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    assert file.read == Kept()
    file.keep(KEPT, 0.0)
    assert KeptFile(tmp_path).read == KEPT


def test_it_is_written_when_something_was_told_and_for_the_energy_once_an_hour(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    file.keep(Kept({}, {}, "a"), 0.0)
    assert not (tmp_path / "kept.json").exists()
    file.keep(Kept({"tow": 1}, {}, "b"), 1.0)
    file.keep(Kept({"tow": 1}, {}, "c"), 3600.9)
    assert written(tmp_path) == {"rules": {"tow": 1}, "told": {}, "energy": "b"}
    file.keep(Kept({"tow": 1}, {}, "d"), 3601.0)
    assert written(tmp_path) == {"rules": {"tow": 1}, "told": {}, "energy": "d"}
    file.keep(Kept({"tow": 1}, {"vin": "X"}, "e"), 3602.0)
    assert written(tmp_path) == {"rules": {"tow": 1}, "told": {"vin": "X"}, "energy": "e"}


def test_the_end_writes_the_energy_whenever_it_is(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    file.keep(Kept({}, {}, "a"), 10.0, for_good=True)
    assert KeptFile(tmp_path).read.energy == "a"


def test_what_the_caller_changes_later_is_a_change(tmp_path: Path) -> None:
    file = KeptFile(tmp_path)
    told: dict[str, object] = {"vin": "A"}
    file.keep(Kept({}, told), 0.0)
    told["vin"] = "B"
    file.keep(Kept({}, told), 1.0)
    assert KeptFile(tmp_path).read.told == {"vin": "B"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_file_begins_anew_and_says_so(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept.json").write_bytes(content)
    assert KeptFile(tmp_path).read == Kept()
    assert "begin anew" in caplog.text


def test_a_part_of_the_wrong_type_costs_that_part_only(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text('{"rules": [], "told": {"vin": "A"}, "energy": 7}')
    assert KeptFile(tmp_path).read == Kept({}, {"vin": "A"}, None)


def test_a_card_that_takes_nothing_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "gone"
    file = KeptFile(folder)
    file.keep(KEPT, 0.0)
    assert "cannot be written" in caplog.text
    folder.mkdir()
    file.keep(KEPT, 1.0)
    assert KeptFile(folder).read == KEPT
