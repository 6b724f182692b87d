"""One batch, whole or not at all: whatever the order, the repetition, the damage and the moment of failure."""

import contextlib
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import InterfaceError, OperationalError

from server.commanding import checked_order
from server.live import Arrival, Outcome, Verdict, look_at, settle, take
from server.receipts import MOST_RANGES
from server.store import batch_rows, command_rows, history_rows, quarantine_rows, state_rows, vehicle_rows
from server.store.command_rows import Issuer
from server.store.db import Store
from server.store.desk import Desk
from server.store.tables import (
    batches,
    boots,
    gaps,
    ledger_pending,
    lenders,
    metadata,
    quarantine,
    received_ranges,
    unit_counts,
    units,
    vehicle_states,
    vehicles,
)
from server.store.tables import events as event_table
from server.watch.vehicle_state import FUTURE_TOLERANCE_MS, VehicleState
from tests.server.cars import NOW_MS, Car, add_car, everything, fold_samples, put_into, sample
from wire.records import Body, Event, Gap, PositionSource, Receipt, Sample, SequenceRange, TimeQuality
from wire.refused import Reason
from wire.seal import link_to
from wire.topics import BATCH, RECEIPT

LATER_MS = NOW_MS + 60_000


@pytest.fixture
def car(store: Store) -> Car:
    return add_car(store)


def take_in(car: Car, *arrivals: Arrival, now_ms: int = NOW_MS) -> tuple[list[Outcome], list[Receipt]]:
    return take(car.store, arrivals, now_ms)


def verdicts(car: Car, *arrivals: Arrival, now_ms: int = NOW_MS) -> list[Verdict | Reason | None]:
    """The verdict on each arrival, the reason where it was refused."""
    outcomes, _ = take_in(car, *arrivals, now_ms=now_ms)
    return [each.reason if each.verdict is Verdict.REFUSED else each.verdict for each in outcomes]


def ranges(car: Car) -> list[tuple[int, int]]:
    boot_ids = [row["id"] for row in car.rows(boots) if row["boot"] == car.boot]
    with car.store.read() as connection:
        found = connection.execute(
            select(received_ranges.c.first, received_ranges.c.last).where(received_ranges.c.boot_id.in_(boot_ids))
        )
        return sorted((row.first, row.last) for row in found)


def stored(car: Car) -> list[bytes]:
    return [row["sealed"] for row in sorted(car.rows(batches), key=lambda row: (row["boot_id"], row["sequence"]))]


def refused_once(car: Car, arrival: Arrival, reason: Reason) -> dict[str, Any]:
    """Refuse this, see that nothing but one quarantine row remains of it, and return that row."""
    before = everything(car.store)
    outcomes, receipts = take_in(car, arrival)
    assert (outcomes, receipts) == ([Outcome(Verdict.REFUSED, reason=reason)], [])
    after = everything(car.store)
    found = [row for row in after.pop("quarantine") if row not in before["quarantine"]]
    counted = [row for row in after.pop("refusals") if row not in before["refusals"]]
    assert len(counted) == 1
    for name in ("quarantine", "refusals"):
        before.pop(name)
    assert after == before
    assert len(found) == 1
    return dict(zip(quarantine.c.keys(), found[0], strict=True))


# -- a batch and all that follows from it


def test_a_batch_is_stored_with_everything_that_follows(car: Car) -> None:
    rows = [sample(1, speed_mps=3.0, engine_rpm=900.0), sample(3, speed_mps=5.0), sample(2)]
    told = [
        Event("trouble_codes", 1000, NOW_MS - 5, TimeQuality.GNSS, {"b": "P0420", "a": "三元"}),
        Event("unit_started", 5, None, TimeQuality.NONE),
    ]
    lost = [Gap(b"\x09" * 16, 3, 8, 120, "full")]
    arrival = car.seal(*rows, events=told, gaps=lost, counts={"gnss.accepted": 7})
    outcomes, receipts = take_in(car, arrival)

    assert outcomes[0].verdict is Verdict.STORED
    assert (outcomes[0].samples, outcomes[0].reason) == (3, None)
    assert receipts == [Receipt(car.name, car.boot, (SequenceRange(1, 1),), NOW_MS, ())]
    digest = hashlib.sha256(arrival.payload).digest()
    common = {"lender_id": car.lender_id, "unit_id": car.unit_id}
    [boot], [batch] = car.rows(boots), car.rows(batches)
    assert boot == {
        **common,
        "id": boot["id"],
        "boot": car.boot,
        "number": 1,
        "first_seen_ms": NOW_MS,
        "redelivered": 0,
        "implausible": 0,
    }
    assert batch == {
        **common,
        "id": batch["id"],
        "vehicle_id": car.vehicle_id,
        "boot_id": boot["id"],
        "sequence": 1,
        "arrived_ms": NOW_MS,
        "first_time_ms": rows[0].time_utc_ms,
        "last_time_ms": rows[1].time_utc_ms,
        "samples": 3,
        "digest": digest,
        "sealed": arrival.payload,
        "kernel_boot": 1,
        "timeless": 1,
    }
    assert ranges(car) == [(1, 1)]
    assert [
        (row["kind"], row["time_ms"], row["arrived_ms"], json.loads(row["details"])) for row in car.rows(event_table)
    ] == [
        ("trouble_codes", NOW_MS - 5, NOW_MS, {"b": "P0420", "a": "三元"}),
        ("unit_started", (rows[0].time_utc_ms or 0) - 995, NOW_MS, {}),  # it knew no time: re-timed by the samples
    ]
    [gap] = car.rows(gaps)
    assert gap == {
        **common,
        "id": gap["id"],
        "batch_id": batch["id"],
        "boot": b"\x09" * 16,
        "first": 3,
        "last": 8,
        "samples": 120,
        "reason": "full",
    }
    assert {row["name"]: row["value"] for row in car.rows(unit_counts)} == {"gnss.accepted": 7}
    [leaf] = car.rows(ledger_pending)
    assert (leaf["kind"], leaf["digest"], leaf["written_ms"]) == ("batch", digest, NOW_MS)
    assert car.state() == fold_samples(VehicleState(), rows)
    [state] = car.rows(vehicle_states)
    assert (state["arrived_ms"], state["vehicle_id"], state["sample_time_ms"]) == (
        NOW_MS,
        car.vehicle_id,
        rows[1].time_utc_ms,
    )


