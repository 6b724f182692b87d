"""gnss_lost, gnss_regained: no position while the vehicle drives. Pure.

Bridges and gantries blind a receiver for seconds, so the car has to drive on without a position: `LOST_M` by its
wheels, or `LOST_S` where no wheel speed is known and it was moving. How it went is a hint, not a verdict:

- "at_once": the receiver still used its usual number of satellites a moment before, and then had none. A jammer does
  that;
- "faded": their number had sunk before. Walls, trees and the mouth of a garage do that;
- "receiver_silent": it says nothing at all, not even that it has no position: unplugged, or without power.

A long tunnel's mouth can look like "at_once", too. Where the receiver still counts satellites in view, it knows them
from its almanac or hears them faintly: that is told beside it.
"""

from collections import deque
from statistics import median

from edge_agent.rules.lasting import Lasting
from edge_agent.rules.seen import MOST_WINDOW_S, LocalEvent, Seen

LOST_M = 250.0
LOST_S = 30.0
LEAST_S = 15.0
BACK_AFTER_S = 10.0
DRIVING_KMH = 10.0
HISTORY_S = 40.0
JUST_BEFORE_S = 3.0
USUAL_SHARE = 0.7
MANY = 5


class GnssLoss:
    """State: whether the loss was told."""

    name = "gnss_loss"

    def __init__(self) -> None:
        self._told = False
        self._lost_mono_s: float | None = None
        self._told_mono_s: float | None = None
        self._had_position = False
        self._back = Lasting()
        self._history: deque[tuple[float, int]] = deque()  # mono_s, satellites used, while there was a position
        self._driven_m = 0.0
        self._speed_kmh = 0.0
        self._last_mono_s = float("-inf")
        self._how = ""

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, when the position is gone for good or is back for good."""
        step_s = min(5.0, seen.mono_s - self._last_mono_s)
        self._last_mono_s = seen.mono_s
        back_s = self._back.step(seen.raw_position is not None, seen.mono_s)
        return self._blind(seen, step_s) if back_s is None else self._sighted(seen, back_s)

    def to_state(self) -> object:
        return self._told

    def restore(self, state: object) -> None:
        self._told = state is True

    def _sighted(self, seen: Seen, back_s: float) -> LocalEvent | None:
        self._had_position, self._lost_mono_s, self._driven_m = True, None, 0.0
        if seen.gnss_kmh is not None:
            self._speed_kmh = seen.gnss_kmh
        if seen.sample is not None and seen.sample.satellites_used is not None:
            self._history.append((seen.mono_s, seen.sample.satellites_used))
        while self._history and seen.mono_s - self._history[0][0] > HISTORY_S:
            self._history.popleft()
        if not self._told or back_s < BACK_AFTER_S:
            return None
        self._told = False
        if self._told_mono_s is None:
            return LocalEvent("gnss_regained", seen.mono_s, {}, 15.0)
        away_s = seen.mono_s - back_s - self._told_mono_s
        return LocalEvent("gnss_regained", seen.mono_s, {"lost_s": f"{away_s:.0f}"}, 15.0)

    def _blind(self, seen: Seen, step_s: float) -> LocalEvent | None:
        if self._told or not self._had_position:
            return None
        if self._lost_mono_s is None:
            self._lost_mono_s, self._driven_m = seen.mono_s, 0.0
            self._how = self._how_it_went(seen.mono_s)
        lost_s = seen.mono_s - self._lost_mono_s
        if seen.wheel_kmh is not None:
            self._speed_kmh = seen.wheel_kmh  # the newest that is known once the key is off
            self._driven_m += seen.wheel_kmh / 3.6 * step_s
            drives_on = self._driven_m >= LOST_M
        else:
            drives_on = lost_s >= LOST_S and self._speed_kmh >= DRIVING_KMH and seen.engine != "off"
        if not drives_on or lost_s < LEAST_S:
            return None
        self._told, self._told_mono_s = True, self._lost_mono_s
        silent = seen.sample is None or seen.sample.fix_quality is None
        details = {"reason": "receiver_silent" if silent else self._how, "lost_s": f"{lost_s:.0f}"}
        if self._history:
            details["satellites_before"] = str(self._history[-1][1])
        if seen.satellites_in_view is not None:
            details["satellites_in_view"] = str(seen.satellites_in_view)
        if seen.wheel_kmh is not None:
            details["driven_m"] = f"{self._driven_m:.0f}"
        return LocalEvent("gnss_lost", seen.mono_s, details, min(MOST_WINDOW_S, lost_s + 30.0))

    def _how_it_went(self, lost_mono_s: float) -> str:
        before = [used for mono_s, used in self._history if lost_mono_s - mono_s <= JUST_BEFORE_S + 1.0]
        if not before:
            return "faded"
        usual = median(used for _, used in self._history)
        return "at_once" if before[-1] >= MANY and before[-1] >= USUAL_SHARE * usual else "faded"
