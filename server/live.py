"""ONE BATCH, WHOLE OR NOT AT ALL.

A batch arrives as bytes on a topic. It is checked, found new, and stored with everything that follows from it (ranges,
vehicle state, events, ledger leaf) in one transaction; only after the commit is its unit told. Read `take_one` from top
to bottom: that is the server.

Many batches share a commit, a savepoint each: one that is refused goes to quarantine with its reason and leaves no
other trace, and the next one does not notice.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, groupby

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from server import accept
from server.commanding import answers_in
from server.receipts import MOST_RANGES, ranges_wanted
from server.store import batch_rows, command_rows, fleet_rows, quarantine_rows, retiming_rows, state_rows
from server.store.batch_rows import BootRow
from server.store.db import Store
from server.store.fleet_rows import Unit
from server.store.retiming_rows import Span, TimelessBatch
from server.watch.retiming import Finding, Tie, Timing, dated, retimed, span, telling, tie_of, timeless_in, timing
from server.watch.vehicle_state import VehicleState, fold
from wire.codec import decode_body
from wire.records import Body, Receipt, Sample
from wire.refused import Reason, RefusedError
from wire.seal import Identity, OpenedSeal, link_to, read_body, stored_body, stored_link
from wire.topics import unit_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What the broker delivered."""

    topic: str
    payload: bytes