def test_a_batch_of_events_alone(car: Car) -> None:
    assert verdicts(car, car.seal(events=[Event("unit_started", 0, None, TimeQuality.NONE)])) == [Verdict.STORED]
    [batch] = car.rows(batches)
    assert (batch["samples"], batch["first_time_ms"], batch["last_time_ms"]) == (0, None, None)
    assert car.state() == VehicleState()  # heard of, though nothing is known


def test_samples_without_time_are_stored(car: Car) -> None:
    timeless = Sample(1.0, None, TimeQuality.NONE, lat_deg=31.0, lon_deg=121.0)
    floor = replace(timeless, time_utc_ms=NOW_MS - 5, time_quality=TimeQuality.FLOOR)
    assert verdicts(car, car.seal(timeless, floor), car.seal(timeless)) == [Verdict.STORED] * 2
    assert [(row["first_time_ms"], row["last_time_ms"], row["timeless"]) for row in car.rows(batches)] == [
        (None, None, 2),
        (None, None, 1),
    ]
    assert car.state() == VehicleState(samples=3)


def test_counters_take_the_newest_value(car: Car) -> None:
    take_in(car, car.seal(sample(1), counts={"a": 1, "b": 5}), car.seal(sample(2), counts={"a": 3}))
    assert {row["name"]: row["value"] for row in car.rows(unit_counts)} == {"a": 3, "b": 5}
    take_in(car, car.seal(sample(3), counts={"a": 0}))  # the agent started again
    assert {row["name"]: row["value"] for row in car.rows(unit_counts)} == {"a": 0, "b": 5}


def test_a_late_batch_does_not_move_counters_back(car: Car) -> None:
    first, second = car.seal(sample(1), counts={"a": 1, "b": 5}), car.seal(sample(2), counts={"a": 3})
    take_in(car, second)
    take_in(car, first)
    assert {row["name"]: row["value"] for row in car.rows(unit_counts)} == {"a": 3, "b": 5}


# -- exactly once


def test_the_same_batch_again_changes_nothing_and_is_receipted_again(car: Car) -> None:
    arrival = car.seal(sample(1), events=[Event("unit_started", 0, None, TimeQuality.NONE)], counts={"a": 1})
    _, first = take_in(car, arrival)
    before = everything(car.store)
    outcomes, again = take_in(car, arrival, arrival, now_ms=LATER_MS)
    assert [each.verdict for each in outcomes] == [Verdict.REDELIVERED] * 2
    assert [each.samples for each in outcomes] == [0, 0]
    assert again == [replace(first[0], server_time_ms=LATER_MS)]
    [boot] = car.rows(boots)
    assert boot["redelivered"] == 2
    after = everything(car.store)
    before.pop("boots"), after.pop("boots")
    assert after == before


def test_the_same_batch_twice_in_one_commit(car: Car) -> None:
    arrival = car.seal(sample(1))
    outcomes, receipts = take_in(car, arrival, arrival)
    assert [each.verdict for each in outcomes] == [Verdict.STORED, Verdict.REDELIVERED]
    assert len(receipts) == len(car.rows(batches)) == 1


