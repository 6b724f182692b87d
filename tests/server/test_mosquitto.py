"""The broker's configuration against a real Mosquitto: each attack of docs/decisions/0003-broker.md is tried.

Nothing here waits for something not to happen. What must not arrive is sent before something that must, on a way that
keeps order; when the second has come, the first would have.
"""

import contextlib
import datetime as dt
import os
import queue
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from server import intake, mqtt_in
from server.commanding import checked_order
from server.config import BrokerSettings
from server.fleet.authority import INGEST_NAME, OBSERVER_NAME, Authority, write_private_key
from server.fleet.mosquitto import write_mosquitto
from server.live import Arrival
from server.mqtt_in import Ingest
from server.store import command_rows
from server.store.command_rows import Issuer
from server.store.db import Store
from server.store.tables import batches, commands
from tests.server.cars import NOW_MS, Car, add_car, sample
from wire.records import Event, Receipt, SequenceRange, TimeQuality
from wire.seal import MAX_SEALED_BYTES, open_command, open_receipt
from wire.topics import BATCH, COMMAND, RECEIPT

DEADLINE_S = 20.0
NOW = dt.datetime.now(dt.UTC)
A, B = "PW00000A", "PW00000B"


def mosquitto() -> str:
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    return found or pytest.skip("mosquitto is not installed")


class Broker:
    """A Mosquitto with our configuration, on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority.make(folder / "authority", ["127.0.0.1"], NOW)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self.configuration = write_mosquitto(folder / "mosquitto", folder / "authority", "127.0.0.1", self.port)
        self._log = (folder / "log").open("w+")
        self.process = subprocess.Popen([mosquitto(), "-c", self.configuration], stdout=self._log, stderr=self._log)
        until = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise AssertionError(self.log()) from None
                time.sleep(0.02)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self._log.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    running = Broker(tmp_path_factory.mktemp("broker"))
    yield running
    running.stop()


class Client:
    """An MQTT client under any certificate; what happens to it is in queues."""

    def __init__(
        self, context: ssl.SSLContext | None, client_id: str, user: str | None = None, will: str | None = None
    ) -> None:
        self.happened: queue.Queue[str] = queue.Queue()
        self._messages: queue.Queue[mqtt.MQTTMessage] = queue.Queue()
        self._subscribed: queue.Queue[int] = queue.Queue()
        self.mqtt = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        if context is not None:
            self.mqtt.tls_set_context(context)
        if user is not None:
            self.mqtt.username_pw_set(user, "password")
        if will is not None:
            self.mqtt.will_set(will, b"forged", qos=1)
        self.mqtt.on_connect = lambda _c, _d, _f, reason, _p: self.happened.put(
            "refused" if reason.is_failure else "connected"
        )
        self.mqtt.on_disconnect = lambda *_: self.happened.put("disconnected")
        self.mqtt.on_connect_fail = lambda *_: self.happened.put("refused")
        self.mqtt.on_message = lambda _c, _d, message: self._messages.put(message)
        self.mqtt.on_subscribe = lambda _c, _d, mid, _r, _p: self._subscribed.put(mid)

    def connect(self, port: int) -> str:
        """What came of it: "connected", "disconnected" or "refused"."""
        try:
            self.mqtt.connect("127.0.0.1", port, keepalive=60)
        except OSError:  # ssl.SSLError is one
            return "refused"
        self.mqtt.loop_start()
        return self.happened.get(timeout=DEADLINE_S)

    def subscribe(self, *topics: str) -> None:
        for topic in topics:
            self.mqtt.subscribe(topic, qos=1)
            self._subscribed.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Until the broker has acknowledged it, allowed or not."""
        sent = self.mqtt.publish(topic, payload, qos=1, retain=retain)
        sent.wait_for_publish(DEADLINE_S)
        assert sent.is_published()

    def next(self, within_s: float = DEADLINE_S) -> tuple[str, bytes]:
        message = self._messages.get(timeout=within_s)
        return message.topic, message.payload

    def next_on(self, topic: str) -> bytes:
        """The next payload on this topic; what came on others before it is dropped."""
        while True:
            came_on, payload = self.next()
            if came_on == topic:
                return payload

    def close(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.folder / "authority.crt"))


def unit_context(
    broker: Broker, folder: Path, unit: str, issuer: Authority | None = None, now: dt.datetime = NOW
) -> ssl.SSLContext:
    """TLS of a unit: it trusts the broker's authority, and shows a certificate of `issuer`."""
    key, stem = Ed25519PrivateKey.generate(), folder / f"{unit}-{time.monotonic_ns()}"
    write_private_key(stem.with_suffix(".key"), key)
    stem.with_suffix(".crt").write_text((issuer or broker.authority).issue_unit(unit, key.public_key(), now).pem)
    context = trusting(broker.authority)
    context.load_cert_chain(stem.with_suffix(".crt"), stem.with_suffix(".key"))
    return context


