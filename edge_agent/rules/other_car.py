"""wrong_vin: the unit sits in another car than the one it is bound to. Pure.

The comparison itself (ISO 3779 check digit, damaged answers) is made where the VIN is read; here a different VIN is
told once, and again only after the right one was seen or a third one appears.
"""

from edge_agent.rules.lasting import Lasting
from edge_agent.rules.seen import LocalEvent, Seen

AFTER_S = 5.0


class OtherCar:
    """State: the VIN that was told as wrong, "" while there is none."""

    name = "other_car"

    def __init__(self) -> None:
        self._told = ""
        self._vin = ""
        self._waiting = Lasting()

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, once for each wrong VIN."""
        if seen.vin == "same":
            self._told = ""
        vin = seen.told_vin or "?"
        if vin != self._vin:
            self._vin, self._waiting = vin, Lasting()
        lasted_s = self._waiting.step(seen.vin == "different", seen.mono_s)
        if lasted_s is None or lasted_s < AFTER_S or vin == self._told:
            return None
        self._told = vin
        return LocalEvent("wrong_vin", seen.mono_s, {"vin": vin, "bound_vin": seen.bound_vin or "?"})

    def to_state(self) -> object:
        return self._told

    def restore(self, state: object) -> None:
        self._told = state if isinstance(state, str) else ""
