"""What is known of a vehicle now, folded from samples by event time. Pure.

Order does not matter: late samples fill history and never move "last" backwards, and a sample from the future is stored
but never becomes the present, or one wrong clock would freeze the vehicle for years.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from server.columns import Floats, Samples

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
_TELLING = ("lat_deg", *OBD_FIELDS)


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
    newest_ms = _ms(when_ms.max(initial=-np.inf))
    if newest_ms is None:
        return replace(state, **changed)
    if _is_newer(newest_ms, state.sample_time_ms):
        changed["sample_time_ms"] = newest_ms
    names = [name for name in _TELLING if name in samples]
    # One row a field that was told: the times at which it was. The newest of each, and the first of equals.
    told_ms = np.where(np.isnan(samples.table[[samples.rows[name] for name in names]]), -np.inf, when_ms)
    newest = told_ms.argmax(axis=1)
    newest_of = {name: (at, _ms(told_ms[row, at])) for row, (name, at) in enumerate(zip(names, newest, strict=True))}

    at, fix_ms = newest_of.pop("lat_deg", (0, None))
    if fix_ms is not None and _is_newer(fix_ms, state.fix_time_ms):
        changed["fix_time_ms"] = fix_ms
        changed |= {name: samples.value(name, at) for name in FIX_FIELDS}
    times = dict(state.obd_times_ms)
    for name, (at, time_ms) in newest_of.items():
        if time_ms is not None and _is_newer(time_ms, times.get(name)):
            times[name] = time_ms
            changed[name] = samples.value(name, at)
    if times != state.obd_times_ms:
        changed |= {"obd_times_ms": times, "obd_time_ms": max(times.values())}
    return replace(state, **changed)


def _ms(time_ms: float) -> int | None:
    return None if time_ms == -np.inf else int(time_ms)


def _is_newer(time_ms: int, known_ms: int | None) -> bool:
    return known_ms is None or time_ms > known_ms
