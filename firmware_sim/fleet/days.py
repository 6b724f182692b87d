"""What a vehicle does, and what its unit tells of it: one track's records in the order in which they leave. Pure.

The pattern is that of units in the field with default settings: parked, one sample each 15 minutes; driving, a sample a
second in batches of a minute; an event leaves at once, with what was collected so far. A track drives and parks in
turns between the places of its town, and begins anywhere in its turn; each drive begins where the last one ended.
Records carry the receiver's rounding but none of its errors, because a load test weighs and times batches, and does not
judge positions.

Encoding a drive costs far more than signing it, so many vehicles share a track (`sealing.py` signs for each of them).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from firmware_sim.roads.acts import drive
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.motion import Motion, Phase
from firmware_sim.roads.places import parked_at, places
from wire.records import Body, Event, PositionSource, Sample, TimeQuality

HEARTBEAT_S = 900
BATCH_S = 60
DRIVE_S = (480, 2400)  # eight to forty minutes
_STEPS_PER_SAMPLE = 10  # `drive` tells ten positions a second
_TUNNEL_SHARE = 0.15  # of the drives: a tunnel, so that other events than the key's are on the line
_TUNNEL_S = (20, 90)
_HOME = "home"
_DRIVEN_TO = (_HOME, "work", "mall", "police")
_KERNEL_UP_S = 5000  # how long the unit has run when its track begins
_KERNEL_BOOT = 1


@dataclass(frozen=True, slots=True)
class Told:
    """Records that leave together, `at_s` seconds after the track's begin."""

    at_s: float
    body: Body


def track(seed: int, number: int, start_utc_ms: int, length_s: float, driving_share: float) -> Iterator[Told]:
    """One track, in order of time.

    Args:
        seed: of the fleet.
        number: of the track.
        start_utc_ms: when it begins.
        length_s: how long it is.
        driving_share: of the time that the vehicle drives, over 0 to 1.
    """
    dice = random.Random(f"fleet track {seed} {number}")  # noqa: S311 - repeatable on purpose
    clock = _Clock(start_utc_ms)
    town = places(CITIES[dice.choice(sorted(CITIES))], dice.randrange(1 << 30))
    mean_drive_s = sum(DRIVE_S) / 2
    mean_parked_s = mean_drive_s * (1 - driving_share) / driving_share
    drives = dice.random() < driving_share
    at_s = 0.0
    whole = False  # the first stint has begun before the track
    here, stands = _HOME, parked_at(town[_HOME])
    odometer_km = float(dice.randrange(2_000, 120_000))
    while at_s < length_s:
        if drives:
            about_s = dice.randint(*DRIVE_S) if whole else dice.randint(BATCH_S + 1, DRIVE_S[1])
            here = dice.choice([name for name in _DRIVEN_TO if name != here])
            moved = drive(stands, town[here], dice.randrange(1 << 30), about_s / 60, clock.local_hour(at_s))
            motions = list(islice(moved, 0, None, _STEPS_PER_SAMPLE))
            samples = list(_driven(clock, at_s, motions, odometer_km, random.Random(dice.randrange(1 << 30))))  # noqa: S311
            tunnel = _tunnel(dice, len(samples)) if dice.random() < _TUNNEL_SHARE else None
            yield from _in_batches(clock, at_s, samples, tunnel)
            stands, stint_s = replace(motions[-1], t_s=0.0), float(len(samples))
            odometer_km = samples[-1].odometer_km or odometer_km
        else:
            stint_s = float(round(min(dice.expovariate(1 / mean_parked_s), length_s)))
            phase_s = float(HEARTBEAT_S if whole else dice.randint(0, HEARTBEAT_S))
            yield from _parked(clock, at_s, stint_s, phase_s, stands, dice)
        at_s, drives, whole = at_s + stint_s, not drives, True


@dataclass(frozen=True, slots=True)
class _Clock:
    start_utc_ms: int

    def utc_ms(self, at_s: float) -> int:
        return self.start_utc_ms + round(at_s * 1000)

    def local_hour(self, at_s: float) -> float:
        """In China (UTC+8), 0 to 24."""
        return (self.utc_ms(at_s) / 3_600_000 + 8) % 24

    def mono_s(self, at_s: float) -> float:
        return round(_KERNEL_UP_S + at_s, 2)

    def event(self, kind: str, at_s: float, details: dict[str, str]) -> Event:
        return Event(kind, round(self.mono_s(at_s) * 1000), self.utc_ms(at_s), TimeQuality.GNSS, details)


