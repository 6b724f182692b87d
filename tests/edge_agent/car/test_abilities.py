"""What a car is known to tell."""

import pytest

from edge_agent.car.abilities import ABILITIES, NO, SILENT_IS_NO, UNKNOWN, WITHOUT_OBD, YES, CarAbilities
from edge_agent.car.lifeline import Asking, Doing, Hello, Message, Silent
from edge_agent.car.readings import READINGS, Reading

COMBUSTION = Hello("ELM327 v1.5", "6", ("speed_kmh", "engine_rpm", "mil_on", "module_voltage_v"))
ELECTRIC = Hello("ELM327 v1.5", "6", ("speed_kmh",))
KEY_OFF = Hello("ELM327 v1.5", "6", (), car=False)


def after(*messages: Message) -> dict[str, str]:
    abilities = CarAbilities()
    for message in messages:
        abilities = abilities.heard(message)
    return dict(abilities.told())


def answered(name: str) -> Reading:
    return Reading(name, 1.0, 1.0)


def test_before_anything_is_heard_all_is_unknown() -> None:
    assert set(after().values()) == {UNKNOWN}
    assert set(after()) == {"obd", *ABILITIES} == set(WITHOUT_OBD)


def test_with_the_key_off_only_the_adapter_is_known() -> None:
    told = after(KEY_OFF, answered("adapter_voltage_v"))
    assert told.pop("adapter_voltage") == YES
    assert set(told.values()) == {UNKNOWN}


def test_an_electric_car_has_no_engine_speed() -> None:
    told = after(ELECTRIC, answered("speed_kmh"))
    assert told["obd"] == told["speed"] == YES
    assert told["engine_rpm"] == told["odometer"] == told["fault_lamp"] == told["fuel_level"] == NO
    assert told["vin"] == told["fault_codes"] == UNKNOWN  # not asked yet


def test_what_has_no_pid_is_found_out_by_asking() -> None:
    in_vain = [Silent("vin")] * SILENT_IS_NO
    assert after(COMBUSTION, *in_vain[1:])["vin"] == UNKNOWN
    assert after(COMBUSTION, *in_vain)["vin"] == NO
    assert after(COMBUSTION, *in_vain, answered("vin"))["vin"] == YES
    assert after(COMBUSTION, answered("vin"), *in_vain)["vin"] == YES


def test_what_is_offered_and_never_answered() -> None:
    assert after(COMBUSTION)["engine_rpm"] == UNKNOWN
    assert after(COMBUSTION, *[Silent("engine_rpm")] * SILENT_IS_NO)["engine_rpm"] == NO


def test_an_adapter_that_cannot_measure() -> None:
    assert after(KEY_OFF, *[Silent("adapter_voltage_v")] * SILENT_IS_NO)["adapter_voltage"] == NO


@pytest.mark.parametrize("message", [KEY_OFF, Silent("speed_kmh"), Asking("vin"), Doing("resting", 60.0), ELECTRIC])
def test_what_was_shown_is_kept_while_the_car_sleeps_or_a_computer_is_late(message: Message) -> None:
    shown = (COMBUSTION, answered("speed_kmh"), answered("engine_rpm"))
    assert after(*shown, message) == after(*shown)


def test_another_car_is_learned_anew() -> None:
    other = Hello("ELM327 v1.5", "6", ("speed_kmh", "odometer_km"))
    told = after(COMBUSTION, answered("engine_rpm"), answered("vin"), other)
    assert told["engine_rpm"] == NO
    assert told["vin"] == UNKNOWN


def test_every_ability_rests_on_known_readings() -> None:
    assert all(name in READINGS for names in ABILITIES.values() for name in names)
