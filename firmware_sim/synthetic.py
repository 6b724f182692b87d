"""One seeded synthetic drive as timed events: trip → receiver and car. The same arguments give the same bytes. Pure."""

from collections.abc import Iterator
from datetime import datetime

from firmware_sim.gnss import Dialect, Receiver
from firmware_sim.streets import City
from firmware_sim.timeline import CarAt, Event, GnssBytes
from firmware_sim.trip import drive
from firmware_sim.vehicle import CarStart, Vehicle

_STEPS_PER_FIX = 10  # the trip's steps are 0.1 s: one fix a second
_STEPS_PER_CAR = 2  # and five looks at the car


def drive_events(
    city: City, seed: int, duration_s: float, start: datetime, car: CarStart, dialect: Dialect | None = None
) -> Iterator[Event]:
    """The events of one drive that begins at `start` (UTC), in order of time."""
    receiver, vehicle = Receiver(seed, start, dialect), Vehicle(seed, car)
    for step, motion in enumerate(drive(city, seed, duration_s)):
        snapshot = vehicle.step(motion)
        if step % _STEPS_PER_CAR == 0:
            yield CarAt(motion.t_s, snapshot)
        if step % _STEPS_PER_FIX == 0:
            yield from (GnssBytes(motion.t_s, line) for line in receiver.epoch(motion))
