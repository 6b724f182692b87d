"""The whole agent: a pty for the receiver, a real broker, and a server that believes only what it can verify."""

import base64
import fcntl
import itertools
import json
import logging
import os
import queue
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import termios
import threading
import time
import tty
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from operator import xor
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.__main__ import main
from edge_agent.agent import Agent, Ended
from edge_agent.batch import Sealed
from edge_agent.car.abilities import CarAbilities
from edge_agent.car.obd_link import ObdCounts
from edge_agent.car.readings import Reading
from edge_agent.commands.overrides import Overrides
from edge_agent.config import ConfigError, read_config
from edge_agent.identity import make_key, read_identity
from edge_agent.ports.place import Find, Place
from edge_agent.running import only_one
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import OutboxDamagedError, sequence_of
from edge_agent.timing.receipt_time import TimeBounds
from wire.codec import decode_body
from wire.commands import Command
from wire.records import Body, Gap, Receipt, Sample, SequenceRange
from wire.seal import Identity, OpenedSeal, link_to, open_seal, read_body, seal_command, seal_receipt
from wire.topics import BATCH, COMMAND, RECEIPT, Topic

ROOT = Path(__file__).parents[2]
SERVER_KEY = Ed25519PrivateKey.generate()
BEGIN = datetime(2026, 11, 23, 8, 15, 0, tzinfo=UTC)
BEGIN_MS = 1_795_421_700_000
STEP_DEG = 0.0002
names = (f"PW{n:06d}" for n in itertools.count(1))


def until(condition: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What `condition` says once it says something true."""
    deadline_s = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)
    return found


def signed(body: str) -> bytes:
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def epoch(n: int) -> bytes:
    """Second `n` of a drive to the north."""
    time_text = (BEGIN + timedelta(seconds=n)).strftime("%H%M%S.00")
    place = f"31{49 + n * STEP_DEG * 60:09.6f},N,11713.543210,E"
    return signed(f"GNRMC,{time_text},A,{place},45.000,0.00,231126,,,A") + signed(
        f"GNGGA,{time_text},{place},1,09,0.80,37.5,M,-1.2,M,,"
    )


class Receiver:
    """A pty whose other end the agent opens as its port."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)

    def put_a_mark(self) -> None:
        """An empty line; it is gone once somebody has opened the port."""
        os.write(self._master, b"\r\n")
        until(self._unread)

    def wait_until_opened(self) -> None:
        until(lambda: not self._unread())

    def say(self, *seconds: int) -> None:
        for n in seconds:
            os.write(self._master, epoch(n))

    def _unread(self) -> int:
        (count,) = struct.unpack("i", fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4)))
        return int(count)

    def close(self) -> None:
        os.close(self._master)
        os.close(self._slave)


