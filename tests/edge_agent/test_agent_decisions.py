"""Decisions of the agent that are hard to reach from outside: one that does not run and whose network is a list."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from functools import partial

import pytest

from edge_agent.agent import Agent
from edge_agent.batch import Sealed
from edge_agent.config import read_config
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import sequence_of
from edge_agent.timing.receipt_time import TimeBounds
from tests.edge_agent.whole_agent import BEGIN_MS, SERVER_KEY, Unit, epoch, seconds_of
from wire.codec import decode_body
from wire.records import Gap, Receipt, SequenceRange
from wire.seal import read_body, seal_receipt

pytestmark = pytest.mark.usefixtures("fast_ticks")


class Wire:
    """Of Uplink's shape; `sent` are the sequences, in their order."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.sent: list[int] = []

    def send(self, data: bytes) -> bool:
        by_data = {self._outbox.sealed(each): each for each in self._outbox.kept_ids()}
        self.sent.append(sequence_of(by_data[data]))
        return True

    def told(self, _bounds: TimeBounds) -> bool:
        return True


@pytest.fixture
def still(lone_unit: Unit) -> Iterator[Agent]:
    """An agent that does not run, with one batch; its broker has taken it in."""
    lone_unit.set(outbox="max_mib = 1\nkeep_days = 0")
    agent = Agent(read_config(lone_unit.config))
    agent._sender._is_up = True
    yield agent
    agent._outbox.close()


@pytest.fixture
def wire(still: Agent, monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire(still._outbox)
    monkeypatch.setattr(still._sender, "uplink", wire)
    return wire


def test_what_was_sealed_is_on_disk_and_then_sent_without_waiting_for_a_tick(still: Agent, wire: Wire) -> None:
    still._keep(still._pipeline.on_event("unit_started", time.monotonic(), {}))
    assert wire.sent == [1, 2]


def test_without_a_connection_nothing_is_offered_and_with_a_new_one_everything_at_once(
    still: Agent, wire: Wire
) -> None:
    still._sender.on_down()
    still._sender.send(0.0)
    assert wire.sent == []
    still._sender.on_up(0.0)
    assert wire.sent == [1]
    for later_s in (100.0, 200.0, 201.0):
        still._sender.send(later_s)
    assert wire.sent == [1, 1], "after two tries it rests"
    still._sender.on_up(202.0)
    assert wire.sent == [1, 1, 1]


def test_receipts_make_room_at_once(still: Agent, wire: Wire) -> None:
    still._outbox.put([Sealed(n, b"%d" % n, 1) for n in range(2, 100)], None)
    still._sender.send(time.monotonic())
    assert wire.sent == list(range(1, 18)), "one that tells an event, and as many samples as may be under way"
    receipt = Receipt(still._config.unit, still._outbox.boot, (SequenceRange(1, 15),), BEGIN_MS)
    still._on_receipt(seal_receipt(SERVER_KEY, receipt))
    assert wire.sent == list(range(1, 32))


def test_what_the_ports_had_handed_over_is_sealed_at_the_end(still: Agent, wire: Wire, lone_unit: Unit) -> None:
    still._inbox.put(partial(still._on_gnss, epoch(0) + epoch(1), time.monotonic()))
    still._end()
    assert seconds_of(read_body(lone_unit.sealed()[-1]).samples) == [0]


def test_batches_that_had_to_go_do_not_hold_up_the_rest(
    still: Agent, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.network.sending.MOST_ASIDE", 40)
    still._outbox.put([Sealed(n, os.urandom(50_000), 60) for n in range(2, 101)], None)
    for now_s in range(0, 200, 20):
        still._sender.send(now_s)
    assert 40 <= max(wire.sent) < 60, "so many stand aside that nothing new is sent"
    wire.sent.clear()
    still._make_room(200.0)
    still._sender.send(200.0)
    assert wire.sent
    assert min(set(wire.sent) - {1}) > 60, "of 5 MB only the newest are left, and what tells an event"
    still._declare_gaps()
    still._declare_gaps()
    journal = still._pipeline.open_body()
    assert journal is not None
    (gap,) = decode_body(journal).gaps
    assert (gap.first, gap.samples, gap.reason) == (2, 60 * (gap.last - 1), "outbox_full")
    assert gap.last < min(set(wire.sent) - {1})


def test_what_is_wanted_in_vain_is_declared_once(still: Agent, wire: Wire, lone_unit: Unit) -> None:
    boot = still._outbox.boot

    def seals() -> None:
        still._keep(still._pipeline.on_event("status", 0.0, {}))

    def asks(*wanted: tuple[int, int], time_ms: int = BEGIN_MS) -> None:
        ranges = tuple(SequenceRange(*span) for span in wanted)
        receipt = Receipt(lone_unit.name, boot, (SequenceRange(1, 9),), time_ms, ranges)
        still._on_receipt(seal_receipt(SERVER_KEY, receipt))
        still._declare_gaps()

    for _ in range(2, 10):
        seals()
    asks()
    asks(time_ms=BEGIN_MS + 1)
    still._make_room(0.0)
    assert still._outbox.held().receipted == 1  # the newest
    asks((1, 3))
    asks((1, 3))
    seals()
    asks((1, 3), (5, 5))
    seals()
    assert [read_body(each).gaps for each in lone_unit.sealed()] == [
        (),
        (Gap(boot, 1, 3, 0, "not_kept"),),
        (Gap(boot, 5, 5, 0, "not_kept"),),
    ]


def test_the_report_says_what_a_person_wants_to_know(still: Agent, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        still._pipeline.count("receipts.batches", 3)
        still._report()
    told = "obd none configured; power idle; outbox 1 batches (0 samples) waiting, 0 receipted, 0.0 MiB; "
    assert told + "receipts.batches=3" in caplog.text


def test_a_receipt_that_the_card_does_not_take_ends_nothing(still: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is sent again after a while, and its receipt comes again."""
    receipt = Receipt(still._config.unit, still._outbox.boot, (SequenceRange(1, 1),), BEGIN_MS, ())
    told = partial(still._on_receipt, seal_receipt(SERVER_KEY, receipt))

    def full_disk(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(still._outbox, "receipt", full_disk)
        still._do(told)
    assert still._pipeline.counts["outbox.not_written"] == 1
    assert still._outbox.held().receipted == 0
    still._do(told)
    assert still._outbox.held().receipted == 1
