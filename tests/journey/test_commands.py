"""A command's whole way: given at the console, signed, over a real broker, carried out once, answered, stored.

The unit is a double: the unit's own modules for judging, remembering and sealing around a hand-made MQTT client.
"""

import queue
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.batch import Batcher, SealedBefore
from edge_agent.commands.desk import Answer, CommandDesk, Do, Step
from edge_agent.commands.judging import Action, Follow, Locate
from edge_agent.commands.memory import CommandMemory
from edge_agent.identity import read_identity
from edge_agent.timing.receipt_time import SealTimes, TimeBounds
from server.fleet.authority import INGEST_NAME
from server.setting_up import authority_folder
from tests.journey.world import LENDER, ROOT, World, until
from wire.commands import Outcome
from wire.records import Event, TimeQuality
from wire.seal import open_receipt
from wire.topics import BATCH, COMMAND, RECEIPT

VICTIM, THIEF = "PW000001", "PW000002"
REASON = "客户失联两天"


def connected(world: World, name: str, certificate: str, key: str, authority: str) -> mqtt.Client:
    context = ssl.create_default_context(cafile=authority)
    context.load_cert_chain(certificate, key)
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
    made.tls_set_context(context)
    up = threading.Event()
    made.on_connect = lambda *_: up.set()
    made.connect("127.0.0.1", world.settings.broker.port)
    made.loop_start()
    assert up.wait(10)
    return made


class Unit:
    """Hears everything that it may subscribe to; what it is told to do is in `done`."""

    def __init__(self, world: World, name: str) -> None:
        folder = world.home / name
        self.name, self.folder, self.heard, self.done = name, folder, queue.Queue[tuple[str, bytes]](), list[Action]()
        self.identity = read_identity(folder)
        before = SealedBefore(name, name.encode().ljust(16), 1)
        self._batcher = Batcher(self.identity.key, before, kernel_boot=1, samples=60, after_s=60)
        self._seals, self._bounds = SealTimes(before.boot), TimeBounds(0)
        files = (str(folder / each) for each in ("unit.crt", "unit.key", "authority.crt"))
        self.mqtt = connected(world, name, *files)
        subscribed = threading.Event()
        self.mqtt.on_subscribe = lambda *_: subscribed.set()
        self.mqtt.on_message = lambda _c, _d, message: self.heard.put((message.topic, bytes(message.payload)))
        for topic in (RECEIPT.of(name), COMMAND.of(VICTIM), COMMAND.everywhere(), COMMAND.of(name)):
            subscribed.clear()
            self.mqtt.subscribe(topic, qos=1)
            assert subscribed.wait(10)
        self.start()

    def start(self) -> None:
        """The agent starts: for the first time, or again after a power cut."""
        self.desk = CommandDesk(self.name, self.identity.receipt_keys, CommandMemory(self.folder / "commands.json"), {})
        self.tell("unit_started", {})
        for answer in self.desk.on_start(time.monotonic()):
            self.tell("command_answer", answer.details)

    def tell(self, kind: str, details: dict[str, str]) -> None:
        self._batcher.add_event(Event(kind, round(time.monotonic() * 1000), None, TimeQuality.NONE, details))
        for sealed in self._batcher.seal({}):
            self._seals.on_sealed(sealed.sequence, time.monotonic())
            self.mqtt.publish(BATCH.of(self.name), sealed.data, qos=1).wait_for_publish(10)

    def next(self, within_s: float = 20) -> list[Step]:
        """What the next message on the command topic makes the unit do; receipts are taken on the way."""
        deadline = time.monotonic() + within_s
        while True:
            topic, payload = self.heard.get(timeout=max(0.0, deadline - time.monotonic()))
            now_s = time.monotonic()
            if topic == RECEIPT.of(self.name):
                receipt = open_receipt(payload, self.name, self.identity.receipt_keys)
                self._bounds = self._bounds.told(receipt.server_time_ms, now_s, self._seals.of(receipt))
                now_ms = self._bounds.server_now_ms(now_s)
                steps = self.desk.on_server_time(now_s, now_ms) if now_ms is not None else ()
                if not steps:
                    continue
                return list(steps)
            assert topic == COMMAND.of(self.name), "nobody hears another's commands"
            return list(self.desk.on_command(payload, now_s, self._bounds.server_now_ms(now_s)))

    def obey(self, steps: list[Step]) -> None:
        """Carry out, and answer."""
        for step in steps:
            if isinstance(step, Do):
                self.done.append(step.action)
                step = self.desk.finish(step.command, Outcome.DONE, "", time.monotonic())
            assert isinstance(step, Answer)
            self.tell("command_answer", step.details)


