"""Records → sealed batches: one unbroken chain, due in time, never too large, nothing lost on the way."""

import hashlib
import random
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.batch import Batcher, Sealed, SealedBefore
from wire.codec import decode_body, on_wire
from wire.records import Body, Event, Gap, Sample, TimeQuality
from wire.seal import MAX_SEALED_BYTES, Identity, OpenedSeal, open_seal, read_body

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT, BOOT, KERNEL_BOOT = "PW000001", b"b" * 16, 0xC0FFEE
BEGIN = SealedBefore(UNIT, BOOT, 3)


def batcher(samples: int = 60, after_s: float = 60.0, before: SealedBefore = BEGIN) -> Batcher:
    return Batcher(KEY, before, KERNEL_BOOT, samples, after_s)


def sample(mono_s: float) -> Sample:
    return Sample(mono_s, None, TimeQuality.NONE, lat_deg=31.8, lon_deg=117.2)


def event(text: str = "", mono_ms: int = 0) -> Event:
    return Event("unit_started", mono_ms, None, TimeQuality.NONE, {"version": text})


def opened(sealed: Sealed) -> OpenedSeal:
    return open_seal(sealed.data, UNIT, KEY.public_key())


def body_of(sealed: Sealed) -> Body:
    return read_body(opened(sealed))


def noise(seed: int, samples: int, events: int, gaps: int) -> Body:
    """Records that zlib cannot fold much."""
    rng = random.Random(seed)
    return Body(
        KERNEL_BOOT,
        tuple(
            on_wire(
                Sample(
                    rng.uniform(0, 1e6),
                    rng.randrange(2**41),
                    TimeQuality.GNSS,
                    lat_deg=rng.uniform(-90, 90),
                    lon_deg=rng.uniform(-180, 180),
                    alt_m=rng.uniform(-100, 9000),
                    speed_mps=rng.uniform(0, 90),
                    course_deg=rng.uniform(0, 360),
                    engine_rpm=rng.choice((None, rng.uniform(0, 9000))),
                    odometer_km=rng.uniform(0, 2e6),
                )
            )
            for _ in range(samples)
        ),
        tuple(event(rng.randbytes(rng.randrange(300)).hex(), n) for n in range(events)),
        tuple(Gap(rng.randbytes(16), first := rng.randrange(1, 2**40), first + 5, 9, "x") for _ in range(gaps)),
        {"gnss.accepted": rng.randrange(2**40), "gnss.refused.checksum": 3},
    )


def joined(sealed: tuple[Sealed, ...]) -> Body:
    """All that the batches hold, put together again."""
    bodies = [body_of(each) for each in sealed]
    counts = [body.counts for body in bodies if body.counts]
    assert len(counts) <= 1, "counts are told once"
    return Body(
        KERNEL_BOOT,
        tuple(each for body in bodies for each in body.samples),
        tuple(each for body in bodies for each in body.events),
        tuple(each for body in bodies for each in body.gaps),
        counts[0] if counts else {},
    )


def assert_chained(sealed: list[Sealed] | tuple[Sealed, ...], before: SealedBefore = BEGIN) -> None:
    link = before.link
    for n, each in enumerate(sealed, before.sequence + 1):
        assert opened(each).identity == Identity(UNIT, BOOT, before.boot_number, n)
        assert (each.sequence, opened(each).link) == (n, link)
        assert each.samples == len(body_of(each).samples)
        link = hashlib.sha256(each.data).digest()[:16]


def test_batches_count_from_one_and_each_links_to_the_one_before() -> None:
    collecting = batcher()
    sealed = []
    for n in range(5):
        collecting.add_sample(sample(float(n)))
        sealed += collecting.seal({})
    assert [each.sequence for each in sealed] == [1, 2, 3, 4, 5]
    assert_chained(sealed)


def test_a_chain_goes_on_where_it_stood() -> None:
    before = SealedBefore(UNIT, BOOT, 3, sequence=41, link=b"l" * 16)
    collecting = batcher(before=before)
    collecting.add_sample(sample(0.0))
    first = collecting.seal({})
    collecting.add_sample(sample(1.0))
    assert_chained((*first, *collecting.seal({})), before)


def test_nothing_collected_is_nothing_sealed_and_takes_no_sequence() -> None:
    collecting = batcher()
    assert collecting.seal({"gnss.accepted": 3}) == ()
    assert collecting.open_body() is None
    collecting.add_sample(sample(0.0))
    assert [each.sequence for each in collecting.seal({})] == [1]
    assert collecting.seal({}) == ()


def test_due_by_number() -> None:
    collecting = batcher(samples=3)
    for n in range(2):
        collecting.add_sample(sample(n / 10))
    assert not collecting.due(0.2)
    collecting.add_sample(sample(0.2))
    assert collecting.due(0.2)
    assert collecting.open_samples == 3


