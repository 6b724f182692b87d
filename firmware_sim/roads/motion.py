"""The truth that every sensor then spoils: where the car is and how it moves, ten times a second. Pure."""

from dataclasses import dataclass
from enum import Enum

STEP_S = 0.1


class Phase(Enum):
    """What the driver does with the key; an electric car is KEY_ON while it wakes and RUNNING when it is ready."""

    OFF = "key off"
    KEY_ON = "key on, engine off"
    CRANKING = "starter turning"
    RUNNING = "engine running"


@dataclass(frozen=True, slots=True)
class Motion:
    """The truth at `t_s` seconds of play. Course clockwise from true north; kept while the car stands.

    `wheels_turn` is False where the car moves and its wheels do not: on a flatbed, on a ferry, lifted by a tow truck.
    """

    t_s: float
    lat_deg: float
    lon_deg: float
    altitude_m: float
    speed_mps: float
    accel_mps2: float
    course_deg: float
    phase: Phase
    wheels_turn: bool = True
