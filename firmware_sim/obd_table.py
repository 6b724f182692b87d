"""Recorded OBD values in a Parquet table → what the car says when. The only file that reads Parquet.

Columns are recognised by name; the tables below are the whole rule. A value holds until the next one of its column;
before a column's first value that first value holds, so that the car supports the same PIDs throughout.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from firmware_sim.j1979 import PID_BY_FIELD, CarSnapshot
from firmware_sim.roads.recorded import Look, looks_of_columns
from firmware_sim.timeline import CarAt

# column → seconds per unit; the first that is there is the clock. `row` is for tables without any: two rows a second.
TIME_COLUMNS: tuple[tuple[str, float], ...] = (
    ("t_s", 1.0),
    ("t_ms", 1e-3),
    ("t_epoch_ms", 1e-3),
    ("t_unix", 1.0),
    ("row", 0.5),
)
TRIP_COLUMNS: tuple[str, ...] = ("trip", "driver", "file")

# Every PID's field is also a column name; these are further names: column → field, factor to the field's unit.
OTHER_NAMES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {
        "engine_load": ("engine_load_pct", 100.0),  # shares of 1
        "throttle": ("throttle_pct", 100.0),
        "fuel_level": ("fuel_level_pct", 100.0),
        "stft1": ("stft1_pct", 100.0),
        "oat_c": ("ambient_c", 1.0),
        "Speed": ("speed_kmh", 1.0),
    }
)
# What a drive is read from: what looks_of_columns wants → the names that it may have.
_LOOK_COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"lat": ("lat", "lat_deg"), "lon": ("lon", "lng", "lon_deg"), "speed_kmh": ("speed_kmh", "Speed"), "rpm": ("rpm",)}
)
_RUNNING_V, _RESTING_V = 13.8, 12.4  # at the adapter, where the table has no voltage


class TableError(ValueError):
    """Not a table that can be played; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class ObdTable:
    """One recorded trip. `used` maps columns to the car's fields; `unused` are the columns nobody can ask for."""

    events: tuple[CarAt, ...]
    time_column: str
    used: Mapping[str, str]
    unused: tuple[str, ...]
    trip: str | None
    trips: int

    @property
    def duration_s(self) -> float:
        return self.events[-1].t_s


def read_obd_table(path: Path, trip: str | None, vin: str) -> ObdTable:
    """One trip of a table (the first where none is named), its time counted from its first row. Raises TableError."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise TableError("it cannot be read as a Parquet table") from error
    names: list[str] = list(file.schema_arrow.names)
    clock = next((column for column in TIME_COLUMNS if column[0] in names), None)
    if clock is None:
        raise TableError(f"it has no time column ({', '.join(name for name, _ in TIME_COLUMNS)})")
    trip_column = next((name for name in TRIP_COLUMNS if name in names), None)
    chosen, trips = _choose_trip(file, trip_column, trip)
    known = [name for name in names if name in OTHER_NAMES or name in PID_BY_FIELD]
    filters = None if trip_column is None else pc.field(trip_column).cast(pa.string()) == chosen
    table = pq.read_table(path, columns=[clock[0], *known], filters=filters)
    columns = {name: _filled(table.column(name)) for name in known}
    values = {name: column for name, column in columns.items() if column is not None}
    if table.column(clock[0]).null_count:
        raise TableError(f"its time column {clock[0]} has gaps")
    ticks = table.column(clock[0]).to_pylist()
    times = [float(tick - ticks[0]) * clock[1] for tick in ticks]  # whole milliseconds since 1970 would lose digits
    if not values or not times:
        raise TableError("none of its columns holds a value that a car reports; `pledgewatch-sim list` names them")
    return ObdTable(
        events=tuple(_events(times, values, vin)),
        time_column=clock[0],
        used=MappingProxyType({name: _meaning(name)[0] for name in values}),
        unused=tuple(name for name in names if name not in values and name not in (clock[0], trip_column)),
        trip=chosen,
        trips=trips,
    )


def read_looks(path: Path, trip: str | None = None) -> Iterator[Look]:
    """Where one trip of a table was, and how fast, from its first row on. Raises TableError."""
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise TableError("it cannot be read as a Parquet table") from error
    names: list[str] = list(file.schema_arrow.names)
    clock = next((column for column in TIME_COLUMNS if column[0] in names), None)
    found = {field: next((each for each in wanted if each in names), "") for field, wanted in _LOOK_COLUMNS.items()}
    if clock is None or not (found["lat"] and found["lon"]):
        raise TableError("a drive needs a time column and positions: t_s (or t_ms, t_unix), lat and lon")
    trip_column = next((name for name in TRIP_COLUMNS if name in names), None)
    chosen, _ = _choose_trip(file, trip_column, trip)
    filters = None if trip_column is None else pc.field(trip_column).cast(pa.string()) == chosen
    table = pq.read_table(path, columns=[clock[0], *filter(None, found.values())], filters=filters)
    ticks = table.column(clock[0]).to_pylist()
    values = {field: table.column(name).to_pylist() for field, name in found.items() if name}
    return looks_of_columns({"t_s": [None if t is None else float(t - ticks[0]) * clock[1] for t in ticks], **values})


def _choose_trip(file: Any, column: str | None, wanted: str | None) -> tuple[str | None, int]:
    """The trip to play and how many there are; tables without a trip column hold one trip without a name."""
    if column is None:
        if wanted is not None:
            raise TableError(
                f"it holds one trip without a name ({', '.join(TRIP_COLUMNS)} are missing): leave --trip out"
            )
        return None, 1
    trips = [str(name) for name in file.read(columns=[column]).column(column).unique().to_pylist()]
    if wanted is None:
        return trips[0], len(trips)
    if wanted not in trips:
        raise TableError(f"it has no trip {wanted!r}; it has {', '.join(trips[:5])}{', ...' if len(trips) > 5 else ''}")
    return wanted, len(trips)


def _meaning(column: str) -> tuple[str, float]:
    return OTHER_NAMES.get(column, (column, 1.0))


def _filled(column: Any) -> Sequence[float] | None:
    """The column with its gaps filled from before, and at its start from behind; None where it is all gap or text."""
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return None
    numbers = pc.fill_null_backward(
        pc.fill_null_forward(pc.if_else(pc.is_nan(pc.cast(column, pa.float64())), None, column))
    )
    filled: list[float] = numbers.to_pylist()
    return filled if numbers.null_count == 0 else None


def _events(times: Sequence[float], values: Mapping[str, Sequence[float]], vin: str) -> Iterator[CarAt]:
    blank = CarSnapshot(vin=vin)
    meanings = {name: _meaning(name) for name in values}
    latest_s = 0.0
    for row, time_s in enumerate(times):
        latest_s = max(latest_s, time_s)  # a row that steps back in time is played at once
        seen: dict[str, Any] = {field: values[name][row] * factor for name, (field, factor) in meanings.items()}
        volts = seen.get("module_voltage_v", _RUNNING_V if seen.get("rpm", 1) > 0 else _RESTING_V)
        yield CarAt(latest_s, replace(blank, battery_v=volts, **seen))
