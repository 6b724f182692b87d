# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the program obd_process/worker.py, under its licence; see there.
"""What the worker asks a car, and how it reads the answers: SAE J1979 (ISO 15031-5), trouble codes SAE J2012. Pure."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Messages = Sequence[Any]  # obd.protocols.Message, one a computer; data begins with the echo of the request
Answer = Mapping[str, float | str | list[str]]  # readings by name, empty when nothing usable came
Read = Callable[[Messages], Answer]

ENGINE = 0b10  # obd.protocols.ECU.ENGINE


@dataclass(slots=True)
class Question:
    name: str
    request: bytes
    pace_s: float
    read: Read
    due_s: float = -math.inf
    unanswered: int = 0  # times in a row
    asked: bool = False


def whole_answers(messages: Messages, request: bytes, at_least: int) -> list[Any]:
    """Those that echo `request` (hex digits) and have `at_least` bytes, the engine's computer first."""
    echo = bytes([int(request[:2], 16) | 0x40]) + bytes.fromhex(request[2:].decode())
    whole = [m for m in messages if m.data.startswith(echo) and len(m.data) >= at_least]
    return sorted(whole, key=lambda m: m.ecu != ENGINE)


def number(name: str, request: bytes, size: int, factor: float, offset: float) -> Read:
    """A big-endian number of `size` bytes: value = raw * factor + offset, as SAE J1979 lists them."""

    def read(messages: Messages) -> Answer:
        for message in whole_answers(messages, request, 2 + size):
            return {name: round(int.from_bytes(message.data[2 : 2 + size], "big") * factor + offset, 6)}
        return {}

    return read


def status(messages: Messages) -> Answer:
    """Bit 7 is the lamp, the other seven count the confirmed codes; every computer speaks for itself."""
    first = [m.data[2] for m in whole_answers(messages, b"0101", 6)]
    if not first:
        return {}
    return {"mil_on": float(any(byte & 0x80 for byte in first)), "dtc_count": float(sum(byte & 0x7F for byte in first))}


def code(pair: bytes) -> str:
    """SAE J2012: two bits letter, two bits first digit, then three hexadecimal digits of four bits."""
    return f"{'PCBU'[pair[0] >> 6]}{pair[0] >> 4 & 3}{pair[0] & 15:X}{pair[1]:02X}"


def codes(name: str, request: bytes, can: bool) -> Read:
    """On CAN the second byte counts the codes; older protocols have three codes a frame, filled up with zeros.

    For service 03 python-OBD puts a zero where CAN has the count.
    """
    counted = can or request == b"03"

    def read(messages: Messages) -> Answer:
        answers = [bytes(m.data) for m in whole_answers(messages, request, 2)]
        whole = [data for data in answers if not can or len(data) >= 2 + 2 * data[1]]
        bodies = [data[2 : 2 + 2 * data[1] if can else None] if counted else data[1:] for data in whole]
        pairs = [body[at : at + 2] for body in bodies for at in range(0, len(body) - 1, 2)]
        return {name: list(dict.fromkeys(code(pair) for pair in pairs if any(pair)))} if whole else {}

    return read


def vin(messages: Messages) -> Answer:
    """Seventeen characters, or what a clone left of them; before them CAN puts a count of 1, older protocols NULs."""
    for message in whole_answers(messages, b"0902", 2 + 8):
        text = bytes(byte for byte in message.data[2:] if byte > 0x20).decode("ascii", "replace")
        if 8 <= len(text) <= 17:
            return {"vin" if len(text) == 17 else "vin_part": text}
    return {}


def voltage(messages: Messages) -> Answer:
    texts = [match[1] for m in messages if (match := re.fullmatch(r"(\d{1,2}\.\d{1,2})V?", m.raw()))]
    return {"adapter_voltage_v": float(texts[0])} if texts else {}


# reading, request, bytes, factor, offset, s between two questions: service 01 of SAE J1979 / ISO 15031-5
NUMBERS = (
    ("speed_kmh", b"010D", 1, 1.0, 0.0, 1.0),
    ("engine_rpm", b"010C", 2, 0.25, 0.0, 1.0),
    ("throttle_pct", b"0111", 1, 100 / 255, 0.0, 3.0),
    ("engine_load_pct", b"0104", 1, 100 / 255, 0.0, 3.0),
    ("maf_gps", b"0110", 2, 0.01, 0.0, 3.0),
    ("module_voltage_v", b"0142", 2, 0.001, 0.0, 5.0),
    ("coolant_temp_c", b"0105", 1, 1.0, -40.0, 10.0),
    ("intake_temp_c", b"010F", 1, 1.0, -40.0, 15.0),
    ("run_time_s", b"011F", 2, 1.0, 0.0, 15.0),
    ("fuel_level_pct", b"012F", 1, 100 / 255, 0.0, 60.0),
    ("odometer_km", b"01A6", 4, 0.1, 0.0, 60.0),
)
BITMAPS = tuple(range(0x00, 0xC0, 0x20))  # PIDs that say which of the next 32 the car offers


def schedule(offered: frozenset[int], can: bool) -> list[Question]:
    """What to ask a car of its own: the PIDs in `offered`, and what has no PID to be offered by."""
    numbers = [
        Question(name, request, pace_s, number(name, request, size, factor, offset))
        for name, request, size, factor, offset, pace_s in NUMBERS
        if int(request, 16) & 0xFF in offered
    ]
    lamp = [Question("mil_on", b"0101", 60.0, status)] if 0x01 in offered else []
    return [
        *numbers,
        Question("vin", b"0902", 600.0, vin),
        *lamp,
        Question("dtc_codes", b"03", 600.0, codes("dtc_codes", b"03", can)),  # and when lamp or number change
        Question("dtc_pending", b"07", 600.0, codes("dtc_pending", b"07", can)),
        *([Question("dtc_permanent", b"0A", 600.0, codes("dtc_permanent", b"0A", can))] if can else []),
    ]
