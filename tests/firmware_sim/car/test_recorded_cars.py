"""The simulated car held against recorded ones (`--data`)."""

from pathlib import Path
from statistics import median, quantiles

import pyarrow.parquet as pq
import pytest

from firmware_sim.car.vehicle import CarStart, Vehicle
from firmware_sim.roads.acts import drive
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.motion import Phase
from firmware_sim.roads.places import parked_at, places

pytestmark = pytest.mark.shared


def test_volts_by_state_are_those_of_a_recorded_car(telemetry: Path) -> None:
    """carobd, one 1.5 l car: the middle of our states lies within the middle 98 % of its own."""
    columns = ["rpm", "module_voltage_v"]
    table = pq.read_table(telemetry / "carobd" / "sessions.parquet", columns=columns).to_pydict()
    rows = [(rpm, v) for rpm, v in zip(table["rpm"], table["module_voltage_v"], strict=True) if v and rpm is not None]
    town = places(CITIES["chengdu"], 1)
    vehicle, home = Vehicle(1, CarStart(ambient_c=27.0)), parked_at(town["home"])
    seen = [(motion, vehicle.step(motion)) for motion in drive(home, town["port"], 1)]
    told = {phase: [car.module_voltage_v or 0 for m, car in seen if m.phase is phase] for phase in Phase}
    running = quantiles((v for rpm, v in rows if rpm >= 600), n=100)
    assert running[0] < median(told[Phase.RUNNING]) < running[-1]
    assert sum(running[0] <= v <= running[-1] for v in told[Phase.RUNNING]) > 0.9 * len(told[Phase.RUNNING])
    off = quantiles((v for rpm, v in rows if rpm == 0), n=100)
    assert off[0] < median(told[Phase.KEY_ON][:30]) < off[-1]
    assert off[0] - 2 < min(told[Phase.CRANKING]) < off[24]


def test_idle_and_load_are_those_of_a_recorded_car(telemetry: Path) -> None:
    columns = ["rpm", "speed_kmh", "engine_load_pct", "coolant_c", "map_kpa"]
    table = pq.read_table(telemetry / "carobd" / "sessions.parquet", columns=columns).to_pydict()
    rows = [row for row in zip(*table.values(), strict=True) if None not in row and row[0] > 500]
    town = places(CITIES["chengdu"], 1)
    vehicle, home = Vehicle(1, CarStart(coolant_c=85.0)), parked_at(town["home"])
    seen = [vehicle.step(motion) for motion in drive(home, town["port"], 1)]
    on = [car for car in seen if (car.rpm or 0) > 500]
    for name, index in (("rpm", 0), ("map_kpa", 4)):
        idle = quantiles((row[index] for row in rows if row[1] == 0 and row[3] > 80), n=100)
        moving = quantiles((row[index] for row in rows if row[1] > 30 and row[3] > 80), n=100)
        ours_idle = median(getattr(car, name) for car in on if car.speed_kmh == 0)
        ours_moving = median(getattr(car, name) for car in on if (car.speed_kmh or 0) > 30)
        assert idle[0] < ours_idle < idle[-1], name
        assert moving[0] < ours_moving < moving[-1], name
