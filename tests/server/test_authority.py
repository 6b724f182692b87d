"""The authority: what it issues is believed by TLS for its purpose alone, and what it should not issue it refuses."""

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.fleet.authority import INGEST_NAME, Authority, AuthorityError, read_private_key, read_public_key

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
UNIT = "PW000001"
# An elliptic curve (secp112r1) that the library does not know.
ODD_CURVE = b"""-----BEGIN PUBLIC KEY-----
MDIwEAYHKoZIzj0CAQYFK4EEAAYDHgAEHVY7kjMkEYvj0ymCanMTNcdO9i2X1Pux
Z3a2cQ==
-----END PUBLIC KEY-----
"""
NAMES = [
    "",
    "ab",
    "a" * 33,
    "+",
    "#",
    "dev-+",
    "a/b",
    "server.ingest",
    "broker.",
    "PW 1",
    "PW000001\n",
    "车000001",
    "%u1",
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("keys") / "authority", ["127.0.0.1", "broker.example.org"], NOW)


def certificate(pem: str | Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((pem.read_text() if isinstance(pem, Path) else pem).encode())


def request(key: CertificateIssuerPrivateKeyTypes, *names: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)
    return made.public_bytes(serialization.Encoding.PEM)


def public_pem(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def issued(authority: Authority, unit: str, folder: Path) -> Path:
    """A unit's certificate and key in one file."""
    key, path = Ed25519PrivateKey.generate(), folder / f"{unit}.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(authority.issue_unit(unit, key.public_key(), NOW).pem.encode() + pem)
    return path


# -- what is made


@pytest.mark.parametrize("name", ["authority", "broker", INGEST_NAME])
def test_certificates_are_issued_by_the_root(authority: Authority, name: str) -> None:
    root, found = certificate(authority.root_pem), certificate(authority.folder / f"{name}.crt")
    found.verify_directly_issued_by(root)
    assert found.public_key() == read_private_key(authority.folder / f"{name}.key").public_key()


def test_the_root_signs_certificates_and_nothing_below_it_does(authority: Authority) -> None:
    root = certificate(authority.root_pem)
    unit = certificate(authority.issue_unit(UNIT, Ed25519PrivateKey.generate().public_key(), NOW).pem)
    files = [certificate(authority.folder / f"{name}.crt") for name in ("broker", INGEST_NAME)]
    for each, may in ((root, True), (unit, False), (files[0], False), (files[1], False)):
        constraints = each.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = each.extensions.get_extension_for_class(x509.KeyUsage)
        assert (constraints.critical, usage.critical) == (True, True)
        assert (constraints.value.ca, usage.value.key_cert_sign, usage.value.crl_sign) == (may, may, may)
        assert usage.value.digital_signature
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_each_certificate_has_one_purpose(authority: Authority) -> None:
    unit = certificate(authority.issue_unit(UNIT, Ed25519PrivateKey.generate().public_key(), NOW).pem)
    broker, ingest = (certificate(authority.folder / f"{name}.crt") for name in ("broker", INGEST_NAME))
    for each, purpose in (
        (unit, ExtendedKeyUsageOID.CLIENT_AUTH),
        (ingest, ExtendedKeyUsageOID.CLIENT_AUTH),
        (broker, ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        assert list(each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]


def test_names_and_times(authority: Authority) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    made = authority.issue_unit(UNIT, key, NOW)
    found = certificate(made.pem)
    assert found.subject.rfc4514_string() == f"CN={UNIT}"
    assert found.public_key() == key
    assert (f"{found.serial_number:x}", found.not_valid_after_utc) == (made.serial, made.not_after)
    assert found.not_valid_before_utc < NOW - dt.timedelta(days=1)  # a unit's clock may be behind
    assert dt.timedelta(days=365) < made.not_after - NOW < dt.timedelta(days=5 * 365)
    assert certificate(authority.folder / f"{INGEST_NAME}.crt").subject.rfc4514_string() == f"CN={INGEST_NAME}"
    assert certificate(authority.root_pem).not_valid_after_utc > NOW + dt.timedelta(days=15 * 365)


def test_serial_numbers_do_not_repeat(authority: Authority) -> None:
    key = Ed25519PrivateKey.generate().public_key()
    assert len({authority.issue_unit(UNIT, key, NOW).serial for _ in range(20)}) == 20


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> str | None:
    """TLS between two contexts in memory; the client's common name as the server sees it."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname=name),
    ]
    done: set[int] = set()
    for _ in range(20):
        for side in {0, 1} - done:
            try:
                sides[side].do_handshake()
                done.add(side)
            except ssl.SSLWantReadError:
                pass
    assert done == {0, 1}
    peer = sides[0].getpeercert() or {}
    return next((value for part in peer.get("subject", ()) for key, value in part if key == "commonName"), None)


@pytest.fixture
def contexts(authority: Authority, tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The broker's side and a unit's, as strict as RFC 5280 asks."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(authority.folder / "authority.crt")
    server.load_cert_chain(authority.folder / "broker.crt", authority.folder / "broker.key")
    client.load_cert_chain(issued(authority, UNIT, tmp_path))
    return server, client


@pytest.mark.parametrize("name", ["127.0.0.1", "broker.example.org"])
def test_a_unit_and_the_broker_believe_each_other(contexts: tuple[ssl.SSLContext, ssl.SSLContext], name: str) -> None:
    assert shake_hands(*contexts, name) == UNIT


def test_the_ingest_and_the_broker_believe_each_other(
    authority: Authority, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    contexts[1].load_cert_chain(authority.folder / f"{INGEST_NAME}.crt", authority.folder / f"{INGEST_NAME}.key")
    assert shake_hands(*contexts, "127.0.0.1") == INGEST_NAME


@pytest.mark.parametrize("name", ["127.0.0.2", "other.example.org"])
def test_the_broker_is_not_believed_under_another_name(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], name: str
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(*contexts, name)


def test_a_unit_cannot_pose_as_the_broker(
    authority: Authority, contexts: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path
) -> None:
    server, client = contexts
    server.load_cert_chain(issued(authority, "PW000002", tmp_path))
    with pytest.raises(ssl.SSLCertVerificationError, match=r"purpose|certificate"):
        shake_hands(server, client, "127.0.0.1")


def test_another_authority_is_not_believed(contexts: tuple[ssl.SSLContext, ssl.SSLContext], tmp_path: Path) -> None:
    foreign = Authority.make(tmp_path / "foreign", ["127.0.0.1"], NOW)
    server, client = contexts
    client.load_cert_chain(issued(foreign, UNIT, tmp_path))
    with pytest.raises(ssl.SSLError, match=r"(?i)verify failed|unknown ca"):
        shake_hands(server, client, "127.0.0.1")


# -- names and keys


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_get_no_certificate(authority: Authority, name: str) -> None:
    with pytest.raises(AuthorityError, match="cannot be a unit's name"):
        authority.issue_unit(name, Ed25519PrivateKey.generate().public_key(), NOW)


def test_keys_are_read_from_requests_and_public_keys() -> None:
    key = Ed25519PrivateKey.generate()
    assert read_public_key(request(key, UNIT), UNIT) == key.public_key()
    assert read_public_key(public_pem(key), UNIT) == key.public_key()


def test_a_request_that_names_another_unit_is_refused() -> None:
    key = Ed25519PrivateKey.generate()
    for names in (("PW000002",), (), (UNIT, "PW000002"), (UNIT, UNIT), (UNIT.lower(),)):
        with pytest.raises(AuthorityError, match="certificate request is for"):
            read_public_key(request(key, *names), UNIT)


def test_a_request_that_its_key_did_not_sign_is_refused() -> None:
    der = bytearray(
        x509.load_pem_x509_csr(request(Ed25519PrivateKey.generate(), UNIT)).public_bytes(serialization.Encoding.DER)
    )
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(AuthorityError, match="not signed by its own key"):
        read_public_key(forged, UNIT)


@pytest.mark.parametrize(
    "key", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())], ids=["rsa", "ec"]
)
def test_other_kinds_of_keys_are_refused(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    for data in (request(key, UNIT), public_pem(key)):
        with pytest.raises(AuthorityError, match="must be Ed25519"):
            read_public_key(data, UNIT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        b"\xff\x00",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"CERTIFICATE REQUEST",
        ODD_CURVE,
    ],
)
def test_what_is_no_key_is_refused(data: bytes) -> None:
    with pytest.raises(AuthorityError, match="neither a certificate request nor a public key"):
        read_public_key(data, UNIT)


def test_a_private_key_is_not_taken_for_a_public_one() -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(AuthorityError):
        read_public_key(pem, UNIT)


# -- the folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_only_the_owner_reads_the_keys(authority: Authority) -> None:
    keys = sorted(authority.folder.glob("*.key"))
    assert [path.name for path in keys] == ["authority.key", "broker.key", "receipt.key", f"{INGEST_NAME}.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_making_it_again_keeps_everything(tmp_path: Path) -> None:
    first = Authority.make(tmp_path, ["127.0.0.1"], NOW)
    before = contents(tmp_path)
    again = Authority.make(tmp_path, ["elsewhere.example.org"], NOW + dt.timedelta(days=400))
    assert contents(tmp_path) == before
    assert again.root_pem == first.root_pem
    assert again.receipt_key.public_key() == first.receipt_key.public_key()
    assert Authority(tmp_path).root_pem == first.root_pem


@pytest.mark.parametrize("name", ["authority.crt", "broker.crt", f"{INGEST_NAME}.crt", "receipt.key"])
def test_making_it_is_completed_where_it_was_cut_short(tmp_path: Path, name: str) -> None:
    """Power goes between a key and its certificate: no key is lost, and no folder is stuck."""
    Authority.make(tmp_path, ["127.0.0.1"], NOW)
    before = contents(tmp_path)
    (tmp_path / name).unlink()
    if name == "authority.crt":  # the root comes first, so nothing else is there yet
        for path in [*tmp_path.glob("broker.*"), *tmp_path.glob("server.*")]:
            path.unlink()
    made = Authority.make(tmp_path, ["127.0.0.1"], NOW)
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    assert after["authority.key"] == before["authority.key"]
    certificate(tmp_path / "broker.crt").verify_directly_issued_by(certificate(made.root_pem))


def test_a_folder_without_authority_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match=r"authority\.key is missing; 'pledgewatch init'"):
        Authority(tmp_path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    Authority.make(tmp_path, ["127.0.0.1"], NOW)
    whole = contents(tmp_path)
    other = rsa.generate_private_key(65537, 2048)
    formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = serialization.BestAvailableEncryption(b"secret")
    for name, data in (
        ("authority.key", b"nonsense"),
        ("authority.key", other.private_bytes(*formats, serialization.NoEncryption())),
        ("authority.key", Ed25519PrivateKey.generate().private_bytes(*formats, locked)),
        ("authority.crt", b"nonsense"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(AuthorityError, match=name):
            Authority(tmp_path)
        (tmp_path / name).write_bytes(whole[name])
    assert Authority(tmp_path).root_pem.encode() == whole["authority.crt"]
