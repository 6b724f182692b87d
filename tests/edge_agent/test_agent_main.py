"""The command line: what it teaches, what it does, and what it says when it cannot."""

import base64
import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from edge_agent.__main__ import main
from edge_agent.config import read_config
from edge_agent.decode import DECODE_HELP

ROOT = Path(__file__).parents[2]
LOG = ROOT / "tests" / "logs" / "nmea_ten_hertz.log"


class Said:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


def say(capsys: pytest.CaptureFixture[str], *arguments: object) -> Said:
    try:
        status = main([str(each) for each in arguments])
    except SystemExit as end:  # argparse
        status = end.code if isinstance(end.code, int) else 1
    return Said(status, *capsys.readouterr())


def bundle_for(folder: Path, **changes: Any) -> Path:
    """What 'pledgewatch fleet add' would answer to this folder's request."""
    request = x509.load_pem_x509_csr((folder / "unit.csr").read_bytes())
    now = dt.datetime.now(dt.UTC)
    authority = Ed25519PrivateKey.generate()
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    builder = x509.CertificateBuilder().issuer_name(issuer).serial_number(7)
    builder = builder.not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))

    def signed(name: x509.Name, key: Any) -> str:
        built = builder.subject_name(name).public_key(key).sign(authority, None)
        return built.public_bytes(serialization.Encoding.PEM).decode()

    bundle = {
        "unit": request.subject.rdns[0].rfc4514_string().removeprefix("CN="),
        "certificate": signed(request.subject, request.public_key()),
        "authority": signed(issuer, authority.public_key()),
        "receipt_keys": [base64.b64encode(authority.public_key().public_bytes_raw()).decode()],
        "broker": {"host": "mqtt.example.org", "port": 8883, "tls": True},
    }
    path = folder / "bundle.json"
    path.write_text(json.dumps(bundle | changes))
    return path


# Help


def test_help_shows_the_way_from_the_key_to_running(capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "--help")
    assert said.status == 0
    steps = ("provision --dir /var/lib/pw --unit", "provision --dir /var/lib/pw --accept", "run --config", "decode")
    assert [said.out.index(f"\n  pledgewatch-agent {step}") for step in steps] == sorted(
        said.out.index(f"\n  pledgewatch-agent {step}") for step in steps
    )
    for command in ("run", "provision", "decode"):
        assert f"\n    {command}" in said.out


def test_every_example_of_the_help_is_a_command_that_exists(capsys: pytest.CaptureFixture[str]) -> None:
    from edge_agent.__main__ import _EPILOG, _parser

    examples = [line.split()[1:] for line in _EPILOG.splitlines() if line.startswith("  pledgewatch-agent")]
    assert len(examples) >= 4
    for example in examples:
        _parser().parse_args(example)


def test_the_settings_are_listed_with_default_bounds_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'pledgewatch-agent settings' lists" in say(capsys, "run", "--help").out
    said = say(capsys, "settings")
    assert said.status == 0
    for line in (
        '[gnss] port = "auto"',
        "[broker] host = must be set",
        "[broker] port = 8883; 1 to 65535",
        "[batch] samples = 60; 1 to 600; may be set from afar",
    ):
        assert f"\n{line}\n    " in "\n" + said.out


def test_help_of_decode_is_the_decoders_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert DECODE_HELP.strip() in say(capsys, "decode", "--help").out


@pytest.mark.parametrize("arguments", [(), ("fly",), ("provision",), ("decode",), ("run", "--colour")])
def test_what_it_does_not_know_is_said_with_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    said = say(capsys, *arguments)
    assert said.status == 2
    assert said.err.startswith("usage: pledgewatch-agent")


def test_it_is_a_program() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "edge_agent", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "in-car agent" in ran.stdout


# Provisioning


def test_a_unit_is_provisioned_in_two_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "pw"
    said = say(capsys, "provision", "--dir", folder, "--unit", "PW000001")
    assert said.status == 0
    assert said.out.startswith(f"{folder / 'unit.csr'}: give it to 'pledgewatch fleet add --unit PW000001 --csr")
    ports = ("--gnss", "/dev/ttyS7", "--gnss-baud", 115200, "--obd", "/dev/ttyUSB0", "--obd-baud", 9600)
    said = say(capsys, "provision", "--dir", folder, "--accept", bundle_for(folder), *ports)
    assert said.status == 0
    assert said.out == f"provisioned; next: pledgewatch-agent run --config {folder / 'unit.toml'}\n"
    config = read_config(folder / "unit.toml")
    assert config.unit == "PW000001"
    assert (config.gnss.port, config.gnss.baud) == ("/dev/ttyS7", 115200)
    assert config.obd is not None
    assert (config.obd.port, config.obd.baud) == ("/dev/ttyUSB0", 9600)


