"""When the agent's second is over. Pure."""

_TICK_S = 1.0


class Ticks:
    """Once a second, without drifting and without catching up."""

    def __init__(self, mono_s: float) -> None:
        self._next_s = mono_s + _TICK_S

    def wait_s(self, mono_s: float) -> float:
        """Until the next one."""
        return max(0.0, self._next_s - mono_s)

    def due(self, mono_s: float) -> bool:
        """Whether it is time; then the next one is a second later."""
        if mono_s < self._next_s:
            return False
        self._next_s = max(self._next_s + _TICK_S, mono_s)
        return True
