"""What the voltage says of the vehicle's battery: system (12 or 24 V), charging, how long it has rested how low. Pure.

A lead-acid battery tells its charge only at rest; while cranking it falls to 6 V for up to 20 s (ISO 7637-2 pulse 4:
12 V systems drop by 4 to 7 V for 15 to 40 ms, then stand 2.5 to 6 V low for 0.5 to 20 s), while charging it stands at
13 to 14.5 V. Recorded cars show the same: engine off 12.38 V in the median, cranking down to 7.56 V, and 219 rows below
11.8 V with the engine already turning. So a single reading never counts: "now" is a median of five, and rest is judged
by medians of whole minutes, all of which must agree.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable
from statistics import median

from edge_agent.car.readings import TWO_BATTERIES_V

# Rest voltage at 26.7 °C over charge, flooded lead-acid, specific gravity 1.265 (Battery Council International).
REST_CURVE = ((0.0, 11.89), (0.25, 12.06), (0.50, 12.24), (0.75, 12.45), (1.0, 12.65))

_NOW_S = 120.0  # an adapter that lets the ECU sleep tells its voltage twice a minute
_NOW_READINGS = 5
_MINUTE_S = 60.0
_MINUTES_KEPT = 60
_GAP_S = 600.0  # without readings for so long, what rested before proves nothing
_LOWEST_V = 6.0  # below it, it is not the battery that is read: the adapter is out of its socket, or its supply is cut
_HIGHEST_V = 36.0
_IS_12_V = 16.0  # for two minutes: whatever showed more was a jump start or a fault
_CHARGING_HYSTERESIS_V = 0.2
# Which source is believed while it speaks: the unit's own supply monitor, pin 16 at the adapter, the engine computer.
_RANKS = {"supply": 0, "adapter": 1, "module": 2}


def rest_v(charge: float) -> float:
    """Rest voltage of a 12 V battery charged to 0 ... 1."""
    return _interpolated(charge, REST_CURVE)


def charge_at_rest(volts: float) -> float:
    """How far, 0 ... 1, a 12 V battery is charged that rests at `volts`."""
    return _interpolated(volts, tuple((v, charge) for charge, v in REST_CURVE))


class Battery:
    """All voltages that it tells are those of a 12 V system, whatever the vehicle has."""

    def __init__(self, charging_v: float = 13.0, adapter_offset_v: float = 0.0, system: str = "auto") -> None:
        self._charging_v = charging_v
        self._offset_v = adapter_offset_v
        self._auto = system == "auto"
        self.scale = 2 if system == "24" else 1
        self.charging = False
        self._source, self._source_s = "", -math.inf
        self._latest: deque[tuple[float, float]] = deque(maxlen=_NOW_READINGS)
        self._minute_s: float | None = None
        self._minute: list[float] = []
        self._minutes: deque[tuple[float, float]] = deque(maxlen=_MINUTES_KEPT)  # start s, median V, both as measured

    def on_volts(self, volts: float, mono_s: float, source: str = "adapter") -> None:
        """A reading in V by "supply", "adapter" or "module"; what cannot be a battery's is passed over."""
        if not _LOWEST_V <= volts <= _HIGHEST_V or self._speaks_better(source, mono_s):
            return
        if source != self._source:  # another meter, another error: its readings are not mixed with the old ones
            self._forget()
        self._source, self._source_s = source, mono_s
        volts += self._offset_v if source == "adapter" else 0.0
        self.on_tick(mono_s)
        self._latest.append((mono_s, volts))
        if self._minute_s is None:
            self._minute_s = mono_s
        self._minute.append(volts)
        self._judge(mono_s)

    def on_tick(self, mono_s: float) -> None:
        """Close the minute that is over; a charge that nobody has seen for a while is not one."""
        if self._minute_s is not None and mono_s - self._minute_s >= _MINUTE_S:
            self._minutes.append((self._minute_s, median(self._minute)))
            self._minute, self._minute_s = [], None
        if self.charging and self.now_v(mono_s) is None:
            self.charging = False

    def now_v(self, mono_s: float) -> float | None:
        """Median of the newest readings; None where there are none of the last two minutes."""
        fresh = self._fresh(mono_s)
        return median(fresh) / self.scale if fresh else None

    def low_for_s(self, below_v: float, mono_s: float) -> float:
        """How long the median of every minute has been below; 0 where the newest is not, or is old."""
        return self._lasts_s(lambda volts: volts < below_v, mono_s)

    def high_for_s(self, from_v: float, mono_s: float) -> float:
        """How long the median of every minute has been at or above; 0 where the newest is not, or is old."""
        return self._lasts_s(lambda volts: volts >= from_v, mono_s)

    def _speaks_better(self, source: str, mono_s: float) -> bool:
        return mono_s - self._source_s <= _NOW_S and _RANKS[self._source] < _RANKS[source]

    def _forget(self) -> None:
        self._latest.clear()
        self._minutes.clear()
        self._minute, self._minute_s = [], None

    def _fresh(self, mono_s: float) -> list[float]:
        return [volts for at_s, volts in self._latest if mono_s - at_s <= _NOW_S]

    def _judge(self, mono_s: float) -> None:
        fresh = self._fresh(mono_s)
        if self._auto and len(fresh) >= 3 and median(fresh) >= TWO_BATTERIES_V:
            self.scale = 2
        elif self._auto and self.scale == 2 and self.low_for_s(_IS_12_V / 2, mono_s) >= 2 * _MINUTE_S:
            self.scale = 1
        if len(fresh) >= 3:
            limit_v = self._charging_v - (_CHARGING_HYSTERESIS_V if self.charging else 0.0)
            self.charging = median(fresh) / self.scale >= limit_v

    def _lasts_s(self, holds: Callable[[float], bool], mono_s: float) -> float:
        end_s = begin_s = None
        for start_s, volts in reversed(self._minutes):
            later_s = mono_s if begin_s is None else begin_s
            if later_s - (start_s + _MINUTE_S) > _GAP_S or not holds(volts / self.scale):
                break
            end_s = start_s + _MINUTE_S if end_s is None else end_s
            begin_s = start_s
        return 0.0 if begin_s is None or end_s is None else end_s - begin_s


def _interpolated(x: float, points: tuple[tuple[float, float], ...]) -> float:
    """Straight lines between `points`, which ascend; the ends hold beyond them."""
    if x <= points[0][0]:
        return points[0][1]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]
