"""Where the satellites stand in the sky, and how good their geometry is. Pure.

The Earth turns by its mean sidereal angle θ = 280.46061837° + 360.98564736629° (JD - 2451545.0) (Meeus, Astronomical
Algorithms, 12.4, without the terms that matter to astronomers). UTC stands for the systems' own times: 18 s move a
satellite by 0.15°.

Dilution of precision: with H of one row (-east, -north, -up, 1 for the clock of its system) a satellite,
Q = (HᵀH)⁻¹; PDOP, HDOP and VDOP are the roots of the sums of its first diagonal elements (Kaplan and Hegarty,
Understanding GPS/GNSS, 3rd edition, 11.2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from firmware_sim.receiver.constellations import CONSTELLATIONS, Orbit

_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)
_AXIS_M, _E2 = 6_378_137.0, 6.69437999014e-3  # WGS-84


@dataclass(frozen=True, slots=True)
class InSky:
    """A satellite above the horizon; azimuth clockwise from true north."""

    system: str
    number: int
    elevation_deg: float
    azimuth_deg: float


@dataclass(frozen=True, slots=True)
class Dilution:
    pdop: float
    hdop: float
    vdop: float


def sky(utc: datetime, lat_deg: float, lon_deg: float, altitude_m: float, systems: Sequence[str]) -> list[InSky]:
    """The satellites of `systems` above the mathematical horizon, system by system, in order of number."""
    theta = _sidereal_deg(utc)
    place = _earth_fixed(lat_deg, lon_deg, altitude_m)
    sin_lat, cos_lat = math.sin(math.radians(lat_deg)), math.cos(math.radians(lat_deg))
    sin_lon, cos_lon = math.sin(math.radians(lon_deg)), math.cos(math.radians(lon_deg))
    seen = []
    for orbit in (orbit for system in systems for orbit in CONSTELLATIONS[system]):
        x, y, z = (there - here for there, here in zip(_satellite(orbit, theta), place, strict=True))
        east = cos_lon * y - sin_lon * x
        north = cos_lat * z - sin_lat * (cos_lon * x + sin_lon * y)
        up = sin_lat * z + cos_lat * (cos_lon * x + sin_lon * y)
        if up > 0:
            elevation = math.degrees(math.atan2(up, math.hypot(east, north)))
            seen.append(InSky(orbit.system, orbit.number, elevation, math.degrees(math.atan2(east, north)) % 360))
    return seen


def dilution(used: Sequence[InSky], height_known: bool = False) -> Dilution | None:
    """Of a solution with these satellites; None where they do not determine it.

    `height_known`: the height is held (a 2D fix), which counts as one more measurement of "up".
    """
    clocks = sorted({satellite.system for satellite in used})
    size = 3 + len(clocks)
    rows = [_row(satellite, clocks) for satellite in used]
    if height_known:
        rows.append([0.0, 0.0, 1.0] + [0.0] * len(clocks))
    if len(rows) < size:
        return None
    normal = [[sum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    q = _inverse(normal)
    if q is None or min(q[i][i] for i in range(3)) < 0:
        return None
    horizontal = q[0][0] + q[1][1]
    return Dilution(math.sqrt(horizontal + q[2][2]), math.sqrt(horizontal), math.sqrt(q[2][2]))


def _sidereal_deg(utc: datetime) -> float:
    """θ without reduction to one turn, which satellites with broken turns a day need."""
    return 280.46061837 + 360.98564736629 * ((utc - _J2000).total_seconds() / 86_400)


def _satellite(orbit: Orbit, theta_deg: float) -> tuple[float, float, float]:
    """Earth-fixed coordinates, m."""
    u = math.radians((orbit.u0_deg + orbit.turns * (theta_deg - orbit.theta_epoch_deg)) % 360)
    node = math.radians((orbit.node_deg - theta_deg) % 360)
    inclination = math.radians(orbit.inclination_deg)
    along, across = math.cos(u), math.sin(u) * math.cos(inclination)
    return (
        orbit.radius_m * (along * math.cos(node) - across * math.sin(node)),
        orbit.radius_m * (along * math.sin(node) + across * math.cos(node)),
        orbit.radius_m * math.sin(u) * math.sin(inclination),
    )


def _earth_fixed(lat_deg: float, lon_deg: float, altitude_m: float) -> tuple[float, float, float]:
    lat, lon = math.radians(lat_deg), math.radians(lon_deg)
    normal_m = _AXIS_M / math.sqrt(1 - _E2 * math.sin(lat) ** 2)
    across = (normal_m + altitude_m) * math.cos(lat)
    return across * math.cos(lon), across * math.sin(lon), (normal_m * (1 - _E2) + altitude_m) * math.sin(lat)


def _row(satellite: InSky, clocks: Sequence[str]) -> list[float]:
    elevation, azimuth = math.radians(satellite.elevation_deg), math.radians(satellite.azimuth_deg)
    flat = math.cos(elevation)
    direction = [-flat * math.sin(azimuth), -flat * math.cos(azimuth), -math.sin(elevation)]
    return direction + [float(satellite.system == clock) for clock in clocks]


def _inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]] | None:
    """By Gauss and Jordan with pivoting; None if it is (nearly) singular."""
    size = len(matrix)
    rows = [[*row, *(float(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda i: abs(rows[i][column]))
        if abs(rows[pivot][column]) < 1e-9:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = rows[column][column]
        rows[column] = [value / scale for value in rows[column]]
        for i in range(size):
            if i != column and rows[i][column]:
                factor = rows[i][column]
                rows[i] = [value - factor * top for value, top in zip(rows[i], rows[column], strict=True)]
    return [row[size:] for row in rows]
