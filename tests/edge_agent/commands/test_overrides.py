"""Changed settings on the card."""

from pathlib import Path

import pytest

from edge_agent.commands import overrides
from edge_agent.commands.overrides import MOST, Overrides


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "overrides.json"


def test_changes_survive_a_restart(path: Path) -> None:
    kept = Overrides(path)
    assert (kept.values, kept.damaged) == ({}, False)
    kept.put("batch", "samples", "30")
    kept.put("batch", "after_s", "20")
    kept.put("power", "low_v", "11.9")
    kept.put("batch", "samples", "40")
    again = Overrides(path)
    assert again.values == kept.values == {"batch": {"samples": "40", "after_s": "20"}, "power": {"low_v": "11.9"}}
    assert not again.damaged


def test_a_change_is_tried_out_without_being_kept(path: Path) -> None:
    kept = Overrides(path)
    kept.put("batch", "samples", "30")
    assert kept.with_one("batch", "samples", "40") == {"batch": {"samples": "40"}}
    assert kept.values == {"batch": {"samples": "30"}}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"batch": 1}', '{"batch": {"samples": 30}}', '"x"'])
def test_a_damaged_file_leaves_unit_toml_alone(path: Path, text: str) -> None:
    path.write_text(text)
    kept = Overrides(path)
    assert (kept.values, kept.damaged) == ({}, True)
    kept.put("batch", "samples", "30")
    assert not kept.damaged
    assert Overrides(path).values == {"batch": {"samples": "30"}}


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xff")
    assert Overrides(path).damaged


def test_a_card_without_room_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Overrides(path)
    kept.put("batch", "samples", "30")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(overrides, "replace_durably", full_disk)
    with pytest.raises(OSError, match="No space"):
        kept.put("batch", "samples", "40")
    assert kept.values == {"batch": {"samples": "30"}}


def test_changes_are_bounded(path: Path) -> None:
    kept = Overrides(path)
    for n in range(MOST):
        kept.put("batch", f"n{n}", "1")
    with pytest.raises(OSError, match="more than"):
        kept.put("batch", "one more", "1")
    kept.put("batch", "n0", "2")
