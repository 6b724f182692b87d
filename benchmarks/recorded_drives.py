"""Recorded drives as the agent would see them, second by second, for the benchmarks of rules and sampling.

Each recording keeps its own quirks: positions that a slow link repeats for half a minute, OBD values every two or four
seconds, gaps. A value is repeated for at most `STALE_S`, as the agent does. What was not recorded is unknown (None).

`part` splits by vehicle (trip or driver where there is one vehicle): "tune" was used to choose thresholds, "test" was
not. Even places of the sorted names are for tuning, odd ones for testing; with one vehicle and one trip, the first
half by time.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from edge_agent.gnss.nmea import NmeaReader
from edge_agent.rules import Seen
from wire.codec import on_wire
from wire.records import Sample, TimeQuality

STALE_S = 5.0
START_S = 1_000.0
Engine = Literal["running", "off", "unknown"]
Part = Literal["tune", "test"]


@dataclass(frozen=True, slots=True)
class Drive:
    """One trip of one recording."""

    source: str
    name: str
    part: Part
    seconds: list[Seen]

    @property
    def hours(self) -> float:
        return len(self.seconds) / 3600


def drives(data: Path, sources: tuple[str, ...] = ()) -> Iterator[Drive]:
    """All recorded drives below `data`/telemetry, or those of the named sources, one at a time."""
    for source, reader in READERS.items():
        if not sources or source in sources:
            yield from reader(data / "telemetry")


def ved(folder: Path) -> Iterator[Drive]:
    """Position every 5 s, wheels and rpm every 2 s; the split is by vehicle."""
    rows = _table(folder / "ved_sample" / "dynamic.parquet", "veh_id", "trip", "t_ms", "lat", "lon", "speed_kmh", "rpm")
    vehicles = sorted(set(rows["veh_id"]))
    for vehicle, trip in sorted(set(zip(rows["veh_id"], rows["trip"], strict=True))):
        chosen = (rows["veh_id"] == vehicle) & (rows["trip"] == trip)
        yield _drive("ved_sample", f"{vehicle}/{trip}", vehicles.index(vehicle), _columns(rows, chosen, "t_ms", 1000))


def twizy(folder: Path) -> Iterator[Drive]:
    """Positions over a slow link that stand still for up to 36 s; an electric car, so without rpm."""
    rows = _table(folder / "rsk_twizy_ev" / "trips.parquet", "trip", "Speed", "LAT", "LON", "GpsSpeed")
    trips = sorted(set(rows["trip"]))
    for place, trip in enumerate(trips):
        chosen = rows["trip"] == trip
        count = int(chosen.sum())
        columns = {"t_s": np.arange(count, dtype=float), "lat": rows["LAT"][chosen], "lon": rows["LON"][chosen]}
        columns |= {"speed_kmh": rows["Speed"][chosen], "gnss_kmh": rows["GpsSpeed"][chosen]}
        yield _drive("rsk_twizy_ev", trip, place, columns)


def drivers(folder: Path) -> Iterator[Drive]:
    """A row every 4 s (99 % within 7.4 s), a tenth without position; the split is by driver and car."""
    names = ("driver", "t_epoch_ms", "lat", "lon", "speed_kmh", "rpm", "engine_load", "throttle", "coolant_c")
    rows = _table(folder / "obd_gps_19drivers" / "samples.parquet", *names)
    for place, driver in enumerate(sorted(set(rows["driver"]))):
        columns = _columns(rows, rows["driver"] == driver, "t_epoch_ms", 1000)
        columns |= {"load": columns.pop("engine_load") * 100, "throttle": columns["throttle"] * 100}
        yield _drive("obd_gps_19drivers", driver, place, columns)


def kit(folder: Path) -> Iterator[Drive]:
    """Wheels and rpm every 0.9 s, no position; emergency braking and ice among the trips.

    A row brings news of one signal and repeats the others, so the first 1.2 s after a pause repeat what was before it:
    they are left out, because they are no answers of that time.
    """
    path = folder / "kit_obd2" / "trips.parquet"
    rows = _table(path, "trip", "t_s", "speed_kmh", "rpm", "throttle_pct", "coolant_c")
    for place, trip in enumerate(sorted(set(rows["trip"]))):
        columns = _columns(rows, rows["trip"] == trip, "t_s", 1)
        times = columns["t_s"]
        news = np.ones(len(times), dtype=bool)
        for end in np.flatnonzero(np.diff(times) > 2.0):
            news &= (times <= times[end]) | (times > times[end + 1] + 1.2)
        yield _drive("kit_obd2", trip, place, {name: values[news] for name, values in columns.items()})


def carobd(folder: Path) -> Iterator[Drive]:
    """Two rows a second, voltage, no position; sessions begin with the engine off and cranking."""
    names = ("file", "engine_run_time_s", "rpm", "speed_kmh", "module_voltage_v", "engine_load_pct", "throttle_pct")
    rows = _table(folder / "carobd" / "sessions.parquet", *names, "coolant_c", "time_mil_on_min")
    for place, session in enumerate(sorted(set(rows["file"]))):
        chosen = rows["file"] == session
        columns = {name: rows[name][chosen] for name in names[2:]}
        columns |= {"t_s": np.arange(int(chosen.sum())) / 2, "volts": columns["module_voltage_v"]}
        columns["mil"] = (rows["time_mil_on_min"][chosen] > 0).astype(float)
        columns |= {"load": columns["engine_load_pct"], "throttle": columns["throttle_pct"]}
        yield _drive("carobd", session, place, columns)


def ublox(folder: Path) -> Iterator[Drive]:
    """NMEA of a good receiver at 1 Hz through the agent's own reader; no OBD. Halves of the one drive."""
    path = next(iter(sorted((folder / "ublox_f9k_drive").glob("*ublox-F9K*.nmea.gz"))))
    reader = NmeaReader()
    fixes = [*reader.feed(gzip.decompress(path.read_bytes())), *reader.flush()]
    seconds = []
    first_ms = fixes[0].time_of_day_ms or 0
    for index, fix in enumerate(fixes):
        mono_s = START_S + ((fix.time_of_day_ms or 0) - first_ms) / 1000
        gnss = {name: getattr(fix, name) for name in ("lat_deg", "lon_deg", "alt_m", "speed_mps", "course_deg")}
        gnss |= {name: getattr(fix, name) for name in ("fix_quality", "satellites_used", "hdop")}
        sample = on_wire(Sample(mono_s, 1_581_000_000_000 + 1000 * index, TimeQuality.GNSS, **gnss))
        place = None if fix.lat_deg is None or fix.lon_deg is None else (fix.lat_deg, fix.lon_deg)
        seconds.append(Seen(mono_s, sample, raw_position=place))
    half = len(seconds) // 2
    yield Drive("ublox_f9k_drive", "first half", "tune", seconds[:half])
    yield Drive("ublox_f9k_drive", "second half", "test", seconds[half:])


