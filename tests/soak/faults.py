"""What may happen to a unit, and when: a schedule drawn from a seed. Pure.

The same seed, number of faults and units give the same schedule; `dice` of a fault seeds whatever its performer has
still to choose (which byte, which quirk, how many years).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of faults."""

    GNSS_UNPLUGGED = "gnss unplugged"  # the pty goes; another one comes back under the link, or under a new name
    OBD_UNPLUGGED = "obd unplugged"
    GNSS_SILENT = "gnss silent"
    OBD_SILENT = "obd silent"
    GNSS_GARBAGE = "gnss garbage"
    OBD_GARBAGE = "obd garbage"
    OBD_QUIRK = "obd quirk"  # of a clone: see devices.QUIRKS
    GNSS_DATE = "gnss date"  # the receiver's date is off, by weeks of a rollover or by years
    LINE_STALLED = "line stalled"  # connected, and not a byte passes
    LINE_REFUSED = "line refused"  # no connection can be made, those that were are gone
    LINE_RESET = "line reset"
    BROKER_KILLED = "broker killed"
    SERVER_KILLED = "server killed"
    AGENT_KILLED = "agent killed"
    AGENT_TERMINATED = "agent terminated"  # SIGTERM
    POWER_CUT = "power cut"  # kill -9, then another kernel boot: the monotonic clock begins anew, the other is wrong
    DISK_FULL = "disk full"
    FILE_DAMAGED = "file damaged"  # the outbox or its write-ahead log, while the agent is down
    CLOCK_JUMP = "clock jump"  # of the machine's clock, up to ten years either way
    PARKED = "parked"  # engine off, then hours are skipped, for all units and the server


@dataclass(frozen=True, slots=True)
class Odds:
    """How often a kind is drawn, compared with others, and how long it lasts, s."""

    weight: int
    shortest_s: float = 0.0
    longest_s: float = 0.0


ODDS: Mapping[Kind, Odds] = {
    Kind.GNSS_UNPLUGGED: Odds(8, 0.2, 6.0),
    Kind.OBD_UNPLUGGED: Odds(6, 0.2, 6.0),
    Kind.GNSS_SILENT: Odds(6, 0.5, 6.0),
    Kind.OBD_SILENT: Odds(6, 0.5, 12.0),
    Kind.GNSS_GARBAGE: Odds(6, 0.2, 4.0),
    Kind.OBD_GARBAGE: Odds(4, 0.2, 4.0),
    Kind.OBD_QUIRK: Odds(9, 1.0, 8.0),
    Kind.GNSS_DATE: Odds(4, 1.0, 10.0),
    Kind.LINE_STALLED: Odds(6, 0.5, 6.0),
    Kind.LINE_REFUSED: Odds(6, 0.2, 20.0),
    Kind.LINE_RESET: Odds(5),
    Kind.BROKER_KILLED: Odds(5, 0.1, 4.0),
    Kind.SERVER_KILLED: Odds(6, 0.1, 8.0),
    Kind.AGENT_KILLED: Odds(11, 0.0, 3.0),
    Kind.AGENT_TERMINATED: Odds(10, 0.0, 2.0),
    Kind.POWER_CUT: Odds(5, 0.0, 4.0),
    Kind.DISK_FULL: Odds(7, 1.0, 30.0),
    Kind.FILE_DAMAGED: Odds(10, 0.0, 2.0),
    Kind.CLOCK_JUMP: Odds(8, 1.0, 8.0),
    Kind.PARKED: Odds(4, 1.0, 3.0),
}
# These happen to all units at once.
EVERYWHERE = frozenset({Kind.BROKER_KILLED, Kind.SERVER_KILLED, Kind.PARKED})
# What ends the agent's process; a unit that is spared these shows whether its memory grows.
ENDING = frozenset({Kind.AGENT_KILLED, Kind.AGENT_TERMINATED, Kind.POWER_CUT, Kind.FILE_DAMAGED})


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: `at_s` after the begin, for `lasts_s`; `unit` is empty where it happens to all."""

    step: int
    at_s: float
    kind: Kind
    unit: str
    lasts_s: float
    dice: int

    def __str__(self) -> str:
        return f"{self.step:5} {self.at_s:7.1f} s  {self.unit or 'all':8}  {self.kind:16}  for {self.lasts_s:4.1f} s"


@dataclass(frozen=True, slots=True)
class UnitTraits:
    """What a unit has, so that no fault is drawn for what is not there."""

    name: str
    has_obd: bool
    is_spared: bool = False  # of the ENDING kinds


def schedule(seed: int, count: int, units: Sequence[UnitTraits], pace_s: float) -> Iterator[Fault]:
    """`count` faults, on average `pace_s` apart; each kind's share is its weight's, whatever the units have."""
    dice, at_s = random.Random(seed), 0.0
    kinds, weights = list(ODDS), [odds.weight for odds in ODDS.values()]
    for step in range(count):
        at_s += pace_s * dice.uniform(0.2, 1.8)
        (kind,) = dice.choices(kinds, weights)
        able = [unit.name for unit in units if _can_happen(kind, unit)]
        name = "" if kind in EVERYWHERE else dice.choice(able)
        lasts_s = dice.uniform(ODDS[kind].shortest_s, ODDS[kind].longest_s)
        yield Fault(step, at_s, kind, name, round(lasts_s, 2), dice.getrandbits(32))


def _can_happen(kind: Kind, unit: UnitTraits) -> bool:
    return not (kind in ENDING and unit.is_spared) and (unit.has_obd or not kind.startswith("obd"))
