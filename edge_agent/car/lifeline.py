"""What the OBD worker says, and when to start or kill it. Pure: no process, no thread, no clock.

The lines are described in obd_process/worker.py. That process is the only one that links with python-OBD; text is all
that the two share, so nothing here is imported from there.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from edge_agent.car.readings import Reading, Refused

MAX_LINE = 8_192  # bytes; the longest honest line, 127 fault codes, has about 1,300
LOOK_FOR_PORT_S = 0.5  # while the port does not exist no worker is started: a start costs 0.2 s of a core
LONGEST_LOOK_S = 8.0  # where looking finds nothing, the pause doubles up to this
LONGEST_REST_S = 3_600.0  # no worker may promise to be quiet for longer
DEATHS = 2  # of a worker on one and the same question, before it is left out
LEFT_OUT_S = 6 * 3_600.0


@dataclass(frozen=True, slots=True)
class Hello:
    """The adapter answered; said again each time that the car is met, which is when its ignition comes on.

    `supported` are names of READINGS whose PIDs the car offers; those without one (VIN, codes) are found out by asking.
    """

    adapter: str
    protocol: str  # as in AT SP: "6" is CAN 11 bit 500 kbit/s
    supported: tuple[str, ...]
    car: bool = True  # whether a computer in the car answered


@dataclass(frozen=True, slots=True)
class Asking:
    """The worker is about to ask `name` for the first time since it was started."""

    name: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What the worker does when it does not poll the car, and how long its next line may take."""

    what: str
    next_line_s: float


@dataclass(frozen=True, slots=True)
class Silent:
    """The worker asked for `name` and no usable answer came: it is alive, the car is not talking."""

    name: str


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the worker gives up; its last line."""

    reason: str


Message = Hello | Asking | Reading | Silent | Doing | Ending


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
        case {"adapter": str(adapter), "protocol": str(protocol), "supported": list(names), "car": bool(car)}:
            return Hello(adapter, protocol, tuple(map(str, names)), car)
    return None


def _reading(said: Mapping[str, object]) -> Reading | None:
    match said:
        case {"name": str(name), "value": list(texts), "mono_s": float(mono_s)}:
            return Reading(name, tuple(map(str, texts)), mono_s)
        case {"name": str(name), "value": str() | float() as value, "mono_s": float(mono_s)}:
            return Reading(name, value, mono_s)
    return None


def _asking(said: Mapping[str, object]) -> Asking | None:
    return Asking(str(said["asking"]))


def _doing(said: Mapping[str, object]) -> Doing | None:
    match said:
        case {"doing": str(what), "next_line_s": float(seconds)} if 0 <= seconds <= LONGEST_REST_S:
            return Doing(what, seconds)
    return None


def _silent(said: Mapping[str, object]) -> Silent | None:
    return Silent(str(said["silent"]))


def _ending(said: Mapping[str, object]) -> Ending | None:
    return Ending(str(said["error"]))


_PARSERS: Mapping[str, Callable[[Mapping[str, object]], Message | None]] = {
    "name": _reading,
    "silent": _silent,
    "asking": _asking,
    "doing": _doing,
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
    looked: int = 0  # times in a row that no port was found

    def is_due(self, now_s: float) -> bool:
        return now_s >= self.due_s

    def started(self, now_s: float) -> "Lifeline":
        return replace(
            self, phase=Phase.CONNECTING, due_s=now_s + self.limits.connect_s, fruitless=self.fruitless + 1, looked=0
        )

    def heard(self, message: Message, now_s: float) -> "Lifeline":
        """Only a hello or an announcement ends the connecting. Refused lines never come here: no sign of life."""
        if self.phase is Phase.DOWN or (self.phase is Phase.CONNECTING and not isinstance(message, Hello | Doing)):
            return self
        fruitless = 0 if isinstance(message, Reading) else self.fruitless
        due_s = now_s + self.limits.deadline_s + (message.next_line_s if isinstance(message, Doing) else 0.0)
        return replace(self, phase=Phase.QUERYING, due_s=due_s, fruitless=fruitless)

    def ended(self, now_s: float, jitter: float) -> "Lifeline":
        """`jitter` from 0 to 1 lengthens the pause by up to a quarter, within the longest."""
        pause_s = self.limits.pause_s * 2.0 ** max(0, min(self.fruitless, 30) - 1) * (1 + jitter / 4)
        return replace(self, phase=Phase.DOWN, due_s=now_s + min(pause_s, self.limits.longest_pause_s))

    def no_port(self, now_s: float) -> "Lifeline":
        """The port does not exist: look again soon, and start at once when it comes back."""
        return replace(self, due_s=now_s + LOOK_FOR_PORT_S, fruitless=0)

    def nothing_found(self, now_s: float) -> "Lifeline":
        """No port has an adapter: looking talks to ports, so each pause is twice the one before."""
        pause_s = min(LOOK_FOR_PORT_S * 2.0 ** min(self.looked, 30), LONGEST_LOOK_S)
        return replace(self, due_s=now_s + pause_s, fruitless=0, looked=self.looked + 1)


@dataclass(frozen=True, slots=True)
class Suspects:
    """Which question hangs this adapter. Pure.

    Some clones hang up at one command until they are reset. The worker says what it is about to ask for the first time;
    a question that was under way at DEATHS deaths of workers is left out for LEFT_OUT_S.
    """

    under_way: str = ""
    deaths: Mapping[str, int] = field(default_factory=dict)
    until_s: Mapping[str, float] = field(default_factory=dict)  # left out until then

    def heard(self, message: Message) -> "Suspects":
        match message:
            case Asking(name):
                return replace(self, under_way=name)
            case Reading() | Silent():  # whatever was under way has been answered: questions are asked one by one
                return replace(self, under_way="")
        return self

    def died(self, now_s: float) -> "Suspects":
        """A worker ended, by itself or killed."""
        if not (name := self.under_way):
            return self
        deaths = {**self.deaths, name: self.deaths.get(name, 0) + 1}
        until_s = dict(self.until_s)
        if deaths[name] >= DEATHS:
            deaths[name], until_s[name] = DEATHS - 1, now_s + LEFT_OUT_S  # after the time, one more chance
        return Suspects("", deaths, until_s)

    def left_out(self, now_s: float) -> tuple[str, ...]:
        return tuple(name for name, until_s in self.until_s.items() if now_s < until_s)
