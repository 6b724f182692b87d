"""What `pledgewatch observer` writes, by its command line; and the clock that a bench steers."""

import base64
import json
import struct
import time
import zlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from server.__main__ import main
from server.bench_clock import clock_of
from server.config import ConfigError


def clock_file(path: Path, utc_s: float, rate: float = 1.0) -> Path:
    told = struct.pack("<dddd8x", time.monotonic(), 5.0, utc_s, rate)
    path.write_bytes(told + struct.pack("<I", zlib.crc32(told)) + b"PWC1")
    return path


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    assert main(["init", "--dir", str(folder)]) == 0
    return folder / "server.toml"


def enrol(server: Path, unit: str, key: Ed25519PrivateKey, *clock: str) -> None:
    pem = server.parent / f"{unit}.pem"
    pem.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    words = ["--config", str(server), *clock, "fleet", "add", "--lender", "甲", "--vin", "LSVPW5000T2000001"]
    assert main([*words, "--unit", unit, "--public-key", str(pem), "--out", str(server.parent / f"{unit}.json")]) == 0


def test_it_names_the_broker_and_every_units_key(server: Path, tmp_path: Path) -> None:
    keys = {unit: Ed25519PrivateKey.generate() for unit in ("PW000001", "PW000002")}
    for unit, key in keys.items():
        enrol(server, unit, key)
    out = tmp_path / "observer"
    assert main(["--config", str(server), "observer", "--out", str(out)]) == 0
    told = json.loads((out / "observer.json").read_text())
    assert told["broker"] == {"host": "127.0.0.1", "port": 8883, "tls": True}
    assert told["units"] == {
        unit: base64.b64encode(key.public_key().public_bytes_raw()).decode() for unit, key in keys.items()
    }
    root = x509.load_pem_x509_certificate((out / "authority.crt").read_bytes())
    own = x509.load_pem_x509_certificate((out / "observer.crt").read_bytes())
    own.verify_directly_issued_by(root)
    assert own.subject.rfc4514_string() == "CN=server.observer"
    key = serialization.load_pem_private_key((out / "observer.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    public = own.public_key()
    assert isinstance(public, Ed25519PublicKey)
    assert key.public_key().public_bytes_raw() == public.public_bytes_raw()
    assert (out / "observer.key").stat().st_mode & 0o077 == 0


def test_again_keeps_the_key_and_tells_new_units(server: Path, tmp_path: Path) -> None:
    out = tmp_path / "observer"
    assert main(["--config", str(server), "observer", "--out", str(out)]) == 0
    first = (out / "observer.key").read_bytes()
    assert json.loads((out / "observer.json").read_text())["units"] == {}
    enrol(server, "PW000009", Ed25519PrivateKey.generate())
    assert main(["--config", str(server), "observer", "--out", str(out)]) == 0
    assert (out / "observer.key").read_bytes() == first
    assert list(json.loads((out / "observer.json").read_text())["units"]) == ["PW000009"]


def test_the_broker_lets_the_observer_read_batches_only(server: Path) -> None:
    rules = (server.parent / "mosquitto" / "access.acl").read_text().split("user server.observer\n")[1]
    assert rules.split() == ["topic", "read", "pw/1/+/+/batch"]


def test_certificates_begin_by_the_benchs_clock(tmp_path: Path) -> None:
    clock = ["--bench-clock", str(clock_file(tmp_path / "clock", 1_790_000_000.0, 0.0))]
    assert main([*clock, "init", "--dir", str(tmp_path / "server")]) == 0
    root = x509.load_pem_x509_certificate((tmp_path / "server" / "authority" / "authority.crt").read_bytes())
    assert root.not_valid_before_utc.timestamp() == 1_790_000_000 - 2 * 86400


def test_the_clock_runs_from_its_anchor_at_its_rate(tmp_path: Path) -> None:
    assert clock_of(clock_file(tmp_path / "a", 1_790_000_000.0, 0.0))() == 1_790_000_000_000
    before_s = time.monotonic()
    now_ms = clock_of(clock_file(tmp_path / "b", 1_790_000_000.0, 1000.0))()
    assert 1_790_000_000_000 <= now_ms <= 1_790_000_000_000 + round((time.monotonic() - before_s) * 1e6) + 1


def test_a_file_that_is_no_clock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clock").write_bytes(b"x" * 48)
    for path in (tmp_path / "clock", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=path.name):
            clock_of(path)
