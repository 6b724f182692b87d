"""The JSON twins: what a page shows, as data. Positions are WGS-84; `map_lat` and `map_lon` are for drawing only."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from server.store.history_rows import EventRow, or_none
from server.store.quarantine_rows import QuarantineCount, Refused
from server.store.vehicle_rows import VehicleRow
from server.web.datum import to_map
from server.web.display import iso_utc
from server.web.refusal_texts import is_alarm
from server.web.track_drawing import DrawnTrack
from server.web.vehicle_status import status_of
from wire.records import TimeQuality
from wire.topics import unit_of

_MAP_DIGITS = 7
_QUALITIES = {int(quality): quality.name.lower() for quality in TimeQuality}


def vehicle_json(row: VehicleRow, datum: str, now_ms: int) -> dict[str, Any]:
    """One vehicle with its last known state (null where nothing was heard)."""
    drawn = None
    if row.state is not None and row.state.lat_deg is not None and row.state.lon_deg is not None:
        drawn = to_map(datum, row.state.lat_deg, row.state.lon_deg)
    return {
        "id": row.id,
        "vin": row.vin,
        "plate": row.plate,
        "label": row.label,
        "unit": row.unit,
        "status": status_of(row, now_ms),
        "arrived_ms": row.arrived_ms,
        "arrived_utc": iso_utc(row.arrived_ms),
        "state": None if row.state is None else asdict(row.state),
        "map_lat": None if drawn is None else round(drawn[0], _MAP_DIGITS),
        "map_lon": None if drawn is None else round(drawn[1], _MAP_DIGITS),
    }


def vehicles_json(rows: Iterable[VehicleRow], datum: str, now_ms: int, *, more: bool) -> dict[str, Any]:
    """Many vehicles; `more` says that not all fitted."""
    return {
        "map_datum": datum,
        "as_of_ms": now_ms,
        "more": more,
        "vehicles": [vehicle_json(row, datum, now_ms) for row in rows],
    }


def track_json(track: DrawnTrack, datum: str) -> dict[str, Any]:
    """A track as parallel arrays; `gaps` are the indices of points before which nothing was heard for a while.

    `time_quality` is what the unit knew of the time; `uncertainty_ms` is null where the time is its own, and else how
    exactly it could be made from the unit's monotonic clock.
    """
    points = track.points
    lat_deg, lon_deg = points.lat_deg.tolist(), points.lon_deg.tolist()
    on_map = [to_map(datum, lat, lon) for lat, lon in zip(lat_deg, lon_deg, strict=True)]
    return {
        "map_datum": datum,
        "stored": track.stored,
        "drawn": len(points),
        "gaps": list(track.gaps),
        "time_ms": points.time_ms.tolist(),
        "time_quality": [_QUALITIES[quality] for quality in points.time_quality.tolist()],
        "uncertainty_ms": [None if off is None else int(off) for off in or_none(points.uncertainty_ms)],
        "lat_deg": lat_deg,
        "lon_deg": lon_deg,
        "speed_mps": or_none(points.speed_mps),
        "map_lat": [round(lat, _MAP_DIGITS) for lat, _ in on_map],
        "map_lon": [round(lon, _MAP_DIGITS) for _, lon in on_map],
    }


def event_json(event: EventRow) -> dict[str, Any]:
    """One event, as the unit told it."""
    return {
        "kind": event.kind,
        "time_ms": event.time_ms,
        "time_utc": iso_utc(event.time_ms),
        "time_quality": None if event.time_quality is None else event.time_quality.name.lower(),
        "uncertainty_ms": event.uncertainty_ms,
        "arrived_ms": event.arrived_ms,
        "details": event.details,
    }


def refusals_json(counts: Iterable[QuarantineCount], newest: Iterable[Refused]) -> dict[str, Any]:
    """Refusals by reason, and the payloads that were refused last."""
    return {
        "refusals": [
            {
                "reason": each.reason,
                "is_alarm": is_alarm(each.reason),
                "times": each.times,
                "units": each.units,
                "last_ms": each.last_ms,
                "last_utc": iso_utc(each.last_ms),
            }
            for each in counts
        ],
        "newest": [
            {
                "id": each.id,
                "unit": unit_of(each.topic),
                "topic": each.topic,
                "reason": each.reason,
                "detail": each.detail,
                "size": each.size,
                "times": each.times,
                "first_ms": each.first_ms,
                "last_ms": each.last_ms,
                "last_utc": iso_utc(each.last_ms),
                "outcome": each.outcome,
                "settled_ms": each.settled_ms,
            }
            for each in newest
        ],
    }
