"""The AT commands: one row each, with the chip version that brought it.

Source: ELM327 data sheet (commands, arguments, answers) and Elm Electronics' table "AT Commands by Version". What a
command only prepares for buses that no simulated car has (J1850, J1939) is accepted and changes nothing.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from firmware_sim.adapter.bus import K_LINE
from firmware_sim.adapter.settings import DEFAULT_TIMEOUT, Settings
from firmware_sim.j1979 import CarSnapshot

LEVELS = ("1.0", "1.1", "1.2", "1.3", "1.3a", "1.4", "1.4b", "2.0", "2.1", "2.2")
UNKNOWN = "?"

# AT DP: what the adapter calls its protocols
PROTOCOL_NAMES = {
    "0": "",
    "1": "SAE J1850 PWM",
    "2": "SAE J1850 VPW",
    "3": "ISO 9141-2",
    "4": "ISO 14230-4 (KWP 5BAUD)",
    "5": "ISO 14230-4 (KWP FAST)",
    "6": "ISO 15765-4 (CAN 11/500)",
    "7": "ISO 15765-4 (CAN 29/500)",
    "8": "ISO 15765-4 (CAN 11/250)",
    "9": "ISO 15765-4 (CAN 29/250)",
    "A": "SAE J1939 (CAN 29/250)",
    "B": "USER1 (CAN 11/125)",
    "C": "USER2 (CAN 11/50)",
}


class Act(Enum):
    """What a command makes the chip do, beyond a changed setting and an answer."""

    NOTHING = "nothing"
    RESET = "reset"
    DEFAULTS = "defaults"
    STORE_PROTOCOL = "store protocol"
    MONITOR = "monitor"  # prints what it hears until a byte is typed
    SLEEP = "sleep"  # until a byte is typed


@dataclass(frozen=True, slots=True)
class Looks:
    """What a command may look at beside the settings."""

    car: CarSnapshot
    version: str
    device: str
    last_sent: bytes = b""
    chip: str = ""  # STI


@dataclass(frozen=True, slots=True)
class Done:
    """A command's outcome; `lines` without their ends."""

    settings: Settings
    lines: tuple[str, ...] = ("OK",)
    act: Act = Act.NOTHING


Run = Callable[[Settings, str, Looks], Done]
Row = tuple[re.Pattern[str], int, Run]


def run_at(command: str, level: int, settings: Settings, looks: Looks) -> Done:
    """Carry out what stands behind `AT` (capitals, no spaces), as a chip of LEVELS[level] does."""
    return run_row(_ROWS, command, level, settings, looks)


def run_row(rows: tuple[Row, ...], command: str, level: int, settings: Settings, looks: Looks) -> Done:
    """The first row that matches whole wins; no row, or one of a later chip: not understood."""
    for pattern, since, run in rows:
        if since <= level and (match := pattern.fullmatch(command)):
            return run(settings, match.group("arg"), looks)
    return Done(settings, (UNKNOWN,))


def ok(settings: Settings, _arg: str, _looks: Looks) -> Done:
    return Done(settings)


def does(act: Act, *lines: str) -> Run:
    return lambda settings, _arg, _looks: Done(settings, lines, act)


def says(make: Callable[[Settings, Looks], str]) -> Run:
    return lambda settings, _arg, looks: Done(settings, (make(settings, looks),))


def sets(name: str, parse: Callable[[str], Any] = lambda arg: arg == "1") -> Run:
    def command(settings: Settings, arg: str, _looks: Looks) -> Done:
        changed: dict[str, Any] = {name: parse(arg)}
        return Done(replace(settings, **changed))

    return command


def choose_protocol(settings: Settings, arg: str, _looks: Looks) -> Done:
    automatic = arg in ("0", "00") or len(arg) == 2
    return Done(replace(settings, protocol=arg[-1], automatic=automatic, found=False))


def close_protocol(settings: Settings, _arg: str, _looks: Looks) -> Done:
    return Done(replace(settings, found=False))


def protocol_number(settings: Settings, _looks: Looks) -> str:
    return ("A" if settings.automatic else "") + settings.protocol


def protocol_name(settings: Settings, _looks: Looks) -> str:
    name = PROTOCOL_NAMES[settings.protocol]
    return ", ".join(part for part in ("AUTO" if settings.automatic else "", name) if part)


