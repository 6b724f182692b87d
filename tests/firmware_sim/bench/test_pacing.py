"""What of a parked night is lived, and in which steps the rest is left out."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as some

from firmware_sim.bench.pacing import Pace, pace_of
from firmware_sim.story.schema import Act, Fault, Story, Text

NIGHT = Act("night", "park", 100.0, 36_000.0)


def story(*faults: Fault) -> Story:
    text = Text("一", "one")
    start = datetime(2026, 11, 23, tzinfo=UTC)
    return Story("one", text, text, (), 1, start, "chengdu", "home", 1.0, (NIGHT,), faults)


def pace(*faults: Fault) -> Pace:
    found = pace_of(story(*faults), NIGHT)
    assert found is not None
    return found


def test_two_minutes_are_lived_first() -> None:
    night = pace()
    assert night.step_from(100.0, is_off=False) == 0.0
    assert night.step_from(219.9, is_off=False) == 0.0
    assert night.step_from(220.0, is_off=False) == 4500.0


def test_the_last_seconds_are_lived() -> None:
    night = pace()
    assert night.step_from(36_000.0, is_off=False) == 90.0
    assert night.step_from(36_061.0, is_off=False) == 0.0


def test_a_unit_without_power_needs_no_steps() -> None:
    assert pace().step_from(220.0, is_off=True) == 36_100.0 - 10.0 - 220.0


def test_nothing_that_happens_is_skipped() -> None:
    night = pace(Fault("night", "network.down", 5000.0, 9000.0))
    assert night.step_from(4000.0, is_off=True) == 990.0
    assert night.step_from(5030.0, is_off=True) == 0.0
    assert night.step_from(5060.0, is_off=True) == 3930.0


def test_an_act_that_is_driven_or_short_is_lived_whole() -> None:
    assert pace_of(story(), Act("drive", "drive", 0.0, 36_000.0)) is None
    assert pace_of(story(), Act("stop", "park", 0.0, 140.0)) is None


@given(some.lists(some.floats(100.0, 36_000.0), max_size=6), some.booleans())
def test_steps_end_before_the_act_and_pass_no_point(points: list[float], is_off: bool) -> None:
    night = pace(*(Fault("night", "network.down", at_s, at_s) for at_s in points))
    now_s, steps = NIGHT.begin_s, 0
    while now_s < NIGHT.end_s:
        step_s = night.step_from(now_s, is_off=is_off)
        assert not any(now_s < point < now_s + step_s for point in night.points)
        steps += step_s > 0
        now_s += step_s or 1.0
    assert now_s <= NIGHT.end_s + 1.0
    assert steps <= 8 + 2 * len(points) + 1
