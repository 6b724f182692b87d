"""Boots, received ranges and the batches themselves: what makes "exactly once" true.

All of it happens inside the transaction that stores the batch, with the unit's row locked.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select, update

from server.store.tables import batches, boots, gaps, ledger_pending, received_ranges, unit_counts
from server.store.tables import events as event_table
from server.watch.retiming import Tie, is_timeless
from wire.records import Event, Gap, SequenceRange
from wire.seal import Identity

_LONGEST_MONO_MS = 2**50  # thirty thousand years: what is beyond has no place on a clock, and none in a sum of 64 bits

# The reason of a gap record that says where a boot ended because its outbox was damaged (edge_agent/store).
_END_UNKNOWN = "end_unknown"


@dataclass(frozen=True, slots=True)
class BootRow:
    """One outbox of a unit; `number` counts them, the highest is the open one."""

    id: int
    boot: bytes
    number: int


def boot(connection: Connection, unit_id: int, boot_bytes: bytes) -> BootRow | None:
    """The boot, where the server knows it."""
    row = connection.execute(
        select(boots.c.id, boots.c.number).where(boots.c.unit_id == unit_id, boots.c.boot == boot_bytes)
    ).first()
    return None if row is None else BootRow(row.id, boot_bytes, row.number)


def open_number(connection: Connection, unit_id: int) -> int:
    """The highest boot number of the unit, 0 before its first batch."""
    query = select(boots.c.number).where(boots.c.unit_id == unit_id).order_by(boots.c.number.desc()).limit(1)
    return connection.scalar(query) or 0


def add_boot(
    connection: Connection, lender_id: int, unit_id: int, boot_bytes: bytes, number: int, now_ms: int
) -> BootRow:
    """A new boot begins."""
    values = {"lender_id": lender_id, "unit_id": unit_id, "boot": boot_bytes, "number": number}
    added = connection.scalars(insert(boots).values(first_seen_ms=now_ms, **values).returning(boots.c.id)).one()
    return BootRow(int(added), boot_bytes, number)


def count_redelivered(connection: Connection, boot_id: int) -> None:
    """A batch came that is stored already: the unit had no receipt yet, or the broker delivered twice."""
    connection.execute(update(boots).where(boots.c.id == boot_id).values(redelivered=boots.c.redelivered + 1))


def has(connection: Connection, boot_id: int, sequence: int) -> bool:
    """Whether this sequence is stored."""
    query = (
        select(received_ranges.c.last)
        .where(received_ranges.c.boot_id == boot_id, received_ranges.c.first <= sequence)
        .order_by(received_ranges.c.first.desc())
        .limit(1)
    )
    last = connection.scalar(query)
    return last is not None and last >= sequence


def add_received(connection: Connection, lender_id: int, boot_id: int, sequence: int) -> None:
    """Note a new sequence, and join the ranges that now touch."""
    of_boot = received_ranges.c.boot_id == boot_id
    before = connection.execute(
        select(received_ranges.c.first).where(of_boot, received_ranges.c.last == sequence - 1)
    ).first()
    after = connection.execute(
        select(received_ranges.c.last).where(of_boot, received_ranges.c.first == sequence + 1)
    ).first()
    if after is not None:
        connection.execute(delete(received_ranges).where(of_boot, received_ranges.c.first == sequence + 1))
    last = sequence if after is None else after.last
    if before is None:
        values = {"boot_id": boot_id, "first": sequence, "last": last, "lender_id": lender_id}
        connection.execute(insert(received_ranges).values(values))
    else:
        joined = update(received_ranges).where(of_boot, received_ranges.c.first == before.first)
        connection.execute(joined.values(last=last))


def received(connection: Connection, boot_id: int, newest: int) -> tuple[SequenceRange, ...]:
    """The stored ranges of a boot in order; only the `newest` ones where holes have made more."""
    query = (
        select(received_ranges.c.first, received_ranges.c.last)
        .where(received_ranges.c.boot_id == boot_id)
        .order_by(received_ranges.c.first.desc())
        .limit(newest)
    )
    return tuple(sorted(SequenceRange(first, last) for first, last in connection.execute(query)))


def declared_gaps(connection: Connection, unit_id: int, boot_bytes: bytes) -> tuple[SequenceRange, ...]:
    """What the unit has said, under its signature, that it no longer has."""
    query = select(gaps.c.first, gaps.c.last).where(gaps.c.unit_id == unit_id, gaps.c.boot == boot_bytes)
    return tuple(SequenceRange(first, last) for first, last in connection.execute(query))


def end_of_boot(connection: Connection, unit_id: int, boot_bytes: bytes) -> int:
    """The sequence from which on, as the unit has declared, nothing of this boot comes any more; 0 without that."""
    of_boot = (gaps.c.unit_id == unit_id, gaps.c.boot == boot_bytes, gaps.c.reason == _END_UNKNOWN)
    return connection.scalar(select(func.max(gaps.c.first)).where(*of_boot)) or 0


def sealed_at(connection: Connection, boot_id: int, sequence: int) -> bytes | None:
    """The stored bytes of one batch."""
    query = select(batches.c.sealed).where(batches.c.boot_id == boot_id, batches.c.sequence == sequence)
    return connection.scalar(query)


def add_batch(connection: Connection, **values: object) -> int:
    """Store one batch; `values` are the columns of `batches`."""
    return int(connection.scalars(insert(batches).values(values).returning(batches.c.id)).one())


def add_events(connection: Connection, rows: list[tuple[Event, str]], tie: Tie | None, **common: object) -> None:
    """Store the events of a batch, each with its details as JSON; `tie` dates those without a time of their own."""
    if rows:
        values = [
            {"kind": event.kind[:40], "details": details, **_times(event, tie), **common} for event, details in rows
        ]
        connection.execute(insert(event_table), values)


def _times(event: Event, tie: Tie | None) -> dict[str, int | None]:
    mono_ms = event.mono_ms if abs(event.mono_ms) <= _LONGEST_MONO_MS else None
    told: dict[str, int | None] = {"mono_ms": mono_ms, "time_quality": int(event.time_quality)}
    if not is_timeless(event.time_quality):
        return {**told, "time_ms": event.time_utc_ms, "uncertainty_ms": None}
    if tie is None or mono_ms is None:
        return {**told, "time_ms": None, "uncertainty_ms": None}
    return {**told, "time_ms": mono_ms + tie.offset_ms, "uncertainty_ms": tie.uncertainty_at(mono_ms)}


def add_gaps(connection: Connection, found: tuple[Gap, ...], **common: object) -> None:
    """Store the gap records of a batch."""
    if found:
        values = [
            {"boot": g.boot, "first": g.first, "last": g.last, "samples": g.samples, "reason": g.reason[:80], **common}
            for g in found
        ]
        connection.execute(insert(gaps), values)


def put_counts(connection: Connection, lender_id: int, unit_id: int, told_by: Identity, values: dict[str, int]) -> None:
    """What the unit counted, unless a later batch has told already."""
    table, at = unit_counts.c, {"boot_number": told_by.boot_number, "sequence": told_by.sequence}
    for name, value in values.items():
        key = {"unit_id": unit_id, "name": name[:80]}
        known = connection.execute(
            select(table.boot_number, table.sequence).where(table.unit_id == unit_id, table.name == key["name"])
        ).first()
        if known is None:
            connection.execute(insert(unit_counts).values(lender_id=lender_id, value=value, **key, **at))
        elif tuple(known) < (told_by.boot_number, told_by.sequence):
            newer = update(unit_counts).where(table.unit_id == unit_id, table.name == key["name"])
            connection.execute(newer.values(value=value, **at))


def add_leaf(connection: Connection, lender_id: int, kind: str, digest: bytes, now_ms: int) -> None:
    """Queue a fact for the ledger, in the fact's own transaction."""
    connection.execute(insert(ledger_pending).values(lender_id=lender_id, kind=kind, digest=digest, written_ms=now_ms))
