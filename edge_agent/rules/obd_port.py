"""obd_unplugged, obd_plugged_in: the adapter is out of its socket, or back. Pure.

A car that sleeps ("car silent") is no unplugged adapter. In some cars the socket loses its power with the ignition
(python-OBD#150): there the adapter goes away after every drive and comes back with the next. An absence that began
within two minutes of the engine's stop, or with it, and ended while the car stood, is put down as this car's habit.
From the second on, an adapter that goes away so is told only if the car then runs or moves without it.
"""

from edge_agent.rules.lasting import Lasting
from edge_agent.rules.seen import LocalEvent, Seen

GONE_AFTER_S = 30.0  # a killed OBD process is up again in about 5 s
BACK_AFTER_S = 5.0
HABIT = 2
AFTER_THE_DRIVE_S = 120.0
DRIVING_WITHOUT_S = 60.0  # a car that starts gives its socket power, and the adapter is found, within this
MOVING_KMH = 15.0


class ObdPlug:
    """State: whether an adapter was ever there, whether its absence was told, how often it left with the ignition."""

    name = "obd_plug"

    def __init__(self) -> None:
        self._known = False
        self._told = False
        self._habit = 0
        self._gone, self._back, self._driven = Lasting(), Lasting(), Lasting()
        self._after_drive = False
        self._moved = False
        self._absent = False
        self._ran_mono_s: float | None = None

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, when the adapter went away for good or came back."""
        if seen.obd_port == "none configured":
            return None
        there = seen.obd_port != "no adapter"
        back_s = self._back.step(there, seen.mono_s)
        gone_s = self._gone.step(not there, seen.mono_s)
        if there:
            return self._there(seen, back_s or 0.0)
        return self._away(seen, gone_s or 0.0)

    def to_state(self) -> object:
        return {"known": self._known, "told": self._told, "habit": self._habit}

    def restore(self, state: object) -> None:
        if isinstance(state, dict):
            self._known, self._told = state.get("known") is True, state.get("told") is True
            self._habit = HABIT if state.get("habit") == HABIT else int(state.get("habit") == 1)

    def _there(self, seen: Seen, back_s: float) -> LocalEvent | None:
        if seen.engine == "running":
            self._ran_mono_s = seen.mono_s
        if back_s < BACK_AFTER_S:
            return None
        self._known = True
        if self._absent and self._after_drive and not self._moved:
            self._habit = min(HABIT, self._habit + 1)
        self._absent, told, self._told = False, self._told, False
        return LocalEvent("obd_plugged_in", seen.mono_s, {"adapter": seen.obd_port}) if told else None

    def _away(self, seen: Seen, gone_s: float) -> LocalEvent | None:
        if not self._absent:
            self._absent, self._moved, self._driven = True, False, Lasting()
            since_s = None if self._ran_mono_s is None else seen.mono_s - self._ran_mono_s
            self._after_drive = since_s is not None and since_s <= AFTER_THE_DRIVE_S
        driving = seen.engine == "running" or (seen.gnss_kmh or 0.0) > MOVING_KMH
        driving_s = self._driven.step(driving, seen.mono_s)
        self._moved = self._moved or (driving_s or 0.0) >= DRIVING_WITHOUT_S
        excused = self._after_drive and self._habit >= HABIT and not self._moved
        if self._told or not self._known or gone_s < GONE_AFTER_S or excused:
            return None
        self._told = True
        details = {"engine": seen.engine, "gone_s": f"{gone_s:.0f}"}
        return LocalEvent("obd_unplugged", seen.mono_s, details)
