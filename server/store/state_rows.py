"""The last known state of each vehicle: read and written under lock, inside the transaction of the batches."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from server.store.fleet_rows import Unit
from server.store.tables import vehicle_states, vehicles
from server.watch.vehicle_state import VehicleState

_NAMES = tuple(field.name for field in fields(VehicleState))
_COLUMNS = tuple(vehicle_states.c[name] for name in _NAMES)
Moved = tuple[int, Unit, VehicleState]  # vehicle id, the unit that told it, what is known now


def states_of(connection: Connection, vehicle_ids: Collection[int]) -> dict[int, VehicleState]:
    """The states, locked until the transaction ends: a vehicle's two units may come through two workers."""
    found = _states(connection, vehicle_ids)
    if unknown := sorted(set(vehicle_ids) - found.keys()):
        # Before its first batch there is no state to lock: lock the vehicle (not its key), and look again.
        first = select(vehicles.c.id).where(vehicles.c.id.in_(unknown)).order_by(vehicles.c.id)
        connection.execute(first.with_for_update(key_share=True)).all()
        found |= _states(connection, unknown)
    return found


def state_of(connection: Connection, vehicle_id: int) -> VehicleState | None:
    """One state, locked likewise."""
    return states_of(connection, [vehicle_id]).get(vehicle_id)


def put_states(connection: Connection, changed: Sequence[Moved], new: Sequence[Moved], now_ms: int) -> None:
    """Write states back, with the time of this arrival; `new` are of vehicles that had none."""
    if changed:
        rows = [{f"to_{name}": value for name, value in _row(each, now_ms).items()} for each in changed]
        held = update(vehicle_states).where(vehicle_states.c.vehicle_id == bindparam("to_vehicle_id"))
        names = (*_NAMES, "unit_id", "arrived_ms")
        connection.execute(held.values({name: bindparam(f"to_{name}") for name in names}), rows)
    if new:
        added = [{"lender_id": unit.lender_id, **_row((vehicle, unit, state), now_ms)} for vehicle, unit, state in new]
        connection.execute(insert(vehicle_states), added)


def put_dated(connection: Connection, vehicle_id: int, state: VehicleState) -> None:
    """Write back a state that stored samples have moved since their time is known: nothing was heard just now."""
    held = update(vehicle_states).where(vehicle_states.c.vehicle_id == vehicle_id)
    connection.execute(held.values(_values(state)))


def _states(connection: Connection, vehicle_ids: Collection[int]) -> dict[int, VehicleState]:
    query = select(vehicle_states.c.vehicle_id, *_COLUMNS).where(vehicle_states.c.vehicle_id.in_(vehicle_ids))
    rows = connection.execute(query.order_by(vehicle_states.c.vehicle_id).with_for_update())
    return {vehicle_id: VehicleState(*values) for vehicle_id, *values in rows}


def _row(moved: Moved, now_ms: int) -> dict[str, Any]:
    vehicle_id, unit, state = moved
    return {"vehicle_id": vehicle_id, "unit_id": unit.id, "arrived_ms": now_ms, **_values(state)}


def _values(state: VehicleState) -> dict[str, Any]:
    return {name: getattr(state, name) for name in _NAMES}
