"""low_battery, battery_recovered: the car's battery stays low. Pure.

Cranking pulls a healthy battery to 7.5 V for a second or two, and a control unit that wakes reads nonsense for longer:
of 139 readings below 11.8 V with a running engine in 28 hours of one car (carOBD) the longest run is 9 rows, some 5 s.
So what counts is the highest voltage of a whole minute. A lead-acid battery at rest has 12.6 V when full and 11.8 to
12.0 V when almost empty. Twice that is a 24 V system; a reading above 18 V tells which one it is, and once told it
stays told. A parked unit may look at its battery only now and then: three readings in a row, however far apart, count
as a minute.
"""

from edge_agent.car.readings import TWO_BATTERIES_V
from edge_agent.rules.lasting import Lasting
from edge_agent.rules.seen import LocalEvent, Seen

LOW_AFTER_S = 60.0
RECOVERED_AFTER_S = 120.0
RECOVERED_ABOVE_LOW_V = 0.5
READINGS = 3
LONGEST_PAUSE_S = 3 * 3600.0  # between two readings of a parked unit
PLUGGED_V = 6.0  # less is no battery that lives: the adapter is out of the socket, or the supply is cut


class Battery:
    """State: whether low was told, and whether it is a 24 V system."""

    name = "battery"

    def __init__(self, low_v: float) -> None:
        self._low_v = low_v
        self._low = False
        self._two_batteries = False
        self._waiting = Lasting(LONGEST_PAUSE_S)
        self._readings = 0
        self._highest_v = 0.0

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, when the voltage was on the other side for long enough."""
        volts = seen.volts
        if volts is None or volts < PLUGGED_V:
            return None
        self._two_batteries = self._two_batteries or volts > TWO_BATTERIES_V
        one_v = volts / 2 if self._two_batteries else volts
        crossed = one_v >= self._low_v + RECOVERED_ABOVE_LOW_V if self._low else one_v < self._low_v
        waited_s = self._waiting.step(crossed, seen.mono_s)
        if not waited_s:  # not crossed, or only just
            self._readings, self._highest_v = int(waited_s is not None), volts
            return None
        self._readings, self._highest_v = self._readings + 1, max(volts, self._highest_v)
        if self._readings < READINGS or waited_s < (RECOVERED_AFTER_S if self._low else LOW_AFTER_S):
            return None
        self._low, self._waiting = not self._low, Lasting(LONGEST_PAUSE_S)
        details = {"volts": f"{self._highest_v:.2f}", "engine": seen.engine, "lasted_s": f"{waited_s:.0f}"}
        return LocalEvent("low_battery" if self._low else "battery_recovered", seen.mono_s, details, 0.0)

    def to_state(self) -> object:
        return {"low": self._low, "two_batteries": self._two_batteries}

    def restore(self, state: object) -> None:
        if isinstance(state, dict):
            self._low, self._two_batteries = state.get("low") is True, state.get("two_batteries") is True
