"""A cut line, a starter, a loose plug."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.power.cut import CutJudge, Supply


def looks(judge: CutJudge, present: bool, begin_ms: int, end_ms: int, volts: float | None = None) -> list[Supply]:
    """Look every 20 ms from `begin_ms` to before `end_ms`."""
    told = [judge.on_look(present, volts, at_ms / 1000) for at_ms in range(begin_ms, end_ms, 20)]
    return [each for each in told if each is not None]


def test_a_cut_is_told_once_when_it_has_lasted_and_from_when_it_began() -> None:
    judge = CutJudge(0.12)
    assert looks(judge, True, 0, 1000) == []
    assert looks(judge, False, 1000, 1120) == []
    assert looks(judge, False, 1120, 5000) == [Supply(False, 1.0)]


@pytest.mark.parametrize("dip_ms", [20, 40, 100])
def test_the_starters_first_dip_is_no_cut(dip_ms: int) -> None:
    judge = CutJudge(0.12)
    looks(judge, True, 0, 1000)
    assert looks(judge, False, 1000, 1000 + dip_ms) == []
    assert looks(judge, True, 1000 + dip_ms, 3000) == []
    assert not judge.undecided


def test_as_long_as_a_battery_is_seen_under_the_starter_it_is_no_cut() -> None:
    judge = CutJudge(0.12)
    assert looks(judge, False, 0, 19_000, volts=6.5) == []
    assert judge.undecided
    assert looks(judge, True, 19_000, 30_000, volts=14.0) == []


def test_a_monitor_that_still_shows_a_battery_after_twenty_seconds_is_wrong() -> None:
    assert looks(CutJudge(0.12), False, 0, 30_000, volts=6.5) == [Supply(False, 0.0)]


def test_no_voltage_is_a_cut_at_once() -> None:
    assert looks(CutJudge(0.12), False, 0, 200, volts=0.3) == [Supply(False, 0.0)]


def test_the_supply_is_back_after_a_second() -> None:
    judge = CutJudge(0.12)
    looks(judge, False, 0, 1000)
    assert looks(judge, True, 1000, 2000) == []
    assert looks(judge, False, 2000, 2100) == []
    assert looks(judge, True, 2100, 3100) == []
    assert looks(judge, True, 3100, 3200) == [Supply(True, 2.1)]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 60)), max_size=40))
def test_cut_and_back_take_turns_and_never_in_less_than_their_time(runs: list[tuple[bool, int]]) -> None:
    judge, at_ms, told = CutJudge(0.12), 0, list[Supply]()
    for present, looked in runs:
        told += looks(judge, present, at_ms, at_ms + 20 * looked)
        at_ms += 20 * looked
    assert [each.present for each in told] == [number % 2 == 1 for number in range(len(told))]
    assert all(later.since_s > earlier.since_s for earlier, later in itertools.pairwise(told))
    assert len(told) <= 2 * (1 + at_ms / 1000 / 1.12)
