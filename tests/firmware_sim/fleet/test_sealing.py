"""A fleet's batches are those that `wire` seals, chained for each unit, and come in the pattern of the field."""

from collections import defaultdict
from itertools import pairwise

import pytest

from firmware_sim.fleet.days import BATCH_S, HEARTBEAT_S, Told, track
from firmware_sim.fleet.identities import Fleet
from firmware_sim.fleet.sealing import Entry, Mould, Plan, boot_of, traffic
from wire.records import EVENT_KINDS, PositionSource
from wire.seal import Identity, link_to, open_seal, read_body, seal_batch

FLEET = Fleet(seed=3, prefix="LOAD-", vehicles=12)
START_MS = 1_795_421_700_000
PLAN = Plan(START_MS, 1200.0, tracks=3, driving_share=0.5, backlog_share=0.3, backlog_s=3600.0)


@pytest.fixture(scope="module")
def day() -> list[Told]:
    return list(track(3, 1, START_MS, 4 * 3600.0, 0.4))


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return list(traffic(FLEET, PLAN, range(12)))


def test_a_track_tells_as_a_unit_does(day: list[Told]) -> None:
    driven = [told for told in day if len(told.body.samples) > 1]
    parked = [told for told in day if len(told.body.samples) == 1 and not told.body.events]
    assert len(driven) > 20
    assert len(parked) > 2
    for told in day:
        assert len(told.body.samples) <= BATCH_S
        assert all(event.kind in EVENT_KINDS for event in told.body.events)
        assert told.body.samples or told.body.events
        latest = max([sample.time_utc_ms or 0 for sample in told.body.samples], default=0)
        assert 0 <= START_MS + told.at_s * 1000 - latest < 95_000
    for told in parked:
        (held,) = told.body.samples
        assert held.position_source == PositionSource.HELD
        assert held.speed_mps == 0
    full = [told for told in driven if len(told.body.samples) == BATCH_S]
    steps = [after.at_s - before.at_s for before, after in pairwise(full)]
    assert steps.count(BATCH_S) > len(steps) / 2
    beats = [round(after.at_s - before.at_s) for before, after in pairwise(parked)]
    assert beats.count(HEARTBEAT_S) > 0
    assert min(beats) >= HEARTBEAT_S - 1


def test_a_track_goes_on_in_time_and_starts_what_it_stops(day: list[Told]) -> None:
    times = [told.at_s for told in day]
    assert times == sorted(times)
    mono = [sample.mono_s for told in day for sample in told.body.samples]
    assert mono == sorted(set(mono))
    keys = [event.kind for told in day for event in told.body.events if event.kind.startswith("ignition")]
    assert keys[0::2] == ["ignition_on"] * len(keys[0::2])
    assert keys[1::2] == ["ignition_off"] * len(keys[1::2])
    assert len(keys) >= 2
    odometer = [sample.odometer_km for told in day for sample in told.body.samples if sample.odometer_km]
    assert odometer == sorted(odometer)
    assert odometer[-1] > odometer[0]


def test_nobody_is_carried_off_between_two_samples(day: list[Told]) -> None:
    samples = [sample for told in day for sample in told.body.samples]
    for before, after in pairwise(samples):
        north_m = ((after.lat_deg or 0) - (before.lat_deg or 0)) * 111_200
        east_m = ((after.lon_deg or 0) - (before.lon_deg or 0)) * 111_200
        assert abs(north_m) + abs(east_m) < 60 * (after.mono_s - before.mono_s)
    assert len({(sample.lat_deg, sample.lon_deg) for sample in samples}) > 1000


def test_the_share_on_the_road_is_what_was_asked_for() -> None:
    seconds = 3 * 3600.0
    driven = sum(len(told.body.samples) for number in range(5) for told in track(5, number, START_MS, seconds, 0.3))
    assert 0.15 < driven / (5 * seconds) < 0.45


def test_the_same_seed_tells_the_same(day: list[Told]) -> None:
    assert list(track(3, 1, START_MS, 4 * 3600.0, 0.4)) == day
    assert list(track(4, 1, START_MS, 4 * 3600.0, 0.4)) != day


def test_a_mould_gives_the_bytes_of_seal_batch(day: list[Told]) -> None:
    key = FLEET.key(4)
    for told in day[:20]:
        mould = Mould(told, FLEET.key(0))
        for sequence, link in ((1, b""), (2**40, bytes(range(16)))):
            identity = Identity(FLEET.name(4), b"b" * 16, 77, sequence)
            assert mould.seal(key, identity, link) == seal_batch(key, identity, link, told.body)
        assert mould.samples == len(told.body.samples)


def test_each_unit_has_one_chain_without_holes(entries: list[Entry]) -> None:
    links: dict[int, bytes] = defaultdict(bytes)
    sequences: dict[int, int] = defaultdict(int)
    boots = defaultdict(set)
    for entry in entries:
        opened = open_seal(entry.data, FLEET.name(entry.vehicle), FLEET.key(entry.vehicle).public_key())
        assert opened.link == links[entry.vehicle]
        assert opened.identity.sequence == entry.sequence == sequences[entry.vehicle] + 1
        assert opened.identity.boot_number == PLAN.boot_number
        assert len(read_body(opened).samples) == entry.samples
        assert boot_of(entry.data) == opened.identity.boot
        links[entry.vehicle], sequences[entry.vehicle] = link_to(entry.data), entry.sequence
        boots[opened.identity.boot].add(entry.vehicle)
    assert len(sequences) == 12
    assert all(len(units) == 1 for units in boots.values())


def test_batches_are_due_in_order_and_a_backlog_at_once(entries: list[Entry]) -> None:
    times = [entry.due_ms for entry in entries]
    assert times == sorted(times)
    assert times[-1] <= 1_200_000
    first = defaultdict(list)
    for entry in entries:
        first[entry.vehicle].append(entry.due_ms)
    at_once = {vehicle: sum(time == times[0] for time in times) for vehicle, times in first.items()}
    assert 1 <= sum(count > 3 for count in at_once.values()) < 12
    for entry in entries:
        body = read_body(open_seal(entry.data, FLEET.name(entry.vehicle), FLEET.key(entry.vehicle).public_key()))
        for sample in body.samples:
            assert (sample.time_utc_ms or 0) <= START_MS + entry.due_ms


def test_a_share_of_the_vehicles_gets_the_same_batches(entries: list[Entry]) -> None:
    mine = [entry for entry in entries if entry.vehicle in (2, 5, 7)]
    assert sorted(traffic(FLEET, PLAN, (2, 5, 7))) == sorted(mine)


def test_a_later_play_is_a_newer_boot() -> None:
    later = Plan(START_MS + 1000, 60.0)
    assert later.boot_number == PLAN.boot_number + 1
