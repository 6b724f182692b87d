"""What a u-blox receiver does with UBX frames: an M8 with CFG-MSG and CFG-RATE, an M10 with CFG-VALSET. Pure.

Sources: u-blox M8 Receiver Description including Protocol Specification, UBX-13003221 (32.8 ACK, 32.11 CFG, 32.16 MON);
u-blox M10 SPG 5.10 Interface Description, UBX-21035062 (3.8, 3.10 and chapter 6, configuration keys). Every message of
class CFG is answered with ACK-ACK or ACK-NAK, but CFG-RST. Nothing is kept over a power cycle here.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from firmware_sim.receiver.commands import Command, Frame, ubx
from firmware_sim.receiver.forms import FORMS
from firmware_sim.receiver.settings import BAUDS, MAX_INTERVAL_MS, MIN_INTERVAL_MS, Output

_ACK, _NAK = (0x05, 0x01), (0x05, 0x00)
_CFG = 0x06
_PRT, _MSG, _RST, _RATE, _CFG_CFG, _GNSS, _VALSET = 0x00, 0x01, 0x04, 0x08, 0x09, 0x3E, 0x8A
_MON_VER = (0x0A, 0x04)
_NMEA_CLASS = 0xF0
_NMEA_IDS = {0: "GGA", 1: "GLL", 2: "GSA", 3: "GSV", 4: "RMC", 5: "VTG", 8: "ZDA", 13: "GNS"}
_UART1 = 1
_RESTARTS = {0x0000: "hot", 0x0001: "warm"}  # navBbrMask; anything else is as good as cold
_GNSS_IDS = {0: "GPS", 2: "Galileo", 3: "BeiDou", 6: "GLONASS"}

# CFG-MSGOUT-NMEA_ID_x_UART1; I2C is one lower. An M10 has neither USB nor UART2.
_MSGOUT_UART1 = {
    0x209100BB: "GGA",
    0x209100CA: "GLL",
    0x209100B6: "GNS",
    0x209100C0: "GSA",
    0x209100C5: "GSV",
    0x209100AC: "RMC",
    0x209100B1: "VTG",
    0x209100D9: "ZDA",
}
_RATE_MEAS, _RATE_NAV, _UART1_BAUDRATE = 0x30210001, 0x30210002, 0x40520001
_SIGNALS = {0x1031001F: "GPS", 0x10310021: "Galileo", 0x10310022: "BeiDou", 0x10310025: "GLONASS"}
# Known keys without a bearing on what is simulated: SBAS, QZSS, their signals and GPS L1 C/A, DYNMODEL, time reference.
_NO_BEARING = {
    0x10310001,
    0x10310005,
    0x10310007,
    0x10310020,
    0x10310024,
    0x1031000D,
    0x10310012,
    0x20110021,
    0x20210003,
}
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}  # by bits 28 to 30 of the key
_LAYER_RAM = 1
_MAX_KEYS = 64
_EXTENSIONS = {"ublox": ("GPS;GLO;GAL;BDS", "SBAS;QZSS"), "ublox_m8": ("GPS;GLO;GAL;BDS", "SBAS;IMES;QZSS")}


def answer_m8(output: Output, command: Command) -> tuple[Output, bytes]:
    return _answer(output, command, "ublox_m8", _M8)


def answer_m10(output: Output, command: Command) -> tuple[Output, bytes]:
    return _answer(output, command, "ublox", _M10)


_Handler = Callable[[Output, bytes], "Output | bytes | None"]  # changed, polled (a frame), or refused


def _answer(output: Output, command: Command, make: str, handlers: Mapping[int, _Handler]) -> tuple[Output, bytes]:
    if not isinstance(command, Frame):
        return output, b""
    if command.kind == _MON_VER and not command.payload:
        return output, ubx(_MON_VER, _version(make))
    group, identity = command.kind
    if group != _CFG:
        return output, b""
    if identity == _RST:
        return (_restart(output, command.payload) if len(command.payload) == 4 else output), b""
    handler = handlers.get(identity)
    result = handler(output, command.payload) if handler else None
    acknowledged = ubx(_NAK if result is None else _ACK, bytes(command.kind))
    if isinstance(result, bytes):
        return output, result + acknowledged
    return (output if result is None else result), acknowledged


def _version(make: str) -> bytes:
    """Software (30 bytes), hardware (10), extensions of 30 bytes each."""
    lines = {line.split(",")[-1] for line in FORMS[make].banner}
    software = next(line for line in sorted(lines) if line.startswith("ROM "))
    hardware = next(line for line in sorted(lines) if line.startswith("HW ")).split()[-1]
    extensions = [line for name in ("FWVER", "PROTVER") for line in sorted(lines) if line.startswith(name)]
    fields = [(software, 30), (hardware, 10), *((text, 30) for text in (*extensions, *_EXTENSIONS[make]))]
    return b"".join(text.encode().ljust(size, b"\0") for text, size in fields)


def _restart(output: Output, payload: bytes) -> Output:
    (mask,) = struct.unpack_from("<H", payload)
    return replace(output, restart=_RESTARTS.get(mask, "cold"))


def _accepted(output: Output, _payload: bytes) -> Output:
    """CFG-CFG saves, clears or loads what this receiver does not keep."""
    return output


def _rate(output: Output, payload: bytes) -> Output | bytes | None:
    if not payload:
        return ubx((_CFG, _RATE), struct.pack("<HHH", output.interval_ms, 1, 1))
    if len(payload) != 6:
        return None
    measured_ms, cycles, _reference = struct.unpack("<HHH", payload)
    return _with_interval(output, measured_ms * cycles)


def _msg(output: Output, payload: bytes) -> Output | bytes | None:
    """Three bytes: the rate on the port that heard it; eight: on each of six ports; two: a poll."""
    if len(payload) not in (2, 3, 8) or payload[0] != _NMEA_CLASS or payload[1] not in _NMEA_IDS:
        return None
    name = _NMEA_IDS[payload[1]]
    if len(payload) == 2:
        rates = bytearray(6)
        rates[_UART1] = output.every[name]
        return ubx((_CFG, _MSG), payload + bytes(rates))
    return output.with_sentences({name: payload[2] if len(payload) == 3 else payload[2 + _UART1]})


def _prt(output: Output, payload: bytes) -> Output | None:
    if len(payload) != 20 or payload[0] != _UART1:
        return None
    return _with_baud(output, struct.unpack_from("<I", payload, 8)[0])


def _gnss(output: Output, payload: bytes) -> Output | None:
    if len(payload) < 4 or len(payload) != 4 + 8 * payload[3]:
        return None
    told = {}
    for at in range(4, len(payload), 8):
        if payload[at] in _GNSS_IDS:
            told[_GNSS_IDS[payload[at]]] = bool(struct.unpack_from("<I", payload, at + 4)[0] & 1)
    return _with_systems(output, told)


def _valset(output: Output, payload: bytes) -> Output | None:
    """Refused whole if one key or value is; layers other than RAM are accepted and change nothing that runs."""
    if len(payload) < 4 or payload[0] > 1:
        return None
    result: Output | None = output
    systems: dict[str, bool] = {}
    at, keys = 4, 0
    while at < len(payload):
        if at + 4 > len(payload):
            return None
        (key,) = struct.unpack_from("<I", payload, at)
        size = _VALUE_BYTES.get(key >> 28 & 7)
        if size is None or at + 4 + size > len(payload):
            return None
        value = int.from_bytes(payload[at + 4 : at + 4 + size], "little")
        at, keys = at + 4 + size, keys + 1
        if key in _SIGNALS:
            systems[_SIGNALS[key]] = bool(value)
        elif result is not None:
            result = _with_key(result, key, value)
    if result is None or not 0 < keys <= _MAX_KEYS:
        return None
    if systems:
        result = _with_systems(result, systems)
    return result if result is None or payload[1] & _LAYER_RAM else output


def _with_key(output: Output, key: int, value: int) -> Output | None:
    if key in _MSGOUT_UART1:
        return output.with_sentences({_MSGOUT_UART1[key]: value})
    if key == _RATE_MEAS:
        return _with_interval(output, value)
    if key == _RATE_NAV:
        return _with_interval(output, output.interval_ms * value)
    if key == _UART1_BAUDRATE:
        return _with_baud(output, value)
    return output if key in _NO_BEARING or key + 1 in _MSGOUT_UART1 else None


def _with_interval(output: Output, interval_ms: int) -> Output | None:
    if not MIN_INTERVAL_MS <= interval_ms <= MAX_INTERVAL_MS:
        return None
    return replace(output, interval_ms=interval_ms)


def _with_baud(output: Output, baud: int) -> Output | None:
    return replace(output, baud=baud) if baud in BAUDS else None


def _with_systems(output: Output, told: Mapping[str, bool]) -> Output | None:
    """Other systems restart the receiver's navigation; none at all are refused."""
    systems = tuple(name for name in _GNSS_IDS.values() if told.get(name, name in output.systems))
    if not systems:
        return None
    return output if set(systems) == set(output.systems) else replace(output, systems=systems, restart="hot")


_M8: Mapping[int, _Handler] = MappingProxyType(
    {_PRT: _prt, _MSG: _msg, _RATE: _rate, _CFG_CFG: _accepted, _GNSS: _gnss}
)
_M10: Mapping[int, _Handler] = MappingProxyType({_VALSET: _valset, _CFG_CFG: _accepted})
