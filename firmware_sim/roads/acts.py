"""What can happen to a car, one act after another: each begins where the last one ended. Pure.

Every act is an iterator of Motions from 0.1 s after `after` on, ten a second unless it says otherwise, and ends
standing. Acts know nothing of the car: whether its battery turns the starter is the car's affair (`car/vehicle.py`).
"""

import math
import random
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import chain

from firmware_sim.roads.driver import CALM, LADEN, Driver, follow
from firmware_sim.roads.geometry import Piece, Plane
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.motion import STEP_S, Motion, Phase
from firmware_sim.roads.places import Place
from firmware_sim.roads.route import queues, roaming, route
from firmware_sim.roads.traffic import traffic

KEY_ON_S, CRANK_S, WARM_S = 3.0, 1.2, 6.0  # key on, starter, idling before the car moves
IDLE_AT_END_S, KEY_ON_AT_END_S, OFF_AT_END_S = 4.0, 3.0, 5.0
_AFTER_CRASH_S = 20.0  # the key stays on, the engine has stalled
_TOWING = Driver(accel_mps2=0.8, at_most_mps=40 / 3.6)
_HOOK_UP_S, _CHAINING_S = 8.0, 20.0
_WINCH_MPS, _WINCH_M = 0.12, 7.0  # a car is pulled up a flatbed at a creep
_FERRY_MPS, _FERRY_MPS2 = 6.2, 0.08  # 12 knots
_GRAVITY_MPS2, _ROLLING = 9.81, 0.011
_KERB_MPS2 = 9.0


def drive(
    after: Motion,
    to: Place | None,
    seed: int,
    minutes: float | None = None,
    hour: float = 10.0,
    day_off: bool = False,
    driver: Driver = CALM,
    crank_s: float = CRANK_S,
) -> Iterator[Motion]:
    """From key on to key off at `to`, on the quickest way, or with `minutes` on one that takes about as long.

    The way to a place is never cut short: it takes the time it takes, by the traffic of `hour` (local time). Without a
    place the car is driven about the town and parked when `minutes` are over. With `driver.crash_s` it ends in a
    crash instead, whenever that comes about.

    Raises:
        ValueError: neither a place nor minutes.
    """
    if to is None and minutes is None:
        raise ValueError("a drive needs a place or minutes")
    name = to.name if to else "about"
    rng = random.Random(f"drive {after.t_s} {name} {seed}")  # noqa: S311 - repeatable on purpose
    flow = traffic(hour, day_off)
    around_s = KEY_ON_S + crank_s + WARM_S + IDLE_AT_END_S + KEY_ON_AT_END_S + OFF_AT_END_S
    driven_s = max(1.0, minutes * 60 - around_s) if minutes else 0.0
    way = route(after, to, rng, flow, driven_s) if to else roaming(after, rng, flow)
    park_s = math.inf if to or driver.crash_s is not None else driven_s
    last = yield from _last_of(_starts(after, crank_s), after)
    crashed = False
    for motion in follow(last, queues(way, flow, rng), driver, rng, park_s):
        crashed = crashed or motion.accel_mps2 < -20
        last = replace(motion, phase=Phase.KEY_ON) if crashed else motion
        yield last
    if crashed:
        yield from chain(*_standing(last, (Phase.KEY_ON, _AFTER_CRASH_S), (Phase.OFF, OFF_AT_END_S)))
        return
    ends = (Phase.RUNNING, IDLE_AT_END_S), (Phase.KEY_ON, KEY_ON_AT_END_S), (Phase.OFF, OFF_AT_END_S)
    yield from chain(*_standing(last, *ends))


def still(after: Motion, for_s: float, phase: Phase = Phase.OFF, rate_hz: float = 1 / STEP_S) -> Iterator[Motion]:
    """It stands, `rate_hz` times a second; the last Motion is exactly `for_s` later."""
    calm = replace(after, speed_mps=0.0, accel_mps2=0.0, phase=phase, wheels_turn=True)
    steps = max(1, round(for_s * rate_hz))
    for step in range(1, steps + 1):
        yield replace(calm, t_s=round(after.t_s + for_s * step / steps, 1))


def cranks(after: Motion, for_s: float = CRANK_S) -> Iterator[Motion]:
    """Somebody tries the starter, and takes the key out again."""
    yield from chain(
        *_standing(after, (Phase.KEY_ON, KEY_ON_S), (Phase.CRANKING, for_s), (Phase.KEY_ON, 2.0), (Phase.OFF, 1.0))
    )


def idles(after: Motion, for_s: float, crank_s: float = CRANK_S) -> Iterator[Motion]:
    """The engine is started, runs for `for_s` without the car moving, and is stopped."""
    last = yield from _last_of(_starts(after, crank_s), after)
    yield from chain(*_standing(last, (Phase.RUNNING, for_s), (Phase.KEY_ON, KEY_ON_AT_END_S), (Phase.OFF, 1.0)))


