"""What receipts prove about the time holds whatever happened to them on their way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.timing.receipt_time import SealTimes, TimeBounds
from wire.records import Receipt, SequenceRange

BOOT = b"\x01" * 16
TRUE_MS = 1_795_000_000_000  # UTC less monotonic


def receipt(*ranges: tuple[int, int], boot: bytes = BOOT) -> Receipt:
    return Receipt("PW000001", boot, tuple(SequenceRange(*each) for each in ranges), 0)


def test_a_receipt_was_made_between_the_sealing_and_its_arrival() -> None:
    bounds = TimeBounds(0).told(TRUE_MS + 10_000, 12.0, 9.0)
    assert bounds == TimeBounds(TRUE_MS - 2000, TRUE_MS + 1000)
    assert (bounds.earliest_ms(20.0), bounds.latest_ms(20.0)) == (TRUE_MS + 18_000, TRUE_MS + 21_000)
    assert TimeBounds(5).latest_ms(20.0) is None


def test_a_receipt_of_an_earlier_run_only_raises_the_lower_bound() -> None:
    bounds = TimeBounds(TRUE_MS - 5000, TRUE_MS)
    assert bounds.told(TRUE_MS + 9000, 10.0, None) == TimeBounds(TRUE_MS - 1000, TRUE_MS)
    assert bounds.told(0, 10.0, None) == bounds


def test_only_a_receipt_of_this_run_tells_what_time_it_is_at_the_server() -> None:
    """An older one may have lain at the broker for days, and would make an expired command look fresh."""
    old = TimeBounds(0).told(TRUE_MS, 10.0, None)
    assert old.server_now_ms(10.0) is None
    fresh = old.told(TRUE_MS + 9000, 12.0, 8.0)
    assert fresh.server_now_ms(20.0) == TRUE_MS + 17_000  # three seconds behind: it was so long on its way


def test_bounds_only_get_closer() -> None:
    bounds = TimeBounds(TRUE_MS - 5000, TRUE_MS + 5000)
    assert bounds.told(TRUE_MS + 100_000, 110.0, 90.0) == bounds
    assert bounds.told(TRUE_MS + 100_000, 101.0, 99.5) == TimeBounds(TRUE_MS - 1000, TRUE_MS + 500)


@pytest.mark.parametrize("set_by_ms", [-86_400_000, 86_400_000])
def test_where_the_server_s_clock_was_set_the_fresh_receipt_counts(set_by_ms: int) -> None:
    bounds = TimeBounds(TRUE_MS - 1000, TRUE_MS + 1000).told(TRUE_MS + set_by_ms + 10_000, 11.0, 9.0)
    assert bounds == TimeBounds(TRUE_MS + set_by_ms - 1000, TRUE_MS + set_by_ms + 1000)


def test_a_floor_from_a_wrong_server_clock_is_corrected_by_a_fresh_receipt() -> None:
    assert TimeBounds(TRUE_MS + 10**10).told(TRUE_MS, 0.0, 0.0) == TimeBounds(TRUE_MS, TRUE_MS)


journeys = st.lists(st.tuples(*[st.floats(0, 1e6)] * 3).map(sorted), max_size=12)


@given(journeys, st.booleans())
def test_the_truth_lies_within_the_bounds_whatever_is_delayed_or_replayed(
    travelled: list[list[float]], knows: bool
) -> None:
    bounds = TimeBounds(TRUE_MS - 10**9)
    for sealed_s, made_s, arrived_s in travelled:
        bounds = bounds.told(TRUE_MS + round(made_s * 1000), arrived_s, sealed_s if knows else None)
        assert bounds.earliest_offset_ms <= TRUE_MS + 1
        assert bounds.latest_offset_ms is None or bounds.latest_offset_ms >= TRUE_MS - 1


def test_the_newest_named_batch_of_this_run_counts() -> None:
    seals = SealTimes(BOOT)
    assert seals.of(receipt((1, 9))) is None
    for sequence, mono_s in ((10, 1.0), (11, 2.0), (12, 3.0)):
        seals.on_sealed(sequence, mono_s)
    assert seals.of(receipt((1, 9))) is None
    assert seals.of(receipt((1, 10))) == 1.0
    assert seals.of(receipt((1, 3), (11, 11))) == 2.0
    assert seals.of(receipt((1, 300))) == 3.0
    assert seals.of(receipt()) is None
    assert seals.of(receipt((1, 300), boot=b"\x02" * 16)) is None


def test_only_so_many_are_remembered() -> None:
    seals = SealTimes(BOOT)
    for n in range(1, 1001):
        seals.on_sealed(n, float(n))
    assert (seals.of(receipt((1, 744))), seals.of(receipt((1, 745)))) == (None, 745.0)
