"""Who this unit is: its key, which never leaves it, and what the server gave it at enrolment.

Folder (`state_dir`): `unit.key` (Ed25519, 0600), `unit.csr`, then `unit.crt`, `authority.crt` and `receipt_keys`
(base64, one a line: the server keys whose receipts and commands are believed).
"""

import base64
import binascii
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from edge_agent.config import ConfigError, unit_toml
from wire.topics import UNIT_NAME


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the receiver and the adapter are, as in unit.toml; `obd` None makes a GNSS-only unit."""

    gnss: str = "auto"
    obd: str | None = None
    gnss_baud: int = 0
    obd_baud: int = 0


@dataclass(frozen=True, slots=True)
class Identity:
    """The unit's key and the server keys that it believes."""

    key: Ed25519PrivateKey
    receipt_keys: tuple[Ed25519PublicKey, ...]


def make_key(folder: Path, unit: str) -> Path:
    """Make the unit's key and certificate request; a key that is there is kept. Returns the request's path.

    Raises:
        ConfigError: a name that a unit may not have, or a key file that cannot be read.
    """
    if not UNIT_NAME.fullmatch(unit):
        raise ConfigError(f"{unit!r} cannot be a unit's name: 3 to 32 letters, digits, '-' or '_'")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "unit.key"
    if not path.exists():
        private = serialization.PrivateFormat.PKCS8
        pem = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, private, serialization.NoEncryption()
        )
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, unit)])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(_read_key(path), None)
    (folder / "unit.csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))
    return folder / "unit.csr"


def accept_bundle(folder: Path, bundle_path: Path, ports: Ports) -> Path:
    """Take over what the server gave at enrolment and write unit.toml, unless one is there. Returns its path.

    Raises:
        ConfigError: not a bundle, or one for another unit's key.
    """
    try:
        bundle: dict[str, Any] = json.loads(bundle_path.read_text(encoding="utf-8"))
        certificate = x509.load_pem_x509_certificate(bundle["certificate"].encode())
        authority, receipt_keys, broker, unit = (bundle[key] for key in ("authority", "receipt_keys", "broker", "unit"))
        host, port, tls = broker["host"], int(broker["port"]), bool(broker["tls"])
        x509.load_pem_x509_certificate(authority.encode())
        if not receipt_keys:
            raise ValueError("no receipt_keys")
        for text in receipt_keys:
            Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{bundle_path} is not a bundle from 'pledgewatch fleet add': {error!r}") from None
    if certificate.public_key() != _read_key(folder / "unit.key").public_key():
        raise ConfigError(f"{bundle_path} was made for another key than {folder}/unit.key")
    (folder / "unit.crt").write_text(bundle["certificate"])
    (folder / "authority.crt").write_text(authority)
    (folder / "receipt_keys").write_text("\n".join(receipt_keys) + "\n")
    path = folder / "unit.toml"
    if not path.exists():
        values: dict[str, dict[str, Any]] = {
            "gnss": {"port": ports.gnss, "baud": ports.gnss_baud},
            "vehicle": {"vin": str(bundle.get("vin", ""))},
            "broker": {"host": host, "port": port, "tls": tls},
        }
        if ports.obd is not None:
            values["obd"] = {"port": ports.obd, "baud": ports.obd_baud}
        path.write_text(unit_toml(unit, values), encoding="utf-8")
    return path


def read_identity(folder: Path) -> Identity:
    """The unit's identity. Raises ConfigError where the unit is not provisioned, with what to do."""
    key = _read_key(folder / "unit.key")
    try:
        lines = (folder / "receipt_keys").read_text().split()
        keys = tuple(Ed25519PublicKey.from_public_bytes(base64.b64decode(line, validate=True)) for line in lines)
    except FileNotFoundError:
        raise ConfigError(
            f"{folder} has a key but no enrolment; give unit.csr to 'pledgewatch fleet add --csr' and take its bundle "
            "home with 'pledgewatch-agent provision --accept BUNDLE'"
        ) from None
    except (ValueError, binascii.Error) as error:
        raise ConfigError(f"{folder}/receipt_keys is damaged: {error}") from None
    if not keys:
        raise ConfigError(f"{folder}/receipt_keys is empty")
    return Identity(key, keys)


def _read_key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} is missing; 'pledgewatch-agent provision --unit NAME' makes the unit's key"
        ) from None
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds no Ed25519 key")
    return key
