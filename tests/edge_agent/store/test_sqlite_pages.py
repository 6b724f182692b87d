"""Rows read without SQLite are the rows that SQLite wrote; broken bytes raise nothing."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.store.sqlite_pages import WAL_HEADER_BYTES, Row, page_bytes_of, rows_of_page, whole_frames

VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=50),
    st.binary(max_size=6000),
)


def rows_in(data: bytes, page_bytes: int) -> list[Row]:
    def read_page(number: int) -> bytes:
        return data[(number - 1) * page_bytes : number * page_bytes] if number > 0 else b""

    pages = range(1, len(data) // page_bytes + 1)
    return [row for number in pages for row in rows_of_page(number, read_page(number), read_page)]


def written(path: Path, rows: list[tuple[int, list[Any]]], page_bytes: int) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"pragma page_size={page_bytes}")
        db.execute("create table t(id integer primary key, a, b, c, d)")
        db.executemany("insert or replace into t values(?, ?, ?, ?, ?)", [(each, *values) for each, values in rows])
        db.commit()
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.lists(VALUES, min_size=4, max_size=4)), max_size=30),
    page_bytes=st.sampled_from([512, 1024, 4096, 65536]),
)
def test_every_row_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, list[Any]]], page_bytes: int
) -> None:
    data = written(tmp_path_factory.mktemp("pages") / "x.db", rows, page_bytes)
    assert page_bytes_of(data[:100], 7) == page_bytes
    expected = {each: (None, *values) for each, values in rows}
    found = {
        row.id: row.columns for row in rows_in(data, page_bytes) if len(row.columns) == 5 and row.columns[0] is None
    }
    assert found == expected


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0), damage=st.integers(1, 400))
def test_damaged_pages_raise_nothing(tmp_path_factory: pytest.TempPathFactory, seed: int, damage: int) -> None:
    dice = random.Random(seed)
    rows = [(n, [dice.randbytes(dice.randrange(3000)), n, "text", None]) for n in range(20)]
    data = bytearray(written(tmp_path_factory.mktemp("pages") / "x.db", rows, 1024))
    for _ in range(damage):
        data[dice.randrange(len(data))] = dice.randrange(256)
    for row in rows_in(bytes(data), 1024):
        assert len(row.columns) <= 32


@given(st.binary(max_size=2000))
def test_no_bytes_at_all_raise_anything(data: bytes) -> None:
    page = b"\x0d" + data
    list(rows_of_page(2, page, lambda _: data))
    list(rows_of_page(1, data, lambda _: page))
    whole_frames(data)
    page_bytes_of(data, 1024)


def test_an_overflow_chain_that_runs_in_a_circle_ends() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("pragma page_size=512")
        db.execute("create table t(a)")
        db.execute("insert into t values(zeroblob(5000))")
        data = bytearray(db.serialize())
    overflow = 2 * 512  # page 3: the first that the row continues on
    data[overflow : overflow + 4] = (3).to_bytes(4, "big")
    (row,) = [row for row in rows_in(bytes(data), 512) if len(row.columns) == 1]
    assert isinstance(row.columns[0], bytes)
    assert len(row.columns[0]) == 5000


@pytest.mark.parametrize("told", [b"", b"SQLite format 3\0", b"\xff" * 100, bytes(100), b"x" * 16 + b"\x00\x01"[::-1]])
def test_where_the_header_tells_no_page_size_the_usual_one_counts(told: bytes) -> None:
    assert page_bytes_of(told, 1024) == 1024


# The write-ahead log


@pytest.fixture
def log(tmp_path: Path) -> bytes:
    """The log of 12 commits of one to three pages each."""
    path = tmp_path / "x.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma page_size=1024")
    db.execute("pragma journal_mode=wal")
    db.execute("create table t(a)")
    for n in range(12):
        db.execute("insert into t values(?)", [random.Random(n).randbytes(800)])
    data = (tmp_path / "x.db-wal").read_bytes()
    db.close()
    return data


def test_a_whole_log_is_read_to_its_end_and_the_same_as_sqlite_reads_it(log: bytes) -> None:
    end, frames = whole_frames(log)
    assert end == len(log)
    assert [begin for _, begin in frames] == list(range(WAL_HEADER_BYTES + 24, len(log), 1024 + 24))


def test_a_longer_file_ends_where_its_commits_end(log: bytes) -> None:
    for tail in (bytes(5000), log[32:5000], b"x" * 1048, b"short"):
        assert whole_frames(log + tail) == whole_frames(log)


def test_a_log_cut_or_changed_anywhere_ends_with_the_commit_before(log: bytes) -> None:
    dice = random.Random(3)
    for n in range(60):
        at = dice.randrange(len(log))
        changed = log[:at] + (bytes([log[at] ^ (1 << dice.randrange(8))]) + log[at + 1 :] if n % 2 else b"")
        end, frames = whole_frames(changed)
        assert end <= at, "a commit with a changed byte, or none, in it"
        assert end == 0 or (end - WAL_HEADER_BYTES) % 1048 == 0
        assert frames == whole_frames(log)[1][: len(frames)]


def test_sqlite_opens_what_is_called_whole(log: bytes, tmp_path: Path) -> None:
    """Pages laid over each other in the log's order are the database."""
    _, frames = whole_frames(log)
    pages = {number: log[begin : begin + 1024] for number, begin in frames}
    path = tmp_path / "laid_over.db"
    path.write_bytes(b"".join(pages[number] for number in range(1, max(pages) + 1)))
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("select count(*) from t").fetchone() == (12,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
