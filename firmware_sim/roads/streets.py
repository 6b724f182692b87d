"""The streets of a town: a square grid around its centre, with main roads and a ring, and ways through it. Pure.

Every drive in a city uses the same junctions, so that home places and habits repeat. Every third street is a main
road; the streets `RING` blocks from the middle are a ring road without traffic lights. Traffic keeps right: right turns
are tight, left turns wide. The grid goes on for `EDGE` blocks; what is meant for the whole country runs between towns
(`route.py`).
"""

import heapq
import math
import random
from collections.abc import Iterator

from firmware_sim.roads.cities import City
from firmware_sim.roads.geometry import Piece, Plane

RING, EDGE = 4, 18  # blocks from the middle
MAIN_MPS, SIDE_MPS, RING_MPS = 60 / 3.6, 40 / 3.6, 80 / 3.6
LATERAL_MPS2 = 2.0  # corners are taken at this lateral acceleration
STOP_LINE_M = 16.0  # before the middle of a junction, where every turn has yet to begin
RED_S = (4.0, 45.0)
RED_SHARE = 0.4  # of the junctions
_TURN_RADIUS_M = {0: 0.0, 1: 9.0, -1: 15.0}
_TURN_WEIGHT = {0: 0.60, 1: 0.22, -1: 0.18}
_TURN_COSTS_S = {0: 4.0, 1: 9.0, -1: 15.0}  # waiting included
_TOWN_RADIUS_M = 5000.0  # aimless drives stay this close to the centre

Node = tuple[int, int]  # junction: blocks to the right of and above the middle, in the grid's own directions


def plane(city: City) -> Plane:
    return Plane(city.lat_deg, city.lon_deg)


def at(city: City, right: float, up: float) -> tuple[float, float]:
    """East and north of the city's centre, metres, of a point of the grid, in blocks."""
    bearing = math.radians(city.bearing_deg)
    right_m, up_m = right * city.block_m, up * city.block_m
    return (
        right_m * math.cos(bearing) + up_m * math.sin(bearing),
        up_m * math.cos(bearing) - right_m * math.sin(bearing),
    )


def grid(city: City, east_m: float, north_m: float) -> tuple[float, float]:
    """The grid's own coordinates, in blocks, of a point of the plane: the inverse of `at`."""
    bearing = math.radians(city.bearing_deg)
    right_m = east_m * math.cos(bearing) - north_m * math.sin(bearing)
    up_m = east_m * math.sin(bearing) + north_m * math.cos(bearing)
    return right_m / city.block_m, up_m / city.block_m


def heading(city: City, direction: int) -> float:
    """Of the `direction`-th quarter turn from the grid's own north, radians."""
    return math.radians(city.bearing_deg) + direction * math.pi / 2


def step(node: Node, direction: int) -> Node:
    """The next junction."""
    right, up = ((0, 1), (1, 0), (0, -1), (-1, 0))[direction % 4]
    return node[0] + right, node[1] + up


def limit_mps(node: Node, direction: int) -> float:
    """The speed at which traffic flows freely on the street that leaves `node`."""
    street, along = (node[0], node[1]) if direction % 2 == 0 else (node[1], node[0])
    if abs(street) == RING and -RING <= min(along, along + (1 if direction % 4 < 2 else -1)) < RING:
        return RING_MPS
    return MAIN_MPS if street % 3 == 0 else SIDE_MPS


def has_light(node: Node) -> bool:
    """The ring road is crossed on bridges."""
    return max(abs(node[0]), abs(node[1])) != RING


def way(city: City, start: Node, direction: int, goals: frozenset[tuple[Node, int]]) -> list[Node]:
    """The junctions of the quickest way that leaves towards `start` in `direction` and ends by leaving a goal.

    A goal is a junction and the direction in which the street of the destination leaves it. Nobody turns round.
    """
    queue: list[tuple[float, Node, int, tuple[Node, ...]]] = [(0.0, start, direction % 4, (start,))]
    seen: set[tuple[Node, int]] = set()
    while queue:
        cost_s, node, heading_, nodes = heapq.heappop(queue)
        if (node, heading_) in seen:
            continue
        if any((node, (heading_ + turn) % 4) in goals for turn in _TURN_COSTS_S):
            return list(nodes)
        seen.add((node, heading_))
        for turn, turn_s in _TURN_COSTS_S.items():
            towards = (heading_ + turn) % 4
            following = step(node, towards)
            if max(map(abs, following)) <= EDGE:
                further_s = cost_s + turn_s + city.block_m / limit_mps(node, towards)
                heapq.heappush(queue, (further_s, following, towards, (*nodes, following)))
    raise ValueError(f"no way from {start} to {sorted(goals)} in {city.name}")


def path(city: City, rng: random.Random) -> Iterator[Piece]:
    """An endless aimless way: it starts in the middle of a block and stays in town."""
    hurry = rng.uniform(0.9, 1.05)
    direction = rng.randrange(4)
    node = (rng.randint(-4, 4), rng.randint(-4, 4))
    since_node_m = rng.uniform(0.3, 0.6) * city.block_m  # already past the junction behind
    flat = plane(city)
    while True:
        ahead = heading(city, direction)
        street = node[0] if direction % 2 == 0 else node[1]
        limit = (MAIN_MPS if street % 3 == 0 else SIDE_MPS) * hurry
        east, north = at(city, *node)
        sin, cos = math.sin(ahead), math.cos(ahead)
        red_s = rng.uniform(*RED_S) if rng.random() < RED_SHARE else 0.0
        line_m = city.block_m - STOP_LINE_M
        start = east + since_node_m * sin, north + since_node_m * cos
        yield Piece(flat, *start, ahead, line_m - since_node_m, limit, red_s=red_s)
        node = step(node, direction)
        turn = _choose_turn(city, node, direction, rng)
        radius = _TURN_RADIUS_M[turn]
        yield Piece(flat, east + line_m * sin, north + line_m * cos, ahead, STOP_LINE_M - radius, limit)
        if turn:
            corner_m = city.block_m - radius
            corner_mps = math.sqrt(LATERAL_MPS2 * radius)
            corner = east + corner_m * sin, north + corner_m * cos
            yield Piece(flat, *corner, ahead, radius * math.pi / 2, corner_mps, turn * radius)
        since_node_m = radius
        direction = (direction + turn) % 4


def _choose_turn(city: City, node: Node, direction: int, rng: random.Random) -> int:
    """Straight on, right or left; what leads out of town is not chosen unless everything does."""
    out_m = {turn: math.hypot(*at(city, *step(node, direction + turn))) for turn in _TURN_WEIGHT}
    inside = [turn for turn, distance_m in out_m.items() if distance_m <= _TOWN_RADIUS_M]
    turns = inside or [min(out_m, key=lambda turn: out_m[turn])]
    return rng.choices(turns, [_TURN_WEIGHT[turn] for turn in turns])[0]
