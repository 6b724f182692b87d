"""Ignition, supply, plug, battery, lamp and VIN: what has to last, and what is honest."""

import pytest

from tests.edge_agent.rules.play import HOME, kinds, new_watch, played, second, steady


def test_ignition_on_after_three_seconds_and_off_only_when_nothing_moves() -> None:
    watch = new_watch()
    told = played(watch, steady(0.0, 5, engine="running", volts=14.1))
    assert [(event.kind, event.mono_s, event.details) for event in told] == [("ignition_on", 3.0, {"volts": "14.1"})]
    # A hybrid drives on at 0 rpm, for minutes.
    assert played(watch, steady(5.0, 400, engine="off", obd_port="answering", obd_speed_kmh=50.0, engine_rpm=0.0)) == []
    # A car whose adapter sleeps and that the receiver still sees moving.
    assert played(watch, steady(405.0, 60, engine="off", obd_port="car silent", speed_mps=8.0, place=HOME)) == []
    told = played(watch, steady(465.0, 60, engine="off", obd_port="car silent", speed_mps=0.2, place=HOME))
    assert [(event.kind, event.mono_s) for event in told] == [("ignition_off", 480.0)]


def test_start_stop_at_a_long_red_light_is_no_ignition_off() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 5, engine="running"))
    assert played(watch, steady(5.0, 170, engine="off", obd_port="answering", obd_speed_kmh=0.0, engine_rpm=0.0)) == []
    assert played(watch, steady(175.0, 60, engine="running")) == []
    off = played(watch, steady(235.0, 200, engine="off", obd_port="answering", obd_speed_kmh=0.0, engine_rpm=0.0))
    assert [(event.kind, event.mono_s) for event in off] == [("ignition_off", 415.0)]


def test_the_first_finding_that_all_is_well_is_no_event() -> None:
    calm = steady(0.0, 400, engine="off", external_power=True, obd_port="answering", volts=12.5, mil_on=0, vin="same")
    assert played(new_watch(), calm) == []


def test_a_cut_is_told_at_once_and_a_flickering_supply_is_told_as_back_only_when_it_stays() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 51, external_power=True))
    told = played(watch, steady(51.0, 9, external_power=False, engine="off", volts=12.44))
    assert [(event.kind, event.mono_s) for event in told] == [("power_cut", 51.0)]
    assert told[0].details == {"engine": "off", "volts": "12.4"}
    assert told[0].window_s == 60.0
    flickers = [second(60.0 + i, external_power=bool(i % 5)) for i in range(40)]
    assert played(watch, flickers) == []
    back = played(watch, steady(100.0, 20, external_power=True))
    assert [(event.kind, event.mono_s) for event in back] == [("power_restored", 106.0)], "ten seconds from 96"


def test_unplugged_is_not_asleep_and_not_a_worker_that_is_started_again() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 60, obd_port="answering", engine="running"))
    assert played(watch, steady(60.0, 20, obd_port="no adapter", engine="running")) == []
    assert played(watch, steady(80.0, 3600, obd_port="car silent")) == []
    told = played(watch, steady(3680.0, 60, obd_port="no adapter"))
    assert [(event.kind, event.mono_s) for event in told] == [("obd_unplugged", 3710.0)]


def test_an_adapter_that_was_never_there_is_not_unplugged() -> None:
    assert played(new_watch(), steady(0.0, 600, obd_port="no adapter")) == []
    assert played(new_watch(), steady(0.0, 600, obd_port="none configured")) == []


def test_a_socket_that_loses_its_power_with_the_ignition_becomes_a_habit() -> None:
    watch, told = new_watch(), []
    for day in range(6):
        at = 10_000.0 * day
        told += played(watch, steady(at, 300, obd_port="answering", engine="running"))
        told += played(watch, steady(at + 300, 2000, obd_port="no adapter", engine="off"))
        told += played(watch, steady(at + 2300, 60, obd_port="answering", engine="off"))
    plug = [event.kind for event in told if event.kind.startswith("obd")]
    assert plug == ["obd_unplugged", "obd_plugged_in"] * 2
    # Who then drives without it has unplugged it.
    played(watch, steady(90_000.0, 300, obd_port="answering", engine="running"))
    gone = played(watch, steady(90_300.0, 300, obd_port="no adapter", engine="off"))
    gone += played(watch, steady(90_600.0, 100, obd_port="no adapter", engine="unknown", place=HOME, speed_mps=9.0))
    assert [event.mono_s for event in gone if event.kind == "obd_unplugged"] == [90_660.0]


