"""Enrolment: a unit's key becomes known once, for one lender, in one vehicle; a refusal changes nothing."""

import base64
import datetime as dt
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import select

from server.config import BrokerSettings
from server.fleet.authority import Authority, AuthorityError
from server.fleet.enrolment import Enrolment, enrol
from server.live import Verdict, take
from server.store import fleet_rows
from server.store.db import Store
from server.store.tables import certificates, lenders, unit_assignments, units, vehicles
from tests.server.cars import Car, everything, sample
from wire.records import Receipt
from wire.seal import open_receipt, seal_receipt

NOW = dt.datetime(2026, 11, 23, 8, 15, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp() * 1000)
VIN, OTHER_VIN = "LSVAA4188E2100018", "LGBH52E03KY012345"
BROKER = BrokerSettings(host="127.0.0.1", port=18883, tls=True, public_host="broker.example.org")
KEY = Ed25519PrivateKey.generate()


def public_pem(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


WANTED = Enrolment("甲汽车金融", VIN, "PW000001", public_pem(KEY), plate="京A·12345", label="朗逸")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"), ["127.0.0.1"], NOW)


def refuse(store: Store, authority: Authority, wanted: Enrolment, match: str) -> None:
    before = everything(store)
    with pytest.raises(AuthorityError, match=match):
        enrol(store, authority, BROKER, wanted, NOW)
    assert everything(store) == before


def test_the_bundle_is_what_the_unit_needs(store: Store, authority: Authority) -> None:
    bundle = enrol(store, authority, BROKER, WANTED, NOW)
    certificate = x509.load_pem_x509_certificate(bundle.pop("certificate").encode())
    assert certificate.public_key() == KEY.public_key()
    assert certificate.subject.rfc4514_string() == "CN=PW000001"
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(bundle["authority"].encode()))
    pinned = [Ed25519PublicKey.from_public_bytes(base64.b64decode(key)) for key in bundle.pop("receipt_keys")]
    receipt = Receipt("PW000001", bytes(16), (), NOW_MS)
    assert open_receipt(seal_receipt(authority.receipt_key, receipt), "PW000001", pinned) == receipt
    assert bundle == {
        "bundle": 1,
        "unit": "PW000001",
        "vin": VIN,
        "authority": authority.root_pem,
        "broker": {"host": "broker.example.org", "port": 18883, "tls": True},
        "server_time_ms": NOW_MS,
    }


def test_an_enrolled_unit_is_heard(store: Store, authority: Authority) -> None:
    enrol(store, authority, BROKER, WANTED, NOW)
    with store.read() as connection:
        unit = fleet_rows.active_units(connection, ["PW000001"])["PW000001"]
        keys = fleet_rows.keys_of(connection, ["PW000001"])
        row = connection.execute(select(vehicles)).one()
        assert connection.scalar(select(lenders.c.name).where(lenders.c.id == row.lender_id)) == "甲汽车金融"
        [listed] = fleet_rows.all_units(connection)
    assert (unit.lender_id, unit.vehicle_id, keys) == (row.lender_id, row.id, {"PW000001": KEY.public_key()})
    assert (row.vin, row.plate, row.label) == (VIN, "京A·12345", "朗逸")
    assert (listed.name, listed.lender, listed.vin, listed.active) == ("PW000001", "甲汽车金融", VIN, True)
    car = Car(store, unit.lender_id, unit.id, unit.vehicle_id, unit.name, KEY)
    outcomes, _ = take(store, [car.seal(sample(1))], NOW_MS)
    assert outcomes[0].verdict is Verdict.STORED


def test_certificates_are_kept(store: Store, authority: Authority) -> None:
    bundles = [enrol(store, authority, BROKER, WANTED, NOW + dt.timedelta(days=n)) for n in range(2)]
    with store.read() as connection:
        rows = list(connection.execute(select(certificates).order_by(certificates.c.id)))
        assert len(list(connection.execute(select(units)))) == 1
        assert len(list(connection.execute(select(unit_assignments)))) == 1
    assert [row.pem for row in rows] == [bundle["certificate"] for bundle in bundles]
    for row in rows:
        found = x509.load_pem_x509_certificate(row.pem.encode())
        assert row.serial == f"{found.serial_number:x}"
        assert row.not_after_ms == int(found.not_valid_after_utc.timestamp() * 1000)
    assert rows[0].serial != rows[1].serial


def test_another_vehicle_of_the_lender_moves_the_unit(store: Store, authority: Authority) -> None:
    enrol(store, authority, BROKER, WANTED, NOW)
    enrol(store, authority, BROKER, replace(WANTED, vin=OTHER_VIN), NOW + dt.timedelta(hours=1))
    with store.read() as connection:
        rows = list(connection.execute(select(unit_assignments).order_by(unit_assignments.c.id)))
        [listed] = fleet_rows.all_units(connection)
    assert [(row.since_ms, row.until_ms) for row in rows] == [(NOW_MS, NOW_MS + 3_600_000), (NOW_MS + 3_600_000, None)]
    assert listed.vin == OTHER_VIN


def test_a_vin_may_be_typed_in_lower_case(store: Store, authority: Authority) -> None:
    assert enrol(store, authority, BROKER, replace(WANTED, vin=VIN.lower()), NOW)["vin"] == VIN


@pytest.mark.parametrize(
    "vin",
    ["", VIN[1:], VIN + "1", "I" + VIN[1:], "O" + VIN[1:], "Q" + VIN[1:], VIN[:-1] + "-", VIN + "\n", VIN[:-1] + "０"],
)
def test_what_is_no_vin_is_refused(store: Store, authority: Authority, vin: str) -> None:
    refuse(store, authority, replace(WANTED, vin=vin), "is not a VIN")


@pytest.mark.parametrize("unit", ["+", "#", "server.ingest", "a/b", "PW", "PW 1"])
def test_odd_names_are_refused(store: Store, authority: Authority, unit: str) -> None:
    refuse(store, authority, replace(WANTED, unit=unit), "cannot be a unit's name")


def test_another_key_or_lender_for_a_known_unit_is_refused(store: Store, authority: Authority) -> None:
    enrol(store, authority, BROKER, WANTED, NOW)
    stranger = public_pem(Ed25519PrivateKey.generate())
    refuse(store, authority, replace(WANTED, key_pem=stranger), "another key")
    refuse(store, authority, replace(WANTED, lender="乙汽车金融"), "another lender")
    refuse(store, authority, replace(WANTED, lender="乙汽车金融", vin=OTHER_VIN), "another lender")
    refuse(store, authority, replace(WANTED, key_pem=b"nonsense"), "neither")


def test_two_lenders_may_hold_the_same_vin(store: Store, authority: Authority) -> None:
    """One car pledged twice is just what lenders want to know of; they must not know it from each other."""
    enrol(store, authority, BROKER, WANTED, NOW)
    second = replace(WANTED, lender="乙汽车金融", unit="PW000002", key_pem=public_pem(Ed25519PrivateKey.generate()))
    enrol(store, authority, BROKER, second, NOW)
    with store.read() as connection:
        rows = list(connection.execute(select(vehicles)))
    assert {row.vin for row in rows} == {VIN}
    assert len({row.lender_id for row in rows}) == 2


def test_nothing_is_kept_where_a_later_step_fails(
    store: Store, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("the last step")

    monkeypatch.setattr(fleet_rows, "put_certificate", fail)
    refuse(store, authority, WANTED, "the last step")


def test_an_authority_is_needed_first(store: Store, tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="pledgewatch init"):
        enrol(store, Authority(tmp_path), BROKER, WANTED, NOW)
