"""The unit's key, what it takes home from enrolment."""

import base64
import datetime as dt
import json
import os
import re
import stat
import tomllib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from edge_agent.config import SECTIONS, ConfigError, read_config
from edge_agent.identity import Ports, accept_bundle, make_key, read_identity

ROOT = Path(__file__).parents[2]
UNIT = "PW000001"
SERVER_KEYS = [Ed25519PrivateKey.generate() for _ in range(2)]
PORTS = Ports("/dev/ttyAMA0", "/dev/ttyUSB0", 9600, 38_400)
GNSS_ONLY = Ports("/dev/ttyAMA0", None, gnss_baud=115_200)


def certificate(name: str, key: Ed25519PublicKey) -> str:
    """Signed by nobody in particular: the unit believes the folder that it is given, the broker checks."""
    authority = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(authority, None)
    )
    return built.public_bytes(serialization.Encoding.PEM).decode()


def raw(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def unit_key(folder: Path) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key((folder / "unit.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def bundle_for(folder: Path, **changes: Any) -> Path:
    bundle = {
        "bundle": 1,
        "unit": UNIT,
        "certificate": certificate(UNIT, unit_key(folder).public_key()),
        "authority": certificate("root", SERVER_KEYS[0].public_key()),
        "receipt_keys": [raw(key) for key in SERVER_KEYS],
        "broker": {"host": "mqtt.example.org", "port": 8884, "tls": True},
    }
    path = folder / "bundle.json"
    path.write_text(json.dumps(bundle | changes))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a key and no enrolment."""
    make_key(tmp_path / "unit", UNIT)
    return tmp_path / "unit"


# The key


def test_the_key_is_the_owners_alone_and_the_request_names_the_unit(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "unit"
    request_path = make_key(folder, UNIT)
    assert request_path == folder / "unit.csr"
    assert stat.S_IMODE((folder / "unit.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    request = x509.load_pem_x509_csr(request_path.read_bytes())
    assert request.is_signature_valid
    assert request.public_key() == unit_key(folder).public_key()
    assert [name.value for name in request.subject] == [UNIT]


def test_the_key_is_the_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        make_key(tmp_path, UNIT)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "unit.key").stat().st_mode) == 0o600


def test_a_key_that_is_there_is_kept(folder: Path) -> None:
    before = (folder / "unit.key").read_bytes()
    (folder / "unit.csr").unlink()
    make_key(folder, UNIT)
    assert (folder / "unit.key").read_bytes() == before
    assert (folder / "unit.csr").exists()


def test_two_units_have_two_keys(tmp_path: Path) -> None:
    make_key(tmp_path / "a", UNIT)
    make_key(tmp_path / "b", UNIT)
    assert (tmp_path / "a" / "unit.key").read_bytes() != (tmp_path / "b" / "unit.key").read_bytes()


@pytest.mark.parametrize("name", ["x", "a/b", "dev-+", "a.b", ""])
def test_a_name_that_no_unit_may_have_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a unit's name"):
        make_key(tmp_path / "unit", name)
    assert not (tmp_path / "unit").exists()


def pem(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "holds no Ed25519 key"),
    ],
)
def test_a_key_file_that_is_none_is_never_overwritten(folder: Path, content: bytes, reason: str) -> None:
    (folder / "unit.key").write_bytes(content)
    for act in (lambda: make_key(folder, UNIT), lambda: read_identity(folder)):
        with pytest.raises(ConfigError, match=reason):
            act()
    assert (folder / "unit.key").read_bytes() == content


# The bundle


def test_a_bundle_makes_a_unit_that_can_run(folder: Path) -> None:
    path = accept_bundle(folder, bundle_for(folder), PORTS)
    assert path == folder / "unit.toml"
    config = read_config(path)
    assert (config.unit, config.state_dir) == (UNIT, folder)
    assert (config.gnss.port, config.gnss.baud) == ("/dev/ttyAMA0", 9600)
    assert config.obd is not None
    assert (config.obd.port, config.obd.baud) == ("/dev/ttyUSB0", 38400)
    assert (config.broker.host, config.broker.port, config.broker.tls) == ("mqtt.example.org", 8884, True)
    identity = read_identity(folder)
    assert identity.key.public_key() == unit_key(folder).public_key()
    assert identity.receipt_keys == tuple(key.public_key() for key in SERVER_KEYS)
    bundle = json.loads((folder / "bundle.json").read_text())
    assert (folder / "unit.crt").read_text() == bundle["certificate"]
    assert (folder / "authority.crt").read_text() == bundle["authority"]


def test_without_an_adapter_the_unit_is_gnss_only(folder: Path) -> None:
    broker = {"host": "127.0.0.1", "port": 1883, "tls": False}
    config = read_config(accept_bundle(folder, bundle_for(folder, broker=broker), GNSS_ONLY))
    assert config.obd is None
    assert config.gnss.baud == 115_200
    assert config.broker.tls is False


def test_settings_that_are_there_are_kept_and_the_rest_is_renewed(folder: Path) -> None:
    path = accept_bundle(folder, bundle_for(folder), PORTS)
    path.write_text(path.read_text().replace("# max_mib = 512", "max_mib = 64"))
    accept_bundle(folder, bundle_for(folder, receipt_keys=[raw(SERVER_KEYS[1])]), GNSS_ONLY)
    config = read_config(path)
    assert config.outbox.max_mib == 64
    assert config.obd is not None
    assert read_identity(folder).receipt_keys == (SERVER_KEYS[1].public_key(),)


def test_a_bundle_for_another_key_is_refused_and_changes_nothing(folder: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "other", UNIT)
    bundle = bundle_for(tmp_path / "other")
    before = sorted(each.name for each in folder.iterdir())
    with pytest.raises(ConfigError, match=r"was made for another key than .*unit\.key"):
        accept_bundle(folder, bundle, PORTS)
    assert sorted(each.name for each in folder.iterdir()) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"certificate": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"},
        {"certificate": None},
        {"authority": "no certificate"},
        {"authority": None},
        {"receipt_keys": []},
        {"receipt_keys": None},
        {"receipt_keys": ["AAAA"]},
        {"receipt_keys": ["&" * 44]},
        {"receipt_keys": [raw(SERVER_KEYS[0])[:20] + "\n" + raw(SERVER_KEYS[0])[20:]]},
        {"broker": {}},
        {"broker": None},
        {"broker": {"host": "h", "port": "many", "tls": True}},
    ],
)
def test_a_damaged_bundle_is_refused_and_changes_nothing(folder: Path, changes: dict[str, Any]) -> None:
    bundle = bundle_for(folder, **changes)
    before = sorted(each.name for each in folder.iterdir())
    with pytest.raises(ConfigError, match=r"bundle\.json is not a bundle from 'pledgewatch fleet add'"):
        accept_bundle(folder, bundle, PORTS)
    assert sorted(each.name for each in folder.iterdir()) == before


@pytest.mark.parametrize("content", [b"", b"[]", b"5", b"{", b"\xff\xff", b'{"certificate": "x"}'])
def test_another_file_is_no_bundle(folder: Path, content: bytes) -> None:
    path = folder / "bundle.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not a bundle"):
        accept_bundle(folder, path, PORTS)
    with pytest.raises(ConfigError, match="is not a bundle"):
        accept_bundle(folder, folder / "nowhere.json", PORTS)


def test_a_bundle_before_the_key_says_what_comes_first(folder: Path) -> None:
    bundle = bundle_for(folder)
    (folder / "unit.key").unlink()
    with pytest.raises(ConfigError, match="'pledgewatch-agent provision --unit NAME' makes the unit's key"):
        accept_bundle(folder, bundle, PORTS)


@pytest.mark.parametrize("ports", [PORTS, GNSS_ONLY])
def test_the_file_shows_every_other_setting_with_its_default(folder: Path, ports: Ports) -> None:
    path = accept_bundle(folder, bundle_for(folder), ports)
    before = read_config(path)
    path.write_text(re.sub(r"^# (?=\[|\w+ = )", "", path.read_text(), flags=re.MULTILINE))
    shown = tomllib.loads(path.read_text())
    assert {name: shown[name].keys() for name in SECTIONS} == {
        name: {each.name for each in fields(kind)} for name, kind in SECTIONS.items()
    }
    assert replace(read_config(path), obd=before.obd) == before


def test_the_unit_knows_the_vin_that_it_is_bound_to(folder: Path) -> None:
    config = read_config(accept_bundle(folder, bundle_for(folder, vin="LSVPW5000T2000001"), PORTS))
    assert config.vehicle.vin == "LSVPW5000T2000001"


# Not provisioned


def test_without_a_key_the_unit_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unit\.key is missing; 'pledgewatch-agent provision --unit NAME'"):
        read_identity(tmp_path)


def test_without_enrolment_the_unit_says_how_to_get_it(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"no enrolment; give unit\.csr to 'pledgewatch fleet add --csr'.*--accept"):
        read_identity(folder)


@pytest.mark.parametrize(
    ("content", "reason"), [("", "is empty"), ("\n", "is empty"), ("AAAA\n", "is damaged"), ("&&&&\n", "is damaged")]
)
def test_receipt_keys_that_are_none_are_refused(folder: Path, content: str, reason: str) -> None:
    (folder / "receipt_keys").write_text(content)
    with pytest.raises(ConfigError, match=reason):
        read_identity(folder)
