"""The hot path: which events are sealed at once, and which samples leave the car with or without them."""

import json
from itertools import pairwise

from edge_agent.car.readings import Reading
from edge_agent.pipeline import Follow
from edge_agent.power.cut import Supply
from tests.edge_agent.pipelines import (
    BEGIN_MS,
    BOOT,
    NOBODY,
    bodies,
    drive,
    epoch,
    events,
    ntp,
    parked,
    pipeline_of,
    played,
    samples,
)
from wire.codec import decode_body
from wire.records import Event, Gap, Sample, TimeQuality

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


def test_an_adapter_that_has_not_spoken_yet_unsays_nothing() -> None:
    pipeline = pipeline_of()
    assert pipeline.on_abilities({"vin": "unknown", "speed": "unknown"}, 0.0) == ()
    told = pipeline.on_abilities({"vin": "unknown", "speed": "yes"}, 1.0)
    assert events(told) == [("car_abilities", {"vin": "unknown", "speed": "yes"})]
    after = pipeline_of(told=json.loads(json.dumps(pipeline.told)))
    assert after.on_abilities({"vin": "unknown", "speed": "unknown"}, 0.0) == ()
    assert events(after.on_abilities({"vin": "no", "speed": "unknown"}, 1.0)) == [
        ("car_abilities", {"vin": "no", "speed": "yes"})
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
