"""What the unit knows of its car in one second: put together from everything it has heard, and nothing stale."""

from dataclasses import replace

import pytest

from edge_agent.car.engine import EngineSettings
from edge_agent.car.readings import Reading
from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.situation import Situation
from wire.records import Sample, TimeQuality

VIN, OTHER_VIN = "LSVAA4182E2184847", "1HGCM82633A004352"
HERE = (31.8, 117.2)
FIX = Fix(None, None, *HERE, None, 0.0, None, 1, 9, 0.8)


def situation(bound_vin: str = "") -> Situation:
    return Situation(bound_vin, EngineSettings())


def sample(mono_s: float) -> Sample:
    return Sample(mono_s, None, TimeQuality.NONE, *HERE)


def test_who_has_heard_nothing_knows_nothing() -> None:
    seen = situation().seen(None, 5.0)
    assert (seen.engine, seen.volts, seen.external_power, seen.vin) == ("unknown", None, None, "unknown")
    assert (seen.raw_position, seen.satellites_in_view, seen.obd_port) == (None, None, "none configured")
    assert (seen.told_vin, seen.bound_vin, seen.dtc_codes) == (None, None, ())
    assert situation().is_moving(5.0) is None


def test_the_raw_position_is_the_receivers_not_what_is_shown() -> None:
    its = situation()
    its.on_fix(FIX, replace(FIX, lat_deg=31.9, source=FixSource.HELD), 10.0)
    assert its.seen(sample(10.0), 10.0).raw_position == HERE
    assert its.seen(None, 10.5).raw_position is None
    assert its.seen(sample(11.0), 11.0).raw_position is None  # of the second before


@pytest.mark.parametrize(
    ("speed_mps", "source", "moving"),
    [
        (0.7, FixSource.GNSS, False),
        (0.8, FixSource.GNSS, True),
        (1.9, FixSource.HELD, False),
        (2.0, FixSource.HELD, True),
        (None, FixSource.GNSS, None),
    ],
)
def test_the_receiver_tells_motion_while_its_fix_is_new(
    speed_mps: float | None, source: FixSource, moving: bool | None
) -> None:
    its = situation()
    its.on_fix(replace(FIX, speed_mps=speed_mps), replace(FIX, source=source), 10.0)
    assert its.is_moving(15.0) is moving
    assert its.is_moving(15.1) is None


def test_wheels_are_believed_before_the_receiver() -> None:
    its = situation()
    its.on_fix(replace(FIX, speed_mps=9.0), FIX, 10.0)
    its.on_reading(Reading("speed_kmh", 0.0, 10.0))
    assert its.is_moving(10.0) is False
    assert its.seen(sample(10.0), 10.0).obd_speed_mono_s == 10.0
    its.on_reading(Reading("speed_kmh", 1.0, 11.0))
    assert its.is_moving(11.0) is True
    assert its.seen(sample(16.1), 16.1).obd_speed_mono_s is None


def test_the_units_own_monitor_is_believed_before_the_car_and_the_car_before_its_adapter() -> None:
    its = situation()
    its.on_reading(Reading("adapter_voltage_v", 12.1, 0.0))
    assert its.seen(None, 0.0).volts == 12.1
    its.on_reading(Reading("module_voltage_v", 12.2, 0.0))
    assert its.seen(None, 0.0).volts == 12.2
    its.on_supply_volts(12.3, 0.0)
    assert its.seen(None, 20.0).volts == 12.3
    assert its.seen(None, 20.1).volts is None


def test_the_engine_is_judged_from_the_cars_answers() -> None:
    its = situation()
    its.on_reading(Reading("engine_rpm", 800.0, 1.0))
    assert its.seen(None, 1.0).engine == "running"


def test_another_car_is_told_with_both_numbers() -> None:
    its = situation(VIN)
    its.on_reading(Reading("vin", VIN, 0.0))
    assert (its.seen(None, 0.0).vin, its.seen(None, 0.0).told_vin) == ("same", None)
    for _ in range(2):
        its.on_reading(Reading("vin", OTHER_VIN, 1.0))
    seen = its.seen(None, 1.0)
    assert (seen.vin, seen.told_vin, seen.bound_vin) == ("different", OTHER_VIN, VIN)


def test_supply_codes_port_and_satellites_are_passed_on() -> None:
    its = situation()
    its.on_external(False)
    its.on_reading(Reading("dtc_codes", ("P0301",), 0.0))
    its.obd_port = "answering"
    its.on_satellites(14, 0.0)
    seen = its.seen(None, 10.0)
    assert (seen.external_power, seen.dtc_codes, seen.obd_port) == (False, ("P0301",), "answering")
    assert seen.satellites_in_view == 14
    assert its.seen(None, 10.1).satellites_in_view is None
