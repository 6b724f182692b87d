"""How each run of a unit's monotonic clock is tied to UTC, and the batches and events that a tie dates.

All of it happens inside the transaction that stores the batch with the tie, with the unit's row locked.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, insert, select, tuple_, update

from server.store.tables import batches, events, retimings
from server.watch.retiming import DRIFT_PPM, Tie
from wire.records import TimeQuality

_TIE = (retimings.c.offset_ms, retimings.c.at_mono_ms, retimings.c.uncertainty_ms, retimings.c.source)


@dataclass(frozen=True, slots=True)
class TimelessBatch:
    """A stored batch with records that have no event time of their own."""

    id: int
    vehicle_id: int | None
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """First and last event time of a batch's samples, UTC ms."""

    batch_id: int
    first_ms: int | None
    last_ms: int | None


def tie_held(connection: Connection, unit_id: int, kernel_boot: int) -> Tie | None:
    """The tie that holds for a kernel boot of the unit."""
    query = select(*_TIE).where(retimings.c.unit_id == unit_id, retimings.c.kernel_boot == kernel_boot)
    row = connection.execute(query).first()
    return None if row is None else Tie(row[0], row[1], row[2], TimeQuality(row[3]))


def ties_held(connection: Connection, wanted: Collection[tuple[int, int]]) -> dict[tuple[int, int], Tie | None]:
    """The ties that hold, by unit and kernel boot; those that have none are left out."""
    if not wanted:
        return {}
    of = tuple_(retimings.c.unit_id, retimings.c.kernel_boot).in_(wanted)
    rows = connection.execute(select(retimings.c.unit_id, retimings.c.kernel_boot, *_TIE).where(of))
    return {(row[0], row[1]): Tie(row[2], row[3], row[4], TimeQuality(row[5])) for row in rows}


def add_tie(
    connection: Connection, lender_id: int, unit_id: int, kernel_boot: int, tie: Tie, batch_id: int, now_ms: int
) -> None:
    """The first tie of a kernel boot."""
    key = {"lender_id": lender_id, "unit_id": unit_id, "kernel_boot": kernel_boot}
    connection.execute(insert(retimings).values(**key, **_values(tie), batch_id=batch_id, made_ms=now_ms))


def replace_tie(connection: Connection, unit_id: int, kernel_boot: int, tie: Tie, batch_id: int, now_ms: int) -> None:
    """A better source contradicts the tie that held; what is given up is kept beside the new one."""
    given_up = {
        "contradictions": retimings.c.contradictions + 1,
        "other_offset_ms": retimings.c.offset_ms,
        "other_batch_id": retimings.c.batch_id,
    }
    held = update(retimings).where(retimings.c.unit_id == unit_id, retimings.c.kernel_boot == kernel_boot)
    connection.execute(held.values(**given_up, **_values(tie), batch_id=batch_id, made_ms=now_ms))


def count_contradiction(connection: Connection, unit_id: int, kernel_boot: int, offset_ms: int, batch_id: int) -> None:
    """A batch told another time; the tie that holds stays."""
    told = {"other_offset_ms": offset_ms, "other_batch_id": batch_id}
    held = update(retimings).where(retimings.c.unit_id == unit_id, retimings.c.kernel_boot == kernel_boot)
    connection.execute(held.values(contradictions=retimings.c.contradictions + 1, **told))


def timeless_batches(connection: Connection, unit_id: int, kernel_boot: int) -> list[TimelessBatch]:
    """The stored batches that wait for a tie of this kernel boot, or were dated by it; those of a vehicle together."""
    query = (
        select(batches.c.id, batches.c.vehicle_id, batches.c.sealed)
        .where(batches.c.unit_id == unit_id, batches.c.kernel_boot == kernel_boot, batches.c.timeless > 0)
        .order_by(batches.c.vehicle_id, batches.c.id)
    )
    return [TimelessBatch(*row) for row in connection.execute(query)]


def put_spans(connection: Connection, spans: Iterable[Span]) -> None:
    """The event times of batches that have just been dated."""
    rows = [{"of_id": each.batch_id, "first_ms": each.first_ms, "last_ms": each.last_ms} for each in spans]
    if rows:
        dated = update(batches).where(batches.c.id == bindparam("of_id"))
        dated = dated.values(first_time_ms=bindparam("first_ms"), last_time_ms=bindparam("last_ms"))
        connection.execute(dated, rows)


def date_events(connection: Connection, unit_id: int, kernel_boot: int, tie: Tie) -> None:
    """Date the events of a kernel boot that have no time of their own."""
    waiting = select(batches.c.id).where(
        batches.c.unit_id == unit_id, batches.c.kernel_boot == kernel_boot, batches.c.timeless > 0
    )
    dated = update(events).where(
        events.c.batch_id.in_(waiting),
        events.c.time_quality.in_((TimeQuality.FLOOR, TimeQuality.NONE)),
        events.c.mono_ms.is_not(None),
    )
    drift_ms = func.abs(events.c.mono_ms - tie.at_mono_ms) * DRIFT_PPM // 1_000_000
    connection.execute(
        dated.values(time_ms=events.c.mono_ms + tie.offset_ms, uncertainty_ms=tie.uncertainty_ms + drift_ms)
    )


def _values(tie: Tie) -> dict[str, int]:
    return {
        "offset_ms": tie.offset_ms,
        "at_mono_ms": tie.at_mono_ms,
        "uncertainty_ms": tie.uncertainty_ms,
        "source": int(tie.source),
    }
