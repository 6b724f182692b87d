"""What holds for any voltage, engine and motion: no flapping, no halt in use, a halt before the starter is weak."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.energy import DAY_S, HOUR_S, Car, play
from edge_agent.power.battery import rest_v
from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import Power, State

UNITS = [
    PowerSettings(sleep="command", wakes_on_ignition=True),
    PowerSettings(sleep="rtc"),
    PowerSettings(sleep="none"),
]
ENGINES = st.sampled_from(["running", "off", "unknown"])
MOTIONS = st.sampled_from([True, False, None])
STRETCH = st.tuples(
    ENGINES,
    MOTIONS,
    st.one_of(st.none(), st.floats(5, 30)),  # V around which it is read
    st.floats(0, 2),  # noise, V either way
    st.integers(1, 900),  # s
    st.sampled_from([True, True, True, None, False]),  # external power
)


@given(st.lists(STRETCH, max_size=12), st.sampled_from(UNITS), st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_car_in_use_is_never_halted_and_a_halt_always_has_its_reason(
    stretches: list[tuple[str, bool | None, float | None, float, int, bool | None]],
    unit: PowerSettings,
    seed: int,
) -> None:
    power, now_s, chance = Power(unit), 0.0, random.Random(seed)
    for engine, moving, volts, noise_v, seconds, external in stretches:
        power.on_engine(engine)
        power.on_external(external, now_s)
        for _ in range(seconds):
            power.on_motion(moving, now_s)
            if volts is not None and now_s % 5 == 0:
                power.on_volts(volts + chance.uniform(-noise_v, noise_v), now_s)
            was = power.state
            change = power.on_tick(now_s)
            halt = power.plan(now_s).halt
            if halt is not None:
                assert unit.sleep != "none"
                assert engine != "running"
                assert moving is not True
                assert halt.reason
            assert (change is None) == (power.state is was)
            if change is not None:
                assert (change.before, change.after) == (was, power.state)
                assert change.reason == power.reason != ""
            now_s += 1.0


@given(
    st.floats(11.5, 14.5),
    st.floats(0, 0.4),
    st.sampled_from(["off", "unknown"]),
    st.sampled_from(UNITS),
    st.integers(0, 2**32),
)
@settings(max_examples=40)
def test_a_noisy_voltage_does_not_make_a_standing_car_flap(
    volts: float, noise_v: float, engine: str, unit: PowerSettings, seed: int
) -> None:
    """Six hours of noise within the hysteresis: parking, saving, recovering, no more; beyond it, one in 7.5 min."""
    power, changes, chance = Power(unit), 0, random.Random(seed)
    power.on_engine(engine)
    for second in range(0, 6 * 3600, 5):
        power.on_motion(False, float(second))
        power.on_volts(volts + chance.uniform(-noise_v, noise_v), float(second))
        changes += power.on_tick(float(second)) is not None
        if power.plan(float(second)).halt is not None:
            return
    assert changes <= (4 if noise_v <= 0.1 else 6 * 60 / 7.5)


@given(st.lists(st.integers(1, 59), min_size=1, max_size=60))
def test_an_engine_that_is_told_on_and_off_every_minute_moves_the_state_once_in_three_minutes_at_most(
    pieces: list[int],
) -> None:
    power, now_s, changes = Power(UNITS[0]), 0.0, 0
    for number, seconds in enumerate(pieces):
        power.on_engine("running" if number % 2 else "off")
        for _ in range(seconds):
            power.on_motion(False, now_s)
            changes += power.on_tick(now_s) is not None
            now_s += 1.0
    assert changes <= 2 * now_s / 180


@pytest.mark.parametrize("unit", UNITS[:2], ids=lambda unit: str(unit.sleep))
@given(st.floats(0.5, 1.0), st.floats(40, 100), st.floats(0, 150))
@settings(max_examples=3)
def test_by_the_model_every_battery_keeps_its_charge_for_the_starter(
    unit: PowerSettings, charge: float, capacity_ah: float, quiescent_ma: float
) -> None:
    """From the cut-off on, the unit draws what a halted unit draws; until then the battery stays within 1 % of it."""
    car = Car(capacity_ah=capacity_ah, charge=charge, quiescent_ma=quiescent_ma)
    played = play(unit, car, 0.0, 12 * DAY_S, until_cut_off=True)
    if played.cut_off_charge is None:
        assert rest_v(car.charge) >= unit.cutoff_v - 0.01
    else:
        halted_share = 6 * HOUR_S * (quiescent_ma + unit.halted_ma) / 1000 / HOUR_S / capacity_ah
        assert rest_v(played.cut_off_charge + halted_share + 0.01) >= unit.cutoff_v


@pytest.mark.parametrize("unit", UNITS[:2], ids=lambda unit: str(unit.sleep))
def test_by_the_model_a_halted_unit_takes_a_month_for_what_an_awake_one_takes_in_three_days(
    unit: PowerSettings,
) -> None:
    car = Car(charge=0.4, quiescent_ma=0.0, self_discharge_per_s=0.0)
    played = play(unit, car, 0.0, 30 * DAY_S)
    assert played.halts >= 28
    assert played.mah < 3 * 24 * unit.parked_ma


def test_the_states_are_in_order_of_what_they_spend() -> None:
    unit = UNITS[0]
    assert list(State) == [State.DRIVING, State.IDLE, State.PARKED, State.SAVER, State.HALTED]
    assert unit.driving_ma >= unit.idle_ma >= unit.parked_ma >= unit.saver_ma >= unit.halted_ma
