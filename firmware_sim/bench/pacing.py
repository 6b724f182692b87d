"""Which parked hours are left out, and in which steps. Pure.

Two minutes are lived, so that the unit sees the car parked; then time goes on in steps, and after each a moment is
lived, so that the unit takes its heartbeat, looks at the battery and sleeps as it would. Before and after anything that
the story does within those hours a minute is lived, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from firmware_sim.story.schema import Act, Story
from firmware_sim.story.vocabulary import ACTS

LIVED_S = 120.0
_AROUND_S = 60.0  # lived after each point
_BEFORE_S = 10.0  # and before it
_LEAST_S = 30.0  # not worth a step
_SMALL_S, _MOST_STEPS = 540.0, 8


@dataclass(frozen=True, slots=True)
class Pace:
    """How one act's time may be left out: no step begins before `from_s` or within a minute after a point."""

    act: Act
    points: tuple[float, ...]  # story seconds at which something happens within it
    step_s: float

    def step_from(self, now_s: float, *, is_off: bool) -> float:
        """How many seconds to leave out now; 0: none. A unit without power needs no steps."""
        begins = (self.act.begin_s + LIVED_S - _AROUND_S, *self.points)
        if any(begin_s <= now_s < begin_s + _AROUND_S for begin_s in begins) or now_s < begins[0]:
            return 0.0
        following = min((point for point in self.points if point > now_s), default=self.act.end_s)
        left_s = following - _BEFORE_S - now_s
        if left_s < _LEAST_S:
            return 0.0
        return left_s if is_off else min(left_s, self.step_s)


def pace_of(story: Story, act: Act, more: Iterable[float] = ()) -> Pace | None:
    """None for an act that is lived whole. `more`: further story seconds that are not to be missed."""
    if not ACTS[act.do].is_parked or act.seconds <= LIVED_S + _LEAST_S:
        return None
    happens = [fault.begin_s for fault in story.faults] + [fault.end_s for fault in story.faults]
    happens += [order.at_s for order in story.orders]
    happens += [expect.at_s for expect in story.expects if expect.at_s is not None]
    points = {at_s for at_s in (*happens, *more) if act.begin_s < at_s < act.end_s}
    return Pace(act, tuple(sorted(points)), max(_SMALL_S, act.seconds / _MOST_STEPS))