class Verdict(Enum):
    """What became of an arrival."""

    STORED = "stored"
    REDELIVERED = "redelivered"  # was stored already: nothing changes, the unit gets its receipt again
    REFUSED = "refused"  # in quarantine, no receipt


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one arrival, and whom to tell (None: nobody)."""

    verdict: Verdict
    samples: int = 0
    reason: Reason | None = None
    identity: Identity | None = None


def take(store: Store, arrivals: Sequence[Arrival], now_ms: int) -> tuple[list[Outcome], list[Receipt]]:
    """Take in arrivals in order, in one commit.

    Args:
        store: where to.
        arrivals: what came, oldest first.
        now_ms: the server's time, UTC ms.

    Returns:
        An outcome for each arrival, and one receipt for each boot that was touched, to be sent now that it is durable.
    """
    with store.write() as connection:
        outcomes = [_guarded(connection, arrival, now_ms) for arrival in arrivals]
        receipts = _receipts(connection, outcomes, now_ms)
    return outcomes, receipts


def take_one(connection: Connection, arrival: Arrival, now_ms: int) -> Outcome:
    """The life of a batch. Raises RefusedError, and then nothing of it remains."""
    name = accept.sender(arrival.topic)
    unit = fleet_rows.active_unit(connection, name, lock=True)
    opened = accept.check_seal(arrival.payload, name, unit.key if unit else None)
    assert unit is not None

    boot = _boot_of(connection, unit, opened.identity, now_ms)
    if batch_rows.has(connection, boot.id, opened.identity.sequence):
        _require_same_bytes(connection, boot, opened.identity.sequence, arrival.payload)
        batch_rows.count_redelivered(connection, boot.id)
        return Outcome(Verdict.REDELIVERED, identity=opened.identity)
    _require_links(connection, boot, opened, arrival.payload)

    body = read_body(opened)
    timing = _timing(connection, unit, body, now_ms)
    samples = retimed(body.samples, timing.tie)
    digest = hashlib.sha256(arrival.payload).digest()
    batch_id = _store_batch(connection, unit, boot, opened, body, samples, arrival.payload, digest, now_ms)
    batch_rows.add_received(connection, unit.lender_id, boot.id, opened.identity.sequence)
    _store_told(connection, unit, opened.identity, batch_id, body, timing.tie, now_ms)
    _keep_timing(connection, unit, body.kernel_boot, timing, batch_id, now_ms)
    _move_state(connection, unit, samples, now_ms)
    batch_rows.add_leaf(connection, unit.lender_id, "batch", digest, now_ms)
    return Outcome(Verdict.STORED, len(body.samples), identity=opened.identity)


def _guarded(connection: Connection, arrival: Arrival, now_ms: int) -> Outcome:
    """`take_one` in its own savepoint; a refusal is written beside it."""
    try:
        with connection.begin_nested():
            return take_one(connection, arrival, now_ms)
    except RefusedError as error:
        refusal = error
    except (OperationalError, InterfaceError):
        raise  # the database, not the batch: the whole commit is tried again
    except Exception as error:  # one batch that we cannot handle must not stop those behind it
        log.exception("a batch on %s could not be taken in", arrival.topic)
        refusal = RefusedError(Reason.SERVER_FAULT, f"{type(error).__name__}: {error}")
    lender_id = fleet_rows.lender_of(connection, name) if (name := unit_of(arrival.topic)) else None
    quarantine_rows.refuse(connection, lender_id, arrival.topic, arrival.payload, refusal, now_ms)
    log.warning("refused a batch on %s: %s", arrival.topic, refusal)
    return Outcome(Verdict.REFUSED, reason=refusal.reason)


def _boot_of(connection: Connection, unit: Unit, identity: Identity, now_ms: int) -> BootRow:
    """The boot that the batch belongs to. The newest is open; an older one only up to where its unit says it ended.

    A unit whose outbox was damaged begins a new boot, declares where the old one ended, and sends what it could read of
    it. Without such a declaration, or from that end on, an older boot is a second unit with the same key (a copied
    card) or a replay, and refused.
    """
    known = batch_rows.boot(connection, unit.id, identity.boot)
    newest = batch_rows.open_number(connection, unit.id)
    number = identity.boot_number if known is None else known.number
    is_newest = known.number == newest if known else number > newest
    if not is_newest and identity.sequence >= batch_rows.end_of_boot(connection, unit.id, identity.boot):
        raise RefusedError(Reason.OLD_BOOT, f"boot {identity.boot_number}, the unit is at boot {newest}")
    if known is None:
        return batch_rows.add_boot(connection, unit.lender_id, unit.id, identity.boot, number, now_ms)
    if number != identity.boot_number:
        raise RefusedError(Reason.MALFORMED, f"boot {number} calls itself {identity.boot_number}")
    return known


def _require_same_bytes(connection: Connection, boot: BootRow, sequence: int, payload: bytes) -> None:
    if batch_rows.sealed_at(connection, boot.id, sequence) != payload:
        raise RefusedError(Reason.SAME_IDENTITY_OTHER_BYTES, f"boot {boot.number}, sequence {sequence}")


def _require_links(connection: Connection, boot: BootRow, opened: OpenedSeal, payload: bytes) -> None:
    """The batch must continue the one before it and be continued by the one after it, where those are here."""
    sequence = opened.identity.sequence
    before = batch_rows.sealed_at(connection, boot.id, sequence - 1)
    after = batch_rows.sealed_at(connection, boot.id, sequence + 1)
    if before is not None and opened.link != link_to(before):
        raise RefusedError(Reason.BROKEN_LINK, f"sequence {sequence} does not continue {sequence - 1}")
    if after is not None and stored_link(after) != link_to(payload):
        raise RefusedError(Reason.BROKEN_LINK, f"sequence {sequence + 1} does not continue {sequence}")


def _store_batch(
    connection: Connection,
    unit: Unit,
    boot: BootRow,
    opened: OpenedSeal,
    body: Body,
    samples: Sequence[Sample],
    payload: bytes,
    digest: bytes,
    now_ms: int,
) -> int:
    first_ms, last_ms = span(samples)
    return batch_rows.add_batch(
        connection,
        lender_id=unit.lender_id,
        unit_id=unit.id,
        vehicle_id=unit.vehicle_id,
        boot_id=boot.id,
        sequence=opened.identity.sequence,
        arrived_ms=now_ms,
        first_time_ms=first_ms,
        last_time_ms=last_ms,
        samples=len(samples),
        digest=digest,
        sealed=payload,
        kernel_boot=body.kernel_boot,
        timeless=timeless_in(body),
    )


def _store_told(
    connection: Connection,
    unit: Unit,
    identity: Identity,
    batch_id: int,
    body: Body,
    tie: Tie | None,
    now_ms: int,
) -> None:
    """What the unit tells besides samples: events, gaps, and its own counters."""
    common = {"lender_id": unit.lender_id, "unit_id": unit.id, "batch_id": batch_id}
    rows = [(event, json.dumps(dict(event.details), ensure_ascii=False, sort_keys=True)) for event in body.events]
    batch_rows.add_events(connection, rows, tie, vehicle_id=unit.vehicle_id, arrived_ms=now_ms, **common)
    batch_rows.add_gaps(connection, body.gaps, **common)
    command_rows.store_answers(connection, unit, batch_id, answers_in(body.events), now_ms)
    batch_rows.put_counts(connection, unit.lender_id, unit.id, identity, dict(body.counts))


def _timing(connection: Connection, unit: Unit, body: Body, now_ms: int) -> Timing:
    """How the batch's records without event time are timed, and whether what it tells of the time is news."""
    told = tie_of(body, now_ms, unit.enrolled_ms)
    held = retiming_rows.tie_held(connection, unit.id, body.kernel_boot)
    return timing(held, told)


