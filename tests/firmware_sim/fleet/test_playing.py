"""A small fleet against the real broker and the real ingest: everything arrives once, whatever the network does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journey.world import ROOT, World

VEHICLES = 8


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server that knows the fleet in `home/load`; the broker runs, the ingest does not."""
    made = World(tmp_path_factory.mktemp("fleet"))
    load = made.home / "load"
    told(simulate("prepare", "--vehicles", VEHICLES, "--out", load, "--seed", 5))
    config = made.settings.data_dir / "server.toml"
    enrol = ["fleet", "add-many", "--lender", "LOADTEST", "--list", load / "units.csv", "--out", load / "bundles"]
    subprocess.run([sys.executable, "-m", "server", "--config", config, *enrol], check=True, cwd=ROOT)
    made.start("broker")
    yield made
    made.end()


@pytest.fixture
def ingest(world: World) -> Iterator[None]:
    world.start("ingest")
    yield
    assert world.stop("ingest") == 0


def simulate(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "firmware_sim", "fleet", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    return done


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def seal(world: World, name: str, start: str, minutes: float = 6, *more: object) -> tuple[Path, dict[str, Any]]:
    path = world.home / name
    plan = ["--minutes", minutes, "--driving", 0.7, "--tracks", 3, "--start", start, *more]
    return path, told(simulate("seal", world.home / "load", "--out", path, *plan))


def test_all_arrive_once_through_storms_copies_and_swaps(world: World, ingest: None) -> None:
    backlog = ["--backlog", 0.5, "--backlog-hours", 0.5]
    path, sealed = seal(world, "a.sealed", "2026-11-23T08:00:00", 6, *backlog)
    disturb = ["--duplicates", 0.2, "--swaps", 0.2, "--storm-every", 0.4, "--storm-share", 0.7]
    found = told(simulate("play", world.home / "load", "--sealed", path, "--rate", 100, *disturb))
    assert found["settled"] == sealed["batches"]
    assert found["unsettled"] == 0
    assert found["samples"] == sealed["samples"]
    assert found["copies"] > 0
    assert found["dropped"] >= 1
    assert found["connected"] > VEHICLES
    assert found["lost_connections"] == 0
    assert found["refused_receipts"] == 0
    assert 0 < found["since_sent_ms"]["p50"] <= found["since_due_ms"]["max"]
    rows = world.rows("select count(*), count(distinct boot_id * 1000000 + sequence), sum(samples) from batches")
    assert rows == [(sealed["batches"], sealed["batches"], sealed["samples"])]
    assert world.rows("select count(*) from quarantine") == [(0,)]
    assert world.rows("select sum(redelivered) from boots")[0][0] >= found["copies"]


def test_two_processes_share_the_vehicles(world: World, ingest: None) -> None:
    path, sealed = seal(world, "b.sealed", "2026-11-23T09:00:00")
    before = world.rows("select count(*) from batches")[0][0]
    found = told(simulate("play", world.home / "load", "--sealed", path, "--rate", 200, "--processes", 2))
    assert (found["vehicles"], found["connected"], found["settled"]) == (VEHICLES, VEHICLES, sealed["batches"])
    assert world.rows("select count(*) from batches") == [(before + sealed["batches"],)]


def test_the_first_vehicles_only_live_at_their_own_times(world: World, ingest: None) -> None:
    plan = ["--live", "--minutes", 2, "--driving", 0.9, "--tracks", 2, "--speed", 120]
    found = told(simulate("play", world.home / "load", "--vehicles", 3, *plan))
    assert found["vehicles"] == found["connected"] == 3
    assert found["settled"] == found["due"] >= 3
    assert world.rows("select count(*) from quarantine") == [(0,)]


def test_without_a_server_the_status_says_that_nothing_was_settled(world: World) -> None:
    path, sealed = seal(world, "c.sealed", "2026-11-23T10:00:00")
    play = ["play", world.home / "load", "--sealed", path, "--rate", 1000, "--drain", 0.2]
    found = told(simulate(*play, status=1))
    assert found["settled"] == 0
    assert found["unsettled"] == sealed["batches"]
    found = told(simulate(*play[:-1], 20, "--no-receipts"))
    assert found["settled"] == sealed["batches"]


def test_what_cannot_be_played_is_refused_in_a_sentence(world: World, tmp_path: Path) -> None:
    load = world.home / "load"
    for arguments, sentence in (
        (["play", tmp_path, "--live"], "holds no fleet"),
        (["play", load, "--live", "--vehicles", VEHICLES + 1], f"has {VEHICLES} vehicles"),
        (["play", load, "--sealed", tmp_path / "none"], "cannot read"),
        (["play", load, "--live", "--storm-share", "2"], "not a share from 0 to 1"),
        (["seal", load, "--out", tmp_path / "x", "--start", "yesterday"], "not a time"),
        (["prepare", "--vehicles", "1.5", "--out", tmp_path], "not a whole number"),
        (["seal", load, "--out", tmp_path / "no" / "x"], "No such file"),
    ):
        done = simulate(*arguments, status=2)
        assert sentence in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_a_unit_that_is_not_enrolled_is_named(tmp_path: Path) -> None:
    simulate("prepare", "--vehicles", 2, "--out", tmp_path)
    assert "LOAD-00001 is not enrolled" in simulate("play", tmp_path, "--live", status=2).stderr
