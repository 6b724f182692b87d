"""The MQTT connection where no certificates are needed; with them: test_tls.py, and whole journeys."""

import datetime as dt
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.config import BrokerConfig, ConfigError
from edge_agent.network.uplink import Pauses, Uplink
from edge_agent.timing.receipt_time import TimeBounds
from wire.topics import RECEIPT, Topic

UNIT = "PW000001"
OTHER = Topic("other", "pw/1/{bucket}/{unit}/other", "down", qos=1, retain=False, payload="")


def until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


def pem(key: Ed25519PrivateKey) -> bytes:
    private = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())


def certificate(key: Ed25519PrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, UNIT)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(key, None).public_bytes(serialization.Encoding.PEM)


class Heard:
    def __init__(self) -> None:
        self.ups = self.downs = 0
        self.receipts: list[bytes] = []
        self.others: list[bytes] = []

    def uplink(self, broker: BrokerConfig, folder: Path = Path("/nowhere")) -> Uplink:
        heard = {RECEIPT: self.receipts.append, OTHER: self._other}
        return Uplink(UNIT, broker, folder, self._up, self._down, heard, TimeBounds(0))

    def _other(self, data: bytes) -> None:
        if data == b"bad":
            raise ZeroDivisionError
        self.others.append(data)

    def _up(self) -> None:
        self.ups += 1

    def _down(self) -> None:
        self.downs += 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a certificate and a key that belong together."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "unit.key").write_bytes(pem(key))
    (tmp_path / "unit.crt").write_bytes(certificate(key))
    (tmp_path / "authority.crt").write_bytes(certificate(Ed25519PrivateKey.generate()))
    return tmp_path


# Certificates


def test_good_certificates_are_taken(folder: Path) -> None:
    Heard().uplink(BrokerConfig("127.0.0.1"), folder)


@pytest.mark.parametrize("file", ["authority.crt", "unit.crt", "unit.key"])
@pytest.mark.parametrize("content", [None, b"", b"no certificate\n", certificate(Ed25519PrivateKey.generate())[:90]])
def test_a_bad_certificate_file_is_a_matter_of_settings(folder: Path, file: str, content: bytes | None) -> None:
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    with pytest.raises(ConfigError, match=r"certificates in .* cannot be used"):
        Heard().uplink(BrokerConfig("127.0.0.1"), folder)


def test_a_certificate_for_another_key_is_one_too(folder: Path) -> None:
    (folder / "unit.key").write_bytes(pem(Ed25519PrivateKey.generate()))
    with pytest.raises(ConfigError, match="cannot be used"):
        Heard().uplink(BrokerConfig("127.0.0.1"), folder)


def test_without_tls_no_certificate_is_asked_for() -> None:
    Heard().uplink(BrokerConfig("127.0.0.1", tls=False))


# The connection


def test_without_a_connection_nothing_is_taken() -> None:
    assert Heard().uplink(BrokerConfig("127.0.0.1", tls=False)).send(b"batch") is False


@pytest.fixture
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


def stopped_within_s(uplink: Uplink) -> float:
    began_s = time.monotonic()
    uplink.stop()
    return time.monotonic() - began_s


def test_leaving_does_not_wait_for_a_connection_that_nobody_answers(unreachable: int) -> None:
    heard = Heard()
    uplink = heard.uplink(BrokerConfig("127.0.0.1", unreachable, tls=False))
    before = set(threading.enumerate())
    uplink.start()
    until(lambda: set(threading.enumerate()) - before)
    assert stopped_within_s(uplink) < 1.0
    assert (heard.ups, heard.downs) == (0, 0)


