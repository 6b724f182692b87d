"""Plane geometry of a road: straights and arcs on the tangent plane at an origin. Pure.

Lengths are metres east and north, with the WGS-84 ellipsoid's radii of curvature at the origin; headings are radians
clockwise from north. Within 10 km of the origin a length is true to 1e-3.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

_STRAIGHT_ON = 1e-6  # radians: less of a turn is none
_TURNING_BACK_S = 2.0


def radii_m(lat_deg: float) -> tuple[float, float]:
    """Metres per radian of latitude and of longitude on the WGS-84 ellipsoid."""
    axis_m, e2 = 6378137.0, 6.69437999014e-3
    w2 = 1 - e2 * math.sin(math.radians(lat_deg)) ** 2
    return axis_m * (1 - e2) / w2**1.5, axis_m / math.sqrt(w2) * math.cos(math.radians(lat_deg))


@dataclass(frozen=True, slots=True)
class Plane:
    """The tangent plane at a place, WGS-84 degrees."""

    lat_deg: float
    lon_deg: float

    def flat(self, lat_deg: float, lon_deg: float) -> tuple[float, float]:
        """East and north of the origin, metres."""
        north_m, east_m = radii_m(self.lat_deg)
        return math.radians(lon_deg - self.lon_deg) * east_m, math.radians(lat_deg - self.lat_deg) * north_m

    def round(self, east_m: float, north_m: float) -> tuple[float, float]:
        """Latitude and longitude, degrees."""
        per_north_m, per_east_m = radii_m(self.lat_deg)
        return self.lat_deg + math.degrees(north_m / per_north_m), self.lon_deg + math.degrees(east_m / per_east_m)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of road from a starting pose: straight (`arm_m` 0), or an arc around a centre `arm_m` to the right."""

    plane: Plane
    east_m: float
    north_m: float
    heading: float
    length_m: float
    limit_mps: float
    arm_m: float = 0.0  # negative: the centre lies to the left
    red_s: float = 0.0  # a red light at its end shows for so long after the car stopped there; 0: green

    def pose(self, along_m: float) -> tuple[float, float, float]:
        """East, north and heading after `along_m` metres."""
        sin, cos = math.sin(self.heading), math.cos(self.heading)
        if self.arm_m == 0:
            return self.east_m + along_m * sin, self.north_m + along_m * cos, self.heading
        heading = self.heading + along_m / self.arm_m
        east = self.east_m + self.arm_m * (cos - math.cos(heading))
        north = self.north_m + self.arm_m * (math.sin(heading) - sin)
        return east, north, heading


@dataclass(frozen=True, slots=True)
class Corner:
    """A point of a way: how tight it is turned there, how fast one may go from there on, and a light before it."""

    east_m: float
    north_m: float
    limit_mps: float
    radius_m: tuple[float, float] = (15.0, 9.0)  # of a turn to the left, to the right
    red_s: float = 0.0
    line_m: float = 16.0  # the stop line lies so far before the point


def pieces(plane: Plane, way: Sequence[Corner], lateral_mps2: float) -> list[Piece]:
    """Straights and arcs along a way of two points or more; its arcs are driven at `lateral_mps2` at most.

    A corner's radius shrinks where its neighbours are close. Where a way turns back on itself there is no arc: the car
    stops, and goes on the other way.
    """
    if len(way) < 2:
        return []
    headings = [math.atan2(b.east_m - a.east_m, b.north_m - a.north_m) for a, b in itertools.pairwise(way)]
    lengths = [math.hypot(b.east_m - a.east_m, b.north_m - a.north_m) for a, b in itertools.pairwise(way)]
    found: list[Piece] = []
    done_m = 0.0  # of the present straight, spent by the arc before
    for number, (start, end, heading, length_m) in enumerate(zip(way, way[1:], headings, lengths, strict=False)):
        turn = 0.0
        if number + 1 < len(headings):
            turn = (headings[number + 1] - heading + math.pi) % math.tau - math.pi
        radius_m = end.radius_m[turn > 0]
        cut_m = 0.0
        arc = _STRAIGHT_ON < abs(turn) < math.radians(170)
        if arc:
            cut_m = min(radius_m * math.tan(abs(turn) / 2), 0.45 * length_m, 0.45 * lengths[number + 1])
            radius_m = cut_m / math.tan(abs(turn) / 2)
        sin, cos = math.sin(heading), math.cos(heading)
        line_m = length_m - max(end.line_m, cut_m)
        stops = [line_m] if end.red_s and line_m > done_m else []
        for at_m in (*stops, length_m - cut_m):
            red_s = end.red_s if stops and at_m == line_m else 0.0
            if at_m == length_m and abs(turn) > _STRAIGHT_ON:
                red_s = _TURNING_BACK_S
            if at_m > done_m:
                place = start.east_m + done_m * sin, start.north_m + done_m * cos
                found.append(Piece(plane, *place, heading, at_m - done_m, start.limit_mps, red_s=red_s))
            done_m = at_m
        if arc:
            place = start.east_m + done_m * sin, start.north_m + done_m * cos
            arm_m = math.copysign(radius_m, turn)
            limit = min(start.limit_mps, math.sqrt(lateral_mps2 * radius_m))
            found.append(Piece(plane, *place, heading, radius_m * abs(turn), limit, arm_m))
        done_m = cut_m
    return found
