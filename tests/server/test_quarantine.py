"""What was refused: counted for ever, kept within bounds, and taken in once the reason is gone."""

from typing import Any

import pytest
from sqlalchemy import select, update

from server.__main__ import main
from server.live import Arrival, Verdict, take
from server.replaying import replay
from server.setting_up import initialise
from server.store import quarantine_rows
from server.store.db import Store
from server.store.tables import batches, quarantine, refusals, units
from tests.server.cars import NOW_MS, Car, add_car, sample
from wire.refused import Reason, RefusedError
from wire.topics import BATCH

LATER_MS = NOW_MS + 1000


@pytest.fixture
def car(store: Store) -> Car:
    return add_car(store)


def activate(car: Car, active: bool) -> None:
    with car.store.write() as connection:
        connection.execute(update(units).where(units.c.id == car.unit_id).values(active=active))


def rows(store: Store) -> list[dict[str, Any]]:
    with store.read() as connection:
        return [dict(row) for row in connection.execute(select(quarantine).order_by(quarantine.c.id)).mappings()]


def counted(store: Store) -> list[tuple[str, int, int]]:
    with store.read() as connection:
        query = select(refusals.c.reason, refusals.c.times, refusals.c.kept).order_by(refusals.c.reason)
        return [tuple(row) for row in connection.execute(query)]


def test_what_was_refused_is_taken_in_once_the_reason_is_gone(car: Car) -> None:
    arrivals = [car.seal(sample(n)) for n in range(3)]
    activate(car, False)
    take(car.store, [*arrivals, arrivals[1]], NOW_MS)
    assert car.rows(batches) == []
    activate(car, True)
    take(car.store, arrivals[:1], NOW_MS)
    assert dict(replay(car.store, lambda: LATER_MS)) == {"redelivered": 1, "stored": 2}
    assert [row["sealed"] for row in car.rows(batches)] == car.sealed
    assert [(row["outcome"], row["settled_ms"], row["times"]) for row in rows(car.store)] == [
        ("redelivered", LATER_MS, 1),
        ("stored", LATER_MS, 2),
        ("stored", LATER_MS, 1),
    ]
    assert replay(car.store, lambda: LATER_MS).total() == 0


def test_what_is_still_wrong_is_refused_again_and_said_to_be(car: Car) -> None:
    take(car.store, [Arrival(BATCH.of(car.name), b"\xff"), Arrival(BATCH.of(car.name), bytes(20_000))], NOW_MS)
    assert dict(replay(car.store, lambda: LATER_MS)) == {"refused": 1}  # what was cut cannot be tried
    first, cut = rows(car.store)
    assert (first["times"], first["last_ms"], first["outcome"]) == (2, LATER_MS, None)
    assert (cut["times"], cut["size"]) == (1, 20_000)


def test_only_what_was_asked_for_is_tried(car: Car) -> None:
    other = add_car(car.store)
    for each in (car, other):
        activate(each, False)
        take(car.store, [each.seal(sample(1)), Arrival(BATCH.of(each.name), b"\xff")], NOW_MS)
        activate(each, True)
    assert dict(replay(car.store, lambda: LATER_MS, reason="malformed", topic=BATCH.of(car.name))) == {"refused": 1}
    assert dict(replay(car.store, lambda: LATER_MS, topic=BATCH.of(car.name), reason="unknown_unit")) == {"stored": 1}
    assert (len(car.rows(batches)), len(other.rows(batches))) == (1, 0)


def test_a_unit_gone_mad_is_counted_and_not_kept(car: Car, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_rows, "MOST_KEPT", 3)
    neighbour = add_car(car.store)
    junk = [Arrival(BATCH.of(car.name), b"\xff" + bytes([n])) for n in range(10)]
    take(car.store, [*junk, *junk, Arrival(BATCH.of(neighbour.name), b"\xff")], NOW_MS)
    assert len(rows(car.store)) == 4
    assert counted(car.store) == [("malformed", 20, 3), ("malformed", 1, 1)]
    with car.store.read() as connection:
        [count] = quarantine_rows.counts(connection)
    assert (count.times, count.units) == (21, 2)


def test_room_is_made_and_the_counts_stay(car: Car) -> None:
    with car.store.write() as connection:
        for n in range(6):
            error = RefusedError(Reason.MALFORMED)
            quarantine_rows.refuse(connection, car.lender_id, "t", bytes([n]) * 100, error, NOW_MS + n)
        assert quarantine_rows.trim(connection, 250, 0) == 4
        assert quarantine_rows.trim(connection, 250, NOW_MS + 5) == 1
        assert quarantine_rows.trim(connection, 250, NOW_MS + 5) == 0
    assert [row["last_ms"] for row in rows(car.store)] == [NOW_MS + 5]
    assert counted(car.store) == [("malformed", 6, 1)]


def test_at_the_console(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings = initialise(tmp_path)
    store = Store(settings.store_url)
    car = add_car(store)
    activate(car, False)
    outcomes, _ = take(store, [car.seal(sample(1))], NOW_MS)
    assert outcomes[0].verdict is Verdict.REFUSED
    config = ["--config", str(tmp_path / "server.toml"), "quarantine"]
    assert main([*config, "list"]) == 0
    assert f"{car.name:32} unknown_unit x1" in capsys.readouterr().out
    assert main([*config, "replay"]) == 1
    assert capsys.readouterr().out == "0 stored, 0 were here already, 1 refused again\n"
    activate(car, True)
    assert main([*config, "replay", "--unit", car.name]) == 0
    assert capsys.readouterr().out == "1 stored, 0 were here already, 0 refused again\n"
    assert main([*config, "list"]) == 0
    assert ", stored 20" in capsys.readouterr().out
    assert main([*config, "replay", "--unit", "a/b"]) == 2
    capsys.readouterr()
    assert main([*config, "trim", "--mb", "0"]) == 0
    assert capsys.readouterr().out == "1 payloads deleted\n"
    store.close()
