"""Ranges of sequences: the same whatever the order, with the links of both their ends."""

from hypothesis import given
from hypothesis import strategies as st

from server.received import Range, Received
from wire.records import SequenceRange


def link(sequence: int) -> bytes:
    """What the batch after this sequence carries."""
    return b"%d" % sequence


@given(st.permutations(range(1, 13)), st.integers(0, 12))
def test_ranges_are_those_of_the_set_whatever_the_order(order: list[int], count: int) -> None:
    received, stored = Received(), set()
    for sequence in order[:count]:
        before, after = received.before(sequence), received.after(sequence)
        assert (before is not None, after is not None) == (sequence - 1 in stored, sequence + 1 in stored)
        assert before is None or before.last_link == link(sequence - 1)
        assert after is None or after.first_link == link(sequence)
        received.add(sequence, link(sequence - 1), link(sequence))
        stored.add(sequence)
    assert {n for n in range(15) if received.has(n)} == stored
    assert received == Received.of(reversed(received.ranges))
    for each in received.ranges:
        assert stored.issuperset(range(each.first, each.last + 1))
        assert not stored & {each.first - 1, each.last + 1}
        assert (each.first_link, each.last_link) == (link(each.first - 1), link(each.last))


def test_only_the_newest_are_named() -> None:
    received = Received.of([Range(5, 6, None, None), Range(1, 2, None, None), Range(9, 9, None, None)])
    assert received.newest(2) == (SequenceRange(5, 6), SequenceRange(9, 9))
    assert received.newest(9)[0] == SequenceRange(1, 2)
