"""ignition_on, ignition_off: the engine (or the drive of a hybrid or an electric car) came on or went off. Pure.

A start-stop system halts the engine at every red light and a hybrid stops it while it drives. Off is therefore only
what stays off while nothing moves: for 180 s while the car still answers over OBD (a long red light is 120 s; a parked
car's computers fall silent sooner or later), for 15 s where it does not answer any more.
"""

from edge_agent.rules.lasting import Switch
from edge_agent.rules.seen import LocalEvent, Seen

ON_AFTER_S = 3.0
OFF_AFTER_S = 15.0
OFF_WHILE_ANSWERING_AFTER_S = 180.0
STANDING_KMH = 7.0  # below it a receiver's speed may be noise
WINDOW_S = 30.0


class Ignition:
    """State: whether it is on, None before it was known."""

    name = "ignition"

    def __init__(self) -> None:
        self._on = Switch()

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, when it flips; the first finding that all is off is no event."""
        on, after_s = self._finding(seen)
        was = self._on.on
        if not self._on.step(on, after_s, seen.mono_s) or (was is None and not on):
            return None
        told = {} if seen.volts is None else {"volts": f"{seen.volts:.1f}"}
        return LocalEvent("ignition_on" if on else "ignition_off", seen.mono_s, told, WINDOW_S)

    def to_state(self) -> object:
        return self._on.on

    def restore(self, state: object) -> None:
        self._on.restore(state)

    @staticmethod
    def _finding(seen: Seen) -> tuple[bool | None, float]:
        if seen.engine == "running":
            return True, ON_AFTER_S
        moving = seen.wheels_turn or (seen.gnss_kmh or 0.0) > STANDING_KMH
        if seen.engine == "unknown" or moving:
            return None, 0.0
        return False, OFF_WHILE_ANSWERING_AFTER_S if seen.obd_port == "answering" else OFF_AFTER_S