def _save_protocol(settings: Settings, arg: str, looks: Looks) -> Done:
    return replace(choose_protocol(settings, arg, looks), act=Act.STORE_PROTOCOL)


def _receive_address(settings: Settings, arg: str, _looks: Looks) -> Done:
    """AT CRA hhh or hhhhhhhh: that id alone; without: all."""
    mask = (0x7FF if len(arg) == 3 else 0x1FFFFFFF) if arg else 0
    return Done(replace(settings, wanted_id=int(arg or "0", 16), wanted_mask=mask))


def _slow_init(settings: Settings, _arg: str, looks: Looks) -> Done:
    """AT SI and AT FI wake a K-line; on any other protocol they are not appropriate."""
    if settings.protocol not in K_LINE:
        return Done(settings, (UNKNOWN,))
    if looks.car.ecu_awake and looks.car.protocol == settings.protocol:
        return Done(replace(settings, found=True), ("BUS INIT: OK",))
    return Done(settings, ("BUS INIT: ...ERROR",))


def _key_words(settings: Settings, _looks: Looks) -> str:
    woken = settings.found and settings.protocol in K_LINE
    return "1:8F 2:E9" if woken and settings.protocol != "3" else "1:08 2:08" if woken else "1:-- 2:--"


def _buffer_dump(settings: Settings, looks: Looks) -> str:
    """Length of the last message and the twelve bytes of the buffer."""
    gap = " " if settings.spaces else ""
    return "".join(f"{byte:02X}{gap}" for byte in (len(looks.last_sent), *looks.last_sent.ljust(12, b"\0")))


def _parameters(settings: Settings, _arg: str, _looks: Looks) -> Done:
    """AT PPS: the programmable parameters, none of them enabled."""
    factory = {0x03: 0x32, 0x04: 0x01, 0x06: 0xF1, 0x09: 0x00, 0x0D: 0x0D, 0x0E: 0x9A, 0x13: 0x32}
    items = [f"{n:02X}:{factory.get(n, 0xFF):02X} F" for n in range(0x30)]
    return Done(settings, tuple("  ".join(items[i : i + 4]) for i in range(0, len(items), 4)))


def rows(*table: tuple[str, str, str, Run]) -> tuple[Row, ...]:
    return tuple(
        (re.compile(f"{re.escape(name)}(?P<arg>{arg})"), LEVELS.index(since), run) for name, arg, since, run in table
    )


_HEX2 = "[0-9A-F]{2}"
_BIT = "[01]"
_hex = sets("header", lambda arg: int(arg, 16))

