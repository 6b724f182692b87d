"""Incidents put into real drives, for `local_events.py`: nobody records thefts.

Seeded. A position changes only when the recorded receiver gave a new one, a wheel speed only when the recorded adapter
answered, so that nothing can be told from the timing. Every function takes a drive's seconds and gives an `Incident`,
or None where this drive has no place for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from benchmarks.recorded_drives import START_S, Drive
from edge_agent.rules import Seen

BEFORE_S, AFTER_S = 400, 600
Seconds = list[Seen]


@dataclass(frozen=True, slots=True)
class Incident:
    """Seconds in which something happens at `at_mono_s` that a rule should tell as `kind`, before the seconds end."""

    kind: str
    at_mono_s: float
    seconds: Seconds


def tow(drive: Drive, random: Random, *, stretch: int, wheels_answer: bool) -> Incident | None:
    """Parked for ten minutes, then carried along the recorded way, `stretch` times as slowly, with the engine off."""
    with_place = [second for second in drive.seconds if second.raw_position]
    first = random.randrange(max(1, len(with_place) - AFTER_S // stretch))
    way = with_place[first : first + AFTER_S // stretch]
    if not way or _spread_m(way) < 300.0:
        return None
    seconds: Seconds = []
    for second in range(AFTER_S):
        seconds.append(_off(way[0], START_S + second, wheels_answer, speed=0.0))
    for second in range(len(way) * stretch):
        seconds.append(_off(way[second // stretch], START_S + AFTER_S + second, wheels_answer, speed=1 / stretch))
    return Incident("tow", START_S + AFTER_S, seconds)


def jam(drive: Drive, random: Random, *, fading_s: int) -> Incident | None:
    """No position for two minutes while driving; before it, with `fading_s`, fewer satellites from second to second."""
    at = _moving_moment(drive, random, 120, 20.0)
    if at is None:
        return None
    seconds = _around(drive, at)
    for place, second in enumerate(seconds):
        since_s = second.mono_s - drive.seconds[at].mono_s
        if 0 <= since_s < 120:
            seconds[place] = _blind(second)
        elif -fading_s <= since_s < 0 and second.sample is not None and second.sample.satellites_used is not None:
            left = round(second.sample.satellites_used * -since_s / (fading_s + 1))
            seconds[place] = replace(second, sample=replace(second.sample, satellites_used=left))
    return Incident("gnss_lost", drive.seconds[at].mono_s, seconds)


def spoof_drift(drive: Drive, random: Random, *, drift_mps: float) -> Incident | None:
    """The position drifts off in one direction."""
    return _spoof(drive, random, lambda since_s: drift_mps * since_s)


def spoof_jump(drive: Drive, random: Random, *, jump_m: float) -> Incident | None:
    """The position is elsewhere from one fix to the next, and stays there."""
    return _spoof(drive, random, lambda _: jump_m)


def spoof_frozen(drive: Drive, random: Random) -> Incident | None:
    """The receiver goes on telling one position while the car drives."""
    at = _moving_moment(drive, random, AFTER_S, 20.0)
    if at is None or drive.seconds[at].raw_position is None:
        return None
    seconds, held = _around(drive, at), drive.seconds[at].raw_position
    for place, second in enumerate(seconds):
        if second.mono_s >= drive.seconds[at].mono_s and second.raw_position:
            seconds[place] = replace(second, raw_position=held)
    return Incident("position_disagrees", drive.seconds[at].mono_s, seconds)


def collision(drive: Drive, random: Random, *, low_kmh: float, high_kmh: float) -> Incident | None:
    """From the recorded speed to a standstill within 0.12 s, at any moment between two answers of the wheels."""
    chosen = [
        place
        for place in range(30, len(drive.seconds) - 90)
        if low_kmh <= (_kmh(drive.seconds[place]) or 0.0) < high_kmh and (_kmh(drive.seconds[place + 1]) or 0.0) > 15.0
    ]
    if not chosen:
        return None
    at = random.choice(chosen)
    hit_s = drive.seconds[at].mono_s + random.random()
    seconds = drive.seconds[max(0, at - 60) : at + 90]
    lag_s = 0.3  # a receiver smooths its speed over some tenths of a second
    for place, second in enumerate(seconds):
        sample = second.sample
        if sample is None or second.mono_s < hit_s:
            continue
        if second.obd_speed_mono_s is not None and second.obd_speed_mono_s >= hit_s:
            kmh = round((sample.obd_speed_kmh or 0.0) * max(0.0, 1 - (second.obd_speed_mono_s - hit_s) / 0.12))
            sample = replace(
                sample, obd_speed_kmh=float(kmh), engine_rpm=0.0 if sample.engine_rpm is not None else None
            )
        place_now = second.raw_position
        if sample.speed_mps is not None and second.mono_s >= hit_s + lag_s and _is_new(seconds, place, hit_s):
            sample = replace(sample, speed_mps=0.0)
        seconds[place] = replace(second, sample=sample, raw_position=place_now and seconds[min(place, 60)].raw_position)
    return Incident("collision", hit_s, seconds)


def low_battery(drive: Drive, random: Random) -> Incident | None:
    """After the drive the battery runs down from 12.4 V by 0.03 V a minute, with the noise of the recording."""
    noise = [second.volts - 13.7 for second in drive.seconds if second.volts is not None and 13.4 < second.volts < 14.0]
    if len(noise) < 60:
        return None
    seconds: Seconds = []
    for second in range(3600):
        volts = 12.4 - 0.03 * second / 60 + random.choice(noise)
        seconds.append(Seen(START_S + second, None, "off", volts, obd_port="car silent"))
    return Incident("low_battery", START_S + (12.4 - 11.8) / 0.03 * 60, seconds)


def power_cut(drive: Drive, random: Random) -> Incident | None:
    """The supply goes away for good."""
    at = _moment(drive, random, 30)
    if at is None:
        return None
    cut_s = drive.seconds[at].mono_s
    seconds = [replace(each, external_power=each.mono_s < cut_s) for each in _around(drive, at)]
    return Incident("power_cut", cut_s, seconds)


def lamp(drive: Drive, random: Random) -> Incident | None:
    """The fault lamp is lit with one code."""
    at = _moment(drive, random, 60)
    if at is None:
        return None
    lit_s = drive.seconds[at].mono_s
    seconds = _around(drive, at)
    for place, second in enumerate(seconds):
        if second.sample is not None and second.mono_s >= lit_s and second.wheel_kmh is not None:
            lit = replace(second.sample, mil_on=1, dtc_count=1)
            seconds[place] = replace(second, sample=lit, dtc_codes=("P0301",))
    return Incident("mil_on", lit_s, seconds)


def _spoof(drive: Drive, random: Random, offset_m: Callable[[float], float]) -> Incident | None:
    at = _moving_moment(drive, random, AFTER_S, 0.0)
    if at is None:
        return None
    begins_s, direction = drive.seconds[at].mono_s, random.uniform(0, 2 * math.pi)
    seconds = _around(drive, at)
    told, false = None, None
    for place, second in enumerate(seconds):
        if second.mono_s < begins_s or second.raw_position is None:
            told = second.raw_position or told
            continue
        if second.raw_position != told or (false is None and told is None):
            told = second.raw_position
            false = _moved(told, offset_m(second.mono_s - begins_s), direction)
        if false is not None:
            seconds[place] = replace(second, raw_position=false)
    return Incident("position_disagrees", begins_s, seconds)


def _moved(place: tuple[float, float], by_m: float, direction: float) -> tuple[float, float]:
    north_deg, east_deg = by_m * math.cos(direction) / 111_195, by_m * math.sin(direction) / 111_195
    return place[0] + north_deg, place[1] + east_deg / math.cos(math.radians(place[0]))


def _moment(drive: Drive, random: Random, margin: int) -> int | None:
    return random.randrange(margin, len(drive.seconds) - margin) if len(drive.seconds) > 2 * margin else None


def _moving_moment(drive: Drive, random: Random, after: int, above_kmh: float) -> int | None:
    """A second with a position and some speed, with enough of the drive before it and after it."""
    first, last = min(BEFORE_S, len(drive.seconds) // 3), len(drive.seconds) - after
    chosen = [
        place
        for place in range(first, last)
        if drive.seconds[place].raw_position and (_kmh(drive.seconds[place]) or 0.0) >= above_kmh
    ]
    return random.choice(chosen) if chosen else None


def _kmh(second: Seen) -> float | None:
    return second.wheel_kmh if second.wheel_kmh is not None else second.gnss_kmh


def _around(drive: Drive, at: int) -> Seconds:
    return drive.seconds[max(0, at - BEFORE_S) : at + AFTER_S]


def _blind(second: Seen) -> Seen:
    sample = second.sample
    if sample is None:
        return replace(second, raw_position=None)
    nothing = replace(sample, lat_deg=None, lon_deg=None, speed_mps=None, satellites_used=None, fix_quality=0)
    return replace(second, sample=nothing, raw_position=None)


def _off(second: Seen, mono_s: float, wheels_answer: bool, speed: float) -> Seen:
    assert second.sample is not None
    gnss_mps = None if second.sample.speed_mps is None else second.sample.speed_mps * speed
    wheels = 0.0 if wheels_answer else None
    sample = replace(second.sample, mono_s=mono_s, speed_mps=gnss_mps, obd_speed_kmh=wheels, engine_rpm=wheels)
    port = "answering" if wheels_answer else "car silent"
    return Seen(mono_s, sample, "off", obd_port=port, obd_speed_mono_s=mono_s, raw_position=second.raw_position)


def _is_new(seconds: Seconds, place: int, since_s: float) -> bool:
    """Whether the receiver gave a new position in this second, or since the given one."""
    given = seconds[place].raw_position
    return any(each.raw_position != given for each in seconds[max(0, place - 1) : place]) or any(
        each.mono_s >= since_s and each.sample is not None and each.sample.speed_mps == 0.0
        for each in seconds[max(0, place - 1) : place]
    )


def _spread_m(way: Seconds) -> float:
    places = [second.raw_position for second in way if second.raw_position]
    north = [place[0] for place in places]
    east = [place[1] for place in places]
    shrink = math.cos(math.radians(north[0]))
    return math.hypot(max(north) - min(north), (max(east) - min(east)) * shrink) * 111_195
