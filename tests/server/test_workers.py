"""Several real ingest processes on one real Mosquitto: they share the units, and take over from one that is killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import select

from server.config import ServerSettings
from server.fleet.authority import Authority, ingest_name, write_private_key
from server.fleet.mosquitto import write_mosquitto
from server.setting_up import authority_folder, initialise
from server.store import lease_rows
from server.store.db import Store
from server.store.tables import batches
from tests.server.cars import Car, add_car, sample
from wire.topics import BATCH, BUCKETS, bucket_of

DEADLINE_S = 60.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    until_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.1)


class World:
    """A server's folder, a broker with its rules, and workers by number."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.workers = folder, dict[int, "subprocess.Popen[bytes]"]()
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.settings: ServerSettings = initialise(folder, port=port, tls=True)
        toml = folder / "server.toml"
        toml.write_text(toml.read_text().replace('database_url = ""', f'database_url = "{url}"'))
        self.store = Store(url)
        self.store.migrate()
        authority = authority_folder(self.settings)
        self._config = write_mosquitto(folder / "mosquitto", authority, "127.0.0.1", port)
        self.broker = self._broker()

    def _broker(self) -> "subprocess.Popen[bytes]":
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed")
        log = (self.folder / "broker.log").open("ab")
        broker = subprocess.Popen([program, "-c", self._config], stdout=log, stderr=log)
        wait_until(self._answers, "the broker starts")
        return broker

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.settings.broker.port), 1).close()
            return True
        return False

    def start(self, number: int) -> None:
        log = (self.folder / f"worker{number}.log").open("ab")
        words = ["--config", str(self.folder / "server.toml"), "ingest", "--worker", str(number)]
        self.workers[number] = subprocess.Popen([sys.executable, "-m", "server", *words], stdout=log, stderr=log)

    def end(self, number: int, how: signal.Signals) -> None:
        self.workers[number].send_signal(how)
        self.workers.pop(number).wait(DEADLINE_S)

    def held(self, number: int) -> int:
        with self.store.write() as connection:
            return sum(each.worker == ingest_name(number) for each in lease_rows.leases(connection))

    def stored(self, car: Car) -> int:
        with self.store.read() as connection:
            return len(connection.execute(select(batches.c.id).where(batches.c.unit_id == car.unit_id)).all())

    def log(self, number: int) -> str:
        return (self.folder / f"worker{number}.log").read_text()

    def close(self) -> None:
        for process in (*self.workers.values(), self.broker):
            process.kill()
            process.wait(DEADLINE_S)
        self.store.close()


@pytest.fixture
def world(tmp_path: Path, store: Store) -> Iterator[World]:
    made = World(tmp_path, store.url)
    yield made
    made.close()


class Sender:
    """Publishes for any unit: a certificate of its own, and a rule that lets it."""

    def __init__(self, world: World) -> None:
        rules = world.folder / "mosquitto" / "access.acl"
        name = "the_sender"
        key, folder = Ed25519PrivateKey.generate(), world.folder
        write_private_key(folder / "sender.key", key)
        issued = Authority(authority_folder(world.settings)).issue_unit(name, key.public_key(), datetime.now(UTC))
        (folder / "sender.crt").write_text(issued.pem)
        rules.write_text(f"{rules.read_text()}\nuser {name}\ntopic write {BATCH.everywhere()}\n")
        world.broker.send_signal(signal.SIGHUP)
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv311)
        root = authority_folder(world.settings) / "authority.crt"
        self.client.tls_set(str(root), str(folder / "sender.crt"), str(folder / "sender.key"))
        self.client.connect("127.0.0.1", world.settings.broker.port)
        self.client.loop_start()

    def send(self, car: Car, at_s: float) -> None:
        arrival = car.seal(sample(at_s))
        self.client.publish(arrival.topic, arrival.payload, qos=1).wait_for_publish(DEADLINE_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def sender(world: World) -> Iterator[Sender]:
    made = Sender(world)
    yield made
    made.close()


def test_workers_share_the_units_and_take_over_from_one_that_is_killed(world: World, sender: Sender) -> None:
    cars = [add_car(world.store, name=f"UNIT{n:04}") for n in range(12)]
    world.start(1)
    wait_until(lambda: world.held(1) == BUCKETS, "one worker holds all")
    world.start(2)
    wait_until(lambda: (world.held(1), world.held(2)) == (128, 128), "two hold a half each")
    assert len({bucket_of(car.name) for car in cars}) > 4

    # Whatever moves meanwhile: each unit's batches go on, one after the other.
    def all_stored() -> bool:
        return all(world.stored(car) == len(car.sealed) for car in cars)

    for n in range(5):
        for car in cars:
            sender.send(car, n)
    wait_until(all_stored, "both take in")
    taken = [world.log(number).count("takes in 128 of 256") for number in (1, 2)]
    assert taken == [1, 1]

    world.end(2, signal.SIGKILL)
    wait_until(lambda: world.held(1) == BUCKETS, "the other takes over")
    wait_until(lambda: "its session is cleared" in world.log(1), "the broker keeps nothing for the dead")
    for car in cars:
        sender.send(car, 5)
        for arrival in car.sealed[:5]:  # what the units had no receipt for, they send again
            sender.client.publish(BATCH.of(car.name), arrival, qos=1)
    wait_until(all_stored, "the one takes in all")

    world.start(2)
    wait_until(lambda: (world.held(1), world.held(2)) == (128, 128), "the one that died has come back")
    world.end(1, signal.SIGTERM)
    wait_until(lambda: world.held(2) == BUCKETS, "who leaves frees its buckets")
    for car in cars:
        sender.send(car, 6)
    wait_until(all_stored, "the one that stayed takes in all")
