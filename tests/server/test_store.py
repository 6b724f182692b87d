"""The store: migrations build exactly the schema of the code, and a transaction is whole or nothing."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.resources import files

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, inspect, select
from sqlalchemy.exc import DatabaseError, IntegrityError

from server.store import fleet_rows, people_rows, quarantine_rows, state_rows, vehicle_rows
from server.store.db import Store
from server.store.tables import (
    bucket_leases,
    certificates,
    lenders,
    metadata,
    unit_assignments,
    users,
    vehicle_states,
    workers,
)
from server.watch.vehicle_state import VehicleState
from tests.server.cars import NOW_MS, add_car, everything
from wire.refused import Reason, RefusedError

# -- migrations


@pytest.fixture
def empty_store(empty_url: str) -> Iterator[Store]:
    store = Store(empty_url)
    yield store
    store.close()


def test_migrations_build_the_schema_of_the_code(empty_store: Store) -> None:
    empty_store.migrate()
    with empty_store.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
        tables = set(inspect(connection).get_table_names())
    assert differences == []
    assert tables == {*metadata.tables, "alembic_version"}


def test_migrating_again_changes_nothing(store: Store) -> None:
    add_car(store)
    before = everything(store)
    store.migrate()
    assert everything(store) == before


def test_there_is_one_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(files("server.store") / "migrations"))
    assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_every_row_belongs_to_a_lender() -> None:
    for table in metadata.sorted_tables:
        if table not in (lenders, workers, bucket_leases):  # the last two are about the server itself
            column = table.c.lender_id
            assert [key.column for key in column.foreign_keys] == [lenders.c.id]
            assert column.nullable == (table.name in ("quarantine", "refusals"))  # some refused bytes are nobody's


def test_names_of_the_schema_fit_postgresql() -> None:
    names = [name for table in metadata.sorted_tables for name in (table.name, *table.c.keys())]
    names += [str(index.name) for table in metadata.sorted_tables for index in table.indexes]
    assert max(map(len, names)) <= 63


# -- transactions


def add_lender(connection: Connection, name: str) -> None:
    connection.execute(insert(lenders).values(name=name))


def names(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(lenders.c.name).order_by(lenders.c.id)))


def test_write_keeps_what_the_block_did(store: Store) -> None:
    with store.write() as connection:
        add_lender(connection, "甲")
        add_lender(connection, "乙")
    assert names(store) == ["甲", "乙"]


def test_write_keeps_nothing_where_the_block_raises(store: Store) -> None:
    def fail() -> None:
        with store.write() as connection:
            add_lender(connection, "甲")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(store) == []
    with store.write() as connection:  # and the store goes on
        add_lender(connection, "乙")
    assert names(store) == ["乙"]


def test_write_keeps_nothing_where_the_database_refuses(store: Store) -> None:
    def fail() -> None:
        with store.write() as connection:
            add_lender(connection, "甲")
            add_lender(connection, "甲")

    with pytest.raises(IntegrityError):
        fail()
    assert names(store) == []


def test_read_keeps_nothing(store: Store) -> None:
    with store.read() as connection:
        add_lender(connection, "甲")
    assert names(store) == []


def test_savepoints_undo_only_themselves(store: Store) -> None:
    with store.write() as connection:
        add_lender(connection, "甲")
        with connection.begin_nested():
            add_lender(connection, "乙")
            with suppress(IntegrityError), connection.begin_nested():
                add_lender(connection, "丙")
                add_lender(connection, "甲")
            add_lender(connection, "丁")
        with suppress(ZeroDivisionError), connection.begin_nested():
            add_lender(connection, "戊")
            raise ZeroDivisionError
    assert names(store) == ["甲", "乙", "丁"]


def test_a_savepoint_does_not_outlive_its_transaction(store: Store) -> None:
    with suppress(ZeroDivisionError), store.write() as connection:
        with connection.begin_nested():
            add_lender(connection, "甲")
        raise ZeroDivisionError
    assert names(store) == []


def test_nobody_sees_what_is_not_committed(store: Store) -> None:
    with store.write() as connection:
        add_lender(connection, "甲")
        assert names(store) == []
    assert names(store) == ["甲"]


def test_a_view_is_of_one_moment(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        count = select(func.count()).select_from(lenders)
        assert connection.scalar(count) == 0
        with sqlite_store.write() as other:
            add_lender(other, "甲")
        assert connection.scalar(count) == 0


def test_foreign_keys_hold(store: Store) -> None:
    with pytest.raises(DatabaseError), store.write() as connection:
        connection.execute(insert(users).values(lender_id=999, login="x", password_hash="x"))


def test_writers_wait_for_each_other(store: Store) -> None:
    """Each reads before it writes: without the lock at the beginning, SQLite would fail one of them at once."""
    with store.write() as connection:
        connection.execute(insert(lenders).values(name="0"))
    begun = threading.Barrier(2)

    def count_up() -> None:
        begun.wait(10)
        for _ in range(15):
            with store.write() as connection:
                row = connection.execute(select(lenders.c.id, lenders.c.name).with_for_update()).one()
                connection.execute(lenders.update().where(lenders.c.id == row.id).values(name=str(int(row.name) + 1)))

    with ThreadPoolExecutor(2) as pool:
        for ended in [pool.submit(count_up) for _ in range(2)]:
            ended.result(60)
    assert names(store) == ["30"]


def test_readers_do_not_wait_for_a_writer(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection, ThreadPoolExecutor(1) as pool:
        add_lender(connection, "甲")
        assert pool.submit(names, sqlite_store).result(10) == []


def test_sqlite_is_durable_and_checks_itself(sqlite_store: Store) -> None:
    with sqlite_store.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2: FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_closed_store_can_be_opened_again(sqlite_store: Store) -> None:
    car = add_car(sqlite_store)
    sqlite_store.close()
    again = Store(sqlite_store.url)
    assert len(names(again)) == 1
    assert car.lender_id == 1
    again.close()


# -- rows


def test_a_unit_is_assigned_to_one_vehicle_at_a_time(store: Store) -> None:
    car = add_car(store)
    with store.write() as connection:
        for now_ms, vin in ((NOW_MS + 1, "LGBH52E03KY012345"), (NOW_MS + 2, "LGBH52E03KY012345"), (NOW_MS + 3, "V2")):
            vehicle_id = vehicle_rows.vehicle_id_of(connection, car.lender_id, vin, None, None)
            fleet_rows.assign(connection, car.lender_id, car.unit_id, vehicle_id, now_ms)
            assert fleet_rows.active_units(connection, [car.name])[car.name].vehicle_id == vehicle_id
    found = [(row["since_ms"], row["until_ms"]) for row in car.rows(unit_assignments)]
    assert found == [(NOW_MS, NOW_MS + 1), (NOW_MS + 1, NOW_MS + 3), (NOW_MS + 3, None)]


def test_a_vehicle_is_known_as_lender_and_vin(store: Store) -> None:
    with store.write() as connection:
        first, second = (people_rows.lender_id_of(connection, name) for name in ("甲", "乙"))
        assert people_rows.lender_id_of(connection, "甲") == first != second
        mine = vehicle_rows.vehicle_id_of(connection, first, "V1", "京A1", "朗逸")
        assert vehicle_rows.vehicle_id_of(connection, first, "V1", None, None) == mine
        theirs = vehicle_rows.vehicle_id_of(connection, second, "V1", None, None)
        assert theirs != mine
        assert vehicle_rows.vehicle(connection, second, mine) is None
        assert [row.id for row in vehicle_rows.vehicles_of(connection, first)] == [mine]


def test_a_vehicle_with_two_units_is_one_vehicle(store: Store) -> None:
    """A wired and a wireless unit in one vehicle are common."""
    car = add_car(store, lender="甲", vin="V1")
    add_car(store, lender="甲", vin="V1")
    with store.read() as connection:
        assert [row.id for row in vehicle_rows.vehicles_of(connection, car.lender_id)] == [car.vehicle_id]


@pytest.mark.parametrize("search", ["lgbh52", "京a·1", "朗", "pw_0", "LGBH52E03KY012345"])
def test_vehicles_are_found_by_any_part_of_their_names(store: Store, search: str) -> None:
    with store.write() as connection:
        lender_id = people_rows.lender_id_of(connection, "甲")
        wanted = vehicle_rows.vehicle_id_of(connection, lender_id, "LGBH52E03KY012345", "京A·12345", "朗逸")
        vehicle_rows.vehicle_id_of(connection, lender_id, "LSVAA4188E2100018", "沪B·X0001", "帕萨特")
    add_car(store, lender="甲", vin="LGBH52E03KY012345", name="PW_001")
    add_car(store, lender="甲", vin="LSVAA4188E2100018", name="PWx001")
    with store.read() as connection:
        assert [row.id for row in vehicle_rows.vehicles_of(connection, lender_id, search)] == [wanted]
        assert vehicle_rows.vehicles_of(connection, lender_id + 1, search) == []


def test_a_state_comes_back_as_it_was_put(store: Store) -> None:
    car = add_car(store)
    full = VehicleState(
        *(10**12, 10**12 + 1, 39.9087202, -116.3974799, 1.5, 359.9, 8, 40, 0.84, 1, 407.0, 10**12 + 2, 50.0, 816.25),
        *(-7.0, 11.874, 61.2, 48_213.7, 1, 127, 2**40, 3),
    )
    for is_new, state in ((True, full), (False, VehicleState(samples=2**40)), (False, full)):
        with store.write() as connection:
            known = state_rows.state_of(connection, car.vehicle_id or 0)
            assert (known is None) == is_new
            unit = fleet_rows.active_units(connection, [car.name])[car.name]
            moved = [(car.vehicle_id or 0, unit, state)]
            state_rows.put_states(connection, *(([], moved) if is_new else (moved, [])), NOW_MS)
        assert car.state() == state
    assert len(car.rows(vehicle_states)) == 1


def test_a_unit_keeps_its_key_and_its_lender(store: Store) -> None:
    car, other = add_car(store), add_car(store)
    with store.write() as connection:
        same = fleet_rows.put_unit(connection, car.lender_id, car.name, car.key.public_key(), NOW_MS)
        assert same == car.unit_id
        with pytest.raises(ValueError, match="another lender"):
            fleet_rows.put_unit(connection, other.lender_id, car.name, car.key.public_key(), NOW_MS)
        with pytest.raises(ValueError, match="another key"):
            fleet_rows.put_unit(connection, car.lender_id, car.name, other.key.public_key(), NOW_MS)
        assert fleet_rows.active_units(connection, ["nobody"]) == fleet_rows.keys_of(connection, ["nobody"]) == {}


def test_a_certificate_is_kept_once(store: Store) -> None:
    car = add_car(store)
    with store.write() as connection:
        fleet_rows.put_certificate(connection, car.lender_id, car.unit_id, "a1", "PEM", NOW_MS)
    with pytest.raises(IntegrityError), store.write() as connection:
        fleet_rows.put_certificate(connection, car.lender_id, car.unit_id, "a1", "PEM", NOW_MS)
    assert [row["serial"] for row in car.rows(certificates)] == ["a1"]


def test_people_log_in_for_their_lender(store: Store) -> None:
    with store.write() as connection:
        mine, theirs = (people_rows.lender_id_of(connection, name) for name in ("甲", "乙"))
        people_rows.put_user(connection, mine, "wang", "correct horse")
        with pytest.raises(ValueError, match="another lender"):
            people_rows.put_user(connection, theirs, "wang", "other horse")
        user = people_rows.user_by_password(connection, "wang", "correct horse")
        assert user is not None
        assert (user.lender_id, user.lender, user.locale, user.time_zone) == (mine, "甲", "zh_Hans_CN", "Asia/Shanghai")
        assert people_rows.user_by_id(connection, user.id) == user
        for login, password in (
            ("wang", "correct hors"),
            ("wang", ""),
            ("li", "correct horse"),
            ("Wang", "correct horse"),
        ):
            assert people_rows.user_by_password(connection, login, password) is None
        people_rows.put_user(connection, mine, "wang", "new horse")
        assert people_rows.user_by_password(connection, "wang", "correct horse") is None
        assert people_rows.user_by_password(connection, "wang", "new horse") == user
        connection.execute(users.update().values(active=False))
        assert people_rows.user_by_password(connection, "wang", "new horse") is None
        assert people_rows.user_by_id(connection, user.id) is None


def test_long_texts_are_cut_before_they_reach_the_database(store: Store) -> None:
    error = RefusedError(Reason.MALFORMED, "x" * 1000)
    with store.write() as connection:
        quarantine_rows.refuse(connection, None, "t" * 1000, bytes(20_000), error, NOW_MS)
        quarantine_rows.refuse(connection, None, "t" * 1000, bytes(20_000), error, NOW_MS)
        assert [count.times for count in quarantine_rows.counts(connection)] == [2]
