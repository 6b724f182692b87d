"""The 12 V budget: which state the vehicle's supply is in, and what the unit may spend in it. Pure.

    moving ──────────────▶ DRIVING ◀── from every state
    engine on, standing ─▶ IDLE    ◀── from every state
    IDLE   ─ engine off and standing for a while ─▶ PARKED
    PARKED ─ battery rests low, or parked for long ─▶ SAVER
    SAVER  ─ battery rests at the cut-off; or news sent, and the hardware wakes the unit on ignition ─▶ HALTED
    SAVER  ─ battery recovered ─▶ PARKED

Three rules hold whatever is measured: the unit is never halted while the engine runs or the vehicle moves; a low
battery stays low until it was seen to charge or has recovered well above the threshold, so that the voltage that rises
as soon as the unit saves moves nothing; a unit that nothing wakes on ignition is halted only to save the starter.
A Raspberry Pi cannot suspend: HALTED is announced, then the machine is powered off (`power/sleeping.py`).
Nothing here acts on the vehicle.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from edge_agent.power.battery import Battery, charge_at_rest
from edge_agent.power.settings import PowerSettings

_MOVING_AFTER_S = 3.0  # a parked receiver's position jumps for a second or two
_LOW_AFTER_S = 600.0  # somebody sits in it with the lights on: saving is a matter of days, not of minutes
_RECOVERED_AFTER_S = 600.0
_RESTED_AFTER_S = 60.0  # after a halt the battery has rested for hours: one minute tells
_VISIT_AT_LEAST_S = 90.0  # so that this minute is over before the unit is off again
_HALT_TAKES_S = 180.0  # still running so long after the halt was planned: it failed
_HALT_AGAIN_S = 600.0
_HALT_AGAIN_AT_MOST_S = 21_600.0
_HOUR_S = 3600.0
_STAYS_AWAKE = ("voltage", "motion", "power", "button")


class State(StrEnum):
    """What the supply allows, most first."""

    DRIVING = "driving"
    IDLE = "idle"
    PARKED = "parked"
    SAVER = "saver"
    HALTED = "halted"


class Obd(StrEnum):
    """How the adapter is used."""

    ALL = "all"
    RESTING = "resting"  # its own voltage only: the ECU may sleep
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Halt:
    """Power off, and what shall end it."""

    reason: str
    wake_after_s: float | None  # None: no timer
    wake_on: tuple[str, ...]  # "voltage", "motion", "power": where the hardware can
    wake_from_v: float  # the vehicle's own voltage that means ignition, as measured (24 V systems: doubled)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the unit does in a state. `send_every_s`: 0 all the time, None not at all; the receiver is always heard.

    `heartbeat`: samples as sparse as while parked (`sampling.py`); else all of them.
    """

    obd: Obd
    send_every_s: float | None
    heartbeat: bool = False
    visit: bool = False  # awake for one fix and the news: tell `on_visit_done` when both are out
    halt: Halt | None = None  # announce, seal, send, then power off


@dataclass(frozen=True, slots=True)
class Memory:
    """What must outlive a halt."""

    low: bool  # the battery rested below the saver's threshold
    cut_off: bool  # ... below the cut-off
    parked_s: float  # how long the vehicle had been parked


@dataclass(frozen=True, slots=True)
class Woken:
    """The end of a halt."""

    by: str | None  # "timer", "voltage", "motion", "power", "button"; None: nobody knows
    slept_s: float | None  # None: no clock ran through the halt
    halted_for: str  # the reason that the halt was announced with
    memory: Memory


@dataclass(frozen=True, slots=True)
class Change:
    """A transition and why."""

    before: State
    after: State
    reason: str


