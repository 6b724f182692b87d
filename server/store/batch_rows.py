"""Boots, received ranges and the batches themselves: what makes "exactly once" true.

All of it happens inside the transaction that stores the batches, with their units' rows locked (`desk.py`), many at a
time: one statement for a table, whatever it has to say of five hundred batches.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, text, tuple_, update

from server.received import Range
from server.store.tables import batches, boots, gaps, ledger_pending, received_ranges, unit_counts
from server.store.tables import events as event_table
from wire.records import SequenceRange

Row = Mapping[str, Any]

# The reason of a gap record that says where a boot ended because its outbox was damaged (edge_agent/store).
END_UNKNOWN = "end_unknown"


@dataclass(frozen=True, slots=True)
class BootRow:
    """One outbox of a unit; `number` counts them, the highest is the open one."""

    id: int
    unit_id: int
    boot: bytes
    number: int


@dataclass(frozen=True, slots=True)
class CountRow:
    """What a unit counted under this name, and the boot and sequence of the batch that told it."""

    unit_id: int
    name: str
    told_by: tuple[int, int]


def boots_of(connection: Connection, unit_ids: Collection[int]) -> list[BootRow]:
    """Every boot of these units."""
    query = select(boots.c.id, boots.c.unit_id, boots.c.boot, boots.c.number).where(boots.c.unit_id.in_(unit_ids))
    return [BootRow(*row) for row in connection.execute(query)]


def add_boot(
    connection: Connection, lender_id: int, unit_id: int, boot_bytes: bytes, number: int, now_ms: int
) -> BootRow:
    """A new boot begins."""
    values = {"lender_id": lender_id, "unit_id": unit_id, "boot": boot_bytes, "number": number}
    added = connection.scalars(insert(boots).values(first_seen_ms=now_ms, **values).returning(boots.c.id)).one()
    return BootRow(int(added), unit_id, boot_bytes, number)


def count_of_boots(connection: Connection, *, redelivered: Mapping[int, int], implausible: Mapping[int, int]) -> None:
    """Add to what is counted of boots: batches that were stored already, and values that no car can have."""
    for column, more in ((boots.c.redelivered, redelivered), (boots.c.implausible, implausible)):
        if more:
            counted = update(boots).where(boots.c.id == bindparam("of_id"))
            counted = counted.values({column: column + bindparam("more")})
            connection.execute(counted, [{"of_id": boot_id, "more": count} for boot_id, count in more.items()])


def ranges_of(connection: Connection, boot_ids: Collection[int]) -> dict[int, list[Range]]:
    """The received ranges of these boots, by boot."""
    table = received_ranges.c
    query = select(table.boot_id, table.first, table.last, table.first_link, table.last_link)
    found: dict[int, list[Range]] = defaultdict(list)
    for boot_id, *values in connection.execute(query.where(table.boot_id.in_(boot_ids))):
        found[boot_id].append(Range(*values))
    return found


def put_ranges(connection: Connection, gone: Sequence[Row], changed: Sequence[Row], new: Sequence[Row]) -> None:
    """Write what became of ranges: rows with `boot_id` and `first`, and for the others all columns."""
    of = and_(received_ranges.c.boot_id == bindparam("of_boot"), received_ranges.c.first == bindparam("of_first"))
    if gone:
        rows = [{"of_boot": row["boot_id"], "of_first": row["first"]} for row in gone]
        connection.execute(delete(received_ranges).where(of), rows)
    if changed:
        names = ("last", "first_link", "last_link")
        rows = [
            {"of_boot": row["boot_id"], "of_first": row["first"], **{f"to_{name}": row[name] for name in names}}
            for row in changed
        ]
        values: Row = {name: bindparam(f"to_{name}") for name in names}
        connection.execute(update(received_ranges).where(of).values(values), rows)
    if new:
        connection.execute(insert(received_ranges), new)


def declared_gaps(connection: Connection, unit_id: int, boot_bytes: bytes) -> tuple[SequenceRange, ...]:
    """What the unit has said, under its signature, that it no longer has."""
    query = select(gaps.c.first, gaps.c.last).where(gaps.c.unit_id == unit_id, gaps.c.boot == boot_bytes)
    return tuple(SequenceRange(first, last) for first, last in connection.execute(query))


def end_of_boot(connection: Connection, unit_id: int, boot_bytes: bytes) -> int:
    """The sequence from which on, as the unit has declared, nothing of this boot comes any more; 0 without that."""
    of_boot = (gaps.c.unit_id == unit_id, gaps.c.boot == boot_bytes, gaps.c.reason == END_UNKNOWN)
    return connection.scalar(select(func.max(gaps.c.first)).where(*of_boot)) or 0


def sealed_at(connection: Connection, boot_id: int, sequence: int) -> bytes | None:
    """The stored bytes of one batch; None where it was not stored, or is no longer."""
    query = select(batches.c.sealed).where(batches.c.boot_id == boot_id, batches.c.sequence == sequence)
    return connection.scalar(query)


def digests_at(connection: Connection, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    """SHA-256 of stored batches, by boot and sequence."""
    if not wanted:
        return {}
    query = select(batches.c.boot_id, batches.c.sequence, batches.c.digest)
    rows = connection.execute(query.where(tuple_(batches.c.boot_id, batches.c.sequence).in_(wanted)))
    return {(boot_id, sequence): digest for boot_id, sequence, digest in rows}


def next_ids(connection: Connection, count: int) -> list[int]:
    """Ids for `count` new batches, so that what follows from a batch can be written with it."""
    if connection.dialect.name == "sqlite":  # which has one writer at a time
        last = connection.scalar(select(func.max(batches.c.id))) or 0
        return list(range(last + 1, last + 1 + count))
    numbers = text("SELECT nextval(pg_get_serial_sequence('batches', 'id')) FROM generate_series(1, :count)")
    return [int(number) for number in connection.scalars(numbers, {"count": count})]


def add_rows(
    connection: Connection,
    *,
    of_batches: Sequence[Row],
    of_events: Sequence[Row],
    of_gaps: Sequence[Row],
    of_leaves: Sequence[Row],
) -> None:
    """New batches, and what they tell or cause; each row has its table's columns."""
    tables = ((batches, of_batches), (event_table, of_events), (gaps, of_gaps), (ledger_pending, of_leaves))
    for table, rows in tables:
        if rows:
            connection.execute(insert(table), rows)


def counts_of(connection: Connection, unit_ids: Collection[int]) -> list[CountRow]:
    """What these units have counted, without the numbers."""
    table = unit_counts.c
    query = select(table.unit_id, table.name, table.boot_number, table.sequence).where(table.unit_id.in_(unit_ids))
    return [
        CountRow(unit_id, name, (number, sequence)) for unit_id, name, number, sequence in connection.execute(query)
    ]


def put_counts(connection: Connection, changed: Iterable[Row], new: Sequence[Row]) -> None:
    """Write what units counted; rows have the table's columns."""
    rows = [{f"of_{name}": value for name, value in row.items()} for row in changed]
    if rows:
        of = and_(unit_counts.c.unit_id == bindparam("of_unit_id"), unit_counts.c.name == bindparam("of_name"))
        values: Row = {name: bindparam(f"of_{name}") for name in ("value", "boot_number", "sequence")}
        connection.execute(update(unit_counts).where(of).values(values), rows)
    if new:
        connection.execute(insert(unit_counts), new)
