"""One NMEA sentence with a good checksum → what it says of time, position and motion, or why it cannot be used.

The layout of each sentence is pynmea2's; what the text of a field means is decided here. pynmea2's own converters turn
"no fix" into latitude 0.0, raise on second 60 and on minutes without decimals, and pass bad numbers on as text.

A field that identifies or places the epoch (time, position, quality) must be readable and possible, or the sentence is
refused. Any other odd field (a course of 400°, an altitude `-`) is None, as if the receiver had not said it: it costs
no position. Position, altitude and motion are read only where their own sentence declares them valid:

* RMC and GLL: status A or D, and a mode other than N (mode: NMEA 2.3 and later);
* GGA: quality 1 to 8; but 1 to 5 from fewer than three satellites is no verdict, since those are satellite solutions;
* GNS: at least one system has a mode other than N. gpsd asks for the first, GPS; a BeiDou-only fix is a fix.

The navigational status that NMEA 4.1 appended to RMC and GNS is not read: u-blox sends V there, "not provided".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import pynmea2

from edge_agent.gnss.nmea_sentence import Sentence

MAX_READ_CHARACTERS = 120  # longer ones are two sentences that a Garmin GPS-10 ran together under one checksum
MIN_SATELLITES = 3
SATELLITE_QUALITIES = range(1, 6)  # GPS, differential, PPS, RTK, float RTK; then estimated, manual, simulated
ESTIMATED_MODES = ("E", "M", "S")  # dead reckoning, manual input, simulator
KNOT_MPS = 1852 / 3600


class RefusedError(ValueError):
    """A sentence with a good checksum that cannot be used; `reason` is one of nmea_sentence.REFUSALS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Position:
    """WGS-84 degrees, north and east positive, as one sentence printed them."""

    lat_deg: float
    lon_deg: float
    minute_decimals: int  # of the coarser of the two


@dataclass(frozen=True, slots=True)
class Said:
    """One sentence, understood. `valid` is its verdict on the epoch's position; None if it gives none."""

    address: str  # GNRMC
    time_of_day_ms: int | None = None  # 86_400_000 and more in a leap second
    date: date | None = None
    valid: bool | None = None
    estimated: bool = False  # valid, but by dead reckoning, by hand or simulated: the standard's status V for others
    position: Position | None = None
    alt_m: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    fix_quality: int | None = None
    satellites_used: int | None = None
    hdop: float | None = None

    @property
    def talker(self) -> str:
        return self.address[:2]

    @property
    def type(self) -> str:
        return self.address[2:]


def understand(sentence: Sentence) -> Said | None:
    """What the sentence says; None for a type that is not read. Raises RefusedError."""
    row = READERS.get(sentence.address[2:])
    if row is None or sentence.address.startswith("P"):  # PGRMC is Garmin's, not an RMC
        return None
    layout, min_fields, reader = row
    if sentence.length > MAX_READ_CHARACTERS:
        raise RefusedError("too_long")
    if len(sentence.fields) < min_fields:
        raise RefusedError("malformed")
    return reader(sentence.address, layout(sentence.address[:2], sentence.address[2:], sentence.fields))


def _rmc(address: str, message: Any) -> Said:
    valid = _verdict(message.status, message.mode_indicator)
    return Said(
        address,
        time_of_day_ms=_time_of_day_ms(_text(message, "timestamp")),
        date=_rmc_date(_text(message, "datestamp")) if valid else None,  # a void RMC's clock may never have been set
        valid=valid,
        estimated=message.mode_indicator in ESTIMATED_MODES,
        position=_position(message) if valid else None,
        speed_mps=_speed_mps(_text(message, "spd_over_grnd")) if valid else None,
        course_deg=_number(_text(message, "true_course"), 0, 360) if valid else None,
    )


def _gga(address: str, message: Any) -> Said:
    quality = _quality(_text(message, "gps_qual"))
    satellites_used = _satellites(message.num_sats)
    too_few = quality in SATELLITE_QUALITIES and satellites_used is not None and satellites_used < MIN_SATELLITES
    valid = None if quality is None or too_few else quality > 0
    return Said(
        address,
        time_of_day_ms=_time_of_day_ms(_text(message, "timestamp")),
        valid=valid,
        estimated=quality not in SATELLITE_QUALITIES,
        position=_position(message) if valid else None,
        alt_m=_altitude_m(_text(message, "altitude")) if valid else None,
        fix_quality=quality,
        satellites_used=satellites_used,
        hdop=_dilution(message.horizontal_dil),
    )


def _gll(address: str, message: Any) -> Said:
    valid = _verdict(message.status, message.faa_mode)
    return Said(
        address,
        time_of_day_ms=_time_of_day_ms(_text(message, "timestamp")),
        valid=valid,
        estimated=message.faa_mode in ESTIMATED_MODES,
        position=_position(message) if valid else None,
    )


def _gns(address: str, message: Any) -> Said:
    modes = message.mode_indicator  # a letter for each of GPS, GLONASS, Galileo, BeiDou ...
    valid = None if not modes else set(modes) != {"N"}
    return Said(
        address,
        time_of_day_ms=_time_of_day_ms(_text(message, "timestamp")),
        valid=valid,
        estimated=set(modes) <= {"N", *ESTIMATED_MODES},
        position=_position(message) if valid else None,
        alt_m=_altitude_m(message.altitude) if valid else None,
        satellites_used=_satellites(message.num_sats),
        hdop=_dilution(message.hdop),
    )