def test_one_identity_with_other_bytes_is_an_alarm(car: Car) -> None:
    take_in(car, car.seal(sample(1)), car.seal(sample(2)))
    link = link_to(car.sealed[0])
    other = car.forge(2, link, Body(1, (sample(99),)))
    row = refused_once(car, other, Reason.SAME_IDENTITY_OTHER_BYTES)
    assert (row["lender_id"], row["bytes"]) == (car.lender_id, other.payload)
    assert stored(car) == car.sealed
    assert verdicts(car, car.forge(1, b"", Body(1))) == [Reason.SAME_IDENTITY_OTHER_BYTES]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """How many batches a chain has, and commits in which each arrives at least once, in any order."""
    length = draw(st.integers(1, 9))
    again = draw(st.lists(st.integers(0, length - 1), max_size=6))
    order = draw(st.permutations([*range(length), *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order)), max_size=3)))
    return length, [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries())
def test_any_order_and_repetition_ends_the_same(store: Store, delivered: tuple[int, list[list[int]]]) -> None:
    length, commits = delivered
    car = add_car(store)
    rows = [
        [sample(10 * n + i, speed_mps=float(n), engine_rpm=800.0 + n) for i in range(n % 3 + 1)] for n in range(length)
    ]
    told = [Event("unit_started", n, NOW_MS, TimeQuality.GNSS, {"n": str(n)}) for n in range(length)]
    arrivals = [car.seal(*rows[n], events=[told[n]]) for n in range(length)]
    seen: set[int] = set()
    for commit in commits:
        outcomes, receipts = take_in(car, *(arrivals[n] for n in commit))
        for n, outcome in zip(commit, outcomes, strict=True):
            assert outcome.verdict is (Verdict.REDELIVERED if n in seen else Verdict.STORED)
            seen.add(n)
        held = {n for n in range(1, length + 1) if any(n in each for each in receipts[0].committed)} if commit else None
        asked = {n for n in range(1, length + 1) if any(n in each for each in receipts[0].wanted)} if commit else None
        assert held in (None, {n + 1 for n in seen})
        assert asked in (None, {n for n in range(1, max(seen) + 2) if n - 1 not in seen})

    assert stored(car) == car.sealed
    assert ranges(car) == [(1, length)]
    assert car.state() == fold_samples(VehicleState(), (each for batch in rows for each in batch))
    assert Counter(json.loads(row["details"])["n"] for row in car.rows(event_table)) == Counter(map(str, range(length)))
    assert {row["digest"] for row in car.rows(ledger_pending)} == {hashlib.sha256(each).digest() for each in car.sealed}
    assert len(car.rows(ledger_pending)) == length
    [boot] = car.rows(boots)
    assert boot["redelivered"] == sum(map(len, commits)) - length
    with store.read() as connection:
        track = history_rows.track(connection, car.lender_id, car.vehicle_id or 0, 0, NOW_MS).points()
    assert [point.time_ms for point in track] == [each.time_utc_ms for batch in rows for each in batch]


def test_the_place_of_a_cell_is_where_it_is_now_but_no_part_of_the_track(car: Car) -> None:
    rough: dict[str, float] = {"position_source": PositionSource.CELL, "position_accuracy_m": 407.0}
    take_in(car, car.seal(sample(1), sample(2, position_source=PositionSource.HELD), sample(3, **rough)))
    state = car.state()
    assert state is not None
    assert (state.lat_deg, state.position_source, state.position_accuracy_m) == (sample(3).lat_deg, 1, 407.0)
    with car.store.read() as connection:
        track = history_rows.track(connection, car.lender_id, car.vehicle_id or 0, 0, NOW_MS).points()
    assert [point.time_ms for point in track] == [sample(n).time_utc_ms for n in (1, 2)]
    take_in(car, car.seal(sample(4)))
    state = car.state()
    assert state is not None
    assert (state.position_source, state.position_accuracy_m) == (None, None)


def test_ranges_join_on_both_sides(car: Car) -> None:
    arrivals = [car.seal(sample(n)) for n in range(7)]
    seen = []
    for n in (4, 2, 6, 7, 3, 1, 5):
        take_in(car, arrivals[n - 1])
        seen.append(ranges(car))
    assert seen == [
        [(4, 4)],
        [(2, 2), (4, 4)],
        [(2, 2), (4, 4), (6, 6)],
        [(2, 2), (4, 4), (6, 7)],
        [(2, 4), (6, 7)],
        [(1, 4), (6, 7)],
        [(1, 7)],
    ]


def test_ranges_of_two_boots_do_not_touch(car: Car) -> None:
    take_in(car, car.seal(sample(1)), car.seal(sample(2)))
    car.replace_outbox()
    _, receipts = take_in(car, car.seal(sample(3)))
    assert receipts[0].committed == (SequenceRange(1, 1),)
    assert sorted((row["first"], row["last"]) for row in car.rows(received_ranges)) == [(1, 1), (1, 2)]


# -- boots


