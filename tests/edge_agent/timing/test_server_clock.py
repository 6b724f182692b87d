"""The server's time: only from receipts of this run, and never earlier than another one said."""

from edge_agent.timing.server_clock import ServerClock
from wire.records import Receipt, SequenceRange

BOOT, OTHER = b"b" * 16, b"o" * 16


def receipt(last: int, time_ms: int, boot: bytes = BOOT, first: int = 1) -> Receipt:
    return Receipt("PW000042", boot, (SequenceRange(first, last),), time_ms)


def test_nothing_is_known_before_the_first_receipt() -> None:
    assert ServerClock(BOOT, 5).at(1e6) is None


def test_the_monotonic_clock_runs_on() -> None:
    clock = ServerClock(BOOT, 5).told_by(receipt(5, 1_000_000), 100.0)
    assert (clock.at(100.0), clock.at(160.5)) == (1_000_000, 1_060_500)


def test_receipts_of_before_this_run_tell_nothing() -> None:
    clock = ServerClock(BOOT, 5)
    assert clock.told_by(receipt(4, 1_000_000), 1.0) == clock
    assert clock.told_by(receipt(9, 1_000_000, OTHER), 1.0) == clock
    assert clock.told_by(Receipt("PW000042", BOOT, (), 1_000_000), 1.0) == clock
    assert clock.told_by(receipt(8, 1_000_000, first=7), 1.0).at(1.0) == 1_000_000


def test_a_slow_receipt_does_not_set_the_time_back() -> None:
    clock = ServerClock(BOOT, 5).told_by(receipt(5, 1_000_000), 100.0)
    assert clock.told_by(receipt(6, 1_001_000), 130.0) == clock  # half a minute on its way
    assert clock.told_by(receipt(6, 1_031_000), 130.0).at(130.0) == 1_031_000
