"""What a car's OBD port can say, as values with a name, a unit, a believable range and an age limit.

The ranges are those of SAE J1979 (ISO 15031-5) narrowed to what a road vehicle can truly show, because the ends of the
encoded ranges are what broken sensors and cloned adapters send: all bits set reads 255 km/h, 16,383.75 rpm or 65.535 V,
and a missing temperature sensor reads exactly -40 °C. Such a value is refused with a reason, never passed on.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

Value = float | str | tuple[str, ...]

TWO_BATTERIES_V = 18.0  # no 12 V alternator holds 18 V; a 24 V system is empty long before it falls to that


@dataclass(frozen=True, slots=True)
class Reading:
    """One answered OBD value with its own time; it is never made from an older answer."""

    name: str  # a key of READINGS
    value: Value
    mono_s: float  # the unit's monotonic clock when the adapter answered, s


@dataclass(frozen=True, slots=True)
class Refused:
    """Why something was not believed; short and stable, so that it can be counted."""

    reason: str


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text that matches `regex` as a whole; with `many` a tuple of them, at most 127 from each of 8 computers."""

    regex: re.Pattern[str]
    many: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of every reading of one name."""

    unit: str
    valid: Range | Pattern
    stale_after_s: float  # older than this, the value says nothing about now
    about: str  # service and PID of SAE J1979, and how to read it


_MOST_CODES = 8 * 127
_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")  # ISO 3779: no I, O, Q
_VIN_PART = re.compile(r"[A-HJ-NPR-Z0-9]{8,16}")
_DTC = re.compile(r"[PCBU][0-3][0-9A-F]{3}")  # SAE J2012

READINGS: Mapping[str, Kind] = MappingProxyType(
    {
        "speed_kmh": Kind("km/h", Range(0, 250), 5, "01 0D vehicle speed from the wheels, whole km/h"),
        "engine_rpm": Kind("rpm", Range(0, 12_000), 5, "01 0C crankshaft speed, steps of 0.25; a hybrid drives at 0"),
        "engine_load_pct": Kind("%", Range(0, 100), 15, "01 04 calculated load"),
        "throttle_pct": Kind("%", Range(0, 100), 15, "01 11 absolute throttle position; closed is not 0"),
        "maf_gps": Kind("g/s", Range(0, 650), 15, "01 10 air drawn in, grams per second"),
        "module_voltage_v": Kind("V", Range(4, 36), 20, "01 42 supply of the engine computer; cranking reaches 7.5 V"),
        "adapter_voltage_v": Kind("V", Range(0, 36), 20, "AT RV pin 16 at the adapter; near 0 when out of the socket"),
        "coolant_temp_c": Kind("°C", Range(-39, 150), 60, "01 05 coolant; -40 is a missing sensor"),
        "intake_temp_c": Kind("°C", Range(-39, 150), 60, "01 0F intake air; -40 is a missing sensor"),
        "run_time_s": Kind("s", Range(0, 65_535), 60, "01 1F since the engine started; stands still at 65,535"),
        "fuel_level_pct": Kind("%", Range(0, 100), 300, "01 2F fuel tank"),
        "odometer_km": Kind("km", Range(0, 2_000_000), 300, "01 A6 steps of 0.1; in cars from about 2019"),
        "mil_on": Kind("0/1", Range(0, 1), 120, "01 01 engine fault lamp, 1 when any computer asks for it"),
        "dtc_count": Kind("1", Range(0, _MOST_CODES), 120, "01 01 confirmed fault codes, summed over the computers"),
        "dtc_codes": Kind("SAE J2012", Pattern(_DTC, many=True), 1_800, "03 confirmed fault codes; () means none"),
        "dtc_pending": Kind("SAE J2012", Pattern(_DTC, many=True), 1_800, "07 codes of this drive, not confirmed yet"),
        "dtc_permanent": Kind("SAE J2012", Pattern(_DTC, many=True), 1_800, "0A codes that no tester can clear"),
        "vin": Kind("ISO 3779", Pattern(_VIN), 1_800, "09 02 vehicle identification number"),
        "vin_part": Kind("ISO 3779", Pattern(_VIN_PART), 1_800, "09 02 as a clone mutilated it: too short"),
    }
)


def checked(reading: Reading) -> Reading | Refused:
    """`reading` with its number as a float, or why it cannot be true."""
    kind = READINGS.get(reading.name)
    if kind is None:
        return Refused(f"unknown reading {reading.name[:40]!r}")
    if not math.isfinite(reading.mono_s) or reading.mono_s < 0:
        return Refused(f"{reading.name}: time is not a monotonic clock's")
    value = _CHECKS[type(kind.valid)](reading.value, kind.valid)
    return Refused(f"{reading.name}: {value.reason}") if isinstance(value, Refused) else replace(reading, value=value)


def is_stale(reading: Reading, now_mono_s: float) -> bool:
    """Whether `reading` is too old at `now_mono_s` (the same monotonic clock) to say anything about now."""
    return now_mono_s - reading.mono_s > READINGS[reading.name].stale_after_s


def listed(texts: Sequence[str], most: int) -> str:
    """`texts` in one of at most `most` characters: whole ones with spaces between, then how many are left out (`+12`).

    A trouble code that is cut in the middle reads as another code.
    """
    for count in range(len(texts), -1, -1):
        left_out = len(texts) - count
        text = " ".join([*texts[:count], *([f"+{left_out}"] if left_out else [])])
        if len(text) <= most:
            return text
    return ""


def _number(value: Value, valid: Range) -> Value | Refused:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Refused("not a number")
    if not valid.low <= value <= valid.high:  # also refuses NaN
        return Refused(f"outside {valid.low:g} to {valid.high:g}")
    return float(value)


def _text(value: Value, valid: Pattern) -> Value | Refused:
    texts = value if valid.many else (value,)
    if not isinstance(texts, tuple) or not all(isinstance(text, str) for text in texts):
        return Refused("not a tuple of texts" if valid.many else "not a text")
    if len(texts) > _MOST_CODES:
        return Refused("too many texts")
    if not all(valid.regex.fullmatch(str(text)) for text in texts):
        return Refused("malformed text")
    return value


_CHECKS: Mapping[type, Callable[..., Value | Refused]] = {Range: _number, Pattern: _text}
