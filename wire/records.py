"""The records that car and server share. Units are in the names; None means that nobody measured it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

BOOT_BYTES = 16
LINK_BYTES = 16
MAX_BOOTS = 2**31 - 1  # outboxes of one unit


class TimeQuality(IntEnum):
    """Where a record's UTC time came from, best first."""

    GNSS = 1  # the receiver's own epoch
    NTP = 2  # the system clock, disciplined over the network
    RTC = 3  # the system clock, from a battery-backed clock
    FLOOR = 4  # no clock: the newest server time that a signed receipt has told
    NONE = 5  # nothing known: re-timed by the server from the monotonic clock


class PositionSource(IntEnum):
    """Where a position came from, if not as it is from the GNSS receiver."""

    CELL = 1  # the place of a cell tower
    WIFI = 2  # the place of Wi-Fi stations
    HELD = 3  # the receiver's, held while the vehicle stands


@dataclass(frozen=True, slots=True)
class Sample:
    """What the unit knew of its vehicle in one second, with the values exactly as they are on the wire.

    Positions are WGS-84. GNSS values are those of one epoch; OBD values are at most a few seconds old
    (`edge_agent/sample.py`), else None.
    """

    mono_s: float
    time_utc_ms: int | None
    time_quality: TimeQuality
    lat_deg: float | None = None
    lon_deg: float | None = None
    alt_m: float | None = None  # above mean sea level
    speed_mps: float | None = None  # over ground, by the receiver
    course_deg: float | None = None  # over ground, from true north
    fix_quality: int | None = None  # NMEA GGA quality indicator, 0 (none) to 8
    satellites_used: int | None = None
    hdop: float | None = None
    obd_speed_kmh: float | None = None
    engine_rpm: float | None = None
    coolant_temp_c: float | None = None
    engine_load_pct: float | None = None
    throttle_pct: float | None = None
    module_voltage_v: float | None = None
    fuel_level_pct: float | None = None
    odometer_km: float | None = None
    mil_on: int | None = None  # malfunction indicator lamp: 1 lit, 0 dark
    dtc_count: int | None = None
    position_source: int | None = None  # a PositionSource; None: the receiver's own
    position_accuracy_m: float | None = None  # radius that the source claims (68 %), for cell and Wi-Fi only


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once, by the kinds of `EVENT_KINDS`."""

    kind: str
    mono_ms: int
    time_utc_ms: int | None
    time_quality: TimeQuality
    details: Mapping[str, str] = field(default_factory=dict)


# What each kind says; the server has the Chinese and English texts (server/web/event_texts.py is checked against this).
EVENT_KINDS: Mapping[str, str] = {
    "unit_started": "the agent started: version, and whether an outbox was found",
    "outbox_replaced": "the outbox could not be read and was set aside: a new boot begins",
    "vehicle_identified": "the car told its VIN over OBD",
    "trouble_codes": "the car told its diagnostic trouble codes (SAE J2012)",
    "pending_codes": "trouble codes of this drive that are not confirmed yet (service 07)",
    "permanent_codes": "trouble codes that no tester can clear (service 0A)",
    "power_state": "the unit's power budget changed its state, and why",
    "car_abilities": "what this car and its adapter can tell, where it changed",
    "ignition_on": "the engine, or an electric car's drive, was started",
    "ignition_off": "the engine was stopped",
    "power_cut": "the unit lost its supply and runs on its backup",
    "power_restored": "the supply came back",
    "obd_unplugged": "the adapter went away",
    "obd_plugged_in": "the adapter came back",
    "low_battery": "the vehicle's battery is low",
    "battery_recovered": "the vehicle's battery is no longer low",
    "mil_on": "the malfunction indicator lamp lit, with the codes where they are known",
    "mil_off": "the malfunction indicator lamp went dark",
    "tow": "the vehicle moves with its engine off",
    "wrong_vin": "the car tells another VIN than the one that the unit is bound to: moved to another car",
    "gnss_lost": "no position any more while driving; all satellites at once hints at jamming",
    "gnss_regained": "positions again",
    "position_disagrees": "the distance by position and by the wheels disagree: a hint at spoofing",
    "collision": "a deceleration that no brakes reach",
    "unit_halting": "the unit announces that it halts to spare the battery, and when it will wake",
    "unit_woke": "the unit was started again: what woke it",
    "status": "what the unit says of itself: ports, power, outbox, time, certificates",
    "command_answer": "what became of a command of the server",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """Batches that were sealed and then dropped or lost before the server had them."""

    boot: bytes
    first: int
    last: int
    samples: int
    reason: str


@dataclass(frozen=True, slots=True)
class Body:
    """What one seal covers, besides the batch's identity (unit, boot, sequence)."""

    kernel_boot: int  # which run of the unit's monotonic clock the mono times belong to
    samples: tuple[Sample, ...] = ()
    events: tuple[Event, ...] = ()
    gaps: tuple[Gap, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)  # what the unit counts of its inputs, where it changed


@dataclass(frozen=True, slots=True, order=True)
class SequenceRange:
    """Sequences first to last, both included."""

    first: int
    last: int

    def __contains__(self, sequence: int) -> bool:
        return self.first <= sequence <= self.last


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the server has committed of one boot; only this lets a car forget."""

    unit: str
    boot: bytes
    committed: tuple[SequenceRange, ...]
    server_time_ms: int
    wanted: tuple[SequenceRange, ...] = ()
