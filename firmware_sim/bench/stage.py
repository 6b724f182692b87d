"""The acts of a story as motion: where the car, and where the unit is, ten times a second. Pure.

A place underground has no sky: `is_covered`. Who stands makes one Motion a step, however long it takes, so that hours
can be left out.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from firmware_sim.roads import acts
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.driver import CALM, LADEN, Driver
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.motion import STEP_S, Motion, Phase
from firmware_sim.roads.places import Place, parked_at, places
from firmware_sim.roads.recorded import recorded
from firmware_sim.story.schema import Act, Story

_CHINA_H = 8.0  # UTC+8 everywhere
_NEAR_DEG = 0.0015  # some 150 m: a car that is parked so near to an underground place is in it
_DRIVERS = {
    "": CALM,
    "calm": CALM,
    "bumpy": CALM,
    "hard": Driver(hard_brakes_s=(12.0, 25.0, 38.0, 51.0, 64.0, 77.0)),
    "crash": Driver(crash_s=50.0),
    "stop_and_go": Driver(at_most_mps=6.0),
}
_HOURS = {"stop_and_go": 8.25, "hard": 3.0, "crash": 3.0}  # whoever brakes hard or crashes had a free road
_WALK_KMH = 5.0
_LORRY = "truck24"  # asks of its engine what it gives only where it is driven as a laden one is
_TO_THE_END = ("drive", "flatbed", "ferry", "roll", "crank")
_PARKED_S = 2
_BEFORE_KEY_OFF_S = 3.0  # a drive idles for 4 s before the key is turned
_MOST_STEPS = 50
_DEGREE_M = 111_200.0  # of latitude


class Stage:
    """Steps through a story. `at` asks in order of time."""

    def __init__(self, story: Story, begin_s: float = 0.0) -> None:
        """`begin_s`: the first instant that is asked for; before 0 the car stands at its first place."""
        self._story = story
        self.places: dict[str, Place] = dict(places(CITIES[story.city], story.seed))
        self._last = replace(parked_at(self.places[story.at]), t_s=round(begin_s - STEP_S, 1))
        self._act: Act | None = None
        self._moves: Iterator[Motion] | None = None

    def at(self, t_s: float) -> list[Motion]:
        """Every step since the last call, up to `t_s`; where nothing moves, only the last one."""
        found: list[Motion] = []
        for act in self._acts_until(t_s):
            if act is not self._act:
                self._begin(act)
                found.append(self._last)
            until_s = min(t_s, act.end_s - STEP_S / 2)
            found += self._steps_until(until_s)
        if t_s < 0 or not found:
            found += self._standing(t_s)
        return found

    def act_at(self, t_s: float) -> Act:
        """The act that goes on then; the first one before it, the last one after it."""
        return next((act for act in self._story.acts if t_s < act.end_s), self._story.acts[-1])

    def is_covered(self, motion: Motion) -> bool:
        """Whether it stands in a place that no satellite sees."""
        return motion.speed_mps == 0 and any(
            abs(place.lat_deg - motion.lat_deg) < _NEAR_DEG and abs(place.lon_deg - motion.lon_deg) < _NEAR_DEG
            for place in self.places.values()
            if place.underground
        )

    def _acts_until(self, t_s: float) -> list[Act]:
        if t_s < 0:
            return []
        first = self._act.begin_s if self._act else 0.0
        return [act for act in self._story.acts if first <= act.begin_s <= t_s]

    def _begin(self, act: Act) -> None:
        begin_s = round(act.begin_s, 1)
        self._act, self._last = act, replace(self._last, t_s=begin_s, speed_mps=0.0, accel_mps2=0.0, phase=Phase.OFF)
        self._moves = _moves(act, self._last, self._story, self.places)

    def _steps_until(self, until_s: float) -> list[Motion]:
        found: list[Motion] = []
        while self._moves is not None and self._last.t_s + STEP_S <= until_s + 1e-6:
            motion = next(self._moves, None)
            if motion is None:
                self._moves = None
            else:
                self._last = motion
                found.append(motion)
        return found

    def _standing(self, t_s: float) -> list[Motion]:
        """On a grid of 0.1 s, so that it does not depend on when it was asked for; what was skipped is one step."""
        if self._moves is not None:
            return []
        last_s = math.floor(t_s / STEP_S + 1e-6)
        first = max(math.floor(self._last.t_s / STEP_S + 0.5) + 1, last_s - _MOST_STEPS)
        found = [
            replace(self._last, t_s=round(step * STEP_S, 1), speed_mps=0.0, accel_mps2=0.0)
            for step in range(first, last_s + 1)
        ]
        self._last = found[-1] if found else self._last
        return found


@dataclass(frozen=True, slots=True)
class Timing:
    """What only the roads know of a story's acts, by name, in seconds from the act's begin."""

    lengths_s: Mapping[str, float]  # acts whose way takes longer than the file says: how long
    ends_s: Mapping[str, float]  # acts that end with a running engine: just before it is stopped


def timing(story: Story) -> Timing:
    """Found by playing it through."""
    known: dict[str, Place] = dict(places(CITIES[story.city], story.seed))
    last = parked_at(known[story.at])
    lengths_s: dict[str, float] = {}
    ends_s: dict[str, float] = {}
    begin_s = 0.0
    for told in story.acts:
        act = replace(told, begin_s=begin_s)  # where it begins once those before it are long enough
        begin = last = replace(last, t_s=round(act.begin_s, 1), speed_mps=0.0, accel_mps2=0.0, phase=Phase.OFF)
        for motion in _moves(act, last, story, known) or ():
            last = motion
            if motion.phase is Phase.RUNNING:
                ends_s[act.name] = max(0.0, motion.t_s - begin.t_s - _BEFORE_KEY_OFF_S)
            if act.do not in _TO_THE_END and motion.t_s >= act.end_s:
                break
        took_s = last.t_s - begin.t_s
        if act.do in _TO_THE_END and took_s > act.seconds:
            lengths_s[act.name] = math.ceil(took_s) + _PARKED_S
        begin_s += lengths_s.get(act.name, act.seconds)
    return Timing(lengths_s, ends_s)


def _moves(act: Act, after: Motion, story: Story, known: dict[str, Place]) -> Iterator[Motion] | None:
    """The motions of an act that moves; None for one that stands."""
    seed = story.seed * 1000 + [each.name for each in story.acts].index(act.name)
    minutes = (act.told_s or act.seconds) / 60
    to = _place(act, story, known)
    hour = ((story.start + timedelta(seconds=act.begin_s)).timestamp() / 3600 + _CHINA_H) % 24
    somewhere = to or known["scrapyard"]
    style = str(act.more.get("style", ""))
    if act.do == "drive":
        driver = LADEN if story.car.get("kind") == _LORRY and _DRIVERS[style] == CALM else _DRIVERS[style]
        return acts.drive(after, to, seed, minutes=minutes, hour=_HOURS.get(style, hour), driver=driver)
    if act.do == "replay":
        return _from_here(recorded(act.more["looks"], after.t_s), after, act.end_s)
    if act.do == "tow":
        return acts.towed(after, somewhere, seed, hour=hour, minutes=minutes)
    if act.do == "flatbed":
        return acts.flatbed(after, somewhere, seed, hour=hour, minutes=minutes)
    if act.do == "ferry":
        return acts.ferry(after, to or known["far_quay"], seed)
    if act.do == "roll":
        return acts.rolls(after, metres=float(act.more.get("metres", 25.0)))
    if act.do == "crank":
        return acts.cranks(after, act.seconds)
    if act.do == "idle":
        return acts.idles(after, max(1.0, act.seconds - 15.0))
    if act.do == "away":
        return _carried(after, somewhere, act)
    return None


def _from_here(motions: Iterator[Motion], after: Motion, end_s: float) -> Iterator[Motion]:
    """A recorded way laid to where the car stands, and left where the act ends: the key is off there."""
    first = next(motions)
    north_deg = after.lat_deg - first.lat_deg
    # a degree of longitude is shorter in the north: lengths are kept, not degrees
    stretch = math.cos(math.radians(first.lat_deg)) / math.cos(math.radians(after.lat_deg))
    for motion in motions:
        if motion.t_s >= end_s - STEP_S:
            return
        lat_deg, lon_deg = motion.lat_deg + north_deg, after.lon_deg + (motion.lon_deg - first.lon_deg) * stretch
        yield replace(motion, lat_deg=lat_deg, lon_deg=lon_deg, altitude_m=altitude_m(lat_deg, lon_deg))


def _carried(after: Motion, to: Place, act: Act) -> Iterator[Motion]:
    """On foot, or in another vehicle: in a straight line to the place, at the act's speed."""
    speed_mps = float(act.more.get("speed_kmh", _WALK_KMH)) / 3.6
    north_m, east_m = apart_m((after.lat_deg, after.lon_deg), (to.lat_deg, to.lon_deg))
    length_m = math.hypot(north_m, east_m) or 1.0
    course_deg = math.degrees(math.atan2(east_m, north_m)) % 360
    share, step = 0.0, 0
    while share < 1:
        step += 1
        share = min(1.0, speed_mps * step * STEP_S / length_m)
        yield replace(
            after,
            t_s=round(after.t_s + step * STEP_S, 1),
            lat_deg=after.lat_deg + share * (to.lat_deg - after.lat_deg),
            lon_deg=after.lon_deg + share * (to.lon_deg - after.lon_deg),
            speed_mps=speed_mps if share < 1 else 0.0,
            course_deg=course_deg,
            wheels_turn=False,
        )


def apart_m(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """How far north and east the second place is of the first, in m; WGS-84 degrees, good to 1 % within 100 km."""
    north_m = (second[0] - first[0]) * _DEGREE_M
    return north_m, (second[1] - first[1]) * _DEGREE_M * math.cos(math.radians(first[0]))


def _place(act: Act, story: Story, known: dict[str, Place]) -> Place | None:
    if not act.to:
        return None
    if act.city and act.city != story.city:
        return places(CITIES[act.city], story.seed)[act.to]
    return known[act.to]
