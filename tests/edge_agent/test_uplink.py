"""The MQTT connection where no certificates are needed; with them it is tested on whole journeys."""

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

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from edge_agent.config import BrokerConfig, ConfigError
from edge_agent.uplink import Uplink, _watch_over

UNIT = "PW000001"


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

    def uplink(self, broker: BrokerConfig, folder: Path = Path("/nowhere")) -> Uplink:
        return Uplink(UNIT, broker, folder, self._up, self._down, self.receipts.append)

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


def test_a_dead_connection_is_found_out_by_tcp_within_a_minute() -> None:
    with socket.socket() as connection:
        _watch_over(None, None, connection)  # type: ignore[arg-type]
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


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


def test_leaving_does_not_wait_for_a_connection_that_nobody_answers(unreachable: int) -> None:
    heard = Heard()
    uplink = heard.uplink(BrokerConfig("127.0.0.1", unreachable, tls=False))
    before = set(threading.enumerate())
    uplink.start()
    until(lambda: set(threading.enumerate()) - before)
    began_s = time.monotonic()
    uplink.stop()
    assert time.monotonic() - began_s < 1.0
    assert (heard.ups, heard.downs) == (0, 0)


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
        self._process = subprocess.Popen([program, "-c", settings])
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
