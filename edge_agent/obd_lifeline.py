"""What the OBD worker says, and when to start or kill it. Pure: no process, no thread, no clock.

The lines are described in obd_worker.py. That process is the only one that links with python-OBD; text is all that the
two share, so nothing here is imported from there.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from edge_agent.readings import Reading, Refused

MAX_LINE = 8_192  # bytes; the longest honest line, 127 fault codes, has about 1,300
LOOK_FOR_PORT_S = 0.5  # while the port does not exist no worker is started: importing python-OBD costs 0.7 s of a core


@dataclass(frozen=True, slots=True)
class Hello:
    """The adapter answered; `supported` are names of READINGS that this car can say, () where no car answers."""

    adapter: str
    protocol: str  # as in AT SP: "6" is CAN 11 bit 500 kbit/s
    supported: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Silent:
    """The worker asked for `name` and no usable answer came: it is alive, the car is not talking."""

    name: str


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the worker gives up; its last line."""

    reason: str


Message = Hello | Reading | Silent | Ending


def parse_line(line: bytes) -> Message | Refused:
    """One line of the worker without its newline. Never raises; a Reading is not yet `checked`."""
    if len(line) > MAX_LINE:
        return Refused("line too long")
    try:
        said = json.loads(line, parse_int=float)  # an int could be too big for a float
    except (ValueError, RecursionError):
        return Refused("not JSON")
    if not isinstance(said, dict):
        return Refused("not an object")
    kind = next((key for key in _PARSERS if key in said), None)
    message = _PARSERS[kind](said) if kind else None
    return message or Refused(f"malformed {kind}" if kind else "unknown kind of line")


def _hello(said: Mapping[str, object]) -> Hello | None:
    match said["hello"]:
        case {"adapter": str(adapter), "protocol": str(protocol), "supported": list(names)}:
            return Hello(adapter, protocol, tuple(map(str, names)))
    return None


def _reading(said: Mapping[str, object]) -> Reading | None:
    match said:
        case {"name": str(name), "value": list(texts), "mono_s": float(mono_s)}:
            return Reading(name, tuple(map(str, texts)), mono_s)
        case {"name": str(name), "value": str() | float() as value, "mono_s": float(mono_s)}:
            return Reading(name, value, mono_s)
    return None


def _silent(said: Mapping[str, object]) -> Silent | None:
    return Silent(str(said["silent"]))


def _ending(said: Mapping[str, object]) -> Ending | None:
    return Ending(str(said["error"]))


_PARSERS: Mapping[str, Callable[[Mapping[str, object]], Message | None]] = {
    "name": _reading,
    "silent": _silent,
    "hello": _hello,
    "error": _ending,
}


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds."""

    connect_s: float = 20.0  # from the start of a worker to its hello
    deadline_s: float = 8.0  # from line to line after that
    pause_s: float = 3.0  # from the end of a worker to the next one, doubling while none delivers a reading
    longest_pause_s: float = 60.0


class Phase(Enum):
    DOWN = "down"
    CONNECTING = "connecting"
    QUERYING = "querying"


@dataclass(frozen=True, slots=True)
class Lifeline:
    """When to start and when to kill the worker. Pure: each step takes the time and returns the next state."""

    limits: Deadlines = field(default_factory=Deadlines)
    phase: Phase = Phase.DOWN
    due_s: float = float("-inf")  # DOWN: start then; otherwise: kill then, unless something is heard before
    fruitless: int = 0  # workers in a row that ended without one reading

    def is_due(self, now_s: float) -> bool:
        return now_s >= self.due_s

    def started(self, now_s: float) -> "Lifeline":
        return replace(self, phase=Phase.CONNECTING, due_s=now_s + self.limits.connect_s, fruitless=self.fruitless + 1)

    def heard(self, message: Message, now_s: float) -> "Lifeline":
        """Only a hello ends the connecting, and refused lines are no sign of life: they never come here."""
        if self.phase is Phase.DOWN or (self.phase is Phase.CONNECTING and not isinstance(message, Hello)):
            return self
        fruitless = 0 if isinstance(message, Reading) else self.fruitless
        return replace(self, phase=Phase.QUERYING, due_s=now_s + self.limits.deadline_s, fruitless=fruitless)

    def ended(self, now_s: float, jitter: float) -> "Lifeline":
        """`jitter` from 0 to 1 lengthens the pause by up to a quarter, within the longest."""
        pause_s = self.limits.pause_s * 2.0 ** max(0, min(self.fruitless, 30) - 1) * (1 + jitter / 4)
        return replace(self, phase=Phase.DOWN, due_s=now_s + min(pause_s, self.limits.longest_pause_s))

    def no_port(self, now_s: float) -> "Lifeline":
        """The port does not exist: look again soon, and start at once when it comes back."""
        return replace(self, due_s=now_s + LOOK_FOR_PORT_S, fruitless=0)