def server_context(broker: Broker, name: str = INGEST_NAME) -> ssl.SSLContext:
    context = trusting(broker.authority)
    context.load_cert_chain(broker.authority.folder / f"{name}.crt", broker.authority.folder / f"{name}.key")
    return context


@pytest.fixture
def clients() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(context: ssl.SSLContext | None, client_id: str, **more: Any) -> Client:
        made.append(Client(context, client_id, **more))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def unit(broker: Broker, clients: Callable[..., Client], tmp_path: Path) -> Callable[..., Client]:
    """Connect a unit by name."""

    def connect(name: str, client_id: str = "", **more: Any) -> Client:
        client = clients(unit_context(broker, tmp_path, name), client_id or name, **more)
        assert client.connect(broker.port) == "connected", broker.log()
        return client

    return connect


@pytest.fixture
def ingest(broker: Broker, clients: Callable[..., Client]) -> Client:
    """A client with the ingest's certificate that hears every batch."""
    client = clients(server_context(broker), INGEST_NAME)
    assert client.connect(broker.port) == "connected", broker.log()
    client.subscribe(BATCH.everywhere())
    return client


# -- who may connect


def test_only_the_owner_reads_the_configuration(broker: Broker) -> None:
    for path in (broker.configuration, broker.configuration.parent / "access.acl"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_unit_and_the_ingest_may_connect(unit: Callable[..., Client], ingest: Client) -> None:
    first = unit(A)
    first.publish(BATCH.of(A), b"mine")
    assert ingest.next() == (BATCH.of(A), b"mine")
    first.subscribe(RECEIPT.of(A))
    ingest.publish(RECEIPT.of(A), b"yours")
    assert first.next() == (RECEIPT.of(A), b"yours")


def test_who_shows_no_certificate_is_refused(broker: Broker, clients: Callable[..., Client]) -> None:
    assert clients(trusting(broker.authority), A).connect(broker.port) != "connected"


def test_who_speaks_no_tls_is_refused(broker: Broker, clients: Callable[..., Client]) -> None:
    assert clients(None, A, user=INGEST_NAME).connect(broker.port) != "connected"


def test_a_certificate_of_another_authority_is_refused(
    broker: Broker, clients: Callable[..., Client], tmp_path: Path
) -> None:
    foreign = Authority.make(tmp_path / "foreign", ["127.0.0.1"], NOW)
    assert clients(unit_context(broker, tmp_path, A, foreign), A).connect(broker.port) != "connected"
    context = trusting(broker.authority)
    context.load_cert_chain(foreign.folder / f"{INGEST_NAME}.crt", foreign.folder / f"{INGEST_NAME}.key")
    assert clients(context, INGEST_NAME).connect(broker.port) != "connected"


def test_a_certificate_that_has_run_out_is_refused(
    broker: Broker, clients: Callable[..., Client], tmp_path: Path
) -> None:
    long_ago = NOW - dt.timedelta(days=5 * 365)
    assert clients(unit_context(broker, tmp_path, A, now=long_ago), A).connect(broker.port) != "connected"


def test_the_broker_s_own_certificate_is_none_for_a_client(broker: Broker, clients: Callable[..., Client]) -> None:
    assert clients(server_context(broker, "broker"), "broker").connect(broker.port) != "connected"


def test_older_tls_is_refused(broker: Broker, clients: Callable[..., Client], tmp_path: Path) -> None:
    context = unit_context(broker, tmp_path, A)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert clients(context, A).connect(broker.port) != "connected"


# -- who may say what


def test_a_unit_cannot_publish_for_another(unit: Callable[..., Client], ingest: Client) -> None:
    second = unit(B)
    for topic in (BATCH.of(A), BATCH.pattern.format(bucket="00", unit=A), f"{BATCH.of(B)}/more", "pw/1/batch"):
        second.publish(topic, b"forged")  # acknowledged, and dropped
    second.publish(BATCH.of(B), b"mine")
    assert ingest.next() == (BATCH.of(B), b"mine")


def test_a_unit_cannot_leave_a_last_will_for_another(unit: Callable[..., Client], ingest: Client) -> None:
    """The broker publishes a will itself: here when the same unit connects a second time, which ends the first."""
    dying = unit(B, will=BATCH.of(A))
    again = unit(B)
    assert dying.happened.get(timeout=DEADLINE_S) == "disconnected"
    again.publish(BATCH.of(B), b"mine")
    assert ingest.next() == (BATCH.of(B), b"mine")


def test_a_unit_cannot_hear_another_s_receipts(unit: Callable[..., Client], ingest: Client) -> None:
    second = unit(B)
    second.subscribe(RECEIPT.of(A), RECEIPT.everywhere(), "#", "+/+/+/+/+", "$share/g/pw/1/+/+/receipt", RECEIPT.of(B))
    ingest.publish(RECEIPT.of(A), b"of another")
    ingest.publish(RECEIPT.of(B), b"yours")
    assert second.next() == (RECEIPT.of(B), b"yours")


def test_a_unit_cannot_hear_batches_or_the_broker_s_own_topics(unit: Callable[..., Client], ingest: Client) -> None:
    second = unit(B)
    second.subscribe(BATCH.everywhere(), BATCH.of(A), BATCH.of(B), "$SYS/#", "$share/g/pw/1/+/+/batch", RECEIPT.of(B))
    unit(A).publish(BATCH.of(A), b"secret")
    assert ingest.next() == (BATCH.of(A), b"secret")
    second.publish(BATCH.of(B), b"own")
    assert ingest.next() == (BATCH.of(B), b"own")
    ingest.publish(RECEIPT.of(B), b"yours")
    assert second.next() == (RECEIPT.of(B), b"yours")


def test_a_unit_cannot_publish_receipts(unit: Callable[..., Client], ingest: Client) -> None:
    first, second = unit(A), unit(B)
    second.subscribe(RECEIPT.of(B))
    for retain in (False, True):
        first.publish(RECEIPT.of(B), b"forged", retain=retain)
        second.publish(RECEIPT.of(B), b"forged", retain=retain)
        first.publish(RECEIPT.of(A), b"forged", retain=retain)
    first.subscribe(RECEIPT.of(A))
    for client, name in ((first, A), (second, B)):
        ingest.publish(RECEIPT.of(name), b"true")
        assert client.next() == (RECEIPT.of(name), b"true")


def test_commands_go_to_one_unit_and_come_from_the_ingest_alone(unit: Callable[..., Client], ingest: Client) -> None:
    first, second = unit(A), unit(B)
    first.subscribe(COMMAND.of(A))
    second.subscribe(COMMAND.of(A), COMMAND.everywhere(), "$share/g/pw/1/+/+/command", "pw/#", COMMAND.of(B))
    for forger in (first, second):
        for retain in (False, True):
            forger.publish(COMMAND.of(A), b"forged", retain=retain)
            forger.publish(COMMAND.of(B), b"forged", retain=retain)
    for client, name in ((first, A), (second, B)):
        ingest.publish(COMMAND.of(name), b"for " + name.encode())
        assert client.next() == (COMMAND.of(name), b"for " + name.encode())


def test_a_unit_cannot_speak_as_the_ingest(unit: Callable[..., Client], ingest: Client) -> None:
    """The user name is the certificate's, whatever the client says."""
    first, posing = unit(A), unit(B, user=INGEST_NAME)
    first.subscribe(RECEIPT.of(A))
    posing.publish(RECEIPT.of(A), b"forged")
    ingest.publish(RECEIPT.of(A), b"true")
    assert first.next() == (RECEIPT.of(A), b"true")


@pytest.mark.parametrize("hijacked", [A, INGEST_NAME])
def test_a_unit_that_takes_another_s_client_id_throws_nobody_off(
    unit: Callable[..., Client], ingest: Client, hijacked: str
) -> None:
    first = unit(A)
    first.subscribe(RECEIPT.of(A))
    hijacker = unit(B, client_id=hijacked)
    hijacker.publish(BATCH.of(B), b"mine")
    assert ingest.next() == (BATCH.of(B), b"mine")
    first.publish(BATCH.of(A), b"still here")
    assert ingest.next() == (BATCH.of(A), b"still here")
    ingest.publish(RECEIPT.of(A), b"yours")
    assert first.next() == (RECEIPT.of(A), b"yours")
    assert (first.happened.empty(), ingest.happened.empty()) == (True, True)


def test_the_largest_batch_passes_and_far_larger_ones_do_not(unit: Callable[..., Client], ingest: Client) -> None:
    first = unit("PW" + "x" * 30)
    topic = BATCH.of("PW" + "x" * 30)
    first.publish(topic, bytes(MAX_SEALED_BYTES))
    assert ingest.next() == (topic, bytes(MAX_SEALED_BYTES))
    first.mqtt.publish(topic, bytes(2 * MAX_SEALED_BYTES), qos=1)
    assert first.happened.get(timeout=DEADLINE_S) == "disconnected"


# -- the ingest itself


class Running:
    """An ingest on the broker that can be ended and started again."""

    def __init__(self, broker: Broker, store: Store) -> None:
        self.ingest: Ingest | None = None
        self._broker, self._store = broker, store

    def start(self) -> Ingest:
        authority = self._broker.authority
        settings = BrokerSettings(port=self._broker.port)
        self.ingest = Ingest(self._store, settings, authority.folder, authority.receipt_key, lambda: NOW_MS)
        self._thread = threading.Thread(target=self.ingest.run)
        self._thread.start()
        return self.ingest

    def stop(self) -> None:
        if self.ingest is not None:
            self.ingest.stop()
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
            self.ingest = None


@pytest.fixture
def running(broker: Broker, sqlite_store: Store) -> Iterator[Running]:
    made = Running(broker, sqlite_store)
    made.start()
    yield made
    made.stop()
    # The broker keeps its session for it; the next test begins without.
    cleaner = Client(server_context(broker), INGEST_NAME)
    cleaner.connect(broker.port)
    cleaner.close()


@pytest.fixture
def car(broker: Broker, unit: Callable[..., Client], running: Running, sqlite_store: Store) -> tuple[Car, Client]:
    """A unit that is enrolled, connected, and heard for the first time: its batch 1 is receipted."""
    made = add_car(sqlite_store)
    client = unit(made.name)
    client.subscribe(RECEIPT.of(made.name))
    send(client, made.seal(sample(1)))
    while not receipted(broker, made, client, DEADLINE_S / 40, 1):  # the ingest may not have subscribed yet
        send(client, Arrival(BATCH.of(made.name), made.sealed[0]))
    return made, client


def send(client: Client, arrival: Arrival) -> None:
    client.publish(arrival.topic, arrival.payload)


def receipted(broker: Broker, car: Car, client: Client, within_s: float, sequence: int) -> Receipt | None:
    """The first receipt that names this sequence."""
    until = time.monotonic() + within_s
    while (left_s := until - time.monotonic()) > 0:
        with contextlib.suppress(queue.Empty):
            topic, payload = client.next(left_s)
            receipt = open_receipt(payload, car.name, [broker.authority.receipt_key.public_key()])
            assert topic == RECEIPT.of(car.name)
            if any(sequence in each for each in receipt.committed):
                return receipt
    return None


def test_batches_come_in_and_receipts_go_out(broker: Broker, car: tuple[Car, Client], running: Running) -> None:
    made, client = car
    for n in range(2, 6):
        send(client, made.seal(sample(n)))
    assert receipted(broker, made, client, DEADLINE_S, 5) == Receipt(
        made.name, made.boot, (SequenceRange(1, 5),), NOW_MS
    )
    assert [row["sealed"] for row in made.rows(batches)] == made.sealed
    send(client, Arrival(BATCH.of(made.name), b"nonsense"))
    send(client, made.seal(sample(6)))
    assert receipted(broker, made, client, DEADLINE_S, 6)
    assert running.ingest
    ingest = running.ingest
    running.stop()
    counts = ingest.counts
    assert (counts.batches, counts.samples, counts.refused, counts.refused_by_reason) == (6, 6, 1, {"malformed": 1})


def test_what_comes_while_the_ingest_is_away_waits(broker: Broker, car: tuple[Car, Client], running: Running) -> None:
    made, client = car
    running.stop()
    for n in (2, 3):
        send(client, made.seal(sample(n)))
    running.start()
    assert receipted(broker, made, client, DEADLINE_S, 3)
    assert len(made.rows(batches)) == 3


def test_while_the_store_fails_nothing_is_receipted_and_nothing_is_lost(
    broker: Broker, car: tuple[Car, Client], running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, client = car
    take, tried = intake.take, queue.Queue[int]()

    def fail_twice(store: Store, arrivals: list[Arrival], now_ms: int) -> Any:
        tried.put(len(arrivals))
        if tried.qsize() <= 2:
            raise OperationalError("INSERT", {}, Exception("the disk is full"))
        return take(store, arrivals, now_ms)

    monkeypatch.setattr(intake, "take", fail_twice)
    monkeypatch.setattr(mqtt_in, "_RETRY_S", 0.05)
    send(client, made.seal(sample(2)))
    assert receipted(broker, made, client, DEADLINE_S, 2) == Receipt(
        made.name, made.boot, (SequenceRange(1, 2),), NOW_MS
    )
    assert tried.qsize() >= 3


def test_an_ingest_that_is_ended_while_the_store_fails_leaves_the_batch_with_the_broker(
    broker: Broker, car: tuple[Car, Client], running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was never acknowledged, so the broker gives it to the next one."""
    made, client = car
    tried = threading.Event()

    def fail(*_: object) -> None:
        tried.set()
        raise OperationalError("INSERT", {}, Exception("the database is gone"))

    monkeypatch.setattr(intake, "take", fail)
    send(client, made.seal(sample(2)))
    assert tried.wait(DEADLINE_S)
    running.stop()
    monkeypatch.undo()
    assert len(made.rows(batches)) == 1
    running.start()
    assert receipted(broker, made, client, DEADLINE_S, 2)


# -- commands


def test_commands_go_out_until_they_are_answered(
    broker: Broker, car: tuple[Car, Client], running: Running, sqlite_store: Store
) -> None:
    """Given in another process, sent within about a second, and no more once the answer is stored."""
    made, client = car
    client.subscribe(COMMAND.of(made.name))
    with sqlite_store.write() as connection:
        order = checked_order("locate", {}, "客户失联两天")
        command_rows.issue(connection, made.lender_id, made.name, order, Issuer("wang"), b"i" * 16, NOW_MS)
    payload = client.next_on(COMMAND.of(made.name))
    assert open_command(payload, made.name, [broker.authority.receipt_key.public_key()]).id == b"i" * 16
    details = {"id": (b"i" * 16).hex(), "kind": "locate", "outcome": "done", "reason": ""}
    send(client, made.seal(events=[Event("command_answer", 1, NOW_MS, TimeQuality.GNSS, details)]))
    assert receipted(broker, made, client, DEADLINE_S, 2)
    with sqlite_store.read() as connection:
        [row] = command_rows.commands_of(connection, made.lender_id)
    assert (row.outcome, row.sends) == ("done", 1)


def test_what_the_broker_lost_is_sent_again_once_we_are_back(
    broker: Broker, car: tuple[Car, Client], running: Running, sqlite_store: Store
) -> None:
    """The ingest's clock stands still here, so only the new connection makes the command due."""
    made, client = car
    running.stop()  # or it might send the command itself, just now, before the unit has subscribed
    with sqlite_store.write() as connection:
        order = checked_order("status", {}, "")
        issued_ms = NOW_MS - 60_000
        command_rows.issue(connection, made.lender_id, made.name, order, Issuer("wang"), b"i" * 16, issued_ms)
        sent = {"sends": 7, "sent_ms": issued_ms, "next_send_ms": NOW_MS + 3_600_000}
        connection.execute(update(commands).values(sent))
    client.subscribe(COMMAND.of(made.name))
    running.start()
    payload = client.next_on(COMMAND.of(made.name))
    assert open_command(payload, made.name, [broker.authority.receipt_key.public_key()]).kind == "status"


@pytest.fixture
def observer(broker: Broker, clients: Callable[..., Client], tmp_path: Path) -> Client:
    """A client with a test bench's certificate."""
    key, stem = Ed25519PrivateKey.generate(), tmp_path / "observer"
    write_private_key(stem.with_suffix(".key"), key)
    stem.with_suffix(".crt").write_text(broker.authority.issue_observer(key.public_key(), NOW).pem)
    context = trusting(broker.authority)
    context.load_cert_chain(stem.with_suffix(".crt"), stem.with_suffix(".key"))
    client = clients(context, OBSERVER_NAME)
    assert client.connect(broker.port) == "connected", broker.log()
    return client


def test_an_observer_reads_batches_and_nothing_else(
    observer: Client, ingest: Client, unit: Callable[..., Client]
) -> None:
    car = unit(A)
    observer.subscribe(BATCH.everywhere(), RECEIPT.everywhere(), COMMAND.everywhere(), "#")
    ingest.publish(RECEIPT.of(A), b"a receipt")
    ingest.publish(COMMAND.of(A), b"a command")
    car.publish(BATCH.of(A), b"a batch")
    assert observer.next() == (BATCH.of(A), b"a batch")
    with pytest.raises(queue.Empty):
        observer.next(within_s=0.3)


def test_an_observer_writes_nothing(observer: Client, ingest: Client, unit: Callable[..., Client]) -> None:
    car = unit(A)
    car.subscribe(RECEIPT.of(A), COMMAND.of(A))
    for topic in (BATCH.of(A), RECEIPT.of(A), COMMAND.of(A)):
        observer.publish(topic, b"forged")
    ingest.publish(COMMAND.of(A), b"true")
    assert car.next() == (COMMAND.of(A), b"true")
    car.publish(BATCH.of(A), b"sealed")
    assert ingest.next() == (BATCH.of(A), b"sealed")
