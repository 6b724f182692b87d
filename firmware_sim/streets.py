"""The streets a synthetic drive takes: a square grid per city, and a path through it. Pure.

Every drive in a city uses the same junctions, so that home places and habits can repeat. Lengths are metres on the
tangent plane at the city centre, east and north, with the WGS-84 ellipsoid's radii of curvature; headings are radians
clockwise from north. Traffic keeps right: right turns are tight, left turns wide.
"""

import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_TURN_RADIUS_M: Mapping[int, float] = MappingProxyType({0: 0.0, 1: 9.0, -1: 15.0})
_TURN_WEIGHT: Mapping[int, float] = MappingProxyType({0: 0.60, 1: 0.22, -1: 0.18})
_STOP_LINE_M = 16.0  # before the middle of a junction, where every turn has yet to begin
_LATERAL_MPS2 = 2.0  # corners are taken at this lateral acceleration
_TOWN_RADIUS_M = 5000.0  # drives stay this close to the centre
_RED_SHARE = 0.4  # of the junctions
_RED_S = (4.0, 45.0)
_LIMITS_MPS = (60 / 3.6, 40 / 3.6)  # every third street is a main road


@dataclass(frozen=True, slots=True)
class City:
    """Where the grid lies; the bearing is that of its "northward" streets, clockwise from true north."""

    name: str
    name_zh: str
    lat_deg: float
    lon_deg: float
    bearing_deg: float
    block_m: float
    altitude_m: float


# Centres and altitudes are rounded public figures; bearings and block lengths are plausible, not surveyed.
CITIES: Mapping[str, City] = MappingProxyType(
    {
        city.name: city
        for city in (
            City("beijing", "北京", 39.9042, 116.4074, 0.0, 560.0, 44.0),
            City("shanghai", "上海", 31.2304, 121.4737, 12.0, 380.0, 4.0),
            City("guangzhou", "广州", 23.1291, 113.2644, 5.0, 400.0, 21.0),
            City("shenzhen", "深圳", 22.5431, 114.0579, 8.0, 450.0, 12.0),
            City("chengdu", "成都", 30.5728, 104.0668, 32.0, 420.0, 500.0),
            City("chongqing", "重庆", 29.5630, 106.5516, 40.0, 330.0, 240.0),
            City("wuhan", "武汉", 30.5928, 114.3055, 22.0, 430.0, 23.0),
            City("xian", "西安", 34.3416, 108.9398, 0.0, 520.0, 405.0),
            City("hangzhou", "杭州", 30.2741, 120.1551, 10.0, 400.0, 10.0),
            City("shenyang", "沈阳", 41.8057, 123.4315, 28.0, 450.0, 45.0),
        )
    }
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of path from a starting pose: straight (turn 0), or an arc to the right (1) or left (-1)."""

    east_m: float
    north_m: float
    heading: float
    length_m: float
    limit_mps: float
    turn: int = 0
    red_s: float = 0.0  # a red light at its end shows for so long after the car stopped there; 0: green

    def pose(self, along_m: float) -> tuple[float, float, float]:
        """East, north and heading after `along_m` metres."""
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        if self.turn == 0:
            return self.east_m + along_m * sin, self.north_m + along_m * cos, self.heading
        arm = self.turn * _TURN_RADIUS_M[self.turn]  # to the arc's centre, positive to the right
        heading = self.heading + along_m / arm
        east = self.east_m + arm * (cos - math.cos(heading))
        north = self.north_m + arm * (math.sin(heading) - sin)
        return east, north, heading


def path(city: City, rng: random.Random) -> Iterator[Piece]:
    """An endless random path: it starts in the middle of a block and stays in town."""
    hurry = rng.uniform(0.9, 1.05)
    direction = rng.randrange(4)  # quarter turns from the grid's own north
    node = (rng.randint(-4, 4), rng.randint(-4, 4))
    since_node_m = rng.uniform(0.3, 0.6) * city.block_m  # already past the junction behind
    while True:
        heading = math.radians(city.bearing_deg) + direction * math.pi / 2
        street = node[0] if direction % 2 == 0 else node[1]
        limit = _LIMITS_MPS[min(street % 3, 1)] * hurry
        east, north = _junction(city, node)
        sin, cos = math.sin(heading), math.cos(heading)
        red_s = rng.uniform(*_RED_S) if rng.random() < _RED_SHARE else 0.0
        line_m = city.block_m - _STOP_LINE_M
        yield Piece(
            east + since_node_m * sin, north + since_node_m * cos, heading, line_m - since_node_m, limit, red_s=red_s
        )
        node = _next_node(node, direction)
        turn = _choose_turn(city, node, direction, rng)
        radius = _TURN_RADIUS_M[turn]
        yield Piece(east + line_m * sin, north + line_m * cos, heading, _STOP_LINE_M - radius, limit)
        if turn:
            corner_m = city.block_m - radius
            corner_mps = math.sqrt(_LATERAL_MPS2 * radius)
            arc_m = radius * math.pi / 2
            yield Piece(east + corner_m * sin, north + corner_m * cos, heading, arc_m, corner_mps, turn)
        since_node_m = radius
        direction = (direction + turn) % 4


def radii_m(lat_deg: float) -> tuple[float, float]:
    """Metres per radian of latitude and of longitude on the WGS-84 ellipsoid."""
    axis_m, e2 = 6378137.0, 6.69437999014e-3
    w2 = 1 - e2 * math.sin(math.radians(lat_deg)) ** 2
    return axis_m * (1 - e2) / w2**1.5, axis_m / math.sqrt(w2) * math.cos(math.radians(lat_deg))


def _junction(city: City, node: tuple[int, int]) -> tuple[float, float]:
    bearing = math.radians(city.bearing_deg)
    right_m, up_m = node[0] * city.block_m, node[1] * city.block_m
    return (
        right_m * math.cos(bearing) + up_m * math.sin(bearing),
        up_m * math.cos(bearing) - right_m * math.sin(bearing),
    )


def _next_node(node: tuple[int, int], direction: int) -> tuple[int, int]:
    step_right, step_up = ((0, 1), (1, 0), (0, -1), (-1, 0))[direction % 4]
    return node[0] + step_right, node[1] + step_up


def _choose_turn(city: City, node: tuple[int, int], direction: int, rng: random.Random) -> int:
    """Straight on, right or left; what leads out of town is not chosen unless everything does."""
    out_m = {turn: math.hypot(*_junction(city, _next_node(node, direction + turn))) for turn in _TURN_WEIGHT}
    inside = [turn for turn, distance_m in out_m.items() if distance_m <= _TOWN_RADIUS_M]
    turns = inside or [min(out_m, key=lambda turn: out_m[turn])]
    return rng.choices(turns, [_TURN_WEIGHT[turn] for turn in turns])[0]
