"""Is the vehicle's supply cut, or does the starter pull it down? Pure.

While cranking, a 12 V supply drops for 15 to 40 ms, a 24 V supply for 50 to 100 ms, and then stands at some 6 to 9.5 V
for up to 20 s (ISO 7637-2 pulse 4). A monitor whose threshold is above that plateau says "gone" all the while. So
"gone" must last longer than the dip, and as long as the unit's own voltage monitor still sees a battery, it is not
believed for the 20 s that a starter may take.
"""

from dataclasses import dataclass

_BATTERY_THERE_V = 5.0  # a cut line is at 0; a battery under the starter at 6 and more
_CRANKING_AT_MOST_S = 20.0
_BACK_AFTER_S = 1.0


@dataclass(frozen=True, slots=True)
class Supply:
    """The supply changed."""

    present: bool
    since_s: float  # when it went or came, monotonic


class CutJudge:
    """Takes every look at the supply, in order of time; tells each change once."""

    def __init__(self, cut_after_s: float) -> None:
        self._cut_after_s = cut_after_s
        self._told = True  # a unit that starts without external power tells of the cut at once
        self._other_since_s: float | None = None

    @property
    def undecided(self) -> bool:
        """Whether the supply looks changed, but not for long enough."""
        return self._other_since_s is not None

    def on_look(self, present: bool, volts: float | None, mono_s: float) -> Supply | None:
        """`volts` at the same look, where a voltage is monitored."""
        if present is self._told:
            self._other_since_s = None
            return None
        if self._other_since_s is None:
            self._other_since_s = mono_s
        lasted_s = mono_s - self._other_since_s
        if present:
            needed_s = _BACK_AFTER_S
        else:
            dips = volts is not None and volts >= _BATTERY_THERE_V
            needed_s = _CRANKING_AT_MOST_S if dips else self._cut_after_s
        if lasted_s < needed_s:
            return None
        self._told, since_s, self._other_since_s = present, self._other_since_s, None
        return Supply(present, since_s)
