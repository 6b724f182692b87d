"""The way from where a car stands to a place: through its town, on the expressway to another town, through that. Pure.

Whatever is needed is read from the car's motion, so a drive can begin wherever another act has left it; a car that
stands beside the grid (after a ferry, a roll) first takes a straight lane to the nearest street.
"""

import itertools
import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from firmware_sim.roads import streets
from firmware_sim.roads.cities import CITIES, City
from firmware_sim.roads.geometry import Corner, Piece, Plane, pieces
from firmware_sim.roads.motion import Motion
from firmware_sim.roads.places import Place
from firmware_sim.roads.streets import Node
from firmware_sim.roads.traffic import CRAWL_MPS, Traffic

EXPRESSWAY_MPS = 110 / 3.6
_RAMP_M, _RAMP_MPS = 700.0, 60 / 3.6  # between a town's ring and the expressway
_CHORD_M = 5000.0  # an expressway is a chain of planes, each so long
_LANE_MPS = 12 / 3.6
_ON_STREET_M = 3.0
_ERRANDS = 6  # blocks from the middle: as far as one goes without an aim
_ROAMING_JUNCTIONS = 200
_QUEUE_M = (40.0, 150.0)  # before a light
_SLOWER_THAN_FREE = 1.3  # pulling away, slowing down: seconds driven over seconds at the limit


@dataclass(frozen=True, slots=True)
class _Stand:
    """Where a car stands on a street: `node` is the junction ahead in `direction`, `along` blocks before it."""

    node: Node
    direction: int
    to_node: float


def route(after: Motion, to: Place, rng: random.Random, traffic: Traffic, about_s: float = 0.0) -> list[Piece]:
    """The pieces from the car's place to `to`; with `about_s` by detours through the town that take about as long.

    Raises:
        ValueError: the car is on a street of the town, but no way leads on from there.
    """
    city = city_near(after.lat_deg, after.lon_deg)
    plane = streets.plane(city)
    stand, lane = _onto_street(city, plane, after)
    hurry = rng.uniform(0.92, 1.05)
    nodes = [stand.node]
    start = _point(city, stand)
    if to.city is city:
        direct = _straight_ahead(city, stand, to)
        if direct is not None and not about_s:
            found = pieces(plane, [start, direct], streets.LATERAL_MPS2)
            return [*lane, *(_driven(piece, traffic, hurry, rng) for piece in found)]
        nodes = _with_detours(city, stand, to, about_s, traffic, rng)
        points = [start, *_corners(city, nodes, _goals(city, to), traffic, rng), _goal(city, to)]
        found = pieces(plane, points, streets.LATERAL_MPS2)
    else:
        found = list(_to_another_town(city, stand, start, to, traffic, rng))
    return [*lane, *(_driven(piece, traffic, hurry, rng) for piece in found)]


def roaming(after: Motion, rng: random.Random, traffic: Traffic) -> Iterator[Piece]:
    """A long way about the town from where the car stands, 60 km or more."""
    city = city_near(after.lat_deg, after.lon_deg)
    plane = streets.plane(city)
    stand, lane = _onto_street(city, plane, after)
    hurry = rng.uniform(0.92, 1.05)
    nodes, direction = [stand.node], stand.direction
    while len(nodes) < _ROAMING_JUNCTIONS:
        direction = _further(city, nodes, direction, rng)
    points = [_point(city, stand), *_corners(city, nodes, frozenset(), traffic, rng)]
    yield from lane
    for piece in pieces(plane, points, streets.LATERAL_MPS2):
        yield _driven(piece, traffic, hurry, rng)


def city_near(lat_deg: float, lon_deg: float) -> City:
    """The town whose streets a car takes there."""
    return min(CITIES.values(), key=lambda city: math.hypot(*streets.plane(city).flat(lat_deg, lon_deg)))


def queues(found: Iterable[Piece], traffic: Traffic, rng: random.Random) -> Iterator[Piece]:
    """The same pieces with queues before some of the red lights: the last metres at a crawl."""
    for piece in found:
        if not piece.red_s or piece.length_m < _QUEUE_M[0] or rng.random() >= traffic.queue_share * 2:
            yield piece
            continue
        queue_m = min(piece.length_m, rng.uniform(*_QUEUE_M))
        free_m = piece.length_m - queue_m
        east, north, heading = piece.pose(free_m)
        if free_m > 0:
            yield replace(piece, length_m=free_m, red_s=0.0)
        yield replace(piece, east_m=east, north_m=north, heading=heading, length_m=queue_m, limit_mps=CRAWL_MPS)


