"""The hot path from end to end: bytes of a receiver in, batches out that the server's own code opens."""

import json
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.car.readings import Reading
from edge_agent.rules import EventSettings, LocalEvent, Seen, Watch
from edge_agent.timing.clock import UtcClock
from tests.edge_agent.pipelines import (
    BEGIN,
    BEGIN_MS,
    KEY,
    NOBODY,
    STEP_MINUTES,
    UNIT,
    bodies,
    drive,
    epoch,
    ntp,
    pipeline_of,
    played,
    samples,
    told,
)
from wire.codec import decode_body
from wire.records import Sample, TimeQuality
from wire.seal import link_to, open_seal

LOGS = Path(__file__).resolve().parents[1] / "logs"


# From the receiver's bytes to the server's samples


def test_every_epoch_of_a_drive_arrives_once_and_where_it_was() -> None:
    sealed = played(pipeline_of(), drive(150))
    arrived = samples(sealed)
    assert [sample.time_utc_ms for sample in arrived] == [BEGIN_MS + 1000 * n for n in range(150)]
    for n, sample in enumerate(arrived):
        assert sample.lat_deg == pytest.approx(31 + (49.12345 + n * STEP_MINUTES) / 60, abs=1e-7)
        assert sample.lon_deg == pytest.approx(117 + 13.54321 / 60, abs=1e-7)
        assert sample.speed_mps == pytest.approx(45 * 1852 / 3600, abs=0.005)
        assert (sample.time_quality, sample.fix_quality, sample.alt_m) == (TimeQuality.GNSS, 1, 37.5)


def test_the_batches_are_one_chain() -> None:
    sealed = played(pipeline_of(samples=10), drive(35))
    assert [each.samples for each in sealed] == [10, 10, 10, 5]
    link = b""
    for n, each in enumerate(sealed, 1):
        opened = open_seal(each.data, UNIT, KEY.public_key())
        assert (opened.identity.sequence, opened.link) == (n, link)
        link = link_to(each.data)


def test_the_monotonic_time_of_a_sample_is_that_of_its_bytes() -> None:
    pipeline = pipeline_of()
    assert pipeline.on_gnss(epoch(0), 100.25) == ()
    pipeline.on_gnss_silence(100.5)
    assert [sample.mono_s for sample in samples(pipeline.finish())] == [100.5]


@given(st.lists(st.integers(0, len(b"".join(drive(25)))), max_size=40))
def test_any_chunking_gives_the_same_samples(cuts: list[int]) -> None:
    data = b"".join(drive(25))
    edges = sorted({0, len(data), *cuts})
    chunks = [data[a:b] for a, b in pairwise(edges)]
    assert samples(played(pipeline_of(), chunks, 5.0)) == samples(played(pipeline_of(), [data], 5.0))


@pytest.mark.parametrize("log", sorted(LOGS.glob("nmea_*.log")), ids=lambda log: log.stem)
def test_recorded_logs_arrive_as_their_golden_answers_say(log: Path) -> None:
    golden = [json.loads(line) for line in log.with_suffix(".jsonl").read_text().splitlines()[:-1]]
    dated = [row for row in golden if row["lat_deg"] is not None and row["time_utc"][0] != "T"]
    by_second = {row["time_utc"][:19]: row for row in reversed(dated)}  # 10 Hz: the first of each second
    arrived = [sample for sample in samples(played(pipeline_of(), [log.read_bytes()], 1.0)) if sample.lat_deg]
    by_gnss = [sample for sample in arrived if sample.time_quality is TimeQuality.GNSS]
    assert len(by_gnss) == len(by_second)
    for sample, row in zip(by_gnss, reversed(by_second.values()), strict=True):
        assert sample.time_utc_ms == round(datetime.fromisoformat(row["time_utc"]).timestamp() * 1000)
        assert (sample.lat_deg, sample.lon_deg) == pytest.approx((row["lat_deg"], row["lon_deg"]), abs=1e-7)
        assert (sample.satellites_used, sample.fix_quality) == (row["satellites_used"], row["fix_quality"])


def test_a_batch_that_has_waited_long_enough_is_sealed_at_the_tick() -> None:
    pipeline = pipeline_of(samples=1000, after_s=60.0)
    for n in range(61):
        assert pipeline.on_gnss(epoch(n), float(n)) == ()  # the first epoch is known to be over at 1.0
    assert pipeline.on_tick(60.99, NOBODY) == ()
    (sealed,) = pipeline.on_tick(61.0, NOBODY)
    assert sealed.samples == 61
    assert pipeline.open_samples == 0


def test_a_tick_between_two_samples_is_no_second_without_one() -> None:
    """Rules that ask for something to last begin anew at a second that knows nothing."""
    pipeline = pipeline_of()
    judged: list[bool] = []

    class Noting(Watch):
        def step(self, seen: Seen) -> list[LocalEvent]:
            judged.append(seen.sample is not None)
            return super().step(seen)

    pipeline._watch = Noting(EventSettings())
    for n in range(10):
        pipeline.on_gnss(epoch(n), float(n))
        pipeline.on_gnss_silence(n + 0.01)
        pipeline.on_tick(n + 0.97, NOBODY)
    assert judged == [True] * 10
    for n in range(10, 14):
        pipeline.on_tick(n + 0.97, NOBODY)
    assert judged == [True] * 10 + [False] * 4


def test_what_is_not_sealed_is_there_for_the_journal() -> None:
    pipeline = pipeline_of()
    assert pipeline.open_body() is None
    for n in range(4):
        pipeline.on_gnss(epoch(n), float(n))
    journal = pipeline.open_body()
    assert journal is not None
    assert pipeline.open_samples == 3
    assert list(decode_body(journal).samples) == samples(pipeline.finish())


