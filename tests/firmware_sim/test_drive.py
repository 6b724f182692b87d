"""A synthetic drive: believable motion, a car that follows it, and sentences that independent readers accept."""

import io
import itertools
import math
from datetime import UTC, datetime
from functools import cache

import pynmea2
import pytest
from pynmeagps import VALCKSUM, NMEAReader  # type: ignore[import-untyped]

from firmware_sim.car.vehicle import CarStart, Vehicle
from firmware_sim.car.vin import DEFAULT_VIN, vin_check_digit, vin_problem
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.receiver.receiver import Receiver
from firmware_sim.receiver.settings import ReceiverSettings
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.driver import MAX_ACCEL_MPS2
from firmware_sim.roads.geometry import radii_m
from firmware_sim.roads.motion import STEP_S, Motion, Phase
from firmware_sim.roads.trip import roam
from firmware_sim.synthetic import drive_events
from firmware_sim.timeline import CarAt, GnssBytes

START = datetime(2026, 12, 31, 23, 55, tzinfo=UTC)  # the drive goes over the end of a day, a month and a year
DURATION_S = 900.0
SOME_DRIVES = list(itertools.product(sorted(CITIES), (1, 2)))


@cache
def motions(city: str, seed: int) -> tuple[Motion, ...]:
    return tuple(roam(CITIES[city], seed, DURATION_S))


@cache
def cars(city: str, seed: int) -> tuple[CarSnapshot, ...]:
    vehicle = Vehicle(seed, CarStart())
    return tuple(vehicle.step(motion) for motion in motions(city, seed))


def metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    north, east = radii_m(a[0])
    return math.hypot(math.radians(b[0] - a[0]) * north, math.radians(b[1] - a[1]) * east)


@pytest.mark.parametrize(("city", "seed"), SOME_DRIVES)
def test_motion_is_believable(city: str, seed: int) -> None:
    drive = motions(city, seed)
    assert len(drive) == DURATION_S / STEP_S
    speeds = [motion.speed_mps for motion in drive]
    assert max(abs(motion.accel_mps2) for motion in drive) <= MAX_ACCEL_MPS2 + 1e-9
    assert 30 < max(speeds) * 3.6 < 70
    assert 0.05 < sum(speed == 0 for speed in speeds) / len(speeds) < 0.6
    assert 2_000 < sum(speeds) * STEP_S < 13_000
    centre = CITIES[city].lat_deg, CITIES[city].lon_deg
    assert all(metres(centre, (motion.lat_deg, motion.lon_deg)) < 6_000 for motion in drive[::50])
    for before, after in itertools.pairwise(drive):
        moved_m = metres((before.lat_deg, before.lon_deg), (after.lat_deg, after.lon_deg))
        assert abs(moved_m - (before.speed_mps + after.speed_mps) / 2 * STEP_S) < 0.02
        turned_deg = (after.course_deg - before.course_deg + 180) % 360 - 180
        if turned_deg:  # corners are taken at a bearable lateral acceleration
            assert abs(math.radians(turned_deg)) / STEP_S * before.speed_mps < 3.0


def test_stops_and_turns_happen_and_it_ends_parked() -> None:
    drive = motions("beijing", 1)
    assert len({round(motion.course_deg) for motion in drive if motion.speed_mps}) > 30
    stops = sum(a.speed_mps > 0 and b.speed_mps == 0 for a, b in itertools.pairwise(drive))
    assert stops >= 3
    assert [phase for phase, _ in itertools.groupby(motion.phase for motion in drive)] == [
        Phase.KEY_ON,
        Phase.CRANKING,
        Phase.RUNNING,
        Phase.KEY_ON,
        Phase.OFF,
    ]
    assert all(motion.speed_mps == 0 for motion in drive if motion.phase is not Phase.RUNNING)


@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_drive_ends_parked_too(seed: int) -> None:
    drive_ = list(roam(CITIES["wuhan"], seed, 60.0))
    assert max(motion.speed_mps for motion in drive_) > 3
    assert drive_[-1].phase is Phase.OFF
    assert all(motion.speed_mps == 0 for motion in drive_[-80:])


@pytest.mark.parametrize(("city", "seed"), SOME_DRIVES[:6])
def test_the_car_follows_the_motion(city: str, seed: int) -> None:
    for motion, car in zip(motions(city, seed), cars(city, seed), strict=True):
        assert car.speed_kmh == motion.speed_mps * 3.6
        assert car.rpm is not None
        assert car.engine_load_pct is not None
        assert car.ecu_awake == (motion.phase is not Phase.OFF)
        if motion.phase is Phase.RUNNING:
            assert 200 < car.rpm < 5500
            assert 12.5 < car.battery_v < 14.6
            assert 0 < car.engine_load_pct <= 100
        elif motion.phase is Phase.CRANKING:
            assert 7 < car.battery_v < 11.6  # recorded cars: 7.56 V in the first instant
        else:
            assert 12.2 < car.battery_v < 13.3
    first, last = cars(city, seed)[0], cars(city, seed)[-1]
    assert first.coolant_c == 18
    assert last.coolant_c is not None
    assert 70 < last.coolant_c <= 90
    driven_km = sum(motion.speed_mps for motion in motions(city, seed)) * STEP_S / 1000
    assert last.odometer_km is not None
    assert first.odometer_km is not None
    assert last.odometer_km - first.odometer_km == pytest.approx(driven_km, rel=1e-6)
    assert last.fuel_level_pct is not None
    assert first.fuel_level_pct is not None
    burnt_l = (first.fuel_level_pct - last.fuel_level_pct) / 100 * 50
    assert 4 < burnt_l / driven_km * 100 < 20  # litres per 100 km of cold town driving


