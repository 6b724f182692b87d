"""The fleet's folder: the same seed makes the same units, and bundles are taken only whole."""

import json
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.car.vin import vin_problem
from firmware_sim.fleet.identities import Fleet, FleetError, prepare, read_fleet, unpack_bundles

FLEET = Fleet(seed=7, prefix="LOAD-", vehicles=3)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def bundle(folder: Path, index: int, **other: object) -> None:
    key = "VWxM9sMsfFVxlG7kZQ5tRjvLqKvjaO5nwDLzuLAYsPA="
    broker = {"host": "192.0.2.7", "port": 8883, "tls": True}
    told = {"certificate": f"certificate {index}", "authority": "root", "receipt_keys": [key], "broker": broker}
    (folder / "bundles" / f"{FLEET.name(index)}.json").write_text(json.dumps(told | other))


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    prepare(tmp_path / "one", FLEET)
    prepare(tmp_path / "two", FLEET)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    prepare(tmp_path / "one", FLEET)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    other = Fleet(8, "LOAD-", 3)
    assert other.key(0).private_bytes_raw() != FLEET.key(0).private_bytes_raw()
    assert len({FLEET.key(index).private_bytes_raw() for index in range(3)}) == 3


def test_requests_name_their_units_and_keys_are_private(tmp_path: Path) -> None:
    listed = prepare(tmp_path, FLEET)
    request = x509.load_pem_x509_csr((tmp_path / "requests" / "LOAD-00002.csr").read_bytes())
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == "CN=LOAD-00002"
    assert request.public_key() == FLEET.key(1).public_key()
    assert stat.S_IMODE((tmp_path / "keys" / "LOAD-00002.key").stat().st_mode) == 0o600
    assert listed.read_text().splitlines()[2].startswith(f"LOAD-00002,{FLEET.vin(1)},")
    assert read_fleet(tmp_path) == FLEET


def test_vins_are_right_and_each_its_own() -> None:
    vins = [Fleet(1, "LOAD-", 99_999).vin(index) for index in (*range(300), 99_998)]
    assert [vin_problem(vin) for vin in vins] == [None] * len(vins)
    assert len(set(vins)) == len(vins)


@pytest.mark.parametrize("fleet", [Fleet(1, "a/b", 3), Fleet(1, "LOAD-", 0), Fleet(1, "L" * 30, 3)])
def test_fleets_that_cannot_be(tmp_path: Path, fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="can be named"):
        prepare(tmp_path / "fleet", fleet)
    assert not (tmp_path / "fleet").exists()


def test_a_folder_keeps_its_fleet(tmp_path: Path) -> None:
    prepare(tmp_path, FLEET)
    with pytest.raises(FleetError, match="another fleet"):
        prepare(tmp_path, Fleet(8, "LOAD-", 3))
    with pytest.raises(FleetError, match="holds no fleet"):
        read_fleet(tmp_path / "elsewhere")


def test_bundles_come_whole_and_from_one_server(tmp_path: Path) -> None:
    prepare(tmp_path, FLEET)
    bundle(tmp_path, 0)
    with pytest.raises(FleetError, match="LOAD-00002 is not enrolled; on the server: pledgewatch fleet add-many"):
        unpack_bundles(tmp_path, FLEET, range(2))
    bundle(tmp_path, 1)
    enrolled = unpack_bundles(tmp_path, FLEET, range(2))
    assert (enrolled.host, enrolled.port, enrolled.tls) == ("192.0.2.7", 8883, True)
    assert (tmp_path / "keys" / "LOAD-00002.crt").read_text() == "certificate 1"
    assert enrolled.authority.read_text() == "root"
    bundle(tmp_path, 2, authority="another root")
    with pytest.raises(FleetError, match="another server"):
        unpack_bundles(tmp_path, FLEET, range(3))
    bundle(tmp_path, 0, receipt_keys=["AAAA"])
    with pytest.raises(FleetError, match="damaged"):
        unpack_bundles(tmp_path, FLEET, range(1))
    bundle(tmp_path, 0, broker=None)
    with pytest.raises(FleetError, match="damaged"):
        unpack_bundles(tmp_path, FLEET, range(1))


def test_a_key_is_that_of_its_file(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    prepare(tmp_path, FLEET)
    key = load_pem_private_key((tmp_path / "keys" / "LOAD-00001.key").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    assert key.private_bytes_raw() == FLEET.key(0).private_bytes_raw()
