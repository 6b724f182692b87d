"""The car's diagnostic side: a request as SAE J1979 bytes in, one ECU's answer out.

Source: SAE J1979 / ISO 15031-5 (services 01, 02, 03, 04, 07, 09, 0A) over ISO 15765-4, and over ISO 9141-2 and
ISO 14230-4 for older cars. Nearly every service-01 PID is a linear code, `raw = round((value + offset) * per_unit)`,
so the table below *is* the encoder. A PID is supported when the car has a value for it; the support bitmaps
(PIDs 00, 20, 40, ...) follow from that and cannot disagree.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Ecu:
    """One computer beside the engine's that answers to the same requests; `seen_by` makes its part of the car."""

    number: int  # answers as 7E8 + number on CAN 11 bit
    address: int  # on CAN 29 bit and on a K-line (SAE J2178-1)
    fields: frozenset[str] = frozenset()  # of CarSnapshot: what it reports
    name: str | None = None
    answer_s: float = 0.009
    stored_dtcs: tuple[str, ...] = ()
    pending_dtcs: tuple[str, ...] = ()
    permanent_dtcs: tuple[str, ...] = ()
    refuses_with: int | None = None  # negative response code to everything; only ever seen on a K-line


ENGINE_ADDRESS = 0x10
GEARBOX = Ecu(1, 0x18, frozenset({"rpm", "speed_kmh", "module_voltage_v", "obd_standard"}), "TCM\0-TransmisCtrl", 0.011)


@dataclass(frozen=True, slots=True)
class CarSnapshot:
    """What the car's sensors say at one instant; None means that this car does not report the value."""

    # how it speaks, as AT SP counts: 3 ISO 9141-2, 4, 5 KWP (slow, fast), 6 to 9 CAN (11/500, 29/500, 11/250, 29/250)
    protocol: str = "6"
    answer_s: float = 0.008  # from the request to the engine ECU's answer; ISO 15765-4 allows 0.050
    other_ecus: tuple[Ecu, ...] = ()
    raw_pids: tuple[tuple[int, bytes], ...] = ()  # service 01: PIDs without a field here, as they stand on the bus
    freeze: "CarSnapshot | None" = None  # the car as it was when `freeze_dtc` was stored (service 02)
    freeze_dtc: str | None = None

    ecu_awake: bool = True
    battery_v: float = 12.6  # at pin 16 of the connector: what the adapter measures, whether or not the ECU is awake
    vin: str | None = None
    calibration_id: str | None = None
    ecu_name: str | None = None
    mil_on: bool = False
    stored_dtcs: tuple[str, ...] = ()
    pending_dtcs: tuple[str, ...] = ()
    permanent_dtcs: tuple[str, ...] = ()
    obd_standard: float | None = 6  # 6 = EOBD, the family that GB 18352 follows
    fuel_type: float | None = None  # 1 = petrol
    engine_load_pct: float | None = None
    coolant_c: float | None = None
    stft1_pct: float | None = None
    ltft1_pct: float | None = None
    map_kpa: float | None = None
    rpm: float | None = None
    speed_kmh: float | None = None
    timing_adv_deg: float | None = None
    iat_c: float | None = None
    maf_gps: float | None = None  # grams per second
    throttle_pct: float | None = None
    engine_run_time_s: float | None = None
    dist_mil_on_km: float | None = None
    cmd_evap_purge_pct: float | None = None
    fuel_level_pct: float | None = None
    warmups_since_clear: float | None = None
    dist_since_clear_km: float | None = None
    baro_kpa: float | None = None
    cat_temp_b1s1_c: float | None = None
    cat_temp_b1s2_c: float | None = None
    module_voltage_v: float | None = None
    abs_load_pct: float | None = None
    equiv_ratio: float | None = None  # lambda, 1 = stoichiometric
    rel_throttle_pct: float | None = None
    ambient_c: float | None = None
    abs_throttle_b_pct: float | None = None
    pedal_d_pct: float | None = None
    pedal_e_pct: float | None = None
    cmd_throttle_pct: float | None = None
    time_mil_on_min: float | None = None
    time_since_dtc_clear_min: float | None = None
    oil_c: float | None = None
    fuel_rate_lph: float | None = None
    odometer_km: float | None = None


@dataclass(frozen=True, slots=True)
class Pid:
    """One linear service-01 value: `size` bytes, big-endian, raw = round((value + offset) * per_unit)."""

    number: int
    field: str  # name in CarSnapshot; its suffix is the unit
    size: int
    per_unit: float = 1.0
    offset: float = 0.0

    def encode(self, value: float) -> bytes:
        """The value in this PID's code; what does not fit is held at the nearest end, as an ECU does."""
        raw = round((value + self.offset) * self.per_unit)
        return min(max(raw, 0), (1 << (8 * self.size)) - 1).to_bytes(self.size, "big")


