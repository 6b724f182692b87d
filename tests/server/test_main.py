"""The command line: what an installer types works, and what cannot be done is said in a sentence."""

import io
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from server.__main__ import main
from server.config import read_settings
from server.live import Arrival, take
from server.store import people_rows
from server.store.db import Store
from wire.topics import BATCH

ROOT = Path(__file__).parents[2]
VIN, LENDER = "LSVAA4188E2100018", "甲汽车金融"


class Told:
    """What a command said and how it ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


Run = Callable[..., Told]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run one command in this process, with `typed` on standard input."""
    monkeypatch.delenv("PLEDGEWATCH_CONFIG", raising=False)

    def once(*arguments: str | Path, typed: str = "") -> Told:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:  # argparse ends this way
            status = int(str(ended.code or 0))
        told = capsys.readouterr()
        return Told(status, told.out, told.err)

    return once


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    """A server's folder, made by `init`."""
    made = tmp_path / "server"
    assert run("init", "--dir", made, "--public-host", "broker.example.org", "--broker-port", "18883").status == 0
    return made


@pytest.fixture
def here(run: Run, folder: Path) -> Run:
    """Run a command on that folder."""

    def once(*arguments: str | Path, typed: str = "") -> Told:
        return run("--config", folder / "server.toml", *arguments, typed=typed)

    return once


def request(path: Path, unit: str = "PW000001", key: Ed25519PrivateKey | rsa.RSAPrivateKey | None = None) -> Path:
    """A certificate request, as a unit makes it."""
    key = key or Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, unit)])
    algorithm = hashes.SHA256() if isinstance(key, rsa.RSAPrivateKey) else None
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return path


def refused(told: Told, *words: str, status: int = 2) -> None:
    """One line that says what is wrong, and no traceback."""
    assert (told.status, told.out) == (status, "")
    assert "Traceback" not in told.err
    last = told.err.splitlines()[-1]
    assert last.startswith("pledgewatch")
    for word in words:
        assert word in last


# -- init