class Broker:
    """Mosquitto on loopback, without TLS."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed ('make packages' installs it)")
        self._program = program
        self.port = free_port()
        self._settings = folder / "mosquitto.conf"
        self._settings.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen([self._program, "-c", self._settings])
        until(self._answers)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Unit:
    """A provisioned folder."""

    def __init__(self, folder: Path, port: int, gnss: str, **settings: str) -> None:
        self.name, self.folder = next(names), folder
        make_key(folder, self.name)
        (folder / "receipt_keys").write_text(raw(SERVER_KEY) + "\n")
        self.public_key = read_identity(folder).key.public_key()
        self.gnss, self.port = gnss, port
        self.set(**settings)

    def set(self, samples: int = 5, after_s: float = 600.0, **more: str) -> None:
        self.config = self.folder / "unit.toml"
        self.config.write_text(
            f'unit = "{self.name}"\n[gnss]\nport = "{self.gnss}"\nbaud = 115200\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.port}\ntls = false\n'
            "[clock]\nplays_recording = true\n[position]\nhold = false\n"
            f"[batch]\nsamples = {samples}\nafter_s = {after_s}\njournal_every_s = {more.pop('journal_every_s', '5')}\n"
            f"[outbox]\n{more.pop('outbox', '')}\n{more.pop('rest', '')}\n"
        )
        assert not more

    def ask(self, query: str) -> list[Any]:
        """Look into the outbox from beside, as a person would."""
        with closing(sqlite3.connect(f"file:{self.folder / 'outbox.db'}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def sealed(self) -> list[OpenedSeal]:
        """Every batch that is here, of whichever boot, verified."""
        rows = self.ask("select sealed from batches order by id")
        return [open_seal(data, self.name, self.public_key) for (data,) in rows]

    def has_begun(self) -> bool:
        """Whether the first tick is over: a new unit has sealed two batches then, that it started and what it can."""
        return (self.folder / "kept.json").exists()

    def receipted(self) -> int:
        return int(self.ask("select count(*) from batches where receipted_ms is not null")[0][0])

    def waiting(self) -> int:
        return int(self.ask("select count(*) from batches where receipted_ms is null")[0][0])

    def journalled(self) -> list[int]:
        """Which seconds of the drive are in the journal."""
        bodies = self.ask("select body from journal where body is not null")
        return seconds_of(decode_body(zlib.decompress(bodies[0][0])).samples) if bodies else []


def raw(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


class Server:
    """Subscribed to one unit; keeps each batch once, counts arrivals, and answers if it is told to."""

    def __init__(self, port: int, unit: Unit) -> None:
        self.unit = unit
        self.answers = True
        self.batches: dict[int, bytes] = {}
        self.boots: set[tuple[bytes, int]] = set()
        self.arrivals = Counter[int]()
        self.trouble: list[BaseException] = []
        ready = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"server-of-{unit.name}")
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(BATCH.everywhere(), qos=1)
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = lambda _client, _data, message: self._take(message)
        self._client.connect_async("127.0.0.1", port)
        self._client.loop_start()
        self.subscribed = ready

    def _take(self, message: mqtt.MQTTMessage) -> None:
        if message.topic != BATCH.of(self.unit.name):
            return
        data = bytes(message.payload)
        try:
            assert (message.qos, message.retain) == (BATCH.qos, BATCH.retain)
            identity = open_seal(data, self.unit.name, self.unit.public_key).identity
            self.arrivals[identity.sequence] += 1
            assert self.batches.setdefault(identity.sequence, data) == data, "other bytes under the same identity"
            self.boots.add((identity.boot, identity.boot_number))
            if self.answers:
                self.receipt((identity.sequence, identity.sequence))
        except BaseException as trouble:  # noqa: BLE001 - told at the end of the test
            self.trouble.append(trouble)

    @property
    def boot(self) -> bytes:
        ((boot, _),) = self.boots
        return boot

    def sealed_receipt(
        self,
        *spans: tuple[int, int],
        key: Ed25519PrivateKey = SERVER_KEY,
        unit: str | None = None,
        boot: bytes | None = None,
        wanted: tuple[tuple[int, int], ...] = (),
    ) -> bytes:
        receipt = Receipt(
            unit or self.unit.name,
            boot or self.boot,
            tuple(SequenceRange(*span) for span in spans),
            BEGIN_MS,
            tuple(SequenceRange(*span) for span in wanted),
        )
        return seal_receipt(key, receipt)

    def receipt(self, *spans: tuple[int, int], wanted: tuple[tuple[int, int], ...] = ()) -> None:
        self.say(self.sealed_receipt(*spans, wanted=wanted))

    def say(self, data: bytes, topic: Topic = RECEIPT) -> None:
        self._client.publish(topic.of(self.unit.name), data, qos=topic.qos)

    def bodies(self) -> list[Body]:
        """From the first on, as far as there is no hole, each linked to the one before. What is live may overtake."""
        link, bodies, batches = b"", list[Body](), self.batches.copy()
        while (data := batches.get(len(bodies) + 1)) is not None:
            opened = open_seal(data, self.unit.name, self.unit.public_key)
            (boot,) = self.boots
            assert opened.identity == Identity(self.unit.name, *boot, len(bodies) + 1)
            assert opened.link == link, "another batch came before it"
            bodies.append(read_body(opened))
            link = link_to(data)
        return bodies

    def seconds(self) -> list[int]:
        """Which seconds of the drive have arrived; each must be where the receiver said."""
        return seconds_of(sample for body in self.bodies() for sample in body.samples)

    def events(self) -> list[tuple[str, str]]:
        """How each run found its outbox."""
        return beginnings(self.bodies())

    def answered(self) -> list[tuple[str, str]]:
        """Kind and outcome of each command that the unit has answered."""
        events = (event for body in self.bodies() for event in body.events if event.kind == "command_answer")
        return [(event.details["kind"], event.details["outcome"]) for event in events]

    def counts(self) -> dict[str, int]:
        return {name: count for body in self.bodies() for name, count in body.counts.items()}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        assert not self.trouble


def beginnings(bodies: Iterable[Body]) -> list[tuple[str, str]]:
    """Kind and outbox of the event that each run begins with."""
    events = (event for body in bodies for event in body.events)
    return [(event.kind, event.details["outbox"]) for event in events if "outbox" in event.details]


def seconds_of(samples: Iterable[Sample]) -> list[int]:
    """The seconds of the drive that these samples are; a sample that only says "alive" is none."""
    seconds = []
    for sample in samples:
        if sample.lat_deg is not None:
            assert sample.time_utc_ms is not None
            seconds.append((sample.time_utc_ms - BEGIN_MS) // 1000)
            assert sample.lat_deg == pytest.approx(31 + 49 / 60 + seconds[-1] * STEP_DEG, abs=1e-7)
    return seconds


class Running:
    """The agent in a thread of its own, which owns the outbox."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._made: queue.Queue[Agent] = queue.Queue()
        self._ended: queue.Queue[Ended] = queue.Queue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self.agent = self._made.get(timeout=30)

    def _work(self) -> None:
        agent = Agent(read_config(self._unit.config))
        self._made.put(agent)
        self._ended.put(agent.run())

    def open_seconds(self) -> list[int]:
        """Which seconds of the drive are collected and not sealed."""
        journal = self.agent._pipeline.open_body()
        return seconds_of(decode_body(journal).samples) if journal else []

    def ended(self) -> Ended:
        """How it ended by itself."""
        return self._ended.get(timeout=30)

    def stop(self) -> None:
        self.agent.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


