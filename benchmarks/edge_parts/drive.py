"""The drive that is played: recorded NMEA, and a car whose values follow the speed that the receiver recorded. Pure.

No public recording has both NMEA and OBD of one car, and a second recorded car beside the first would drive another way
and set off the agent's own checks of position against wheels. So the adapter's side is the simulator's car
(`firmware_sim/car/vehicle.py`), moved by the receiver's recorded speed over ground: all fields, noise included.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from firmware_sim.car.vehicle import CarStart, Vehicle
from firmware_sim.j1979 import PID_BY_FIELD
from firmware_sim.recording import read_recording
from firmware_sim.roads.motion import STEP_S, Motion, Phase

_KNOT_MPS = 1852 / 3600
_MOVING_MPS = 1.5
_BEFORE_S = 20.0  # of standing before the first motion


@dataclass(frozen=True, slots=True)
class Speed:
    """The receiver's speed over ground at `t_s` seconds of play."""

    t_s: float
    mps: float


@dataclass(frozen=True, slots=True)
class Piece:
    """What is played: the receiver's bytes, and the speed in them."""

    nmea: bytes
    speeds: tuple[Speed, ...]
    length_s: float

    @property
    def stopped_share(self) -> float:
        """Of its seconds, how many without motion."""
        return sum(each.mps < _MOVING_MPS for each in self.speeds) / len(self.speeds)

    @property
    def km(self) -> float:
        """Distance by speed over ground."""
        return sum(a.mps * (b.t_s - a.t_s) for a, b in pairwise(self.speeds)) / 1000


def cut(recording: bytes, length_s: float) -> Piece:
    """`length_s` seconds of a log, from shortly before its first motion on.

    Raises:
        ValueError: no speed in it.
    """
    events = read_recording(recording).events
    speeds = [Speed(event.t_s, mps) for event in events if (mps := _speed_mps(event.data)) is not None]
    if not speeds:
        raise ValueError("the recording has no RMC sentence with a speed")
    moves_s = next((each.t_s for each in speeds if each.mps >= _MOVING_MPS), speeds[0].t_s)
    begin_s = max(0.0, moves_s - _BEFORE_S)
    end_s = min(begin_s + length_s, events[-1].t_s)
    chosen = tuple(Speed(each.t_s - begin_s, each.mps) for each in speeds if begin_s <= each.t_s <= end_s)
    return Piece(b"".join(each.data for each in events if begin_s <= each.t_s <= end_s), chosen, end_s - begin_s)


def car_columns(speeds: Sequence[Speed], vin: str, seed: int = 1) -> dict[str, list[float]]:
    """A car that drives so, as columns of a table that `pledgewatch-sim replay --obd` plays: `t_s` and one a PID."""
    vehicle = Vehicle(seed, CarStart(vin=vin, coolant_c=70.0))
    times = [each.t_s for each in speeds]
    columns: dict[str, list[float]] = {"t_s": []}
    before_mps = speeds[0].mps
    for step in range(round(times[-1] / STEP_S) + 1):
        t_s = round(step * STEP_S, 1)
        mps = _between(speeds, times, t_s)
        motion = Motion(t_s, 0.0, 0.0, 0.0, mps, (mps - before_mps) / STEP_S, 0.0, Phase.RUNNING)
        before_mps = mps
        columns["t_s"].append(t_s)
        for name, value in asdict(vehicle.step(motion)).items():
            if name in PID_BY_FIELD and value is not None:
                columns.setdefault(name, []).append(float(value))
    return columns


def _between(speeds: Sequence[Speed], times: Sequence[float], t_s: float) -> float:
    right = bisect_right(times, t_s)
    if right in (0, len(speeds)):
        return speeds[min(right, len(speeds) - 1)].mps
    a, b = speeds[right - 1], speeds[right]
    return a.mps + (b.mps - a.mps) * (t_s - a.t_s) / (b.t_s - a.t_s)


def _speed_mps(line: bytes) -> float | None:
    """Of an RMC sentence that is valid (status A): field 7, in knots."""
    if line[3:7] != b"RMC,":
        return None
    fields = line.split(b",")
    try:
        return float(fields[7]) * _KNOT_MPS if fields[2] == b"A" else None
    except (IndexError, ValueError):
        return None
