"""The store: one engine, the one place that opens transactions, and its migrations.

`write()` is the only way to a transaction that changes anything; what is called inside never commits. On SQLite it
takes the write lock at once (BEGIN IMMEDIATE), so that two writers wait for each other instead of failing half way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url

_SQLITE_WAIT_S = 30


class Store:
    """A database by URL: `sqlite:////var/lib/pledgewatch/pledgewatch.db` or `postgresql+psycopg://…`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: all of it, or nothing where the block raises."""
        with self.engine.connect().execution_options(pledgewatch_writes=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view; nothing is kept of what the block might change."""
        with self.engine.connect() as connection:
            yield connection
            connection.rollback()

    def migrate(self) -> None:
        """Bring the schema to the newest version, from any released one or from nothing."""
        config = Config()
        config.set_main_option("script_location", str(files("server.store") / "migrations"))
        with self.engine.connect() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.commit()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": _SQLITE_WAIT_S})

    # The driver begins transactions late and commits on its own account; SQLAlchemy's manual gives these two hooks
    # ("Serializable isolation / Savepoints / Transactional DDL" of the SQLite dialect) so that savepoints hold.
    @event.listens_for(engine, "connect")
    def on_connect(connection, _record) -> None:  # type: ignore[no-untyped-def]
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("pledgewatch_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