def _driven(
    clock: _Clock, begin_s: float, motions: Sequence[Motion], odometer_km: float, dice: random.Random
) -> Iterator[Sample]:
    """A sample a second of one drive, with the values of a car that answers."""
    fuel_pct, coolant_c = dice.uniform(15, 95), dice.uniform(15, 40)
    for second, motion in enumerate(motions):
        at_s = begin_s + second
        runs = motion.phase is Phase.RUNNING
        odometer_km += motion.speed_mps / 1000
        coolant_c = min(90.0, coolant_c + 0.08)
        load_pct = min(95.0, 22 + 18 * max(0.0, motion.accel_mps2) + 0.9 * motion.speed_mps) if runs else 0.0
        yield Sample(
            mono_s=clock.mono_s(at_s),
            time_utc_ms=clock.utc_ms(at_s),
            time_quality=TimeQuality.GNSS,
            lat_deg=round(motion.lat_deg, 7),
            lon_deg=round(motion.lon_deg, 7),
            alt_m=round(motion.altitude_m, 1),
            speed_mps=round(motion.speed_mps, 2),
            course_deg=round(motion.course_deg, 1),
            fix_quality=1,
            satellites_used=18 + dice.choice((0, 0, 0, 1, 2)),
            hdop=round(0.7 + dice.choice((0.0, 0.0, 0.1)), 2),
            obd_speed_kmh=float(round(motion.speed_mps * 3.6)),
            engine_rpm=round((750 + 62 * motion.speed_mps + dice.gauss(0, 12)) * 4) / 4 if runs else 0.0,
            coolant_temp_c=float(round(coolant_c)),
            engine_load_pct=round(load_pct, 1),
            throttle_pct=round(12 + load_pct / 3, 1) if runs else 12.0,
            module_voltage_v=round(14.1 + dice.gauss(0, 0.03), 3) if runs else 12.4,
            fuel_level_pct=round(fuel_pct, 1),
            odometer_km=round(odometer_km, 1),
            mil_on=0,
            dtc_count=0,
        )


def _tunnel(dice: random.Random, seconds: int) -> tuple[int, int]:
    """From and to which second of a drive there is no position."""
    begin = dice.randrange(30, max(31, seconds - _TUNNEL_S[1]))
    return begin, min(begin + dice.randint(*_TUNNEL_S), seconds - 1)


def _in_batches(clock: _Clock, begin_s: float, samples: list[Sample], tunnel: tuple[int, int] | None) -> Iterator[Told]:
    """A drive as its unit sends it: a batch a minute, and one at once for each event."""
    events = {0: ("ignition_on", {"by": "engine"}), len(samples) - 1: ("ignition_off", {"by": "engine"})}
    if tunnel is not None:
        events[tunnel[0]] = ("gnss_lost", {"satellites": "all_at_once"})
        events[tunnel[1]] = ("gnss_regained", {"after_s": str(tunnel[1] - tunnel[0])})
    open_samples: list[Sample] = []
    for second, sample in enumerate(samples):
        if tunnel is None or not tunnel[0] <= second < tunnel[1]:
            open_samples.append(sample)
        at_s = begin_s + second
        told = events.get(second)
        if told is not None or len(open_samples) >= BATCH_S:
            happened = () if told is None else (clock.event(told[0], at_s, told[1]),)
            yield Told(at_s, Body(_KERNEL_BOOT, tuple(open_samples), happened))
            open_samples = []


def _parked(
    clock: _Clock, begin_s: float, length_s: float, first_s: float, stands: Motion, dice: random.Random
) -> Iterator[Told]:
    """A heartbeat each 15 minutes; the battery rests and falls slowly."""
    resting_v = dice.uniform(12.4, 12.75)
    after_s = first_s
    while after_s < length_s:
        at_s = begin_s + after_s
        held = Sample(
            mono_s=clock.mono_s(at_s),
            time_utc_ms=clock.utc_ms(at_s),
            time_quality=TimeQuality.GNSS,
            lat_deg=round(stands.lat_deg, 7),
            lon_deg=round(stands.lon_deg, 7),
            alt_m=round(stands.altitude_m, 1),
            speed_mps=0.0,
            fix_quality=1,
            satellites_used=16,
            hdop=0.8,
            module_voltage_v=round(resting_v - after_s * 2e-6, 3),
            position_source=int(PositionSource.HELD),
        )
        yield Told(at_s, Body(_KERNEL_BOOT, (held,)))
        after_s += HEARTBEAT_S
