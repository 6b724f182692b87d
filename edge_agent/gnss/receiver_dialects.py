"""What receivers of each make say of themselves, and the commands that make them talk less. Pure: values only.

The aim is one epoch a second of RMC and GGA: it holds all that a Fix does, in 150 bytes instead of up to 2,000. No
command here writes to flash (PCAS00, UBX-CFG-CFG, VALSET to BBR or flash, CFGSAVE, SAVECONFIG are never sent), and none
changes the speed of the line (PCAS01, UBX-CFG-PRT, CFGPRT): 150 bytes fit into any, and a receiver that is lost at
another speed is lost until its next power cycle. After a power cycle the receiver is as it was.

* CASIC (AT6558 and later, Quectel L76K). Known by `$GPTXT` with MA=CASIC, IC=AT6.. or SW=URANUS. PCAS02 interval,
  PCAS03 mix, PCAS04 systems; nothing answers, only the mix that is heard then tells.
* u-blox up to M8. Known by UBX-MON-VER with PROTVER below 27 or none. UBX-CFG-RATE and UBX-CFG-MSG change the current
  configuration only, in RAM. UBX-ACK-ACK or -NAK answers.
* u-blox from M9 and F9. PROTVER 27 and above. UBX-CFG-VALSET with layer RAM only; UBX-ACK-ACK or -NAK.
* Unicore UFirebird (UM6xx, UC6xxx). Known by its answer to `$PDTINFO`. CFGNAV interval, CFGMSG mix; `$OK` or `$FAIL`.
* Unicore N4 (UM9xx). Known by its answer to `VERSIONA`. `UNLOG`, `GNRMC 1`, `GNGGA 1`; `$command,...,response: OK`.

Sources: CASIC Multimode Satellite Navigation Receiver Protocol Specification V4.2.0.3 (PCAS02 to PCAS06); u-blox M8
Receiver Description including Protocol Specification, UBX-13003221 (UBX-CFG-MSG, -CFG-RATE, -MON-VER, -ACK); u-blox F9
Interface Description, UBX-18010854 (UBX-CFG-VALSET, CFG-MSGOUT, CFG-RATE, CFG-SIGNAL); Unicore Standard Positioning
Products Protocol Specification R4 (PDTINFO, CFGNAV, CFGMSG); Unicore Reference Commands Manual for N4 products (UNLOG,
VERSION). None of it was tried on a receiver here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence, Set
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from operator import xor

WANTED_TYPES = frozenset({"GGA", "RMC"})
INTERVAL_MS = 1000
VALSET_PROTOCOL = 27.0
MAX_UBX_BYTES = 1024


class Dialect(StrEnum):
    CASIC = "CASIC"
    UBLOX = "u-blox"
    UBLOX_VALSET = "u-blox (VALSET)"
    FIREBIRD = "Unicore UFirebird"
    UNICORE_N4 = "Unicore N4"


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what to write, and what answers it (None: nothing does)."""

    data: bytes
    about: str
    ack: re.Pattern[bytes] | None = None
    nak: re.Pattern[bytes] | None = None


# --- building blocks --------------------------------------------------------------------------------------------------


def sentence(body: str) -> bytes:
    """`$body*XX` with its checksum and line end."""
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def ubx(kind: tuple[int, int], payload: bytes = b"") -> bytes:
    """A UBX frame: sync, class, identity, length, payload, 8-bit Fletcher checksum."""
    body = bytes(kind) + struct.pack("<H", len(payload)) + payload
    return b"\xb5\x62" + body + _fletcher(body)


def ubx_frames(data: bytes) -> list[tuple[int, int, bytes]]:
    """The whole UBX frames in `data` (class, identity, payload) whose checksum holds."""
    found = []
    for at in re.finditer(rb"\xb5\x62(?=.{6})", data, re.DOTALL):
        start = at.end()
        (length,) = struct.unpack_from("<H", data, start + 2)
        end = start + 4 + length
        if length <= MAX_UBX_BYTES and data[end : end + 2] == _fletcher(data[start:end]) and end + 2 <= len(data):
            found.append((data[start], data[start + 1], data[start + 4 : end]))
    return found


