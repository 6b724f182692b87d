"""One seeded drive: the true motion ten times a second, before any sensor adds its errors. Pure.

The driver accelerates as in the free-road term of the Intelligent Driver Model, a = a_max (1 - (v/v0)^4) (Treiber,
Hennecke, Helbing, Phys. Rev. E 62 (2000) 1805), and brakes on the envelope v^2 = v_c^2 + 2 b d before corners, slower
streets, red lights and the parking place.
"""

import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from firmware_sim.streets import City, Piece, path, radii_m

STEP_S = 0.1
MIN_DURATION_S = 60.0
MAX_ACCEL_MPS2 = 3.0
_BRAKE_MPS2 = 1.6  # comfortable
_JERK_MPS3 = 2.0  # when accelerating
_LOOK_AHEAD_M = 160.0  # more than the braking distance from the highest limit
_AT_STOP_M = 0.3  # closer to a stopping point than this the driver simply stops
_KEY_ON_S, _CRANK_S, _WARM_S = 3.0, 1.2, 6.0  # key on, starter, idling before the car moves
_IDLE_AT_END_S, _KEY_ON_AT_END_S, _OFF_AT_END_S = 4.0, 3.0, 5.0


class Phase(Enum):
    """What the driver does with the key."""

    OFF = "key off"
    KEY_ON = "key on, engine off"
    CRANKING = "starter turning"
    RUNNING = "engine running"


@dataclass(frozen=True, slots=True)
class Motion:
    """The truth at `t_s` seconds of play. Course clockwise from true north; kept while the car stands."""

    t_s: float
    lat_deg: float
    lon_deg: float
    altitude_m: float
    speed_mps: float
    accel_mps2: float
    course_deg: float
    phase: Phase


def drive(city: City, seed: int, duration_s: float) -> Iterator[Motion]:
    """The drive from key on to key off, every 0.1 s; it ends parked, whatever the traffic lights did."""
    rng = random.Random(f"trip {city.name} {seed}")  # noqa: S311 - repeatable on purpose
    road = _Road(city, rng)
    accel_max = rng.uniform(1.5, 2.4)
    speed, accel, go_s, park_in_m = 0.0, 0.0, _KEY_ON_S + _CRANK_S + _WARM_S, math.inf
    parked_by_s = duration_s - _IDLE_AT_END_S - _KEY_ON_AT_END_S - _OFF_AT_END_S
    for step in range(round(duration_s / STEP_S)):
        t_s = round(step * STEP_S, 1)
        yield road.motion(t_s, speed, accel, _phase(t_s, duration_s))
        if park_in_m == math.inf and t_s >= parked_by_s - speed / _BRAKE_MPS2:
            park_in_m = speed * speed / (2 * _BRAKE_MPS2)
        stop_in_m = min(park_in_m, road.red_light_in_m)
        wanted = 0.0
        if t_s >= go_s and stop_in_m > _AT_STOP_M:
            free = min(accel_max * (1 - (speed / road.limit_mps) ** 4), accel + _JERK_MPS3 * STEP_S)
            wanted = min(speed + free * STEP_S, road.envelope_mps(speed), _envelope_mps(stop_in_m, speed, 0.0))
        new_speed = max(0.0, wanted, speed - MAX_ACCEL_MPS2 * STEP_S)
        moved_m = (speed + new_speed) / 2 * STEP_S
        accel, speed = (new_speed - speed) / STEP_S, new_speed
        park_in_m -= moved_m
        road.advance(moved_m)
        if speed == 0 and road.red_light_in_m <= _AT_STOP_M:
            go_s = t_s + road.wait_at_light_s()


def _phase(t_s: float, duration_s: float) -> Phase:
    if t_s >= duration_s - _OFF_AT_END_S:
        return Phase.OFF
    if t_s < _KEY_ON_S or t_s >= duration_s - _OFF_AT_END_S - _KEY_ON_AT_END_S:
        return Phase.KEY_ON
    return Phase.CRANKING if t_s < _KEY_ON_S + _CRANK_S else Phase.RUNNING


def _envelope_mps(distance_m: float, speed_mps: float, target_mps: float) -> float:
    """The highest speed after the coming step from which comfortable braking still reaches `target_mps` in time."""
    left_m = max(0.0, distance_m - speed_mps * STEP_S)
    return math.sqrt(target_mps * target_mps + 2 * _BRAKE_MPS2 * left_m)


class _Road:
    """The path ahead, and where on it the car is."""

    def __init__(self, city: City, rng: random.Random) -> None:
        self._city = city
        self._metres_per_radian = radii_m(city.lat_deg)
        self._path = path(city, rng)
        self._ahead: deque[Piece] = deque()
        self._along_m = 0.0
        self.advance(0.0)

    def advance(self, moved_m: float) -> None:
        self._along_m += moved_m
        while self._ahead and self._along_m >= self._ahead[0].length_m:
            self._along_m -= self._ahead.popleft().length_m
        while sum(piece.length_m for piece in self._ahead) - self._along_m < _LOOK_AHEAD_M:
            self._ahead.append(next(self._path))

    @property
    def limit_mps(self) -> float:
        return self._ahead[0].limit_mps

    @property
    def red_light_in_m(self) -> float:
        """Metres to the next red light within sight, infinity where there is none."""
        distance_m = -self._along_m
        for piece in self._ahead:
            distance_m += piece.length_m
            if piece.red_s:
                return distance_m
        return math.inf

    def wait_at_light_s(self) -> float:
        """Seconds the light ahead stays red from now; it is green afterwards."""
        nearest = next(i for i, piece in enumerate(self._ahead) if piece.red_s)
        red_s = self._ahead[nearest].red_s
        self._ahead[nearest] = replace(self._ahead[nearest], red_s=0.0)
        return red_s

    def envelope_mps(self, speed_mps: float) -> float:
        """The highest speed after the coming step that every limit ahead allows."""
        allowed, distance_m = math.inf, -self._along_m
        for piece in self._ahead:
            if distance_m > 0:
                allowed = min(allowed, _envelope_mps(distance_m, speed_mps, piece.limit_mps))
            distance_m += piece.length_m
        return allowed

    def motion(self, t_s: float, speed_mps: float, accel_mps2: float, phase: Phase) -> Motion:
        east, north, heading = self._ahead[0].pose(self._along_m)
        per_radian_north, per_radian_east = self._metres_per_radian
        return Motion(
            t_s=t_s,
            lat_deg=self._city.lat_deg + math.degrees(north / per_radian_north),
            lon_deg=self._city.lon_deg + math.degrees(east / per_radian_east),
            altitude_m=self._city.altitude_m + 3 * math.sin(east / 900) + 2 * math.sin(north / 700),
            speed_mps=speed_mps,
            accel_mps2=accel_mps2,
            course_deg=math.degrees(heading) % 360,
            phase=phase,
        )
