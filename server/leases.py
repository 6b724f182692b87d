"""Which units a worker takes in: the 256 buckets, leased for seconds and shared out evenly.

Each worker says every few seconds that it is there, keeps its leases, gives up what is over its share and takes what is
free up to it. A worker that has died says nothing, and its buckets are taken over once its leases have run out: at the
latest LEASE_MS + RENEW_S after its last word. One that leaves frees them at once.

What a lease protects is order and double work, no more: one unit's batches go through one worker, in the order in which
they came. That nothing is stored twice is held by the received ranges under the unit's lock (`live.py`), whoever takes
in what; so a worker that was paused beyond its lease and goes on writing does no harm, and neither does the moment in
which a bucket moves.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from server.store import lease_rows
from server.store.db import Store
from server.store.lease_rows import Lease
from wire.topics import BUCKETS

log = logging.getLogger(__name__)

LEASE_MS = 9_000
RENEW_S = 3.0
_KIND = "ingest"


@dataclass(frozen=True, slots=True)
class Share:
    """What a worker does with its buckets now."""

    keep: frozenset[int]
    give_up: frozenset[int]
    take: frozenset[int]


def share(leases: Sequence[Lease], worker: str, others: int, now_ms: int) -> Share:
    """A worker's share beside `others` that are there. Pure.

    Each may hold as many as all of them need to hold everything, rounded up; the surplus is given up from the top, so
    that a worker that has just come finds something, and nobody's buckets move without need.
    """
    most = -(-BUCKETS // (others + 1))
    mine = [each.bucket for each in leases if each.worker == worker]
    free = [each.bucket for each in leases if each.worker != worker and each.until_ms <= now_ms]
    keep = mine[:most]
    return Share(frozenset(keep), frozenset(mine[most:]), frozenset(free[: most - len(keep)]))


class Leases:
    """One worker's leases. Give up happens a step late: first the worker stops hearing a bucket, then it is free."""

    def __init__(self, store: Store, worker: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.worker = worker
        self.held: frozenset[int] = frozenset()
        self.lost: tuple[str, ...] = ()  # workers of whom we took over the last bucket, since `renew` before this
        self._store, self._monotonic_s = store, monotonic_s
        self._due_s = float("-inf")
        self._leaving: frozenset[int] = frozenset()

    @property
    def is_due(self) -> bool:
        """Whether it is time to renew."""
        return self._monotonic_s() >= self._due_s

    def renew(self, figures: Mapping[str, float] | None = None) -> frozenset[int]:
        """Keep, give up and take; returns what is held now. `figures` is what the worker has done so far.

        Raises:
            SQLAlchemyError: nothing is changed; what was held is held until its lease ends.
        """
        with self._store.write() as connection:
            leases = lease_rows.leases(connection)
            now_ms = lease_rows.now_ms(connection)
            if not lease_rows.see_worker(connection, self.worker, figures or {}, now_ms):
                lease_rows.put_worker(connection, self.worker, _KIND, socket.gethostname()[:80], os.getpid(), now_ms)
            lease_rows.lease(connection, self._leaving, None, 0)
            alive = [each for each in lease_rows.workers_of(connection, _KIND) if each.seen_ms > now_ms - LEASE_MS]
            part = share(
                [each for each in leases if each.bucket not in self._leaving], self.worker, len(alive) - 1, now_ms
            )
            lease_rows.lease(connection, part.keep | part.take, self.worker, now_ms + LEASE_MS)
        taken_from = {each.worker for each in leases if each.bucket in part.take and each.worker is not None}
        still_held = {each.worker for each in leases if each.bucket not in part.take}
        self.lost = tuple(sorted(taken_from - still_held))
        self._leaving = part.give_up
        if self.held != part.keep | part.take:
            log.info("%s takes in %d of %d buckets", self.worker, len(part.keep | part.take), BUCKETS)
        self.held = part.keep | part.take
        self._due_s = self._monotonic_s() + RENEW_S
        return self.held

    def leave(self) -> None:
        """Free everything at once. Raises SQLAlchemyError; then the leases run out by themselves."""
        with self._store.write() as connection:
            lease_rows.forget_worker(connection, self.worker)
        self.held = frozenset()