def _keep_timing(
    connection: Connection, unit: Unit, kernel_boot: int, timing: Timing, batch_id: int, now_ms: int
) -> None:
    """Keep the batch's tie; one that holds from now on dates what came before it without knowing the time."""
    told = timing.told
    if told is None or timing.finding is Finding.AGREES:
        return
    if timing.finding is Finding.CONTRADICTS:
        retiming_rows.count_contradiction(connection, unit.id, kernel_boot, told.offset_ms, batch_id)
        return
    if timing.finding is Finding.FIRST:
        retiming_rows.add_tie(connection, unit.lender_id, unit.id, kernel_boot, told, batch_id, now_ms)
    else:
        retiming_rows.replace_tie(connection, unit.id, kernel_boot, told, batch_id, now_ms)
    retiming_rows.date_events(connection, unit.id, kernel_boot, told)
    waiting = retiming_rows.timeless_batches(connection, unit.id, kernel_boot)
    for vehicle_id, group in groupby(waiting, key=lambda each: each.vehicle_id):
        _date(connection, vehicle_id, group, told, now_ms)


def _date(
    connection: Connection, vehicle_id: int | None, waiting: Iterable[TimelessBatch], tie: Tie, now_ms: int
) -> None:
    """Date stored batches of one vehicle, and what is newest of it, if that was among them."""
    batches = [dated(each.id, stored_body(each.sealed), tie) for each in waiting]
    retiming_rows.put_spans(connection, (Span(each.id, *each.span) for each in batches))
    known = None if vehicle_id is None else state_rows.state_of(connection, vehicle_id)
    if vehicle_id is not None and known is not None:
        samples = chain.from_iterable(decode_body(each.body).samples for each in telling(batches, now_ms))
        state = fold(known, retimed(tuple(samples), tie), now_ms)
        # They were counted when they came.
        state = replace(state, samples=known.samples, future_samples=known.future_samples)
        state_rows.put_dated(connection, vehicle_id, state)


def _move_state(connection: Connection, unit: Unit, samples: Sequence[Sample], now_ms: int) -> None:
    if unit.vehicle_id is None:
        return
    known = state_rows.state_of(connection, unit.vehicle_id)
    state = fold(known or VehicleState(), samples, now_ms)
    state_rows.put_state(connection, unit.lender_id, unit.vehicle_id, unit.id, state, now_ms, is_new=known is None)


def _receipts(connection: Connection, outcomes: Sequence[Outcome], now_ms: int) -> list[Receipt]:
    """One receipt for each boot, however many of its batches came."""
    told = {(each.identity.unit, each.identity.boot): None for each in outcomes if each.identity is not None}
    receipts = []
    for name, boot_bytes in told:
        unit = fleet_rows.active_unit(connection, name)
        boot = batch_rows.boot(connection, unit.id, boot_bytes) if unit else None
        if unit is None or boot is None:
            continue
        committed = batch_rows.received(connection, boot.id, MOST_RANGES)
        wanted = ranges_wanted(committed, batch_rows.declared_gaps(connection, unit.id, boot_bytes))
        receipts.append(Receipt(name, boot_bytes, committed, now_ms, wanted))
    return receipts
