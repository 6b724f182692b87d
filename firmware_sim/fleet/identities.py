"""The fleet's folder: who its units are, and what the server gave them.

    fleet.json          seed, prefix, number of units
    units.csv           for the server: unit, vin, plate, label, csr (path from here)
    requests/NAME.csr   certificate requests (PEM, RFC 2986)
    keys/NAME.key       Ed25519 keys (PEM, PKCS 8), 0600
    bundles/NAME.json   what `pledgewatch fleet add-many units.csv --out bundles` wrote

Keys come from the seed, so that the same seed gives the same batches to the byte. Whoever knows the seed has the keys:
such units belong on a server for tests, never beside real vehicles.
"""

import base64
import binascii
import csv
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from firmware_sim.car.vin import vin_check_digit
from wire.topics import UNIT_NAME

MOST_VEHICLES = 99_999
DEFAULT_PREFIX = "LOAD-"
_COLUMNS = ("unit", "vin", "plate", "label", "csr")


class FleetError(Exception):
    """What was asked cannot be done; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Units by their place in the fleet, from 0."""

    seed: int
    prefix: str
    vehicles: int

    def name(self, index: int) -> str:
        """The unit's name, as in its certificate and topics."""
        return f"{self.prefix}{index + 1:05d}"

    def vin(self, index: int) -> str:
        """Its vehicle's VIN, with a right check digit (GB 16735); LSV is a Shanghai maker's code, the rest made up."""
        vin = f"LSVLD{self.seed % 1000:03d}0T2{index + 1:06d}"
        return vin[:8] + vin_check_digit(vin) + vin[9:]

    def key(self, index: int) -> Ed25519PrivateKey:
        """Its key, from the seed."""
        text = f"pledgewatch load test, unit {self.name(index)}, seed {self.seed}"
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(text.encode()).digest())


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Where the units report to, and whom they believe; the same for all of them."""

    host: str
    port: int
    tls: bool
    receipt_keys: tuple[bytes, ...]  # Ed25519 public keys, 32 bytes each, checked
    authority: Path  # PEM: what the broker's certificate is checked against


def prepare(folder: Path, fleet: Fleet) -> Path:
    """Write the folder; returns the list for the server. The same fleet gives the same files.

    Raises:
        FleetError: names that units may not have, or a folder that holds another fleet.
    """
    if not 1 <= fleet.vehicles <= MOST_VEHICLES or not UNIT_NAME.fullmatch(fleet.name(0)):
        raise FleetError(f"no fleet of {fleet.vehicles} units can be named {fleet.name(0)} and on")
    if (folder / "fleet.json").exists() and read_fleet(folder) != fleet:
        raise FleetError(f"{folder} holds another fleet; choose another folder")
    for each in (folder, folder / "keys", folder / "requests", folder / "bundles"):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    rows = []
    for index in range(fleet.vehicles):
        name, key = fleet.name(index), fleet.key(index)
        _write_key(folder / "keys" / f"{name}.key", key)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None)
        (folder / "requests" / f"{name}.csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))
        rows.append((name, fleet.vin(index), "", f"{fleet.prefix}{index + 1}", f"requests/{name}.csr"))
    with (folder / "units.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
    told = {"seed": fleet.seed, "prefix": fleet.prefix, "vehicles": fleet.vehicles}
    (folder / "fleet.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    return folder / "units.csv"


def read_fleet(folder: Path) -> Fleet:
    """The fleet that was prepared here. Raises FleetError."""
    try:
        told = json.loads((folder / "fleet.json").read_text(encoding="utf-8"))
        return Fleet(int(told["seed"]), str(told["prefix"]), int(told["vehicles"]))
    except FileNotFoundError:
        raise FleetError(f"{folder} holds no fleet; 'pledgewatch-sim fleet prepare --out {folder}' makes one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FleetError(f"{folder}/fleet.json cannot be read: {error!r}") from None


def unpack_bundles(folder: Path, fleet: Fleet, chosen: Iterable[int]) -> Enrolled:
    """What the server gave the chosen units: their certificates, beside their keys, and what is common to all.

    Raises:
        FleetError: units that are not enrolled, or bundles of different servers.
    """
    common: tuple[str, str] | None = None
    for index in chosen:
        path = folder / "bundles" / f"{fleet.name(index)}.json"
        try:
            bundle = json.loads(path.read_text(encoding="utf-8"))
            certificate = str(bundle["certificate"])
            told = (str(bundle["authority"]), json.dumps([bundle["broker"], bundle["receipt_keys"]]))
        except FileNotFoundError:
            raise FleetError(
                f"{fleet.name(index)} is not enrolled; on the server: pledgewatch fleet add-many --lender NAME "
                f"--list {folder}/units.csv --out {folder}/bundles"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FleetError(f"{path} is no bundle of 'pledgewatch fleet add-many': {error!r}") from None
        if common is not None and told != common:
            raise FleetError(f"{path} is of another server than the bundles before it")
        common = told
        (folder / "keys" / f"{fleet.name(index)}.crt").write_text(certificate, encoding="utf-8")
    if common is None:
        raise FleetError("no vehicle was chosen")
    authority = folder / "keys" / "authority.crt"
    authority.write_text(common[0], encoding="utf-8")
    try:
        broker, keys = json.loads(common[1])
        pinned = tuple(base64.b64decode(key, validate=True) for key in keys)
        for key in pinned:
            Ed25519PublicKey.from_public_bytes(key)
        return Enrolled(str(broker["host"]), int(broker["port"]), bool(broker["tls"]), pinned, authority)
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise FleetError(f"the bundles in {folder}/bundles are damaged: {error!r}") from None


def _write_key(path: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
