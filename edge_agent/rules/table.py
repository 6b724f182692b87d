"""THE RULES, in the order in which they are asked, and the watch that asks them. Pure.

    Seen ──▶ each rule of RULES ──▶ LocalEvents of this second

What tells that something is wrong with the unit itself comes first: it may be the last thing that leaves the car.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edge_agent.rules.battery import Battery
from edge_agent.rules.collision import Collision
from edge_agent.rules.fault_lamp import FaultLamp
from edge_agent.rules.gnss_loss import GnssLoss
from edge_agent.rules.ignition import Ignition
from edge_agent.rules.obd_port import ObdPlug
from edge_agent.rules.other_car import OtherCar
from edge_agent.rules.position import PositionCheck
from edge_agent.rules.seen import LocalEvent, Seen
from edge_agent.rules.supply import Supply
from edge_agent.rules.tow import Tow
from edge_agent.settings import setting


@dataclass(frozen=True, slots=True)
class EventSettings:
    """Section [events] of unit.toml."""

    low_battery_v: float = setting(
        "a 12 V battery that stays below this is told as low (a 24 V one below twice this)",
        11.8,
        low=10.5,
        high=12.4,
        remote=True,
    )


class Rule(Protocol):
    """One small judge. Its state is what it has told, as JSON, so that a restart tells nothing twice."""

    name: str

    def step(self, seen: Seen) -> LocalEvent | None:
        """What it concludes from this second; at most one event."""

    def to_state(self) -> object:
        """What it has told so far, JSON-able."""

    def restore(self, state: object) -> None:
        """Take up an earlier `to_state`; anything else is passed over."""


# How each is made, and the kinds that it tells with their details; pages have a text for each of them.
RULES: tuple[tuple[Callable[[EventSettings], Rule], Mapping[str, tuple[str, ...]]], ...] = (
    (lambda _: Supply(), {"power_cut": ("engine", "volts"), "power_restored": ("engine", "volts")}),
    (lambda _: ObdPlug(), {"obd_unplugged": ("engine", "gone_s"), "obd_plugged_in": ("adapter",)}),
    (lambda _: OtherCar(), {"wrong_vin": ("vin", "bound_vin")}),
    (
        lambda _: Collision(),
        {"collision": ("reason", "receiver_speed", "speed_before_kmh", "speed_after_kmh", "within_s", "ago_s")},
    ),
    (lambda _: Tow(), {"tow": ("reason", "moved_m", "engine_off_s", "adapter", "speed_kmh")}),
    (
        lambda _: GnssLoss(),
        {
            "gnss_lost": ("reason", "lost_s", "satellites_before", "satellites_in_view", "driven_m"),
            "gnss_regained": ("lost_s",),
        },
    ),
    (
        lambda _: PositionCheck(),
        {"position_disagrees": ("reason", "excess_m", "lasted_s", "path_to_wheels", "driven_m", "over_s")},
    ),
    (lambda _: Ignition(), {"ignition_on": ("volts",), "ignition_off": ("volts",)}),
    (lambda _: FaultLamp(), {"mil_on": ("dtc_count", "codes"), "mil_off": ()}),
    (
        lambda settings: Battery(settings.low_battery_v),
        {"low_battery": ("volts", "engine", "lasted_s"), "battery_recovered": ("volts", "engine", "lasted_s")},
    ),
)

DETAILS: Mapping[str, tuple[str, ...]] = {kind: details for _, kinds in RULES for kind, details in kinds.items()}
KINDS: tuple[str, ...] = tuple(DETAILS)

# Details whose values are words of ours, not numbers or codes of the car.
WORDS: Mapping[str, tuple[str, ...]] = {
    "reason": (
        *("wheels", "receiver"),  # collision
        *("moving_fast", "moving_slowly"),  # tow
        *("at_once", "faded", "receiver_silent"),  # gnss_lost
        *("farther_than_wheels", "frozen", "shorter_than_wheels", "longer_than_wheels"),  # position_disagrees
    ),
    "receiver_speed": ("confirmed", "unknown"),
    "engine": ("running", "off", "unknown"),
    "adapter": ("answering", "car silent", "no adapter", "none configured"),
}


class Watch:
    """Asks every rule once a second."""

    def __init__(self, settings: EventSettings) -> None:
        self._rules = tuple(make(settings) for make, _ in RULES)

    @classmethod
    def from_state(cls, settings: EventSettings, state: object) -> "Watch":
        """A watch that has told what `state` says; of a state that is damaged, what can be read."""
        watch = cls(settings)
        for rule in watch._rules:
            if isinstance(state, dict) and rule.name in state:
                rule.restore(state[rule.name])
        return watch

    def to_state(self) -> Mapping[str, object]:
        """What was told, JSON-able. Keep it whenever it differs from what was kept: a few times a drive."""
        return {rule.name: rule.to_state() for rule in self._rules}

    def step(self, seen: Seen) -> tuple[LocalEvent, ...]:
        """The events of this second, most often none."""
        return tuple(event for rule in self._rules if (event := rule.step(seen)) is not None)
