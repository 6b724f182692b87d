"""The power budget behind its face: events, plan, facts, and what outlives a halt."""

import json

import pytest

from edge_agent.car.readings import Reading
from edge_agent.power.cut import Supply
from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import Halt, Memory, State, Woken
from edge_agent.power.watch import PowerWatch, Told

HAT = PowerSettings(sleep="command", wakes_on_ignition=True)
WOKEN = Woken("timer", 21_600.0, "saving", Memory(True, False, 90_000.0))


def watched(watch: PowerWatch, begin_s: int, end_s: int, volts: float, engine: str = "off") -> list[Told]:
    told: list[Told] = []
    watch.on_engine(engine)
    for second in range(begin_s, end_s):
        watch.on_motion(False, float(second))
        if second % 10 == 0:
            watch.on_reading(Reading("adapter_voltage_v", volts, float(second)))
        told += watch.on_tick(float(second))
    return told


def test_parking_saving_and_halting_are_told_with_their_reasons() -> None:
    watch = PowerWatch(HAT, None, None, 0.0)
    told = watched(watch, 0, 1000, 12.3)
    assert [(each.kind, each.details.get("state"), each.details["reason"]) for each in told] == [
        ("power_state", "parked", "standing, engine off, for 180 s"),
        ("power_state", "saver", "battery rests at 12.30 V (57% charged if rested)"),
        ("unit_halting", None, "saving, until the next fix"),
    ]
    assert told[-1].details == {
        "reason": "saving, until the next fix",
        "wake_after_s": "21600",
        "wake_on": "voltage motion",
        "mah_per_day": told[-1].details["mah_per_day"],
    }
    assert 2000 < int(told[-1].details["mah_per_day"]) < 4000
    assert watch.plan(1000.0).halt == Halt("saving, until the next fix", 21_600.0, ("voltage", "motion"), 13.0)


def test_driving_and_standing_are_left_to_the_ignitions_events() -> None:
    watch = PowerWatch(HAT, None, None, 0.0)
    watch.on_engine("running")
    told: list[Told] = []
    for second in range(1000):
        watch.on_motion(second % 200 < 100, float(second))
        told += watch.on_tick(float(second))
    assert told == []


def test_what_woke_the_unit_is_told_and_the_halt_is_counted() -> None:
    watch = PowerWatch(HAT, WOKEN, None, 50.0)
    assert watch.on_tick(50.0) == (
        Told("unit_woke", 50.0, {"by": "timer", "slept_s": "21600", "halted_for": "saving"}),
    )  # fmt: skip
    assert watch.plan(51.0).visit
    assert watch.facts(51.0)["energy.total.halted_mah"] == "30"
    assert watch.facts(51.0)["energy.total_h"] == "6"


def test_nobody_knows_what_woke_the_unit() -> None:
    watch = PowerWatch(HAT, Woken(None, None, "saving", Memory(False, False, 0.0)), None, 50.0)
    assert watch.on_tick(50.0)[0].details == {"by": "unknown", "slept_s": "unknown", "halted_for": "saving"}
    assert watch.facts(50.0)["energy.unknown_halts"] == "1"


def test_after_a_cut_the_line_is_kept_open() -> None:
    watch = PowerWatch(HAT, None, None, 0.0)
    watched(watch, 0, 300, 12.5)
    watch.on_supply(Supply(False, 300.1), 300.3)
    assert watch.plan(300.3).send_every_s == 0.0


def test_a_halt_without_a_timer_is_announced_as_such() -> None:
    watch = PowerWatch(HAT, None, None, 0.0)
    watch.on_supply(Supply(False, 0.0), 0.0)
    told = watched(watch, 0, 1900, 12.5, "unknown")
    assert told[-1].kind == "unit_halting"
    assert (told[-1].details["wake_after_s"], told[-1].details["wake_on"]) == ("never", "power")


def test_a_halt_that_failed_is_told_with_the_tools_complaint() -> None:
    watch = PowerWatch(HAT, None, None, 0.0)
    watched(watch, 0, 1000, 12.3)
    watch.on_halt_failed("no such bus", 1000.0)
    (told,) = watch.on_tick(1001.0)
    assert (told.kind, told.details["reason"]) == ("power_state", "the unit could not be halted: no such bus")
    assert watch.state is State.SAVER
    watch.on_halt_failed("again", 1002.0)
    assert watch.on_tick(1003.0) == ()


def test_a_measured_current_counts_while_it_is_fresh_and_at_24_volts_twice() -> None:
    watch = PowerWatch(PowerSettings(system="24", idle_ma=118.0), None, None, 0.0)
    watch.on_engine("running")
    watch.on_tick(0.0)
    for second in range(1, 3601):
        if second <= 1800:
            watch.on_current(50.0, float(second))
        watch.on_tick(float(second))
    total = float(json.loads(watch.energy_json())["total"]["mah"]["idle"])
    assert total == pytest.approx(1815 / 3600 * 100 + 1785 / 3600 * 118, abs=0.1)


def test_the_units_own_monitor_counts_as_the_supply() -> None:
    watch = PowerWatch(HAT, None, None, 0.0)
    watch.on_supply_volts(12.34, 0.0)
    watch.on_reading(Reading("module_voltage_v", 11.0, 1.0))
    watch.on_reading(Reading("speed_kmh", 30.0, 1.0))
    assert watch.facts(1.0)["power.volts"] == "12.34"


def test_energy_outlives_a_restart_and_nonsense_begins_anew() -> None:
    first = PowerWatch(HAT, None, None, 0.0)
    watched(first, 0, 3600, 12.6, "running")
    kept = first.energy_json()
    assert PowerWatch(HAT, None, kept, 0.0).facts(0.0)["energy.total_mah"] == first.facts(3600.0)["energy.total_mah"]
    assert PowerWatch(HAT, None, "nonsense", 0.0).facts(0.0)["energy.total_mah"] == "0"


def test_facts_say_state_and_reason() -> None:
    facts = PowerWatch(HAT, None, None, 0.0).facts(0.0)
    assert facts == {
        "power.state": "idle",
        "power.reason": "started",
        "energy.total_mah": "0",
        "energy.total_h": "0",
    }
