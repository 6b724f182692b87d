"""Batches sealed beforehand come back as they were, or not at all."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.fleet.identities import Fleet, FleetError
from firmware_sim.fleet.sealed_file import Written, read, write
from firmware_sim.fleet.sealing import Entry, Plan

FLEET, PLAN = Fleet(1, "LOAD-", 5), Plan(1_795_421_700_000, 60.0)
ENTRIES = [Entry(0, 4, 1, 60, b"one"), Entry(12_000, 0, 1, 1, b"\x00" * 300), Entry(2**40, 4, 2, 0, b"\xff")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sealed")


@given(
    st.lists(
        st.builds(
            Entry,
            st.integers(0, 2**63),
            st.integers(0, 99_999),
            st.integers(1, 2**31),
            st.integers(0, 3600),
            st.binary(min_size=1, max_size=200),
        )
    )
)
def test_round_trip(folder: Path, entries: list[Entry]) -> None:
    path = folder / "any.sealed"
    written = write(path, FLEET, PLAN, entries)
    assert list(read(path, FLEET)) == entries
    total = sum(entry.samples for entry in entries)
    assert written == Written(len(entries), total, sum(len(entry.data) for entry in entries))


def test_a_file_that_is_cut_short_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.sealed"
    write(path, FLEET, PLAN, ENTRIES)
    data = path.read_bytes()
    for missing in (1, 5, 25):
        path.write_bytes(data[:-missing])
        found = read(path, FLEET)
        with pytest.raises(FleetError, match="cut short"):
            list(found)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sealed"
    write(path, Fleet(2, "LOAD-", 5), PLAN, ENTRIES)
    with pytest.raises(FleetError, match="another fleet"):
        next(read(path, FLEET))
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(FleetError, match="no file of"):
        next(read(path, FLEET))
    path.write_bytes(b"pledgewatch sealed fleet 1\n{\n")
    with pytest.raises(FleetError, match="cannot be read"):
        next(read(path, FLEET))
    with pytest.raises(FleetError, match="cannot read"):
        next(read(tmp_path / "nowhere", FLEET))


def test_a_sealing_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.sealed"
    write(path, FLEET, PLAN, ENTRIES)

    def failing():  # type: ignore[no-untyped-def]
        yield ENTRIES[0]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write(path, FLEET, PLAN, failing())
    assert list(read(path, FLEET)) == ENTRIES
