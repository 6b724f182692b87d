"""One seeded synthetic drive as timed events: trip → receiver and car. The same arguments give the same bytes. Pure."""

from collections.abc import Iterator
from datetime import datetime

from firmware_sim.car.vehicle import CarStart, Vehicle
from firmware_sim.receiver.receiver import Receiver
from firmware_sim.receiver.settings import ReceiverSettings
from firmware_sim.roads.cities import City
from firmware_sim.roads.trip import roam
from firmware_sim.timeline import CarAt, Event, GnssBytes

_STEPS_PER_CAR = 2  # the trip's steps are 0.1 s: five looks at the car a second


def drive_events(
    city: City, seed: int, duration_s: float, start: datetime, car: CarStart, talkers: tuple[str, str] | None = None
) -> Iterator[Event]:
    """The events of one drive that begins at `start` (UTC), in order of time; its receiver was running long before."""
    receiver = Receiver(ReceiverSettings(seed, start, talkers=talkers, start="running"))
    vehicle = Vehicle(seed, car)
    for step, motion in enumerate(roam(city, seed, duration_s)):
        snapshot = vehicle.step(motion)
        if step % _STEPS_PER_CAR == 0:
            yield CarAt(motion.t_s, snapshot)
        yield from (GnssBytes(motion.t_s, line) for line in receiver.epoch(motion))
