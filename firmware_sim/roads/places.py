"""Named places, so that a story can say "drive to work". Pure.

Home and work belong to the owner, that is to the seed; all other places are the town's own and the same for everybody,
so that several vehicles can gather at one hotspot. A place lies beside a street, in the middle of a block.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from firmware_sim.roads import streets
from firmware_sim.roads.cities import CITIES, City
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.motion import Motion, Phase

# How many blocks from home to work: short enough for stories that are played often, 2 to 4 minutes with lights.
_COMMUTE = (2, 3)
_PORT = (9, 2)
_WATER_M = 1900.0  # to the other quay, straight ahead of a car in the port; the way back by road has a bridge


@dataclass(frozen=True, slots=True)
class Place:
    """Where a car can be parked, WGS-84 degrees. `underground`: no satellite is seen there."""

    name: str
    zh: str
    en: str
    city: City
    lat_deg: float
    lon_deg: float
    altitude_m: float
    course_deg: float  # how a car stands that was parked there
    underground: bool = False


# name → Chinese, English, junction to the left of or below it in blocks, direction of its street, underground.
_TOWN: Mapping[str, tuple[str, str, tuple[int, int], int, bool]] = MappingProxyType(
    {
        "mall": ("购物中心", "mall", (1, 0), 1, False),
        "garage": ("地下车库", "underground garage", (0, -2), 1, True),
        "hotspot": ("二押集散点", "second-pledge yard", (5, -3), 0, False),
        "scrapyard": ("报废拆解厂", "scrapyard", (-7, 5), 1, False),
        "police": ("车管所", "vehicle registration office", (-2, -3), 0, False),
        "port": ("渡口", "ferry port", _PORT, 1, False),
    }
)
PLACES: tuple[str, ...] = ("home", "work", *_TOWN, "far_quay", "border")
_IN_BLOCK = 0.45  # of the block, from its junction; clear of stop lines and turns


def places(city: City, seed: int) -> Mapping[str, Place]:
    """All places that a story of this seed can name; `border` is the yard of the town beyond the province's border."""
    rng = random.Random(f"places {city.name} {seed}")  # noqa: S311 - repeatable on purpose
    home = rng.randint(-3, 2), rng.randint(-3, 2)
    blocks = rng.randint(*_COMMUTE)
    across = rng.randint(1, blocks - 1)
    work = home[0] + rng.choice((-1, 1)) * across, home[1] + rng.choice((-1, 1)) * (blocks - across)
    found = {
        "home": _place(city, "home", "家", "home", home, rng.randrange(2)),
        "work": _place(city, "work", "单位", "work", work, rng.randrange(2)),
    }
    for name, (zh, en, node, direction, underground) in _TOWN.items():
        found[name] = _place(city, name, zh, en, node, direction, underground)
    quay = _PORT[0] + round(_WATER_M / city.block_m), _PORT[1]
    found["far_quay"] = _place(city, "far_quay", "对岸码头", "quay on the other side", quay, 1)
    beyond = CITIES[city.beyond]
    found["border"] = _place(
        beyond, "border", f"外省：{beyond.name_zh}", f"beyond the border: {beyond.name}", (2, 1), 0
    )
    return MappingProxyType(found)


def parked_at(place: Place, t_s: float = 0.0) -> Motion:
    """A car that stands there with the key off: how a story begins."""
    return Motion(t_s, place.lat_deg, place.lon_deg, place.altitude_m, 0.0, 0.0, place.course_deg, Phase.OFF)


def _place(
    city: City,
    name: str,
    zh: str,
    en: str,
    node: tuple[int, int],
    direction: int,
    underground: bool = False,
) -> Place:
    right, up = node[0] + _IN_BLOCK * (direction == 1), node[1] + _IN_BLOCK * (direction == 0)
    flat = streets.at(city, right, up)
    lat_deg, lon_deg = streets.plane(city).round(*flat)
    course_deg = math.degrees(streets.heading(city, direction)) % 360
    return Place(name, zh, en, city, lat_deg, lon_deg, altitude_m(lat_deg, lon_deg), course_deg, underground)
