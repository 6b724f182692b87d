"""A whole agent for the tests: a pty for its receiver, a real broker, and a server that believes what it can verify."""

import base64
import fcntl
import itertools
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
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.agent import Agent, Ended
from edge_agent.config import read_config
from edge_agent.identity import make_key, read_identity
from wire.codec import decode_body
from wire.records import Body, Receipt, Sample, SequenceRange
from wire.seal import Identity, OpenedSeal, link_to, open_seal, read_body, seal_receipt
from wire.topics import BATCH, RECEIPT, Topic

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
        return len(self.ask("select id from batches")) >= 2

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


Start = Callable[[Unit], Running]
Launch = Callable[[Unit], Program]
