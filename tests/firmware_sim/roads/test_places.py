"""Towns, places and the ways between them."""

import gzip
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.roads import streets
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.geometry import Corner, Piece, Plane, pieces
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.places import PLACES, Place, places
from firmware_sim.roads.traffic import traffic


def apart_m(a: Place, b: Place) -> float:
    return math.hypot(*Plane(a.lat_deg, a.lon_deg).flat(b.lat_deg, b.lon_deg))


def test_there_are_towns_enough_and_each_can_be_left() -> None:
    assert len(CITIES) >= 8
    assert len({city.province for city in CITIES.values()}) >= 6
    for name, city in CITIES.items():
        assert name == city.name
        assert CITIES[city.beyond].province != city.province


@pytest.mark.parametrize("name", sorted(CITIES))
def test_places_are_apart_and_the_towns_are_everybodys(name: str) -> None:
    city = CITIES[name]
    mine, yours = places(city, 1), places(city, 2)
    assert tuple(sorted(mine)) == tuple(sorted(PLACES))
    for each in set(PLACES) - {"home", "work"}:
        assert mine[each] == yours[each]
    assert (mine["home"], mine["work"]) != (yours["home"], yours["work"])
    assert places(city, 1) == mine
    for seed in range(20):
        town = places(city, seed)
        assert 200 < apart_m(town["home"], town["work"]) < 4 * city.block_m
        for each, place in town.items():
            assert place.zh
            assert place.en
            if each != "border":
                assert apart_m(place, town["home"]) < 9000
    assert mine["garage"].underground
    assert 1600 < apart_m(mine["port"], mine["far_quay"]) < 2200
    assert mine["border"].city.province != city.province


@given(st.sampled_from(sorted(CITIES)), st.floats(-15, 15), st.floats(-15, 15))
def test_the_grid_and_the_plane_say_the_same(name: str, right: float, up: float) -> None:
    city = CITIES[name]
    assert streets.grid(city, *streets.at(city, right, up)) == pytest.approx((right, up), abs=1e-9)
    plane = streets.plane(city)
    assert plane.flat(*plane.round(right * 100, up * 100)) == pytest.approx((right * 100, up * 100), abs=1e-6)


corners = st.lists(st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)), min_size=2, max_size=8, unique=True)


@given(corners)
@settings(max_examples=200)
def test_pieces_join_where_the_one_before_ends(points: list[tuple[float, float]]) -> None:
    way = [Corner(east, north, 15.0) for east, north in points]
    if any(math.hypot(b.east_m - a.east_m, b.north_m - a.north_m) < 1 for a, b in pairwise(way)):
        return
    found = pieces(Plane(30.0, 104.0), way, 2.0)
    assert found[0].pose(0.0)[:2] == pytest.approx(points[0])
    assert found[-1].pose(found[-1].length_m)[:2] == pytest.approx(points[-1], abs=1e-6)
    for before, after in pairwise(found):
        end = before.pose(before.length_m)
        assert end[:2] == pytest.approx((after.east_m, after.north_m), abs=1e-6)
        turned = (end[2] - after.heading + math.pi) % math.tau - math.pi
        assert abs(turned) < 1e-5 or before.red_s > 0  # headings jump where the car stands only
        if after.arm_m:
            assert after.limit_mps**2 <= 2.0 * abs(after.arm_m) + 1e-9


def test_a_light_stops_before_the_junction() -> None:
    way = [Corner(0, 0, 15.0), Corner(0, 300, 15.0, red_s=20.0), Corner(0, 600, 15.0)]
    found = pieces(Plane(30.0, 104.0), way, 2.0)
    assert [(piece.length_m, piece.red_s) for piece in found] == [(284, 20.0), (16, 0.0), (300, 0.0)]
    assert isinstance(found[0], Piece)


@given(st.floats(20, 42), st.floats(104, 123))
def test_land_is_smooth(lat: float, lon: float) -> None:
    assert -10 < altitude_m(lat, lon) < 520
    assert abs(altitude_m(lat + 1e-5, lon + 1e-5) - altitude_m(lat, lon)) < 0.1  # 1.5 m on the ground


def test_rush_hours_are_slow_and_nights_are_not() -> None:
    """The Bureau of Public Roads' function at the table's hours; days off have one long hump."""
    night, morning, noon, evening = (traffic(hour) for hour in (3, 8, 12, 18))
    assert night.speed > 0.99 > noon.speed > morning.speed > evening.speed > 0.5
    assert night.queue_share == noon.queue_share == 0
    assert morning.queue_share > 0.4
    assert morning.speed == pytest.approx(1 / (1 + 0.15 * 1.4**4))
    assert traffic(8, day_off=True).speed > morning.speed
    assert traffic(7.999).speed == pytest.approx(morning.speed, abs=1e-3)
    assert traffic(24.0) == traffic(0.0)


def test_border_towns_lie_in_their_provinces(telemetry: Path) -> None:
    """By the outlines of the provinces in the recorded data."""
    with gzip.open(telemetry / "admin_boundaries" / "china.geojson.gz") as file:
        outlines = json.load(file)["features"]
    zh = {"北京": "Beijing", "上海": "Shanghai", "广东": "Guangdong", "四川": "Sichuan", "重庆": "Chongqing"}
    zh |= {"湖北": "Hubei", "陕西": "Shaanxi", "浙江": "Zhejiang", "辽宁": "Liaoning", "江苏": "Jiangsu"}
    zh |= {"河北": "Hebei", "湖南": "Hunan"}
    for city in CITIES.values():
        for place in places(city, 1).values():
            names = [o["properties"]["name"] for o in outlines if inside(o["geometry"], place.lon_deg, place.lat_deg)]
            assert [zh.get(name) for name in names] == [place.city.province], (city.name, place.name)


def inside(geometry: Any, lon: float, lat: float) -> bool:
    """Even and odd crossings of a ray to the east, over all outer rings."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return any(crossings(polygon[0], lon, lat) % 2 for polygon in polygons)


def crossings(ring: Any, lon: float, lat: float) -> int:
    count = 0
    for (a_lon, a_lat), (b_lon, b_lat) in pairwise(ring):
        if (a_lat > lat) != (b_lat > lat):
            count += lon < a_lon + (lat - a_lat) / (b_lat - a_lat) * (b_lon - a_lon)
    return count