def test_a_new_boot_is_accepted_by_its_number_and_closes_the_one_before(car: Car) -> None:
    late = car.seal(sample(1)), car.seal(sample(2))
    take_in(car, late[0])
    old, old_number = car.boot, car.boot_number
    car.replace_outbox()
    car.boot_number = 5  # numbers may skip: an outbox that never got through
    fresh = car.seal(sample(3))
    assert verdicts(car, fresh) == [Verdict.STORED]
    assert [(row["boot"], row["number"]) for row in car.rows(boots)] == [(old, old_number), (car.boot, 5)]
    refused_once(car, late[1], Reason.OLD_BOOT)


def ended(car: Car, boot: bytes, at: int) -> Arrival:
    """The next batch, with which the unit says that nothing of `boot` comes from `at` on."""
    return car.seal(sample(5), gaps=[Gap(boot, at, at + 128, 0, "end_unknown")])


def test_what_a_unit_recovered_of_an_older_boot_is_taken_up_to_its_declared_end(car: Car) -> None:
    old = [car.seal(sample(n)) for n in range(1, 6)]
    take_in(car, old[0])
    boot = car.boot
    car.replace_outbox()
    take_in(car, ended(car, boot, 4))
    outcomes, receipts = take_in(car, old[2], old[1], old[1])
    assert [each.verdict for each in outcomes] == [Verdict.STORED, Verdict.STORED, Verdict.REDELIVERED]
    assert receipts == [Receipt(car.name, boot, (SequenceRange(1, 3),), NOW_MS, ())]
    refused_once(car, old[3], Reason.OLD_BOOT)
    assert verdicts(car, car.seal(sample(9))) == [Verdict.STORED], "the newest boot goes on"


def test_an_older_boot_that_never_came_is_taken_once_it_is_declared(car: Car) -> None:
    recovered = car.seal(sample(1))
    boot, number = car.boot, car.boot_number
    car.replace_outbox()
    take_in(car, car.seal(sample(2)))
    refused_once(car, recovered, Reason.OLD_BOOT)
    take_in(car, ended(car, boot, 2))
    assert verdicts(car, recovered) == [Verdict.STORED]
    assert (boot, number) in [(row["boot"], row["number"]) for row in car.rows(boots)]
    assert verdicts(car, car.seal(sample(3))) == [Verdict.STORED]


def test_a_second_unit_with_the_same_card_is_told_from_a_recovered_boot(car: Car) -> None:
    """A copied card goes on under the old boot: with other bytes under a sequence, or behind the declared end."""
    first = car.seal(sample(1))
    take_in(car, first)
    boot, number, link = car.boot, car.boot_number, car.link
    car.replace_outbox()
    take_in(car, ended(car, boot, 3))
    new_number, car.boot_number = car.boot_number, number
    refused_once(car, car.forge(1, b"", Body(1, (sample(77),)), boot=boot), Reason.SAME_IDENTITY_OTHER_BYTES)
    refused_once(car, car.forge(2, b"\x01" * 16, Body(1, (sample(78),)), boot=boot), Reason.BROKEN_LINK)
    refused_once(car, car.forge(3, link, Body(1, (sample(79),)), boot=boot), Reason.OLD_BOOT)
    car.boot_number = new_number
    refused_once(car, car.forge(2, link, Body(1, (sample(80),)), boot=boot), Reason.MALFORMED)


@pytest.mark.parametrize("reason", ["damaged", "outbox_full", "not_kept"])
def test_no_other_loss_opens_an_older_boot(car: Car, reason: str) -> None:
    late = car.seal(sample(1))
    boot = car.boot
    car.replace_outbox()
    take_in(car, car.seal(sample(2), gaps=[Gap(boot, 9, 9, 0, reason)]))
    refused_once(car, late, Reason.OLD_BOOT)


def test_another_units_word_opens_no_boot(car: Car) -> None:
    late = car.seal(sample(1))
    boot = car.boot
    car.replace_outbox()
    take_in(car, car.seal(sample(2)))
    neighbour = add_car(car.store)
    take_in(neighbour, ended(neighbour, boot, 9))
    refused_once(car, late, Reason.OLD_BOOT)


@pytest.mark.parametrize("number", [1, 2])
def test_an_unknown_boot_that_is_not_newer_is_refused(car: Car, number: int) -> None:
    car.boot_number = 2
    take_in(car, car.seal(sample(1)))
    car.boot, car.boot_number = b"\x77" * 16, number
    refused_once(car, car.forge(1, b"", Body(1, (sample(2),))), Reason.OLD_BOOT)


@pytest.mark.parametrize("number", [1, 3])
def test_a_boot_keeps_its_number(car: Car, number: int) -> None:
    car.boot_number = 2
    take_in(car, car.seal(sample(1)))
    car.boot_number = number
    refused_once(car, car.seal(sample(2)), Reason.MALFORMED)


def test_a_new_boot_may_begin_with_any_of_its_batches(car: Car) -> None:
    take_in(car, car.seal(sample(1)))
    car.replace_outbox()
    first, second = car.seal(sample(2)), car.seal(sample(3))
    _, receipts = take_in(car, second)
    assert (receipts[0].committed, receipts[0].wanted) == ((SequenceRange(2, 2),), (SequenceRange(1, 1),))
    assert verdicts(car, first) == [Verdict.STORED]