# name, what may follow (spaces are gone by then), since version, what it does
_ROWS = rows(
    ("@1", "", "1.0", says(lambda _s, looks: looks.device)),
    ("@2", "", "1.3", says(lambda settings, _l: settings.description or UNKNOWN)),
    ("@3", "[!-~]{1,12}", "1.3", sets("description", str)),
    ("AL", "", "1.0", ok),  # long messages are allowed in any case
    ("AMC", "", "2.0", says(lambda _s, _l: "02")),
    ("AMT", _HEX2, "2.0", ok),
    ("AR", "", "1.2", ok),
    ("AT", "[012]", "1.2", sets("timing", int)),
    ("BD", "", "1.0", says(_buffer_dump)),
    ("BI", "", "1.0", ok),
    ("BRT", _HEX2, "1.2", ok),  # AT BRD itself is refused: the bridge behind the chip runs at one rate
    ("CAF", _BIT, "1.0", sets("formatting")),
    ("CEA", f"(?:{_HEX2})?", "1.4", ok),
    ("CER", _HEX2, "2.2", ok),
    ("CFC", _BIT, "1.0", sets("flow_control")),
    ("CF", "(?:[0-9A-F]{3}|[0-9A-F]{8})", "1.0", sets("wanted_id", lambda arg: int(arg, 16))),
    ("CM", "(?:[0-9A-F]{3}|[0-9A-F]{8})", "1.0", sets("wanted_mask", lambda arg: int(arg, 16))),
    ("CP", _HEX2, "1.0", sets("priority", lambda arg: int(arg, 16))),
    ("CRA", "", "1.4b", _receive_address),
    ("CRA", "(?:[0-9A-F]{3}|[0-9A-F]{8})", "1.3", _receive_address),
    ("CSM", _BIT, "1.4b", ok),
    ("CS", "", "1.0", says(lambda _s, _l: "T:00 R:00")),
    ("CTM", "[15]", "2.1", ok),
    ("CV", "[0-9]{4}", "1.0", ok),
    ("DM1", "", "1.2", does(Act.MONITOR)),
    ("DPN", "", "1.0", says(protocol_number)),
    ("DP", "", "1.0", says(protocol_name)),
    ("D", _BIT, "1.3", sets("dlc")),
    ("D", "", "1.0", does(Act.DEFAULTS, "OK")),
    ("E", _BIT, "1.0", sets("echo")),
    ("FCSD", "(?:[0-9A-F]{2}){1,5}", "1.1", ok),
    ("FCSH", "(?:[0-9A-F]{3}|[0-9A-F]{8})", "1.1", ok),
    ("FCSM", "[012]", "1.1", ok),
    ("FE", "", "1.3a", ok),
    ("FI", "", "1.4", _slow_init),
    ("H", _BIT, "1.0", sets("headers")),
    ("IB", "10|96", "1.0", ok),
    ("IB", "48", "1.4", ok),
    ("IB", "12|15", "2.2", ok),
    ("IFR", "[012HS]", "1.2", ok),
    ("IFR", "[456]", "2.2", ok),
    ("IGN", "", "1.4", says(lambda _s, looks: "ON" if looks.car.ecu_awake else "OFF")),
    ("IIA", _HEX2, "1.2", ok),
    ("I", "", "1.0", says(lambda _s, looks: looks.version)),
    ("J", "[ES]", "1.3", ok),
    ("JHF", _BIT, "1.4b", ok),
    ("JTM", "[15]", "1.4b", ok),
    ("KW", _BIT, "1.2", ok),
    ("KW", "", "1.3", says(_key_words)),
    ("LP", "", "1.4", does(Act.SLEEP, "OK")),
    ("L", _BIT, "1.0", sets("linefeeds")),
    ("MA", "", "1.0", does(Act.MONITOR)),
    ("MP", "[0-9A-F]{4}(?:[0-9A-F]{2})?[0-9]?", "1.2", does(Act.MONITOR)),
    ("MR", _HEX2, "1.0", does(Act.MONITOR)),
    ("MT", _HEX2, "1.0", does(Act.MONITOR)),
    ("M", _BIT, "1.0", sets("memory")),
    ("NL", "", "1.0", ok),
    ("PB", "[0-9A-F]{4}", "1.4", ok),
    ("PC", "", "1.0", close_protocol),
    ("PP", f"(?:{_HEX2}|FF)(?:ON|OFF|SV{_HEX2})", "1.1", ok),
    ("PPS", "", "1.1", _parameters),
    ("RA", _HEX2, "1.3", ok),
    ("RD", "", "1.4", says(lambda settings, _l: f"{settings.stored_byte:02X}")),
    ("RTR", "", "1.3", says(lambda _s, _l: "NO DATA")),
    ("RV", "", "1.0", says(lambda _s, looks: f"{looks.car.battery_v:.1f}V")),
    ("R", _BIT, "1.0", sets("responses")),
    ("SD", _HEX2, "1.4", sets("stored_byte", lambda arg: int(arg, 16))),
    ("SH", "(?:[0-9A-F]{3}|[0-9A-F]{6})", "1.0", _hex),
    ("SH", "[0-9A-F]{8}", "2.0", _hex),
    ("SI", "", "1.4", _slow_init),
    ("SP", "A?[0-9A-C]", "1.0", _save_protocol),
    ("SP", "00", "1.3", _save_protocol),
    ("SR", _HEX2, "1.2", ok),
    ("SS", "", "1.4", ok),
    ("ST", _HEX2, "1.0", sets("timeout", lambda arg: int(arg, 16) or DEFAULT_TIMEOUT)),
    ("SW", _HEX2, "1.0", ok),
    ("S", _BIT, "1.3", sets("spaces")),
    ("TA", _HEX2, "1.3", ok),
    ("TP", "A?[0-9A-C]", "1.0", choose_protocol),
    ("V", _BIT, "1.3", ok),
    ("WM", "(?:[0-9A-F]{2}){1,6}", "1.0", ok),
    ("WS", "", "1.0", does(Act.RESET)),
    ("Z", "", "1.0", does(Act.RESET)),
)
