"""What may go wrong around a whole agent: power, disk, broker, signals, and an outbox that is damaged."""

import socket
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from edge_agent.agent import Agent, Ended
from edge_agent.config import read_config
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OutboxDamagedError
from tests.edge_agent.whole_agent import (
    Broker,
    Launch,
    Program,
    Receiver,
    Server,
    Start,
    Unit,
    beginnings,
    free_port,
    seconds_of,
    until,
)
from wire.records import Gap
from wire.seal import read_body

pytestmark = pytest.mark.usefixtures("fast_ticks")

# What may go wrong


def test_a_restart_goes_on_with_the_chain(unit: Unit, server: Server, receiver: Receiver, start: Start) -> None:
    for run in range(3):
        running, last = start(unit), 7 * run + 6
        receiver.say(*range(7 * run, 7 * run + 7))
        until(partial(lambda running, last: last in running.open_seconds() + server.seconds(), running, last))
        running.stop()
    until(lambda: server.seconds() == list(range(21)))
    assert server.events() == [("unit_started", "new"), ("unit_started", "kept"), ("unit_started", "kept")]
    assert server.boots == {(server.boot, 1)}


def test_kill_9_costs_no_more_than_the_journal_allows(
    unit: Unit, server: Server, receiver: Receiver, launch: Launch
) -> None:
    unit.set(samples=600, journal_every_s="10")
    program = launch(unit)
    until(lambda: unit.ask("select * from journal"))  # the first tick
    receiver.say(*range(37))
    # The clock would journal again after ten seconds; a recording played faster is journalled every ten samples.
    kept = until(lambda: len(journalled := unit.journalled()) >= 26 and journalled, within_s=5)
    program.kill()
    launch(unit)
    until(lambda: server.events() == [("unit_started", "new"), ("unit_started", "kept")])
    assert server.seconds() == list(range(len(server.seconds())))
    assert len(server.seconds()) >= len(kept)  # another ten may have been journalled before the end
    assert unit.journalled() == []


