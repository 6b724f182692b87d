"""One epoch as NMEA 0183 4.11 sentences. Pure.

Fields: NMEA 0183 version 4.11, 8.3 (RMC with mode and navigational status, VTG, GGA, GSA with system id, GSV with
signal id, GLL, GNS, ZDA, TXT). System ids: GPS 1, GLONASS 2, Galileo 3, BeiDou 4; signal ids: L1 C/A 1, G1 1, E1 7,
B1I 1. The geoid separation of GGA and GNS is left empty, as UM620 receivers do; the height told is that above mean sea
level.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor
from types import MappingProxyType

from firmware_sim.receiver.forms import Form
from firmware_sim.receiver.navigation import Clock, Fix
from firmware_sim.receiver.reception import Heard
from firmware_sim.receiver.settings import SENTENCES

_MPS_TO_KNOTS = 3600 / 1852
_TALKER = {"GPS": "GP", "GLONASS": "GL", "Galileo": "GA"}
_SYSTEM_ID = {"GPS": 1, "GLONASS": 2, "Galileo": 3, "BeiDou": 4}
_SIGNAL_ID = {"GPS": 1, "GLONASS": 1, "Galileo": 7, "BeiDou": 1}
_USED_MAX = 12  # numbers in one GSA; receivers name the first twelve (u-blox M10 interface description, GSA)
_NO_DOP_ABOVE = 99.0


@dataclass(frozen=True, slots=True)
class Epoch:
    """What the sentences tell. `clock` None: the receiver does not know the time yet."""

    clock: Clock | None
    fix: Fix | None
    heard: Sequence[Heard]
    systems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hand:
    """Who writes: the form of the make, and the talkers of positions and of BeiDou's satellites."""

    form: Form
    position: str
    beidou: str

    def of_satellites(self, system: str) -> str:
        return _TALKER.get(system, self.beidou)


def sentence(body: str) -> bytes:
    """`body` between `$` and `*`, with its checksum (exclusive or of the characters) and CR LF."""
    return f"${body}*{reduce(xor, body.encode('ascii'), 0):02X}\r\n".encode("ascii")


def sentences(epoch: Epoch, hand: Hand, wanted: Iterable[str]) -> list[bytes]:
    """The sentences of the `wanted` types, in the order in which the make sends them."""
    names = set(wanted)
    order = (*hand.form.order, *(name for name in SENTENCES if name not in hand.form.order))
    return [sentence(body) for name in order if name in names for body in _WRITERS[name](epoch, hand)]


def _rmc(epoch: Epoch, hand: Hand) -> list[str]:
    clock, date = _clock(epoch, hand.form), f"{epoch.clock.utc:%d%m%y}" if epoch.clock else ""
    fix = epoch.fix
    if fix is None:
        return [f"{hand.position}RMC,{clock},V,,,,,,,{date},,,N,V"]
    knots, _, heading = _movement(fix, hand.form)
    return [f"{hand.position}RMC,{clock},A,{_place(fix, hand.form)},{knots},{heading},{date},,,A,V"]


def _vtg(epoch: Epoch, hand: Hand) -> list[str]:
    if epoch.fix is None:
        return [f"{hand.position}VTG,,,,,,,,,N"]
    knots, kmh, heading = _movement(epoch.fix, hand.form)
    return [f"{hand.position}VTG,{heading},T,,M,{knots},N,{kmh},K,A"]


def _gga(epoch: Epoch, hand: Hand) -> list[str]:
    clock, form, fix = _clock(epoch, hand.form), hand.form, epoch.fix
    if fix is None:
        hdop = form.no_dop if form.no_count else ""
        return [f"{hand.position}GGA,{clock},,,,,0,{form.no_count},{hdop},,,,,,"]
    count, hdop = min(len(fix.used), form.max_count), _dop(fix.dilution.hdop, form)
    return [f"{hand.position}GGA,{clock},{_place(fix, form)},1,{count:02d},{hdop},{fix.altitude_m:.1f},M,,M,,"]


def _gll(epoch: Epoch, hand: Hand) -> list[str]:
    clock = _clock(epoch, hand.form)
    if epoch.fix is None:
        return [f"{hand.position}GLL,,,,,{clock},V,N"]
    return [f"{hand.position}GLL,{_place(epoch.fix, hand.form)},{clock},A,A"]


def _gns(epoch: Epoch, hand: Hand) -> list[str]:
    """Modes in the order GPS, GLONASS, Galileo, BeiDou."""
    clock, fix = _clock(epoch, hand.form), epoch.fix
    if fix is None:
        return [f"{hand.position}GNS,{clock},,,,,NNNN,00,{hand.form.no_dop},,,,,V"]
    used = {place.system for place in fix.used}
    modes = "".join("A" if system in used else "N" for system in _SYSTEM_ID)
    count, hdop = min(len(fix.used), 99), _dop(fix.dilution.hdop, hand.form)
    return [f"{hand.position}GNS,{clock},{_place(fix, hand.form)},{modes},{count:02d},{hdop},{fix.altitude_m:.1f},,,,V"]


