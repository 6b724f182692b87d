"""What the tests share: a car that stands or drives straight on, and sentences read by pynmeagps."""

import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pynmeagps import VALCKSUM, NMEAReader  # type: ignore[import-untyped]

from firmware_sim.receiver.receiver import Receiver
from firmware_sim.receiver.settings import NO_FAULTS, ReceiverFaults, ReceiverSettings
from firmware_sim.roads.geometry import radii_m
from firmware_sim.roads.motion import Motion, Phase

START = datetime(2026, 11, 23, 14, tzinfo=UTC)
CHENGDU = (30.5728, 104.0668)


def straight_on(
    seconds: float,
    speed_mps: float = 0.0,
    course_deg: float = 70.0,
    from_s: float = 0.0,
    step_s: float = 1.0,
    start: tuple[float, float] = CHENGDU,
) -> Iterator[Motion]:
    north, east = radii_m(start[0])
    for step in range(round(seconds / step_s)):
        t_s = from_s + step * step_s
        along_m = speed_mps * step * step_s
        yield Motion(
            round(t_s, 3),
            start[0] + math.degrees(along_m * math.cos(math.radians(course_deg)) / north),
            start[1] + math.degrees(along_m * math.sin(math.radians(course_deg)) / east),
            500.0,
            speed_mps,
            0.0,
            course_deg,
            Phase.RUNNING,
        )


def receiver(seed: int = 1, **settings: Any) -> Receiver:
    return Receiver(ReceiverSettings(seed, **{"start_utc": START, "start": "running", **settings}))


def read(data: Iterable[bytes]) -> list[Any]:
    """Every sentence as pynmeagps reads it; it refuses what it does not understand."""
    lines = list(data)
    messages = list(NMEAReader(io.BytesIO(b"".join(lines)), validate=VALCKSUM, quitonerror=2))
    assert [raw for raw, _ in messages] == lines
    return [message for _, message in messages]


@dataclass(frozen=True)
class Second:
    """One epoch: the truth, the raw sentences, and what pynmeagps makes of them."""

    motion: Motion
    raw: list[bytes]

    @property
    def messages(self) -> list[Any]:
        return read(self.raw)

    def all_of(self, kind: str) -> list[Any]:
        return read(line for line in self.raw if line[3:6].decode() == kind)

    def one(self, kind: str) -> Any:
        (message,) = self.all_of(kind)
        return message

    @property
    def has_fix(self) -> bool:
        return bool(self.one("RMC").status == "A")

    @property
    def error_m(self) -> tuple[float, float]:
        """East, north: the place told less the true one."""
        rmc = self.one("RMC")
        north, east = radii_m(self.motion.lat_deg)
        return (
            math.radians(rmc.lon - self.motion.lon_deg) * east,
            math.radians(rmc.lat - self.motion.lat_deg) * north,
        )

    @property
    def cn0_dbhz(self) -> dict[tuple[str, int], float | None]:
        """By talker and number, of every satellite in view; None: not heard."""
        found: dict[tuple[str, int], float | None] = {}
        for line in self.raw:
            if line[3:6] == b"GSV":
                fields = line.split(b"*")[0].decode().split(",")[4:-1]
                for at in range(0, len(fields), 4):
                    found[line[1:3].decode(), int(fields[at])] = float(fields[at + 3]) if fields[at + 3] else None
        return found


def listen(
    sender: Receiver,
    motions: Iterable[Motion],
    faults: ReceiverFaults | Callable[[float], ReceiverFaults] = NO_FAULTS,
) -> list[Second]:
    """`faults`: all the time, or by time."""
    seconds = []
    for motion in motions:
        raw = sender.epoch(motion, faults if isinstance(faults, ReceiverFaults) else faults(motion.t_s))
        if raw:
            seconds.append(Second(motion, raw))
    return seconds


def between(from_s: float, to_s: float, fault: ReceiverFaults) -> Callable[[float], ReceiverFaults]:
    return lambda t_s: fault if from_s <= t_s < to_s else NO_FAULTS