def _fletcher(body: bytes) -> bytes:
    first = second = 0
    for byte in body:
        first = (first + byte) & 0xFF
        second = (second + first) & 0xFF
    return bytes((first, second))


# --- who is it --------------------------------------------------------------------------------------------------------

MON_VER = (0x0A, 0x04)
QUESTIONS: Sequence[Command] = (
    # Every make passes over the others' questions. CASIC first: some of them answer a UBX poll as well.
    Command(sentence("PCAS06,0"), "CASIC: product"),
    Command(b"$PDTINFO\r\n", "Unicore UFirebird: product"),
    Command(b"VERSIONA\r\n", "Unicore N4: version"),
    Command(ubx(MON_VER), "u-blox: UBX-MON-VER"),
)
_SAID: Sequence[tuple[re.Pattern[bytes], Dialect]] = (
    (re.compile(rb"\$G[PN]TXT,\d+,\d+,\d+,(MA=CASIC|IC=AT6|SW=URANUS)"), Dialect.CASIC),
    (re.compile(rb"\$PDTINFO,U[MC]\w+"), Dialect.FIREBIRD),
    (re.compile(rb"#VERSIONA?,[^;\r\n]*;\"?U[MB]\w+"), Dialect.UNICORE_N4),
)
_PROTOCOL = re.compile(rb"PROTVER[ =](\d+\.\d+)")
STARTED = re.compile(rb"\$G[PN]TXT,\d+,\d+,\d+,(u-blox AG|MA=CASIC|IC=AT6)")  # a banner: the receiver has just started


def who_is_it(heard: bytes) -> Dialect | None:
    """The dialect that the newest bytes of a receiver prove; None if they prove none."""
    for pattern, dialect in _SAID:
        if pattern.search(heard):
            return dialect
    for *kind, payload in ubx_frames(heard):
        if tuple(kind) == MON_VER and payload:
            told = _PROTOCOL.search(payload)
            return Dialect.UBLOX_VALSET if told and float(told[1]) >= VALSET_PROTOCOL else Dialect.UBLOX
    return None


# --- what to write ----------------------------------------------------------------------------------------------------

SWITCHABLE = ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG", "ZDA")
CFG_MSG, CFG_RATE, CFG_VALSET = (0x06, 0x01), (0x06, 0x08), (0x06, 0x8A)
_UBX_NMEA_IDS = {"GGA": 0, "GLL": 1, "GSA": 2, "GSV": 3, "RMC": 4, "VTG": 5, "ZDA": 8}  # class 0xF0
# CFG-MSGOUT-NMEA_ID_x_UART1; the same for USB is 2 higher.
_KEYS_UART1 = {
    "GGA": 0x209100BB,
    "GLL": 0x209100CA,
    "GSA": 0x209100C0,
    "GSV": 0x209100C5,
    "RMC": 0x209100AC,
    "VTG": 0x209100B1,
    "ZDA": 0x209100D9,
}
_USB = 2
_KEY_RATE_MEAS = 0x30210001
_LAYER_RAM = 1
_SIGNAL_KEYS = {"GPS": 0x1031001F, "Galileo": 0x10310021, "BeiDou": 0x10310022, "GLONASS": 0x10310025}
_FIREBIRD_IDS = {"GGA": 0, "GLL": 1, "GSA": 2, "GSV": 3, "RMC": 4, "VTG": 5, "ZDA": 6}
_OK, _FAIL = re.compile(rb"\$OK\b"), re.compile(rb"\$FAIL\b")


def commands(
    dialect: Dialect, types: Set[str] = WANTED_TYPES, interval_ms: int | None = None, gps_beidou: bool = False
) -> tuple[Command, ...]:
    """What makes the receiver send `types` once an epoch and no others.

    `interval_ms`: between epochs; None: leave it. `gps_beidou`: use these two systems (CASIC and VALSET only: with the
    others that restarts the receiver with its default mix); False: leave it.
    """
    return {
        Dialect.CASIC: _casic,
        Dialect.UBLOX: _ublox,
        Dialect.UBLOX_VALSET: _valset,
        Dialect.FIREBIRD: _firebird,
        Dialect.UNICORE_N4: _unicore_n4,
    }[dialect](types, interval_ms, gps_beidou)


