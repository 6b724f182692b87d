"""WGS-84 → GCJ-02 → BD-09, for drawing on a base map that uses them. Nothing else in this project knows either datum.

Chinese law has public maps shifted by a few hundred metres (GCJ-02); Baidu shifts them once more (BD-09). The formulas
are the ones that everybody uses (first published as `wgtochina_lb`, 2007; see googollee/eviltransform and
wandergis/coordtransform, whose published points are our test vectors). Neither is an official text: expect agreement
with a real map within a few metres, good enough for a marker and not for evidence. Positions are stored, compared and
exported in WGS-84 only.

The shift ends at China's border, and so does the formula, by the box that the other implementations use too. The box is
larger than the country: a point in Korea or northern Vietnam is shifted though maps there are not.
"""

from math import atan2, cos, pi, sin, sqrt

# Krasovsky 1940, the ellipsoid of the old Chinese surveys.
_SEMI_MAJOR_M = 6378245.0
_ECCENTRICITY_SQUARED = 0.00669342162296594323
_BD_TURN = pi * 3000.0 / 180.0


def to_map(datum: str, lat_deg: float, lon_deg: float) -> tuple[float, float]:
    """Where a WGS-84 position is drawn on a base map of this datum: (latitude, longitude) in degrees.

    Args:
        datum: wgs84, gcj02 or bd09.
        lat_deg: WGS-84.
        lon_deg: WGS-84.
    """
    if datum == "wgs84":
        return lat_deg, lon_deg
    lat, lon = to_gcj02(lat_deg, lon_deg)
    return to_bd09(lat, lon) if datum == "bd09" else (lat, lon)


def to_gcj02(lat_deg: float, lon_deg: float) -> tuple[float, float]:
    """WGS-84 → GCJ-02, in degrees. Outside the box around China nothing changes."""
    if not in_china_box(lat_deg, lon_deg):
        return lat_deg, lon_deg
    north_m, east_m = _shift(lon_deg - 105.0, lat_deg - 35.0)
    phi = lat_deg * pi / 180.0
    curvature = 1.0 - _ECCENTRICITY_SQUARED * sin(phi) ** 2
    meridian_m = _SEMI_MAJOR_M * (1.0 - _ECCENTRICITY_SQUARED) / curvature**1.5
    parallel_m = _SEMI_MAJOR_M / sqrt(curvature) * cos(phi)
    return lat_deg + north_m * 180.0 / (meridian_m * pi), lon_deg + east_m * 180.0 / (parallel_m * pi)


def to_bd09(lat_deg: float, lon_deg: float) -> tuple[float, float]:
    """GCJ-02 → BD-09, in degrees."""
    radius = sqrt(lon_deg**2 + lat_deg**2) + 0.00002 * sin(lat_deg * _BD_TURN)
    angle = atan2(lat_deg, lon_deg) + 0.000003 * cos(lon_deg * _BD_TURN)
    return radius * sin(angle) + 0.006, radius * cos(angle) + 0.0065


def in_china_box(lat_deg: float, lon_deg: float) -> bool:
    """Whether the formula shifts this position."""
    return 72.004 <= lon_deg <= 137.8347 and 0.8293 <= lat_deg <= 55.8271


def _shift(x: float, y: float) -> tuple[float, float]:
    """How far north and east, in metres, a point is moved that lies x, y degrees from 105° E, 35° N."""
    common = (20.0 * sin(6.0 * x * pi) + 20.0 * sin(2.0 * x * pi)) * 2.0 / 3.0
    north = -100.0 + 2.0 * x + 3.0 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * sqrt(abs(x)) + common
    north += (20.0 * sin(y * pi) + 40.0 * sin(y / 3.0 * pi)) * 2.0 / 3.0
    north += (160.0 * sin(y / 12.0 * pi) + 320.0 * sin(y * pi / 30.0)) * 2.0 / 3.0
    east = 300.0 + x + 2.0 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * sqrt(abs(x)) + common
    east += (20.0 * sin(x * pi) + 40.0 * sin(x / 3.0 * pi)) * 2.0 / 3.0
    east += (150.0 * sin(x / 12.0 * pi) + 300.0 * sin(x / 30.0 * pi)) * 2.0 / 3.0
    return north, east
