"""Satellites rise and set as real ones do, and the geometry is that of the textbooks."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from firmware_sim.receiver.constellations import CONSTELLATIONS
from firmware_sim.receiver.sky import InSky, dilution, sky
from firmware_sim.roads.cities import CITIES

NOON = datetime(2026, 11, 24, 4, tzinfo=UTC)
SIDEREAL_DAY = timedelta(seconds=86164.0905)


def elevations(utc: datetime, system: str, lat_deg: float = 30.57, lon_deg: float = 104.07) -> dict[int, float]:
    return {seen.number: seen.elevation_deg for seen in sky(utc, lat_deg, lon_deg, 500.0, (system,))}


@pytest.mark.parametrize("city", sorted(CITIES))
def test_as_many_as_are_seen_in_china(city: str) -> None:
    place = CITIES[city]
    for hours in range(0, 24, 2):
        seen = sky(NOON + timedelta(hours=hours), place.lat_deg, place.lon_deg, 50.0, ("GPS", "BeiDou"))
        high = [satellite.system for satellite in seen if satellite.elevation_deg > 7]
        assert 5 <= high.count("GPS") <= 12
        assert 15 <= high.count("BeiDou") <= 30


def test_they_rise_and_set_slowly() -> None:
    """A GPS satellite crosses the sky in five to seven hours: never faster than half a degree a minute."""
    rose = set()
    before = elevations(NOON, "GPS")
    for minute in range(1, 24 * 60):
        now = elevations(NOON + timedelta(minutes=minute), "GPS")
        assert all(abs(now[number] - before[number]) < 0.55 for number in now.keys() & before.keys())
        assert all(now[number] < 0.6 for number in now.keys() - before.keys())
        assert all(before[number] < 0.6 for number in before.keys() - now.keys())
        rose |= now.keys() - before.keys()
        before = now
    assert len(rose) >= 20


@pytest.mark.parametrize(("system", "days"), [("GPS", 1), ("BeiDou", 7), ("GLONASS", 8), ("Galileo", 10)])
def test_ground_tracks_repeat(system: str, days: int) -> None:
    again = elevations(NOON + days * SIDEREAL_DAY, system)
    assert elevations(NOON, system) == pytest.approx(again, abs=0.02)
    for early in (days - 0.5, *range(1, days)):
        assert elevations(NOON + early * SIDEREAL_DAY, system) != pytest.approx(again, abs=5)


@pytest.mark.parametrize(("number", "longitude_deg"), [(1, 140.0), (59, 140.0), (60, 80.0), (3, 110.5), (4, 160.0)])
def test_geostationary_ones_stand_still_where_they_should(number: int, longitude_deg: float) -> None:
    """From below they are in the zenith, from Chengdu at 180 degrees - atan(tan(dlon) / sin(lat))."""
    (above,) = [seen for seen in sky(NOON, 0.0, longitude_deg, 0.0, ("BeiDou",)) if seen.number == number]
    assert above.elevation_deg > 89.9
    azimuths = set()
    for hours in (0, 7, 15):
        (seen,) = [s for s in sky(NOON + timedelta(hours=hours), 30.57, 104.07, 0.0, ("BeiDou",)) if s.number == number]
        azimuths.add(round(seen.azimuth_deg, 3))
    from_south = math.degrees(math.atan2(math.tan(math.radians(longitude_deg - 104.07)), math.sin(math.radians(30.57))))
    assert list(azimuths) == [pytest.approx(180 - from_south, abs=0.3)]


def test_gps_slots_stand_as_the_standard_says() -> None:
    """At the table's epoch Greenwich is at 18 h 36 min 14.4 s: slot A3 is 11.676 degrees past its node."""
    epoch = datetime(1993, 7, 1, tzinfo=UTC)
    greenwich_deg = (18 + 36 / 60 + 14.4 / 3600) * 15
    u, node, inclination = (math.radians(angle) for angle in (11.676, 272.847, 55.0))
    lat = math.degrees(math.asin(math.sin(u) * math.sin(inclination)))
    along = math.degrees(math.atan2(math.sin(u) * math.cos(inclination), math.cos(u)))
    lon = (math.degrees(node) + along - greenwich_deg + 180) % 360 - 180
    (seen,) = [s for s in sky(epoch, lat, lon, 0.0, ("GPS",)) if s.number == 3]
    assert seen.elevation_deg > 89.7


def test_numbers_are_those_of_nmea() -> None:
    numbers = {system: [orbit.number for orbit in orbits] for system, orbits in CONSTELLATIONS.items()}
    assert all(len(set(some)) == len(some) for some in numbers.values())
    limits = {"GPS": (1, 32), "BeiDou": (1, 64), "GLONASS": (65, 96), "Galileo": (1, 36)}
    assert all(low <= min(numbers[system]) and max(numbers[system]) <= high for system, (low, high) in limits.items())


def test_dilution_of_a_textbook_sky() -> None:
    """One overhead, three on the horizon 120 degrees apart: HDOP and VDOP are both the root of 4/3."""
    four = [InSky("GPS", 1, 90.0, 0.0), *(InSky("GPS", 2 + i, 0.0, 120.0 * i) for i in range(3))]
    found = dilution(four)
    assert found is not None
    assert (found.hdop, found.vdop) == pytest.approx((math.sqrt(4 / 3), math.sqrt(4 / 3)))
    assert found.pdop == pytest.approx(math.sqrt(8 / 3))
    assert dilution(four[:3]) is None
    held = dilution(four[1:], height_known=True)
    assert held is not None
    assert held.hdop == pytest.approx(found.hdop)
    mixed = [*four[:3], InSky("BeiDou", 9, 0.0, 240.0)]
    assert dilution(mixed) is None  # a second clock takes a satellite of its own
    assert dilution([InSky("GPS", i, 45.0, 45.0) for i in range(5)]) is None  # all in one place