def test_a_refused_batch_does_not_begin_a_boot(car: Car) -> None:
    take_in(car, car.seal(sample(1)))
    car.boot_number = 9
    bad = Body(1, (replace(sample(1), time_quality=9),))  # type: ignore[arg-type]
    refused_once(car, car.forge(1, b"", bad, boot=b"\x66" * 16), Reason.MALFORMED)
    car.boot_number = 1
    assert verdicts(car, car.seal(sample(2))) == [Verdict.STORED]


# -- links


def test_a_batch_must_continue_the_one_before(car: Car) -> None:
    take_in(car, car.seal(sample(1)))
    refused_once(car, car.forge(2, b"\x00" * 16, Body(1, (sample(2),))), Reason.BROKEN_LINK)
    assert verdicts(car, car.seal(sample(2))) == [Verdict.STORED]


def test_a_batch_must_be_continued_by_the_one_after(car: Car) -> None:
    first, second, third = (car.seal(sample(n)) for n in range(3))
    take_in(car, first, third)
    other = car.forge(2, link_to(first.payload), Body(1, (sample(99),)))
    refused_once(car, other, Reason.BROKEN_LINK)
    assert verdicts(car, second) == [Verdict.STORED]
    assert stored(car) == car.sealed


def test_a_first_batch_must_be_continued_too(car: Car) -> None:
    first, second = car.seal(sample(1)), car.seal(sample(2))
    take_in(car, second)
    refused_once(car, car.forge(1, b"", Body(1, (sample(99),))), Reason.BROKEN_LINK)
    assert verdicts(car, first) == [Verdict.STORED]


def test_links_are_not_asked_of_another_boot(car: Car) -> None:
    take_in(car, car.seal(sample(1)), car.seal(sample(2)))
    car.replace_outbox()
    assert verdicts(car, car.seal(sample(3)), car.seal(sample(4))) == [Verdict.STORED] * 2


# -- refusals


def flipped(arrival: Arrival) -> Arrival:
    """The last bit of the signature is another."""
    return replace(arrival, payload=arrival.payload[:-1] + bytes([arrival.payload[-1] ^ 1]))


def poisoned(car: Car) -> Arrival:
    """A good seal around a body that is none."""
    return car.forge(car.sequence + 1, car.link, Body(1, (replace(sample(1), time_quality=9),)))  # type: ignore[arg-type]


REFUSALS: dict[Reason, Callable[[Car], Arrival]] = {
    Reason.SIGNATURE: lambda car: flipped(car.seal(sample(2))),
    Reason.TOO_LARGE: lambda car: Arrival(BATCH.of(car.name), bytes(16_385)),
    Reason.UNKNOWN_VERSION: lambda car: Arrival(BATCH.of(car.name), b"\x08\x03"),
    Reason.OTHER_UNIT: lambda car: car.forge(2, car.link, Body(1), names="PW999999"),
    Reason.MALFORMED: poisoned,
    Reason.INFLATES_TOO_FAR: lambda car: car.forge_folded(zlib.compress(bytes(300_000), 9)),
    Reason.BROKEN_LINK: lambda car: car.forge(2, b"\x00" * 16, Body(1)),
    Reason.SAME_IDENTITY_OTHER_BYTES: lambda car: car.forge(1, b"", Body(1)),
}


@pytest.mark.parametrize("reason", REFUSALS, ids=str)
def test_what_is_refused_leaves_nothing_but_quarantine(car: Car, reason: Reason) -> None:
    take_in(car, car.seal(sample(1)))
    arrival = REFUSALS[reason](car)
    row = refused_once(car, arrival, reason)
    assert (row["lender_id"], row["topic"], row["reason"]) == (car.lender_id, arrival.topic, str(reason))
    assert (row["bytes"], row["size"]) == (arrival.payload[:16_384], len(arrival.payload))
    assert row["digest"] == hashlib.sha256(arrival.payload).digest()
    assert (row["first_ms"], row["last_ms"], row["times"]) == (NOW_MS, NOW_MS, 1)


def test_the_same_refusal_is_kept_once_and_counted(car: Car) -> None:
    bad = flipped(car.seal(sample(1)))
    assert verdicts(car, bad, bad) == [Reason.SIGNATURE] * 2
    assert verdicts(car, bad, now_ms=LATER_MS) == [Reason.SIGNATURE]
    [row] = rows_of_quarantine(car.store)
    assert (row["times"], row["first_ms"], row["last_ms"]) == (3, NOW_MS, LATER_MS)
    elsewhere = replace(bad, topic=bad.topic.replace("/1/", "/2/"))
    other = flipped(car.seal(sample(2)))
    assert verdicts(car, elsewhere, other) == [Reason.WRONG_TOPIC, Reason.SIGNATURE]
    assert [row["times"] for row in rows_of_quarantine(car.store)] == [3, 1, 1]
    with car.store.read() as connection:
        counted = quarantine_rows.counts(connection)
        assert [(each.reason, each.times, each.last_ms) for each in counted] == [
            ("signature", 4, LATER_MS),
            ("wrong_topic", 1, NOW_MS),
        ]
        assert quarantine_rows.counts(connection, car.lender_id + 1) == []
        assert [each.times for each in quarantine_rows.counts(connection, car.lender_id)] == [4]


