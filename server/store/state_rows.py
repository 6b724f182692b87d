"""The last known state of each vehicle: read and written under lock, inside the batch's transaction."""

from dataclasses import asdict, fields

from sqlalchemy import Connection, insert, select, update

from server.store.tables import vehicle_states, vehicles
from server.watch.vehicle_state import VehicleState

_COLUMNS = tuple(vehicle_states.c[field.name] for field in fields(VehicleState))


def state_of(connection: Connection, vehicle_id: int) -> VehicleState | None:
    """The state, locked until the transaction ends: a vehicle's two units may come through two workers."""
    query = select(*_COLUMNS).where(vehicle_states.c.vehicle_id == vehicle_id).with_for_update()
    row = connection.execute(query).first()
    if row is None:  # before its first batch there is no state to lock: lock the vehicle (not its key), and look again
        connection.execute(select(vehicles.c.id).where(vehicles.c.id == vehicle_id).with_for_update(key_share=True))
        row = connection.execute(query).first()
    return None if row is None else VehicleState(*row)


def put_state(
    connection: Connection,
    lender_id: int,
    vehicle_id: int,
    unit_id: int,
    state: VehicleState,
    now_ms: int,
    *,
    is_new: bool,
) -> None:
    """Write the state back, with the time of this arrival."""
    values = {**asdict(state), "unit_id": unit_id, "arrived_ms": now_ms}
    if is_new:
        connection.execute(insert(vehicle_states).values(vehicle_id=vehicle_id, lender_id=lender_id, **values))
    else:
        connection.execute(update(vehicle_states).where(vehicle_states.c.vehicle_id == vehicle_id).values(values))


def put_dated(connection: Connection, vehicle_id: int, state: VehicleState) -> None:
    """Write back a state that stored samples have moved since their time is known: nothing was heard just now."""
    held = update(vehicle_states).where(vehicle_states.c.vehicle_id == vehicle_id)
    connection.execute(held.values(asdict(state)))
