"""The hot path from end to end: bytes of a receiver in, batches out that the server's own code opens."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import pairwise
from operator import xor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.batch import Batcher, Sealed, SealedBefore
from edge_agent.car.engine import EngineSettings
from edge_agent.car.readings import Reading
from edge_agent.pipeline import Follow, Pipeline
from edge_agent.power.cut import Supply
from edge_agent.power.settings import PowerSettings
from edge_agent.power.watch import PowerWatch
from edge_agent.rules import EventSettings, Watch
from edge_agent.sampling import Sampler, SamplingSettings
from edge_agent.score import Scorer
from edge_agent.situation import Situation
from edge_agent.timing.clock import SystemTime, UtcClock
from wire.codec import decode_body
from wire.records import Body, Event, Gap, Sample, TimeQuality
from wire.seal import link_to, open_seal, read_body

LOGS = Path(__file__).resolve().parents[1] / "logs"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT, BOOT = "PW000001", b"b" * 16
BEGIN = datetime(2026, 11, 23, 8, 15, 0, tzinfo=UTC)
BEGIN_MS = 1_795_421_700_000
STEP_MINUTES = 0.0123456  # north, 23 m a second
RECORDED = UtcClock(plays_recording=True)
NOBODY = SystemTime(0, is_disciplined=False, has_rtc=False)


def ntp(offset_ms: int) -> SystemTime:
    return SystemTime(offset_ms, is_disciplined=True, has_rtc=False)


def signed(body: str) -> bytes:
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


def epoch(
    n: int, knots: str = "45.000", driven: int | None = None, place: str | None = None, date: str = "231126"
) -> bytes:
    """The sentences of second `n` of a drive to the north; `driven`: where it is, as seconds of that drive."""
    time = (BEGIN + timedelta(seconds=n)).strftime("%H%M%S.00")
    minutes = 49.12345 + (n if driven is None else driven) * STEP_MINUTES
    place = place or f"31{minutes:010.7f},N,11713.5432100,E"
    return b"".join(
        signed(body)
        for body in (
            f"GNRMC,{time},A,{place},{knots},0.00,{date},,,A",
            f"GNVTG,0.00,T,,M,{knots},N,{float(knots) * 1.852:.3f},K,A",
            f"GNGGA,{time},{place},1,09,0.80,37.5,M,-1.2,M,,",
        )
    )


def drive(seconds: int) -> list[bytes]:
    return [epoch(n) for n in range(seconds)]


def pipeline_of(
    samples: int = 60,
    after_s: float = 60.0,
    scorer: Scorer | None = None,
    told: Mapping[str, object] | None = None,
    clock: UtcClock = RECORDED,
    profile: str = "full",
) -> Pipeline:
    return Pipeline(
        Batcher(KEY, SealedBefore(UNIT, BOOT, 1), 7, samples, after_s),
        clock=clock,
        situation=Situation("", EngineSettings()),
        watch=Watch(EventSettings()),
        sampler=Sampler(SamplingSettings(profile, heartbeat_s=100)),
        power=PowerWatch(PowerSettings(), None, None, 0.0),
        hold=False,
        scorer=scorer,
        told=told,
    )


def played(pipeline: Pipeline, chunks: Iterable[bytes], mono_s: float | None = None) -> list[Sealed]:
    """A chunk a second (or all at `mono_s`), then silence and the end."""
    sealed: list[Sealed] = []
    last_s = 0.0
    for n, chunk in enumerate(chunks):
        last_s = float(n) if mono_s is None else mono_s
        sealed += pipeline.on_gnss(chunk, last_s)
    return [*sealed, *pipeline.on_gnss_silence(last_s), *pipeline.finish()]


def bodies(sealed: Iterable[Sealed]) -> list[Body]:
    return [read_body(open_seal(each.data, UNIT, KEY.public_key())) for each in sealed]


def samples(sealed: Iterable[Sealed]) -> list[Sample]:
    return [sample for body in bodies(sealed) for sample in body.samples]


def events(sealed: Iterable[Sealed]) -> list[tuple[str, dict[str, str]]]:
    return [(event.kind, dict(event.details)) for body in bodies(sealed) for event in body.events]


def told(sealed: Iterable[Sealed]) -> dict[str, int]:
    """The newest value of each count, as the server keeps it."""
    return {name: count for body in bodies(sealed) for name, count in body.counts.items()}


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


def test_a_count_is_told_again_only_when_it_changed() -> None:
    pipeline = pipeline_of(samples=1)
    sealed = [*pipeline.on_gnss(epoch(0).replace(b"45.000", b"46.000"), 0.0), *pipeline.on_gnss_silence(0.1)]
    for n in range(1, 4):
        sealed += [*pipeline.on_gnss(epoch(n), float(n)), *pipeline.on_gnss_silence(n + 0.1)]
    assert [body.counts for body in bodies(sealed)] == [
        {"gnss.accepted": 1, "gnss.refused.checksum": 2},
        {"gnss.accepted": 4},
        {"gnss.accepted": 7},
        {"gnss.accepted": 10},
    ]


def test_what_happens_outside_is_counted_with_it() -> None:
    pipeline = pipeline_of(samples=1)
    pipeline.count("receipts.batches", 2)
    pipeline.count("receipts.batches")
    pipeline.count("receipts.refused.signature", 0)
    sealed = pipeline.on_tick(0.0, NOBODY)
    assert [body.counts for body in bodies(sealed)] == [{"receipts.batches": 3}]
    assert pipeline.counts == {"receipts.batches": 3}


# Events


def test_an_event_is_sealed_at_once_with_the_time_that_is_known() -> None:
    pipeline = pipeline_of()
    (sealed,) = pipeline.on_event("unit_started", 1.5, {"version": "0.1.0"})
    pipeline.on_tick(2.0, ntp(BEGIN_MS))
    (after,) = pipeline.on_event("unit_started", 2.5, {})
    assert [body.events for body in bodies([sealed, after])] == [
        (Event("unit_started", 1_500, None, TimeQuality.NONE, {"version": "0.1.0"}),),
        (Event("unit_started", 2_500, BEGIN_MS + 2_500, TimeQuality.NTP, {}),),
    ]
    pipeline.on_gnss(epoch(0), 3.0)
    pipeline.on_gnss_silence(3.0)
    (last,) = pipeline.on_event("unit_started", 4.0, {})
    assert bodies([last])[0].events == (Event("unit_started", 4_000, BEGIN_MS + 1_000, TimeQuality.GNSS, {}),)
    assert last.samples == 1


def test_the_car_tells_its_vin_once_and_again_when_it_changes() -> None:
    pipeline = pipeline_of()
    vins = ["LSVAA4182E2184847"] * 3 + ["1HGCM82633A004352"] * 2 + ["LSVAA4182E2184847"]
    sealed = [each for n, vin in enumerate(vins) for each in pipeline.on_reading(Reading("vin", vin, float(n)))]
    assert events(sealed) == [
        ("vehicle_identified", {"vin": "LSVAA4182E2184847"}),
        ("vehicle_identified", {"vin": "1HGCM82633A004352"}),
        ("vehicle_identified", {"vin": "LSVAA4182E2184847"}),
    ]
    assert [event.mono_ms for body in bodies(sealed) for event in body.events] == [0, 3_000, 5_000]
    assert pipeline.finish() == ()


def test_trouble_codes_are_told_when_there_are_any_and_when_they_are_gone() -> None:
    pipeline = pipeline_of()
    answers: list[tuple[str, ...]] = [(), (), ("P0301",), ("P0301",), ("P0301", "U0100"), (), ()]
    sealed = [each for codes in answers for each in pipeline.on_reading(Reading("dtc_codes", codes, 0.0))]
    assert events(sealed) == [
        ("trouble_codes", {"codes": "P0301"}),
        ("trouble_codes", {"codes": "P0301 U0100"}),
        ("trouble_codes", {"codes": ""}),
    ]


def test_a_scorer_sees_every_sample_in_order_and_its_events_are_sealed() -> None:
    seen: list[Sample] = []

    def scorer(sample: Sample) -> tuple[Event, ...]:
        seen.append(sample)
        alarm = Event("tow", round(sample.mono_s * 1000), sample.time_utc_ms, sample.time_quality, {"score": "0.99"})
        return (alarm,) if len(seen) == 5 else ()

    sealed = played(pipeline_of(scorer=scorer), drive(8))
    assert seen == samples(sealed)
    assert len(seen) == 8
    alarmed, rest = bodies(sealed)
    assert alarmed.samples[-1] == seen[4]
    assert [(event.kind, event.time_utc_ms) for event in alarmed.events] == [("tow", BEGIN_MS + 4_000)]
    assert rest.events == ()


def test_a_scorer_also_sees_the_samples_of_ticks() -> None:
    seen: list[Sample] = []
    pipeline = pipeline_of(scorer=lambda sample: seen.append(sample) or ())  # type: ignore[func-returns-value]
    pipeline.on_tick(0.0, NOBODY)
    assert [sample.mono_s for sample in seen] == [0.0]


def test_a_gap_is_declared_in_the_next_batch() -> None:
    pipeline = pipeline_of()
    gap = Gap(BOOT, 1, 4, 240, "outbox_full")
    pipeline.on_gap(gap)
    assert pipeline.on_tick(0.0, NOBODY) == ()
    assert [body.gaps for body in bodies(pipeline.finish())] == [(gap,)]


def test_a_power_cut_is_sealed_at_once_with_the_drive_before_it() -> None:
    pipeline = pipeline_of()
    for n in range(5):
        assert pipeline.on_gnss(epoch(n), float(n)) == ()
    (sealed,) = pipeline.on_supply(Supply(False, 4.2), 4.4)
    assert events([sealed]) == [("power_cut", {"engine": "unknown"})]
    assert bodies([sealed])[0].events[0].time_utc_ms == BEGIN_MS + 3_400  # the epoch of 3 is known to be over at 4
    assert sealed.samples == 4
    assert pipeline.on_supply(Supply(False, 4.2), 5.4) == ()


def test_what_the_car_can_tell_is_told_once_and_when_it_changes() -> None:
    pipeline = pipeline_of()
    abilities = [{"vin": "yes"}, {"vin": "yes"}, {"vin": "yes", "dtc": "no"}, {"vin": "yes", "dtc": "no"}]
    sealed = [pipeline.on_abilities(each, float(n)) for n, each in enumerate(abilities)]
    assert [events(each) for each in sealed] == [
        [("car_abilities", abilities[0])],
        [],
        [("car_abilities", abilities[2])],
        [],
    ]


def test_what_an_earlier_run_has_told_is_not_told_again() -> None:
    before = pipeline_of()
    told_before = [
        *before.on_reading(Reading("vin", "LSVAA4182E2184847", 0.0)),
        *before.on_reading(Reading("dtc_codes", ("P0301",), 0.0)),
        *before.on_abilities({"vin": "yes"}, 0.0),
    ]
    assert len(told_before) == 3
    after = pipeline_of(told=json.loads(json.dumps(before.told)))
    assert after.on_reading(Reading("vin", "LSVAA4182E2184847", 0.0)) == ()
    assert after.on_reading(Reading("dtc_codes", ("P0301",), 0.0)) == ()
    assert after.on_abilities({"vin": "yes"}, 0.0) == ()
    assert events(after.on_reading(Reading("dtc_codes", (), 1.0))) == [("trouble_codes", {"codes": ""})]


# Which samples leave the car


def parked(pipeline: Pipeline, begin_s: int, end_s: int) -> list[Sealed]:
    """Standing, with a battery at rest and a car that says nothing."""
    sealed: list[Sealed] = []
    for n in range(begin_s, end_s):
        sealed += pipeline.on_gnss(epoch(n, knots="0.000", driven=0), float(n))
        sealed += pipeline.on_gnss_silence(n + 0.2)
        if n % 10 == 0:
            pipeline.on_reading(Reading("adapter_voltage_v", 12.6, float(n)))
        sealed += pipeline.on_tick(n + 0.5, NOBODY)
    return sealed


def test_a_parked_vehicle_sends_heartbeats_until_something_happens() -> None:
    pipeline = pipeline_of(samples=1000, after_s=1e6)
    (at_rest,) = parked(pipeline, 0, 250)
    ((kind, details),) = events([at_rest])
    assert (kind, details["state"]) == ("power_state", "parked")
    parked_s = bodies([at_rest])[0].events[0].mono_ms / 1000
    assert pipeline.plan.heartbeat
    assert parked(pipeline, 250, 600) == []
    waiting = pipeline.open_samples
    journal = pipeline.open_body()
    (cut,) = pipeline.on_supply(Supply(False, 599.6), 599.7)
    arrived = [sample.mono_s for sample in samples([cut])]
    sparse = [second for second in arrived if parked_s < second < 540.0]
    assert sparse
    assert {b - a for a, b in pairwise(sparse)} == {100.0}
    assert arrived[-60:] == [540.0 + n for n in range(60)]  # the ring, whole
    assert journal is not None
    assert [sample.mono_s for sample in decode_body(journal).samples] == arrived[:waiting]
    assert waiting == len(arrived) - 60
    more = [sample.mono_s for sample in samples([*parked(pipeline, 600, 610), *pipeline.finish()])]
    assert more == [600.0 + n for n in range(10)]  # after it every sample counts again


def test_following_seals_every_few_seconds_until_it_ends() -> None:
    pipeline = pipeline_of(samples=1000, after_s=1e6)
    parked(pipeline, 0, 300)
    pipeline.finish()
    pipeline.follow(Follow(5.0, 320.0), 300.0)
    sealed = parked(pipeline, 300, 400)
    assert [each.samples for each in sealed[1:]] == [5, 5, 5]
    arrived = [sample.mono_s for sample in samples(sealed)]
    assert arrived == [300.0 + n for n in range(len(arrived))]
    assert 315.0 <= arrived[-1] < 320.0


def test_following_sends_every_sample_also_where_only_what_the_track_needs_is_sent() -> None:
    pipeline = pipeline_of(samples=1000, after_s=1e6, profile="thin")
    pipeline.follow(Follow(5.0, 200.0), 0.0)
    sealed = [each for n in range(200) for each in pipeline.on_gnss(epoch(n), float(n))]
    arrived = [sample.time_utc_ms for sample in samples(sealed)]
    assert arrived == [BEGIN_MS + 1000 * n for n in range(len(arrived))]
    assert len(arrived) >= 195


def test_a_recall_sends_what_waits_of_the_time_that_is_wanted() -> None:
    pipeline = pipeline_of(samples=1000, after_s=1e6)
    parked(pipeline, 0, 400)
    decided = pipeline.open_samples
    assert pipeline.recall(BEGIN_MS + 500_000, BEGIN_MS + 600_000, 400.0) == 0
    assert pipeline.open_samples == decided
    assert pipeline.recall(BEGIN_MS + 390_000, BEGIN_MS + 600_000, 400.0) == 10
    assert [sample.mono_s for sample in samples(pipeline.finish())][-10:] == [390.0 + n for n in range(10)]


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
