"""Batches that the disk does not take: bounded, events kept longest, every loss accounted for."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.batch import Sealed
from edge_agent.store.unsaved import Unsaved
from wire.records import Gap

BOOT = b"b" * 16


def batch(sequence: int, size: int = 100, events: int = 0) -> Sealed:
    return Sealed(sequence, bytes(size), 60, events)


def test_what_is_added_waits_in_order_until_it_is_put() -> None:
    unsaved = Unsaved(BOOT)
    assert (unsaved.add([batch(1), batch(2)]), unsaved.add([batch(3)]), len(unsaved)) == (0, 0, 3)
    assert (unsaved.batches, unsaved.lost) == ((batch(1), batch(2), batch(3)), ())
    unsaved.on_put()
    assert (unsaved.batches, unsaved.lost, len(unsaved)) == ((), (), 0)


def test_over_the_bound_the_oldest_samples_go_then_the_oldest_events() -> None:
    unsaved = Unsaved(BOOT, 300)
    assert unsaved.add([batch(1, events=1), batch(2), batch(3), batch(4), batch(5)]) == 2
    assert [each.sequence for each in unsaved.batches] == [1, 4, 5]
    assert unsaved.lost == (Gap(BOOT, 2, 3, 120, "disk_full"),)
    assert unsaved.add([batch(6, events=1), batch(7, events=1), batch(8, events=1)]) == 3
    assert [each.sequence for each in unsaved.batches] == [6, 7, 8]
    assert unsaved.lost == (Gap(BOOT, 1, 5, 300, "disk_full"),)
    unsaved.on_put()
    assert unsaved.add([batch(9), batch(10), batch(11)]) == 0


def test_the_newest_stays_however_large() -> None:
    unsaved = Unsaved(BOOT, 50)
    assert unsaved.add([batch(1)]) == 0
    assert unsaved.add([batch(2)]) == 1
    assert [each.sequence for each in unsaved.batches] == [2]


@given(st.lists(st.tuples(st.integers(1, 200), st.booleans()), max_size=60), st.integers(0, 2000))
def test_everything_is_there_or_declared_and_the_bound_holds(kinds: list[tuple[int, bool]], most: int) -> None:
    unsaved = Unsaved(BOOT, most)
    went = sum(unsaved.add([batch(n, size, int(event))]) for n, (size, event) in enumerate(kinds, 1))
    here = [each.sequence for each in unsaved.batches]
    gone = [n for gap in unsaved.lost for n in range(gap.first, gap.last + 1)]
    assert sorted(here + gone) == list(range(1, len(kinds) + 1))
    assert len(gone) == went
    assert sum(gap.samples for gap in unsaved.lost) == 60 * went
    assert sum(len(each.data) for each in unsaved.batches) <= most or len(here) == 1
    assert all(a.last + 1 < b.first for a, b in pairwise(unsaved.lost))
