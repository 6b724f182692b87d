"""What came of a story: everything that the judge and the report look at. Times are story seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """One event as it came over the wire."""

    at_s: float  # when it happened, by the unit's own clock; None of its times is of the judge
    kind: str
    details: Mapping[str, str]
    arrived_s: float


@dataclass(frozen=True, slots=True)
class SeenBatch:
    """One sealed batch whose seal held."""

    boot: str
    sequence: int
    samples: int
    digest: str


@dataclass(frozen=True, slots=True)
class SeenGap:
    """Batches that the unit declared lost."""

    boot: str
    first: int
    last: int
    samples: int
    reason: str


@dataclass(frozen=True, slots=True)
class Moment:
    """The car at one instant, for the picture."""

    at_s: float
    speed_kmh: float
    volts: float
    engine_on: bool


@dataclass(slots=True)
class Evidence:
    """Filled while the story is played."""

    events: list[SeenEvent] = field(default_factory=list)
    batches: list[SeenBatch] = field(default_factory=list)
    gaps: list[SeenGap] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # batches whose seal did not hold
    told_s: list[int] = field(default_factory=list)  # UTC seconds in which the receiver told a position while driving
    heard_s: set[int] = field(default_factory=set)  # UTC seconds of samples with a position
    facts: dict[float, Mapping[str, Any]] = field(default_factory=dict)  # when it was asked → the unit's status
    states: dict[float, Mapping[str, Any]] = field(default_factory=dict)  # when it was asked → the server's JSON
    places: dict[str, tuple[float, float]] = field(default_factory=dict)  # name → WGS-84 degrees
    skipped: list[tuple[float, float]] = field(default_factory=list)
    off: list[tuple[float, float]] = field(default_factory=list)  # the unit had no process
    moments: list[Moment] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    waiting: str = ""  # what the unit still had to send at the end, as its status says
    ended: str = ""  # how it took SIGTERM, if not well
    trouble: list[str] = field(default_factory=list)  # of the unit's process: it ended by itself, ...
    server_samples: int | None = None  # stored of this vehicle, by the server's page
    notes: list[str] = field(default_factory=list)  # what a reader of the report must know
    is_physical: bool = False  # on cables: neither its status nor the server's pages were within reach
    wall_s: float = 0.0
    rate: float = 1.0
