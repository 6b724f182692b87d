"""Which samples leave the car, and when. Pure.

    driving, profile full       every sample, at once
    driving, profile thin       what the error bound needs, decided when a sample leaves the ring
    parked, either profile      one sample in `heartbeat_s`, decided when a sample leaves the ring
    around an event             every sample, from `window_s` before it to 60 s after it

Nothing is decided about a sample before it is 60 s old: until then it waits in the ring, and an event can still call
for it. So the ring leaves whole, in order, and nothing leaves twice. Where samples go out at once, the ring goes out
before them.

**The error bound of `thin`.** While driving, a sample is left out only if

1. its position, and those of all others left out since the last one kept, lie within `track_within_m` of the straight
   line between the positions kept before and after, each at its own time (synchronised distance: a position that is
   right but early counts as wrong);
2. each of its OBD values differs by at most one step of its resolution (`OBD_STEPS`) from the value last kept;
3. the same values are known as in the one last kept, with the same quality of time and kind of fix.

Nothing is left out around a pause of the input, or for more than `MOST_LEFT_OUT_S` on end. Height, course and speed
over ground follow the kept positions and have no bound of their own. Whole samples are left out, never single values:
None on the wire means that nobody measured it (`wire/records.py`).
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edge_agent.settings import setting
from wire.records import Sample

RING_S = 60.0
MOST_IN_RING = 600  # ten a second; above that the oldest leave early
MOST_LEFT_OUT_S = 60.0
MOST_LEFT_OUT = 120
PAUSE_S = 2.5  # of the input: both its sides are kept

# One step of each OBD value: of SAE J1979 where its encoding is coarser than the wire's, else of the wire (codec.py).
OBD_STEPS: Mapping[str, float] = MappingProxyType(
    {
        "obd_speed_kmh": 1.0,  # PID 0D
        "engine_rpm": 0.25,  # PID 0C
        "coolant_temp_c": 1.0,  # PID 05
        "engine_load_pct": 100 / 255,  # PID 04
        "throttle_pct": 100 / 255,  # PID 11
        "module_voltage_v": 0.001,  # PID 42
        "fuel_level_pct": 100 / 255,  # PID 2F
        "odometer_km": 0.1,  # PID A6
        "mil_on": 0.0,  # PID 01: any change is kept
        "dtc_count": 0.0,
    }
)
_STEPS = tuple(OBD_STEPS.items())
_ROUNDING = 0.11  # the wire's rounding of a J1979 step of 100/255 to tenths moves a difference by up to a tenth
_KINDS = ("time_quality", "fix_quality", "position_source")  # condition 3: of time, of fix, of position
_MADE_OF = tuple(name for name in Sample.__dataclass_fields__ if name not in ("mono_s", "time_utc_ms"))
_METRES_PER_DEGREE = 6_371_008.8 * math.pi / 180


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """Section [sampling] of unit.toml."""

    profile: str = setting(
        "full: every second while driving; thin: what keeps the track within track_within_m and OBD values exact",
        "full",
        choices=("full", "thin"),
        remote=True,
    )
    heartbeat_s: int = setting("seconds between samples while parked", 900, low=60, high=86_400, remote=True)
    track_within_m: float = setting(
        "thin: the most that a left out position may be off", 5.0, low=1, high=100, remote=True
    )


@dataclass(frozen=True, slots=True)
class _Waiting:
    sample: Sample
    moving: bool


class Sampler:
    """Takes every sample once, in order, and gives out those that are to be sealed, in order."""

    def __init__(self, settings: SamplingSettings) -> None:
        self._settings = settings
        self._ring: deque[_Waiting] = deque()
        self._left_out: list[Sample] = []  # out of the ring, driving, and not needed so far: the last may yet be kept
        self._kept: Sample | None = None  # the last that was given out
        self._kept_moving = False
        self._previous: Sample | None = None  # the last that left the ring
        self._all_until_s = float("-inf")

    def change(self, settings: SamplingSettings) -> None:
        """Other settings from now on; what waits is decided by them."""
        self._settings = settings

    def on_sample(self, sample: Sample, moving: bool, mono_s: float) -> tuple[Sample, ...]:
        """One sample at full rate; `moving` is what the vehicle does now. Gives what is to be sealed now."""
        at_once = sample.mono_s <= self._all_until_s or (moving and self._settings.profile == "full")
        if at_once:
            out = self._all_that_waits()
            self._give(sample, moving)
            return (*out, sample)
        self._ring.append(_Waiting(sample, moving))
        return self.on_tick(mono_s)

    def on_tick(self, mono_s: float) -> tuple[Sample, ...]:
        """Once a second, also without a sample: what is 60 s old leaves the ring. Gives what is to be sealed now."""
        out: list[Sample] = []
        while self._ring and (mono_s - self._ring[0].sample.mono_s > RING_S or len(self._ring) > MOST_IN_RING):
            out += self._decide(self._ring.popleft())
        return tuple(out)

    def on_event(self, mono_s: float, window_s: float) -> tuple[Sample, ...]:
        """Something happened: everything from `window_s` before it to 60 s after it is kept. Gives what of it waits."""
        self._all_until_s = max(self._all_until_s, mono_s + RING_S)
        out: list[Sample] = []
        while self._ring and self._ring[0].sample.mono_s < mono_s - window_s:
            out += self._decide(self._ring.popleft())
        return (*out, *self._all_that_waits())

    def pending(self) -> tuple[Sample, ...]:
        """What waits for its decision, in order: to be journalled, and after a power cut to be sealed as it is."""
        return (*self._left_out, *(waiting.sample for waiting in self._ring))

    def finish(self) -> tuple[Sample, ...]:
        """The agent ends: everything is decided now."""
        out: list[Sample] = []
        while self._ring:
            out += self._decide(self._ring.popleft())
        return (*out, *self._last_left_out())

    def _all_that_waits(self) -> tuple[Sample, ...]:
        out = list(self._last_left_out())
        while self._ring:
            waiting = self._ring.popleft()
            self._give(waiting.sample, waiting.moving)
            out.append(waiting.sample)
        return tuple(out)

    def _decide(self, waiting: _Waiting) -> tuple[Sample, ...]:
        """A sample leaves the ring: what has to be kept because of it."""
        out = self._decide_moving(waiting.sample) if waiting.moving else self._decide_parked(waiting.sample)
        self._previous = waiting.sample
        return out

    def _decide_parked(self, sample: Sample) -> tuple[Sample, ...]:
        before = self._last_left_out()
        if self._kept is not None and sample.mono_s - self._kept.mono_s < self._settings.heartbeat_s:
            return before
        self._give(sample, moving=False)
        return (*before, sample)

    def _decide_moving(self, sample: Sample) -> tuple[Sample, ...]:
        if self._settings.profile == "full" or self._kept is None or not self._kept_moving or self._paused(sample):
            return self._keep(sample)
        within_m = self._settings.track_within_m
        if not _straight(self._kept, self._left_out, sample, within_m):
            before = self._last_left_out()
            return (*before, *self._decide_moving(sample))
        too_long = sample.mono_s - self._kept.mono_s >= MOST_LEFT_OUT_S or len(self._left_out) >= MOST_LEFT_OUT
        if too_long or not _says_the_same(self._kept, sample):
            self._left_out.clear()
            self._give(sample, moving=True)
            return (sample,)
        self._left_out.append(sample)
        return ()

    def _keep(self, sample: Sample) -> tuple[Sample, ...]:
        before = self._last_left_out()
        self._give(sample, moving=True)
        return (*before, sample)

    def _paused(self, sample: Sample) -> bool:
        return self._previous is not None and sample.mono_s - self._previous.mono_s > PAUSE_S

    def _last_left_out(self) -> tuple[Sample, ...]:
        """The newest of what was left out, now kept, so that all before it lie between two kept ones."""
        if not self._left_out:
            return ()
        last = self._left_out[-1]
        self._left_out.clear()
        self._give(last, moving=True)
        return (last,)

    def _give(self, sample: Sample, moving: bool) -> None:
        self._kept, self._kept_moving, self._previous = sample, moving, sample


def _says_the_same(kept: Sample, sample: Sample) -> bool:
    """Conditions 2 and 3 of the bound."""
    for name in _MADE_OF:
        if (getattr(kept, name) is None) != (getattr(sample, name) is None):
            return False
    if any(getattr(kept, name) != getattr(sample, name) for name in _KINDS):
        return False
    return all(_within_step(getattr(kept, name), getattr(sample, name), step) for name, step in _STEPS)


def _within_step(kept: float | None, now: float | None, step: float) -> bool:
    if kept is None or now is None:
        return True  # both, by condition 3
    rounding = _ROUNDING if step == 100 / 255 else 1e-9
    return abs(now - kept) <= step + rounding


def _straight(kept: Sample, between: list[Sample], last: Sample, within_m: float) -> bool:
    """Condition 1 of the bound, for keeping `kept` and `last` and leaving out all between; times are monotonic."""
    if kept.lat_deg is None or kept.lon_deg is None or last.lat_deg is None or last.lon_deg is None:
        return all(each.lat_deg is None for each in between)
    span_s = last.mono_s - kept.mono_s
    north_deg, east_deg = last.lat_deg - kept.lat_deg, _turn(last.lon_deg - kept.lon_deg)
    narrowing = math.cos(math.radians(kept.lat_deg))
    for each in between:
        if each.lat_deg is None or each.lon_deg is None:
            return False
        share = (each.mono_s - kept.mono_s) / span_s if span_s > 0 else 0.0
        north_m = (each.lat_deg - kept.lat_deg - share * north_deg) * _METRES_PER_DEGREE
        east_m = (_turn(each.lon_deg - kept.lon_deg) - share * east_deg) * _METRES_PER_DEGREE * narrowing
        if math.hypot(north_m, east_m) > within_m:
            return False
    return True


def _turn(degrees: float) -> float:
    """A difference of longitudes the short way round."""
    return (degrees + 180) % 360 - 180