def test_cranking_is_no_low_battery_and_a_minute_is() -> None:
    watch = new_watch()
    cranking = [second(float(i), volts=7.6 if i % 20 < 9 else 12.4, engine="off") for i in range(300)]
    assert played(watch, cranking) == []
    told = played(watch, steady(300.0, 120, volts=11.6, engine="off"))
    assert [(event.kind, event.mono_s) for event in told] == [("low_battery", 360.0)]
    assert told[0].details == {"volts": "11.60", "engine": "off", "lasted_s": "60"}
    assert played(watch, steady(420.0, 600, volts=12.2, engine="off")) == [], "recovered needs half a volt"
    charged = played(watch, steady(1020.0, 200, volts=14.0, engine="running"))
    assert [event.mono_s for event in charged if event.kind == "battery_recovered"] == [1140.0]


@pytest.mark.parametrize(("volts", "told"), [(23.4, ["low_battery"]), (23.8, [])])
def test_a_lorry_has_two_batteries(volts: float, told: list[str]) -> None:
    watch = new_watch()
    played(watch, steady(0.0, 5, volts=25.2))
    assert kinds(played(watch, steady(5.0, 120, volts=volts))) == told


def test_an_adapter_out_of_its_socket_is_no_empty_battery() -> None:
    assert played(new_watch(), steady(0.0, 600, volts=0.4)) == []


def test_a_parked_unit_that_looks_once_in_half_an_hour_needs_three_looks() -> None:
    looks = [second(1800.0 * i, volts=11.5, engine="off") for i in range(3)]
    watch = new_watch()
    assert played(watch, looks[:2]) == []
    assert kinds(played(watch, looks[2:])) == ["low_battery"]


def test_the_lamp_with_its_codes_after_five_seconds_and_without_after_two_answers() -> None:
    watch = new_watch()
    told = played(watch, steady(0.0, 10, mil_on=1, dtc_count=2, dtc_codes=("P0301", "P0420")))
    assert [(event.kind, event.mono_s, event.details) for event in told] == [
        ("mil_on", 5.0, {"dtc_count": "2", "codes": "P0301 P0420"})
    ]
    assert kinds(played(watch, steady(10.0, 10, mil_on=0, dtc_count=0))) == ["mil_off"]
    assert played(watch, steady(20.0, 120, mil_on=1, dtc_count=0)) == []
    assert played(watch, steady(140.0, 20, mil_on=0, dtc_count=0)) == []
    assert [event.mono_s for event in played(watch, steady(160.0, 200, mil_on=1, dtc_count=0))] == [310.0]


def test_each_wrong_vin_once_and_again_after_the_right_one() -> None:
    watch = new_watch()
    wrong = {"vin": "different", "told_vin": "LSVAA4187C2184841", "bound_vin": "LSVAA4187C2184842"}
    told = played(watch, steady(0.0, 60, **wrong))
    assert [(event.kind, event.details) for event in told] == [
        ("wrong_vin", {"vin": "LSVAA4187C2184841", "bound_vin": "LSVAA4187C2184842"})
    ]
    assert played(watch, steady(60.0, 60, vin="unknown")) == []
    assert played(watch, steady(120.0, 60, **wrong)) == []
    assert kinds(played(watch, steady(180.0, 60, **(wrong | {"told_vin": "LSVAA4187C2184843"})))) == ["wrong_vin"]
    assert played(watch, steady(240.0, 60, vin="same")) == []
    assert kinds(played(watch, steady(300.0, 60, **wrong))) == ["wrong_vin"]


def test_a_long_pause_starts_every_wait_anew() -> None:
    watch = new_watch()
    assert played(watch, [second(0.0, engine="running"), second(100.0, engine="running")]) == []
    assert played(watch, [second(100.0 + i, mil_on=1) for i in (0, 1, 2, 60, 61, 62)]) == []