def test_rpm_follows_speed_within_a_gear() -> None:
    drive, car = motions("beijing", 1), cars("beijing", 1)
    idle = [
        c.rpm for m, c in zip(drive, car, strict=True) if m.speed_mps == 0 and m.phase is Phase.RUNNING and m.t_s > 500
    ]
    assert idle
    assert all(rpm is not None and 650 < rpm < 1600 for rpm in idle)
    fast = [c.rpm for m, c in zip(drive, car, strict=True) if m.speed_mps * 3.6 > 50]
    assert fast
    assert all(rpm is not None and 1200 < rpm < 3500 for rpm in fast)


def events(city: str, seed: int) -> list[CarAt | GnssBytes]:
    return list(drive_events(CITIES[city], seed, DURATION_S, START, CarStart()))


def sentences(city: str, seed: int) -> list[bytes]:
    return [event.data for event in events(city, seed) if isinstance(event, GnssBytes)]


def test_the_same_seed_gives_the_same_events() -> None:
    assert events("xian", 5) == events("xian", 5)
    assert sentences("xian", 5) != sentences("xian", 6)
    times = [event.t_s for event in events("xian", 5)]
    assert times == sorted(times)


def test_independent_readers_accept_every_sentence() -> None:
    lines = sentences("chengdu", 3)
    assert {line[1:6].decode() for line in lines} == {"GNRMC", "GNVTG", "GNGGA", "GNGSA", "GPGSV", "GBGSV"}
    assert max(map(len, lines)) <= 82  # NMEA 0183 4.11, 5.3
    for line in lines:
        checksum = 0
        for byte in line[1:-5]:
            checksum ^= byte
        assert line.endswith(f"*{checksum:02X}\r\n".encode())
        assert pynmea2.parse(line.decode(), check=True)
    reader = NMEAReader(io.BytesIO(b"".join(lines)), validate=VALCKSUM, quitonerror=2)
    assert [raw for raw, _ in reader] == lines


@pytest.mark.parametrize(("city", "seed"), SOME_DRIVES[::4])
def test_fixes_tell_the_truth_within_the_noise(city: str, seed: int) -> None:
    truth = motions(city, seed)[:: round(1 / STEP_S)]
    fixes = [pynmea2.parse(line.decode()) for line in sentences(city, seed) if line.startswith(b"$GNRMC")]
    assert len(fixes) == len(truth) == DURATION_S
    errors_m = []
    for motion, fix in zip(truth, fixes, strict=True):
        errors_m.append(metres((motion.lat_deg, motion.lon_deg), (fix.latitude, fix.longitude)))
        assert abs(fix.spd_over_grnd * 1852 / 3600 - motion.speed_mps) < 0.3
        assert (fix.datetime - START).total_seconds() == motion.t_s
        if fix.true_course is None:
            assert motion.speed_mps < 1
        elif motion.speed_mps > 3:
            assert abs((fix.true_course - motion.course_deg + 180) % 360 - 180) < 6
    errors_m.sort()
    assert 0.3 < errors_m[len(errors_m) // 2] < 2.5
    assert errors_m[-1] < 6


def test_errors_wander_and_do_not_jump() -> None:
    """A parked car's fixes are correlated: consecutive ones differ far less than the error itself is large."""
    parked = Motion(0.0, 39.9, 116.4, 40.0, 0.0, 0.0, 0.0, Phase.OFF)
    receiver = Receiver(ReceiverSettings(4, START, start="running"))
    places = []
    for second in range(600):
        line = receiver.epoch(Motion(float(second), *[getattr(parked, name) for name in list(Motion.__slots__)[1:]]))[2]
        fix = pynmea2.parse(line.decode())
        places.append((fix.latitude, fix.longitude))
    steps = [metres(a, b) for a, b in itertools.pairwise(places)]
    errors = [metres((39.9, 116.4), place) for place in places]
    assert sum(steps) / len(steps) < 0.6 * sum(errors) / len(errors)


def test_dialect() -> None:
    lines = Receiver(ReceiverSettings(1, START, talkers=("BD", "BD"))).epoch(motions("beijing", 1)[0])
    assert {line[1:3] for line in lines} == {b"BD", b"GN", b"GP"}


def test_vin_check_digit() -> None:
    assert vin_problem(DEFAULT_VIN) is None
    assert vin_problem("1M8GDM9AXKP042788") is None  # the worked example of the standard
    assert vin_check_digit("1M8GDM9A?KP042788".replace("?", "0")) == "X"
    standard = "A1 B2 C3 D4 E5 F6 G7 H8 J1 K2 L3 M4 N5 P7 R9 S2 T3 U4 V5 W6 X7 Y8 Z9 00 11 22 33 44 55 66 77 88 99"
    for letter, value in (tuple(pair) for pair in standard.split()):
        assert vin_check_digit(letter + "0" * 16) == "0123456789X"[int(value) * 8 % 11]
    assert vin_problem("1M8GDM9A1KP042788") == "its check digit (9th character) should be X"
    for wrong in ("", "1M8GDM9AXKP04278", "IM8GDM9AXKP042788", "1m8gdm9axkp042788"):
        assert "17 characters" in str(vin_problem(wrong))
