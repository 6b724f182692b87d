"""What this car and its adapter can tell, and what they cannot: learned from what is offered and answered. Pure.

An electric car offers no engine speed, a car from before about 2019 no odometer, and many answer no VIN; a lender must
not read a missing value as a good one. So each ability is `yes`, `no` or `unknown`, for machines, and a change is told.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from edge_agent.car.lifeline import Hello, Message, Silent
from edge_agent.car.readings import Reading

YES, NO, UNKNOWN = "yes", "no", "unknown"
SILENT_IS_NO = 3  # questions in a row that a car which answers others has left unanswered

# ability → readings of which one shows it; those with a PID are offered in the hello, the others only answered
ABILITIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "speed": ("speed_kmh",),
        "engine_rpm": ("engine_rpm",),
        "odometer": ("odometer_km",),
        "fuel_level": ("fuel_level_pct",),
        "fault_lamp": ("mil_on",),
        "fault_codes": ("dtc_codes",),
        "vin": ("vin",),
        "module_voltage": ("module_voltage_v",),
        "adapter_voltage": ("adapter_voltage_v",),
    }
)
_BY_PID = frozenset({"speed", "engine_rpm", "odometer", "fuel_level", "fault_lamp", "module_voltage"})
WITHOUT_OBD: Mapping[str, str] = MappingProxyType({"obd": NO, **dict.fromkeys(ABILITIES, NO)})


@dataclass(frozen=True, slots=True)
class CarAbilities:
    """What was learned since the adapter was first heard. A car that sleeps keeps the abilities that it has shown."""

    adapter: bool = False
    met: bool = False  # a computer in the car has answered
    offered: frozenset[str] = frozenset()  # readings whose PIDs the car offers
    answered: frozenset[str] = frozenset()  # readings that have come
    unanswered: Mapping[str, int] = field(default_factory=dict)  # by name, in a row

    def heard(self, message: Message) -> "CarAbilities":
        """With one more line of the worker."""
        match message:
            case Hello(supported=names, car=True) if set(names) - self.offered and self.offered - set(names):
                return CarAbilities(True, True, frozenset(names))  # another car: learn anew
            case Hello(supported=names, car=True):  # more or less of the same: a computer did not answer in time
                return replace(self, adapter=True, met=True, offered=self.offered.union(names))
            case Hello():
                return replace(self, adapter=True)
            case Reading(name) if name not in self.answered or name in self.unanswered:
                unanswered = {other: times for other, times in self.unanswered.items() if other != name}
                return replace(self, answered=self.answered | {name}, unanswered=unanswered)
            case Silent(name) if self.unanswered.get(name, 0) < SILENT_IS_NO:
                return replace(self, unanswered={**self.unanswered, name: self.unanswered.get(name, 0) + 1})
        return self

    def told(self) -> Mapping[str, str]:
        """`obd` and each of ABILITIES → yes, no or unknown: the details of an event `car_abilities`."""
        obd = YES if self.met else UNKNOWN
        return {"obd": obd, **{ability: self._can(ability, names) for ability, names in ABILITIES.items()}}

    def _can(self, ability: str, names: Collection[str]) -> str:
        if any(name in self.answered for name in names):
            return YES
        if ability in _BY_PID and self.met and not self.offered.intersection(names):
            return NO
        asked_in_vain = all(self.unanswered.get(name, 0) >= SILENT_IS_NO for name in names)
        reachable = self.adapter if ability == "adapter_voltage" else self.met
        return NO if reachable and asked_in_vain else UNKNOWN
