"""All of the power budget behind one face: what is known goes in, events and the plan come out. Pure.

readings, supply, engine, motion ─▶ Power ─┬▶ plan
                                           ├▶ events: unit_woke, power_state, unit_halting, power_cut, ...
                                           └▶ EnergyMeter ─▶ facts for the status
"""

from collections.abc import Mapping
from dataclasses import dataclass

from edge_agent.car.readings import Reading
from edge_agent.power.cut import Supply
from edge_agent.power.energy import EnergyMeter, currents_ma
from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import Change, Memory, Plan, Power, State, Woken

_SOURCES: Mapping[str, str] = {"adapter_voltage_v": "adapter", "module_voltage_v": "module"}
_CURRENT_HOLDS_S = 15.0  # a current that was measured longer ago says nothing about now
_AWAKE = (State.DRIVING, State.IDLE)


@dataclass(frozen=True, slots=True)
class Told:
    """An event, in the form of `Pipeline.on_event`."""

    kind: str
    mono_s: float
    details: Mapping[str, str]


class PowerWatch:
    """One unit's supply. Every instant is the monotonic clock, in s; `on_tick` comes once a second."""

    def __init__(self, settings: PowerSettings, woken: Woken | None, energy: str | None, mono_s: float) -> None:
        """`woken`: what the sleeper says; `energy`: what `energy_json` gave before, nonsense begins anew."""
        self._power = Power(settings)
        self._meter = _meter(settings, energy)
        self._current: tuple[float, float] | None = None
        self._waiting: list[Told] = []
        if woken is not None:
            self._meter.on_slept(woken.slept_s)
            self._power.on_woken(woken, mono_s)
            slept = "unknown" if woken.slept_s is None else f"{woken.slept_s:.0f}"
            details = {"by": woken.by or "unknown", "slept_s": slept, "halted_for": woken.halted_for}
            self._waiting.append(Told("unit_woke", mono_s, details))

    @property
    def state(self) -> State:
        """For the status, with `reason`."""
        return self._power.state

    @property
    def reason(self) -> str:
        """Why it is in this state."""
        return self._power.reason

    def on_reading(self, reading: Reading) -> None:
        """A value from the car; all but voltages are passed over."""
        source = _SOURCES.get(reading.name)
        if source is not None and isinstance(reading.value, float):
            self._power.on_volts(reading.value, reading.mono_s, source)

    def on_supply_volts(self, volts: float, mono_s: float) -> None:
        """By the unit's own monitor."""
        self._power.on_volts(volts, mono_s, "supply")

    def on_current(self, current_ma: float, mono_s: float) -> None:
        """Into the unit, measured at the vehicle's voltage."""
        self._current = current_ma * self._power.battery.scale, mono_s

    def on_engine(self, engine: str) -> None:
        """ "running", "off" or "unknown"."""
        self._power.on_engine(engine)

    def on_motion(self, moving: bool | None, mono_s: float) -> None:
        """Whether the vehicle moves; None: nothing tells."""
        self._power.on_motion(moving, mono_s)

    def on_supply(self, supply: Supply, mono_s: float) -> None:
        """External power was cut or came back; the rule in `rules/supply.py` tells of it."""
        self._power.on_external(supply.present, mono_s)

    def on_visit_done(self, mono_s: float) -> None:
        """The fix that the unit woke for was taken, and all that waited has its receipt."""
        self._power.on_visit_done(mono_s)

    def on_halt_failed(self, why: str, mono_s: float) -> None:
        """The sleeper could not power the machine off."""
        before = self.state
        self._power.on_halt_failed(mono_s)
        if before is State.HALTED:
            self._waiting.append(self._changed(Change(before, self.state, f"{self.reason}: {why}"), mono_s))

    def on_tick(self, mono_s: float) -> tuple[Told, ...]:
        """Count, judge, and tell what changed; driving and idle are told by the ignition's own events."""
        measured = self._current if self._current and mono_s - self._current[1] <= _CURRENT_HOLDS_S else None
        self._meter.on_tick(self._power.spends(mono_s), mono_s, measured and measured[0])
        told, self._waiting = self._waiting, []
        change = self._power.on_tick(mono_s)
        if change is not None and (change.before not in _AWAKE or change.after not in _AWAKE):
            told.append(self._changed(change, mono_s))
        return tuple(told)

    def plan(self, mono_s: float) -> Plan:
        """What to do now. With `halt`: send what waits, then `Sleeper.halt`, if the plan is still the same."""
        return self._power.plan(mono_s)

    def memory(self, mono_s: float) -> Memory:
        """For `Sleeper.halt`."""
        return self._power.memory(mono_s)

    def facts(self, mono_s: float) -> dict[str, str]:
        """For the status: state, reason, voltage, energy."""
        facts = {"power.state": str(self.state), "power.reason": self.reason}
        volts = self._power.battery.now_v(mono_s)
        if volts is not None:
            facts["power.volts"] = f"{volts * self._power.battery.scale:.2f}"
        return facts | self._meter.facts()

    def energy_json(self) -> str:
        """To be kept in the unit's folder, now and then and before a halt."""
        return self._meter.to_json()

    def _changed(self, change: Change, mono_s: float) -> Told:
        halt = self._power.plan(mono_s).halt
        if halt is None:
            details = {"state": str(change.after), "before": str(change.before), "reason": change.reason}
            return Told("power_state", mono_s, details)
        wake_after = "never" if halt.wake_after_s is None else f"{halt.wake_after_s:.0f}"
        per_day = self._meter.mah_per_day()
        details = {"reason": halt.reason, "wake_after_s": wake_after, "wake_on": " ".join(halt.wake_on)}
        return Told("unit_halting", mono_s, details | ({} if per_day is None else {"mah_per_day": f"{per_day:.0f}"}))


def _meter(settings: PowerSettings, kept: str | None) -> EnergyMeter:
    currents = currents_ma(settings)
    if kept is not None:
        try:
            return EnergyMeter.from_json(currents, kept)
        except ValueError:
            pass  # a card that lost the file costs the history, nothing else
    return EnergyMeter(currents)
