"""The count of boots: it never goes back, whatever happens to its files."""

from pathlib import Path

import pytest

from edge_agent.store.boots import Boots, next_number, read_boots, remember_boot

BOOT = bytes(range(16))
COPIES = ("boots", "boots_copy")
NOON_MS = 1_800_000_000_000
CALENDAR = (NOON_MS - 1_577_836_800_000) // 60_000


def number(folder: Path, at_least: int = 0, floor_ms: int = NOON_MS, anew: bool = True) -> int:
    return next_number(folder, at_least, floor_ms, anew=anew)


def test_the_first_boot_is_the_first(tmp_path: Path) -> None:
    assert read_boots(tmp_path) is None
    assert number(tmp_path) == 1


def test_what_is_remembered_is_read_from_either_copy_and_counted_on(tmp_path: Path) -> None:
    remember_boot(tmp_path, Boots(7, BOOT))
    for name in COPIES:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).unlink()
        assert read_boots(tmp_path) == Boots(7, BOOT)
        assert number(tmp_path) == 8
        (tmp_path / name).write_bytes(content)


def test_the_higher_of_the_copies_and_of_what_an_outbox_tells_counts(tmp_path: Path) -> None:
    remember_boot(tmp_path, Boots(7, BOOT))
    old = (tmp_path / "boots_copy").read_bytes()
    remember_boot(tmp_path, Boots(9, BOOT))
    (tmp_path / "boots_copy").write_bytes(old)  # power went between the two
    assert number(tmp_path) == 10
    assert number(tmp_path, at_least=41) == 42
    assert number(tmp_path, at_least=3) == 10


@pytest.mark.parametrize("name", COPIES)
def test_every_flipped_bit_is_noticed(tmp_path: Path, name: str) -> None:
    remember_boot(tmp_path, Boots(7, BOOT))
    good = (tmp_path / name).read_bytes()
    other = tmp_path / next(each for each in COPIES if each != name)
    other.unlink()
    for at in range(len(good) - 1):
        (tmp_path / name).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert read_boots(tmp_path) in (None, Boots(7, BOOT)), "hex digits of the checksum may be written either way"


@pytest.mark.parametrize("content", [b"", b"many", b"\x00\x00", b"\xff", b"0\n", b"-3\n", b"7 zz 00000000", b"1 2 3 4"])
def test_where_nothing_can_be_read_the_calendar_counts(tmp_path: Path, content: bytes) -> None:
    for name in COPIES:
        (tmp_path / name).write_bytes(content)
    assert read_boots(tmp_path) is None
    assert number(tmp_path) == CALENDAR > 3_000_000
    assert CALENDAR < 2**31
    assert number(tmp_path, at_least=4) == 5
    assert number(tmp_path, floor_ms=0) > 3_600_000, "without any time it is at least that of this code"


def test_where_an_outbox_was_but_tells_nothing_the_calendar_counts(tmp_path: Path) -> None:
    assert number(tmp_path, anew=False) == CALENDAR
    remember_boot(tmp_path, Boots(CALENDAR, BOOT))
    assert number(tmp_path, anew=False, floor_ms=0) == CALENDAR + 1, "and is counted on from"


def test_the_first_versions_count_is_read_and_written_anew(tmp_path: Path) -> None:
    (tmp_path / "boots").write_text("6\n")
    assert read_boots(tmp_path) == Boots(6, None)
    assert number(tmp_path) == 7
    remember_boot(tmp_path, Boots(7, BOOT))
    assert [len((tmp_path / name).read_text().split()) for name in COPIES] == [3, 3]
    assert read_boots(tmp_path) == Boots(7, BOOT)


def test_what_is_written_already_is_not_written_again(tmp_path: Path) -> None:
    remember_boot(tmp_path, Boots(7, BOOT))
    before = [(tmp_path / name).stat().st_ino for name in COPIES]
    remember_boot(tmp_path, Boots(7, BOOT))
    assert [(tmp_path / name).stat().st_ino for name in COPIES] == before
