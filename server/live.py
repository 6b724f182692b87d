"""ONE BATCH, WHOLE OR NOT AT ALL.

A batch arrives as bytes on a topic. It is checked, found new, and stored with everything that follows from it (ranges,
vehicle state, events, ledger leaf) in one transaction; only after the commit is its unit told. Read `take_one` from top
to bottom: that is the server.

Many batches share a commit: what the store knows of their units is read at once (`store/desk.py`), each is judged in
memory, and what came of all is written at once. One that is refused goes to quarantine with its reason and leaves no
other trace. Where the database itself chokes on something that one of them brought, the commit is done again in halves,
down to the one: that goes to quarantine, and the others do not notice.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError

from server import accept
from server.columns import NAMES, Told, read_columns
from server.commanding import answers_in
from server.receipts import MOST_RANGES, ranges_wanted
from server.store import batch_rows, fleet_rows, quarantine_rows, retiming_rows
from server.store.batch_rows import Row
from server.store.db import Store
from server.store.desk import Boot, Desk
from server.store.fleet_rows import Unit
from server.store.retiming_rows import Span, TimelessBatch
from server.watch.retiming import (
    LONGEST_MONO_MS,
    Finding,
    Tie,
    Timing,
    dated,
    is_timeless,
    span,
    telling,
    tie_of,
    timeless_in,
    times_of,
    timing,
)
from server.watch.vehicle_state import VehicleState, fold
from wire.records import LINK_BYTES, Event, Receipt
from wire.refused import Reason, RefusedError
from wire.seal import Identity, OpenedSeal, stored_body
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


@dataclass(frozen=True, slots=True)
class Opened:
    """An arrival, looked at before the store is asked: the seal and the digest, or why it is refused."""

    arrival: Arrival
    seal: OpenedSeal | None = None
    digest: bytes = b""
    told: Told | None = None
    refusal: RefusedError | None = None


@dataclass(frozen=True, slots=True)
class NewTie:
    """Batch `batch_id` has told how this kernel boot of the unit lies in time, and that was news."""

    unit: Unit
    kernel_boot: int
    timing: Timing
    batch_id: int


def take(store: Store, arrivals: Sequence[Arrival], now_ms: int) -> tuple[list[Outcome], list[Receipt]]:
    """Take in arrivals in order, in one commit.

    Args:
        store: where to.
        arrivals: what came, oldest first.
        now_ms: the server's time, UTC ms.

    Returns:
        An outcome for each arrival, and one receipt for each boot that was touched, to be sent now that it is durable.
    """
    # Seals and bodies are read before the store's lock is taken: it is most of the work, and needs no lock.
    return _in_halves(store, look_at(store, arrivals), now_ms)


def look_at(store: Store, arrivals: Sequence[Arrival]) -> list[Opened]:
    """Check seals and read bodies."""
    names = {name for each in arrivals if (name := unit_of(each.topic)) is not None}
    with store.read() as connection:
        keys = fleet_rows.keys_of(connection, names)
    return [_open(each, keys) for each in arrivals]


def settle(connection: Connection, opened: Sequence[Opened], now_ms: int) -> tuple[list[Outcome], list[Receipt]]:
    """Judge what was looked at, in order, and write what comes of it, in this transaction."""
    desk = Desk(connection, [each.seal.identity for each in opened if each.seal is not None], now_ms)
    desk.read_ties((each.seal.identity.unit, each.told.kernel_boot) for each in opened if each.seal and each.told)
    outcomes = []
    news = []
    for each in opened:
        try:
            outcome, tie = take_one(desk, each, now_ms)
        except RefusedError as refusal:
            outcome, tie = _refuse(connection, each.arrival, refusal, now_ms), None
        outcomes.append(outcome)
        if tie is not None:
            news.append(tie)
    desk.write_batches()
    for each_tie in news:
        _keep_tie(desk, each_tie, now_ms)
    desk.write_states()
    return outcomes, list(_receipts(desk, outcomes, now_ms))


def take_one(desk: Desk, opened: Opened, now_ms: int) -> tuple[Outcome, NewTie | None]:
    """The life of a batch. Raises RefusedError, and then nothing of it remains."""
    if opened.seal is None:
        raise opened.refusal or AssertionError("neither opened nor refused")
    identity = opened.seal.identity
    unit = desk.units.get(identity.unit)
    if unit is None:
        raise RefusedError(Reason.UNKNOWN_UNIT, identity.unit)  # it was retired while we looked

    boot = _boot_of(desk, unit, identity)
    if boot is not None and boot.received.has(identity.sequence):
        _require_same_bytes(desk, boot, identity.sequence, opened.digest)
        desk.count_redelivered(boot)
        return Outcome(Verdict.REDELIVERED, identity=identity), None
    if boot is not None:
        _require_links(desk, boot, opened.seal, opened.digest)
    if opened.told is None:
        raise opened.refusal or AssertionError("neither read nor refused")

    timing = _timing(desk, unit, opened.told, now_ms)
    times_ms = times_of(opened.told.samples, timing.tie)
    boot = boot or desk.begin_boot(unit, identity)
    batch_id = _store_batch(desk, unit, boot, opened, opened.told, span(times_ms))
    _store_told(desk, unit, identity, batch_id, opened.told, timing.tie)
    desk.count_implausible(boot, opened.told.samples.implausible)
    if unit.vehicle_id is not None:
        known = desk.state(unit.vehicle_id) or VehicleState()
        desk.move_state(unit, unit.vehicle_id, fold(known, opened.told.samples, times_ms, now_ms))
    news = None
    if timing.told is not None and timing.finding is not Finding.AGREES:
        news = NewTie(unit, opened.told.kernel_boot, timing, batch_id)
        if timing.tie is timing.told:
            desk.set_tie(unit, opened.told.kernel_boot, timing.told)
    return Outcome(Verdict.STORED, opened.told.samples.count, identity=identity), news


def _open(arrival: Arrival, keys: dict[str, Ed25519PublicKey]) -> Opened:
    """Seal and body of an arrival, as far as they hold."""
    seal = None
    digest = b""
    try:
        name = accept.sender(arrival.topic)
        seal = accept.check_seal(arrival.payload, name, keys.get(name))
        digest = hashlib.sha256(arrival.payload).digest()
        return Opened(arrival, seal, digest, accept.read(seal))
    except RefusedError as error:
        return Opened(arrival, seal, digest, refusal=error)
    except Exception as error:  # one batch that we cannot handle must not stop those behind it
        log.exception("a batch on %s could not be read", arrival.topic)
        return Opened(arrival, refusal=_fault(error))


def _in_halves(store: Store, opened: Sequence[Opened], now_ms: int) -> tuple[list[Outcome], list[Receipt]]:
    """One commit; one for each half, where something in it cannot be stored."""
    try:
        with store.write() as connection:
            return settle(connection, opened, now_ms)
    except (OperationalError, InterfaceError):
        raise  # the database, not a batch: the whole commit is tried again
    except Exception as error:
        if len(opened) == 1:
            log.exception("a batch on %s could not be taken in", opened[0].arrival.topic)
            with store.write() as connection:
                return [_refuse(connection, opened[0].arrival, _fault(error), now_ms)], []
    middle = len(opened) // 2
    first, second = (_in_halves(store, half, now_ms) for half in (opened[:middle], opened[middle:]))
    newest = {(each.unit, each.boot): each for each in first[1] + second[1]}
    return first[0] + second[0], list(newest.values())


def _refuse(connection: Connection, arrival: Arrival, refusal: RefusedError, now_ms: int) -> Outcome:
    """Into quarantine, with its reason."""
    name = unit_of(arrival.topic)
    lender_id = fleet_rows.lender_of(connection, name) if name else None
    quarantine_rows.refuse(connection, lender_id, arrival.topic, arrival.payload, refusal, now_ms)
    log.warning("refused a batch on %s: %s", arrival.topic, refusal)
    return Outcome(Verdict.REFUSED, reason=refusal.reason)


def _fault(error: Exception) -> RefusedError:
    return RefusedError(Reason.SERVER_FAULT, type(error).__name__)  # its text may hold what the batch told


def _boot_of(desk: Desk, unit: Unit, identity: Identity) -> Boot | None:
    """The boot that the batch belongs to, None for one that it begins. The newest is open; an older one only up to
    where its unit says it ended.

    A unit whose outbox was damaged begins a new boot, declares where the old one ended, and sends what it could read of
    it. Without such a declaration, or from that end on, an older boot is a second unit with the same key (a copied
    card) or a replay, and refused.
    """
    known = desk.boot(unit, identity.boot)
    newest = desk.newest_number(unit)
    number = identity.boot_number if known is None else known.number
    is_newest = known.number == newest if known else number > newest
    if not is_newest and identity.sequence >= desk.end_of_boot(unit, identity.boot):
        raise RefusedError(Reason.OLD_BOOT, f"boot {identity.boot_number}, the unit is at boot {newest}")
    if number != identity.boot_number:
        raise RefusedError(Reason.MALFORMED, f"boot {number} calls itself {identity.boot_number}")
    return known


def _require_same_bytes(desk: Desk, boot: Boot, sequence: int, digest: bytes) -> None:
    known = desk.digest_at(boot, sequence)
    if known is not None and known != digest:
        raise RefusedError(Reason.SAME_IDENTITY_OTHER_BYTES, f"boot {boot.number}, sequence {sequence}")


def _require_links(desk: Desk, boot: Boot, seal: OpenedSeal, digest: bytes) -> None:
    """The batch must continue the one before it and be continued by the one after it, where those are here."""
    sequence = seal.identity.sequence
    before, after = boot.received.before(sequence), boot.received.after(sequence)
    if before is not None and desk.link_after(boot, before) not in (None, seal.link):
        raise RefusedError(Reason.BROKEN_LINK, f"sequence {sequence} does not continue {sequence - 1}")
    if after is not None and desk.link_of(boot, after) not in (None, digest[:LINK_BYTES]):
        raise RefusedError(Reason.BROKEN_LINK, f"sequence {sequence + 1} does not continue {sequence}")


def _store_batch(
    desk: Desk, unit: Unit, boot: Boot, opened: Opened, told: Told, of: tuple[int | None, int | None]
) -> int:
    assert opened.seal is not None
    return desk.add_batch(
        unit,
        boot,
        opened.seal.identity.sequence,
        (opened.seal.link, opened.digest[:LINK_BYTES]),
        first_time_ms=of[0],
        last_time_ms=of[1],
        samples=told.samples.count,
        digest=opened.digest,
        sealed=opened.arrival.payload,
        kernel_boot=told.kernel_boot,
        timeless=timeless_in(told),
    )


def _store_told(desk: Desk, unit: Unit, identity: Identity, batch_id: int, told: Told, tie: Tie | None) -> None:
    """What the unit tells besides samples: events, gaps, and its own counters."""
    gaps = [
        {"boot": g.boot, "first": g.first, "last": g.last, "samples": g.samples, "reason": _text(g.reason, 80)}
        for g in told.gaps
    ]
    desk.add_told(unit, batch_id, [_event_row(event, tie) for event in told.events], gaps)
    desk.add_answers(unit, batch_id, answers_in(told.events))
    desk.put_counts(unit, identity, ((_text(name, 80), value) for name, value in told.counts.items()))


def _event_row(event: Event, tie: Tie | None) -> Row:
    mono_ms = event.mono_ms if abs(event.mono_ms) <= LONGEST_MONO_MS else None
    time_ms, uncertainty_ms = event.time_utc_ms, None
    if is_timeless(event.time_quality):
        time_ms = None
        if tie is not None and mono_ms is not None:
            time_ms, uncertainty_ms = mono_ms + tie.offset_ms, tie.uncertainty_at(mono_ms)
    return {
        "kind": _text(event.kind, 40),
        "details": json.dumps(dict(event.details), ensure_ascii=False, sort_keys=True),
        "mono_ms": mono_ms,
        "time_quality": int(event.time_quality),
        "time_ms": time_ms,
        "uncertainty_ms": uncertainty_ms,
    }


def _text(told: str, most: int) -> str:
    """A unit's text as every database takes it: PostgreSQL has no NUL."""
    return told.replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]


