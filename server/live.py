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
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from server import accept
from server.receipts import MOST_RANGES, ranges_wanted
from server.store import batch_rows, fleet_rows, quarantine_rows, state_rows
from server.store.batch_rows import BootRow
from server.store.db import Store
from server.store.fleet_rows import Unit
from server.watch.vehicle_state import VehicleState, fold
from wire.records import Body, Receipt
from wire.refused import Reason, RefusedError
from wire.seal import Identity, OpenedSeal, link_to, read_body, stored_link
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
    digest = hashlib.sha256(arrival.payload).digest()
    batch_id = _store_batch(connection, unit, boot, opened, body, arrival.payload, digest, now_ms)
    batch_rows.add_received(connection, unit.lender_id, boot.id, opened.identity.sequence)
    _store_told(connection, unit, opened.identity, batch_id, body, now_ms)
    _move_state(connection, unit, body, now_ms)
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
    """The boot that the batch belongs to. Only the newest is open: an older one has been given up by its unit."""
    known = batch_rows.boot(connection, unit.id, identity.boot)
    newest = batch_rows.open_number(connection, unit.id)
    if known is None and identity.boot_number > newest:
        return batch_rows.add_boot(connection, unit.lender_id, unit.id, identity.boot, identity.boot_number, now_ms)
    if known is None or known.number != newest:
        raise RefusedError(Reason.OLD_BOOT, f"boot {identity.boot_number}, the unit is at boot {newest}")
    if known.number != identity.boot_number:
        raise RefusedError(Reason.MALFORMED, f"boot {known.number} calls itself {identity.boot_number}")
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
    payload: bytes,
    digest: bytes,
    now_ms: int,
) -> int:
    times = [sample.time_utc_ms for sample in body.samples if sample.time_utc_ms is not None]
    return batch_rows.add_batch(
        connection,
        lender_id=unit.lender_id,
        unit_id=unit.id,
        vehicle_id=unit.vehicle_id,
        boot_id=boot.id,
        sequence=opened.identity.sequence,
        arrived_ms=now_ms,
        first_time_ms=min(times, default=None),
        last_time_ms=max(times, default=None),
        samples=len(body.samples),
        digest=digest,
        sealed=payload,
    )


def _store_told(connection: Connection, unit: Unit, identity: Identity, batch_id: int, body: Body, now_ms: int) -> None:
    """What the unit tells besides samples: events, gaps, and its own counters."""
    common = {"lender_id": unit.lender_id, "unit_id": unit.id, "batch_id": batch_id}
    rows = [(event, json.dumps(dict(event.details), ensure_ascii=False, sort_keys=True)) for event in body.events]
    batch_rows.add_events(connection, rows, vehicle_id=unit.vehicle_id, arrived_ms=now_ms, **common)
    batch_rows.add_gaps(connection, body.gaps, **common)
    batch_rows.put_counts(connection, unit.lender_id, unit.id, identity, dict(body.counts))


def _move_state(connection: Connection, unit: Unit, body: Body, now_ms: int) -> None:
    if unit.vehicle_id is None:
        return
    known = state_rows.state_of(connection, unit.vehicle_id)
    state = fold(known or VehicleState(), body.samples, now_ms)
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
