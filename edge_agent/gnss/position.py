"""Positions that can be true, and a parked car that does not wander. Pure: a Fix and its instant in, a Fix out.

Jumps. Around the last believed position lies the circle that the car can have reached since: it starts at `NOISE_M`
and grows with each epoch by what the reported speeds and `ACCELERATION_MPS2` allow, at most by `MAX_SPEED_MPS`. A
position in it is believed. One outside is withheld (the Fix loses its position, everything else stays) and begins a
trail. The next positions either return into the circle, then the trail was a glitch; or they follow the trail as a car
could, then it is believed after `CONFIRM_FIXES` positions over `CONFIRM_S` seconds and counted as `relocated`. So no
move is hidden for longer than that: a ferry, a tow truck after a tunnel and a spoofer all show, `relocated` says that
it was no drive, and after a gap the circle is so large that nothing is withheld. Reflections that last longer than
`CONFIRM_S` show too: with GNSS alone they are the same thing. A receiver that repeats a position to the last digit
while it reports a speed has not measured anew, so the circle goes on growing.

Zeros. 0° N 0° E and what lies within some hundred metres of it, and a coordinate that is exactly 0, are values that
were never set. The nearest road to 0° N 0° E is 570 km away; what is lost on the equator and on the Greenwich meridian
is one position on crossing it.

Holding. Receivers wander by metres while a car stands. When for `SETTLE_S` all reported speeds were below `STILL_MPS`
and all positions lay within half the receiver's noise radius of their mean, that mean is given out in place of what
the receiver says, marked `FixSource.HELD`, until the car moves. It moves when a speed reaches `MOVING_MPS`, two in a
row reach `CREEPING_MPS`, two positions in a row lie 1.5 noise radii away, or the mean of the last `RECENT_S` one
radius. The radius is 5 m times HDOP, at least 10 and at most 25 m (`NOISE_RADIUS_M`). So what is shown stays within
1.5 radii of what the receiver says, single outliers apart, however long it lasts: a car dragged at 1 m/s is released
within two epochs where the receiver tells the speed, and where it says 0 after a radius and `RECENT_S`; a slower drag
shows in steps of a radius (benchmarks/position_filter.py). A rule that wants the raw position keeps the Fix that it
put in.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.settings import setting

MAX_SPEED_MPS = 70.0  # 252 km/h
ACCELERATION_MPS2 = 8.0  # hard braking; between two epochs a reported speed is wrong by at most this
NOISE_M = 40.0
CONFIRM_FIXES = 3
CONFIRM_S = 8.0
DAY_S = 86_400.0
LONGEST_BURST_S = 60.0

ZERO_ZONE_DEG = 0.005

SETTLE_S = 10.0
SETTLE_FIXES = 3
STILL_MPS = 0.5
CREEPING_MPS = 0.8
MOVING_MPS = 2.0
RECENT_S = 5.0
MAX_SPOTS = 512  # of ten seconds
NOISE_PER_HDOP_M = 5.0
NOISE_RADIUS_M = (10.0, 25.0)  # at least, at most

METRES_PER_DEGREE = 111_195.0  # of a sphere of 6,371 km: within 0.6 %


@dataclass(frozen=True, slots=True)
class PositionSettings:
    """`[position]` of unit.toml."""

    hold: bool = setting("show a standing vehicle at one place instead of the receiver's wander around it", True)


REASONS = {
    "zero": "a coordinate that was never set: 0° N 0° E, or exactly 0",
    "jump": "withheld: farther than the car can have come, and not confirmed (yet)",
}


@dataclass(frozen=True, slots=True)
class Spot:
    """A position and when it was there."""

    lat_deg: float
    lon_deg: float
    mono_s: float
    time_of_day_ms: int | None
    speed_mps: float | None


class PositionFilter:
    """Fixes in order of time in, the same fixes with a believable and steady position (or none) out."""

    def __init__(self, hold: bool = True) -> None:
        self.counts: Counter[str] = Counter()  # of fixes, by REASONS, held; of places, relocated
        self._circle = _Circle()
        self._hold = _Hold() if hold else None

    def step(self, fix: Fix, mono_s: float) -> Fix:
        """`fix` as it should be shown; one without a position, or with a fallback's, passes unchanged.

        `mono_s` never goes back.
        """
        if fix.lat_deg is None or fix.lon_deg is None or fix.source is not FixSource.GNSS:
            return fix
        spot = Spot(fix.lat_deg, fix.lon_deg, mono_s, fix.time_of_day_ms, fix.speed_mps)
        if _was_never_set(spot):
            self.counts["zero"] += 1
            return replace(fix, lat_deg=None, lon_deg=None)
        believed, relocated = self._circle.believes(spot)
        self.counts["relocated"] += relocated
        if not believed:
            self.counts["jump"] += 1
            return replace(fix, lat_deg=None, lon_deg=None)
        if self._hold is None:
            return fix
        held = self._hold.step(spot, noise_radius_m(fix.hdop))
        if held is None:
            return fix
        self.counts["held"] += 1
        return replace(fix, lat_deg=held[0], lon_deg=held[1], source=FixSource.HELD)


def noise_radius_m(hdop: float | None) -> float:
    """How far the positions of a standing receiver scatter, m."""
    low, high = NOISE_RADIUS_M
    return min(max(low, NOISE_PER_HDOP_M * (hdop or 0)), high)


def distance_m(lat_a_deg: float, lon_a_deg: float, lat_b_deg: float, lon_b_deg: float) -> float:
    """On a plane through the two: within 1 % up to some hundred kilometres, beyond that only "far"."""
    east_deg = (lon_b_deg - lon_a_deg + 180) % 360 - 180
    east_deg *= math.cos(math.radians((lat_a_deg + lat_b_deg) / 2))
    return METRES_PER_DEGREE * math.hypot(lat_b_deg - lat_a_deg, east_deg)


def _was_never_set(spot: Spot) -> bool:
    return 0.0 in (spot.lat_deg, spot.lon_deg) or max(abs(spot.lat_deg), abs(spot.lon_deg)) < ZERO_ZONE_DEG


def _between_m(one: Spot, other: Spot) -> float:
    return distance_m(one.lat_deg, one.lon_deg, other.lat_deg, other.lon_deg)


def _passed_s(earlier: Spot, later: Spot) -> float:
    """By the unit's clock, or by the receiver's where epochs were read late and all at once."""
    passed_s = max(0.0, later.mono_s - earlier.mono_s)
    if earlier.time_of_day_ms is not None and later.time_of_day_ms is not None:
        told_s = (later.time_of_day_ms - earlier.time_of_day_ms) / 1000 % DAY_S
        if told_s <= LONGEST_BURST_S:
            return max(passed_s, told_s)
    return passed_s


def _reachable_m(earlier: Spot, later: Spot) -> float:
    """How far a car can come from one epoch to the next."""
    passed_s = _passed_s(earlier, later)
    speed_mps = MAX_SPEED_MPS
    if earlier.speed_mps is not None and later.speed_mps is not None:
        fastest_mps = max(earlier.speed_mps, later.speed_mps) + ACCELERATION_MPS2 * max(1.0, passed_s)
        speed_mps = min(speed_mps, fastest_mps)
    return speed_mps * passed_s


class _Circle:
    """What can be reached from the last believed position, and the trail of what lies outside."""

    def __init__(self) -> None:
        self._centre: Spot | None = None
        self._radius_m = NOISE_M
        self._seen: Spot | None = None  # the last position, believed or not
        self._alone = True  # no second position has borne the centre out yet
        self._trail: list[Spot] = []  # first and last of it
        self._trail_fixes = 0

    def believes(self, spot: Spot) -> tuple[bool, bool]:
        """Whether `spot` is believed, and whether that is because a trail has become long enough."""
        seen, self._seen = self._seen, spot
        if self._centre is None or seen is None:
            self._believe(spot)
            return True, False
        self._radius_m += _reachable_m(seen, spot)
        if _between_m(self._centre, spot) <= self._radius_m:
            self._alone = False
            if not _is_frozen(self._centre, spot):
                self._believe(spot)
            self._trail_fixes = 0
            return True, False
        self._follow(spot)
        lasted_s = _passed_s(self._trail[0], spot)
        # A first position that nothing bore out weighs no more than the second one that contradicts it.
        if self._trail_fixes >= (2 if self._alone else CONFIRM_FIXES) and (self._alone or lasted_s >= CONFIRM_S):
            self._believe(spot)
            self._alone = False
            self._trail_fixes = 0
            return True, True
        return False, False

    def _believe(self, spot: Spot) -> None:
        self._centre = spot
        self._radius_m = NOISE_M

    def _follow(self, spot: Spot) -> None:
        last = self._trail[-1] if self._trail_fixes else None
        if last is None or _between_m(last, spot) > NOISE_M + _reachable_m(last, spot):
            self._trail = [spot, spot]
            self._trail_fixes = 1
        else:
            self._trail[-1] = spot
            self._trail_fixes += 1


def _is_frozen(centre: Spot, spot: Spot) -> bool:
    same = (centre.lat_deg, centre.lon_deg) == (spot.lat_deg, spot.lon_deg)
    return same and spot.speed_mps is not None and spot.speed_mps >= MOVING_MPS


class _Hold:
    """Where the car stands, while it stands."""

    def __init__(self) -> None:
        self._recent: deque[Spot] = deque(maxlen=MAX_SPOTS)  # of the last SETTLE_S, RECENT_S while it stands
        self._held: tuple[float, float] | None = None

    def step(self, spot: Spot, noise_m: float) -> tuple[float, float] | None:
        """The position (degrees) to show in place of `spot`; None: the car moves, or has not settled yet."""
        before = self._recent[-1] if self._recent else None
        self._recent.append(spot)
        if self._held is not None and self._has_moved(self._held, before, spot, noise_m):
            self._held = None
            self._recent.clear()
            self._recent.append(spot)
        kept_s = SETTLE_S if self._held is None else RECENT_S
        while len(self._recent) > SETTLE_FIXES and _passed_s(self._recent[1], spot) >= kept_s:
            self._recent.popleft()
        if self._held is None and self._is_settled(noise_m):
            self._held = _mean(self._recent)
        return self._held

    def _is_settled(self, noise_m: float) -> bool:
        """All of SETTLE_S was slow and within half a radius of its mean, where a drag at 1 m/s does not stay."""
        spots = self._recent
        if len(spots) < SETTLE_FIXES or _passed_s(spots[0], spots[-1]) < SETTLE_S:
            return False
        if any(spot.speed_mps is not None and spot.speed_mps >= STILL_MPS for spot in spots):
            return False
        mean = _mean(spots)
        return all(distance_m(*mean, spot.lat_deg, spot.lon_deg) <= noise_m / 2 for spot in spots)

    def _has_moved(self, held: tuple[float, float], before: Spot | None, spot: Spot, noise_m: float) -> bool:
        speed_mps = spot.speed_mps or 0.0
        if speed_mps >= MOVING_MPS:
            return True
        if before is None or _passed_s(before, spot) > RECENT_S:  # nothing to bear it out: the one must do
            return distance_m(*held, spot.lat_deg, spot.lon_deg) > noise_m
        if min(speed_mps, before.speed_mps or 0.0) >= CREEPING_MPS:
            return True
        if all(distance_m(*held, one.lat_deg, one.lon_deg) > 1.5 * noise_m for one in (before, spot)):
            return True
        recent = [one for one in self._recent if _passed_s(one, spot) <= RECENT_S]
        return distance_m(*held, *_mean(recent)) > noise_m


def _mean(spots: Iterable[Spot]) -> tuple[float, float]:
    """Of positions that lie near each other, degrees; longitudes are taken from the first, so 180° is no border."""
    first, *rest = spots
    lat_deg = lon_deg = 0.0
    for spot in rest:
        lat_deg += spot.lat_deg - first.lat_deg
        lon_deg += (spot.lon_deg - first.lon_deg + 180) % 360 - 180
    count = 1 + len(rest)
    mean_lon_deg = first.lon_deg + lon_deg / count
    return first.lat_deg + lat_deg / count, (mean_lon_deg + 180) % 360 - 180 if abs(
        mean_lon_deg
    ) > 180 else mean_lon_deg
