"""What a single threshold would tell, as the baseline of `local_events.py`: the rule that one writes first.

One alarm a minute at most is counted, so that a flickering threshold is not counted for each second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_agent.rules import Seen
from edge_agent.rules.geometry import metres_between

QUIET_S = 60.0
Naive = Callable[[list[Seen], int], bool]


@dataclass(frozen=True, slots=True)
class Told:
    """A naive alarm."""

    kind: str
    mono_s: float


def naive_events(seconds: list[Seen], kinds: Iterable[str]) -> list[Told]:
    """The alarms of the named kinds, in order of time."""
    told = []
    for kind in kinds:
        quiet_until_s = float("-inf")
        for place, second in enumerate(seconds):
            if second.mono_s >= quiet_until_s and NAIVE[kind](seconds, place):
                told.append(Told(kind, second.mono_s))
                quiet_until_s = second.mono_s + QUIET_S
    return told


def _tow(seconds: list[Seen], place: int) -> bool:
    """The engine stands and the position is 50 m from where it was a minute ago."""
    now, then = seconds[place], seconds[max(0, place - 60)]
    if now.rpm or (now.rpm is None and now.wheel_kmh) or now.engine == "unknown":
        return False
    return bool(now.raw_position and then.raw_position and metres_between(now.raw_position, then.raw_position) > 50)


def _position(seconds: list[Seen], place: int) -> bool:
    """Path of the position by distance of the wheels over the last minute is off by more than a half."""
    minute = seconds[max(0, place - 60) : place + 1]
    if place % 5 or len(minute) < 61 or any(each.wheel_kmh is None for each in minute):
        return False
    driven_m = sum(each.wheel_kmh or 0.0 for each in minute[1:]) / 3.6
    places = [each.raw_position for each in minute if each.raw_position]
    path_m = sum(metres_between(places[i], places[i + 1]) for i in range(len(places) - 1))
    return driven_m > 100 and not 0.5 <= path_m / driven_m <= 1.5


def _collision(seconds: list[Seen], place: int) -> bool:
    """25 km/h less than a second ago, by wheels or else by the receiver."""
    if not place:
        return False
    one, other = seconds[place - 1], seconds[place]
    if one.wheel_kmh is not None and other.wheel_kmh is not None:
        return one.wheel_kmh - other.wheel_kmh >= 25
    return one.gnss_kmh is not None and other.gnss_kmh is not None and one.gnss_kmh - other.gnss_kmh >= 25


def _gnss(seconds: list[Seen], place: int) -> bool:
    """A second without a position while driving."""
    if seconds[place].raw_position or not any(each.raw_position for each in seconds[max(0, place - 300) : place]):
        return False
    kmh = seconds[place].wheel_kmh
    return kmh > 5 if kmh is not None else bool(place and seconds[place - 1].raw_position)


def _battery(seconds: list[Seen], place: int) -> bool:
    volts = seconds[place].volts
    return volts is not None and volts < 11.8


def _supply(seconds: list[Seen], place: int) -> bool:
    return seconds[place].external_power is False


def _lamp(seconds: list[Seen], place: int) -> bool:
    sample = seconds[place].sample
    return sample is not None and sample.mil_on == 1


NAIVE: dict[str, Naive] = {
    "tow": _tow,
    "position_disagrees": _position,
    "collision": _collision,
    "gnss_lost": _gnss,
    "low_battery": _battery,
    "power_cut": _supply,
    "mil_on": _lamp,
}
