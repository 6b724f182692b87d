"""The battery: charge, cold, age; long steps say the same as short ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.car.battery import Battery, BatteryKind, rest_v

KIND = BatteryKind(60.0, 540.0)
shares = st.floats(0.0, 1.0)


def battery(charge: float = 0.9, health: float = 1.0, celsius: float = 20.0) -> Battery:
    return Battery(KIND, charge, health, celsius)


@given(shares, shares)
def test_more_charge_is_never_less_voltage(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 11.4 <= rest_v(low) <= rest_v(high) <= 12.65


def test_the_cold_cranking_current_leaves_what_the_standard_asks_for() -> None:
    """EN 50342-1: 7.5 V at -18 °C under the rated current; a new and full battery, within the resting curve's 0.1 V."""
    assert battery(1.0, celsius=-18.0).volts(KIND.cold_a) == pytest.approx(7.5, abs=0.1)


@given(shares, st.floats(0.05, 1.0), st.floats(0.05, 1.0), st.floats(-30, 50), st.floats(-30, 50))
def test_age_and_cold_raise_the_resistance(charge: float, a: float, b: float, cold: float, warm: float) -> None:
    old, young = sorted((a, b))
    cold, warm = sorted((cold, warm))
    assert battery(charge, old, cold).resistance_ohm >= battery(charge, young, cold).resistance_ohm
    assert battery(charge, young, cold).resistance_ohm >= battery(charge, young, warm).resistance_ohm


@given(st.floats(0.2, 1.0), st.floats(0.0, 0.3), st.floats(600, 40 * 3600))
def test_charge_taken_is_current_times_time(charge: float, current_a: float, seconds: float) -> None:
    one = battery(charge)
    taken = current_a * seconds / 3600 / one.capacity_ah
    one.step(current_a, seconds)
    self_discharged = 0.001 * seconds / 86400  # 3 % a month at 20 °C
    assert one.charge == pytest.approx(max(0.0, charge - taken), abs=1.1 * self_discharged + 1e-9)


@given(st.floats(0.3, 1.0), st.floats(0.0, 0.1), st.integers(2, 50))
def test_one_long_step_is_many_short_ones(charge: float, current_a: float, parts: int) -> None:
    once, often = battery(charge), battery(charge)
    for each in (once, often):
        each.step(-10.0, 60.0)
    once.step(current_a, 36000.0)
    for _ in range(parts):
        often.step(current_a, 36000.0 / parts)
    assert often.charge == pytest.approx(once.charge, abs=2e-4)
    assert often.volts(1.0) == pytest.approx(once.volts(1.0), abs=1e-3)


def test_surface_charge_is_gone_after_hours_only() -> None:
    one = battery()
    one.step(-10.0, 600.0)
    begun = one.volts(0.0)
    one.step(0.0, 120.0)
    minutes = one.volts(0.0)
    one.step(0.0, 6 * 3600.0)
    assert begun > minutes + 0.3 > one.volts(0.0) + 0.35
    assert one.volts(0.0) == pytest.approx(rest_v(one.charge), abs=0.01)


def test_standing_empty_ruins_a_battery_and_standing_full_does_not() -> None:
    empty, full = battery(0.5), battery(1.0)
    for each in (empty, full):
        for _ in range(90):
            each.charge = 0.5 if each is empty else 1.0
            each.step(0.0, 86400.0)
    assert 0.7 < empty.health < 0.9
    assert full.health == 1.0


def test_self_discharge_doubles_every_ten_degrees() -> None:
    cool, warm = battery(1.0, celsius=20.0), battery(1.0, celsius=30.0)
    for each in (cool, warm):
        each.step(0.0, 30 * 86400.0)
    assert 1 - cool.charge == pytest.approx(0.03, abs=0.001)
    assert (1 - warm.charge) / (1 - cool.charge) == pytest.approx(2, rel=0.03)
