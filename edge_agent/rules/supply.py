"""power_cut, power_restored: the unit's supply from the car was cut, or came back. Pure.

What comes in is judged already: `power/cut.py` tells a cut from a starter that pulls the supply down. So a cut is told
at once, because it may be the last thing that the unit can tell; the watch is stepped out of turn for it. Restored has
to last, because a loose plug flickers. What this rule adds is memory: a unit that restarts on its backup tells no
second cut.
"""

from edge_agent.rules.lasting import Switch
from edge_agent.rules.seen import LocalEvent, Seen

RESTORED_AFTER_S = 10.0


class Supply:
    """State: whether it is cut, None before it was known."""

    name = "supply"

    def __init__(self) -> None:
        self._cut = Switch()

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, when it flips; a supply that was there from the beginning is none."""
        cut = None if seen.external_power is None else not seen.external_power
        was = self._cut.on
        flipped = self._cut.step(cut, 0.0 if cut else RESTORED_AFTER_S, seen.mono_s)
        if not flipped or (was is None and not cut):
            return None
        told: dict[str, str] = {"engine": seen.engine}
        if seen.volts is not None:
            told["volts"] = f"{seen.volts:.1f}"
        return LocalEvent("power_cut" if cut else "power_restored", seen.mono_s, told)

    def to_state(self) -> object:
        return self._cut.on

    def restore(self, state: object) -> None:
        self._cut.restore(state)