def test_nothing_at_all_still_says_that_the_unit_is_alive() -> None:
    pipeline = pipeline_of(samples=3)
    sealed = [each for n in range(31) for each in pipeline.on_tick(float(n), ntp(1_000_000))]
    assert samples(sealed) == [Sample(10.0 * n, 1_000_000 + 10_000 * n, TimeQuality.NTP) for n in range(3)]


def test_a_discipline_that_is_lost_is_noticed_at_the_next_tick() -> None:
    pipeline = pipeline_of(samples=1)
    qualities = [sample.time_quality for sample in samples(pipeline.on_tick(1e6, ntp(5)))]
    assert qualities == [TimeQuality.NTP]
    (sample,) = samples(pipeline.on_tick(2e6, NOBODY))
    assert sample.time_quality is TimeQuality.NONE


def test_values_of_the_car_join_the_epochs() -> None:
    pipeline = pipeline_of()
    assert pipeline.on_reading(Reading("speed_kmh", 83.0, 0.5)) == ()
    arrived = samples(played(pipeline, drive(10)))
    assert [sample.obd_speed_kmh for sample in arrived] == [83.0] * 5 + [None] * 5  # each known a second later


# What was refused


def test_refused_sentences_are_counted_for_the_server() -> None:
    flipped = epoch(3).replace(b"45.000", b"46.000")  # three checksums; no epoch is left of it
    cut = epoch(5)[:40] + b"\r\n"
    sealed = played(pipeline_of(samples=5), [*drive(3), flipped, b"\x00\x01\x02", epoch(4), cut, epoch(6)])
    assert told(sealed) == {
        "gnss.accepted": 3 * 5 + 1,  # the GGA of the third second carries no speed
        "gnss.refused.checksum": 2,
        "gnss.refused.no_checksum": 1,
        "gnss.noise_bytes": 3,
    }


def test_counts_are_told_every_ten_minutes_where_they_changed() -> None:
    """Their names cost as much as three samples."""
    pipeline = pipeline_of(samples=1)
    sealed = [*pipeline.on_gnss(epoch(0).replace(b"45.000", b"46.000"), 0.0), *pipeline.on_gnss_silence(0.1)]
    for n in (1, 2, 601, 602, 1300):
        sealed += [*pipeline.on_gnss(epoch(n, driven=n % 60), float(n)), *pipeline.on_gnss_silence(n + 0.1)]
    counts = [dict(body.counts) for body in bodies(sealed)]
    assert counts[0] == {"gnss.accepted": 1, "gnss.refused.checksum": 2}
    assert [each for each in counts[1:] if each] == [{"gnss.accepted": 10}, {"gnss.accepted": 16}]


def test_what_happens_outside_is_counted_with_it() -> None:
    pipeline = pipeline_of(samples=1)
    pipeline.count("receipts.batches", 2)
    pipeline.count("receipts.batches")
    pipeline.count("receipts.refused.signature", 0)
    sealed = pipeline.on_tick(0.0, NOBODY)
    assert [body.counts for body in bodies(sealed)] == [{"receipts.batches": 3}]
    assert pipeline.counts == {"receipts.batches": 3}


# What is not believed


@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("0000.0000000,N,00000.0000000,E", "gnss.refused.zero_position"),  # by the sentence's own reader
        ("0000.0100000,N,00000.0100000,E", "gnss.position.zero"),
    ],
)
def test_a_position_that_was_never_set_is_no_position(place: str, count: str) -> None:
    pipeline = pipeline_of()
    sealed = [*pipeline.on_gnss(epoch(0), 0.0), *pipeline.on_gnss_silence(0.2)]
    pipeline.on_reading(Reading("speed_kmh", 40.0, 0.5))  # so that there is something to say without a position
    for n in (1, 2, 3):
        sealed += [*pipeline.on_gnss(epoch(n, place=place), float(n)), *pipeline.on_gnss_silence(n + 0.2)]
        sealed += pipeline.on_tick(n + 0.9, NOBODY)
    sealed += pipeline.finish()
    first, *others = [sample.lat_deg for sample in samples(sealed)]
    assert first is not None
    assert others
    assert set(others) == {None}
    assert told(sealed)[count] >= 3


def test_a_date_of_an_earlier_cycle_of_weeks_is_repaired_and_one_far_ahead_is_none() -> None:
    pipeline = pipeline_of(clock=UtcClock())
    early = (BEGIN - timedelta(weeks=1024)).strftime("%d%m%y")
    sealed = [*pipeline.on_gnss(epoch(0, date=early), 0.0), *pipeline.on_gnss_silence(0.2)]
    sealed += [*pipeline.on_gnss(epoch(1, date="231145"), 1.0), *pipeline.on_gnss_silence(1.2), *pipeline.finish()]
    first, second = samples(sealed)
    assert (first.time_utc_ms, first.time_quality) == (BEGIN_MS, TimeQuality.GNSS)
    assert (second.time_utc_ms, second.time_quality) == (BEGIN_MS + 1000, TimeQuality.GNSS)  # by the tie of the first
    counts = told(sealed)
    assert (counts["gnss.time.repaired"], counts["gnss.time.beyond_horizon"]) == (1, 1)


def test_a_receipts_floor_tells_the_time_where_nothing_else_does() -> None:
    pipeline = pipeline_of(samples=1, clock=UtcClock())
    pipeline.on_floor(BEGIN_MS, True, 0.0)
    (sample,) = samples(pipeline.on_tick(10.0, NOBODY))
    assert (sample.time_utc_ms, sample.time_quality) == (BEGIN_MS + 10_000, TimeQuality.FLOOR)
