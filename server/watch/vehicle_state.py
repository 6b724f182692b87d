"""What is known of a vehicle now, folded from samples by event time.

Order does not matter: late samples fill history and never move "last" backwards, and a sample from the future is stored
but never becomes the present, or one wrong clock would freeze the vehicle for years.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from wire.records import Sample

# A unit's clock may be this far ahead of the server's before its samples count as being from the future.
FUTURE_TOLERANCE_MS = 5 * 60 * 1000
# Fields of a Sample that are taken over with the newest position, and with the newest OBD value of each kind.
FIX_FIELDS = (
    "lat_deg",
    "lon_deg",
    "speed_mps",
    "course_deg",
    "fix_quality",
    "satellites_used",
    "hdop",
    "position_source",
    "position_accuracy_m",
)
OBD_FIELDS = (
    "obd_speed_kmh",
    "engine_rpm",
    "coolant_temp_c",
    "module_voltage_v",
    "fuel_level_pct",
    "odometer_km",
    "mil_on",
    "dtc_count",
)


@dataclass(frozen=True, slots=True)
class VehicleState:
    """The vehicle's last known values. `*_time_ms` is event time (UTC ms), None where nothing was heard yet."""

    sample_time_ms: int | None = None
    fix_time_ms: int | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    speed_mps: float | None = None
    course_deg: float | None = None
    fix_quality: int | None = None
    satellites_used: int | None = None
    hdop: float | None = None
    position_source: int | None = None
    position_accuracy_m: float | None = None
    obd_time_ms: int | None = None
    obd_speed_kmh: float | None = None
    engine_rpm: float | None = None
    coolant_temp_c: float | None = None
    module_voltage_v: float | None = None
    fuel_level_pct: float | None = None
    odometer_km: float | None = None
    mil_on: int | None = None
    dtc_count: int | None = None
    obd_times_ms: dict[str, int] = field(default_factory=dict)  # of each OBD value: a car tells some rarely
    samples: int = 0
    future_samples: int = 0


def fold(state: VehicleState, samples: Iterable[Sample], now_ms: int) -> VehicleState:
    """The state after these samples arrived at `now_ms` (UTC ms)."""
    for sample in samples:
        state = _fold_one(state, sample, now_ms)
    return state


def _fold_one(state: VehicleState, sample: Sample, now_ms: int) -> VehicleState:
    state = replace(state, samples=state.samples + 1)
    time_ms = sample.time_utc_ms
    if time_ms is None:
        return state
    if time_ms > now_ms + FUTURE_TOLERANCE_MS:
        return replace(state, future_samples=state.future_samples + 1)
    if _is_newer(time_ms, state.sample_time_ms):
        state = replace(state, sample_time_ms=time_ms)
    if sample.lat_deg is not None and _is_newer(time_ms, state.fix_time_ms):
        state = replace(state, fix_time_ms=time_ms, **{name: getattr(sample, name) for name in FIX_FIELDS})
    told = {name: value for name in OBD_FIELDS if (value := getattr(sample, name)) is not None}
    newer = {name: value for name, value in told.items() if _is_newer(time_ms, state.obd_times_ms.get(name))}
    if newer:
        times_ms = {**state.obd_times_ms, **dict.fromkeys(newer, time_ms)}
        state = replace(state, obd_time_ms=max(times_ms.values()), obd_times_ms=times_ms, **newer)
    return state


def _is_newer(time_ms: int, known_ms: int | None) -> bool:
    return known_ms is None or time_ms > known_ms
