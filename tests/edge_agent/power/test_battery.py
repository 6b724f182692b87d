"""What the battery's voltage is taken to mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.power.battery import Battery, charge_at_rest, rest_v


def rested(battery: Battery, volts: float, seconds: float, begin_s: float = 0.0, every_s: float = 10.0) -> float:
    """Feed one voltage; the instant after the last."""
    at_s = begin_s
    while at_s <= begin_s + seconds:
        battery.on_volts(volts, at_s)
        at_s += every_s
    return at_s


@pytest.mark.parametrize(("charge", "volts"), [(0.0, 11.89), (0.25, 12.06), (0.5, 12.24), (0.75, 12.45), (1.0, 12.65)])
def test_rest_voltages_are_those_of_the_battery_council(charge: float, volts: float) -> None:
    assert rest_v(charge) == pytest.approx(volts)
    assert charge_at_rest(volts) == pytest.approx(charge)


@given(st.floats(0, 1))
def test_charge_and_rest_voltage_are_each_others_inverse(charge: float) -> None:
    assert charge_at_rest(rest_v(charge)) == pytest.approx(charge, abs=1e-9)


def test_beyond_the_table_the_ends_hold() -> None:
    assert (charge_at_rest(11.0), charge_at_rest(13.5)) == (0.0, 1.0)


def test_a_single_reading_moves_the_median_of_five_by_nothing() -> None:
    battery = Battery()
    end_s = rested(battery, 12.6, 40)
    battery.on_volts(7.56, end_s)
    assert battery.now_v(end_s) == 12.6


def test_what_was_read_two_minutes_ago_says_nothing_about_now() -> None:
    battery = Battery()
    battery.on_volts(12.6, 0.0)
    assert battery.now_v(120.0) == 12.6
    assert battery.now_v(120.1) is None


def test_charging_begins_at_its_threshold_and_ends_a_fifth_of_a_volt_below() -> None:
    battery = Battery(charging_v=13.0)
    end_s = rested(battery, 12.99, 60)
    assert not battery.charging
    end_s = rested(battery, 13.0, 60, end_s)
    assert battery.charging
    end_s = rested(battery, 12.8, 60, end_s)
    assert battery.charging
    rested(battery, 12.79, 60, end_s)
    assert not battery.charging


def test_a_charge_that_nobody_sees_any_more_is_none() -> None:
    battery = Battery()
    end_s = rested(battery, 14.0, 60)
    battery.on_tick(end_s + 60)
    assert battery.charging
    battery.on_tick(end_s + 121)
    assert not battery.charging


def test_low_counts_in_whole_minutes() -> None:
    battery = Battery()
    end_s = rested(battery, 12.0, 330)
    assert battery.low_for_s(12.2, end_s) == 300
    assert battery.low_for_s(12.0, end_s) == 0
    assert battery.high_for_s(12.0, end_s) == 300


def test_one_minute_above_ends_the_low() -> None:
    battery = Battery()
    end_s = rested(battery, 12.0, 300)
    end_s = rested(battery, 12.3, 60, end_s)
    end_s = rested(battery, 12.0, 130, end_s)
    assert battery.low_for_s(12.2, end_s) == 120


def test_cranking_for_twenty_seconds_makes_no_minute_low() -> None:
    battery = Battery()
    for second in range(400):
        battery.on_volts(7.5 if second % 60 < 20 else 12.4, float(second))
    assert battery.low_for_s(12.2, 400.0) == 0


def test_a_long_pause_ends_what_rested_before() -> None:
    battery = Battery()
    end_s = rested(battery, 12.0, 300)
    assert battery.low_for_s(12.2, end_s + 500) == 300
    assert battery.low_for_s(12.2, end_s + 700) == 0
    end_s = rested(battery, 12.0, 130, end_s + 700)
    assert battery.low_for_s(12.2, end_s) == 120


def test_24_volts_are_told_by_measuring_and_halved() -> None:
    battery = Battery()
    end_s = rested(battery, 25.2, 60)
    assert (battery.scale, battery.now_v(end_s)) == (2, 12.6)
    end_s = rested(battery, 13.0, 30, end_s)  # cranking
    assert battery.scale == 2
    end_s = rested(battery, 28.0, 60, end_s)
    assert battery.charging


def test_a_jump_start_with_24_volts_makes_no_truck() -> None:
    battery = Battery()
    end_s = rested(battery, 24.0, 60)
    end_s = rested(battery, 14.0, 240, end_s)
    assert (battery.scale, battery.now_v(end_s)) == (1, 14.0)


def test_a_system_that_was_told_is_not_measured() -> None:
    battery = Battery(system="12")
    rested(battery, 25.2, 60)
    assert battery.scale == 1
    assert Battery(system="24").scale == 2


@pytest.mark.parametrize("volts", [0.0, 5.9, 36.1, float("nan")])
def test_what_is_no_battery_is_passed_over(volts: float) -> None:
    battery = Battery()
    battery.on_volts(volts, 0.0)
    assert battery.now_v(0.0) is None


def test_the_units_own_monitor_is_believed_before_the_adapter_while_it_speaks() -> None:
    battery = Battery()
    battery.on_volts(12.6, 0.0, "supply")
    battery.on_volts(11.0, 60.0, "adapter")
    assert battery.now_v(60.0) == 12.6
    battery.on_volts(11.0, 121.0, "adapter")
    assert battery.now_v(121.0) == 11.0


def test_the_installers_offset_corrects_the_adapter_only() -> None:
    battery = Battery(adapter_offset_v=0.3)
    battery.on_volts(12.0, 0.0, "module")
    assert battery.now_v(0.0) == 12.0
    battery.on_volts(12.0, 1.0, "adapter")
    assert battery.now_v(1.0) == 12.3
