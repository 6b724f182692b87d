"""What a story consists of. docs/scenario-schema.md says the same for those who write one.

Times in a story are seconds of the story itself: its clock begins at 0 with the first act, and runs on through hours
that are skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


class StoryError(ValueError):
    """A scenario file that cannot be played: the message names file, table, key, and what would do."""


@dataclass(frozen=True, slots=True)
class Text:
    """One text in both languages."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """`language`: "zh" or "en"."""
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, slots=True)
class Act:
    """One act; acts follow one another."""

    name: str
    do: str  # a key of vocabulary.ACTS
    begin_s: float
    seconds: float
    to: str = ""  # a place, for acts that move
    city: str = ""  # of that place, where it is another than the story's
    told_s: float = 0.0  # as the file says; the way to a place may take longer than that (0: nothing was told)
    more: Mapping[str, Any] = field(default_factory=dict)  # further keys that this kind of act knows

    @property
    def end_s(self) -> float:
        """Where the next act begins, in story seconds."""
        return self.begin_s + self.seconds


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong from `begin_s` to `end_s`, story seconds; both the same: it happens once."""

    act: str
    what: str  # "part.name", a key of vocabulary.FAULTS
    begin_s: float
    end_s: float
    value: Any = None

    @property
    def part(self) -> str:
        """receiver, adapter, car, unit, network, broker, server, ports or clock."""
        return self.what.partition(".")[0]

    @property
    def name(self) -> str:
        """What of the part."""
        return self.what.partition(".")[2]


@dataclass(frozen=True, slots=True)
class Order:
    """A command of the server, given at `at_s`."""

    act: str
    at_s: float
    command: str
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expect:
    """What must be: an event, an alert, a gap, a fact of the unit, or a state on the server; exactly one of them."""

    event: str = ""
    alert: str = ""
    fact: str = ""
    state: str = ""
    gap: bool | None = None  # whether the unit is to declare batches lost
    act: str = ""  # of an event or alert: times are from its begin
    from_s: float = 0.0  # story seconds
    to_s: float = 0.0
    least: int = 1
    most: int | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    value: Any = None  # `is`
    has: str = ""  # a fact's text contains it
    unlike: str | None = None  # `not`
    at_least: float | None = None
    at_most: float | None = None
    near: str = ""
    within_m: float = 50.0
    at_s: float | None = None  # of a fact: when it is asked; None: at the end of the story
    waits_for: str = ""  # something that is not built yet: listed, not judged

    @property
    def kind(self) -> str:
        """event, alert, gap, fact or state."""
        return next((name for name in ("event", "alert", "fact", "state") if getattr(self, name)), "gap")

    @property
    def name(self) -> str:
        """Which one."""
        return str(getattr(self, self.kind))


@dataclass(frozen=True, slots=True)
class Never:
    """Events that must not come within `spans` (from, to; story seconds)."""

    events: tuple[str, ...]
    spans: tuple[tuple[float, float], ...]
    details: Mapping[str, str] = field(default_factory=dict)
    alerts: tuple[str, ...] = ()
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """One scenario file."""

    name: str  # the file's name without .toml
    title: Text
    about: Text
    tags: tuple[str, ...]
    seed: int
    start: datetime  # UTC
    city: str
    at: str  # the place where it begins
    speed: float  # at most so much faster than life
    acts: tuple[Act, ...]
    faults: tuple[Fault, ...] = ()
    orders: tuple[Order, ...] = ()
    expects: tuple[Expect, ...] = ()
    nevers: tuple[Never, ...] = ()
    unit: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    car: Mapping[str, Any] = field(default_factory=dict)
    receiver: Mapping[str, Any] | None = field(default_factory=dict)  # None: no receiver
    adapter: Mapping[str, Any] | None = field(default_factory=dict)  # None: no adapter, a GNSS-only unit

    @property
    def duration_s(self) -> float:
        """Story seconds from the first act's begin to the last one's end."""
        return self.acts[-1].end_s

    @property
    def waiting(self) -> tuple[str, ...]:
        """What its expectations wait for, each once."""
        found = [each.waits_for for each in self.expects] + [each.waits_for for each in self.nevers]
        return tuple(dict.fromkeys(filter(None, found)))

    def act(self, name: str) -> Act:
        """By name; reading has made sure that it is there."""
        return next(each for each in self.acts if each.name == name)