def test_due_by_the_time_of_the_first_sample() -> None:
    collecting = batcher(after_s=60.0)
    assert not collecting.due(1e9)
    collecting.add_sample(sample(100.0))
    collecting.add_sample(sample(150.0))
    assert not collecting.due(159.99)
    assert collecting.due(160.0)
    collecting.seal({})
    assert not collecting.due(1e9)
    collecting.add_sample(sample(200.0))
    assert not collecting.due(259.99)
    assert collecting.due(260.0)


def test_an_event_is_due_at_once_and_takes_the_samples_along() -> None:
    collecting = batcher()
    collecting.add_sample(sample(0.0))
    assert not collecting.due(0.0)
    collecting.add_event(event("1.0"))
    assert collecting.due(0.0)
    (sealed,) = collecting.seal({})
    assert body_of(sealed) == Body(KERNEL_BOOT, (sample(0.0),), (event("1.0"),))
    assert not collecting.due(0.0)


def test_a_gap_leaves_with_the_next_batch() -> None:
    collecting = batcher()
    gap = Gap(BOOT, 3, 9, 420, "outbox_full")
    collecting.add_gap(gap)
    assert not collecting.due(1e9)
    assert collecting.open_body() is not None
    collecting.add_sample(sample(0.0))
    (sealed,) = collecting.seal({})
    assert body_of(sealed).gaps == (gap,)
    collecting.add_gap(gap)
    assert [body_of(each).gaps for each in collecting.seal({})] == [(gap,)]


def test_counts_travel_in_the_batch() -> None:
    collecting = batcher()
    collecting.add_sample(sample(0.0))
    counts = {"gnss.accepted": 70, "gnss.refused.checksum": 2}
    assert [body_of(each).counts for each in collecting.seal(counts)] == [counts]


@given(seed=st.integers(0), samples=st.integers(0, 40), events=st.integers(0, 3), gaps=st.integers(0, 3))
def test_what_is_open_is_what_would_be_sealed(seed: int, samples: int, events: int, gaps: int) -> None:
    collecting, records = batcher(), noise(seed, samples, events, gaps)
    for each in records.samples:
        collecting.add_sample(each)
    for each_event in records.events:
        collecting.add_event(each_event)
    for gap in records.gaps:
        collecting.add_gap(gap)
    assert collecting.open_samples == samples
    journal = collecting.open_body()
    sealed = collecting.seal(records.counts)
    assert collecting.open_body() is None
    assert collecting.open_samples == 0
    if journal is None:
        assert sealed == ()
    else:
        assert decode_body(journal) == replace(records, counts={})
        assert joined(sealed) == records


@settings(max_examples=30)
@given(seed=st.integers(0), samples=st.integers(0, 900), events=st.integers(0, 60), gaps=st.integers(0, 200))
def test_too_much_for_one_batch_is_halved_in_order(seed: int, samples: int, events: int, gaps: int) -> None:
    records = noise(seed, samples, events, gaps)
    collecting = batcher()
    sealed = collecting.seal_body(records)
    assert all(len(each.data) <= MAX_SEALED_BYTES for each in sealed)
    assert sum(each.samples for each in sealed) == samples
    assert joined(sealed) == records
    assert_chained(sealed)
    collecting.add_sample(sample(0.0))
    assert_chained((*sealed, *collecting.seal({})))


def test_600_restless_samples_take_more_than_one_batch() -> None:
    sealed = batcher().seal_body(noise(1, 600, 0, 0))
    assert len(sealed) > 1
    assert all(body_of(each).samples for each in sealed)


def test_records_that_fit_only_one_by_one_are_sealed_one_by_one() -> None:
    text = random.Random(1).randbytes(11_000).hex()
    records = Body(KERNEL_BOOT, (sample(0.0),), (event(text), event(text[1:])), (Gap(BOOT, 1, 2, 3, "x"),))
    sealed = batcher().seal_body(records)
    assert joined(sealed) == records
    assert_chained(sealed)


def test_two_records_that_are_too_large_together_are_two_batches() -> None:
    text = random.Random(1).randbytes(11_000).hex()
    records = Body(KERNEL_BOOT, (), (event(text), event(text[::-1])))
    sealed = batcher().seal_body(records)
    assert len(sealed) == 2
    assert joined(sealed) == records
    assert_chained(sealed)


def test_a_record_too_large_for_any_batch_leaves_no_hole() -> None:
    huge = event(random.Random(1).randbytes(20_000).hex())
    collecting = batcher()
    for records in (
        Body(KERNEL_BOOT, (), (huge,)),
        Body(KERNEL_BOOT, (sample(0.0),), (huge,)),
        Body(KERNEL_BOOT, tuple(map(sample, range(9))), (event(), huge), (Gap(BOOT, 1, 2, 3, "x"),)),
    ):
        with pytest.raises(ValueError, match="over the limit"):
            collecting.seal_body(records)
    assert_chained(collecting.seal_body(Body(KERNEL_BOOT, (sample(1.0),))))


def test_a_recovered_body_keeps_the_run_of_the_clock_that_it_came_from() -> None:
    (sealed,) = batcher().seal_body(Body(7, (sample(0.0),)))
    assert body_of(sealed).kernel_boot == 7
