"""What the position filter withholds and holds on real drives, and which injected jumps, drags and drifts it sees.

Real drives, untouched: how many fixes are withheld as jumps or zeros, how many places were confirmed (`relocated`), how
many fixes are held, and the share of steps between given-out positions that would need more than 150 km/h, before and
after. Nobody labelled these drives, so these are no error rates.

Injected into the u-blox F9K drive (1 Hz, 28 minutes, fixed seeds), once as it is and once without reported speeds:

* glitch: the position is off by d metres for 1, 3 or 6 s and returns. Caught if none of its fixes is given out.
  `honest_withheld`: true fixes that were withheld with it, per glitch.
* relocation: the position is off by d metres for good (a spoofer). `delay_s`: until it shows.

Injected into the stops of the drive and into one of its positions kept for an hour: a wander of 3 or 6 m (first-order
noise, time constant 60 s) as of an ordinary receiver:

* drift: length of the path of a standing hour, raw and given out (m), and the worst distance from where the car stood.
* drag: after 60 s of standing the position moves at 1 or 0.3 m/s for 340 s, once with the speed told, once with
  speed 0. Seconds until the first position that is not held, and how far at most the positions given out lag behind.

    python -m benchmarks.position_filter --data DIR
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from edge_agent.gnss.nmea import Fix, FixSource, NmeaReader
from edge_agent.gnss.position import CONFIRM_S, METRES_PER_DEGREE, PositionFilter, distance_m

DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SEED = 20261123
KMH = 1 / 3.6
IMPOSSIBLE_MPS = 150 * KMH
CABS = 12
GAP_S = 300.0  # a new drive, and a new filter
Timed = tuple[float, Fix]
Drive = Sequence[Timed]


def fix(lat_deg: float, lon_deg: float, speed_mps: float | None = None) -> Fix:
    return Fix(None, None, lat_deg, lon_deg, None, speed_mps, None, None, None, None)


# --- real drives ------------------------------------------------------------------------------------------------------


def f9k(telemetry: Path) -> list[Drive]:
    (log,) = sorted((telemetry / "ublox_f9k_drive").glob("*F9K*.nmea.gz"))[:1]
    reader = NmeaReader()
    fixes = reader.feed(gzip.decompress(log.read_bytes())) + reader.flush()
    return [[((each.time_of_day_ms or 0) / 1000, each) for each in fixes]]


def comma(telemetry: Path) -> list[Drive]:
    rows = _rows(telemetry / "comma2k19_example" / "gnss_ublox.parquet", "t", "lat", "lon", "speed_mps")
    return [[(t, fix(lat, lon, speed)) for t, lat, lon, speed in rows]]


def cabs(telemetry: Path) -> list[Drive]:
    rows = _rows(telemetry / "cabspotting" / "points.parquet", "cab", "t_unix", "lat_e5", "lon_e5")
    return _drives(((cab, float(t), fix(lat / 1e5, lon / 1e5)) for cab, t, lat, lon in rows), CABS)


def geolife(telemetry: Path) -> list[Drive]:
    rows = _rows(telemetry / "geolife_sample" / "points.parquet", "uid", "datetime", "lat", "lng")
    return _drives((uid, when.timestamp(), fix(lat, lon)) for uid, when, lat, lon in rows)


def cellular(telemetry: Path) -> list[Drive]:
    rows = _rows(telemetry / "gps_cellular_drives" / "traces.parquet", "trace", "Time", "GPS_lat", "GPS_long")
    return _drives((trace, t / 1000, fix(lat, lon)) for trace, t, lat, lon in dict.fromkeys(rows))


def twizy(telemetry: Path) -> list[Drive]:
    rows = _rows(telemetry / "rsk_twizy_ev" / "trips.parquet", "trip", "LAT", "LON", "GpsSpeed")
    return _drives((trip, float(t), fix(lat, lon, speed * KMH)) for t, (trip, lat, lon, speed) in enumerate(rows))


SETS: Sequence[tuple[str, Callable[[Path], list[Drive]]]] = (
    ("ublox_f9k", f9k),
    ("comma2k19", comma),
    (f"cabspotting_{CABS}_cabs", cabs),
    ("geolife", geolife),
    ("gps_cellular", cellular),
    ("twizy", twizy),
)


def _rows(path: Path, *columns: str) -> Iterator[tuple[Any, ...]]:
    table = pq.read_table(path, columns=list(columns))
    return zip(*(table[column].to_pylist() for column in columns), strict=True)


def _drives(rows: Iterable[tuple[Any, float, Fix]], most_keys: int | None = None) -> list[Drive]:
    drives: dict[Any, list[Timed]] = {}
    for key, mono_s, each in rows:
        if key not in drives and len(drives) == most_keys:
            break
        drives.setdefault(key, []).append((mono_s, each))
    return list(drives.values())


def on_real_drives(drives: list[Drive]) -> dict[str, Any]:
    fixes = jumps_before = jumps_after = steps_before = steps_after = 0
    counts = {"jump": 0, "zero": 0, "relocated": 0, "held": 0}
    shares = []
    for drive in drives:
        withheld_before = counts["jump"] + counts["zero"]
        given, filtered = PositionFilter(), []
        for at, (mono_s, each) in enumerate(drive):
            if at and mono_s - drive[at - 1][0] > GAP_S:
                _add(counts, given)
                given = PositionFilter()
            filtered.append((mono_s, given.step(each, mono_s)))
        _add(counts, given)
        placed = sum(1 for _, each in drive if each.lat_deg is not None)
        shares.append(100 * (counts["jump"] + counts["zero"] - withheld_before) / placed)
        fixes += placed
        impossible, steps = _impossible(drive)
        jumps_before, steps_before = jumps_before + impossible, steps_before + steps
        impossible, steps = _impossible(filtered)
        jumps_after, steps_after = jumps_after + impossible, steps_after + steps
    return {
        "fixes": fixes,
        **counts,
        "withheld_percent": _percent(counts["jump"] + counts["zero"], fixes),
        "withheld_percent_median_of_drives": round(statistics.median(shares), 3),
        "over_150_kmh_percent_before": _percent(jumps_before, steps_before),
        "over_150_kmh_percent_after": _percent(jumps_after, steps_after),
    }


def _add(counts: dict[str, int], given: PositionFilter) -> None:
    for name in counts:
        counts[name] += given.counts[name]


def _impossible(drive: Drive) -> tuple[int, int]:
    placed = [(mono_s, *_place(each)) for mono_s, each in drive if each.lat_deg is not None]
    steps = impossible = 0
    for before, after in pairwise(placed):
        passed_s = after[0] - before[0]
        if 0 < passed_s <= GAP_S:
            steps += 1
            impossible += distance_m(*before[1:], *after[1:]) > IMPOSSIBLE_MPS * passed_s
    return impossible, steps


def _place(each: Fix) -> tuple[float, float]:
    assert each.lat_deg is not None
    assert each.lon_deg is not None
    return each.lat_deg, each.lon_deg


# --- injected ---------------------------------------------------------------------------------------------------------


def moved(each: Fix, north_m: float, east_m: float, **other: Any) -> Fix:
    lat_deg, lon_deg = _place(each)
    east_deg = east_m / (METRES_PER_DEGREE * math.cos(math.radians(lat_deg)))
    return replace(each, lat_deg=lat_deg + north_m / METRES_PER_DEGREE, lon_deg=lon_deg + east_deg, **other)


def glitches(drive: Drive, far_m: int, lasts_s: int) -> dict[str, Any]:
    chance = random.Random(SEED + far_m * 10 + lasts_s)
    spacing, caught, partly, honest, count = 40, 0, 0, 0, 0
    for start in range(30, len(drive) - spacing, spacing):
        angle = chance.uniform(0, 2 * math.pi)
        offset = far_m * math.cos(angle), far_m * math.sin(angle)
        given = PositionFilter(hold=False)
        shown = 0
        for at in range(start - 20, start + spacing - 10):
            mono_s, each = drive[at]
            off = start <= at < start + lasts_s
            result = given.step(moved(each, *offset) if off else each, mono_s)
            shown += off and result.lat_deg is not None
            honest += not off and result.lat_deg is None
        count += 1
        caught += shown == 0
        partly += 0 < shown < lasts_s
    return {
        "far_m": far_m,
        "lasts_s": lasts_s,
        "caught_percent": _percent(caught, count),
        "partly_percent": _percent(partly, count),
        "missed_percent": _percent(count - caught - partly, count),
        "honest_withheld": round(honest / count, 2),
    }


def relocations(drive: Drive, far_m: int) -> dict[str, Any]:
    chance = random.Random(SEED + far_m)
    delays = []
    for start in range(30, len(drive) - 60, 40):
        angle = chance.uniform(0, 2 * math.pi)
        given = PositionFilter(hold=False)
        for mono_s, each in drive[start - 20 : start]:
            given.step(each, mono_s)
        for mono_s, each in drive[start : start + 60]:
            off = moved(each, far_m * math.cos(angle), far_m * math.sin(angle))
            if given.step(off, mono_s).lat_deg is not None:
                delays.append(mono_s - drive[start][0])
                break
        else:
            delays.append(math.inf)
    return {"far_m": far_m, "delay_s_median": statistics.median(delays), "delay_s_max": max(delays)}


def stops(drive: Drive, least_s: float = 20.0) -> list[Drive]:
    """Stretches in which the F9K itself, good to half a metre, stood."""
    found: list[list[Timed]] = [[]]
    for timed in drive:
        if timed[1].lat_deg is not None and (timed[1].speed_mps or 0) < 0.3:
            found[-1].append(timed)
        elif found[-1]:
            found.append([])
    return [stop for stop in found if stop and stop[-1][0] - stop[0][0] >= least_s]


def wander(chance: random.Random, scatter_m: float = 3.0, constant_s: float = 60.0) -> Iterator[tuple[float, float]]:
    keep = math.exp(-1 / constant_s)
    north_m, east_m = chance.gauss(0, scatter_m), chance.gauss(0, scatter_m)
    while True:
        yield north_m, east_m
        fresh = scatter_m * math.sqrt(1 - keep * keep)
        north_m, east_m = keep * north_m + chance.gauss(0, fresh), keep * east_m + chance.gauss(0, fresh)


def drift(parked: Drive, scatter_m: float | None, seed: int) -> dict[str, Any]:
    """A standing car: the receiver's own noise (None), or an ordinary one's injected on top."""
    noise = wander(random.Random(seed), scatter_m) if scatter_m else iter(lambda: (0.0, 0.0), None)
    drive = [(mono_s, moved(each, *next(noise))) for mono_s, each in parked]
    given = PositionFilter()
    shown = [(mono_s, given.step(each, mono_s)) for mono_s, each in drive]
    centre = (
        statistics.mean(_place(each)[0] for _, each in parked),
        statistics.mean(_place(each)[1] for _, each in parked),
    )
    return {
        "seconds": drive[-1][0] - drive[0][0],
        "raw_path_m": _path_m(drive),
        "shown_path_m": _path_m(shown),
        "raw_worst_m": max(distance_m(*centre, *_place(each)) for _, each in drive),
        "shown_worst_m": max(distance_m(*centre, *_place(each)) for _, each in shown if each.lat_deg is not None),
    }


def drifts(stretches: Sequence[Drive], scatter_m: float | None) -> dict[str, Any]:
    results = [drift(stretch, scatter_m, SEED + number) for number, stretch in enumerate(stretches)]
    hours = sum(result["seconds"] for result in results) / 3600
    return {
        "stretches": len(results),
        "hours": round(hours, 2),
        "raw_path_m_per_hour": round(sum(result["raw_path_m"] for result in results) / hours),
        "shown_path_m_per_hour": round(sum(result["shown_path_m"] for result in results) / hours),
        "raw_worst_m": round(max(result["raw_worst_m"] for result in results), 1),
        "shown_worst_m": round(max(result["shown_worst_m"] for result in results), 1),
    }


def _path_m(drive: Drive) -> float:
    places = [_place(each) for _, each in drive if each.lat_deg is not None]
    return sum(distance_m(*one, *other) for one, other in pairwise(places))


def still_stretches(drives: Iterable[Drive], within_m: float = 25.0, least_s: float = 300.0) -> list[Drive]:
    """Stretches of unlabelled drives in which every position lies near the first one."""
    found: list[Drive] = []
    for drive in drives:
        start = 0
        for at in range(1, len(drive) + 1):
            ended = at == len(drive) or drive[at][0] - drive[at - 1][0] > 60
            if ended or distance_m(*_place(drive[start][1]), *_place(drive[at][1])) > within_m:
                if drive[at - 1][0] - drive[start][0] >= least_s:
                    found.append(drive[start:at])
                start = at
    return found


def drags(origin: Fix, speed_mps: float, told: bool, tries: int = 50) -> dict[str, Any]:
    released_s: list[int] = []
    lag_m: list[float] = []
    for number in range(tries):
        noise = wander(random.Random(SEED + number))
        given = PositionFilter()
        for second in range(400):
            pulled_m = speed_mps * max(0, second - 60)
            north_m, east_m = next(noise)
            speed = speed_mps if told and pulled_m else 0.0
            each = moved(origin, north_m + pulled_m, east_m, speed_mps=speed, hdop=0.9, time_of_day_ms=None)
            shown = given.step(each, float(second))
            if second >= 60:
                lag_m.append(distance_m(*_place(shown), *_place(each)))
            if second > 60 and shown.source is not FixSource.HELD and len(released_s) == number:
                released_s.append(second - 60)
    return {
        "speed_mps": speed_mps,
        "speed_told": told,
        "released": len(released_s),
        "of": tries,
        "released_s_median": statistics.median(released_s),
        "released_s_max": max(released_s),
        "lag_m_max": round(max(lag_m), 1),
    }


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 3) if whole else None


def measure(telemetry: Path) -> dict[str, Any]:
    (drive,) = f9k(telemetry)
    drive = [(mono_s, each) for mono_s, each in drive if each.lat_deg is not None]
    silent = [(mono_s, replace(each, speed_mps=None)) for mono_s, each in drive]
    result: dict[str, Any] = {"confirm_s": CONFIRM_S, "real": {}}
    for name, load in SETS:
        result["real"][name] = on_real_drives(load(telemetry))
    for name, told in (("with_speed", drive), ("without_speed", silent)):
        result[f"glitches_{name}"] = [
            glitches(told, far_m, lasts_s) for far_m in (50, 100, 200, 500, 1000, 5000) for lasts_s in (1, 3, 6)
        ]
        result[f"relocations_{name}"] = [relocations(told, far_m) for far_m in (100, 500, 1000, 10_000)]
    result["drift_f9k_stops"] = drifts(stops(drive), None)
    result["drift_f9k_stops_wander_3_m"] = drifts(stops(drive), 3.0)
    parked = [(float(second), stops(drive)[0][0][1]) for second in range(3600)]
    for scatter_m in (3.0, 6.0):
        parked = [(mono_s, replace(each, time_of_day_ms=None)) for mono_s, each in parked]
        result[f"drift_parked_hours_wander_{scatter_m:g}_m"] = drifts([parked] * 5, scatter_m)
    result["drift_geolife"] = drifts(still_stretches(geolife(telemetry)), None)
    origin = stops(drive)[0][0][1]
    result["drag"] = [drags(origin, speed, told) for speed in (1.0, 0.3) for told in (True, False)]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PLEDGEWATCH_DATA", DEFAULT_DATA)))
    telemetry = parser.parse_args().data / "telemetry"
    if not telemetry.is_dir():
        print(json.dumps({"skipped": f"no recorded drives below {telemetry}"}))
        return 0
    print(json.dumps(measure(telemetry)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
