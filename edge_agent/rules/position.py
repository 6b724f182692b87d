"""position_disagrees: where the receiver says the vehicle is cannot be where its wheels took it. Pure.

A spoofed receiver tells a drift, a jump or a standstill that the wheels do not know of. Honest receivers and slow
links differ from the wheels, too: positions stand still for up to 36 s and then leap, a fix in a thousand is
kilometres off, wheels are 14 % out in one of 18 VED trips, and over 60 s the path is 0.67 to 1.37 of the wheels'
distance (1st to 99th percentile). So nothing is judged by one fix or one minute. Three findings, every 5 s:

- "farther_than_wheels": the vehicle is farther from where it was than its wheels could carry it, and stays so; asked
  of most positions of one to five minutes ago, which finds a drift, and of many of the last two minutes, which finds a
  jump. A position counts as old as it has stood unchanged, and `LAG_S` on top;
- "frozen": it has stood at the very same place while the wheels drove `FROZEN_M`;
- "shorter_than_wheels", "longer_than_wheels": in four of the last five minutes the path is less than 0.4, or more than
  1.8, of the wheels' distance.

A slow sideways drag of a driving car stays within these bounds and is not seen (`benchmarks/local_events.py`).
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

from edge_agent.rules.geometry import Position, metres_between
from edge_agent.rules.lasting import Lasting
from edge_agent.rules.seen import LocalEvent, Seen

GRID_S = 5.0
WINDOW_S = 300.0
LAG_S = 15.0  # from the receiver's antenna to us: 4 to 14 s in the Twizy recordings
OLDEST_S = 40.0
UNKNOWN_S = 10.0  # wheels: a reading is at most 5 s old
WHEELS_OUT = 1.25
SLACK_M = 100.0
FARTHER_AFTER_S = 45.0  # longer than any absurd fix of the recordings stood
# Which positions are asked (from how old to how old, in s), and which share of them has to agree.
ASKED: tuple[tuple[float, float, float], ...] = ((15.0, 120.0, 0.35), (60.0, WINDOW_S, 0.6))
LEAST_ASKED = 10
FROZEN_M, FROZEN_S = 1_500.0, 90.0
MINUTE_S = 60.0
MINUTES = 5
MINUTES_OUT = 4
LEAST_MINUTE_M = 150.0
SHORT, LONG = 0.4, 1.8
PATH_AFTER_S = 30.0
AGREES_AFTER_S = 600.0


@dataclass(frozen=True, slots=True)
class _Mark:
    """One point of the grid; the position is None where there was none."""

    mono_s: float
    driven_m: float  # by the wheels so far
    position: Position | None
    old_driven_m: float  # by the wheels when the vehicle may have been at `position`


class PositionCheck:
    """State: whether the disagreement was told; ten minutes of agreement arm it again."""

    name = "position_check"

    def __init__(self) -> None:
        self._told = False
        self._marks: deque[_Mark] = deque()  # WINDOW_S + OLDEST_S of GRID_S
        self._driven_m = 0.0
        self._last_mono_s = float("-inf")
        self._known_mono_s = float("-inf")
        self._kmh = 0.0
        self._told_position: Position | None = None
        self._told_mono_s, self._told_driven_m = 0.0, 0.0  # when, and how far driven, `_told_position` was first told
        self._farther = tuple(Lasting() for _ in ASKED)
        self._path, self._agrees = Lasting(), Lasting()

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, once until position and wheels agree again."""
        self._drive(seen)
        if seen.mono_s - self._known_mono_s > UNKNOWN_S:
            self._marks.clear()
            return None
        if self._marks and seen.mono_s - self._marks[-1].mono_s < GRID_S:
            return None
        self._mark(seen)
        while seen.mono_s - self._marks[0].mono_s > WINDOW_S + OLDEST_S + LAG_S:
            self._marks.popleft()
        return self._judge(seen)

    def to_state(self) -> object:
        return self._told

    def restore(self, state: object) -> None:
        self._told = state is True

    def _drive(self, seen: Seen) -> None:
        step_s = seen.mono_s - self._last_mono_s
        self._last_mono_s = seen.mono_s
        if seen.wheel_kmh is not None:
            self._known_mono_s = seen.mono_s
            if step_s <= UNKNOWN_S:
                self._driven_m += (self._kmh + seen.wheel_kmh) / 7.2 * step_s
            self._kmh = seen.wheel_kmh

    def _mark(self, seen: Seen) -> None:
        if seen.raw_position is not None and seen.raw_position != self._told_position:
            self._told_position = seen.raw_position
            self._told_mono_s, self._told_driven_m = seen.mono_s, self._driven_m
        true_mono_s = max(self._told_mono_s, seen.mono_s - OLDEST_S) - LAG_S
        old = next((mark.driven_m for mark in reversed(self._marks) if mark.mono_s <= true_mono_s), None)
        known = seen.raw_position if old is not None else None
        self._marks.append(_Mark(seen.mono_s, self._driven_m, known, old or 0.0))

    def _judge(self, seen: Seen) -> LocalEvent | None:
        found = self._finding(seen)
        agrees_s = self._agrees.step(found is None and len(self._marks) > 1, seen.mono_s)
        if self._told:
            self._told = agrees_s is None or agrees_s < AGREES_AFTER_S
            return None
        if found is None:
            return None
        self._told = True
        since = next(mark for mark in self._marks if seen.mono_s - mark.mono_s <= WINDOW_S)
        found |= {"driven_m": f"{self._driven_m - since.driven_m:.0f}", "over_s": f"{seen.mono_s - since.mono_s:.0f}"}
        return LocalEvent("position_disagrees", seen.mono_s, found)

    def _finding(self, seen: Seen) -> dict[str, str] | None:
        """What disagrees now and has for long enough, as details."""
        ratios = self._minutes()
        short, long = sum(ratio < SHORT for ratio in ratios), sum(ratio > LONG for ratio in ratios)
        path_s = self._path.step(max(short, long) >= MINUTES_OUT, seen.mono_s)
        farther_m = [self._farther_by_m(*asked) for asked in ASKED]
        lasted = [each.step(by is not None, seen.mono_s) for each, by in zip(self._farther, farther_m, strict=True)]
        for by_m, lasted_s in zip(farther_m, lasted, strict=True):
            if lasted_s is not None and lasted_s >= FARTHER_AFTER_S:
                return {"reason": "farther_than_wheels", "excess_m": f"{by_m:.0f}"}
        frozen_m, frozen_s = self._driven_m - self._told_driven_m, seen.mono_s - self._told_mono_s
        if seen.raw_position is not None and frozen_m >= FROZEN_M and frozen_s >= FROZEN_S:
            return {"reason": "frozen", "lasted_s": f"{frozen_s:.0f}"}
        if path_s is not None and path_s >= PATH_AFTER_S:
            reason = "shorter_than_wheels" if short > long else "longer_than_wheels"
            return {"reason": reason, "path_to_wheels": f"{sorted(ratios)[len(ratios) // 2]:.2f}"}
        return None

    def _farther_by_m(self, youngest_s: float, oldest_s: float, share: float) -> float | None:
        """What the wheels cannot explain, in m (median), where enough of the older positions say that there is some."""
        now = self._marks[-1]
        if now.position is None:
            return None
        found = [
            metres_between(mark.position, now.position) - WHEELS_OUT * (now.driven_m - mark.old_driven_m) - SLACK_M
            for mark in self._marks
            if mark.position is not None and youngest_s <= now.mono_s - mark.mono_s <= oldest_s
        ]
        out = sorted(excess for excess in found if excess > 0)
        return out[len(out) // 2] if len(found) >= LEAST_ASKED and len(out) >= share * len(found) else None

    def _minutes(self) -> list[float]:
        """Path by wheels' distance of each of the last five minutes; without those that stood or were blind."""
        now_s = self._marks[-1].mono_s
        if now_s - self._marks[0].mono_s < MINUTES * MINUTE_S - GRID_S:
            return []
        ratios = []
        for minute in range(MINUTES):
            end_s = now_s - minute * MINUTE_S
            marks = [m for m in self._marks if end_s - MINUTE_S - GRID_S / 2 <= m.mono_s <= end_s]
            places = [mark.position for mark in marks if mark.position is not None]
            driven_m = marks[-1].driven_m - marks[0].driven_m if marks else 0.0
            if driven_m < LEAST_MINUTE_M or len(places) < 0.8 * len(marks):
                continue
            path_m = sum(metres_between(one, other) for one, other in pairwise(places))
            ratios.append(path_m / driven_m)
        return ratios