def _vtg(address: str, message: Any) -> Said:
    if message.faa_mode == "N":
        return Said(address)
    return Said(
        address,
        speed_mps=_speed_mps(_text(message, "spd_over_grnd_kts")),
        course_deg=_number(_text(message, "true_track"), 0, 360),
    )


def _gsa(address: str, message: Any) -> Said:
    used = sum(1 for satellite in message.data[2:14] if satellite)
    return Said(address, satellites_used=used, hdop=_dilution(message.hdop))


def _zda(address: str, message: Any) -> Said:
    year, month, day = (_text(message, name) for name in ("year", "month", "day"))
    return Said(
        address,
        time_of_day_ms=_time_of_day_ms(_text(message, "timestamp")),
        date=_calendar_date(year, month, day),
    )


# Sentence type → its layout, the fields it cannot do without, its reader.
READERS: Mapping[str, tuple[Callable[..., Any], int, Callable[[str, Any], Said]]] = {
    "RMC": (pynmea2.RMC, 9, _rmc),
    "GGA": (pynmea2.GGA, 6, _gga),
    "GLL": (pynmea2.GLL, 4, _gll),
    "GNS": (pynmea2.GNS, 6, _gns),
    "VTG": (pynmea2.VTG, 5, _vtg),
    "GSA": (pynmea2.GSA, 14, _gsa),
    "ZDA": (pynmea2.ZDA, 4, _zda),
}

_TIME = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d*))?")
_ANGLE = re.compile(r"(\d{1,5})(?:\.(\d*))?")  # dddmm.mmmm; some leave leading zeros or the decimals out
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)")


def _text(message: Any, name: str) -> str:
    """A field as sent, past pynmea2's converter; "" if the sentence is shorter."""
    index: int = type(message).name_to_idx[name]
    return str(message.data[index]) if index < len(message.data) else ""


def _verdict(status: str, mode: str) -> bool | None:
    """A Garmin 65 sends a GLL without status: no verdict. An eXplorist 110 sends N, then V: void."""
    return None if not status else status in ("A", "D") and mode != "N"


def _quality(text: str) -> int | None:
    if not text:
        return None
    if not re.fullmatch(r"\d+", text):
        raise RefusedError("malformed")
    if int(text) > 8:
        raise RefusedError("value_out_of_range")
    return int(text)


def _time_of_day_ms(text: str) -> int | None:
    """hhmmss, hhmmss.s or finer, cut (not rounded) to milliseconds; second 60 is a leap second."""
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise RefusedError("malformed")
    hours, minutes, seconds = int(match[1]), int(match[2]), int(match[3])
    if hours > 23 or minutes > 59 or seconds > 60:
        raise RefusedError("value_out_of_range")
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + int(f"{match[4] or ''}000"[:3])


def _position(message: Any) -> Position | None:
    """The position of a sentence that declares it valid; None if both fields are empty all the same."""
    if not message.lat and not message.lon:
        return None
    lat_deg, lat_decimals = _degrees(message.lat, {"N": 1, "S": -1}.get(message.lat_dir), 90)
    lon_deg, lon_decimals = _degrees(message.lon, {"E": 1, "W": -1}.get(message.lon_dir), 180)
    if lat_deg == 0 and lon_deg == 0:
        raise RefusedError("zero_position")
    return Position(lat_deg, lon_deg, min(lat_decimals, lon_decimals))


def _degrees(text: str, sign: int | None, limit_deg: int) -> tuple[float, int]:
    match = _ANGLE.fullmatch(text)
    if match is None or sign is None:
        raise RefusedError("malformed")
    decimals = match[2] or ""
    whole_degrees, whole_minutes = divmod(int(match[1]), 100)
    degrees = whole_degrees + float(f"{whole_minutes}.{decimals}") / 60
    if whole_minutes > 59 or degrees > limit_deg:
        raise RefusedError("value_out_of_range")
    return sign * degrees, len(decimals)


def _number(text: str, low: float, high: float) -> float | None:
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if low <= value <= high else None


def _speed_mps(knots_text: str) -> float | None:
    knots = _number(knots_text, 0, 1_000)  # receivers for civil use stop at 1,000 knots
    return None if knots is None else knots * KNOT_MPS


def _altitude_m(text: str) -> float | None:
    return _number(text, -1_000, 100_000)


def _dilution(text: str) -> float | None:
    return _number(text, 0, 98.99)  # 99.0, 99.9 and 99.99 stand for "no solution"


def _satellites(text: str) -> int | None:
    number = _number(text, 0, 200)
    return None if number is None else math.floor(number)


def _rmc_date(text: str) -> date | None:
    """ddmmyy, 80–99 being 1980–1999; a Telit with an unset clock sends `2208-1`, which is no date."""
    if not re.fullmatch(r"\d{6}", text):
        return None
    century = "19" if text[4:] >= "80" else "20"
    return _calendar_date(century + text[4:], text[2:4], text[:2])


def _calendar_date(year: str, month: str, day: str) -> date | None:
    if not all(re.fullmatch(r"\d{1,4}", part) for part in (year, month, day)) or not 1980 <= int(year) <= 2100:
        return None
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None
