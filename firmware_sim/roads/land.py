"""How high the land lies: the heights of the known towns, blended by distance, with gentle hills of 5 m. Pure."""

import math

from firmware_sim.roads.cities import CITIES

_NEAR_DEG = 0.05  # about 5 km: so near to a town its own height is all that counts
_EARTH_M = 6371000.0


def altitude_m(lat_deg: float, lon_deg: float) -> float:
    """Metres above the sea, smooth everywhere (inverse-distance weights, Shepard 1968, power 4)."""
    weights = heights = 0.0
    for city in CITIES.values():
        north, east = lat_deg - city.lat_deg, lon_deg - city.lon_deg
        weight = (north * north + east * east + _NEAR_DEG * _NEAR_DEG) ** -2
        weights += weight
        heights += weight * city.altitude_m
    north_m, east_m = math.radians(lat_deg) * _EARTH_M, math.radians(lon_deg) * _EARTH_M * 0.85
    return heights / weights + 3 * math.sin(east_m / 900) + 2 * math.sin(north_m / 700)
