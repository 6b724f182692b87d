"""A fresh, migrated store for each test: on SQLite, and on a real PostgreSQL where one can be started."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from benchmarks import databases
from benchmarks.databases import NoPostgresError, Postgres
from server.store.db import Store
from server.store.tables import metadata

_numbers = count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run; skips where there is none for this machine."""
    try:
        with databases.postgres(durable=False) as server:
            yield server
    except NoPostgresError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: Postgres) -> str:
    """The URL of a migrated database."""
    store = Store(postgres.new_database())
    store.migrate()
    store.close()
    return store.url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def sqlite_store(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Store]:
    """A migrated store on SQLite."""
    store = Store(f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'store.db')}")
    yield store
    store.close()


@pytest.fixture
def postgres_store(migrated_postgres: str) -> Iterator[Store]:
    """A migrated store on PostgreSQL, emptied: a database of its own would take a hundred times as long."""
    store = Store(migrated_postgres)
    with store.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """A migrated store, once on each kind of database."""
    made: Store = request.getfixturevalue(f"{request.param}_store")
    return made
