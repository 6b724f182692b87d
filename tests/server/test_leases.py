"""Buckets are shared out evenly, taken over from the dead, and never held by two for longer than a lease."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from server.leases import LEASE_MS, RENEW_S, Leases, share
from server.store import lease_rows
from server.store.db import Store
from server.store.lease_rows import Lease
from server.store.tables import bucket_leases, workers
from wire.topics import BUCKETS


class Clock:
    """A worker's monotonic clock."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def pass_time(store: Store, ms: int) -> None:
    """As if it were later: leases and words of workers are so much older."""
    with store.write() as connection:
        connection.execute(update(bucket_leases).values(until_ms=bucket_leases.c.until_ms - ms))
        connection.execute(update(workers).values(seen_ms=workers.c.seen_ms - ms))


@pytest.fixture
def named(store: Store) -> Iterator[dict[str, Leases]]:
    return {name: Leases(store, name) for name in ("a", "b", "c")}


def everyone(*workers: Leases) -> None:
    for _ in range(3):  # given up, freed, taken
        for each in workers:
            each.renew()


def test_one_worker_holds_all(named: dict[str, Leases]) -> None:
    assert named["a"].renew() == frozenset(range(BUCKETS))
    assert named["a"].renew() == frozenset(range(BUCKETS))


def test_those_who_come_get_their_share_and_nobody_s_buckets_move_without_need(named: dict[str, Leases]) -> None:
    a, b, c = named.values()
    a.renew()
    everyone(a, b)
    assert (len(a.held), len(b.held), a.held & b.held) == (128, 128, frozenset())
    before = a.held, b.held
    everyone(a, b)
    assert (a.held, b.held) == before
    everyone(a, b, c)
    assert sorted(len(each.held) for each in (a, b, c)) == [84, 86, 86]
    assert a.held | b.held | c.held == frozenset(range(BUCKETS))
    assert a.held < before[0]


def test_the_newcomer_hears_a_bucket_only_when_the_other_has_let_it_go(named: dict[str, Leases]) -> None:
    a, b, _ = named.values()
    a.renew()
    b.renew()
    assert b.held == frozenset()
    a.renew()  # knows of b now, and gives up its half
    assert len(a.held) == 128
    b.renew()
    assert b.held == frozenset()  # a stops hearing them first
    a.renew()
    b.renew()
    assert b.held == frozenset(range(BUCKETS)) - a.held


def test_the_buckets_of_a_dead_worker_are_taken_over(store: Store, named: dict[str, Leases]) -> None:
    a, b, _ = named.values()
    a.renew()
    everyone(a, b)
    pass_time(store, LEASE_MS - 1000)
    b.renew()
    assert len(b.held) == 128  # not yet
    pass_time(store, 1001)
    b.renew()
    assert b.held == frozenset(range(BUCKETS))
    assert b.lost == ("a",)
    b.renew()
    assert b.lost == ()
    assert LEASE_MS / 1000 + RENEW_S <= 15


def test_a_worker_that_was_paused_and_comes_back_takes_its_share_again(store: Store, named: dict[str, Leases]) -> None:
    a, b, _ = named.values()
    everyone(a, b)
    pass_time(store, LEASE_MS + 1)
    b.renew()
    assert len(b.held) == BUCKETS
    everyone(a, b)
    assert (len(a.held), len(b.held), a.held & b.held) == (128, 128, frozenset())


def test_who_leaves_frees_its_buckets_at_once(store: Store, named: dict[str, Leases]) -> None:
    a, b, _ = named.values()
    everyone(a, b)
    a.leave()
    assert a.held == frozenset()
    assert b.renew() == frozenset(range(BUCKETS))
    assert b.lost == ()
    with store.read() as connection:
        assert [each.name for each in lease_rows.workers_of(connection)] == ["b"]


def test_a_restart_under_the_same_name_goes_on_at_once(store: Store, named: dict[str, Leases]) -> None:
    named["a"].renew()
    again = Leases(store, "a")
    assert len(again.renew()) == BUCKETS
    assert again.lost == ()


def test_a_worker_tells_of_itself(store: Store, named: dict[str, Leases]) -> None:
    named["a"].renew({"batches": 7})
    with store.read() as connection:
        [row] = lease_rows.workers_of(connection, "ingest")
        now_ms = lease_rows.now_ms(connection)
    assert (row.name, row.figures) == ("a", {})
    assert 0 <= now_ms - row.seen_ms < 60_000
    named["a"].renew({"batches": 9})
    with store.read() as connection:
        [row] = lease_rows.workers_of(connection, "ingest")
        assert lease_rows.workers_of(connection, "web") == []
    assert (row.figures, row.started_ms <= row.seen_ms) == ({"batches": 9}, True)


def test_when_it_is_due(store: Store) -> None:
    clock = Clock()
    leases = Leases(store, "a", clock)
    assert leases.is_due
    leases.renew()
    clock.now_s = RENEW_S - 0.1
    assert not leases.is_due
    clock.now_s = RENEW_S
    assert leases.is_due


@given(st.integers(1, 16), st.integers(0, 1000), st.data())
def test_whatever_is_held_the_share_is_fair(count: int, seed: int, data: st.DataObject) -> None:
    dice = random.Random(seed)
    names = [f"w{n}" for n in range(count)]
    leases = [Lease(n, dice.choice([None, *names, "dead"]), dice.choice([0, 500, 1500])) for n in range(BUCKETS)]
    worker = data.draw(st.sampled_from(names))
    part = share(leases, worker, count - 1, 1000)
    mine = {each.bucket for each in leases if each.worker == worker}
    most = -(-BUCKETS // count)
    assert part.keep | part.give_up == mine
    assert not part.keep & part.give_up
    assert len(part.keep | part.take) <= most
    assert not part.give_up or len(part.keep) == most
    for bucket in part.take:
        assert leases[bucket].worker != worker
        assert leases[bucket].until_ms <= 1000