class Program:
    """`pledgewatch-agent run` as a process."""

    def __init__(self, unit: Unit) -> None:
        command = [sys.executable, "-m", "edge_agent", "run", "--config", unit.config]
        self.process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)

    def terminate(self) -> float:
        """Seconds until it ended."""
        began_s = time.monotonic()
        self.process.terminate()
        self.process.wait(10)
        return time.monotonic() - began_s

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def unit(broker: Broker, receiver: Receiver, tmp_path: Path) -> Unit:
    return Unit(tmp_path, broker.port, receiver.port)


@pytest.fixture
def server(broker: Broker, unit: Unit) -> Iterator[Server]:
    server = Server(broker.port, unit)
    assert server.subscribed.wait(30)
    yield server
    server.close()


@pytest.fixture
def start(receiver: Receiver) -> Iterator[Callable[[Unit], Running]]:
    """Starts agents and sees to it that none stays."""
    with ExitStack() as stack:

        def started(unit: Unit) -> Running:
            receiver.put_a_mark()
            running = Running(unit)
            stack.callback(running.stop)
            receiver.wait_until_opened()
            until(unit.has_begun)
            return running

        yield started


@pytest.fixture
def launch(receiver: Receiver) -> Iterator[Callable[[Unit], Program]]:
    with ExitStack() as stack:

        def launched(unit: Unit) -> Program:
            receiver.put_a_mark()
            program = Program(unit)
            stack.callback(program.kill)
            receiver.wait_until_opened()
            until(unit.has_begun)
            return program

        yield launched


@pytest.fixture(autouse=True)
def fast_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agents in threads end ten times as fast; those in processes tick once a second as they should."""
    monkeypatch.setattr("edge_agent.timing.ticks._TICK_S", 0.1)


Start = Callable[[Unit], Running]
Launch = Callable[[Unit], Program]


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
    unit: Unit, server: Server, receiver: Receiver, start: Start
) -> None:
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
        "receipts.refused.signature": 4,
        "receipts.refused.other_unit": 1,
        "receipts.refused.malformed": 2,
        "receipts.refused.unknown_version": 1,
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


def test_a_receipt_that_was_given_while_the_unit_was_away_is_waiting_for_it(
    unit: Unit, server: Server, receiver: Receiver, start: Start
) -> None:
    server.answers = False
    running = start(unit)
    until(lambda: server.arrivals[1])
    running.stop()
    server.receipt((1, 1))
    start(unit)
    until(lambda: unit.receipted() == 1)


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


def test_the_folder_is_free_again_once_its_agent_has_ended(tmp_path: Path) -> None:
    with only_one(tmp_path):
        with pytest.raises(ConfigError, match=f"process {os.getpid()}"), only_one(tmp_path):
            pass
        with pytest.raises(ConfigError, match="already running"), only_one(tmp_path):
            pass
    with only_one(tmp_path):
        pass


def test_a_folder_that_is_not_there_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere is not there; 'pledgewatch-agent provision --dir"):
        only_one(tmp_path / "nowhere").__enter__()


# A damaged outbox


def began(unit: Unit) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Boot number, boot and beginnings of an agent that was started and ended before it could do anything."""
    agent = Agent(read_config(unit.config))
    number, boot = agent._outbox.boot_number, agent._outbox.boot
    agent._outbox.close()
    own = [each for each in unit.sealed() if each.identity.boot == boot]
    assert {each.identity.boot_number for each in own} == {number}
    return number, boot, beginnings(read_body(each) for each in own)


@pytest.fixture
def lone_unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path, 1, "/dev/nowhere")


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


# Decisions that are hard to reach from outside: an agent whose network is a list


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
    still._put(partial(still._on_gnss, epoch(0) + epoch(1), time.monotonic()))
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