_PERCENT = 255 / 100
PIDS: tuple[Pid, ...] = (
    Pid(0x04, "engine_load_pct", 1, _PERCENT),
    Pid(0x05, "coolant_c", 1, 1, 40),
    Pid(0x06, "stft1_pct", 1, 128 / 100, 100),
    Pid(0x07, "ltft1_pct", 1, 128 / 100, 100),
    Pid(0x0B, "map_kpa", 1),
    Pid(0x0C, "rpm", 2, 4),
    Pid(0x0D, "speed_kmh", 1),
    Pid(0x0E, "timing_adv_deg", 1, 2, 64),
    Pid(0x0F, "iat_c", 1, 1, 40),
    Pid(0x10, "maf_gps", 2, 100),
    Pid(0x11, "throttle_pct", 1, _PERCENT),
    Pid(0x1C, "obd_standard", 1),
    Pid(0x1F, "engine_run_time_s", 2),
    Pid(0x21, "dist_mil_on_km", 2),
    Pid(0x2E, "cmd_evap_purge_pct", 1, _PERCENT),
    Pid(0x2F, "fuel_level_pct", 1, _PERCENT),
    Pid(0x30, "warmups_since_clear", 1),
    Pid(0x31, "dist_since_clear_km", 2),
    Pid(0x33, "baro_kpa", 1),
    Pid(0x3C, "cat_temp_b1s1_c", 2, 10, 40),
    Pid(0x3E, "cat_temp_b1s2_c", 2, 10, 40),
    Pid(0x42, "module_voltage_v", 2, 1000),
    Pid(0x43, "abs_load_pct", 2, _PERCENT),
    Pid(0x44, "equiv_ratio", 2, 32768),
    Pid(0x45, "rel_throttle_pct", 1, _PERCENT),
    Pid(0x46, "ambient_c", 1, 1, 40),
    Pid(0x47, "abs_throttle_b_pct", 1, _PERCENT),
    Pid(0x49, "pedal_d_pct", 1, _PERCENT),
    Pid(0x4A, "pedal_e_pct", 1, _PERCENT),
    Pid(0x4C, "cmd_throttle_pct", 1, _PERCENT),
    Pid(0x4D, "time_mil_on_min", 2),
    Pid(0x4E, "time_since_dtc_clear_min", 2),
    Pid(0x51, "fuel_type", 1),
    Pid(0x5C, "oil_c", 1, 1, 40),
    Pid(0x5E, "fuel_rate_lph", 2, 20),
    Pid(0xA6, "odometer_km", 4, 10),
)
PID_BY_FIELD: Mapping[str, Pid] = MappingProxyType({pid.field: pid for pid in PIDS})
_PID_BY_NUMBER: Mapping[int, Pid] = MappingProxyType({pid.number: pid for pid in PIDS})

_MONITOR_STATUS = 0x01
_FREEZE_DTC = 0x02
_MAX_PIDS_PER_REQUEST = 6  # ISO 15765-4: up to six PIDs in one service-01 request
_READINESS = bytes((0x07, 0xE5, 0x00))  # spark ignition; misfire, fuel, components, catalyst, EVAP, O2, EGR: complete


def answer(request: bytes, car: CarSnapshot) -> bytes | None:
    """One ECU's answer on CAN to a request (service byte first), or None where an ECU keeps quiet.

    A functionally addressed ECU does not answer what it does not support (ISO 15765-4, 6.2.4), and a sleeping one
    answers nothing.
    """
    if not request or not car.ecu_awake:
        return None
    service = _SERVICES.get(request[0])
    return service(request[1:], car) if service else None