def test_without_an_adapter_the_unit_is_gnss_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(capsys, "provision", "--dir", tmp_path, "--unit", "PW000001")
    assert say(capsys, "provision", "--dir", tmp_path, "--accept", bundle_for(tmp_path)).status == 0
    assert read_config(tmp_path / "unit.toml").obd is None


def test_one_step_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "provision", "--dir", tmp_path, "--unit", "PW000001", "--accept", "bundle.json")
    assert said.status == 2
    assert "not allowed with" in said.err


@pytest.mark.parametrize(
    ("arguments", "what_to_do"),
    [
        (("--unit", "a/b"), "3 to 32 letters, digits, '-' or '_'"),
        (("--accept", "nowhere.json"), "is not a bundle from 'pledgewatch fleet add'"),
    ],
)
def test_a_step_that_cannot_be_done_says_why_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], what_to_do: str
) -> None:
    said = say(capsys, "provision", "--dir", tmp_path, *arguments)
    assert said.status == 2
    (line,) = said.err.splitlines()
    assert line.startswith("pledgewatch-agent: ")
    assert what_to_do in line


# Running without being ready


SETTINGS = """unit = "PW000001"
{more}
[gnss]
port = "/dev/nowhere"
baud = 9600
[broker]
host = "127.0.0.1"
tls = {tls}
"""


def settings(folder: Path, tls: str = "false", more: str = "") -> Path:
    path = folder / "unit.toml"
    path.write_text(SETTINGS.format(tls=tls, more=more))
    return path


def run(capsys: pytest.CaptureFixture[str], path: Path) -> str:
    """The one line that a unit says which cannot run."""
    said = say(capsys, "run", "--config", path)
    assert said.status == 2
    (line,) = said.err.splitlines()
    assert line.startswith("pledgewatch-agent: ")
    return line


def test_without_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = run(capsys, tmp_path / "unit.toml")
    assert "unit.toml is not there; 'pledgewatch-agent provision --help' tells how to make one" in line


def test_with_a_setting_that_nobody_knows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'state_dir'?" in run(capsys, settings(tmp_path, more='state_dri = "x"'))


def test_without_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = run(capsys, settings(tmp_path, more='state_dir = "state"'))
    assert f"'pledgewatch-agent provision --dir {tmp_path / 'state'} --unit NAME' makes it" in line


def test_without_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "'pledgewatch-agent provision --unit NAME' makes the unit's key" in run(capsys, settings(tmp_path))


def test_without_enrolment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(capsys, "provision", "--dir", tmp_path, "--unit", "PW000001")
    line = run(capsys, settings(tmp_path))
    assert "give unit.csr to 'pledgewatch fleet add --csr'" in line
    assert "'pledgewatch-agent provision --accept BUNDLE'" in line


def test_without_its_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say(capsys, "provision", "--dir", tmp_path, "--unit", "PW000001")
    say(capsys, "provision", "--dir", tmp_path, "--accept", bundle_for(tmp_path))
    (tmp_path / "unit.crt").unlink()
    assert f"the certificates in {tmp_path} cannot be used" in run(capsys, tmp_path / "unit.toml")
    assert not (tmp_path / "outbox.db").exists(), "no boot begins for a unit that cannot connect"
    assert not (tmp_path / "boots").exists()


# Decoding


def test_decode_prints_epochs_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "decode", LOG)
    assert said.status == 0
    assert len(said.out.splitlines()) == 31
    assert said.err.startswith("30 epochs, 30 with a position; sentences: 60 accepted")


def test_decode_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "decode", LOG, "--json")
    golden = LOG.with_suffix(".jsonl").read_text().splitlines()
    assert [json.loads(line) for line in said.out.splitlines()] == [json.loads(line) for line in golden[:-1]]
    assert json.loads(said.err) == json.loads(golden[-1])


def test_decode_of_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "decode", tmp_path / "nowhere.nmea", "--json")
    assert said.status == 2
    assert said.err == f"pledgewatch-agent decode: {tmp_path / 'nowhere.nmea'}: No such file or directory\n"


def test_decode_reads_standard_input_and_needs_nothing_of_the_running_agent() -> None:
    """No serial port, database or network library is loaded for it."""
    code = "import sys; from edge_agent.__main__ import main; status = main(['decode', '-', '--json']); "
    code += "print(sorted({'serial', 'paho', 'sqlite3', 'obd'} & sys.modules.keys())); sys.exit(status)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, input=LOG.read_bytes(), capture_output=True, check=True
    )
    *epochs, loaded = ran.stdout.splitlines()
    assert (len(epochs), loaded) == (30, b"[]")


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(tmp_path: Path) -> None:
    log = tmp_path / "long.nmea"
    log.write_bytes(LOG.read_bytes() * 400)
    command = f"{sys.executable} -m edge_agent decode {log} | head -n 1"
    ran = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=ROOT, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
