"""`pledgewatch command` and `commands`: given, refused in a sentence, listed with their state."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.__main__ import main
from server.command_sending import due_messages
from server.config import read_settings
from server.live import take
from server.store import command_rows
from server.store.db import Store
from tests.server.cars import Car, add_car
from wire.commands import COMMANDS
from wire.records import Event, TimeQuality

LENDER = "甲汽车金融"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run one command on a server's folder."""
    (tmp_path / "server.toml").write_text("")

    def once(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["--config", str(tmp_path / "server.toml"), *arguments])
        except SystemExit as ended:  # argparse ends this way
            status = int(str(ended.code or 0))
        told = capsys.readouterr()
        return status, told.out, told.err

    return once


@pytest.fixture
def car(run: Run, tmp_path: Path) -> Car:
    assert run("commands") == (0, "", "")
    return add_car(Store(read_settings(tmp_path / "server.toml").store_url), LENDER, name="PW000001")


def locate(run: Run, *more: str) -> tuple[int, str, str]:
    return run("command", "PW000001", "locate", "--lender", LENDER, "--reason", "客户失联两天", *more)


def test_given_and_listed(run: Run, car: Car) -> None:
    status, out, err = locate(run)
    assert (status, err) == (0, "")
    assert re.match(r"[0-9a-f]{32}: locate for PW000001, good until \d{4}-\d\d-\d\dT", out)
    status, out, err = run(
        "command", "PW000001", "follow", "minutes=30", "--lender", LENDER, "--reason", "客户失联两天"
    )
    assert (status, err) == (0, "")
    second, first = run("commands")[1].splitlines()
    assert "follow minutes=30 every_s=10" in second
    for words in ("PW000001", "locate", "waiting", LENDER, "console:", "客户失联两天"):
        assert words in first


def test_the_state_is_listed(run: Run, car: Car) -> None:
    locate(run)
    with car.store.read() as connection:
        [row] = command_rows.all_commands(connection)
    due_messages(car.store, Ed25519PrivateKey.generate(), row.issued_ms)
    assert "sent 1 times" in run("commands")[1]
    details = {"id": row.command_id.hex(), "outcome": "failed", "reason": "no fix"}
    take(car.store, [car.seal(events=[Event("command_answer", 1, None, TimeQuality.NONE, details)])], row.issued_ms)
    assert "failed (no fix)" in run("commands", "--unit", "PW000001")[1]
    assert run("commands", "--unit", "PW000002") == (0, "", "")
    locate(run)
    assert len(run("commands", "--limit", "1")[1].splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("PW000001", "locate", "--lender", LENDER), "needs a reason"),
        (("PW000001", "follow", "--lender", LENDER, "--reason", "good enough"), "minutes is missing"),
        (("PW000001", "follow", "minutes=99", "--lender", LENDER, "--reason", "good enough"), "from 1 to 60"),
        (("PW000001", "follow", "minutes", "--lender", LENDER, "--reason", "good enough"), "NAME=VALUE"),
        (("PW000001", "follow", "minutes=1", "minutes=2", "--lender", LENDER, "--reason", "good enough"), "once"),
        (("PW000001", "status", "--lender", "nobody"), "no lender is called 'nobody'"),
        (("PW000001", "status", "--lender", "乙汽车金融"), "no active unit of this lender is called 'PW000001'"),
        (("PW000009", "status", "--lender", LENDER), "no active unit of this lender is called 'PW000009'"),
        (("PW000001", "status", "--lender", LENDER, "--hours", "169"), "7 days"),
        (("PW000001", "status", "--lender", LENDER, "--hours", "0"), "one minute"),
        (("PW000001", "status", "--lender", LENDER, "--hours", "nan"), "NaN"),
        (("PW000001", "status", "--lender", LENDER, "--hours", "inf"), "infinity"),
        (("PW000001", "explode", "--lender", LENDER), "invalid choice: 'explode'"),
    ],
)
def test_what_cannot_be_asked(run: Run, car: Car, arguments: tuple[str, ...], says: str) -> None:
    add_car(car.store, "乙汽车金融", name="PW000002")
    status, out, err = run("command", *arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert "Traceback" not in err
    assert run("commands")[1] == ""


def test_help_tells_every_kind(run: Run) -> None:
    status, out, _ = run("command", "--help")
    assert status == 0
    for kind, row in COMMANDS.items():
        assert f"\n  {kind}" in out
        for each in row.parameters:
            assert f"{each.name}=" in out
