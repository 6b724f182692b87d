"""The driver: how fast a car goes along pieces of road. Pure.

The driver accelerates as in the free-road term of the Intelligent Driver Model, a = a_max (1 - (v/v0)^4) (Treiber,
Hennecke, Helbing, Phys. Rev. E 62 (2000) 1805), and brakes on the envelope v^2 = v_c^2 + 2 b d before corners, slower
streets, red lights and the parking place.
"""

import math
import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from firmware_sim.roads.geometry import Piece
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.motion import STEP_S, Motion, Phase

MAX_ACCEL_MPS2 = 3.0
_BRAKE_MPS2 = 1.6  # comfortable
_JERK_MPS3 = 2.0  # when accelerating
_LOOK_AHEAD_M = 420.0  # more than the braking distance from the highest limit
_AT_STOP_M = 0.3  # closer to a stopping point than this the driver simply stops
_FULL_BRAKE_MPS2 = 8.0  # tyres on dry asphalt, with ABS
_BRAKED_TO_MPS = 2.0
_CRASH_MPS2 = 130.0  # mean of a frontal crash pulse: 50 km/h in 0.11 s, as in full-width barrier tests (UN R137)


@dataclass(frozen=True, slots=True)
class Driver:
    """How somebody drives. Times count from when the car begins to move.

    `accel_mps2`: at pulling away; None: 1.5 to 2.4 by the seed. `at_most_mps`: where a load or a rope asks for it.
    `hard_brakes_s`: moments of braking as hard as the tyres hold, from 30 km/h or more. `crash_s`: from then on
    the driver is too fast, and at 50 km/h the car hits something solid; the drive ends there.
    """

    accel_mps2: float | None = None
    at_most_mps: float = math.inf
    hard_brakes_s: tuple[float, ...] = ()
    crash_s: float | None = None


CALM = Driver()
LADEN = Driver(accel_mps2=0.7, at_most_mps=60 / 3.6)  # a lorry
_HARD_FROM_MPS, _CRASH_FROM_MPS = 30 / 3.6, 50 / 3.6
_TOO_FAST = 1.45  # times the limit


class Road:
    """The pieces ahead, and where on them the car is."""

    def __init__(self, path: Iterable[Piece]) -> None:
        self._path = iter(path)
        self._ahead: deque[Piece] = deque()
        self._along_m = 0.0
        self._ends = False
        self._pose = (0.0, 0.0, 0.0)
        self.advance(0.0)

    def advance(self, moved_m: float) -> None:
        self._along_m += moved_m
        while len(self._ahead) > 1 and self._along_m >= self._ahead[0].length_m:
            self._along_m -= self._ahead.popleft().length_m
        while not self._ends and sum(piece.length_m for piece in self._ahead) - self._along_m < _LOOK_AHEAD_M:
            following = next(self._path, None)
            if following is None:
                self._ends = True
            else:
                self._ahead.append(following)
        while len(self._ahead) > 1 and self._along_m >= self._ahead[0].length_m:
            self._along_m -= self._ahead.popleft().length_m

    @property
    def limit_mps(self) -> float:
        return self._ahead[0].limit_mps

    @property
    def bends(self) -> bool:
        return bool(self._ahead[0].arm_m)

    @property
    def end_in_m(self) -> float:
        """Metres to the end of the road, infinity where it is out of sight."""
        return sum(piece.length_m for piece in self._ahead) - self._along_m if self._ends else math.inf

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
                allowed = min(allowed, envelope_mps(distance_m, speed_mps, piece.limit_mps))
            distance_m += piece.length_m
        return allowed

    def motion(self, t_s: float, speed_mps: float, accel_mps2: float, phase: Phase) -> Motion:
        piece = self._ahead[0]
        east, north, heading = piece.pose(self._along_m)
        lat_deg, lon_deg = piece.plane.round(east, north)
        return Motion(
            t_s=t_s,
            lat_deg=lat_deg,
            lon_deg=lon_deg,
            altitude_m=altitude_m(lat_deg, lon_deg),
            speed_mps=speed_mps,
            accel_mps2=accel_mps2,
            course_deg=math.degrees(heading) % 360,
            phase=phase,
        )


def follow(
    after: Motion, path: Iterable[Piece], driver: Driver, rng: random.Random, park_s: float = math.inf
) -> Iterator[Motion]:
    """From standing to standing at the end of the path, every 0.1 s after `after`, in the key position of `after`.

    After `park_s` seconds it stops where it is. A crash ends it too, at speed 0 within two steps.
    """
    road = Road(path)
    accel_max = driver.accel_mps2 or rng.uniform(1.5, 2.4)
    speed, accel, go_s, park_in_m = 0.0, 0.0, 0.0, math.inf
    brakes = deque(sorted(driver.hard_brakes_s))
    braking = crashed = False
    step = 0
    while step == 0 or speed > 0 or not (crashed or min(park_in_m, road.end_in_m) <= _AT_STOP_M):
        step += 1
        gone_s = step * STEP_S
        if park_in_m == math.inf and gone_s >= park_s - speed / _BRAKE_MPS2:
            park_in_m = speed * speed / (2 * _BRAKE_MPS2)
        stop_in_m = min(park_in_m, road.red_light_in_m, road.end_in_m)
        wanted = 0.0
        reckless = driver.crash_s is not None and gone_s >= driver.crash_s
        if gone_s >= go_s and stop_in_m > _AT_STOP_M:
            too_fast = _TOO_FAST if reckless and not road.bends else 1.0
            limit = min(road.limit_mps * too_fast, driver.at_most_mps)
            free = min(accel_max * (1 - (speed / limit) ** 4), accel + _JERK_MPS3 * STEP_S)
            wanted = min(speed + free * STEP_S, road.envelope_mps(speed), envelope_mps(stop_in_m, speed, 0.0))
        new_speed = max(0.0, wanted, speed - MAX_ACCEL_MPS2 * STEP_S)
        if brakes and gone_s >= brakes[0] and speed >= _HARD_FROM_MPS:
            brakes.popleft()
            braking = True
        braking = braking and speed > _BRAKED_TO_MPS
        if braking:
            new_speed = max(0.0, speed - _FULL_BRAKE_MPS2 * STEP_S)
        crashed = crashed or (reckless and speed >= _CRASH_FROM_MPS)
        if crashed:
            new_speed = max(0.0, speed - _CRASH_MPS2 * STEP_S)
        moved_m = (speed + new_speed) / 2 * STEP_S
        accel, speed = (new_speed - speed) / STEP_S, new_speed
        park_in_m -= moved_m
        road.advance(moved_m)
        if speed == 0 and road.red_light_in_m <= _AT_STOP_M:
            go_s = gone_s + road.wait_at_light_s()
        yield road.motion(round(after.t_s + gone_s, 1), speed, accel, after.phase)


def envelope_mps(distance_m: float, speed_mps: float, target_mps: float) -> float:
    """The highest speed after the coming step from which comfortable braking still reaches `target_mps` in time."""
    left_m = max(0.0, distance_m - speed_mps * STEP_S)
    return math.sqrt(target_mps * target_mps + 2 * _BRAKE_MPS2 * left_m)