def _timing(desk: Desk, unit: Unit, told: Told, now_ms: int) -> Timing:
    """How the batch's records without event time are timed, and whether what it tells of the time is news."""
    return timing(desk.tie(unit, told.kernel_boot), tie_of(told, now_ms, unit.enrolled_ms))


def _keep_tie(desk: Desk, news: NewTie, now_ms: int) -> None:
    """Keep a batch's tie; one that holds from now on dates what came before it without knowing the time."""
    connection, unit, kernel_boot, told = desk.connection, news.unit, news.kernel_boot, news.timing.told
    assert told is not None
    if news.timing.finding is Finding.CONTRADICTS:
        retiming_rows.count_contradiction(connection, unit.id, kernel_boot, told.offset_ms, news.batch_id)
        return
    if news.timing.finding is Finding.FIRST:
        retiming_rows.add_tie(connection, unit.lender_id, unit.id, kernel_boot, told, news.batch_id, now_ms)
    else:
        retiming_rows.replace_tie(connection, unit.id, kernel_boot, told, news.batch_id, now_ms)
    waiting = retiming_rows.timeless_batches(connection, unit.id, kernel_boot)
    if not waiting:
        return
    retiming_rows.date_events(connection, unit.id, kernel_boot, told)
    for vehicle_id, group in groupby(waiting, key=lambda each: each.vehicle_id):
        _date(desk, vehicle_id, group, told, now_ms)


