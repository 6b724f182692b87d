"""Reading history: the signed batches of a vehicle, decoded only as far as asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from server.store.tables import batches, events
from wire.codec import decode_columns
from wire.seal import stored_body

_TRACK = ("time_utc_ms", "lat_deg", "lon_deg", "speed_mps")


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """One stored position: event time (UTC ms), WGS-84 degrees, speed over ground (m/s)."""

    time_ms: int
    lat_deg: float
    lon_deg: float
    speed_mps: float | None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of a vehicle; `details` is a JSON object of texts."""

    kind: str
    time_ms: int | None
    arrived_ms: int
    details: str


def track(connection: Connection, lender_id: int, vehicle_id: int, from_ms: int, to_ms: int) -> list[TrackPoint]:
    """The vehicle's positions in [from_ms, to_ms) by event time, in order, each time once."""
    points: dict[int, TrackPoint] = {}
    for sealed in _sealed(connection, lender_id, vehicle_id, from_ms, to_ms):
        columns = decode_columns(stored_body(sealed), _TRACK)
        for time_ms, lat, lon, speed in zip(*(columns[name] for name in _TRACK), strict=True):
            if time_ms is not None and lat is not None and lon is not None and from_ms <= time_ms < to_ms:
                points[time_ms] = TrackPoint(time_ms, lat, lon, speed)
    return [points[time_ms] for time_ms in sorted(points)]


def events_of(connection: Connection, lender_id: int, vehicle_id: int, limit: int = 50) -> list[EventRow]:
    """The vehicle's newest events, newest arrival first."""
    query = (
        select(events.c.kind, events.c.time_ms, events.c.arrived_ms, events.c.details)
        .where(events.c.lender_id == lender_id, events.c.vehicle_id == vehicle_id)
        .order_by(events.c.id.desc())
        .limit(limit)
    )
    return [EventRow(*row) for row in connection.execute(query)]


def _sealed(connection: Connection, lender_id: int, vehicle_id: int, from_ms: int, to_ms: int) -> Iterator[bytes]:
    query = select(batches.c.sealed).where(
        batches.c.lender_id == lender_id,
        batches.c.vehicle_id == vehicle_id,
        batches.c.last_time_ms >= from_ms,
        batches.c.first_time_ms < to_ms,
    )
    for row in connection.execute(query):
        yield row.sealed