@contextmanager
def ingest_client(world: World) -> Iterator[mqtt.Client]:
    """A client with the ingest's certificate (which is not running): for what a faulty broker might do."""
    folder = authority_folder(world.settings)
    files = (str(folder / each) for each in (f"{INGEST_NAME}.crt", f"{INGEST_NAME}.key", "authority.crt"))
    made = connected(world, INGEST_NAME, *files)
    yield made
    made.disconnect()
    made.loop_stop()


@pytest.fixture
def units(world: World) -> Iterator[tuple[Unit, Unit]]:
    world.add_unit(VICTIM)
    world.add_unit(THIEF, vin="LSVPW500XT2000002", lender="乙汽车金融")
    world.start("broker", "ingest")
    until(lambda: "connected to the broker" in world.log("ingest"), 20, "the ingest is connected")
    made = Unit(world, VICTIM), Unit(world, THIEF)
    yield made
    for each in made:
        each.mqtt.disconnect()
        each.mqtt.loop_stop()


def order(world: World, unit: str, *arguments: str, lender: str = LENDER) -> int:
    command = [*world.commands["ingest"][:-1], "command", unit, *arguments, "--lender", lender, "--reason", REASON]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode


def outcomes(world: World) -> list[tuple]:
    return world.rows("select kind, outcome from commands order by id")


def test_a_command_is_carried_out_once_and_answered(world: World, units: tuple[Unit, Unit]) -> None:
    unit, thief = units
    assert order(world, VICTIM, "locate", lender="乙汽车金融") == 2, "another lender's unit"
    assert order(world, VICTIM, "locate") == 0
    steps = unit.next()
    assert [step.action for step in steps if isinstance(step, Do)] == [Locate()]
    unit.obey(steps)
    until(lambda: outcomes(world) == [("locate", "done")], 20, "the answer is stored")
    ((sealed, who, why, sends),) = world.rows("select sealed, issued_by, reason, sends from commands")
    assert (who.split(":")[0], why, sends) == ("console", REASON, 1)

    world.stop("ingest")  # the same bytes again, from whoever can write there: nothing is done twice
    thief.mqtt.publish(COMMAND.of(VICTIM), sealed, qos=1).wait_for_publish(10)
    thief.mqtt.publish(COMMAND.of(VICTIM), b"forged", qos=1).wait_for_publish(10)
    unit.start()
    with ingest_client(world) as broker:
        broker.publish(COMMAND.of(VICTIM), sealed, qos=1).wait_for_publish(10)
        (step,) = unit.next()
        assert isinstance(step, Answer)
        assert (step.details["outcome"], step.details["repeated"]) == ("done", "yes")
        assert unit.desk.counts == {"commands.repeated": 1}, "nothing of the thief's came through"
        unit.obey([step])
        broker.publish(COMMAND.of(THIEF), sealed, qos=1).wait_for_publish(10)
        assert thief.next() == []
    assert thief.desk.counts == {"commands.unbelieved.other_unit": 1}, "only its own topic, and no use to it"
    assert unit.done == [Locate()]


def test_power_fails_while_a_command_is_carried_out(world: World, units: tuple[Unit, Unit]) -> None:
    unit, _ = units
    assert order(world, VICTIM, "follow", "minutes=5") == 0
    (step,) = unit.next()
    assert isinstance(step, Do)
    assert isinstance(step.action, Follow)
    unit.start()  # begun, never finished
    until(lambda: outcomes(world) == [("follow", "interrupted")], 20, "the server knows")
    assert unit.done == []
