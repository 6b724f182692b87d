"""Cells of mobile networks → where they are, from an offline list; and what a modem or a command says → a cell or
place. Pure.

The list is a CSV as OpenCelliD and Mozilla's archive have it: with a heading (`mcc`, `net` or `mnc`, `area` or `lac`
or `tac`, `cell` or `cid`, `lat`, `lon`, `range`, in any order), or without one in OpenCelliD's order. It is kept in 20
bytes a cell, so a province fits into an agent of 100 MiB; more than `MAX_CELLS` rows are refused, cut the list to the
region.

A cell's identity is MCC 10 bits, MNC 10, area code (LAC, TAC) 16, cell 28: 3GPP TS 23.003, 4.3 and 19.6 (GSM, UMTS,
LTE). NR cells have 36 bits and are passed over.
"""

from __future__ import annotations

import csv
import json
import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_agent.gnss.nmea import FixSource
from edge_agent.gnss.position_source import MAX_ACCURACY_M, RoughPosition

MAX_CELLS = 500_000
MAX_ANSWER_CHARACTERS = 20_000
# A third of the true positions lies farther from the cell than this share of its listed range, or than the least.
ACCURACY_OF_RANGE = 0.5
LEAST_ACCURACY_M = 500.0
UNKNOWN_ACCURACY_M = 1500.0  # the list gives no range
OPENCELLID_COLUMNS = ("radio", "mcc", "net", "area", "cell", "unit", "lon", "lat", "range")
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "mcc": ("mcc",),
    "mnc": ("net", "mnc"),
    "area": ("area", "lac", "tac"),
    "cell": ("cell", "cid", "ci"),
    "lat": ("lat",),
    "lon": ("lon",),
    "range": ("range",),
}


class CellListError(ValueError):
    """A list of cells that cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a mobile network; `area` is the LAC (GSM, UMTS) or TAC (LTE)."""

    mcc: int
    mnc: int
    area: int
    cell: int

    @property
    def key(self) -> int | None:
        """64 bits; None if a part does not fit."""
        fits = 0 < self.mcc < 1000 and 0 <= self.mnc < 1000 and 0 <= self.area < 1 << 16 and 0 <= self.cell < 1 << 28
        return ((self.mcc << 10 | self.mnc) << 16 | self.area) << 28 | self.cell if fits else None


@dataclass(frozen=True, slots=True)
class Place:
    """A position and how good it is."""

    lat_deg: float
    lon_deg: float
    accuracy_m: float
    source: FixSource

    def at(self, mono_s: float) -> RoughPosition:
        return RoughPosition(self.lat_deg, self.lon_deg, self.accuracy_m, self.source, mono_s)


class CellTable:
    """Positions of cells, found by bisection."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read CSV `lines`; rows that cannot be read are counted in `skipped`.

        Raises:
            CellListError: no readable row, or more than MAX_CELLS.
        """
        self.skipped = 0
        keys, places = array("Q"), array("f")
        columns: Mapping[str, int] | None = None
        try:
            for row in csv.reader(lines):
                if columns is None:
                    columns = _columns(row)
                    if "lat" in (name.strip().lower() for name in row):
                        continue
                cell = _read(row, columns)
                if cell is None:
                    self.skipped += 1
                    continue
                keys.append(cell[0])
                places.extend(cell[1])
                if len(keys) > MAX_CELLS:
                    raise CellListError(f"more than {MAX_CELLS} cells: cut the list to the region")
        except csv.Error as error:
            raise CellListError(f"no CSV: {error}") from error
        if not keys:
            raise CellListError("no cells in it")
        order = sorted(range(len(keys)), key=keys.__getitem__)  # of rows of one cell the last is found
        self._keys = array("Q", (keys[index] for index in order))
        self._places = array("f", (value for index in order for value in places[3 * index : 3 * index + 3]))

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, cell: Cell) -> Place | None:
        """Where the cell is (to a metre), with the accuracy of "the unit is near it"."""
        key = cell.key
        if key is None:
            return None
        index = bisect_right(self._keys, key) - 1
        if index < 0 or self._keys[index] != key:
            return None
        lat_deg, lon_deg, range_m = self._places[3 * index : 3 * index + 3]
        return Place(lat_deg, lon_deg, _accuracy_m(range_m), FixSource.CELL)


