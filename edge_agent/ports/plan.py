"""Where to look, in which order, and what to try there. Pure.

First where the missing devices were last found, for one listening at the last speed; then at every free port; last at
ports whose device disappointed (`doubted`). The roles that are missing are looked for at each port together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edge_agent.ports.kinds import Candidate, Listing, May, may
from edge_agent.ports.probe import ADAPTER_BAUDS, RECEIVER_BAUDS, Pace, Plan, Role

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A good place: path, speed in bits per second, and the USB socket ("" for none)."""

    port: str
    baud: int
    location: str = ""


class Stage(Enum):
    """In the order of looking."""

    WHERE_IT_WAS = "where it was"
    ELSEWHERE = "elsewhere"
    DOUBTED = "doubted"


@dataclass(frozen=True, slots=True)
class Want:
    """One missing device."""

    role: Role
    port: str = AUTO  # or the path that a person chose, whose speed is to be found
    baud: int = 0  # bits per second; 0: to be found
    last: Remembered | None = None
    doubted: str = ""  # a path


@dataclass(frozen=True, slots=True)
class Refusal:
    """A port that is not tried for a role, and why."""

    role: Role
    path: str
    text: str


def plans(
    stage: Stage, wants: Sequence[Want], listing: Listing, taken: Mapping[str, str], pace: Pace
) -> tuple[dict[str, Plan], list[Refusal]]:
    """What to try in this stage, by path, and what is refused in any. `taken`: path → why it is not free."""
    speeds: dict[str, dict[Role, tuple[int, ...]]] = {}
    refused: list[Refusal] = []
    paths = _paths(stage, wants, listing)
    for want in wants:
        needed = May.ASK if want.role is Role.OBD else May.LISTEN
        if want.port != AUTO and stage is Stage.ELSEWHERE:
            speeds.setdefault(want.port, {})[want.role] = _speeds(want, Stage.ELSEWHERE)
        for port in listing.ports if want.port == AUTO else ():
            limits, text = may(port, listing)
            if port.path in taken:
                refused.append(Refusal(want.role, port.path, taken[port.path]))
            elif limits < needed:
                refused.append(Refusal(want.role, port.path, text))
            elif port.path in paths:
                speeds.setdefault(port.path, {})[want.role] = _speeds(want, stage)
    return {path: Plan(at.get(Role.GNSS, ()), at.get(Role.OBD, ()), pace) for path, at in speeds.items()}, refused


def location(path: str, ports: Iterable[Candidate]) -> str:
    """The USB socket of a port; "" where it has none."""
    return next((port.location for port in ports if port.path == path), "")


def _paths(stage: Stage, wants: Sequence[Want], listing: Listing) -> set[str]:
    doubted = {want.doubted for want in wants}
    if stage is Stage.DOUBTED:
        return doubted
    if stage is Stage.ELSEWHERE:
        return {port.path for port in listing.ports} - doubted
    return {port.path for want in wants for port in listing.ports if want.last and _is_at(want.last, port)} - doubted


def _is_at(last: Remembered, port: Candidate) -> bool:
    return port.location == last.location if last.location else port.path == last.port


def _speeds(want: Want, stage: Stage) -> tuple[int, ...]:
    """The likeliest first, and in a short look only that."""
    usual = (want.baud,) if want.baud else RECEIVER_BAUDS if want.role is Role.GNSS else ADAPTER_BAUDS
    first = want.last.baud if want.last and not want.baud else usual[0]
    ordered = tuple(dict.fromkeys((first, *usual)))
    return ordered[:1] if stage is Stage.WHERE_IT_WAS else ordered
