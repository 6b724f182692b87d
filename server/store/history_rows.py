"""Reading history: the signed batches of a vehicle, decoded only as far as asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, and_, select

from server.columns import Floats, Ints, read_many
from server.store.tables import batches, events, retimings
from server.watch.retiming import DRIFT_PPM
from wire.records import PositionSource, TimeQuality
from wire.seal import stored_body

_TRACK = ("time_utc_ms", "time_quality", "mono_s", "lat_deg", "lon_deg", "speed_mps", "position_source")
# Places of cells and Wi-Fi stations are hundreds of metres off: no car has driven from one to the next.
_ROUGH = (PositionSource.CELL, PositionSource.WIFI)


class TrackPoint(NamedTuple):
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
class Track:
    """Positions in order of time, as columns of one length; NaN where TrackPoint has None."""

    time_ms: Ints
    lat_deg: Floats
    lon_deg: Floats
    speed_mps: Floats
    time_quality: Ints
    uncertainty_ms: Floats

    def __len__(self) -> int:
        return int(self.time_ms.size)

    def at(self, which: Ints | slice) -> "Track":
        """The points at these indices."""
        return Track(*(getattr(self, each.name)[which] for each in fields(self)))

    def points(self) -> list[TrackPoint]:
        """One after the other."""
        rows = zip(*(or_none(getattr(self, each.name)) for each in fields(self)), strict=True)
        return [
            TrackPoint(time_ms, lat, lon, speed, TimeQuality(quality), None if off is None else int(off))
            for time_ms, lat, lon, speed, quality, off in rows
        ]


def or_none(column: Ints | Floats) -> list[Any]:
    """A column as a list, None for NaN."""
    return [None if value != value else value for value in column.tolist()]


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


def track(connection: Connection, lender_id: int, vehicle_id: int, from_ms: int, to_ms: int) -> Track:
    """The vehicle's positions in [from_ms, to_ms) by event time, in order, each time once; rough ones are left out."""
    rows = _stored(connection, lender_id, vehicle_id, from_ms, to_ms)
    samples, counts = read_many((stored_body(row[0]) for row in rows), _TRACK)
    quality = samples["time_quality"]
    time_ms = samples["time_utc_ms"].copy()
    uncertainty_ms = np.full(samples.count, np.nan)
    is_late = quality >= TimeQuality.FLOOR
    if is_late.any():  # these have no time of their own: the tie of their kernel boot makes one, where there is one
        ties = np.array([row[1:] for row in rows], np.float64)  # None becomes NaN, and so does what is made of it
        offset_ms, at_mono_ms, off_ms = np.repeat(ties, counts, axis=0)[is_late].T
        mono_ms = np.rint(samples["mono_s"][is_late] * 1000)
        time_ms[is_late] = mono_ms + offset_ms
        uncertainty_ms[is_late] = off_ms + np.abs(mono_ms - at_mono_ms) * DRIFT_PPM // 1_000_000
    lat_deg, lon_deg = samples["lat_deg"], samples["lon_deg"]
    is_rough = np.isin(samples["position_source"], _ROUGH) if "position_source" in samples else np.False_
    # A comparison with NaN is false: what has no time is not between the two.
    is_wanted = (time_ms >= from_ms) & (time_ms < to_ms) & ~np.isnan(lat_deg) & ~np.isnan(lon_deg) & ~is_rough
    at = np.flatnonzero(is_wanted)
    at = at[np.argsort(time_ms[at], kind="stable")]
    is_last = np.append(np.diff(time_ms[at]) != 0, True)[: at.size]  # of those of one time
    at = at[is_last]
    return Track(
        time_ms[at].astype(np.int64),
        lat_deg[at],
        lon_deg[at],
        samples["speed_mps"][at],
        quality[at].astype(np.int64),
        uncertainty_ms[at],
    )


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


def _stored(
    connection: Connection, lender_id: int, vehicle_id: int, from_ms: int, to_ms: int
) -> Sequence[tuple[Any, ...]]:
    """Signed bytes of batches, and of the tie that times what has no time in them: offset, where it was made, ± ms."""
    of_its_boot = and_(
        batches.c.timeless > 0,
        retimings.c.unit_id == batches.c.unit_id,
        retimings.c.kernel_boot == batches.c.kernel_boot,
    )
    query = (
        select(batches.c.sealed, retimings.c.offset_ms, retimings.c.at_mono_ms, retimings.c.uncertainty_ms)
        .outerjoin(retimings, of_its_boot)
        .where(
            batches.c.lender_id == lender_id,
            batches.c.vehicle_id == vehicle_id,
            batches.c.last_time_ms >= from_ms,
            batches.c.first_time_ms < to_ms,
        )
        .order_by(batches.c.id)
    )
    return [tuple(row) for row in connection.execute(query)]
