"""Fixes and readings → one Sample a second. Pure.

The receiver sets the pace: a sample is made of each epoch, and of the OBD values that are still fresh at that moment. A
receiver that says more than one epoch a second gives every first one. Where no epochs come, the adapter sets the pace.
With neither, or with epochs but no position and no OBD, one sample in ten seconds says that the unit is alive.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from edge_agent.car.readings import Reading, is_stale
from edge_agent.gnss.nmea import Fix
from edge_agent.timing.clock import UtcClock, utc_ms
from wire.codec import on_wire
from wire.records import Sample, TimeQuality

# Epochs closer together than this belong to the same second; receivers at 1 Hz waver by a few hundredths.
MIN_SPACING_MS = 930
# The monotonic clock of a sample is cut to tenths of a second: its jitter would cost half a byte a sample, and the time
# of the epoch is told to the millisecond beside it.
_MONO_HZ = 10
NO_EPOCH_S = 1.5
ALIVE_EVERY_S = 10.0

# Which readings fill a field of the sample; the first fresh one counts.
FROM_READINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "obd_speed_kmh": ("speed_kmh",),
        "engine_rpm": ("engine_rpm",),
        "coolant_temp_c": ("coolant_temp_c",),
        "engine_load_pct": ("engine_load_pct",),
        "throttle_pct": ("throttle_pct",),
        "module_voltage_v": ("module_voltage_v", "adapter_voltage_v"),
        "fuel_level_pct": ("fuel_level_pct",),
        "odometer_km": ("odometer_km",),
        "mil_on": ("mil_on",),
        "dtc_count": ("dtc_count",),
    }
)


class Fuser:
    """Holds the newest reading of each name and the last sample's time; makes the next sample."""

    def __init__(self) -> None:
        self._readings: dict[str, Reading] = {}
        self._last_epoch_ms: int | None = None
        self._last_epoch_mono_s = float("-inf")
        self._last_sample_mono_s = float("-inf")

    def on_reading(self, reading: Reading) -> None:
        """A new value from the car."""
        self._readings[reading.name] = reading

    def on_fix(self, fix: Fix, mono_s: float, clock: UtcClock) -> Sample | None:
        """The sample of this epoch; None where its second has one already, or it says nothing new."""
        if self._same_second(fix, mono_s):
            return None
        self._last_epoch_mono_s = mono_s
        obd = self._fresh(mono_s)
        if fix.lat_deg is None and not obd and mono_s - self._last_sample_mono_s < ALIVE_EVERY_S:
            return None
        if fix.time_utc is not None:
            self._last_epoch_ms = utc_ms(fix.time_utc)
        return self._sample(
            mono_s,
            *clock.at(mono_s),  # the epoch's own time, unless it jumped and nobody has confirmed it
            obd,
            lat_deg=fix.lat_deg,
            lon_deg=fix.lon_deg,
            alt_m=fix.alt_m,
            speed_mps=fix.speed_mps,
            course_deg=fix.course_deg,
            fix_quality=fix.fix_quality,
            satellites_used=fix.satellites_used,
            hdop=fix.hdop,
            position_source=int(fix.source) or None,
            position_accuracy_m=fix.accuracy_m,
        )

    def on_tick(self, mono_s: float, clock: UtcClock) -> Sample | None:
        """Once a second: a sample without an epoch, where the car still talks or it is time to be heard."""
        if mono_s - self._last_epoch_mono_s < NO_EPOCH_S:
            return None
        obd = self._fresh(mono_s)
        if not obd and mono_s - self._last_sample_mono_s < ALIVE_EVERY_S:
            return None
        return self._sample(mono_s, *clock.at(mono_s), obd)

    def _same_second(self, fix: Fix, mono_s: float) -> bool:
        if fix.time_utc is None or self._last_epoch_ms is None:
            return fix.time_utc is None and (mono_s - self._last_epoch_mono_s) * 1000 < MIN_SPACING_MS
        return 0 <= utc_ms(fix.time_utc) - self._last_epoch_ms < MIN_SPACING_MS

    def _fresh(self, mono_s: float) -> dict[str, Any]:
        fresh = {name: each for name, each in self._readings.items() if not is_stale(each, mono_s)}
        values: dict[str, Any] = {}
        for field, names in FROM_READINGS.items():
            value = next((fresh[name].value for name in names if name in fresh), None)
            if value is not None:
                values[field] = value
        return values

    def _sample(
        self, mono_s: float, time_ms: int | None, quality: TimeQuality, obd: Mapping[str, Any], **gnss: Any
    ) -> Sample:
        self._last_sample_mono_s = mono_s
        return on_wire(Sample(math.floor(mono_s * _MONO_HZ) / _MONO_HZ, time_ms, quality, **gnss, **obd))