def _driven(piece: Piece, traffic: Traffic, hurry: float, rng: random.Random) -> Piece:
    """At the speed that the traffic and the driver's mood allow; corners are corners."""
    if piece.arm_m:
        return piece
    return replace(piece, limit_mps=piece.limit_mps * traffic.speed * hurry * rng.uniform(0.97, 1.0))


def _onto_street(city: City, plane: Plane, after: Motion) -> tuple[_Stand, list[Piece]]:
    """Where on a street the car is or comes to, and the lane that leads there."""
    east, north = plane.flat(after.lat_deg, after.lon_deg)
    right, up = streets.grid(city, east, north)
    edge = streets.EDGE - 0.5
    right, up = min(max(right, -edge), edge), min(max(up, -edge), edge)
    lengthways = abs(right - round(right)) <= abs(up - round(up))  # on a street along the grid's own north
    right, up = (round(right), up) if lengthways else (right, round(up))
    course = math.radians(after.course_deg)
    direction = max((0, 2) if lengthways else (1, 3), key=lambda d: math.cos(course - streets.heading(city, d)))
    along = up if lengthways else right
    ahead = math.floor(along) + 1 if direction in (0, 1) else math.ceil(along) - 1
    node = (round(right), ahead) if lengthways else (ahead, round(up))
    stand = _Stand(node, direction, abs(ahead - along))
    onto = streets.at(city, right, up)
    away_m = math.hypot(onto[0] - east, onto[1] - north)
    if away_m <= _ON_STREET_M:
        return stand, []
    heading = math.atan2(onto[0] - east, onto[1] - north)
    return stand, [Piece(plane, east, north, heading, away_m, _LANE_MPS, red_s=2.0)]


def _point(city: City, stand: _Stand) -> Corner:
    """Where the car stands, as the first point of its way."""
    back = streets.step((0, 0), stand.direction + 2)
    right, up = stand.node[0] + back[0] * stand.to_node, stand.node[1] + back[1] * stand.to_node
    behind = streets.step(stand.node, stand.direction + 2)
    return Corner(*streets.at(city, right, up), streets.limit_mps(behind, stand.direction))


def _segment(city: City, to: Place) -> tuple[Node, int, float]:
    """The junction before a place, the direction of its street (0 or 1), and how far along it is, in blocks."""
    right, up = streets.grid(city, *streets.plane(city).flat(to.lat_deg, to.lon_deg))
    if abs(right - round(right)) <= abs(up - round(up)):
        return (round(right), math.floor(up)), 0, up - math.floor(up)
    return (math.floor(right), round(up)), 1, right - math.floor(right)


def _goal(city: City, to: Place) -> Corner:
    return Corner(*streets.plane(city).flat(to.lat_deg, to.lon_deg), 0.0)


def _goals(city: City, to: Place) -> frozenset[tuple[Node, int]]:
    """Either end of the block in which the place lies."""
    node, direction, _ = _segment(city, to)
    return frozenset({(node, direction), (streets.step(node, direction), direction + 2)})


def _straight_ahead(city: City, stand: _Stand, to: Place) -> Corner | None:
    """The place, where it lies in the same block before the car."""
    node, direction, along = _segment(city, to)
    if stand.node == streets.step(node, direction) and stand.direction == direction:
        to_place = stand.to_node - (1 - along)
    elif stand.node == node and stand.direction == direction + 2:
        to_place = stand.to_node - along
    else:
        return None
    return _goal(city, to) if to_place * city.block_m > _ON_STREET_M else None


def _with_detours(
    city: City, stand: _Stand, to: Place, about_s: float, traffic: Traffic, rng: random.Random
) -> list[Node]:
    """Junctions to the place, through as many others of the town as make the drive about that long."""
    nodes, direction = [stand.node], stand.direction
    best: list[Node] = []
    off_s = math.inf
    while True:
        home = [*nodes, *streets.way(city, nodes[-1], direction, _goals(city, to))[1:]]
        too_long_s = _expected_s(city, home, traffic) - about_s
        if abs(too_long_s) < off_s:
            best, off_s = home, abs(too_long_s)
        if too_long_s >= 0:
            return best
        direction = _further(city, nodes, direction, rng)


def _further(city: City, nodes: list[Node], direction: int, rng: random.Random) -> int:
    """Lengthens a way by an errand in the neighbourhood; gives the direction in which it ends."""
    right, up = (min(max(at + rng.randint(-2, 2), -_ERRANDS), _ERRANDS) for at in nodes[-1])
    nodes += streets.way(city, nodes[-1], direction, frozenset(((right, up), d) for d in range(4)))[1:]
    return _direction(nodes[-2], nodes[-1]) if len(nodes) > 1 else direction