def _casic(types: Set[str], interval_ms: int | None, gps_beidou: bool) -> tuple[Command, ...]:
    """PCAS03: nGGA,nGLL,nGSA,nGSV,nRMC,nVTG,nZDA,nANT ...; an empty field is left as it is (antenna texts)."""
    found = [Command(sentence(f"PCAS02,{interval_ms}"), f"PCAS02 {interval_ms} ms")] if interval_ms else []
    mix = ",".join("1" if name in types else "0" for name in SWITCHABLE)
    if gps_beidou:
        found.append(Command(sentence("PCAS04,3"), "PCAS04 GPS and BeiDou"))
    return (*found, Command(sentence(f"PCAS03,{mix},,,,,,,,,,,"), f"PCAS03 {_listed(types)}"))


def _ublox(types: Set[str], interval_ms: int | None, _gps_beidou: bool) -> tuple[Command, ...]:
    found = []
    if interval_ms:
        payload = struct.pack("<HHH", interval_ms, 1, 1)  # each measurement a solution, aligned to GPS time
        found.append(_acknowledged(CFG_RATE, payload, f"UBX-CFG-RATE {interval_ms} ms"))
    for name, identity in _UBX_NMEA_IDS.items():
        rate = int(name in types)
        # Three bytes: the rate on the port that hears the command.
        found.append(_acknowledged(CFG_MSG, bytes((0xF0, identity, rate)), f"UBX-CFG-MSG {name} {rate}"))
    return tuple(found)


def _valset(types: Set[str], interval_ms: int | None, gps_beidou: bool) -> tuple[Command, ...]:
    """A VALSET is refused whole if one key is unknown, so UART1, USB (not on M10) and signals are set one by one."""
    found = []
    if interval_ms:
        found.append(_set_keys([struct.pack("<IH", _KEY_RATE_MEAS, interval_ms)], f"rate {interval_ms} ms"))
    if gps_beidou:
        wanted = ("GPS", "BeiDou")
        values = [struct.pack("<IB", key, name in wanted) for name, key in _SIGNAL_KEYS.items()]
        found.append(_set_keys(values, "GPS and BeiDou"))
    for port, offset in (("UART1", 0), ("USB", _USB)):
        values = [struct.pack("<IB", key + offset, name in types) for name, key in _KEYS_UART1.items()]
        found.append(_set_keys(values, f"{_listed(types)} on {port}"))
    return tuple(found)


def _set_keys(values: Sequence[bytes], about: str) -> Command:
    header = bytes((0, _LAYER_RAM, 0, 0))  # version, layers, reserved
    return _acknowledged(CFG_VALSET, header + b"".join(values), f"UBX-CFG-VALSET RAM {about}")


def _acknowledged(kind: tuple[int, int], payload: bytes, about: str) -> Command:
    ack, nak = (re.compile(re.escape(ubx((0x05, verdict), bytes(kind))), re.DOTALL) for verdict in (1, 0))
    return Command(ubx(kind, payload), about, ack, nak)


def _firebird(types: Set[str], interval_ms: int | None, _gps_beidou: bool) -> tuple[Command, ...]:
    """CFGNAV brings the default mix back, so it comes first; its third field must stay 1000."""
    found = [f"CFGNAV,{interval_ms},{interval_ms},1000"] if interval_ms else []
    found += [f"CFGMSG,0,{identity},{int(name in types)}" for name, identity in _FIREBIRD_IDS.items()]
    return tuple(Command(sentence(each), each, _OK, _FAIL) for each in found)


def _unicore_n4(types: Set[str], interval_ms: int | None, _gps_beidou: bool) -> tuple[Command, ...]:
    """UNLOG stops all output of the port that hears it; the number is the period in s."""
    every_s = f"{(interval_ms or INTERVAL_MS) / 1000:g}"
    lines = ["UNLOG", *(f"GN{name} {every_s}" for name in sorted(types))]
    return tuple(
        Command(f"{line}\r\n".encode(), line, _n4_answer(line, rb"OK"), _n4_answer(line, rb"(?!OK)")) for line in lines
    )


def _n4_answer(line: str, verdict: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\$command," + re.escape(line.encode()) + rb",response: ?" + verdict, re.IGNORECASE)


def _listed(types: Set[str]) -> str:
    return " ".join(sorted(types))
