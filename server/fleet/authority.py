"""The lender's own small certificate authority: X.509 with Ed25519 keys (RFC 8410), for mutual TLS with the broker.

Folder: `authority.key/.crt` (the root), `broker.key/.crt` (the broker's listener), `server.ingest.key/.crt` (the
server as a client of the broker; `server.ingest-2` and so on for further workers), `receipt.key` (signs receipts; its
public part is pinned in every unit).

A certificate's common name becomes the broker's user name, and access rules are written with it. So names are checked
here: a unit called `+` would match every other unit's topics (seen with Mosquitto).
"""

import datetime as dt
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from wire.topics import UNIT_NAME

INGEST_NAME = "server.ingest"  # the dot keeps it apart from every unit


OBSERVER_NAME = "server.observer"  # reads batches, as a test bench's judge does
_ROOT_YEARS, _SERVER_YEARS, _UNIT_YEARS, _OBSERVER_YEARS = 20, 5, 3, 1
# A unit's clock may be behind the server's when it first connects.
_BACKDATED = dt.timedelta(days=2)


def ingest_name(number: int) -> str:
    """What the ingest worker of this number (from 1) is called, in its certificate and in the broker's rules."""
    return INGEST_NAME if number == 1 else f"{INGEST_NAME}-{number}"


class AuthorityError(ValueError):
    """A request that the authority refuses; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate: its PEM text, serial number (hex) and last valid moment (UTC)."""

    pem: str
    serial: str
    not_after: dt.datetime


class Authority:
    """An authority on disk. `Authority.make` creates one, the constructor opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._key = read_private_key(folder / "authority.key")
            self._certificate = x509.load_pem_x509_certificate((folder / "authority.crt").read_bytes())
        except FileNotFoundError as error:
            raise AuthorityError(f"{error.filename} is missing; 'pledgewatch init' makes an authority") from None
        except AuthorityError:
            raise
        except ValueError as error:
            raise AuthorityError(f"{folder}/authority.crt cannot be read: {error}") from None

    @classmethod
    def make(cls, folder: Path, broker_names: list[str], now: dt.datetime) -> "Authority":
        """Create the root, the broker's and the server's certificates and the receipt key; an existing one is kept."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not (folder / "authority.crt").exists():
            key = _key_at(folder / "authority.key")
            name = _name("Pledgewatch authority")
            root = (
                _builder(name, name, key.public_key(), now, _ROOT_YEARS)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs_certificates=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, None)
            )
            (folder / "authority.crt").write_bytes(root.public_bytes(serialization.Encoding.PEM))
        authority = cls(folder)
        authority._own_certificate("broker", broker_names, now)
        authority._own_certificate(INGEST_NAME, [], now)
        _key_at(folder / "receipt.key")
        return authority

    def ingest_certificate(self, number: int, now: dt.datetime) -> str:
        """See that the worker of this number (from 1) has a certificate; its name."""
        name = ingest_name(number)
        self._own_certificate(name, [], now)
        return name

    @property
    def root_pem(self) -> str:
        """What units check the broker's certificate against."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def receipt_key(self) -> Ed25519PrivateKey:
        """Signs receipts."""
        return read_private_key(self.folder / "receipt.key")

    def issue_unit(self, unit: str, key: Ed25519PublicKey, now: dt.datetime) -> Issued:
        """A client certificate for one unit. Raises AuthorityError for a name that a unit may not have."""
        if not UNIT_NAME.fullmatch(unit):
            raise AuthorityError(f"{unit!r} cannot be a unit's name: 3 to 32 letters, digits, '-' or '_'")
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(_name(unit), key, now, _UNIT_YEARS, usage, [])

    def issue_observer(self, key: Ed25519PublicKey, now: dt.datetime) -> Issued:
        """A client certificate for whoever may read every unit's batches and write nothing."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._issue(_name(OBSERVER_NAME), key, now, _OBSERVER_YEARS, usage, [])

    def _own_certificate(self, name: str, hosts: list[str], now: dt.datetime) -> None:
        path = self.folder / f"{name}.crt"
        if path.exists():
            return
        key = _key_at(self.folder / f"{name}.key")
        purposes = [ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH]
        issued = self._issue(_name(name), key.public_key(), now, _SERVER_YEARS, x509.ExtendedKeyUsage(purposes), hosts)
        path.write_text(issued.pem)

    def _issue(
        self,
        subject: x509.Name,
        key: Ed25519PublicKey,
        now: dt.datetime,
        years: int,
        usage: x509.ExtendedKeyUsage,
        hosts: list[str],
    ) -> Issued:
        builder = (
            _builder(subject, self._certificate.subject, key, now, years)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(usage, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, None)
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        return Issued(pem, f"{certificate.serial_number:x}", certificate.not_valid_after_utc)


def read_public_key(data: bytes, unit: str) -> Ed25519PublicKey:
    """The key in a unit's certificate request (PEM; its signature and name are checked) or public key (PEM).

    Raises:
        AuthorityError: neither, another kind of key, a request whose signature fails or that names another unit.
    """
    try:
        if b"CERTIFICATE REQUEST" in data:
            request = x509.load_pem_x509_csr(data)
            key = request.public_key()
            named = [str(each.value) for each in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
            if not request.is_signature_valid:
                raise AuthorityError("the certificate request is not signed by its own key")
            if named != [unit]:
                raise AuthorityError(f"the certificate request is for {', '.join(named)!r}, not for {unit!r}")
        else:
            key = serialization.load_pem_public_key(data)  # type: ignore[assignment]
    except AuthorityError:
        raise
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"neither a certificate request nor a public key in PEM: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise AuthorityError("the unit's key must be Ed25519; 'pledgewatch-agent provision' makes one")
    return key


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """An Ed25519 key from PEM. Raises FileNotFoundError, or AuthorityError for anything else."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: under a password
        raise AuthorityError(f"{path} cannot be read: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise AuthorityError(f"{path} holds no Ed25519 key")
    return key


def write_private_key(path: Path, key: Ed25519PrivateKey) -> None:
    """Write a key that only its owner may read; a key is never overwritten (FileExistsError)."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)


def _key_at(path: Path) -> Ed25519PrivateKey:
    """The key that is there, if an earlier run was cut short before its certificate, else a new one."""
    if not path.exists():
        write_private_key(path, Ed25519PrivateKey.generate())
    return read_private_key(path)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Ed25519PublicKey, now: dt.datetime, years: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=365 * years))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
