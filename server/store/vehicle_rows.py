"""Vehicles as the pages read them: with their unit and last known state. Every query names one lender."""

from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Connection, Row, ScalarSelect, Select, and_, func, insert, or_, select

from server.store.tables import unit_assignments, units, vehicle_states, vehicles
from server.watch.vehicle_state import VehicleState

_STATE_COLUMNS = tuple(vehicle_states.c[field.name] for field in fields(VehicleState))


@dataclass(frozen=True, slots=True)
class VehicleRow:
    """A vehicle, the units that sit in it now, and its state; `arrived_ms` (UTC ms) is when it was last heard of."""

    id: int
    vin: str
    plate: str | None
    label: str | None
    unit: str | None
    arrived_ms: int | None
    state: VehicleState | None


def vehicle_id_of(connection: Connection, lender_id: int, vin: str, plate: str | None, label: str | None) -> int:
    """The id of (lender, VIN); a new vehicle is added."""
    known = connection.scalar(select(vehicles.c.id).where(vehicles.c.lender_id == lender_id, vehicles.c.vin == vin))
    if known is not None:
        return int(known)
    values = {"lender_id": lender_id, "vin": vin, "plate": plate, "label": label}
    return int(connection.scalars(insert(vehicles).values(values).returning(vehicles.c.id)).one())


def vehicles_of(connection: Connection, lender_id: int, search: str = "", limit: int = 200) -> list[VehicleRow]:
    """The lender's vehicles, last heard of first; `search` is part of a VIN, plate, label or unit name."""
    query = _vehicles(lender_id)
    if search:
        texts = (vehicles.c.vin, vehicles.c.plate, vehicles.c.label, _unit_names())
        query = query.where(or_(*(text.icontains(search, autoescape=True) for text in texts)))
    query = query.order_by(vehicle_states.c.arrived_ms.desc().nulls_last(), vehicles.c.id).limit(limit)
    return [_row(row) for row in connection.execute(query)]


def vehicle(connection: Connection, lender_id: int, vehicle_id: int) -> VehicleRow | None:
    """One vehicle of this lender, or None."""
    row = connection.execute(_vehicles(lender_id).where(vehicles.c.id == vehicle_id)).first()
    return None if row is None else _row(row)


def _vehicles(lender_id: int) -> Select[Any]:
    return (
        select(
            vehicles.c.id,
            vehicles.c.vin,
            vehicles.c.plate,
            vehicles.c.label,
            _unit_names().label("unit"),
            vehicle_states.c.arrived_ms,
            *_STATE_COLUMNS,
        )
        .select_from(vehicles)
        .outerjoin(vehicle_states, vehicle_states.c.vehicle_id == vehicles.c.id)
        .where(vehicles.c.lender_id == lender_id)
    )


def _unit_names() -> ScalarSelect[str]:
    """The units that sit in the vehicle now, comma-separated: a wired and a wireless one are common."""
    here = and_(unit_assignments.c.vehicle_id == vehicles.c.id, unit_assignments.c.until_ms.is_(None))
    names = select(units.c.name).join(unit_assignments, unit_assignments.c.unit_id == units.c.id).where(here)
    ordered = names.correlate(vehicles).order_by(units.c.name).subquery()
    return select(func.aggregate_strings(ordered.c.name, ", ")).correlate(vehicles).scalar_subquery()


def _row(row: Row[Any]) -> VehicleRow:
    state = None
    if row.arrived_ms is not None:
        state = VehicleState(**{column.name: getattr(row, column.name) for column in _STATE_COLUMNS})
    return VehicleRow(row.id, row.vin, row.plate, row.label, row.unit, row.arrived_ms, state)
