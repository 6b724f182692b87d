"""The whole agent: from the receiver's port to the server, and what a person or the server asks of it."""

import json
import time
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.__main__ import main
from edge_agent.agent import Ended
from edge_agent.car.abilities import CarAbilities
from edge_agent.car.obd_link import Ask, ObdCounts
from edge_agent.car.readings import Reading
from edge_agent.commands.overrides import Overrides
from edge_agent.config import read_config
from edge_agent.identity import read_identity
from edge_agent.ports.place import Find, Place
from tests.edge_agent.whole_agent import (
    BEGIN_MS,
    SERVER_KEY,
    Launch,
    Receiver,
    Running,
    Server,
    Start,
    Unit,
    seconds_of,
    until,
)
from wire.commands import Command
from wire.seal import seal_command
from wire.topics import COMMAND

pytestmark = pytest.mark.usefixtures("fast_ticks")

# From the port to the server


def test_a_drive_arrives_verified_and_chained_and_is_forgotten_on_receipts(
    unit: Unit, server: Server, receiver: Receiver, start: Start
) -> None:
    running = start(unit)
    receiver.say(*range(23))
    until(lambda: len(server.seconds()) >= 18)  # or 20; the first sample may only say that the unit is alive
    until(lambda: unit.waiting() == 0 and unit.receipted() == 6)
    assert server.events() == [("unit_started", "new")]
    assert server.boots == {(server.boot, 1)}
    until(lambda: running.open_seconds()[-1:] == [22])
    running.stop()
    until(lambda: server.seconds() == list(range(23)))
    assert max(server.arrivals.values()) == 1
    assert server.counts()["gnss.accepted"] == 46


