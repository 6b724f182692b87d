"""Which OBD values are believed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.car.readings import READINGS, Pattern, Range, Reading, Refused, checked, is_stale, listed

VIN = "1HGCM82633A004352"
NUMBERS = {name: kind.valid for name, kind in READINGS.items() if isinstance(kind.valid, Range)}


@pytest.mark.parametrize(("name", "valid"), NUMBERS.items())
def test_both_ends_of_a_range_are_valid_and_just_outside_is_not(name: str, valid: Range) -> None:
    for value in (valid.low, valid.high):
        assert checked(Reading(name, value, 1.0)) == Reading(name, float(value), 1.0)
    for value in (valid.low - 0.1, valid.high + 0.1, math.nan, math.inf, -math.inf):
        refused = checked(Reading(name, value, 1.0))
        assert isinstance(refused, Refused)
        assert refused.reason.startswith(f"{name}: outside")


def test_whole_numbers_become_floats() -> None:
    believed = checked(Reading("speed_kmh", 42, 1.0))
    assert isinstance(believed, Reading)
    assert type(believed.value) is float


@pytest.mark.parametrize(
    ("name", "sentinel"),
    [
        ("speed_kmh", 255.0),
        ("engine_rpm", 16_383.75),
        ("module_voltage_v", 65.535),
        ("module_voltage_v", 0.0),
        ("maf_gps", 655.35),
        ("coolant_temp_c", -40.0),
        ("intake_temp_c", -40.0),
        ("intake_temp_c", 215.0),
        ("odometer_km", 429_496_729.5),
    ],
)
def test_what_broken_sensors_and_clones_send_is_refused(name: str, sentinel: float) -> None:
    assert isinstance(checked(Reading(name, sentinel, 1.0)), Refused)


def test_an_unplugged_adapter_may_say_nearly_zero_volts() -> None:
    assert checked(Reading("adapter_voltage_v", 0.2, 1.0)) == Reading("adapter_voltage_v", 0.2, 1.0)


@pytest.mark.parametrize("value", ["42", True, ("42",), None])
def test_a_number_must_be_a_number(value: object) -> None:
    assert checked(Reading("speed_kmh", value, 1.0)) == Refused("speed_kmh: not a number")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("vin", VIN, None),
        ("vin", VIN[1:], "vin: malformed text"),
        ("vin", VIN + "7", "vin: malformed text"),
        ("vin", "O" + VIN[1:], "vin: malformed text"),
        ("vin", VIN.lower(), "vin: malformed text"),
        ("vin", VIN + "\n", "vin: malformed text"),
        ("vin", 17.0, "vin: not a text"),
        ("vin", (VIN,), "vin: not a text"),
        ("vin_part", VIN[1:], None),
        ("vin_part", VIN, "vin_part: malformed text"),
        ("dtc_pending", ("C0300",), None),
        ("dtc_permanent", ("B1234", "P03"), "dtc_permanent: malformed text"),
        ("dtc_codes", (), None),
        ("dtc_codes", ("P0301", "U3FFF"), None),
        ("dtc_codes", ("P0301", "P4000"), "dtc_codes: malformed text"),
        ("dtc_codes", ("P030",), "dtc_codes: malformed text"),
        ("dtc_codes", "P0301", "dtc_codes: not a tuple of texts"),
        ("dtc_codes", (1.0,), "dtc_codes: not a tuple of texts"),
        ("dtc_codes", ("P0301",) * 1017, "dtc_codes: too many texts"),
    ],
)
def test_texts(name: str, value: str | tuple[str, ...], reason: str | None) -> None:
    reading = Reading(name, value, 1.0)
    assert checked(reading) == (Refused(reason) if reason else reading)


def test_unknown_names_and_impossible_times_are_refused() -> None:
    assert checked(Reading("boost_kpa", 1.0, 1.0)) == Refused("unknown reading 'boost_kpa'")
    for mono_s in (-1.0, math.nan, math.inf):
        assert checked(Reading("speed_kmh", 1.0, mono_s)) == Refused("speed_kmh: time is not a monotonic clock's")


@given(
    st.sampled_from([*READINGS, "other"]),
    st.floats() | st.integers() | st.text(max_size=20) | st.lists(st.text(max_size=6)).map(tuple) | st.booleans(),
    st.floats(),
)
def test_checking_never_raises_and_is_settled_after_one_pass(
    name: str, value: float | str | tuple[str, ...], mono_s: float
) -> None:
    believed = checked(Reading(name, value, mono_s))
    if isinstance(believed, Reading):
        assert checked(believed) == believed


def test_a_reading_ages_by_its_own_limit() -> None:
    speed = Reading("speed_kmh", 42.0, 100.0)
    assert not is_stale(speed, 105.0)
    assert is_stale(speed, 105.1)
    assert not is_stale(Reading("vin", VIN, 100.0), 1_000.0)


def test_every_kind_is_complete() -> None:
    for name, kind in READINGS.items():
        assert kind.unit, name
        assert kind.about, name
        assert kind.stale_after_s > 0, name
        assert isinstance(kind.valid, Pattern) or kind.valid.low < kind.valid.high, name


@pytest.mark.parametrize(
    ("most", "text"),
    [(17, "P0301 P0302 U0100"), (16, "P0301 P0302 +1"), (13, "P0301 +2"), (7, "+3"), (2, "+3"), (1, ""), (0, "")],
)
def test_a_list_is_never_cut_inside_a_code(most: int, text: str) -> None:
    assert listed(("P0301", "P0302", "U0100"), most) == text


@given(st.integers(0, 400), st.integers(0, 1_200))
def test_a_shortened_list_says_how_much_is_missing(count: int, most: int) -> None:
    codes = tuple(f"P{number:04d}" for number in range(count))
    text = listed(codes, most)
    assert len(text) <= most
    words = text.split()
    left_out = int(words.pop()) if words and words[-1].startswith("+") else 0
    assert tuple(words) == codes[: len(words)]
    assert len(words) + left_out == count or not text