def test_a_journal_that_cannot_be_read_ends_nothing(
    unit: Unit, server: Server, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox.create(unit.folder / "outbox.db", 1)
    outbox.put([], b"\xff\xff\xff")
    outbox.close()
    start(unit)
    until(lambda: server.events() == [("unit_started", "kept")])
    assert "the journal cannot be read" in caplog.text


def test_while_the_disk_takes_nothing_nothing_is_sent_and_nothing_is_lost(
    unit: Unit, server: Server, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(unit)
    until(lambda: unit.receipted() == 2)
    refused = Counter[str]()
    put = Outbox.put

    def full(*_: object) -> None:
        refused["times"] += 1
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Outbox, "put", full)
    receiver.say(*range(21))
    until(lambda: refused["times"] > 5)
    assert server.seconds() == []
    assert unit.ask("select count(*) from batches") == [(2,)]
    monkeypatch.setattr(Outbox, "put", put)
    until(lambda: server.seconds()[:15] == list(range(15)))
    until(lambda: unit.waiting() == 0)


def test_the_broker_may_be_absent_at_the_start_and_die_later(tmp_path: Path, receiver: Receiver, start: Start) -> None:
    broker = Broker(tmp_path)
    (tmp_path / "unit").mkdir()
    unit = Unit(tmp_path / "unit", broker.port, receiver.port)
    server = Server(broker.port, unit)
    try:
        start(unit)
        receiver.say(*range(11))
        until(lambda: unit.waiting() >= 4)
        broker.start()
        until(lambda: unit.waiting() == 0)
        assert server.seconds()[:4] == list(range(4))
        broker.kill()
        receiver.say(*range(11, 26))
        until(lambda: unit.waiting() >= 2)
        broker.start()
        until(lambda: server.seconds()[:16] == list(range(16)))
        until(lambda: unit.waiting() == 0)
    finally:
        server.close()
        broker.kill()


def unreachable() -> Iterator[int]:
    """A port that lets nobody in and says nothing: its queue of connections is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("reached", ["a broker", "nobody", "a hole"])
def test_sigterm_seals_what_is_there_and_ends_within_two_seconds(
    broker: Broker, receiver: Receiver, launch: Launch, tmp_path: Path, reached: str
) -> None:
    hole = unreachable()
    port = {"a broker": lambda: broker.port, "nobody": free_port, "a hole": lambda: next(hole)}[reached]()
    unit = Unit(tmp_path, port, receiver.port)
    unit.set(samples=600, journal_every_s="1")
    said = []
    for first in (0, 9, 18):  # again only where this machine is too busy to tell
        said += range(first, first + 9)
        program = launch(unit)
        receiver.say(*said[-9:])
        until(partial(lambda wanted: unit.journalled() == wanted, said[-9:]))
        ended_s = program.terminate()
        assert program.process.returncode == 0
        assert unit.journalled() == []
        if ended_s < 2.0:
            break
    assert ended_s < 2.0
    assert seconds_of(sample for each in unit.sealed() for sample in read_body(each).samples) == said
    assert unit.ask("select body from journal") == [(None,)]
    hole.close()  # type: ignore[attr-defined]


def test_a_second_agent_in_the_same_folder_is_told_so_and_ends(unit: Unit, launch: Launch) -> None:
    first = launch(unit)
    second = Program(unit)
    try:
        _, said = second.process.communicate(timeout=30)
    finally:
        second.kill()
    assert second.process.returncode == 2
    (line,) = said.splitlines()
    told = f"pledgewatch-agent: an agent is already running in {unit.folder} (process {first.process.pid})"
    assert line == told
    assert first.process.poll() is None


# A damaged outbox


def began(unit: Unit) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Boot number, boot and beginnings of an agent that was started and ended before it could do anything."""
    agent = Agent(read_config(unit.config))
    number, boot = agent._outbox.boot_number, agent._outbox.boot
    agent._outbox.close()
    own = [each for each in unit.sealed() if each.identity.boot == boot]
    assert {each.identity.boot_number for each in own} == {number}
    return number, boot, beginnings(read_body(each) for each in own)


def test_a_damaged_outbox_is_set_aside_and_a_new_boot_says_so_and_carries_on_what_can_be_read(
    lone_unit: Unit, caplog: pytest.LogCaptureFixture
) -> None:
    path = lone_unit.folder / "outbox.db"
    assert (first := began(lone_unit))[0] == 1
    assert first[2] == [("unit_started", "new")]
    assert began(lone_unit) == (1, first[1], [("unit_started", "new"), ("unit_started", "kept")])
    before = lone_unit.ask("select sealed from batches order by id")
    damaged = bytes(16) + path.read_bytes()[16:]  # SQLite's own mark is gone: it opens nothing of this
    path.write_bytes(damaged)
    number, boot, events = began(lone_unit)
    assert (number, events) == (2, [("outbox_replaced", "replaced")])
    assert boot != first[1]
    assert (lone_unit.folder / "outbox.damaged-1").read_bytes() == damaged
    assert "set aside" in caplog.text
    assert lone_unit.ask("select sealed from batches order by id")[:-1] == before
    newest = read_body(lone_unit.sealed()[-1])
    assert [(gap.boot, gap.first, gap.reason) for gap in newest.gaps] == [(first[1], 3, "end_unknown")]
    path.write_bytes(b"")
    assert began(lone_unit)[::2] == (3, [("outbox_replaced", "replaced")])
    assert (lone_unit.folder / "outbox.damaged-2").exists()
    assert began(lone_unit)[::2] == (3, [("outbox_replaced", "replaced"), ("unit_started", "kept")])


def test_a_lost_outbox_begins_a_new_boot_with_a_higher_number(lone_unit: Unit) -> None:
    first = began(lone_unit)
    (lone_unit.folder / "outbox.db").unlink()
    number, boot, events = began(lone_unit)
    assert (number, events) == (2, [("unit_started", "new")])
    assert boot != first[1]


def test_an_outbox_that_is_damaged_while_the_agent_runs_ends_the_run(
    unit: Unit, server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start(unit)
    until(lambda: unit.receipted() == 2)

    def damaged(_: Outbox) -> list[Gap]:
        raise OutboxDamagedError("outbox.db: database disk image is malformed")

    monkeypatch.setattr(Outbox, "gaps_to_declare", damaged)
    assert running.ended() is Ended.DAMAGED
