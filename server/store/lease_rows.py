"""Workers and their leases, by the database's own clock: workers on several machines need not agree on the time."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, text, update

from server.store.tables import bucket_leases, workers
from wire.topics import BUCKETS


@dataclass(frozen=True, slots=True)
class Lease:
    """Who takes in a bucket (None: nobody), and until when, ms by the database's clock."""

    bucket: int
    worker: str | None
    until_ms: int


@dataclass(frozen=True, slots=True)
class Worker:
    """A process that tells of itself; times in ms by the database's clock."""

    name: str
    kind: str
    host: str
    pid: int
    started_ms: int
    seen_ms: int
    figures: Mapping[str, float]


_NOW_MS = {
    "sqlite": "SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    "postgresql": "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
}


def now_ms(connection: Connection) -> int:
    """What time it is for the database."""
    return int(connection.scalars(text(_NOW_MS[connection.dialect.name])).one())


def put_worker(connection: Connection, name: str, kind: str, host: str, pid: int, at_ms: int) -> None:
    """A worker starts, or starts again under the same name."""
    connection.execute(delete(workers).where(workers.c.name == name))
    values = {"name": name, "kind": kind, "host": host, "pid": pid, "started_ms": at_ms, "seen_ms": at_ms}
    connection.execute(insert(workers).values(figures={}, **values))


def see_worker(connection: Connection, name: str, figures: Mapping[str, float], at_ms: int) -> bool:
    """It is still there, and this is what it has done; False where its row is gone."""
    seen = update(workers).where(workers.c.name == name).values(seen_ms=at_ms, figures=dict(figures))
    return connection.execute(seen).rowcount == 1


def workers_of(connection: Connection, kind: str | None = None) -> list[Worker]:
    """Every worker that ever told of itself and did not say that it leaves."""
    query = select(workers).order_by(workers.c.name)
    if kind is not None:
        query = query.where(workers.c.kind == kind)
    return [Worker(*row) for row in connection.execute(query)]


def leases(connection: Connection) -> list[Lease]:
    """All of them, held until the transaction ends, so that workers share them out in turn."""
    query = select(bucket_leases.c.bucket, bucket_leases.c.worker, bucket_leases.c.until_ms)
    query = query.order_by(bucket_leases.c.bucket).with_for_update()
    found = [Lease(*row) for row in connection.execute(query)]
    if missing := set(range(BUCKETS)) - {each.bucket for each in found}:  # nobody has ever shared them out
        added = [{"bucket": bucket, "worker": None, "until_ms": 0} for bucket in sorted(missing)]
        connection.execute(insert(bucket_leases), added)
        found += [Lease(bucket, None, 0) for bucket in sorted(missing)]
    return found


def lease(connection: Connection, buckets: Collection[int], worker: str | None, until_ms: int) -> None:
    """These are the worker's until then; None: nobody's."""
    if buckets:
        held = update(bucket_leases).where(bucket_leases.c.bucket.in_(sorted(buckets)))
        connection.execute(held.values(worker=worker, until_ms=until_ms))


def forget_worker(connection: Connection, name: str) -> None:
    """It has left: its buckets are free."""
    connection.execute(update(bucket_leases).where(bucket_leases.c.worker == name).values(worker=None, until_ms=0))
    connection.execute(delete(workers).where(workers.c.name == name))