def _date(desk: Desk, vehicle_id: int | None, waiting: Iterable[TimelessBatch], tie: Tie, now_ms: int) -> None:
    """Date stored batches of one vehicle, and what is newest of it, if that was among them."""
    batches = [dated(each.id, stored_body(each.sealed), tie) for each in waiting]
    retiming_rows.put_spans(desk.connection, (Span(each.id, *span(each.times_ms)) for each in batches))
    known = None if vehicle_id is None else desk.state_then(vehicle_id)
    if vehicle_id is None or known is None:
        return
    state = known
    for each in telling(batches, now_ms):
        state = fold(state, read_columns(each.body, NAMES), each.times_ms, now_ms)
    # They were counted when they came.
    desk.date_state(vehicle_id, replace(state, samples=known.samples, future_samples=known.future_samples))


def _receipts(desk: Desk, outcomes: Sequence[Outcome], now_ms: int) -> Iterator[Receipt]:
    """One receipt for each boot, however many of its batches came."""
    for name, boot_bytes in dict.fromkeys(
        (each.identity.unit, each.identity.boot) for each in outcomes if each.identity
    ):
        unit = desk.units[name]
        boot = desk.boot(unit, boot_bytes)
        assert boot is not None
        committed = desk.committed(boot, MOST_RANGES)
        is_whole = len(committed) == 1 and committed[0].first == 1
        declared = () if is_whole else batch_rows.declared_gaps(desk.connection, unit.id, boot_bytes)
        yield Receipt(name, boot_bytes, committed, now_ms, ranges_wanted(committed, declared))
