"""Which batches a window of time brings back, from a real outbox."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.batch import Batcher
from edge_agent.commands.recall import recall
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import sequence_of
from wire.records import Event, Receipt, Sample, SequenceRange, TimeQuality

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT = "PW000001"
T0_MS = 1_795_421_700_000
MINUTE_MS = 60_000


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox.create(tmp_path / "outbox.db", 1)
    yield outbox
    outbox.close()


def put(outbox: Outbox, spans: Sequence[tuple[int | None, int | None] | None]) -> None:
    """A batch for each: the times of its first and last sample; None: an event only. All have their receipts."""
    batcher = Batcher(KEY, outbox.sealed_before(UNIT), 7, 60, 60.0)
    for n, span in enumerate(spans):
        for time_ms in span or ():
            quality = TimeQuality.NONE if time_ms is None else TimeQuality.GNSS
            batcher.add_sample(Sample(float(n), time_ms, quality))
        if span is None:
            batcher.add_event(Event("unit_started", n, None, TimeQuality.NONE))
        outbox.put(batcher.seal({}), None)
    outbox.receipt(Receipt(UNIT, outbox.boot, (SequenceRange(1, len(spans)),), T0_MS, ()))


def minutes(count: int) -> list[tuple[int, int]]:
    """Batch n + 1 is minute n: its first and 59th second."""
    return [(T0_MS + n * MINUTE_MS, T0_MS + n * MINUTE_MS + 59_000) for n in range(count)]


def waiting(outbox: Outbox) -> list[int]:
    lanes = outbox.waiting(None, (), 1_000_000)
    return sorted(sequence_of(each) for each in lanes.events + lanes.backlog)


@pytest.mark.parametrize(
    ("from_ms", "to_ms", "sequences"),
    [
        (40 * MINUTE_MS, 43 * MINUTE_MS - 1, [41, 42, 43]),
        (40 * MINUTE_MS + 59_000, 41 * MINUTE_MS, [41, 42]),  # both ends belong to it
        (40 * MINUTE_MS + 59_001, 41 * MINUTE_MS - 1, []),
        (-MINUTE_MS, 30_000, [1]),
        (99 * MINUTE_MS, 999 * MINUTE_MS, [100]),
        (-MINUTE_MS, -1, []),
        (100 * MINUTE_MS, 999 * MINUTE_MS, []),
        (0, 100 * MINUTE_MS, list(range(1, 101))),
    ],
)
def test_the_batches_of_the_window_are_sent_again(
    outbox: Outbox, from_ms: int, to_ms: int, sequences: list[int]
) -> None:
    put(outbox, minutes(100))
    assert waiting(outbox) == []
    assert recall(outbox, T0_MS + from_ms, T0_MS + to_ms) == len(sequences)
    assert waiting(outbox) == sequences


def test_what_still_waits_goes_on_waiting(outbox: Outbox) -> None:
    put(outbox, minutes(3))
    recall(outbox, T0_MS, T0_MS)
    assert recall(outbox, T0_MS, T0_MS + 2 * MINUTE_MS) == 3
    assert waiting(outbox) == [1, 2, 3]


def test_an_empty_outbox_has_nothing(outbox: Outbox) -> None:
    assert recall(outbox, 0, 2 * T0_MS) == 0


def test_samples_without_a_time_and_events_are_passed_over(outbox: Outbox) -> None:
    first, second, third = minutes(3)
    put(outbox, [(None, None), None, first, None, (second[0], None), (None, None), third, None])
    assert recall(outbox, first[1], third[0]) == 3
    assert waiting(outbox) == [3, 5, 7]


def test_a_batch_that_cannot_be_read_is_passed_over(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    put(outbox, minutes(20))
    spoilt = outbox.kept_ids()[9]
    kept = outbox.kept
    monkeypatch.setattr(outbox, "kept", lambda batch: b"\xff" * 200 if batch == spoilt else kept(batch))
    assert recall(outbox, T0_MS + 8 * MINUTE_MS, T0_MS + 11 * MINUTE_MS - 1) == 2
    assert waiting(outbox) == [9, 11]


def test_few_batches_are_opened_however_many_are_kept(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    put(outbox, minutes(1000))
    opened: list[int] = []
    kept = outbox.kept

    def counted(batch: int) -> bytes | None:
        opened.append(batch)
        return kept(batch)

    monkeypatch.setattr(outbox, "kept", counted)
    assert recall(outbox, T0_MS + 500 * MINUTE_MS, T0_MS + 503 * MINUTE_MS - 1) == 3
    assert len(opened) <= 40


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 12), max_size=8),
    st.integers(-2, 42),
    st.integers(0, 42),
)
def test_any_window_among_runs_of_events_brings_back_all_of_it(
    tmp_path_factory: pytest.TempPathFactory, runs: list[int], begin: int, length: int
) -> None:
    """Between two minutes lie as many batches of events as there were in a busy time."""
    spans: list[tuple[int | None, int | None] | None] = []
    numbers: list[int] = []
    for n, minute in enumerate(minutes(40)):
        spans += [None] * (runs[n] if n < len(runs) else 0)
        spans.append(minute)
        numbers.append(len(spans))
    outbox = Outbox.create(tmp_path_factory.mktemp("outbox") / "outbox.db", 1)
    try:
        put(outbox, spans)
        recall(outbox, T0_MS + begin * MINUTE_MS, T0_MS + (begin + length) * MINUTE_MS - 1)
        assert waiting(outbox) == numbers[max(0, begin) : max(0, begin + length)]
    finally:
        outbox.close()
