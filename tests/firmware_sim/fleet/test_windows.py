"""Twenty under way, the next on a receipt, again without one; and what a play adds up to."""

from array import array

import pytest

from firmware_sim.fleet.sealing import Entry
from firmware_sim.fleet.tally import Tally, added, percentiles_ms
from firmware_sim.fleet.windows import PATIENCE_S, WINDOW, Answered, UnitWindow
from wire.records import SequenceRange


def batch(sequence: int) -> Entry:
    return Entry(0, 0, sequence, 60, b"sealed %d" % sequence)


@pytest.fixture
def window() -> UnitWindow:
    """Thirty batches, due at 100 s; twenty of them sent at 101 s."""
    made = UnitWindow()
    for sequence in range(1, 31):
        made.offer(batch(sequence), 100.0)
    left = made.leaving(101.0)
    assert [each.entry.sequence for each in left] == list(range(1, WINDOW + 1))
    assert {(each.late_s, each.is_copy) for each in left} == {(1.0, False)}
    return made


def test_a_receipt_makes_room_and_is_timed_from_when_the_batch_was_due(window: UnitWindow) -> None:
    assert window.leaving(102.0) == []
    answers = window.receipted((SequenceRange(2, 3), SequenceRange(25, 40)), 103.5)
    assert answers == [Answered(2, 3.5, 2.5), Answered(3, 3.5, 2.5)]
    assert window.receipted((SequenceRange(2, 3),), 104.0) == []
    assert [each.entry.sequence for each in window.leaving(104.0)] == [21, 22]
    assert window.open == 28


def test_without_a_receipt_it_is_sent_again_ever_more_rarely(window: UnitWindow) -> None:
    assert window.impatient(101.0 + PATIENCE_S - 0.01) == []
    assert len(window.impatient(101.0 + PATIENCE_S)) == WINDOW
    assert window.impatient(101.0 + 3 * PATIENCE_S - 0.01) == []
    again = window.impatient(101.0 + 3 * PATIENCE_S)
    assert [each.late_s for each in again] == [None] * WINDOW
    (answer,) = window.receipted((SequenceRange(1, 1),), 200.0)
    assert answer == Answered(1, 100.0, 99.0)


def test_a_copy_waits_for_nothing_and_changes_nothing(window: UnitWindow) -> None:
    for sequence in range(21, 31):
        window.offer(batch(sequence), 100.0)  # copies of what still waits
    window.receipted((SequenceRange(1, 20),), 102.0)
    left = window.leaving(102.0)
    assert [each.is_copy for each in left] == [False] * 10 + [True] * 10
    window.offer(batch(1), 103.0)  # settled long ago
    (copy,) = window.leaving(104.0)
    assert copy.is_copy
    assert copy.late_s is None
    assert window.open == 10
    window.receipted((SequenceRange(21, 30),), 105.0)
    assert window.is_idle
    assert window.open == 0


def test_the_brokers_word_settles_once(window: UnitWindow) -> None:
    assert window.acknowledged(5, 101.25) == Answered(5, 1.25, 0.25)
    assert window.acknowledged(5, 101.5) is None
    assert window.acknowledged(29, 101.5) is None


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentiles_ms([]) == {}
    times = [place / 1000 for place in range(1000, 0, -1)]
    assert percentiles_ms(times) == {"p50": 500.0, "p90": 900.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0}
    assert percentiles_ms([0.25]) == dict.fromkeys(("p50", "p90", "p99", "p99.9", "max"), 250.0)


def test_processes_add_up() -> None:
    one = Tally(vehicles=2, sent=10, seconds=4.0, cpu_s=1.0, drain_s=1.0, settled=8, since_due_s=array("f", [0.5]))
    two = Tally(vehicles=3, sent=20, seconds=5.0, cpu_s=2.0, settled=16, since_due_s=array("f", [0.25, 1.0]))
    both = added([one, two])
    assert (both.vehicles, both.sent, both.seconds, both.cpu_s, both.drain_s) == (5, 30, 5.0, 3.0, 1.0)
    summary = both.summary()
    assert summary["since_due_ms"]["p50"] == 500.0
    assert summary["sent_per_s"] == 6.0
    assert summary["settled_per_s"] == 4.0
