"""Losses are written down once, whatever pieces they come in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlite_utils import Database

from edge_agent.store import outbox_file as form
from edge_agent.store.losses import not_written_down, write_down
from wire.records import Gap

BOOT, OTHER = b"b" * 16, b"o" * 16


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = form.create_file(tmp_path / "outbox.db")
    yield db
    db.close()


def written(db: Database) -> list[tuple[int, int, int]]:
    return [tuple(row) for row in db.execute('select "first", "last", samples from gaps order by id').fetchall()]


def test_what_touches_is_joined_unless_it_is_handed_out(db: Database) -> None:
    write_down(db, Gap(BOOT, 2, 4, 30, form.OUTBOX_FULL), ())
    write_down(db, Gap(BOOT, 5, 5, 10, form.OUTBOX_FULL), ())
    assert written(db) == [(2, 5, 40)]
    (handed_out,) = db.execute("select id from gaps").fetchone()
    write_down(db, Gap(BOOT, 6, 6, 10, form.OUTBOX_FULL), (handed_out,))
    write_down(db, Gap(BOOT, 7, 7, 10, form.DAMAGED), ())
    assert written(db) == [(2, 5, 40), (6, 6, 10), (7, 7, 10)]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)), max_size=8),
    hole=st.tuples(st.integers(1, 40), st.integers(0, 20)),
)
def test_only_what_no_piece_covers_is_left(db: Database, pieces: list[tuple[int, int]], hole: tuple[int, int]) -> None:
    db.execute("delete from gaps")
    for first, more in pieces:
        form.add_gap(db, Gap(BOOT, first, first + more, 0, form.OUTBOX_FULL))
        form.add_gap(db, Gap(OTHER, 1, 100, 0, form.OUTBOX_FULL))
    covered = {n for first, more in pieces for n in range(first, first + more + 1)}
    left = [n for a, b in not_written_down(db, BOOT, hole[0], sum(hole)) for n in range(a, b + 1)]
    assert left == [n for n in range(hole[0], sum(hole) + 1) if n not in covered]