class Power:
    """Takes what is known, each with its instant (monotonic, s); `on_tick`, once a second, judges it."""

    def __init__(self, settings: PowerSettings) -> None:
        self._settings = settings
        self.battery = Battery(settings.charging_v, settings.adapter_offset_v, settings.system)
        self.state = State.IDLE  # everything is on until something is known
        self.reason = "started"
        self._engine = "unknown"
        self._moving: bool | None = None
        self._moving_since_s = math.inf
        self._moved_s: float | None = None  # when it last moved for sure, or when the unit started
        self._rests_since_s: float | None = None
        self._parked_since_s: float | None = None
        self._external: bool | None = None
        self._cut_s: float | None = None
        self._low = self._cut_off = False
        self._slept = False  # through the timer's wake-up: the battery has rested for hours
        self._visit_began_s = self._visit_ends_s = -math.inf
        self._halted_s = 0.0
        self._halt: Halt | None = None
        self._halt_not_before_s = -math.inf
        self._halts_failed = 0

    def on_volts(self, volts: float, mono_s: float, source: str = "adapter") -> None:
        """The vehicle's voltage in V by "supply", "adapter" or "module"."""
        if self._external is not False:  # on the backup, what is read is not the vehicle's battery
            self.battery.on_volts(volts, mono_s, source)

    def on_engine(self, engine: str) -> None:
        """What is known of the engine: "running", "off" or "unknown"."""
        self._engine = engine.lower()

    def on_motion(self, moving: bool | None, mono_s: float) -> None:
        """Whether the vehicle moves; None: nothing tells."""
        if moving is not True:
            self._moving_since_s = math.inf
        elif self._moving is not True:
            self._moving_since_s = mono_s
        self._moving = moving

    def on_external(self, present: bool | None, mono_s: float) -> None:
        """Whether the vehicle supplies the unit, debounced (`power/cut.py`); None: nothing tells."""
        if present is not False:
            self._cut_s = None
        elif self._external is not False:
            self._cut_s = mono_s
        self._external = present

    def on_woken(self, woken: Woken, mono_s: float) -> None:
        """The unit was powered on again after a halt.

        By ignition, motion or the return of power it stays awake. By the timer, or by who knows what, it is on a
        visit; should the engine turn out to run, or the vehicle to move, that ends the visit like any rest.
        """
        by, memory = woken.by, woken.memory
        if by in _STAYS_AWAKE:
            self.reason = f"woken by {by}"
            return
        self._low, self._cut_off, self._slept = memory.low, memory.cut_off, True
        self._parked_since_s = self._rests_since_s = mono_s - memory.parked_s - (woken.slept_s or 0.0)
        self._moved_s = self._rests_since_s
        self._enter(State.SAVER, f"woken by {'an unknown cause' if by is None else by}", mono_s)

    def on_visit_done(self, mono_s: float) -> None:
        """The fix was taken and everything has its receipt."""
        at_least_s = self._visit_began_s + (_VISIT_AT_LEAST_S if self._slept else 0.0)
        self._visit_ends_s = min(self._visit_ends_s, max(mono_s, at_least_s))

    def on_halt_failed(self, mono_s: float) -> None:
        """The machine could not be powered off: it is tried again, after growing pauses."""
        if self.state is State.HALTED:
            self._give_up_halt(mono_s)

    def on_tick(self, mono_s: float) -> Change | None:
        """Judge; the transition, if there was one."""
        self.battery.on_tick(mono_s)
        if self._moved_s is None or self._moves(mono_s):
            self._moved_s = mono_s
        before = self.state
        if before is State.HALTED and mono_s - self._halted_s >= _HALT_TAKES_S:
            self._give_up_halt(mono_s)
            return Change(before, self.state, self.reason)
        self._remember(mono_s)
        after = self._next(mono_s)
        if after is None:
            return None
        self._enter(*after, mono_s)
        return Change(before, self.state, self.reason)

    def plan(self, mono_s: float) -> Plan:
        """What to do now."""
        its = self._settings
        if self._external is False and self.state is not State.HALTED:
            return Plan(Obd.OFF, 0.0)  # the last minutes: the backup is there to be spent
        if self.state in (State.DRIVING, State.IDLE):
            return Plan(Obd.ALL, 0.0)
        if self.state is State.PARKED:
            return Plan(Obd.RESTING, 0.0, heartbeat=True)
        if self.state is State.HALTED:
            halt = None if self._moving is True else self._halt  # a move may yet turn out to be one
            return Plan(Obd.OFF, 0.0, heartbeat=True, halt=halt)
        if mono_s < self._visit_ends_s:
            return Plan(Obd.RESTING, 0.0, visit=True)
        every_s = its.wake_check_h * _HOUR_S if self._cut_off else its.saver_fix_every_min * 60.0
        return Plan(Obd.RESTING, every_s, heartbeat=True)

    def memory(self, mono_s: float) -> Memory:
        """To be kept on disk when the unit is halted, and given to `on_woken`."""
        parked_s = 0.0 if self._parked_since_s is None else mono_s - self._parked_since_s
        return Memory(self._low, self._cut_off, parked_s)

    def spends(self, mono_s: float) -> str:
        """Under which heading of the energy meter this instant counts: the state, or "visit"."""
        return "visit" if self.state is State.SAVER and mono_s < self._visit_ends_s else str(self.state)

    def _moves(self, mono_s: float) -> bool:
        if self._moving is not True:
            return False
        return self.state is State.DRIVING or mono_s - self._moving_since_s >= _MOVING_AFTER_S

    def _runs(self) -> bool:
        return self._engine == "running" or (self._engine != "off" and self.battery.charging)

    def _remember(self, mono_s: float) -> None:
        """Since when it rests and is parked, and whether the battery is low: set by long rest, cleared by charging."""
        its, battery = self._settings, self.battery
        if self._runs() or self._stood_s(mono_s) == 0.0:
            self._rests_since_s = None
        elif self._rests_since_s is None:
            self._rests_since_s = mono_s
        if self._rests_since_s is None:
            self._parked_since_s = None
        recovered_after_s, low_after_s, cut_after_s = _RECOVERED_AFTER_S, _LOW_AFTER_S, its.cutoff_after_s
        if self._slept:
            recovered_after_s = low_after_s = cut_after_s = _RESTED_AFTER_S
        if battery.charging or battery.high_for_s(its.recovered_v, mono_s) >= recovered_after_s:
            self._low = self._cut_off = False
        elif self._rests_since_s is not None:
            rests_s = mono_s - self._rests_since_s
            low_s, cut_s = battery.low_for_s(its.saver_below_v, mono_s), battery.low_for_s(its.cutoff_v, mono_s)
            self._low = self._low or min(rests_s, low_s) >= low_after_s
            self._cut_off = self._cut_off or min(rests_s, cut_s) >= cut_after_s

    def _next(self, mono_s: float) -> tuple[State, str] | None:
        if self._moves(mono_s):
            engine = {"running": "engine on", "off": "engine off"}.get(self._engine, "engine unknown")
            return None if self.state is State.DRIVING else (State.DRIVING, f"moving, {engine}")
        if self.state is State.DRIVING:
            stood_s = self._stood_s(mono_s)
            return (State.IDLE, f"standing for {stood_s:.0f} s") if stood_s >= self._settings.standing_after_s else None
        if self._runs():
            why = "engine on" if self._engine == "running" else f"charging at {self._volts(mono_s)}"
            return None if self.state is State.IDLE else (State.IDLE, f"{why}, standing")
        return self._next_at_rest(mono_s)

    def _next_at_rest(self, mono_s: float) -> tuple[State, str] | None:
        its = self._settings
        on_backup_s = -math.inf if self._cut_s is None else mono_s - self._cut_s
        if self.state is State.HALTED:
            return None
        if on_backup_s >= its.backup_s and self._may_halt(mono_s):
            return self._halting(f"no external power for {on_backup_s:.0f} s", None, ("power",))
        if self.state is State.IDLE:
            rests_s = 0.0 if self._rests_since_s is None else mono_s - self._rests_since_s
            needed_s = its.parked_after_s if self._engine == "off" else its.parked_unknown_after_s
            if its.supply == "switched" or rests_s < needed_s:
                return None
            return State.PARKED, f"standing, engine {self._engine}, for {rests_s:.0f} s"
        parked_s = 0.0 if self._parked_since_s is None else mono_s - self._parked_since_s
        if self.state is State.PARKED:
            if self._low or self._cut_off:
                return State.SAVER, f"battery rests at {self._volts(mono_s)}"
            return (State.SAVER, f"parked for {parked_s / _HOUR_S:.0f} h") if self._long(parked_s) else None
        return self._next_in_saver(mono_s, parked_s)

    def _next_in_saver(self, mono_s: float, parked_s: float) -> tuple[State, str] | None:
        its = self._settings
        if self._cut_off and self._may_halt(mono_s) and mono_s >= self._visit_ends_s:
            why = f"battery rests at {self._volts(mono_s)}, cut-off at {its.cutoff_v * self.battery.scale:g} V"
            return self._halting(why, its.wake_check_h * _HOUR_S, ("voltage", "motion"))
        if not self._low and not self._cut_off and not self._long(parked_s):
            return State.PARKED, f"no need to save any more: {self._volts(mono_s)}"
        if its.wakes_on_ignition and mono_s >= self._visit_ends_s and self._may_halt(mono_s):
            return self._halting("saving, until the next fix", its.wake_every_h * _HOUR_S, ("voltage", "motion"))
        return None

    def _halting(self, why: str, wake_after_s: float | None, wake_on: tuple[str, ...]) -> tuple[State, str]:
        self._halt = Halt(why, wake_after_s, wake_on, self._settings.charging_v * self.battery.scale)
        return State.HALTED, why

    def _may_halt(self, mono_s: float) -> bool:
        if self._settings.sleep == "none" or self._moving is True or self.battery.charging:
            return False
        return mono_s >= self._halt_not_before_s

    def _long(self, parked_s: float) -> bool:
        return parked_s >= self._settings.saver_after_h * _HOUR_S

    def _stood_s(self, mono_s: float) -> float:
        return 0.0 if self._moved_s is None else mono_s - self._moved_s

    def _enter(self, state: State, reason: str, mono_s: float) -> None:
        if state in (State.DRIVING, State.IDLE):
            self._halts_failed, self._halt_not_before_s = 0, -math.inf
        self._slept = self._slept and state in (State.SAVER, State.HALTED)
        if state is State.PARKED and self._parked_since_s is None:
            self._parked_since_s = mono_s
        if state is State.SAVER:  # what there is to tell goes out first
            self._visit_began_s = mono_s
            self._visit_ends_s = mono_s + self._settings.visit_max_min * 60.0
        if state is State.HALTED:
            self._halted_s = mono_s
        else:
            self._halt = None
        self.state, self.reason = state, reason

    def _give_up_halt(self, mono_s: float) -> None:
        pause_s = min(_HALT_AGAIN_S * 2**self._halts_failed, _HALT_AGAIN_AT_MOST_S)
        self._halts_failed += 1
        self._enter(State.SAVER, "the unit could not be halted", mono_s)
        self._visit_ends_s, self._halt_not_before_s = mono_s, mono_s + pause_s

    def _volts(self, mono_s: float) -> str:
        """As measured, with the charge that a rested battery has at it."""
        now_v = self.battery.now_v(mono_s)
        if now_v is None:
            return "an unknown voltage"
        return f"{now_v * self.battery.scale:.2f} V ({charge_at_rest(now_v):.0%} charged if rested)"