def test_init_makes_a_folder_that_is_ready(run: Run, folder: Path) -> None:
    settings = read_settings(folder / "server.toml")
    assert (settings.broker.public_host, settings.broker.port, settings.broker.tls) == (
        "broker.example.org",
        18883,
        True,
    )
    assert {path.name for path in folder.iterdir()} >= {"server.toml", "authority", "mosquitto", "web.secret"}
    assert (folder / "pledgewatch.db").exists()
    assert stat.S_IMODE((folder / "web.secret").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len((folder / "web.secret").read_bytes()) == 32
    certificate = x509.load_pem_x509_certificate((folder / "authority" / "broker.crt").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "broker.example.org" in names.get_values_for_type(x509.DNSName)
    assert "127.0.0.1" in [str(each) for each in names.get_values_for_type(x509.IPAddress)]
    assert "listener 18883" in (folder / "mosquitto" / "mosquitto.conf").read_text()


def test_init_again_changes_nothing(run: Run, folder: Path) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "db" not in path.suffix}

    before = contents()
    assert run("init", "--dir", folder, "--public-host", "other.example.org", "--broker-port", "1").status == 0
    assert contents() == before


def test_init_says_what_comes_next(run: Run, tmp_path: Path) -> None:
    told = run("init", "--dir", tmp_path / "new")
    assert all(word in told.out for word in ("mosquitto -c", "user add", "serve"))


def test_init_refuses_settings_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("[broker]\nprot = 1\n")
    refused(run("init", "--dir", tmp_path), "'prot'", "did you mean 'port'?")


def test_init_refuses_a_host_that_is_none(run: Run, tmp_path: Path) -> None:
    for host in ('a" # b', "经纪.example.org", "", "a b"):
        refused(run("init", "--dir", tmp_path / "new", "--public-host", host), repr(host))
    assert not (tmp_path / "new").exists()


# -- fleet


def test_a_unit_is_enrolled_with_its_request(here: Run, tmp_path: Path) -> None:
    key, out = Ed25519PrivateKey.generate(), tmp_path / "bundle.json"
    csr = request(tmp_path / "unit.csr", key=key)
    told = here("fleet", "add", "--lender", LENDER, "--vin", VIN, "--unit", "PW000001", "--csr", csr, "--out", out)
    assert (told.status, told.err) == (0, "")
    assert "PW000001" in told.out
    assert VIN in told.out
    bundle = json.loads(out.read_text())
    assert (bundle["unit"], bundle["vin"]) == ("PW000001", VIN)
    assert bundle["broker"] == {"host": "broker.example.org", "port": 18883, "tls": True}
    assert x509.load_pem_x509_certificate(bundle["certificate"].encode()).public_key() == key.public_key()
    listed = here("fleet", "list")
    assert listed.out.split() == ["PW000001", VIN, "active", LENDER]


def test_a_bundle_goes_to_standard_output(here: Run, tmp_path: Path) -> None:
    pem = (
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "unit.pub").write_bytes(pem)
    arguments = ("--lender", LENDER, "--vin", VIN, "--unit", "PW000001", "--public-key", tmp_path / "unit.pub")
    assert json.loads(here("fleet", "add", *arguments).out)["unit"] == "PW000001"


def test_an_empty_fleet(here: Run) -> None:
    told = here("fleet", "list")
    assert (told.status, told.out, told.err) == (0, "", "")


def test_what_cannot_be_enrolled(here: Run, tmp_path: Path) -> None:
    csr = request(tmp_path / "unit.csr")
    (tmp_path / "nonsense").write_text("nonsense")
    weak = request(tmp_path / "rsa.csr", key=rsa.generate_private_key(65537, 2048))

    def add(unit: str = "PW000001", vin: str = VIN, key: Path = csr, lender: str = LENDER) -> Told:
        return here("fleet", "add", "--lender", lender, "--vin", vin, "--unit", unit, "--csr", key)

    refused(add(vin="LSV"), "is not a VIN")
    refused(add(unit="PW000002"), "the certificate request is for 'PW000001', not for 'PW000002'")
    refused(add(unit="+", key=request(tmp_path / "plus.csr", "+")), "'+' cannot be a unit's name")
    refused(add(unit="server.ingest", key=request(tmp_path / "in.csr", "server.ingest")), "cannot be a unit's name")
    refused(add(key=tmp_path / "nonsense"), "neither a certificate request nor a public key")
    refused(add(key=weak), "must be Ed25519")
    refused(add(key=tmp_path / "missing.csr"), "missing.csr", "No such file", status=1)
    assert here("fleet", "list").out == ""
    assert add().status == 0
    refused(add(key=request(tmp_path / "again.csr")), "another key")
    refused(add(lender="乙汽车金融"), "another lender")


# -- people


def logs_in(folder: Path, login: str, password: str) -> bool:
    store = Store(read_settings(folder / "server.toml").store_url)
    with store.read() as connection:
        user = people_rows.user_by_password(connection, login, password)
    store.close()
    return user is not None and user.lender == LENDER


def test_a_user_is_added_by_standard_input(here: Run, folder: Path) -> None:
    arguments = ("user", "add", "--lender", LENDER, "--login", "wang")
    told = here(*arguments, typed="correct horse\n")
    assert (told.status, told.err) == (0, "")
    assert "correct horse" not in told.out
    assert logs_in(folder, "wang", "correct horse")
    assert here(*arguments, typed=" new horse \r\n").status == 0
    assert not logs_in(folder, "wang", "correct horse")
    assert logs_in(folder, "wang", " new horse ")  # spaces are part of it, as they are in a browser


def test_users_that_cannot_be(here: Run, folder: Path) -> None:
    arguments = ("user", "add", "--lender", LENDER, "--login", "wang")
    refused(here(*arguments, typed="1234567\n"), "at least 8 characters")
    refused(here(*arguments, typed=""), "at least 8 characters")
    assert not logs_in(folder, "wang", "1234567")
    assert here(*arguments, typed="12345678\n").status == 0
    refused(
        here("user", "add", "--lender", "乙", "--login", "wang", typed="other horse\n"), "belongs to another lender"
    )
    assert logs_in(folder, "wang", "12345678")


# -- quarantine


def test_what_was_refused_is_listed_by_reason(here: Run, folder: Path) -> None:
    assert here("quarantine").out == ""
    store = Store(read_settings(folder / "server.toml").store_url)
    bad = [Arrival(BATCH.of("PW000001"), b"\xff"), Arrival(BATCH.of("PW000001"), b"\x08\x03"), Arrival("x", b"")]
    take(store, [bad[0], bad[0], bad[1], bad[2], bad[0]], 1_795_000_000_000)
    store.close()
    lines = [line.split() for line in here("quarantine").out.splitlines()]
    assert lines[0] == ["3", "malformed", "1", "units", "last", "2026-11-18T11:06:40+00:00"]
    assert sorted(line[1] for line in lines) == ["malformed", "unknown_version", "wrong_topic"]


# -- settings, arguments, surroundings


def test_missing_settings_say_what_to_do(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(run("--config", tmp_path / "none.toml", "fleet", "list"), "none.toml is not there", "pledgewatch init")
    monkeypatch.chdir(tmp_path)
    refused(run("fleet", "list"), "server.toml is not there")
    monkeypatch.setenv("PLEDGEWATCH_CONFIG", str(tmp_path / "other.toml"))
    refused(run("fleet", "list"), "other.toml is not there")


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////proc/none/x.db", "mysql://u@h/d", "postgresql+psycopg://u@127.0.0.1:1/d"]
)
def test_a_database_that_cannot_be_opened(run: Run, tmp_path: Path, url: str) -> None:
    (tmp_path / "server.toml").write_text(f'database_url = "{url}"\n')
    told = run("--config", tmp_path / "server.toml", "fleet", "list")
    assert told.status in (1, 2)
    assert told.out == ""
    assert told.err.startswith("pledgewatch: ")
    assert "Traceback" not in told.err


def test_an_authority_that_is_not_there(here: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "authority" / "authority.key").unlink()
    arguments = ("--lender", LENDER, "--vin", VIN, "--unit", "PW000001", "--csr", request(tmp_path / "unit.csr"))
    refused(here("fleet", "add", *arguments), "authority.key is missing", "pledgewatch init")


def test_the_broker_s_configuration_is_written_again(here: Run, folder: Path) -> None:
    path = folder / "mosquitto" / "mosquitto.conf"
    before = path.read_text()
    path.write_text("spoiled")
    assert here("broker-config").out.strip() == str(path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "arguments", [(), ("nonsense",), ("fleet",), ("user",), ("fleet", "add"), ("user", "add", "--login", "x")]
)
def test_arguments_that_are_none(run: Run, arguments: tuple[str, ...]) -> None:
    refused(run(*arguments), "error:")


def test_a_key_is_given_once(here: Run, tmp_path: Path) -> None:
    csr = request(tmp_path / "unit.csr")
    arguments = ("--lender", LENDER, "--vin", VIN, "--unit", "PW000001")
    refused(here("fleet", "add", *arguments, "--csr", csr, "--public-key", csr), "not allowed with")
    refused(here("fleet", "add", *arguments), "one of the arguments --csr --public-key is required")


def test_help_shows_how_to_begin(run: Run) -> None:
    told = run("--help")
    assert told.status == 0
    for words in ("pledgewatch demo", "pledgewatch init", "user add", "fleet add", "serve", "server.toml"):
        assert words in told.out


def test_as_a_program(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "server", "--config", str(tmp_path / "none.toml"), "quarantine"]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("pledgewatch: ")
    assert len(ended.stderr.splitlines()) == 1
