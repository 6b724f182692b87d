"""Disturbing loses nothing, invents nothing but copies, and keeps the order of time."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.fleet.disturbing import disturbed, paced
from firmware_sim.fleet.sealing import Entry


def run(count: int, vehicles: int, step_ms: int = 700) -> list[Entry]:
    """Batches of several vehicles in turn, evenly in time."""
    return [Entry(place * step_ms, place % vehicles, place // vehicles + 1, 1, b"%d" % place) for place in range(count)]


@given(st.integers(0, 60), st.integers(1, 7), st.integers(0, 100), st.floats(0, 1), st.floats(0, 1))
def test_nothing_is_lost_and_time_goes_on(count: int, vehicles: int, seed: int, copies: float, swaps: float) -> None:
    entries = run(count, vehicles)
    found = list(disturbed(entries, seed, copies, swaps))
    assert {entry.data for entry in found} == {entry.data for entry in entries}
    assert max(Counter(entry.data for entry in found).values(), default=0) <= 2
    times = [entry.due_ms for entry in found]
    assert times == sorted(times)
    due = {entry.data: entry.due_ms for entry in entries}
    assert all(entry.due_ms >= due[entry.data] for entry in found)
    assert found == list(disturbed(entries, seed, copies, swaps))


def test_undisturbed_is_as_it_was() -> None:
    assert list(disturbed(run(50, 4), 1, 0.0, 0.0)) == run(50, 4)


def test_all_are_sent_twice_within_five_seconds() -> None:
    found = list(disturbed(run(50, 4), 1, 1.0, 0.0))
    first = {}
    for entry in found:
        assert entry.due_ms - first.setdefault(entry.data, entry.due_ms) <= 5000
    assert Counter(entry.data for entry in found) == Counter({entry.data: 2 for entry in run(50, 4)})


def test_a_swap_is_one_batch_behind_the_next_of_its_vehicle() -> None:
    found = [entry.sequence for entry in disturbed(run(12, 2), 1, 0.0, 1.0) if entry.vehicle == 0]
    assert found == [2, 1, 4, 3, 6, 5]


def test_shares_are_about_what_was_asked_for() -> None:
    entries = run(4000, 20)
    assert 4300 < len(list(disturbed(entries, 9, 0.1, 0.0))) < 4500
    found = [entry.sequence for entry in disturbed(entries, 9, 0.0, 0.1) if entry.vehicle == 3]
    assert 5 <= sum(before > after for before, after in pairwise(found)) <= 40


def test_pacing_is_even_and_keeps_the_order() -> None:
    found = list(paced(run(5, 2), 4.0))
    assert [entry.due_ms for entry in found] == [0, 250, 500, 750, 1000]
    assert [entry.data for entry in found] == [entry.data for entry in run(5, 2)]
