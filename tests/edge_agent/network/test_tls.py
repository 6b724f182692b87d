"""Certificates against what is known of the time: the pure check, then real paho against a real Mosquitto."""

import datetime as dt
import ipaddress
import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from edge_agent.config import BrokerConfig, ConfigError
from edge_agent.network.tls import WARN_DAYS, CheckedTls, Validity, fault
from edge_agent.network.uplink import Pauses, Uplink
from edge_agent.timing.clock import utc_ms
from edge_agent.timing.receipt_time import TimeBounds
from wire.topics import RECEIPT

UNIT = "PW000001"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
NOW_MS = utc_ms(NOW)
DAY = dt.timedelta(days=1)
DAY_MS = 86_400_000


# -- pure

CHAIN = (Validity("CN=broker", 1000, 1999), Validity("CN=root", 0, 5999))


@pytest.mark.parametrize(
    ("earliest_ms", "latest_ms", "wrong"),
    [
        (1000, None, None),
        (1999, None, None),
        (2000, None, "CN=broker expired"),
        (6000, None, "CN=broker expired"),
        (0, None, None),  # not before this: it may well be later
        (0, 1000, None),
        (0, 999, "CN=broker is valid from"),
        (1500, 3000, None),  # perhaps expired is not certainly expired
    ],
)
def test_only_what_is_certain_is_a_fault(earliest_ms: int, latest_ms: int | None, wrong: str | None) -> None:
    bounds = TimeBounds(earliest_ms - 7000, None if latest_ms is None else latest_ms - 7000)
    found = fault(CHAIN, bounds, 7.0)
    assert found is wrong if wrong is None else wrong in (found or "")


def test_every_certificate_of_the_chain_counts() -> None:
    assert "CN=root expired" in (fault((Validity("CN=broker", 0, 10**13), CHAIN[1]), TimeBounds(6000), 0.0) or "")
    assert fault((), TimeBounds(10**13), 0.0) is None


# -- an authority with any dates


@dataclass(frozen=True)
class Span:
    """From so many days to so many days after now."""

    first: float
    last: float


VALID, EXPIRED, NOT_YET = Span(-100, 100), Span(-100, -10), Span(10, 100)


class Authority:
    """Issues certificates of any validity, and lays them where broker and unit look for them."""

    def __init__(self, folder: Path, span: Span = Span(-1000, 1000)) -> None:
        self.folder, self._key = folder, Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        builder = self._builder(self._name, self._key, span)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self._write("authority", builder)

    def issue(self, file: str, name: str, span: Span, host: str | None = None) -> None:
        key = Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(subject, key, span)
        if host:
            address = x509.IPAddress(ipaddress.ip_address(host))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        self._write(file, builder)
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.folder / f"{file}.key").write_bytes(key.private_bytes(*pem))

    def _builder(self, name: x509.Name, key: Ed25519PrivateKey, span: Span) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(NOW + span.first * DAY).not_valid_after(NOW + span.last * DAY)

    def _write(self, file: str, builder: x509.CertificateBuilder) -> None:
        pem = builder.sign(self._key, None).public_bytes(serialization.Encoding.PEM)
        (self.folder / f"{file}.crt").write_bytes(pem)


def until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


class World:
    """A broker with mutual TLS, and the unit's uplink to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ups = self.downs = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self.uplinks: list[Uplink] = []
        self.authority = Authority(folder)
        self.authority.issue("unit", UNIT, VALID)

    def broker(self, span: Span, host: str = "127.0.0.1", port: int = 0) -> int:
        """Start it with a certificate of this validity; its port (0: any)."""
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.skip("mosquitto is not installed ('make packages' installs it)")
        self.authority.issue("broker", "broker", span, host)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            port = int(probe.getsockname()[1])
        files = {"cafile": "authority.crt", "certfile": "broker.crt", "keyfile": "broker.key"}
        lines = [f"listener {port} 127.0.0.1", *(f"{name} {self.folder / file}" for name, file in files.items())]
        if os.geteuid() == 0:
            lines.append("user root")  # it would give up its rights before it reads its key
        settings = self.folder / "mosquitto.conf"
        settings.write_text(
            "\n".join([*lines, "require_certificate true", "allow_anonymous true", "log_dest none", ""])
        )
        self.processes.append(subprocess.Popen([program, "-c", settings]))

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(answers)
        return port

    def uplink(self, port: int, bounds: TimeBounds) -> Uplink:
        """Bounds are UTC: this unit's monotonic clock stands at 0."""
        uplink = Uplink(
            UNIT,
            BrokerConfig("127.0.0.1", port),
            self.folder,
            self._up,
            self._down,
            {RECEIPT: lambda _: None},
            bounds,
            monotonic_s=lambda: 0.0,
        )
        self.uplinks.append(uplink)
        uplink.start()
        return uplink

    def _up(self) -> None:
        self.ups += 1

    def _down(self) -> None:
        self.downs += 1

    def end(self) -> None:
        for uplink in self.uplinks:
            uplink.stop()
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(Pauses, "next_s", lambda _: 0.05)
    made = World(tmp_path)
    yield made
    made.end()


def refused(uplink: Uplink) -> int:
    facts = uplink.tls_facts
    assert facts is not None
    return facts.refused


# -- before the first receipt: against the floor