def test_leaving_does_not_wait_for_a_name_that_nobody_resolves(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, resolved = threading.Event(), threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        asked.set()
        resolved.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    heard = Heard()
    before = set(threading.enumerate())
    uplink = heard.uplink(BrokerConfig("broker.example", 1883, tls=False))
    uplink.start()
    assert asked.wait(10)
    assert stopped_within_s(uplink) < 1.0
    assert not uplink.send(b"batch")
    resolved.set()
    until(lambda: set(threading.enumerate()) <= before)  # the thread that was left behind ends by itself
    assert (heard.ups, heard.downs) == (0, 0)


def test_leaving_does_not_wait_for_a_handshake_that_nobody_answers(folder: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uplink = Heard().uplink(BrokerConfig("127.0.0.1", silent.getsockname()[1]), folder)
        uplink.start()
        connection, _ = silent.accept()
        with connection:
            assert connection.recv(1)  # its ClientHello
            assert stopped_within_s(uplink) < 1.0


def test_leaving_ends_a_pause_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    pausing = threading.Event()

    def pause(_: Pauses) -> float:
        pausing.set()
        return 3600.0

    monkeypatch.setattr(Pauses, "next_s", pause)
    before = set(threading.enumerate())
    uplink = Heard().uplink(BrokerConfig("127.0.0.1", port, tls=False))
    uplink.start()
    assert pausing.wait(10)
    assert stopped_within_s(uplink) < 1.0
    until(lambda: set(threading.enumerate()) <= before)


def test_a_connection_that_comes_up_while_leaving_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, heard = Broker(tmp_path, anonymous=True), Heard()
    asked, resolved, resolve = threading.Event(), threading.Event(), socket.getaddrinfo

    def slowly(*arguments: Any, **named: Any) -> Any:
        asked.set()
        resolved.wait()
        return resolve(*arguments, **named)

    before = set(threading.enumerate())
    try:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", slowly)
            uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False))
            uplink.start()
            assert asked.wait(10)
            uplink.stop()
            resolved.set()
            until(lambda: set(threading.enumerate()) <= before)
        assert (heard.ups, heard.downs) == (0, 0)
    finally:
        broker.kill()


# Pauses


@pytest.mark.parametrize(("dice", "share"), [(0.0, 0.25), (1.0, 1.0)])
def test_pauses_double_up_to_a_minute(dice: float, share: float) -> None:
    pauses, seen = Pauses(lambda: dice), []
    assert pauses.next_s() == 0.0
    for _ in range(40):
        pauses.failed(refused=False)
        seen.append(pauses.next_s() / share)
    assert seen == [4.0, 8.0, 16.0, 32.0] + [60.0] * 36


def test_refusals_in_a_row_cost_more_than_a_network_that_comes_and_goes() -> None:
    pauses = Pauses(lambda: 1.0)
    for _ in range(50):
        pauses.failed(refused=False)
    pauses.failed(refused=True)
    assert pauses.next_s() == 60.0
    for _ in range(50):
        pauses.failed(refused=True)
    assert pauses.next_s() == 1800.0
    pauses.failed(refused=False)
    assert pauses.next_s() == 60.0


def test_after_a_good_connection_pauses_begin_anew() -> None:
    pauses = Pauses(lambda: 1.0)
    for _ in range(9):
        pauses.failed(refused=True)
    pauses.held()
    assert pauses.next_s() == 0.0
    pauses.failed(refused=False)
    assert pauses.next_s() == 4.0


def test_units_that_lost_their_broker_together_come_back_spread_out() -> None:
    pauses = [Pauses() for _ in range(400)]
    for each in pauses:
        each.failed(refused=False)
    waited_s = sorted(each.next_s() for each in pauses)
    assert waited_s[0] >= 1.0
    assert waited_s[-1] <= 4.0
    assert max(sum(low <= each < low + 0.5 for each in waited_s) for low in (1, 1.5, 2, 2.5, 3, 3.5)) < 140