def test_without_a_receipt_nothing_is_forgotten_and_everything_is_sent_again(
    unit: Unit, server: Server, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.network.sending.PATIENCE_S", 0.1)
    server.answers = False
    start(unit)
    receiver.say(*range(6))
    until(lambda: server.arrivals[1] >= 3 and server.arrivals[2] >= 3)
    assert unit.receipted() == 0
    server.receipt((1, 1))
    until(lambda: unit.receipted() == 1)
    so_far = server.arrivals.copy()
    until(lambda: server.arrivals[2] >= so_far[2] + 2)
    assert server.arrivals[1] <= so_far[1] + 1  # one may have been on its way
    server.receipt((2, 2))
    until(lambda: unit.receipted() == 2)


def test_a_receipt_that_is_not_the_servers_word_to_this_outbox_forgets_nothing(
    unit: Unit, server: Server, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.pipeline._COUNTS_EVERY_S", 0.0)
    server.answers = False
    start(unit)
    receiver.say(*range(6))
    until(lambda: len(server.batches) == 3)
    good = server.sealed_receipt((1, 9))
    for bad in (
        server.sealed_receipt((1, 9), key=Ed25519PrivateKey.generate()),
        server.sealed_receipt((1, 9), key=read_identity(unit.folder).key),
        server.batches[1],  # a batch is no receipt
        server.sealed_receipt((1, 9), unit="PW999999"),
        server.sealed_receipt((1, 9), boot=b"o" * 16),
        good[:-1] + bytes([good[-1] ^ 1]),
        good[:-9],
        b"\xff\xff\xff\xff",
        b"",
        bytes(20_000),
    ):
        server.say(bad)
    for n in range(6, 200):  # the counts of refusals travel in the batches that follow
        receiver.say(n)
        counts = {name: count for name, count in server.counts().items() if name.startswith("receipts")}
        if sum(counts.values()) == 10:
            break
        time.sleep(0.02)
    assert counts == {
        "receipts.refused.signature": 3,
        "receipts.refused.other_unit": 1,
        "receipts.refused.malformed": 2,
        "receipts.refused.unknown_version": 2,
        "receipts.refused.too_large": 1,
        "receipts.other_boot": 1,
    }
    assert unit.receipted() == 0
    server.say(good)
    until(lambda: unit.receipted() >= 2)


def test_what_a_restored_server_wants_again_is_sent_again(
    unit: Unit, server: Server, receiver: Receiver, start: Start
) -> None:
    start(unit)
    receiver.say(*range(16))
    until(lambda: unit.receipted() == 5)
    assert server.arrivals == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    server.receipt((5, 5), wanted=((1, 1), (4, 4)))
    until(lambda: server.arrivals == {1: 2, 2: 1, 3: 1, 4: 2, 5: 1})
    until(lambda: unit.receipted() == 5)


def test_a_receipt_that_was_given_while_the_unit_was_away_is_no_loss(
    unit: Unit, server: Server, receiver: Receiver, start: Start
) -> None:
    server.answers = False
    running = start(unit)
    until(lambda: server.arrivals[1])
    running.stop()
    server.receipt((1, 1))
    server.answers = True
    start(unit)
    until(lambda: unit.receipted() >= 2 and unit.waiting() == 0)


def test_without_a_receiver_the_unit_still_says_that_it_is_alive(unit: Unit, server: Server) -> None:
    unit.gnss = "/dev/nowhere"
    unit.set(samples=1)
    running = Running(unit)
    try:
        until(lambda: any(body.samples for body in server.bodies()))
    finally:
        running.stop()
    (sample,) = (sample for body in server.bodies() for sample in body.samples)
    assert sample.lat_deg is None


class FakeAdapter:
    """Of ObdLink's shape: says one speed when it starts."""

    made: list["FakeAdapter"]
    state = "querying"
    asked_for = Ask.ALL
    hello = None
    abilities = CarAbilities()
    counts = ObdCounts()

    def __init__(self, find: Find, on_reading: Callable[[Reading], None]) -> None:
        self.find, self._on_reading = find, on_reading
        self.stopped = False
        self.made.append(self)

    def start(self) -> None:
        self._on_reading(Reading("speed_kmh", 83.0, time.monotonic()))
        self._on_reading(Reading("vin", "LSVAA4182E2184847", time.monotonic()))

    def stop(self) -> None:
        self.stopped = True


def test_what_the_adapter_says_joins_the_epochs(
    unit: Unit, server: Server, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeAdapter.made = []
    monkeypatch.setattr("edge_agent.devices.ObdLink", FakeAdapter)
    unit.set(rest='[obd]\nport = "/dev/ttyUSB7"\nbaud = 38400')
    running = start(unit)
    receiver.say(*range(11))
    until(lambda: server.seconds()[:5] == list(range(5)))
    placed = [sample for body in server.bodies() for sample in body.samples if sample.lat_deg is not None]
    assert {sample.obd_speed_kmh for sample in placed} == {83.0}
    told = [event.details for body in server.bodies() for event in body.events if event.kind == "vehicle_identified"]
    assert told == [{"vin": "LSVAA4182E2184847"}]
    running.stop()
    (adapter,) = FakeAdapter.made
    assert adapter.find() == Place("/dev/ttyUSB7", 38400)
    assert adapter.stopped


# What a person or the server asks of it


def test_a_person_asks_the_running_agent_what_it_does(
    unit: Unit, server: Server, receiver: Receiver, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    running = start(unit)
    receiver.say(*range(6))
    until(lambda: unit.receipted() == 3)

    def asked() -> dict[str, str]:
        assert main(["status", "--config", str(unit.config), "--json"]) == 0
        facts = json.loads(capsys.readouterr().out)
        assert isinstance(facts, dict)
        return facts

    facts = until(lambda: (told := asked())["outbox.receipted"] == "3 batches" and told)
    assert facts["unit.name"] == unit.name
    assert facts["gnss.state"] == "open"
    assert facts["line.state"] == "up"
    assert facts["outbox.waiting"] == "0 batches, 0 samples"
    assert facts["car.obd"] == "no"
    assert "gnss.position" in facts
    running.stop()
    assert main(["status", "--config", str(unit.config)]) == 1
    assert capsys.readouterr().err == f"pledgewatch-agent: no agent runs in {unit.folder}\n"


def test_a_setting_changed_from_afar_ends_the_run_and_holds_in_the_next(
    unit: Unit, server: Server, start: Start
) -> None:
    running = start(unit)
    until(lambda: unit.receipted() == 2)
    parameters = {"section": "batch", "name": "samples", "value": "7"}
    command = Command(unit.name, b"c" * 16, BEGIN_MS, BEGIN_MS + 3_600_000, "set", parameters)
    server.say(seal_command(SERVER_KEY, command), COMMAND)
    assert running.ended() is Ended.AGAIN
    until(lambda: unit.sealed()[-1:] and server.answered() == [("set", "done")])
    changed = read_config(unit.config, Overrides(unit.folder / "overrides.json").values)
    assert (changed.batch.samples, read_config(unit.config).batch.samples) == (7, 5)


def test_a_changed_setting_begins_the_agent_anew_in_the_same_process(
    unit: Unit, server: Server, receiver: Receiver, launch: Launch
) -> None:
    program = launch(unit)
    until(lambda: unit.receipted() == 2)
    parameters = {"section": "batch", "name": "samples", "value": "2"}
    command = Command(unit.name, b"c" * 16, BEGIN_MS, BEGIN_MS + 3_600_000, "set", parameters)
    server.say(seal_command(SERVER_KEY, command), COMMAND)
    until(lambda: server.events() == [("unit_started", "new"), ("unit_started", "kept")])
    receiver.say(*range(6))
    until(lambda: len(server.seconds()) >= 3)
    placed = [body for body in server.bodies() if seconds_of(body.samples)]
    assert {len(body.samples) for body in placed if not body.events} == {2}
    assert program.process.poll() is None
    assert program.terminate() < 5.0
    assert program.process.returncode == 0