@pytest.mark.parametrize(
    ("span", "floor_days"), [(VALID, 0), (VALID, -90), (EXPIRED, -11), (EXPIRED, -5000), (NOT_YET, -5000), (NOT_YET, 0)]
)
def test_what_has_not_expired_before_the_floor_is_let_in(world: World, span: Span, floor_days: int) -> None:
    """Also a broker whose certificate was made after the unit's floor, and one that expired since: nobody knows."""
    uplink = world.uplink(world.broker(span), TimeBounds(NOW_MS + floor_days * DAY_MS))
    until(lambda: world.ups)
    facts = uplink.tls_facts
    assert facts is not None
    assert (facts.checked_against, facts.refused, facts.last_refusal) == ("floor", 0, None)
    assert facts.broker_not_after_ms == utc_ms(NOW + span.last * DAY) + 999
    assert facts.own_not_after_ms == utc_ms(NOW + 100 * DAY) + 999
    assert facts.own_days_left == pytest.approx(100 - floor_days, abs=0.01)


def test_what_expired_before_the_floor_is_refused(world: World, caplog: pytest.LogCaptureFixture) -> None:
    uplink = world.uplink(world.broker(EXPIRED), TimeBounds(NOW_MS))
    until(lambda: refused(uplink) >= 2)  # and tried again
    assert (world.ups, world.downs) == (0, 0)
    assert "the broker is not trusted: CN=broker expired" in caplog.text


def test_the_system_clock_has_no_say(world: World) -> None:
    """This machine's clock says that the broker's certificate is valid; what the unit knows says that it expired."""
    uplink = world.uplink(world.broker(VALID), TimeBounds(NOW_MS + 101 * DAY_MS))
    until(lambda: refused(uplink))
    assert world.ups == 0


def test_an_authority_that_expired_is_refused_too(world: World) -> None:
    world.authority = Authority(world.folder, Span(-1000, -20))
    world.authority.issue("unit", UNIT, VALID)
    uplink = world.uplink(world.broker(VALID), TimeBounds(NOW_MS))
    until(lambda: refused(uplink))
    facts = uplink.tls_facts
    assert facts is not None
    assert "CN=test authority expired" in (facts.last_refusal or "")
    assert world.ups == 0


def test_chain_and_host_name_are_still_checked(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    uplink = world.uplink(world.broker(VALID, host="127.0.0.2"), TimeBounds(0))
    until(lambda: "IP address mismatch" in caplog.text)
    uplink.stop()
    port = world.broker(VALID)
    Authority(world.folder)  # another one takes the unit's trust
    world.uplink(port, TimeBounds(0))
    until(lambda: "certificate verify failed" in caplog.text.replace("IP address mismatch", ""))
    assert world.ups == 0


# -- after a receipt: strictly


def test_a_receipt_confirms_a_good_connection(world: World) -> None:
    uplink = world.uplink(world.broker(VALID), TimeBounds(0))
    until(lambda: world.ups)
    assert uplink.told(TimeBounds(NOW_MS, NOW_MS + 60_000))
    facts = uplink.tls_facts
    assert facts is not None
    assert (facts.checked_against, facts.refused) == ("receipt", 0)
    assert facts.own_days_left == pytest.approx(100, abs=0.01)
    assert (world.ups, world.downs) == (1, 0)


@pytest.mark.parametrize(("span", "says"), [(EXPIRED, "expired"), (NOT_YET, "is valid from")])
def test_a_receipt_that_shows_a_bad_certificate_ends_the_connection(
    world: World, span: Span, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    uplink = world.uplink(world.broker(span), TimeBounds(NOW_MS - 5000 * DAY_MS))
    until(lambda: world.ups)
    assert not uplink.told(TimeBounds(NOW_MS, NOW_MS + 60_000))
    until(lambda: world.downs)
    assert says in caplog.text
    assert refused(uplink) == 1
    facts = uplink.tls_facts
    assert facts is not None
    assert facts.checked_against == "floor"  # its time does not count, or a wrong server clock would lock the unit out
    until(lambda: world.ups == 2)


def test_after_a_receipt_the_next_handshake_is_strict(world: World) -> None:
    port = world.broker(VALID)
    uplink = world.uplink(port, TimeBounds(0))
    until(lambda: world.ups)
    assert uplink.told(TimeBounds(NOW_MS, NOW_MS + 60_000))
    world.processes[0].kill()
    until(lambda: world.downs)
    world.processes[0].wait()
    world.broker(NOT_YET, port=port)
    until(lambda: refused(uplink))
    assert world.ups == 1


def test_a_unit_s_own_certificate_is_warned_of_in_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority, now_s = Authority(tmp_path), 0.0
    authority.issue("unit", UNIT, Span(-1, 100))
    tls = CheckedTls(tmp_path, TimeBounds(0), lambda: now_s)
    assert tls.told(TimeBounds(NOW_MS + (100 - WARN_DAYS) * DAY_MS))
    assert caplog.text == ""
    for _ in range(3):
        assert tls.told(TimeBounds(NOW_MS + (100 - WARN_DAYS) * DAY_MS + 2000))
    assert caplog.text.count("certificate expires in 30 days") == 1
    now_s = 86_400.0
    assert tls.told(TimeBounds(NOW_MS + 101 * DAY_MS))
    assert caplog.text.count("certificate expires in -2 days") == 1


@pytest.mark.parametrize("content", [b"", b"no certificate\n"])
def test_certificates_that_cannot_be_used(tmp_path: Path, content: bytes) -> None:
    authority = Authority(tmp_path)
    authority.issue("unit", UNIT, VALID)
    CheckedTls(tmp_path, TimeBounds(0), time.monotonic)
    (tmp_path / "unit.crt").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be used"):
        CheckedTls(tmp_path, TimeBounds(0), time.monotonic)