def kline_answers(request: bytes, car: CarSnapshot) -> list[bytes]:
    """One ECU's messages on ISO 9141-2 or ISO 14230-4: at most seven bytes each, so that long answers come numbered.

    Against CAN (ISO 15031-5, clause 7): one PID a request; no count of trouble codes, but three to a message and zeros
    behind them; service 09 in messages of four bytes that are counted from 1.
    """
    if request[:1] in (b"\x01", b"\x02") and len(request) > request[0] + 1:
        return []
    found = answer(request, car)
    if found is None or found[0] in (0x41, 0x42, 0x44, 0x7F):
        return [found] if found else []
    if found[0] != 0x49:
        codes = found[2:] or bytes(6)
        return [found[:1] + codes[i : i + 6].ljust(6, b"\0") for i in range(0, len(codes), 6)]
    if found[1] == 0:
        return [found[:2] + b"\x01" + found[2:]]
    text = found[3:]
    text = text.rjust(-(-len(text) // 4) * 4, b"\0")
    return [found[:2] + bytes((n,)) + text[4 * n - 4 : 4 * n] for n in range(1, len(text) // 4 + 1)]


def seen_by(ecu: Ecu, car: CarSnapshot) -> CarSnapshot:
    """The part of the car that another ECU reports."""
    return replace(
        CarSnapshot(obd_standard=None),
        ecu_awake=car.ecu_awake,
        ecu_name=ecu.name,
        stored_dtcs=ecu.stored_dtcs,
        pending_dtcs=ecu.pending_dtcs,
        permanent_dtcs=ecu.permanent_dtcs,
        **{name: getattr(car, name) for name in ecu.fields},
    )


def dtc_bytes(code: str) -> bytes:
    """Two bytes of a trouble code such as `P0301` (SAE J2012: two bits letter, two bits digit, three hex digits)."""
    letter, digits = "PCBU".index(code[0]), int(code[1:], 16)
    if len(code) != 5 or int(code[1]) > 3:
        raise ValueError(f"not a trouble code: {code!r}")
    return (letter << 14 | digits).to_bytes(2, "big")


def _supported_bitmap(base: int, supported: Iterable[int]) -> bytes:
    """Bit 31 stands for `base` + 1, bit 0 for `base` + 32, which is the next bitmap."""
    numbers = set(supported)
    bits = sum(1 << (31 - i) for i in range(31) if base + 1 + i in numbers)
    return (bits | (max(numbers, default=0) > base + 0x20)).to_bytes(4, "big")


def _is_bitmap(pid: int) -> bool:
    return pid % 0x20 == 0


def _current_data(wanted: bytes, car: CarSnapshot) -> bytes | None:
    if not 1 <= len(wanted) <= _MAX_PIDS_PER_REQUEST:
        return None
    supported = {_MONITOR_STATUS, *_reported(car)}
    body = b"".join(bytes((number,)) + data for number in wanted if (data := _pid_data(number, supported, car)))
    return b"\x41" + body if body else None


def _freeze_frame(wanted: bytes, car: CarSnapshot) -> bytes | None:
    """Service 02: PID and frame number; only frame 0 is kept, and PID 02 says for which trouble code."""
    if car.freeze is None or car.freeze_dtc is None or len(wanted) != 2 or wanted[1] != 0:
        return None
    supported = {_FREEZE_DTC, *_reported(car.freeze)}
    data = dtc_bytes(car.freeze_dtc) if wanted[0] == _FREEZE_DTC else _pid_data(wanted[0], supported, car.freeze)
    return b"\x42" + wanted + data if data else None


def _clear(wanted: bytes, car: CarSnapshot) -> bytes | None:
    """Service 04: with the engine running an ECU may refuse with "conditions not correct" (ISO 15031-5), and this does.

    The codes themselves are the car's: whoever plays it forgets them when the adapter's `clears` rises.
    """
    if wanted:
        return None
    return b"\x7f\x04\x22" if car.rpm else b"\x44"


def _reported(car: CarSnapshot) -> set[int]:
    return {pid.number for pid in PIDS if getattr(car, pid.field) is not None} | {number for number, _ in car.raw_pids}


def _pid_data(number: int, supported: set[int], car: CarSnapshot) -> bytes | None:
    if _is_bitmap(number):
        has_any = number == 0 or max(supported) > number
        return _supported_bitmap(number, supported) if has_any else None
    if number not in supported:
        return None
    if number == _MONITOR_STATUS:
        return bytes((car.mil_on << 7 | min(len(car.stored_dtcs), 0x7F),)) + _READINESS
    if raw := dict(car.raw_pids).get(number):
        return raw
    pid = _PID_BY_NUMBER[number]
    return pid.encode(getattr(car, pid.field))


def _trouble_codes(reply: int, codes: Callable[[CarSnapshot], tuple[str, ...]]) -> "Service":
    """On CAN the answer carries the number of codes, then two bytes each."""

    def service(_wanted: bytes, car: CarSnapshot) -> bytes:
        found = codes(car)[:0xFF]
        return bytes((reply, len(found))) + b"".join(dtc_bytes(code) for code in found)

    return service


def _vehicle_information(wanted: bytes, car: CarSnapshot) -> bytes | None:
    items = {
        0x02: car.vin and car.vin.encode("ascii").rjust(17, b"\0"),
        0x04: car.calibration_id and car.calibration_id.encode("ascii").ljust(16, b"\0"),
        0x0A: car.ecu_name and car.ecu_name.encode("ascii").ljust(20, b"\0"),
    }
    if len(wanted) != 1:
        return None
    if wanted == b"\x00":
        return b"\x49\x00" + _supported_bitmap(0, (number for number, text in items.items() if text))
    text = items.get(wanted[0])
    return bytes((0x49, wanted[0], 1)) + text if text else None


Service = Callable[[bytes, CarSnapshot], bytes | None]
_SERVICES: Mapping[int, Service] = MappingProxyType(
    {
        0x01: _current_data,
        0x02: _freeze_frame,
        0x03: _trouble_codes(0x43, lambda car: car.stored_dtcs),
        0x04: _clear,
        0x07: _trouble_codes(0x47, lambda car: car.pending_dtcs),
        0x09: _vehicle_information,
        0x0A: _trouble_codes(0x4A, lambda car: car.permanent_dtcs),
    }
)
