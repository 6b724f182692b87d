"""An aimless seeded drive that lasts as long as it is told to: what `pledgewatch-sim drive` plays. Pure."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from firmware_sim.roads.cities import City
from firmware_sim.roads.driver import CALM, Road, follow
from firmware_sim.roads.motion import STEP_S, Motion, Phase
from firmware_sim.roads.streets import path

MIN_DURATION_S = 60.0
_KEY_ON_S, _CRANK_S, _WARM_S = 3.0, 1.2, 6.0  # key on, starter, idling before the car moves
_IDLE_AT_END_S, _KEY_ON_AT_END_S, _OFF_AT_END_S = 4.0, 3.0, 5.0


def roam(city: City, seed: int, duration_s: float) -> Iterator[Motion]:
    """The drive from key on to key off, every 0.1 s; it ends parked, whatever the traffic lights did."""
    rng = random.Random(f"trip {city.name} {seed}")  # noqa: S311 - repeatable on purpose
    streets = path(city, random.Random(f"trip streets {city.name} {seed}"))  # noqa: S311 - repeatable on purpose
    first = next(streets)
    motion = Road([first]).motion(0.0, 0.0, 0.0, Phase.KEY_ON)
    go_s = _KEY_ON_S + _CRANK_S + _WARM_S
    park_s = duration_s - _IDLE_AT_END_S - _KEY_ON_AT_END_S - _OFF_AT_END_S - go_s
    driving = follow(replace(motion, t_s=go_s), chain([first], streets), CALM, rng, park_s)
    for step in range(round(duration_s / STEP_S)):
        t_s = round(step * STEP_S, 1)
        if t_s > go_s:
            motion = next(driving, replace(motion, speed_mps=0.0, accel_mps2=0.0))
        yield replace(motion, t_s=t_s, phase=_phase(t_s, duration_s))


def _phase(t_s: float, duration_s: float) -> Phase:
    if t_s >= duration_s - _OFF_AT_END_S:
        return Phase.OFF
    if t_s < _KEY_ON_S or t_s >= duration_s - _OFF_AT_END_S - _KEY_ON_AT_END_S:
        return Phase.KEY_ON
    return Phase.CRANKING if t_s < _KEY_ON_S + _CRANK_S else Phase.RUNNING