def read_answer(text: str) -> Cell | Place | None:
    """What `mmcli --location-get --output-json` or the configured command printed; None if it names no place.

    A command prints one object: `lat`, `lon`, `accuracy_m` and perhaps `source` ("cell" or "wifi"), or `mcc`, `mnc`,
    `lac` (or `tac`), `cid` as decimal numbers. ModemManager nests texts: `lac`, `tac` and `cid` in hexadecimal, `--`
    for none.
    """
    try:
        said = json.loads(text[:MAX_ANSWER_CHARACTERS])
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    if "modem" in said:
        return _modem_cell(said)
    if "lat" in said or "lon" in said:
        return _told_place(said)
    parts = [said.get("mcc"), said.get("mnc"), said.get("lac", said.get("tac")), said.get("cid")]
    return _cell([part for part in parts if type(part) is int])


def _modem_cell(said: Mapping[str, object]) -> Cell | None:
    where: object = said
    for name in ("modem", "location", "3gpp"):
        where = where.get(name) if isinstance(where, dict) else None
    if not isinstance(where, dict):
        return None
    # FFFE is "no LAC" (3GPP TS 23.003, 4.1) where the modem is on LTE and gives a TAC; 0 is none as well.
    areas = [area for name in ("lac", "tac") if (area := _number(where.get(name), 16)) not in (None, 0, 0xFFFE)]
    parts = [_number(where.get("mcc"), 10), _number(where.get("mnc"), 10), areas[0] if areas else None]
    return _cell([part for part in (*parts, _number(where.get("cid"), 16)) if part is not None])


def _cell(parts: Sequence[int]) -> Cell | None:
    if len(parts) != 4:
        return None
    cell = Cell(*parts)
    return None if cell.key is None else cell


def _told_place(said: Mapping[str, object]) -> Place | None:
    lat_deg, lon_deg, accuracy_m = (_real(said.get(name)) for name in ("lat", "lon", "accuracy_m"))
    if lat_deg is None or lon_deg is None or accuracy_m is None:
        return None
    if not _is_place(lat_deg, lon_deg) or not 0 < accuracy_m <= MAX_ACCURACY_M:
        return None
    return Place(lat_deg, lon_deg, accuracy_m, FixSource.WIFI if said.get("source") == "wifi" else FixSource.CELL)


def _number(text: object, base: int) -> int | None:
    try:
        return int(text, base) if isinstance(text, str) and len(text) <= 16 else None
    except ValueError:
        return None


def _real(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        return None
    return float(value)


def _columns(first_row: Sequence[str]) -> Mapping[str, int]:
    names = [name.strip().lower() for name in first_row]
    if "lat" not in names:
        names = list(OPENCELLID_COLUMNS)
    columns = {}
    for column, called in COLUMN_NAMES.items():
        index = next((names.index(name) for name in called if name in names), None)
        if index is None and column != "range":
            raise CellListError(f"no column {' or '.join(called)}")
        columns[column] = -1 if index is None else index
    return columns


def _read(row: Sequence[str], columns: Mapping[str, int]) -> tuple[int, tuple[float, float, float]] | None:
    try:
        key = Cell(*(int(row[columns[name]]) for name in ("mcc", "mnc", "area", "cell"))).key
        lat_deg, lon_deg = float(row[columns["lat"]]), float(row[columns["lon"]])
        range_m = float(row[columns["range"]] or 0) if columns["range"] >= 0 else 0.0
    except (ValueError, IndexError):
        return None
    if key is None or not _is_place(lat_deg, lon_deg) or not math.isfinite(range_m):
        return None
    return key, (lat_deg, lon_deg, range_m)


def _is_place(lat_deg: float, lon_deg: float) -> bool:
    return -90 <= lat_deg <= 90 and -180 <= lon_deg <= 180 and (lat_deg, lon_deg) != (0, 0)


def _accuracy_m(range_m: float) -> float:
    if range_m <= 0:
        return UNKNOWN_ACCURACY_M
    return min(max(ACCURACY_OF_RANGE * range_m, LEAST_ACCURACY_M), MAX_ACCURACY_M)
