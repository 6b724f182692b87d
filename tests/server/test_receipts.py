"""What a receipt asks for again, held against sets of sequences."""

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st

from server.receipts import MOST_RANGES, ranges_wanted
from wire.codec import MAX_STEPS
from wire.records import Receipt, SequenceRange
from wire.seal import MAX_SEALED_BYTES, open_receipt, seal_receipt

MOST_WANTED = 32
END = 90

sequences = st.sets(st.integers(1, END))
spans = st.tuples(st.integers(1, END), st.integers(1, END)).map(lambda ends: SequenceRange(min(ends), max(ends)))


def runs(numbers: Iterable[int]) -> tuple[SequenceRange, ...]:
    """The fewest ranges that name these numbers, in order."""
    found: list[SequenceRange] = []
    for n in sorted(numbers):
        if found and found[-1].last == n - 1:
            found[-1] = SequenceRange(found[-1].first, n)
        else:
            found.append(SequenceRange(n, n))
    return tuple(found)


@given(sequences, st.lists(spans, max_size=6))
@example(set(), [])
@example({1, 2, 3}, [])
@example({2}, [SequenceRange(1, 1)])
@example({10}, [SequenceRange(3, 5), SequenceRange(5, 7), SequenceRange(1, 1), SequenceRange(9, 20)])
@example(set(range(2, END, 2)), [])
def test_what_is_wanted_is_missing_and_not_declared(stored: set[int], declared: list[SequenceRange]) -> None:
    lost = {n for each in declared for n in range(each.first, each.last + 1)}
    missing = set(range(1, max(stored, default=0))) - stored - lost
    assert ranges_wanted(runs(stored), declared) == runs(missing)[:MOST_WANTED]


@given(st.permutations([SequenceRange(2, 3), SequenceRange(3, 6), SequenceRange(9, 9), SequenceRange(12, 40)]))
def test_the_order_of_declarations_does_not_matter(declared: list[SequenceRange]) -> None:
    assert ranges_wanted((SequenceRange(20, 20),), declared) == runs({1, 7, 8, 10, 11})


def test_the_oldest_holes_come_first_and_not_more_than_fit() -> None:
    stored = tuple(SequenceRange(n, n) for n in range(2, 202, 2))
    assert ranges_wanted(stored, ()) == tuple(SequenceRange(n, n) for n in range(1, 65, 2))


def test_where_older_ranges_were_left_out_nothing_is_wanted() -> None:
    """What looks like a hole before the oldest named range may be full of stored batches."""
    ranges = tuple(SequenceRange(10 * n, 10 * n + 1) for n in range(1, MOST_RANGES + 1))
    assert ranges_wanted(ranges, ()) == ()
    assert ranges_wanted(ranges[1:], ())[0] == SequenceRange(1, 19)


def test_how_many_ranges_is_what_units_are_told() -> None:
    assert f"only the newest {MOST_RANGES} " in (Path(__file__).parents[2] / "docs" / "asyncapi.yaml").read_text(
        "utf-8"
    )


def test_the_longest_receipt_can_be_sent() -> None:
    key = Ed25519PrivateKey.generate()
    high = [SequenceRange(MAX_STEPS - 2 * n, MAX_STEPS - 2 * n) for n in range(MOST_RANGES)]
    receipt = Receipt("U" * 32, bytes(16), tuple(high), 2**62, tuple(high[:MOST_WANTED]))
    sealed = seal_receipt(key, receipt)
    assert len(sealed) <= MAX_SEALED_BYTES
    assert open_receipt(sealed, receipt.unit, [key.public_key()]) == receipt