def rows_of_quarantine(store: Store) -> list[dict[str, Any]]:
    with store.read() as connection:
        return [dict(row) for row in connection.execute(select(quarantine).order_by(quarantine.c.id)).mappings()]


def test_topics_that_are_nobody_s(car: Car) -> None:
    payload = car.seal(sample(1)).payload
    for topic in ("", "pw/1/00/X/batch", RECEIPT.of(car.name), "x" * 500, BATCH.pattern.format(bucket="zz", unit="车")):
        row = refused_once(car, Arrival(topic, payload), Reason.WRONG_TOPIC)
        assert (row["lender_id"], row["topic"]) == (None, topic[:200])


def test_a_unit_that_nobody_knows(car: Car) -> None:
    stranger = replace(car, name="STRANGER")
    row = refused_once(car, stranger.seal(sample(1)), Reason.UNKNOWN_UNIT)
    assert row["lender_id"] is None


def test_an_inactive_unit_is_refused_and_still_its_lender_s(car: Car) -> None:
    good = car.seal(sample(1)), car.seal(sample(2))
    take_in(car, good[0])
    with car.store.write() as connection:
        connection.execute(update(units).where(units.c.id == car.unit_id).values(active=False))
    row = refused_once(car, good[1], Reason.UNKNOWN_UNIT)
    assert row["lender_id"] == car.lender_id
    assert verdicts(car, good[0]) == [Reason.UNKNOWN_UNIT]  # not even what is stored is receipted


def test_one_bad_batch_among_good_ones(car: Car) -> None:
    other = add_car(car.store)
    mine, theirs = [car.seal(sample(n)) for n in range(3)], [other.seal(sample(n)) for n in range(2)]
    arrivals = [mine[0], theirs[0], flipped(mine[1]), poisoned(car), mine[1], Arrival("", b""), theirs[1], mine[2]]
    outcomes, receipts = take_in(car, *arrivals)
    assert [each.verdict.value for each in outcomes] == [
        "stored",
        "stored",
        "refused",
        "refused",
        "stored",
        "refused",
        "stored",
        "stored",
    ]
    assert (stored(car), stored(other)) == (car.sealed, other.sealed)
    assert [(each.unit, each.committed) for each in receipts] == [
        (car.name, (SequenceRange(1, 3),)),
        (other.name, (SequenceRange(1, 2),)),
    ]


# -- our own faults