def qatar(folder: Path) -> Iterator[Drive]:
    """A telephone's positions, every 1 to 3 s, with honest leaps; nothing else."""
    rows = _table(folder / "gps_cellular_drives" / "traces.parquet", "trace", "Time", "GPS_lat", "GPS_long")
    for place, trace in enumerate(sorted(set(rows["trace"]))):
        columns = _columns(rows, rows["trace"] == trace, "Time", 1000)
        columns |= {"lat": columns["GPS_lat"], "lon": columns["GPS_long"]}
        yield _drive("gps_cellular_drives", str(trace), place, columns)


def cabs_after_pauses(folder: Path) -> Iterator[Drive]:
    """Cabs that come back after a pause of half an hour or more, half of them elsewhere.

    Seen as a parked unit would: ten minutes standing with the engine off, the pause without a position, then the fixes
    of the next 15 minutes, with an engine that is still thought to be off for the first 20 s. The split is by cab.
    """
    rows = _table(folder / "cabspotting" / "points.parquet", "cab", "t_unix", "lat_e5", "lon_e5")
    for place, cab in enumerate(sorted(set(rows["cab"]))):
        chosen = rows["cab"] == cab
        t_s, lat, lon = rows["t_unix"][chosen], rows["lat_e5"][chosen] / 1e5, rows["lon_e5"][chosen] / 1e5
        order = np.argsort(t_s, kind="stable")
        t_s, lat, lon = t_s[order], lat[order], lon[order]
        for end in np.flatnonzero(np.diff(t_s) >= 1800):
            seconds = [_parked(START_S + i, float(lat[end]), float(lon[end])) for i in range(600)]
            back_s = START_S + float(t_s[end + 1] - t_s[end])
            after = np.flatnonzero((t_s > t_s[end]) & (t_s <= t_s[end + 1] + 900))
            told = {int(t_s[i] - t_s[end + 1]): (float(lat[i]), float(lon[i])) for i in after}
            for i in range(900):
                mono_s = back_s + i
                where = told.get(i)
                sample = Sample(mono_s, None, TimeQuality.NONE, *(where or (None, None)), fix_quality=int(bool(where)))
                engine: Engine = "off" if i < 20 else "running"
                seconds.append(Seen(mono_s, sample, engine, obd_port="car silent", raw_position=where))
            yield Drive("cabspotting", f"{cab}/{t_s[end]}", _part(place), seconds)


