"""An ELM327 v1.5: the bytes a client types in, the bytes the adapter prints out.

Source: Elm Electronics, ELM327 data sheet (AT commands, message formatting, multiline responses); ISO 15765-2 for the
frames. The line layout was held against 18 recorded adapter sessions. The car behind it sits on CAN 11 bit 500 kbit/s
(protocol 6) with one ECU, 7E8. No I/O and no clock: time and the car's values are arguments, and any chunking of the
input gives the same output.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from firmware_sim.j1979 import CarSnapshot, answer

_CAR_PROTOCOL = "6"
_ECU_ID = 0x7E8
_ECU_LISTENS_TO = (0x7DF, 0x7E0)  # functional address, physical address of the engine ECU
_MAX_COMMAND = 256  # characters the adapter can hold before the carriage return

# AT DP: what the adapter calls its protocols
_PROTOCOL_NAMES = {
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
# What a client reads that asks on a protocol which this car does not speak; the rest is CAN at a wrong rate.
_WRONG_PROTOCOL = {
    "1": "NO DATA",
    "2": "NO DATA",
    "3": "BUS INIT: ...ERROR",
    "4": "BUS INIT: ...ERROR",
    "5": "BUS INIT: ERROR",
    "7": "NO DATA",
}


@dataclass(frozen=True, slots=True)
class Quirks:
    """How this adapter differs from a good one; the defaults are a good one."""

    version: str = "ELM327 v1.5"
    silent_after_s: float | None = None  # from this second on nothing is answered, not even echoed: a hung adapter


GENUINE = Quirks()


@dataclass(frozen=True, slots=True)
class Settings:
    """What AT commands change; the defaults are the state after AT Z."""

    echo: bool = True
    linefeeds: bool = False
    spaces: bool = True
    headers: bool = False
    protocol: str = "0"  # as chosen; "0" is automatic with nothing found yet
    automatic: bool = True
    found: bool = False  # automatic search has found the car
    header: int = 0x7DF
    receive_only: int | None = None  # AT CRA


class Elm327:
    """One adapter: keeps its settings and the half-typed command, exactly what the chip keeps."""

    def __init__(self, quirks: Quirks = GENUINE) -> None:
        self.settings = Settings()
        self.requests = 0  # OBD requests answered or refused so far
        self._quirks = quirks
        self._typed = bytearray()
        self._overflow = False
        self._last = ""

    def feed(self, data: bytes, car: CarSnapshot, now_s: float) -> bytes:
        """Bytes from the client → bytes to the client, with the car as it is at `now_s` seconds of play."""
        if self._quirks.silent_after_s is not None and now_s >= self._quirks.silent_after_s:
            return b""
        out = bytearray()
        for byte in data:
            if self.settings.echo and byte:
                out.append(byte)
                if byte == 0x0D and self.settings.linefeeds:
                    out.append(0x0A)
            if byte == 0x0D:
                out += self._run(car)
            elif byte > 0x20:  # spaces, NUL and control characters are ignored
                self._typed.append(byte)
                if len(self._typed) > _MAX_COMMAND:
                    self._overflow = True
                    self._typed.clear()
        return bytes(out)

    def _run(self, car: CarSnapshot) -> bytes:
        command = self._typed.upper().decode("latin-1")
        self._typed.clear()
        if self._overflow:
            lines, self._overflow, self._last = ["?"], False, ""
        else:
            command = command or self._last  # a lone carriage return repeats
            self._last = command
            lines = self._at(command[2:], car) if command.startswith("AT") else self._obd(command, car)
        eol = "\r\n" if self.settings.linefeeds else "\r"
        return ("".join(line + eol for line in lines) + eol + ">").encode("ascii")

    def _at(self, command: str, car: CarSnapshot) -> list[str]:
        for pattern, run in _AT_COMMANDS:
            if match := pattern.fullmatch(command):
                self.settings, lines = run(self.settings, match.group("arg"), _Bench(car, self._quirks))
                return lines
        return ["?"]

    def _obd(self, command: str, car: CarSnapshot) -> list[str]:
        """Hex digits are sent to the car; an odd last digit says how many response frames to wait for."""
        if not re.fullmatch(r"[0-9A-F]{2,15}", command):
            return ["?"]
        self.requests += 1
        even = len(command) // 2 * 2
        limit = int(command[even:], 16) if command[even:] else None
        settings = self.settings
        searching = settings.automatic and not settings.found
        prefix = ["SEARCHING..."] if searching else []
        if not car.ecu_awake:  # nobody acknowledges a frame on a sleeping bus
            return [*prefix, "UNABLE TO CONNECT" if searching else "CAN ERROR"]
        if searching:
            self.settings = settings = replace(settings, protocol=_CAR_PROTOCOL, found=True)
        if settings.protocol != _CAR_PROTOCOL:
            return [_WRONG_PROTOCOL.get(settings.protocol, "CAN ERROR")]
        reply = answer(bytes.fromhex(command[:even]), car) if settings.header in _ECU_LISTENS_TO else None
        if reply is None or settings.receive_only not in (None, _ECU_ID) or limit == 0:
            return [*prefix, "NO DATA"]
        return [*prefix, *_printed(reply, settings, limit)]


def iso_tp_frames(message: bytes) -> list[bytes]:
    """ISO 15765-2: one single frame, or a first frame (12-bit length) and consecutive ones numbered 1..F, 0, 1..."""
    if len(message) <= 7:
        return [bytes((len(message),)) + message]
    first = (0x1000 | len(message)).to_bytes(2, "big") + message[:6]
    rest = [message[i : i + 7] for i in range(6, len(message), 7)]
    return [first, *(bytes((0x20 | (n & 0xF),)) + part.ljust(7, b"\0") for n, part in enumerate(rest, 1))]


def _printed(message: bytes, settings: Settings, limit: int | None) -> list[str]:
    """CAN frames as the adapter prints them: with headers the id and all bytes, without them the data only."""
    frames = iso_tp_frames(message)[:limit]
    gap = " " if settings.spaces else ""

    def hexed(data: bytes) -> str:
        return "".join(f"{byte:02X}{gap}" for byte in data)

    if settings.headers:
        return [f"{_ECU_ID:03X}{gap}{hexed(frame)}" for frame in frames]
    if len(message) <= 7:
        return [hexed(message)]
    return [
        f"{len(message):03X}{gap}",
        *(f"{n & 0xF:X}:{gap}{hexed(f[2 if n == 0 else 1 :])}" for n, f in enumerate(frames)),
    ]


@dataclass(frozen=True, slots=True)
class _Bench:
    """What an AT command may look at beside the settings."""

    car: CarSnapshot
    quirks: Quirks


_Result = tuple[Settings, list[str]]
_Command = Callable[[Settings, str, _Bench], _Result]


def _ok(settings: Settings, _arg: str, _bench: _Bench) -> _Result:
    return settings, ["OK"]


def _switch(name: str) -> _Command:
    def command(settings: Settings, arg: str, _bench: _Bench) -> _Result:
        changed: dict[str, Any] = {name: arg == "1"}
        return replace(settings, **changed), ["OK"]

    return command


def _text(make: Callable[[Settings, _Bench], str]) -> _Command:
    return lambda settings, _arg, bench: (settings, [make(settings, bench)])


def _reset(_settings: Settings, _arg: str, bench: _Bench) -> _Result:
    return Settings(), ["", "", bench.quirks.version]


def _defaults(_settings: Settings, _arg: str, _bench: _Bench) -> _Result:
    return Settings(), ["OK"]


def _choose_protocol(settings: Settings, arg: str, _bench: _Bench) -> _Result:
    automatic = arg in ("0", "00") or len(arg) == 2
    return replace(settings, protocol=arg[-1], automatic=automatic, found=False), ["OK"]


def _close_protocol(settings: Settings, _arg: str, _bench: _Bench) -> _Result:
    return replace(settings, found=False), ["OK"]


def _set_header(settings: Settings, arg: str, _bench: _Bench) -> _Result:
    return replace(settings, header=int(arg, 16)), ["OK"]


def _set_receive_address(settings: Settings, arg: str, _bench: _Bench) -> _Result:
    return replace(settings, receive_only=int(arg, 16) if arg else None), ["OK"]


def _protocol_name(settings: Settings, _bench: _Bench) -> str:
    name = _PROTOCOL_NAMES[settings.protocol]
    return ", ".join(part for part in ("AUTO" if settings.automatic else "", name) if part)


def _protocol_number(settings: Settings, _bench: _Bench) -> str:
    return ("A" if settings.automatic else "") + settings.protocol


def _table(*rows: tuple[str, str, _Command]) -> tuple[tuple[re.Pattern[str], _Command], ...]:
    return tuple((re.compile(f"{re.escape(name)}(?P<arg>{arg})"), run) for name, arg, run in rows)


# name, what may follow (spaces are gone by then), what it does; the first row that matches whole wins
_AT_COMMANDS = _table(
    ("@1", "", _text(lambda _s, _b: "OBDII to RS232 Interpreter")),
    ("AL", "", _ok),  # allow long messages
    ("AR", "", _ok),  # automatic receive address
    ("AT", "[012]", _ok),  # adaptive timing
    ("BI", "", _ok),  # bypass the initialisation
    ("CAF", "[01]", _ok),  # CAN automatic formatting: accepted, formatting stays on
    ("CFC", "[01]", _ok),  # CAN flow control
    ("CRA", "(?:[0-9A-F]{3})?", _set_receive_address),
    ("DPN", "", _text(_protocol_number)),
    ("DP", "", _text(_protocol_name)),
    ("D", "", _defaults),
    ("E", "[01]", _switch("echo")),
    ("FE", "", _ok),  # forget events
    ("H", "[01]", _switch("headers")),
    ("IGN", "", _text(lambda _s, bench: "ON" if bench.car.ecu_awake else "OFF")),
    ("I", "", _text(lambda _s, bench: bench.quirks.version)),
    ("L", "[01]", _switch("linefeeds")),
    ("M", "[01]", _ok),  # memory of the last protocol
    ("NL", "", _ok),  # normal length messages
    ("PC", "", _close_protocol),
    ("R", "[01]", _ok),  # responses on or off: accepted, they stay on
    ("RV", "", _text(lambda _s, bench: f"{bench.car.battery_v:.1f}V")),
    ("SH", "[0-9A-F]{3}", _set_header),
    ("SP", "(?:A?[0-9A-C]|00)", _choose_protocol),
    ("ST", "[0-9A-F]{2}", _ok),  # time-out in steps of 4 ms
    ("S", "[01]", _switch("spaces")),
    ("TP", "A?[0-9A-C]", _choose_protocol),
    ("WS", "", _reset),
    ("Z", "", _reset),
)
