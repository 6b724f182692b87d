"""Commands: given by a person of a lender, sent by the ingest, answered by the unit. Whole histories are kept."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, insert, or_, select, update

from server.commanding import MOST_OPEN, Flaw, Order, OrderRefusedError, Told, resend_ms
from server.store.fleet_rows import Unit
from server.store.tables import commands, lenders, unit_assignments, units
from wire.commands import Command


@dataclass(frozen=True, slots=True)
class CommandRow:
    """A command as lists show it; times UTC ms. `outcome` None: not answered."""

    lender: str
    unit: str
    command_id: bytes
    kind: str
    parameters: Mapping[str, str]
    issued_by: str
    reason: str
    issued_ms: int
    expires_ms: int
    sends: int
    sent_ms: int | None
    answered_ms: int | None
    outcome: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class DueCommand:
    """A command to be sent now; `sealed` None: it was never sent, and is to be signed."""

    id: int
    command: Command
    sealed: bytes | None
    sends: int


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who gives an order: a user, or somebody at the server's console (no user id)."""

    name: str
    user_id: int | None = None


def lender_named(connection: Connection, name: str) -> int | None:
    """The id of a lender that is there."""
    return connection.scalar(select(lenders.c.id).where(lenders.c.name == name))


def issue(
    connection: Connection, lender_id: int, unit: str, order: Order, issuer: Issuer, command_id: bytes, now_ms: int
) -> None:
    """Keep an order for the ingest to sign and send.

    Raises:
        OrderRefusedError: this lender has no such active unit, or too many of its commands are open.
    """
    here = and_(unit_assignments.c.unit_id == units.c.id, unit_assignments.c.until_ms.is_(None))
    row = connection.execute(
        select(units.c.id, unit_assignments.c.vehicle_id)
        .outerjoin(unit_assignments, here)
        .where(units.c.lender_id == lender_id, units.c.name == unit, units.c.active)
    ).first()
    if row is None:
        raise OrderRefusedError(Flaw.UNIT, f"no active unit of this lender is called {unit!r}")
    still_open = and_(commands.c.unit_id == row.id, commands.c.outcome.is_(None), commands.c.expires_ms > now_ms)
    count = connection.scalar(
        select(func.count()).select_from(commands).where(commands.c.lender_id == lender_id, still_open)
    )
    if count is not None and count >= MOST_OPEN:
        raise OrderRefusedError(
            Flaw.TOO_MANY_OPEN, f"{unit} has {count} commands without an answer; let them expire first"
        )
    connection.execute(
        insert(commands).values(
            lender_id=lender_id,
            unit_id=row.id,
            vehicle_id=row.vehicle_id,
            user_id=issuer.user_id,
            command_id=command_id,
            kind=order.kind,
            parameters=dict(order.parameters),
            issued_by=issuer.name[:80],
            reason=order.reason,
            issued_ms=now_ms,
            expires_ms=now_ms + order.life_ms,
            next_send_ms=now_ms,
            sends=0,
        )
    )


def any_due(connection: Connection, now_ms: int) -> bool:
    """Whether `due` would find anything; takes no lock."""
    return connection.execute(_due(now_ms).limit(1)).first() is not None


def due(connection: Connection, now_ms: int, limit: int) -> list[DueCommand]:
    """Commands of every lender that are to be sent now, longest due first: for the ingest alone."""
    query = _due(now_ms).order_by(commands.c.next_send_ms).limit(limit)
    rows = connection.execute(query.with_for_update(of=commands, skip_locked=True))
    return [
        DueCommand(
            row.id,
            Command(row.name, row.command_id, row.issued_ms, row.expires_ms, row.kind, row.parameters),
            row.sealed,
            row.sends,
        )
        for row in rows
    ]


def set_sent(connection: Connection, row_id: int, sealed: bytes, next_send_ms: int | None, now_ms: int) -> None:
    """About to be sent: these bytes, now, and again at `next_send_ms`."""
    changed = {"sealed": sealed, "sent_ms": now_ms, "next_send_ms": next_send_ms, "sends": commands.c.sends + 1}
    connection.execute(update(commands).where(commands.c.id == row_id).values(changed))


def send_again(connection: Connection, now_ms: int) -> None:
    """The broker may have lost what it held: what is open and was not sent just now is due at once."""
    still_open = and_(commands.c.outcome.is_(None), commands.c.expires_ms > now_ms)
    connection.execute(
        update(commands)
        .where(still_open, or_(commands.c.sent_ms.is_(None), commands.c.sent_ms <= resend_ms(now_ms)))
        .values(next_send_ms=now_ms)
    )


def store_answers(connection: Connection, unit: Unit, batch_id: int, told: Iterable[Told], now_ms: int) -> None:
    """The unit's answers, in the transaction of the batch that brought them. The first answer to a command stands."""
    for each in told:
        mine = and_(commands.c.lender_id == unit.lender_id, commands.c.unit_id == unit.id)
        connection.execute(
            update(commands)
            .where(mine, commands.c.command_id == each.command_id, commands.c.outcome.is_(None))
            .values(outcome=each.outcome, answer=each.reason, answered_ms=now_ms, batch_id=batch_id, next_send_ms=None)
        )


def commands_of(
    connection: Connection, lender_id: int, *, unit: str | None = None, vehicle_id: int | None = None, limit: int = 50
) -> list[CommandRow]:
    """A lender's commands, newest first: of one unit, of one vehicle at the time they were given, or all."""
    query = _listed().where(commands.c.lender_id == lender_id)
    if unit is not None:
        query = query.where(units.c.name == unit)
    if vehicle_id is not None:
        query = query.where(commands.c.vehicle_id == vehicle_id)
    return _rows(connection, query, limit)


def all_commands(connection: Connection, *, unit: str | None = None, limit: int = 50) -> list[CommandRow]:
    """Commands of every lender, newest first: for the operator at the console, never for a page."""
    query = _listed()
    return _rows(connection, query if unit is None else query.where(units.c.name == unit), limit)


def _due(now_ms: int) -> Select[Any]:
    return (
        select(commands, units.c.name)
        .join(units, units.c.id == commands.c.unit_id)
        .where(
            commands.c.next_send_ms <= now_ms,
            commands.c.expires_ms > now_ms,
            commands.c.outcome.is_(None),
            units.c.active,
        )
    )


def _listed() -> Select[Any]:
    names = [each for each in CommandRow.__dataclass_fields__ if each not in ("lender", "unit")]
    return (
        select(lenders.c.name.label("lender"), units.c.name.label("unit"), *(commands.c[name] for name in names))
        .join(units, units.c.id == commands.c.unit_id)
        .join(lenders, lenders.c.id == commands.c.lender_id)
    )


def _rows(connection: Connection, query: Select[Any], limit: int) -> list[CommandRow]:
    return [CommandRow(*row) for row in connection.execute(query.order_by(commands.c.id.desc()).limit(limit))]