READERS = {
    "ved_sample": ved,
    "rsk_twizy_ev": twizy,
    "obd_gps_19drivers": drivers,
    "kit_obd2": kit,
    "carobd": carobd,
    "ublox_f9k_drive": ublox,
    "gps_cellular_drives": qatar,
    "cabspotting": cabs_after_pauses,
}


def _parked(mono_s: float, lat_deg: float, lon_deg: float) -> Seen:
    sample = Sample(mono_s, None, TimeQuality.NONE, lat_deg, lon_deg, fix_quality=1)
    return Seen(mono_s, sample, "off", obd_port="car silent", raw_position=(lat_deg, lon_deg))


def _part(place: int) -> Part:
    return "test" if place % 2 else "tune"


def _table(path: Path, *names: str) -> dict[str, Any]:
    table = pq.read_table(path, columns=list(names))
    return {name: table[name].to_numpy() for name in names}


def _columns(rows: dict[str, Any], chosen: Any, time: str, per_second: int) -> dict[str, Any]:
    columns = {name: values[chosen] for name, values in rows.items()}
    columns["t_s"] = columns[time].astype(float) / per_second
    return columns


def _drive(source: str, name: str, place: int, columns: dict[str, Any]) -> Drive:
    return Drive(source, name, _part(place), seconds_of(columns))


def seconds_of(columns: dict[str, Any]) -> list[Seen]:
    """Rows with a time `t_s` → one Seen a second, from the newest row that is at most STALE_S old."""
    order = np.argsort(columns["t_s"], kind="stable")
    rows = {name: values[order] for name, values in columns.items()}
    times = rows["t_s"] - rows["t_s"][0]
    seconds = []
    for second in range(int(times[-1]) + 1):
        row = int(np.searchsorted(times, second, side="right")) - 1
        mono_s = START_S + second
        seconds.append(_seen(rows, row, mono_s, START_S + float(times[row]), second - float(times[row]) <= STALE_S))
    return seconds


def _seen(rows: dict[str, Any], row: int, mono_s: float, row_mono_s: float, fresh: bool) -> Seen:
    if not fresh:
        silent = Sample(mono_s, round(mono_s * 1000), TimeQuality.NTP, fix_quality=0 if "lat" in rows else None)
        return Seen(mono_s, silent, obd_port="car silent" if "speed_kmh" in rows else "none configured")
    said = {name: _number(rows, name, row) for name in _NAMES}
    lat, lon = said["lat"], said["lon"]
    place = None if lat is None or lon is None or abs(lat) < 0.001 else (lat, lon)
    gnss_kmh = said["gnss_kmh"] if place else None
    mil = said["mil"]
    sample = on_wire(
        Sample(
            mono_s,
            round(mono_s * 1000),
            TimeQuality.GNSS if place else TimeQuality.NTP,
            *(place or (None, None)),
            speed_mps=None if gnss_kmh is None else gnss_kmh / 3.6,
            fix_quality=(1 if place else 0) if "lat" in rows else None,
            obd_speed_kmh=said["speed_kmh"],
            engine_rpm=said["rpm"],
            coolant_temp_c=said["coolant_c"],
            engine_load_pct=said["load"],
            throttle_pct=said["throttle"],
            module_voltage_v=said["volts"],
            mil_on=None if mil is None else int(mil),
        )
    )
    return Seen(
        mono_s,
        sample,
        _engine(said),
        said["volts"],
        obd_port="answering" if "speed_kmh" in rows else "none configured",
        obd_speed_mono_s=row_mono_s if said["speed_kmh"] is not None else None,
        raw_position=place,
    )


_NAMES = ("lat", "lon", "speed_kmh", "rpm", "gnss_kmh", "volts", "mil", "coolant_c", "load", "throttle")


def _number(rows: dict[str, Any], name: str, row: int) -> float | None:
    value = float(rows[name][row]) if name in rows and rows[name][row] is not None else None
    return None if value is None or np.isnan(value) else value


def _engine(said: dict[str, float | None]) -> Engine:
    """The most naive finding, as a test of the rules: a hybrid at 0 rpm and an electric car at rest are off."""
    turning = said["rpm"] if said["rpm"] is not None else said["speed_kmh"]
    return "unknown" if turning is None else "running" if turning > 0 else "off"