def test_a_fault_of_ours_puts_one_batch_aside(car: Car, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails half way, so what was done for it has to be undone."""
    arrivals = [car.seal(sample(n), events=[Event("unit_started", n, None, TimeQuality.NONE)]) for n in range(3)]
    add_batch = Desk.add_batch

    def fail(desk: Desk, unit: Any, boot: Any, sequence: int, links: Any, **columns: Any) -> int:
        batch_id = add_batch(desk, unit, boot, sequence, links, **columns)
        if sequence == 2:
            raise ZeroDivisionError("a bug, and what a driver told")
        return batch_id

    monkeypatch.setattr(Desk, "add_batch", fail)
    assert verdicts(car, *arrivals) == [Verdict.STORED, Reason.SERVER_FAULT, Verdict.STORED]
    assert stored(car) == [car.sealed[0], car.sealed[2]]
    assert (len(car.rows(ledger_pending)), len(car.rows(event_table)), ranges(car)) == (2, 2, [(1, 1), (3, 3)])
    assert car.state() == fold_samples(VehicleState(), [sample(0), sample(2)])
    [row] = rows_of_quarantine(car.store)
    assert (row["reason"], row["detail"], row["lender_id"]) == (
        "server_fault",
        "ZeroDivisionError",
        car.lender_id,
    )
    monkeypatch.undo()
    _, receipts = take_in(car, arrivals[1])  # mended: the bytes are taken in as if they came for the first time
    assert (receipts[0].committed, stored(car)) == ((SequenceRange(1, 3),), car.sealed)


@pytest.mark.parametrize("failure", [OperationalError, InterfaceError])
@pytest.mark.parametrize("step", ["next_ids", "add_rows", "put_ranges", "put_states"])
def test_a_database_that_fails_keeps_nothing_and_receipts_nothing(
    car: Car, monkeypatch: pytest.MonkeyPatch, failure: type[OperationalError], step: str
) -> None:
    take_in(car, car.seal(sample(1)))
    before = everything(car.store)
    arrivals = [car.seal(sample(2)), flipped(car.seal(sample(3))), car.seal(sample(4))]
    rows = state_rows if step == "put_states" else batch_rows

    def fail(*_arguments: Any, **_named: Any) -> Any:
        raise failure("INSERT", {}, Exception("the disk is gone"))

    monkeypatch.setattr(rows, step, fail)
    with pytest.raises(failure):
        take_in(car, *arrivals)
    assert everything(car.store) == before
    monkeypatch.undo()
    assert verdicts(car, *arrivals) == [Verdict.STORED, Reason.SIGNATURE, Verdict.STORED]


def test_a_real_error_of_the_database_inside_one_batch_spares_the_others(car: Car) -> None:
    """What the database refuses to store (a text with a NUL, on PostgreSQL) is a fault of this batch alone."""
    bad = car.seal(sample(1), events=[Event("nul\x00", 0, None, TimeQuality.NONE)])
    other = add_car(car.store)
    first, _, last = verdicts(car, other.seal(sample(1)), bad, other.seal(sample(2)))
    assert (first, last) == (Verdict.STORED, Verdict.STORED)
    assert stored(other) == other.sealed


# -- time


def test_samples_from_the_future_are_stored_and_do_not_freeze_the_vehicle(car: Car) -> None:
    ahead = sample(0, lat_deg=50.0, engine_rpm=1.0)
    year_2038 = replace(ahead, time_utc_ms=NOW_MS + FUTURE_TOLERANCE_MS + 1)
    take_in(car, car.seal(sample(1)), car.seal(year_2038))
    state = car.state()
    assert state is not None
    assert (state.lat_deg, state.sample_time_ms, state.samples, state.future_samples) == (
        sample(1).lat_deg,
        sample(1).time_utc_ms,
        2,
        1,
    )
    assert state.engine_rpm is None
    assert car.rows(batches)[1]["last_time_ms"] == year_2038.time_utc_ms
    take_in(car, car.seal(sample(2)))
    state = car.state()
    assert state is not None
    assert state.lat_deg == sample(2).lat_deg


def test_late_batches_fill_history_and_do_not_move_the_vehicle_back(car: Car) -> None:
    late, newest = car.seal(sample(1), sample(2)), car.seal(sample(100))
    take_in(car, newest)
    take_in(car, late, now_ms=LATER_MS)
    state = car.state()
    assert state is not None
    assert (state.lat_deg, state.fix_time_ms, state.samples) == (sample(100).lat_deg, sample(100).time_utc_ms, 3)
    with car.store.read() as connection:
        track = history_rows.track(connection, car.lender_id, car.vehicle_id or 0, 0, NOW_MS).points()
    assert [point.lat_deg for point in track] == [sample(n).lat_deg for n in (1, 2, 100)]
    [row] = car.rows(vehicle_states)
    assert row["arrived_ms"] == LATER_MS  # heard of it just now, though of old times


# -- receipts


def test_receipts_name_what_is_stored_and_what_is_missing(car: Car) -> None:
    arrivals = [car.seal(sample(n)) for n in range(9)]
    _, receipts = take_in(car, arrivals[1], arrivals[2], arrivals[5], now_ms=LATER_MS)
    assert receipts == [
        Receipt(
            car.name,
            car.boot,
            (SequenceRange(2, 3), SequenceRange(6, 6)),
            LATER_MS,
            (SequenceRange(1, 1), SequenceRange(4, 5)),
        )
    ]


def test_declared_gaps_are_not_wanted(car: Car) -> None:
    arrivals = [car.seal(sample(n)) for n in range(6)]
    lost = [Gap(car.boot, 2, 3, 60, "full"), Gap(b"\x55" * 16, 5, 5, 60, "of another boot")]
    told = car.seal(sample(9), gaps=lost)
    add_car(car.store)
    neighbour = add_car(car.store)
    take_in(car, neighbour.seal(sample(1), gaps=[Gap(car.boot, 5, 5, 60, "of another unit")]))
    _, receipts = take_in(car, arrivals[0], arrivals[3], told)
    assert receipts[0].committed == (SequenceRange(1, 1), SequenceRange(4, 4), SequenceRange(7, 7))
    assert receipts[0].wanted == (SequenceRange(5, 6),)


def test_a_boot_with_very_many_holes_is_told_its_newest_ranges(sqlite_store: Store) -> None:
    car = add_car(sqlite_store)
    arrivals = [car.seal(sample(n)) for n in range(2 * MOST_RANGES + 4)][::2]
    _, receipts = take_in(car, *arrivals)
    assert len(receipts[0].committed) == MOST_RANGES
    assert receipts[0].committed[-1] == SequenceRange(2 * MOST_RANGES + 3, 2 * MOST_RANGES + 3)
    assert receipts[0].committed[0] == SequenceRange(5, 5)
    assert receipts[0].wanted == ()


# -- whose it is


def test_a_unit_without_a_vehicle(store: Store) -> None:
    car = add_car(store, vin=None)
    event = Event("unit_started", 0, None, TimeQuality.NONE)
    outcomes, receipts = take_in(car, car.seal(sample(1), events=[event]))
    assert (outcomes[0].verdict, len(receipts)) == (Verdict.STORED, 1)
    assert [row["vehicle_id"] for row in car.rows(batches) + car.rows(event_table)] == [None, None]
    assert car.rows(vehicle_states) == []
    assert len(car.rows(ledger_pending)) == 1


def test_a_unit_that_moves_writes_to_the_vehicle_it_sits_in(car: Car) -> None:
    take_in(car, car.seal(sample(1)))
    with car.store.write() as connection:
        new = put_into(connection, car.lender_id, car.unit_id, "LGBH52E03KY012345")
    take_in(car, car.seal(sample(2)))
    assert [row["vehicle_id"] for row in car.rows(batches)] == [car.vehicle_id, new]
    old = car.state()
    assert old is not None
    assert old.fix_time_ms == sample(1).time_utc_ms


def test_tenants_never_meet(store: Store) -> None:
    cars = [add_car(store, lender=lender) for lender in ("甲", "乙", "甲")]
    for car in cars:
        lost = [Gap(car.boot, 2, 2, 1, "full")]
        good = car.seal(
            sample(1), events=[Event("unit_started", 0, None, TimeQuality.NONE)], gaps=lost, counts={"a": 1}
        )
        take_in(car, good, flipped(good))
        with store.write() as connection:
            order, command_id = checked_order("status", {}, ""), car.unit_id.to_bytes(16, "big")
            command_rows.issue(connection, car.lender_id, car.name, order, Issuer("wang"), command_id, NOW_MS)
    whose = {car.unit_id: car.lender_id for car in cars}
    assert len(set(whose.values())) == 2
    with store.read() as connection:
        for table in metadata.sorted_tables:
            if "lender_id" in table.c and table.name not in ("users", "certificates"):
                rows = list(connection.execute(select(table)).mappings())
                assert len(rows) == len(cars), table.name
                assert Counter(row["lender_id"] for row in rows) == Counter(whose.values()), table.name
                for row in rows:
                    assert (
                        row["lender_id"]
                        == whose[row.get("unit_id", next(u for u in whose if whose[u] == row["lender_id"]))]
                    )
        mine, theirs = cars[0], cars[1]
        for lender_id, expected in ((mine.lender_id, 1), (theirs.lender_id, 0)):
            vehicle_id = mine.vehicle_id or 0
            assert len(history_rows.track(connection, lender_id, vehicle_id, 0, NOW_MS)) == expected
            assert len(history_rows.events_of(connection, lender_id, vehicle_id)) == expected
            assert (vehicle_rows.vehicle(connection, lender_id, vehicle_id) is not None) == bool(expected)
        assert [len(vehicle_rows.vehicles_of(connection, lender_id)) for lender_id in sorted(set(whose.values()))] == [
            2,
            1,
        ]


# -- two workers


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def meet(store: Store, pool: ThreadPoolExecutor, first: Arrival, second: Arrival) -> list[Outcome]:
    """Take in both in two transactions, of which the second begins while the first is still open."""
    opened = look_at(store, [first])
    with store.write() as connection:
        [mine], _ = settle(connection, opened, NOW_MS)
        other = pool.submit(take, store, [second], NOW_MS)
        # It cannot end before we do, where they touch the same rows; where they do not, it may.
        with contextlib.suppress(TimeoutError):
            other.result(0.3)
    return [mine, *other.result(30)[0]]


def test_one_batch_at_two_workers_is_stored_once(car: Car, workers: ThreadPoolExecutor) -> None:
    take_in(car, car.seal(sample(0)))
    arrival = car.seal(sample(1))
    outcomes = meet(car.store, workers, arrival, arrival)
    assert [each.verdict for each in outcomes] == [Verdict.STORED, Verdict.REDELIVERED]
    assert (len(car.rows(batches)), ranges(car)) == (2, [(1, 2)])


def test_the_first_batches_of_a_vehicle_s_two_units_at_two_workers(car: Car, workers: ThreadPoolExecutor) -> None:
    with car.store.write() as connection:
        vin = connection.scalar(select(vehicles.c.vin).where(vehicles.c.id == car.vehicle_id))
        lender = connection.scalar(select(lenders.c.name).where(lenders.c.id == car.lender_id))
    other = add_car(car.store, lender=lender, vin=vin)
    assert other.vehicle_id == car.vehicle_id
    outcomes = meet(car.store, workers, car.seal(sample(1)), other.seal(sample(2)))
    assert [each.verdict for each in outcomes] == [Verdict.STORED] * 2
    outcomes = meet(car.store, workers, car.seal(sample(4)), other.seal(sample(3)))
    assert [each.verdict for each in outcomes] == [Verdict.STORED] * 2
    assert car.state() == fold_samples(VehicleState(), [sample(n) for n in (1, 2, 3, 4)])
