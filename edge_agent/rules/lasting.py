"""Hysteresis in time: how long something has been so, and a state that only changes when it lasted. Pure.

Rules are stepped about once a second. A longer pause (the agent was busy or asleep) says nothing about what was so in
between, so it starts the waiting anew.
"""

LONGEST_STEP_S = 15.0


class Lasting:
    """For how long a condition has held without a break."""

    def __init__(self, longest_step_s: float = LONGEST_STEP_S) -> None:
        self._longest_step_s = longest_step_s
        self._since_mono_s: float | None = None
        self._last_mono_s = float("-inf")

    def step(self, holds: bool, mono_s: float) -> float | None:
        """Seconds that it has held, 0.0 at first; None while it does not hold."""
        broken = mono_s - self._last_mono_s > self._longest_step_s
        self._last_mono_s = mono_s
        if not holds:
            self._since_mono_s = None
        elif self._since_mono_s is None or broken:
            self._since_mono_s = mono_s
        return None if self._since_mono_s is None else mono_s - self._since_mono_s


class Switch:
    """A two-valued state that flips when the other value was seen for long enough; None before it is known."""

    def __init__(self) -> None:
        self.on: bool | None = None
        self._waiting = Lasting()

    def step(self, seen_on: bool | None, after_s: float, mono_s: float) -> bool:
        """Whether it flipped now. What is not known (None) starts the waiting anew and flips nothing."""
        waited = self._waiting.step(seen_on is not None and seen_on != self.on, mono_s)
        if waited is None or waited < after_s:
            return False
        self.on = seen_on
        self._waiting = Lasting()
        return True

    def restore(self, state: object) -> None:
        """Take up what `on` was before a restart; anything else is not known."""
        self.on = state if isinstance(state, bool) else None
