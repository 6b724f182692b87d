"""A car is driven and left to rest, is asked where it is; its unit goes off and comes back. Hours are skipped."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from firmware_sim.elm327 import Elm327
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort
from server.store import history_rows
from tests.edge_agent.scripted_devices import sentence
from tests.journey.hurried_agent import ahead_s
from tests.journey.test_commands import order, outcomes
from tests.journey.world import ROOT, VIN, World, until

UNIT = "PW000001"
HEARTBEAT_S = 60
SETTINGS = {
    "engine": "off_after_s = 5\nsilent_off_after_s = 5",
    "power": "standing_after_s = 10\nparked_after_s = 30\nsaver_after_h = 1\nsleep = 'simulated'\n"
    "wakes_on_ignition = true\nwake_every_h = 6\nvisit_max_min = 1",
    "sampling": f"heartbeat_s = {HEARTBEAT_S}",
}


class Car:
    """A receiver (once a second) and an adapter on ptys, and the car that both look at."""

    def __init__(self, folder: Path, skipped: Path) -> None:
        self.drives = True
        self.asked: list[str] = []  # what was typed at the adapter
        self._skipped = skipped
        self._began, self._began_s = datetime.now(UTC) - timedelta(days=1), time.monotonic()
        self._north_minutes = 14.5
        self._gnss, self._obd = PtyPort(folder / "gnss"), PtyPort(folder / "obd")
        self._adapter, self._typed = Elm327(), b""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def utc(self) -> datetime:
        """What the receiver says, skipped hours included."""
        return self._began + timedelta(seconds=time.monotonic() - self._began_s + ahead_s(self._skipped))

    def skip(self, seconds: float) -> None:
        """Time passes."""
        beside = self._skipped.with_suffix(".new")
        beside.write_text(str(ahead_s(self._skipped) + seconds))
        beside.replace(self._skipped)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._gnss.close()
        self._obd.close()

    def _run(self) -> None:
        next_s = 0.0
        while not self._stopping.wait(0.02):
            now_s = time.monotonic()
            received = self._obd.receive()
            self._note(received)
            if answer := self._adapter.feed(received, self._snapshot(), now_s):
                self._obd.write(answer)
            self._gnss.receive()
            if self._gnss.is_listening and now_s >= next_s:
                next_s = now_s + 1.0
                self._gnss.write(self._epoch())

    def _note(self, received: bytes) -> None:
        *commands, self._typed = (self._typed + received).split(b"\r")
        self.asked += [each.decode().strip().replace(" ", "").upper() for each in commands]

    def _snapshot(self) -> CarSnapshot:
        if not self.drives:
            return CarSnapshot(ecu_awake=False, battery_v=12.6)
        return CarSnapshot(battery_v=14.1, vin=VIN, rpm=1800, speed_kmh=54, module_voltage_v=14.1, coolant_c=85)

    def _epoch(self) -> bytes:
        at = self.utc()
        self._north_minutes += (
            15 / 1852 if self.drives else 0.0
        )  # 15 m a second; a minute of latitude is a nautical mile
        clock, place = at.strftime("%H%M%S.00"), f"31{self._north_minutes:08.5f},N,12128.60000,E"
        knots = 29.16 if self.drives else 0.0
        return sentence(f"GNRMC,{clock},A,{place},{knots},0.0,{at:%d%m%y},,,A") + sentence(
            f"GNGGA,{clock},{place},1,11,0.8,10.0,M,8.0,M,,"
        )


@pytest.fixture
def car(world: World) -> Iterator[Car]:
    """A unit in its car, with short times; the agent is not started yet."""
    folder = world.add_unit(UNIT, obd=True)
    text = (folder / "unit.toml").read_text()
    for section, lines in SETTINGS.items():
        assert f"[{section}]" in text
        text = text.replace(f"[{section}]", f"[{section}]\n{lines}")
    (folder / "unit.toml").write_text(text)
    skipped = world.home / "skipped"
    name = f"agent {UNIT}"
    world.commands[name] = [
        sys.executable,
        "-m",
        "tests.journey.hurried_agent",
        str(folder / "unit.toml"),
        str(skipped),
    ]
    car = Car(folder, skipped)
    yield car
    car.close()


def told(world: World, kind: str) -> list[dict[str, str]]:
    """The details of each event of a kind, oldest first."""
    rows = world.rows(f"select details from events where kind = '{kind}' order by id")
    return [json.loads(details) for (details,) in rows]


def seen_at(world: World) -> list[datetime]:
    """When the server has seen the car somewhere, in order."""
    ((lender_id, vehicle_id),) = world.rows("select lender_id, id from vehicles")
    with world.store.read() as connection:
        track = history_rows.track(connection, lender_id, vehicle_id, 0, 2**53).points()
    return [datetime.fromtimestamp(point.time_ms / 1000, UTC) for point in track]


def power_state(world: World) -> str:
    """As a person at the car would ask."""
    status = [sys.executable, "-m", "edge_agent", "status", "--json", "--config", str(world.home / UNIT / "unit.toml")]
    told = subprocess.run(status, cwd=ROOT, check=True, capture_output=True).stdout
    return str(json.loads(told)["power.state"])


def seen_since(world: World, since: datetime) -> list[datetime]:
    return [each for each in seen_at(world) if each > since]


def questions(asked: list[str]) -> list[str]:
    """What of it went to the car: everything but AT commands, which the adapter answers itself."""
    return [each for each in asked if each and not each.startswith("AT")]


@pytest.mark.timeout(600)
def test_a_car_comes_to_rest_is_asked_where_it_is_and_its_unit_goes_off_and_comes_back(world: World, car: Car) -> None:
    agent, halted = f"agent {UNIT}", world.home / UNIT / "halt.json"
    world.start("broker", "ingest", agent)

    # It drives: each second leaves the car, and the car is asked
    until(lambda: told(world, "ignition_on"), 40, "the drive is noticed")
    until(lambda: {"010C", "010D"} <= {each[:4] for each in car.asked}, 20, "the car is asked")

    # It is switched off, and comes to rest
    car.drives = False
    until(lambda: told(world, "ignition_off"), 40, "the engine is seen to be off")
    car.skip(40)
    until(lambda: any(each["state"] == "parked" for each in told(world, "power_state")), 40, "it is parked")
    parked, asked_before = car.utc(), len(car.asked)
    for _ in range(6):
        time.sleep(3)  # at full rate these would be three samples
        car.skip(57)
    until(lambda: len(seen_since(world, parked + timedelta(seconds=90))) >= 2, 20, "heartbeats")
    sparse = seen_since(world, parked + timedelta(seconds=90))
    gaps_s = [(b - a).total_seconds() for a, b in pairwise(sparse)]
    assert min(gaps_s) >= HEARTBEAT_S - 1

    # The server asks
    for kind, seconds, parameters in (("locate", 10, ()), ("follow", 20, ("minutes=1", "every_s=5"))):
        asked_at = car.utc()
        assert order(world, UNIT, kind, *parameters) == 0
        until(lambda kind=kind: (kind, "done") in outcomes(world), 30, f"{kind} is answered")
        until(
            lambda asked_at=asked_at, seconds=seconds: len(seen_since(world, asked_at)) >= seconds,
            seconds + 30,
            f"after {kind} the car is seen each second",
        )
    assert questions(car.asked[asked_before:]) == [], "a resting car is left asleep, whatever the server asks"

    # It has rested for long: the unit says so and goes off, but not before the server has heard it
    world.stop("ingest")
    car.skip(3700)
    until(lambda: power_state(world) == "saver", 20, "it saves")
    car.skip(70)
    until(lambda: power_state(world) == "halted", 20, "the halt is planned")
    time.sleep(3)  # three looks of the agent's
    assert not halted.exists()
    world.start("ingest")
    until(halted.exists, 60, "the unit has itself powered off")
    until(lambda: told(world, "unit_halting"), 20, "the server knows")
    (halting,) = told(world, "unit_halting")
    assert halting["wake_after_s"] == str(6 * 3600)
    assert json.loads(halted.read_text())["wake_after_s"] == 6 * 3600
    world.kill(agent)  # the power goes
    halted.unlink()

    # The timer wakes it: a fix, the news, and off again
    car.skip(6 * 3600)
    woken = car.utc()
    (world.home / UNIT / "woken.json").write_text(json.dumps({"by": "timer", "slept_s": 6 * 3600}))
    world.start(agent)
    until(lambda: told(world, "unit_woke"), 40, "it says that it woke")
    assert told(world, "unit_woke") == [{"by": "timer", "slept_s": "21600", "halted_for": halting["reason"]}]
    until(lambda: seen_since(world, woken), 40, "a fix")
    car.skip(120)
    until(halted.exists, 60, "it is off again")
    world.kill(agent)
    assert questions(car.asked[asked_before:]) == [], "nor when the unit wakes for a fix"

    # Ignition wakes it: it is on, as in every drive
    car.drives = True
    woken = car.utc()
    (world.home / UNIT / "woken.json").write_text(json.dumps({"by": "voltage"}))
    world.start(agent)
    until(lambda: [each["by"] for each in told(world, "unit_woke")] == ["timer", "voltage"], 40, "it woke again")
    until(lambda: len(seen_since(world, woken)) >= 5, 90, "it is seen driving")
    until(lambda: questions(car.asked[asked_before:]), 30, "and the car is asked again")
    assert world.stop(agent) == 0
    assert world.rows("select sum(times) from quarantine") == [(None,)]
