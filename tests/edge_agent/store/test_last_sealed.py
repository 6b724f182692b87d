"""The newest sequence beside the outbox: one of the two places can always be read."""

from pathlib import Path

import pytest

from edge_agent.store.last_sealed import LastSealed, LastSealedFile, read_last

BOOT = bytes(range(16))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.last"


def test_what_was_written_last_is_read(path: Path) -> None:
    assert read_last(path) is None
    file = LastSealedFile(path, BOOT)
    for sequence in (1, 2, 3, 2**40):
        file.write(sequence)
        assert read_last(path) == LastSealed(BOOT, sequence)
    assert path.stat().st_size == 1024, "one block of the card, and it never grows"


def test_a_torn_place_leaves_the_sequence_before(path: Path) -> None:
    file = LastSealedFile(path, BOOT)
    for sequence in range(1, 6):
        file.write(sequence)
    good = path.read_bytes()
    for at in range(28):  # the fifth stands in the second place
        path.write_bytes(good[: 512 + at] + bytes([good[512 + at] ^ 0x20]) + good[512 + at + 1 :])
        assert read_last(path) == LastSealed(BOOT, 4)


@pytest.mark.parametrize("content", [b"", b"x", bytes(1024), b"\xff" * 1024, bytes(513)])
def test_what_is_none_tells_nothing(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_last(path) is None
    LastSealedFile(path, BOOT).write(7)
    assert read_last(path) == LastSealed(BOOT, 7)


def test_a_new_boot_does_not_inherit_the_sequences_of_the_old(path: Path) -> None:
    LastSealedFile(path, BOOT).write(900)
    again = LastSealedFile(path, BOOT)
    assert read_last(path) == LastSealed(BOOT, 900)
    again.write(901)
    LastSealedFile(path, bytes(16)).write(1)
    assert read_last(path) == LastSealed(bytes(16), 1)


def test_a_card_that_refuses_does_not_stop_the_unit(tmp_path: Path) -> None:
    file = LastSealedFile(tmp_path / "not there" / "outbox.last", BOOT)
    file.write(1)
    assert read_last(tmp_path / "not there" / "outbox.last") is None