def _gsa(epoch: Epoch, hand: Hand) -> list[str]:
    """One a system; GN where there are several systems, else the talker of its satellites (NMEA 0183 4.11, GSA)."""
    form, fix = hand.form, epoch.fix
    if fix is None:
        dops = ",".join([form.no_dop] * 3)
    else:
        dops = ",".join(_dop(value, form) for value in (fix.dilution.pdop, fix.dilution.hdop, fix.dilution.vdop))
    bodies = []
    for system in epoch.systems:
        numbers = [f"{place.number:02d}" for place in (fix.used if fix else ()) if place.system == system][:_USED_MAX]
        fields = ",".join(numbers + [""] * (_USED_MAX - len(numbers)))
        talker = "GN" if len(epoch.systems) > 1 else hand.of_satellites(system)
        bodies.append(f"{talker}GSA,A,{fix.dimension if fix else 1},{fields},{dops},{_SYSTEM_ID[system]}")
    return bodies


def _gsv(epoch: Epoch, hand: Hand) -> list[str]:
    """Four satellites a sentence."""
    bodies = []
    for system in epoch.systems:
        seen = [item for item in epoch.heard if item.place.system == system]
        signal = _SIGNAL_ID[system] if hand.form.signal_ids and seen else 0
        groups = [seen[i : i + 4] for i in range(0, len(seen), 4)] or [[]]
        bodies += [
            ",".join(
                [
                    f"{hand.of_satellites(system)}GSV,{len(groups)},{number},{len(seen):02d}",
                    *(_satellite(item) for item in group),
                    str(signal),
                ]
            )
            for number, group in enumerate(groups, 1)
        ]
    return bodies


def _zda(epoch: Epoch, hand: Hand) -> list[str]:
    if epoch.clock is None:
        return [f"{hand.position}ZDA,,,,,,"]
    utc = epoch.clock.utc
    date = f"{utc.day:02d},{utc.month:02d},{utc.year:04d}"
    return [f"{hand.position}ZDA,{_clock(epoch, hand.form)},{date},00,00"]


def _txt(_epoch: Epoch, hand: Hand) -> list[str]:
    return list(hand.form.texts)


_WRITERS: Mapping[str, Callable[[Epoch, Hand], list[str]]] = MappingProxyType(
    {
        "RMC": _rmc,
        "VTG": _vtg,
        "GGA": _gga,
        "GSA": _gsa,
        "GSV": _gsv,
        "GLL": _gll,
        "GNS": _gns,
        "ZDA": _zda,
        "TXT": _txt,
    }
)


def _clock(epoch: Epoch, form: Form) -> str:
    return epoch.clock.text(form.second_decimals) if epoch.clock else ""


def _place(fix: Fix, form: Form) -> str:
    lat, lon = (
        _degrees_minutes(value, whole, form.minute_decimals) for value, whole in ((fix.lat_deg, 2), (fix.lon_deg, 3))
    )
    return f"{lat},{'NS'[fix.lat_deg < 0]},{lon},{'EW'[fix.lon_deg < 0]}"


def _movement(fix: Fix, form: Form) -> tuple[str, str, str]:
    """Knots, km/h, course."""
    knots, kmh = (f"{fix.speed_mps * factor:.{form.speed_decimals}f}" for factor in (_MPS_TO_KNOTS, 3.6))
    heading = f"{round(fix.course_deg, 2) % 360:.2f}" if fix.speed_mps >= form.course_from_mps else ""
    return knots, kmh, heading


def _dop(value: float, form: Form) -> str:
    return f"{min(value, _NO_DOP_ABOVE):.{form.dop_decimals}f}"


def _satellite(item: Heard) -> str:
    """Number, elevation, azimuth, C/N0; unknown ones are empty."""
    place = item.place
    where = f"{place.elevation_deg:02.0f},{int(place.azimuth_deg):03d}" if item.placed else ","
    return f"{place.number:02d},{where},{'' if item.cn0_dbhz is None else f'{min(round(item.cn0_dbhz), 99):02d}'}"


def _degrees_minutes(degrees: float, digits: int, decimals: int) -> str:
    """ddmm.mmmmm or dddmm.mmmmm: 10^-5 minutes are 1.9 cm."""
    unit = 60 * 10**decimals
    whole, rest = divmod(round(abs(degrees) * unit), unit)
    minutes, fraction = divmod(rest, 10**decimals)
    return f"{whole:0{digits}d}{minutes:02d}.{fraction:0{decimals}d}"