def _expected_s(city: City, nodes: Sequence[Node], traffic: Traffic) -> float:
    driven_s = sum(city.block_m / streets.limit_mps(a, _direction(a, b)) for a, b in itertools.pairwise(nodes))
    waits_s = sum(map(streets.has_light, nodes)) * traffic.red_share * sum(streets.RED_S) / 2
    return driven_s / traffic.speed * _SLOWER_THAN_FREE + waits_s * (1 + 3 * traffic.queue_share)


def _direction(a: Node, b: Node) -> int:
    return next(direction for direction in range(4) if streets.step(a, direction) == b)


def _corners(
    city: City, nodes: Sequence[Node], goals: frozenset[tuple[Node, int]], traffic: Traffic, rng: random.Random
) -> Iterator[Corner]:
    """Junctions as points of the way, with the limit of the street after each and its light."""
    for number, node in enumerate(nodes):
        if number + 1 < len(nodes):
            direction = _direction(node, nodes[number + 1])
        else:
            direction = next((d for n, d in sorted(goals) if n == node), 0)
        red = streets.has_light(node) and rng.random() < traffic.red_share
        red_s = rng.uniform(*streets.RED_S) if red else 0.0
        yield Corner(*streets.at(city, *node), streets.limit_mps(node, direction), red_s=red_s)


def _to_another_town(
    city: City, stand: _Stand, start: Corner, to: Place, traffic: Traffic, rng: random.Random
) -> Iterator[Piece]:
    """Out by the ring, over the expressway as the crow flies, in by the ring, to the place."""
    plane, beyond = streets.plane(city), streets.plane(to.city)
    leaves, out = _gate(city, plane.flat(to.lat_deg, to.lon_deg))
    nodes = streets.way(city, stand.node, stand.direction, frozenset((leaves, d) for d in range(4)))
    ramp = Corner(*out, _RAMP_MPS, radius_m=(60.0, 60.0))
    way = [start, *_corners(city, nodes, _goals(city, to), traffic, rng)]
    way[-1] = replace(way[-1], limit_mps=_RAMP_MPS, radius_m=(40.0, 40.0), red_s=0.0)
    yield from pieces(plane, [*way, ramp], streets.LATERAL_MPS2)
    enters, into = _gate(to.city, beyond.flat(city.lat_deg, city.lon_deg))
    yield from _expressway(plane.round(*out), beyond.round(*into))
    gate = streets.at(to.city, *enters)
    heading = math.atan2(gate[0] - into[0], gate[1] - into[1])
    direction = max(range(4), key=lambda d: math.cos(heading - streets.heading(to.city, d)))
    nodes = streets.way(to.city, enters, direction, _goals(to.city, to))
    corners = list(_corners(to.city, nodes, _goals(to.city, to), traffic, rng))
    corners[0] = replace(corners[0], radius_m=(40.0, 40.0), red_s=0.0)
    yield from pieces(beyond, [Corner(*into, _RAMP_MPS), *corners, _goal(to.city, to)], streets.LATERAL_MPS2)


def _gate(city: City, towards: tuple[float, float]) -> tuple[Node, tuple[float, float]]:
    """The junction of the ring that lies in a direction (east, north), and where its ramp meets the expressway."""
    right, up = streets.grid(city, *towards)
    scale = streets.RING / max(abs(right), abs(up))
    node = round(right * scale), round(up * scale)
    east, north = streets.at(city, *node)
    length_m = math.hypot(*towards)
    return node, (east + towards[0] / length_m * _RAMP_M, north + towards[1] / length_m * _RAMP_M)


def _expressway(start: tuple[float, float], end: tuple[float, float]) -> Iterator[Piece]:
    """A chain of chords of 5 km, straight in degrees, each on the plane at its own beginning."""
    chords = math.ceil(math.hypot(*Plane(*start).flat(*end)) / _CHORD_M)
    for number in range(chords):
        a, b = (
            tuple(s + (e - s) * part / chords for s, e in zip(start, end, strict=True)) for part in (number, number + 1)
        )
        plane = Plane(a[0], a[1])
        east, north = plane.flat(b[0], b[1])
        yield Piece(plane, 0.0, 0.0, math.atan2(east, north), math.hypot(east, north), EXPRESSWAY_MPS)
