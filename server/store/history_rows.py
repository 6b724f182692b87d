"""Reading history: the signed batches of a vehicle, decoded only as far as asked for."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, and_, select

from server.store.tables import batches, events, retimings
from server.watch.retiming import Tie, is_timeless
from wire.codec import decode_columns
from wire.records import PositionSource, TimeQuality
from wire.seal import stored_body

_TRACK = ("time_utc_ms", "time_quality", "mono_s", "lat_deg", "lon_deg", "speed_mps", "position_source")
# Places of cells and Wi-Fi stations are hundreds of metres off: no car has driven from one to the next.
_ROUGH = (PositionSource.CELL, PositionSource.WIFI)


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """One stored position: event time (UTC ms), WGS-84 degrees, speed over ground (m/s).

    `time_quality` is what the unit knew. Where it knew no time, `time_ms` was made from its monotonic clock and is
    right to ± `uncertainty_ms`; None: the time is the unit's own.
    """

    time_ms: int
    lat_deg: float
    lon_deg: float
    speed_mps: float | None
    time_quality: TimeQuality = TimeQuality.GNSS
    uncertainty_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of a vehicle; `details` is a JSON object of texts.

    `time_ms` is None where nobody knows the time (yet); `time_quality` and `uncertainty_ms` as in TrackPoint.
    """

    kind: str
    time_ms: int | None
    arrived_ms: int
    details: str
    time_quality: TimeQuality | None = None
    uncertainty_ms: int | None = None


@dataclass(frozen=True, slots=True)
class _Stored:
    """A batch's signed bytes, and the tie that times what has no time in it."""

    sealed: bytes
    tie: Tie | None


def track(connection: Connection, lender_id: int, vehicle_id: int, from_ms: int, to_ms: int) -> list[TrackPoint]:
    """The vehicle's positions in [from_ms, to_ms) by event time, in order, each time once; rough ones are left out."""
    points: dict[int, TrackPoint] = {}
    for batch in _stored(connection, lender_id, vehicle_id, from_ms, to_ms):
        for point in _points(batch):
            if from_ms <= point.time_ms < to_ms:
                points[point.time_ms] = point
    return [points[time_ms] for time_ms in sorted(points)]


def events_of(connection: Connection, lender_id: int, vehicle_id: int, limit: int = 50) -> list[EventRow]:
    """The vehicle's newest events, newest arrival first."""
    query = (
        select(
            events.c.kind,
            events.c.time_ms,
            events.c.arrived_ms,
            events.c.details,
            events.c.time_quality,
            events.c.uncertainty_ms,
        )
        .where(events.c.lender_id == lender_id, events.c.vehicle_id == vehicle_id)
        .order_by(events.c.id.desc())
        .limit(limit)
    )
    return [
        EventRow(*row[:4], None if row.time_quality is None else TimeQuality(row.time_quality), row.uncertainty_ms)
        for row in connection.execute(query)
    ]


def _points(batch: _Stored) -> Iterator[TrackPoint]:
    columns = decode_columns(stored_body(batch.sealed), _TRACK)
    for own_ms, told, mono_s, lat, lon, speed, source in zip(*(columns[name] for name in _TRACK), strict=True):
        if lat is None or lon is None or source in _ROUGH:
            continue
        quality = TimeQuality(told)
        if not is_timeless(quality):
            if own_ms is not None:
                yield TrackPoint(own_ms, lat, lon, speed, quality)
        elif batch.tie is not None:
            mono_ms = round(mono_s * 1000)
            time_ms, uncertainty_ms = mono_ms + batch.tie.offset_ms, batch.tie.uncertainty_at(mono_ms)
            yield TrackPoint(time_ms, lat, lon, speed, quality, uncertainty_ms)


def _stored(connection: Connection, lender_id: int, vehicle_id: int, from_ms: int, to_ms: int) -> Iterator[_Stored]:
    tie = (retimings.c.offset_ms, retimings.c.at_mono_ms, retimings.c.uncertainty_ms, retimings.c.source)
    of_its_boot = and_(
        batches.c.timeless > 0,
        retimings.c.unit_id == batches.c.unit_id,
        retimings.c.kernel_boot == batches.c.kernel_boot,
    )
    query = (
        select(batches.c.sealed, *tie)
        .outerjoin(retimings, of_its_boot)
        .where(
            batches.c.lender_id == lender_id,
            batches.c.vehicle_id == vehicle_id,
            batches.c.last_time_ms >= from_ms,
            batches.c.first_time_ms < to_ms,
        )
    )
    for sealed, offset_ms, at_mono_ms, uncertainty_ms, source in connection.execute(query):
        held = None if offset_ms is None else Tie(offset_ms, at_mono_ms, uncertainty_ms, TimeQuality(source))
        yield _Stored(sealed, held)
