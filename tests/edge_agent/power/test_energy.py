"""The energy meter: nothing is counted twice, nothing is made up, nothing is lost over a halt."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.power.energy import STATES, EnergyMeter, currents_ma
from edge_agent.power.settings import PowerSettings

CURRENTS = {"driving": 100.0, "idle": 90.0, "parked": 60.0, "saver": 30.0, "visit": 120.0, "halted": 6.0}


def counted(meter: EnergyMeter, state: str, seconds: float, begin_s: float = 0.0, step_s: float = 60.0) -> float:
    at_s = begin_s
    while at_s <= begin_s + seconds:
        meter.on_tick(state, at_s)
        at_s += step_s
    return begin_s + seconds


def test_time_times_current() -> None:
    meter = EnergyMeter(CURRENTS)
    counted(meter, "driving", 7200)
    assert meter.total_mah()["driving"] == pytest.approx(200)
    assert meter.facts() == {"energy.total.driving_mah": "200", "energy.total_mah": "200", "energy.total_h": "2"}


def test_a_measured_current_counts_instead_of_the_table() -> None:
    meter = EnergyMeter(CURRENTS)
    meter.on_tick("parked", 0.0, 80.0)
    meter.on_tick("parked", 1800.0, 80.0)
    meter.on_tick("parked", 3600.0)
    assert meter.total_mah()["parked"] == pytest.approx(40 + 30)


def test_a_day_of_driving_parking_and_halting() -> None:
    meter = EnergyMeter(CURRENTS)
    end_s = counted(meter, "driving", 2 * 3600)
    counted(meter, "parked", 4 * 3600, end_s)
    meter.on_slept(18 * 3600)
    meter.on_tick("visit", 10.0)  # a new run of the machine, a new monotonic clock
    day = {name: value for name, value in meter.facts().items() if name.startswith("energy.day")}
    assert day == {
        "energy.day.driving_mah": "200",
        "energy.day.parked_mah": "240",
        "energy.day.halted_mah": "108",
        "energy.day_mah": "548",
    }
    assert meter.mah_per_day() == pytest.approx(548)


def test_a_halt_of_days_fills_days() -> None:
    meter = EnergyMeter(CURRENTS)
    counted(meter, "parked", 12 * 3600)
    meter.on_slept(3 * 86_400)
    assert meter.facts()["energy.day_mah"] == str(24 * 6)
    counted(meter, "parked", 12 * 3600, 1000.0)
    assert meter.facts()["energy.day_mah"] == str(12 * 6 + 12 * 60)


@pytest.mark.parametrize("slept_s", [None, -1.0, 401 * 86_400.0, float("nan")])
def test_a_halt_of_unknown_length_is_told_not_made_up(slept_s: float | None) -> None:
    meter = EnergyMeter(CURRENTS)
    meter.on_slept(slept_s)
    assert meter.facts() == {"energy.total_mah": "0", "energy.total_h": "0", "energy.unknown_halts": "1"}
    assert meter.mah_per_day() is None


def test_a_monotonic_clock_that_steps_back_costs_nothing() -> None:
    meter = EnergyMeter(CURRENTS)
    meter.on_tick("parked", 100.0)
    meter.on_tick("parked", 50.0)
    meter.on_tick("parked", 3650.0)
    assert meter.total_mah()["parked"] == pytest.approx(60)


@given(st.lists(st.tuples(st.sampled_from(STATES), st.floats(0, 200_000)), max_size=30))
def test_whatever_is_counted_survives_a_halt_and_adds_up(pieces: list[tuple[str, float]]) -> None:
    meter, at_s = EnergyMeter(CURRENTS), 0.0
    meter.on_tick("idle", at_s)
    for number, (state, seconds) in enumerate(pieces):
        at_s += seconds
        meter.on_tick(state, at_s)
        if number % 3 == 0:
            meter = EnergyMeter.from_json(CURRENTS, meter.to_json())
            meter.on_tick(state, at_s)
    expected = sum(seconds * CURRENTS[state] / 3600 for state, seconds in pieces)
    assert sum(meter.total_mah().values()) == pytest.approx(expected)


EMPTY: dict[str, dict[str, float]] = {"s": {}, "mah": {}}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "[" * 100_000, json.dumps({"total": EMPTY})])
def test_what_is_no_meter_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an energy meter"):
        EnergyMeter.from_json(CURRENTS, text)


@pytest.mark.parametrize(
    "total", [1, {"s": [], "mah": {}}, {"s": {"idle": -1}, "mah": {}}, {"s": {}, "mah": {"idle": float("nan")}}]
)
def test_a_meter_that_cannot_be_is_refused(total: object) -> None:
    kept = {"total": total, "today": EMPTY, "yesterday": None, "unknown_halts": 0}
    with pytest.raises(ValueError, match="not an energy meter"):
        EnergyMeter.from_json(CURRENTS, json.dumps(kept))
    EnergyMeter.from_json(CURRENTS, json.dumps(kept | {"total": EMPTY}))


def test_a_meter_of_an_older_version_lacks_the_states_it_did_not_know() -> None:
    kept = json.loads(EnergyMeter(CURRENTS).to_json())
    del kept["total"]["mah"]["visit"]
    assert EnergyMeter.from_json(CURRENTS, json.dumps(kept)).total_mah()["visit"] == 0.0


def test_every_state_has_its_setting() -> None:
    assert set(currents_ma(PowerSettings())) == set(STATES)
    assert currents_ma(PowerSettings(halted_ma=1.5))["halted"] == 1.5
