"""The satellites and their circular orbits, from the systems' own published geometry. Pure: a table.

An orbit is told in turns per sidereal day, so that ground tracks repeat exactly as the systems keep theirs: GPS twice a
day, BeiDou's MEO 13 times in 7 days, GLONASS 17 in 8, Galileo 17 in 10. Angles are degrees, in the frame of the Earth's
mean sidereal angle θ (sky.py): argument of latitude u = u0 + turns · (θ - θ_epoch).

Sources
* GPS: Global Positioning System Standard Positioning Service Performance Standard, 5th edition (2020), section 3.2 and
  table 3.2-1 (the baseline 24 slots; epoch 0000Z 1 July 1993, a = 26,559.7 km, i = 55°). The numbers given to the slots
  are ours: PRNs move between slots over the years.
* BeiDou: BeiDou Navigation Satellite System Open Service Performance Standard 3.0 (2021), section 3: BDS-3 of 24 MEO
  (Walker 24/3/1, a = 27,906 km, i = 55°), 3 IGSO (i = 55°, crossing at 118° E), 3 GEO (80°, 110.5°, 140° E); BDS-2 GEO
  at 58.75°, 84°, 110.5°, 140°, 160° E, and IGSO whose ground tracks cross at about 118° and 95° E. The numbers are
  those in service; the phases of MEO and IGSO within their patterns are ours. The few MEO of BDS-2 are left out.
* GLONASS: Interface Control Document L1, L2, edition 5.1 (2008), section 3.3: 24 in 3 planes, a = 25,508 km, i = 64.8°,
  45° apart, planes shifted by 15°. NMEA numbers 65 to 88 are slots 1 to 24.
* Galileo: European GNSS Open Service Service Definition Document 1.3 (2023), Annex: Walker 24/3/1, a = 29,600 km,
  i = 56°.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Orbit:
    """One satellite. `node_deg`: right ascension of the ascending node; `u0_deg` at θ_epoch."""

    system: str
    number: int  # as NMEA 0183 4.11 numbers it within its system
    radius_m: float
    inclination_deg: float
    node_deg: float
    u0_deg: float
    turns: float
    theta_epoch_deg: float = 0.0


# θ of 1993-07-01 00:00 UTC by the formula in sky.py, not reduced to one turn; the table's own 18 h 36 min 14.4 s.
_GPS_EPOCH_DEG = 280.46061837 + 360.98564736629 * (2449169.5 - 2451545.0)
_GPS_NODES_DEG = {"A": 272.847, "B": 332.847, "C": 32.847, "D": 92.847, "E": 152.847, "F": 212.847}
_GPS_U_DEG = {
    "A": (268.126, 161.786, 11.676, 41.806),
    "B": (80.956, 173.336, 309.976, 204.376),
    "C": (111.876, 11.796, 339.666, 241.556),
    "D": (135.226, 265.446, 35.156, 167.356),
    "E": (197.046, 302.596, 66.066, 333.686),
    "F": (238.886, 345.226, 105.206, 135.346),
}
_GEO_M = 42_164_200.0
_BEIDOU_MEO = (*range(19, 31), *range(32, 38), *range(41, 47))
_BEIDOU_GEO = {1: 140.0, 2: 84.0, 3: 110.5, 4: 160.0, 5: 58.75, 59: 140.0, 60: 80.0, 61: 110.5}
# Number → longitude of the crossing, right ascension of the node: three planes, and within a group one ground track.
_BEIDOU_IGSO = {
    6: (118.0, 0.0),
    7: (118.0, 120.0),
    8: (118.0, 240.0),
    9: (95.0, 0.0),
    10: (95.0, 120.0),
    16: (95.0, 240.0),
    38: (118.0, 40.0),
    39: (118.0, 160.0),
    40: (118.0, 280.0),
}


def _gps() -> Iterator[Orbit]:
    slots = [(plane, u) for plane, places in _GPS_U_DEG.items() for u in places]
    for number, (plane, u) in enumerate(slots, 1):
        yield Orbit("GPS", number, 26_559_700.0, 55.0, _GPS_NODES_DEG[plane], u, 2.0, _GPS_EPOCH_DEG)


def _walker(
    system: str, numbers: tuple[int, ...], radius_m: float, inclination_deg: float, turns: float
) -> Iterator[Orbit]:
    """Walker 24/3/1: planes 120° apart, eight in each, and each plane 15° ahead of the one before."""
    for index, number in enumerate(numbers):
        plane, place = divmod(index, 8)
        yield Orbit(system, number, radius_m, inclination_deg, 120.0 * plane, 45.0 * place + 15.0 * plane, turns)


def _beidou() -> Iterator[Orbit]:
    yield from _walker("BeiDou", _BEIDOU_MEO, 27_906_000.0, 55.0, 13 / 7)
    for number, (crossing_deg, node_deg) in _BEIDOU_IGSO.items():
        # The node is passed when the sidereal angle is node - crossing.
        yield Orbit("BeiDou", number, _GEO_M, 55.0, node_deg, crossing_deg - node_deg, 1.0)
    for number, longitude_deg in _BEIDOU_GEO.items():
        yield Orbit("BeiDou", number, _GEO_M, 0.0, 0.0, longitude_deg, 1.0)


CONSTELLATIONS: Mapping[str, tuple[Orbit, ...]] = MappingProxyType(
    {
        "GPS": tuple(_gps()),
        "BeiDou": tuple(sorted(_beidou(), key=lambda orbit: orbit.number)),
        "GLONASS": tuple(_walker("GLONASS", tuple(range(65, 89)), 25_508_000.0, 64.8, 17 / 8)),
        "Galileo": tuple(_walker("Galileo", tuple(range(1, 25)), 29_600_000.0, 56.0, 17 / 10)),
    }
)
