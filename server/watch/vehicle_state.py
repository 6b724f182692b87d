"""What is known of a vehicle now, folded from samples by event time. Pure.

Order does not matter: late samples fill history and never move "last" backwards, and a sample from the future is stored
but never becomes the present, or one wrong clock would freeze the vehicle for years.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from server.columns import Floats, Samples, value_of

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


def fold(state: VehicleState, samples: Samples, times_ms: Floats, now_ms: int) -> VehicleState:
    """The state after these samples arrived at `now_ms` (UTC ms).

    Args:
        state: what was known.
        samples: what arrived.
        times_ms: the event time of each, UTC ms, NaN where nobody knows it (`retiming.times_of`).
        now_ms: the server's time.
    """
    is_future = times_ms > now_ms + FUTURE_TOLERANCE_MS
    changed: dict[str, Any] = {
        "samples": state.samples + samples.count,
        "future_samples": state.future_samples + int(np.count_nonzero(is_future)),
    }
    when_ms = np.where(np.isnan(times_ms) | is_future, -np.inf, times_ms)  # what has no place in time is never newest
    _, newest_ms = _newest(when_ms)
    if newest_ms is None:
        return replace(state, **changed)
    if _is_newer(newest_ms, state.sample_time_ms):
        changed["sample_time_ms"] = newest_ms
    at, fix_ms = _newest(_known(samples, "lat_deg", when_ms))
    if fix_ms is not None and _is_newer(fix_ms, state.fix_time_ms):
        changed["fix_time_ms"] = fix_ms
        for name in FIX_FIELDS:
            changed[name] = value_of(name, samples.columns[name][at]) if name in samples.columns else None
    times = dict(state.obd_times_ms)
    for name in OBD_FIELDS:
        if name not in samples.columns:
            continue
        at, told_ms = _newest(_known(samples, name, when_ms))
        if told_ms is not None and _is_newer(told_ms, times.get(name)):
            times[name] = told_ms
            changed[name] = value_of(name, samples.columns[name][at])
    if times != state.obd_times_ms:
        changed |= {"obd_times_ms": times, "obd_time_ms": max(times.values())}
    return replace(state, **changed)


def _known(samples: Samples, name: str, when_ms: Floats) -> Floats:
    """The times at which a column was told, -inf elsewhere."""
    column = samples.columns.get(name)
    return np.where(np.isnan(column), -np.inf, when_ms) if column is not None else when_ms[:0]


def _newest(when_ms: Floats) -> tuple[int, int | None]:
    """Index and time of the newest; the first of equals, and None where there is none."""
    if not when_ms.size:
        return 0, None
    at = int(when_ms.argmax())
    time_ms = float(when_ms[at])
    return at, None if time_ms == -np.inf else int(time_ms)


def _is_newer(time_ms: int, known_ms: int | None) -> bool:
    return known_ms is None or time_ms > known_ms