class Broker:
    def __init__(self, folder: Path, anonymous: bool) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed ('make packages' installs it)")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        settings = folder / "mosquitto.conf"
        settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous {anonymous}\nlog_dest none\n".lower())
        self._program, self._settings = program, settings
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([self._program, "-c", self._settings])
        until(self._answers)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def test_a_broker_that_refuses_the_unit_is_not_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    heard, broker = Heard(), Broker(tmp_path, anonymous=False)
    uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False))
    try:
        uplink.start()
        until(lambda: "refuses this unit: Not authorized" in caplog.text)
        assert heard.ups == 0
    finally:
        uplink.stop()
        broker.kill()


def test_up_and_down_are_told_and_nothing_is_taken_while_down(tmp_path: Path) -> None:
    heard, broker = Heard(), Broker(tmp_path, anonymous=True)
    uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False))
    try:
        uplink.start()
        until(lambda: heard.ups)
        assert uplink.send(b"batch")
        broker.kill()
        until(lambda: heard.downs)
        assert not uplink.send(b"batch")
        assert heard.ups == 1
    finally:
        uplink.stop()
        broker.kill()


def published(broker: Broker, *messages: tuple[str, bytes]) -> None:
    """Somebody publishes."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    for topic, data in messages:
        client.publish(topic, data, qos=1).wait_for_publish(20)
    client.disconnect()
    client.loop_stop()


def test_each_topic_has_its_callback_and_a_callback_that_fails_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard, broker = Heard(), Broker(tmp_path, anonymous=True)
    uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False))
    try:
        uplink.start()
        until(lambda: heard.ups)
        own, other, foreign = RECEIPT.of(UNIT), OTHER.of(UNIT), RECEIPT.of("PW000002")
        published(broker, (own, b"1"), (other, b"bad"), (foreign, b"x"), (other, b"2"), (own, b"3"))
        until(lambda: len(heard.receipts) == 2 and heard.others)
        assert (heard.receipts, heard.others) == ([b"1", b"3"], [b"2"])
        assert "could not be handled" in caplog.text
        assert uplink.tls_facts is None
        assert uplink.told(TimeBounds(10**13))  # without certificates there is nothing to check
        assert heard.downs == 0
    finally:
        uplink.stop()
        broker.kill()


def test_a_broker_that_comes_back_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pauses, "next_s", lambda _: 0.05)
    heard, broker = Heard(), Broker(tmp_path, anonymous=True)
    uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False))
    try:
        uplink.start()
        until(lambda: heard.ups)
        broker.kill()
        until(lambda: heard.downs)
        broker.start()
        until(lambda: heard.ups == 2)
        published(broker, (RECEIPT.of(UNIT), b"again"))
        until(lambda: heard.receipts == [b"again"])
        assert uplink.send(b"batch")
        assert stopped_within_s(uplink) < 1.0
    finally:
        uplink.stop()
        broker.kill()


def test_a_pause_longer_than_the_keepalive_does_not_end_the_next_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paho counts the keepalive of a connection from before `on_pre_connect`."""
    monkeypatch.setattr(Pauses, "next_s", lambda _: 6.5)
    heard, broker = Heard(), Broker(tmp_path, anonymous=True)
    broker.kill()
    uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False, keepalive_s=5))
    try:
        uplink.start()
        until(lambda: uplink._pauses._failures)
        broker.start()
        until(lambda: heard.ups)
        connection = uplink._client.socket()
        pings: list[str] = []
        uplink._client.on_log = lambda _client, _data, _level, text: pings.append(text) if "PING" in text else None
        until(lambda: "Received PINGRESP" in pings)  # its first keepalive is over
        assert (heard.ups, heard.downs) == (1, 0)
        assert uplink._client.socket() is connection
    finally:
        uplink.stop()
        broker.kill()


def test_a_dead_connection_is_found_out_by_tcp_within_a_minute(tmp_path: Path) -> None:
    heard, broker = Heard(), Broker(tmp_path, anonymous=True)
    uplink = heard.uplink(BrokerConfig("127.0.0.1", broker.port, tls=False))
    try:
        uplink.start()
        until(lambda: heard.ups)
        connection: Any = uplink._client.socket()
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
    finally:
        uplink.stop()
        broker.kill()