def towed(
    after: Motion, to: Place, seed: int, on_wheels: bool = True, hour: float = 2.0, minutes: float | None = None
) -> Iterator[Motion]:
    """Pulled on a rope or a dolly through the streets, engine off; `on_wheels` False: lifted, no wheel turns.

    With `minutes` the towing stops by then, wherever that is.
    """
    rng = random.Random(f"tow {after.t_s} {to.name} {seed}")  # noqa: S311 - repeatable on purpose
    hooked_up = yield from _last_of(still(after, _HOOK_UP_S), after)
    park_s = minutes * 60 - _HOOK_UP_S if minutes else math.inf
    for motion in follow(hooked_up, route(hooked_up, to, rng, traffic(hour)), _TOWING, rng, park_s):
        yield replace(motion, wheels_turn=on_wheels)


def flatbed(after: Motion, to: Place, seed: int, hour: float = 2.0, minutes: float | None = None) -> Iterator[Motion]:
    """Winched up a flatbed, chained down, driven away and rolled off again; the engine is off, the wheels stand."""
    rng = random.Random(f"flatbed {after.t_s} {to.name} {seed}")  # noqa: S311 - repeatable on purpose
    winch = Driver(accel_mps2=0.1, at_most_mps=_WINCH_MPS)
    winched = follow(replace(after, phase=Phase.OFF), _straight(after, _WINCH_M), winch, rng)
    last = yield from _last_of(winched, after)
    last = yield from _last_of(still(last, _CHAINING_S), last)
    park_s = minutes * 60 - (last.t_s - after.t_s) if minutes else math.inf
    driven = follow(last, route(last, to, rng, traffic(hour)), LADEN, rng, park_s)
    last = yield from _last_of((replace(motion, wheels_turn=False) for motion in driven), last)
    last = yield from _last_of(still(last, _CHAINING_S), last)
    yield from follow(last, _straight(last, _WINCH_M), winch, rng)


def ferry(after: Motion, to: Place, seed: int, waits_s: float = 30.0) -> Iterator[Motion]:
    """Across the water in a straight line from where it stands to the other quay, engine off, as the crew asks for."""
    rng = random.Random(f"ferry {after.t_s} {to.name} {seed}")  # noqa: S311 - repeatable on purpose
    aboard = yield from _last_of(still(after, waits_s), after)
    plane = Plane(after.lat_deg, after.lon_deg)
    east, north = plane.flat(to.lat_deg, to.lon_deg)
    across = Piece(plane, 0.0, 0.0, math.atan2(east, north), math.hypot(east, north), _FERRY_MPS)
    crossing = follow(aboard, [across], Driver(accel_mps2=_FERRY_MPS2), rng)
    last = yield from _last_of((replace(motion, wheels_turn=False) for motion in crossing), aboard)
    yield from still(last, waits_s)


def rolls(after: Motion, slope_pct: float = 4.0, metres: float = 25.0) -> Iterator[Motion]:
    """The parking brake lets go: downhill by its own weight, until a kerb stops it after `metres`.

    a = g (sin slope - Crr cos slope); what does not overcome the rolling resistance stays where it is. The
    slope is one of the street, too short to be one of the land.
    """
    angle = math.atan(slope_pct / 100)
    pull = _GRAVITY_MPS2 * (math.sin(angle) - _ROLLING * math.cos(angle))
    plane, course = Plane(after.lat_deg, after.lon_deg), math.radians(after.course_deg)
    speed, gone_m, step = 0.0, 0.0, 0
    while pull > 0 and (step == 0 or speed > 0):
        step += 1
        accel = pull if gone_m < metres else -_KERB_MPS2
        new_speed = max(0.0, speed + accel * STEP_S)
        gone_m += (speed + new_speed) / 2 * STEP_S
        accel, speed = (new_speed - speed) / STEP_S, new_speed
        lat_deg, lon_deg = plane.round(gone_m * math.sin(course), gone_m * math.cos(course))
        yield Motion(
            t_s=round(after.t_s + step * STEP_S, 1),
            lat_deg=lat_deg,
            lon_deg=lon_deg,
            altitude_m=altitude_m(lat_deg, lon_deg),
            speed_mps=speed,
            accel_mps2=accel,
            course_deg=after.course_deg,
            phase=Phase.OFF,
        )


def _starts(after: Motion, crank_s: float) -> Iterator[Motion]:
    yield from chain(*_standing(after, (Phase.KEY_ON, KEY_ON_S), (Phase.CRANKING, crank_s), (Phase.RUNNING, WARM_S)))


def _last_of(motions: Iterable[Motion], after: Motion) -> Generator[Motion, None, Motion]:
    """Passes them on and returns the last one, `after` where there is none."""
    for after in motions:
        yield after
    return after


def _standing(after: Motion, *parts: tuple[Phase, float]) -> Iterator[Iterator[Motion]]:
    """One standing after the other: phase and seconds."""
    for phase, for_s in parts:
        yield still(after, for_s, phase)
        after = replace(after, t_s=round(after.t_s + for_s, 1))


def _straight(after: Motion, length_m: float) -> list[Piece]:
    """Forward in the direction in which the car stands."""
    plane = Plane(after.lat_deg, after.lon_deg)
    return [Piece(plane, 0.0, 0.0, math.radians(after.course_deg), length_m, _WINCH_MPS)]
