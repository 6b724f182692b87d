"""Units, where they sit, and their certificates."""

from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, and_, insert, select, update

from server.store.tables import certificates, lenders, unit_assignments, units, vehicles


@dataclass(frozen=True, slots=True)
class Unit:
    """An enrolled unit: whose it is, the vehicle it sits in now (None: in none), when it came to us."""

    id: int
    lender_id: int
    name: str
    vehicle_id: int | None
    enrolled_ms: int


@dataclass(frozen=True, slots=True)
class UnitLine:
    """A unit as the operator's list shows it."""

    name: str
    lender: str
    vin: str | None
    active: bool


def keys_of(connection: Connection, names: Iterable[str]) -> dict[str, Ed25519PublicKey]:
    """The pinned keys of those of these units that are enrolled and active."""
    query = select(units.c.name, units.c.public_key).where(units.c.name.in_(list(names)), units.c.active)
    return {name: Ed25519PublicKey.from_public_bytes(key) for name, key in connection.execute(query)}


def active_units(connection: Connection, names: Iterable[str]) -> dict[str, Unit]:
    """Those of these units that are active, their rows held until the transaction ends (PostgreSQL)."""
    here = and_(unit_assignments.c.unit_id == units.c.id, unit_assignments.c.until_ms.is_(None))
    query = (
        select(units.c.id, units.c.lender_id, units.c.name, unit_assignments.c.vehicle_id, units.c.enrolled_ms)
        .outerjoin(unit_assignments, here)
        .where(units.c.name.in_(list(names)), units.c.active)
        .order_by(units.c.id)  # in one order, or two workers could wait for each other
        .with_for_update(of=units)
    )
    return {row.name: Unit(*row) for row in connection.execute(query)}


def lender_of(connection: Connection, name: str) -> int | None:
    """Whose unit this is, active or not; None for a name that nobody enrolled."""
    return connection.scalar(select(units.c.lender_id).where(units.c.name == name))


def put_unit(connection: Connection, lender_id: int, name: str, key: Ed25519PublicKey, now_ms: int) -> int:
    """The unit's id; a new unit is added.

    Raises:
        ValueError: the name belongs to another lender, or to a unit with another key.
    """
    known = connection.execute(
        select(units.c.id, units.c.lender_id, units.c.public_key).where(units.c.name == name)
    ).first()
    if known is None:
        values = {"lender_id": lender_id, "name": name, "public_key": key.public_bytes_raw(), "enrolled_ms": now_ms}
        return int(connection.scalars(insert(units).values(values).returning(units.c.id)).one())
    if known.lender_id != lender_id:
        raise ValueError(f"unit {name} is enrolled for another lender")
    if known.public_key != key.public_bytes_raw():
        raise ValueError(f"unit {name} is enrolled with another key; give the new box a new name")
    return int(known.id)


def assign(connection: Connection, lender_id: int, unit_id: int, vehicle_id: int, now_ms: int) -> None:
    """The unit sits in this vehicle from now on; where it sat before has ended."""
    here = and_(unit_assignments.c.unit_id == unit_id, unit_assignments.c.until_ms.is_(None))
    if connection.scalar(select(unit_assignments.c.vehicle_id).where(here)) == vehicle_id:
        return
    connection.execute(update(unit_assignments).where(here).values(until_ms=now_ms))
    connection.execute(
        insert(unit_assignments).values(
            lender_id=lender_id, unit_id=unit_id, vehicle_id=vehicle_id, since_ms=now_ms, until_ms=None
        )
    )


def put_certificate(
    connection: Connection, lender_id: int, unit_id: int, serial: str, pem: str, not_after_ms: int
) -> None:
    """Keep a certificate that was issued, so that it can be listed and revoked."""
    connection.execute(
        insert(certificates).values(
            lender_id=lender_id, unit_id=unit_id, serial=serial, pem=pem, not_after_ms=not_after_ms
        )
    )


def all_units(connection: Connection) -> list[UnitLine]:
    """Every unit of every lender: for the operator at the console, never for a page."""
    here = and_(unit_assignments.c.unit_id == units.c.id, unit_assignments.c.until_ms.is_(None))
    query = (
        select(units.c.name, lenders.c.name.label("lender"), vehicles.c.vin, units.c.active)
        .join(lenders, lenders.c.id == units.c.lender_id)
        .outerjoin(unit_assignments, here)
        .outerjoin(vehicles, vehicles.c.id == unit_assignments.c.vehicle_id)
        .order_by(units.c.name)
    )
    return [UnitLine(*row) for row in connection.execute(query)]
