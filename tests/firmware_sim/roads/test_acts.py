"""Acts join without a jump, and what each of them promises."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import pytest

from firmware_sim.roads import acts
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.driver import MAX_ACCEL_MPS2, Driver
from firmware_sim.roads.geometry import Plane
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.motion import STEP_S, Motion, Phase
from firmware_sim.roads.places import Place, parked_at, places

TOWN = places(CITIES["chengdu"], 1)
HOME = parked_at(TOWN["home"])
BESIDE_DEG = HOME.lat_deg + 0.0009  # 100 m from the street
OFFSET = replace(HOME, lat_deg=BESIDE_DEG, altitude_m=altitude_m(BESIDE_DEG, HOME.lon_deg), t_s=50.0)


def metres(a: Motion, b: Motion | Place) -> float:
    return math.hypot(*Plane(a.lat_deg, a.lon_deg).flat(b.lat_deg, b.lon_deg))


def check(after: Motion, told: list[Motion], least_accel: float = -MAX_ACCEL_MPS2) -> None:
    """It starts where the last act ended, ten times a second, moves as its speed says, and ends standing."""
    assert told
    for before, now in itertools.pairwise([after, *told]):
        dt_s = now.t_s - before.t_s
        assert dt_s == pytest.approx(STEP_S, abs=1e-6)
        assert abs(metres(before, now) - (before.speed_mps + now.speed_mps) / 2 * dt_s) < 0.02
        assert now.accel_mps2 == pytest.approx((now.speed_mps - before.speed_mps) / dt_s, abs=1e-6)
        assert least_accel - 1e-6 <= now.accel_mps2 <= MAX_ACCEL_MPS2 + 1e-6
        assert abs(now.altitude_m - before.altitude_m) < 0.1 + 0.05 * before.speed_mps
        turned = (now.course_deg - before.course_deg + 180) % 360 - 180
        if before.speed_mps > 1.0:  # slower, a car can be turned on the spot
            assert abs(math.radians(turned)) / dt_s * before.speed_mps < 2.3
    assert told[-1].speed_mps == 0


@cache
def driven(city: str, seed: int, to: str, hour: float = 10.0) -> tuple[Motion, ...]:
    town = places(CITIES[city], seed)
    return tuple(acts.drive(parked_at(town["home"]), town[to], seed, hour=hour))


@pytest.mark.parametrize("city", sorted(CITIES))
@pytest.mark.parametrize("to", ["work", "garage", "scrapyard", "port"])
def test_a_drive_ends_at_its_place(city: str, to: str) -> None:
    town = places(CITIES[city], 3)
    told = list(driven(city, 3, to))
    check(parked_at(town["home"]), told)
    assert metres(told[-1], town[to]) < 1
    phases = [phase for phase, _ in itertools.groupby(motion.phase for motion in told)]
    assert phases == [Phase.KEY_ON, Phase.CRANKING, Phase.RUNNING, Phase.KEY_ON, Phase.OFF]
    assert all(motion.speed_mps == 0 for motion in told if motion.phase is not Phase.RUNNING)
    assert all(motion.wheels_turn for motion in told)
    assert 25 < max(motion.speed_mps for motion in told) * 3.6 < 86


def test_a_day_with_all_its_acts_has_no_seam() -> None:
    here = HOME
    plan: list[tuple[str, Iterator[Motion]]] = []

    def go(name: str, told: Iterator[Motion], least_accel: float = -MAX_ACCEL_MPS2) -> None:
        nonlocal here
        motions = list(told)
        check(here, motions, least_accel)
        here = motions[-1]
        plan.append((name, iter(())))

    go("drive", acts.drive(here, TOWN["mall"], 1))
    go("still", acts.still(here, 60))
    go("idle", acts.idles(here, 30))
    go("cranks", acts.cranks(here, 4))
    go("about", acts.drive(here, None, 1, minutes=3))
    go("roll", acts.rolls(here), -9.0)
    go("drive", acts.drive(here, TOWN["port"], 2))
    go("ferry", acts.ferry(here, TOWN["far_quay"], 1))
    go("drive", acts.drive(here, TOWN["work"], 3))
    go("tow", acts.towed(here, TOWN["hotspot"], 1))
    go("flatbed", acts.flatbed(here, TOWN["scrapyard"], 1))
    go("drive", acts.drive(here, TOWN["home"], 4))
    assert len(plan) == 12
    assert metres(here, TOWN["home"]) < 1


def test_a_car_beside_the_street_finds_back() -> None:
    told = list(acts.drive(OFFSET, TOWN["work"], 1))
    check(OFFSET, told)
    assert metres(told[-1], TOWN["work"]) < 1


@pytest.mark.parametrize("minutes", [6.0, 10.0, 20.0])
def test_minutes_ask_for_detours(minutes: float) -> None:
    lasted = []
    for seed in range(6):
        *_, last = acts.drive(HOME, TOWN["work"], seed, minutes=minutes)
        assert metres(last, TOWN["work"]) < 1
        lasted.append(last.t_s / 60)
    assert 0.75 * minutes < sorted(lasted)[2] < 1.35 * minutes


def test_about_the_town_lasts_as_long_as_it_is_told_to() -> None:
    for seed in range(4):
        told = list(acts.drive(HOME, None, seed, minutes=3))
        check(HOME, told)
        assert 175 < told[-1].t_s < 181
    with pytest.raises(ValueError, match="place or minutes"):
        list(acts.drive(HOME, None, 1))


def test_rush_hour_takes_longer() -> None:
    def mean_s(hour: float) -> float:
        return sum(driven("chengdu", seed, "hotspot", hour)[-1].t_s for seed in range(6)) / 6

    assert mean_s(3.0) < mean_s(11.0) < mean_s(18.0)
    assert mean_s(18.0) > 1.4 * mean_s(3.0)


def test_the_ring_road_is_fast_and_has_no_lights() -> None:
    fast = [motion for motion in driven("chengdu", 1, "scrapyard") if motion.speed_mps * 3.6 > 65]
    assert sum(b.t_s - a.t_s < 0.15 for a, b in itertools.pairwise(fast)) > 300


def test_over_the_border_by_expressway() -> None:
    """Shanghai to Suzhou, 85 km: most of it near 110 km/h, in another province at the end."""
    town = places(CITIES["shanghai"], 1)
    here = parked_at(town["home"])
    told = list(acts.drive(here, town["border"], 1))
    check(here, told)
    assert metres(told[-1], town["border"]) < 1
    assert 45 < told[-1].t_s / 60 < 90
    assert sum(motion.speed_mps * 3.6 > 90 for motion in told) > 0.5 * len(told)


def test_towed_on_its_wheels_or_lifted() -> None:
    for on_wheels in (True, False):
        told = list(acts.towed(HOME, TOWN["hotspot"], 1, on_wheels=on_wheels, minutes=3))
        check(HOME, told)
        assert {motion.phase for motion in told} == {Phase.OFF}
        moving = [motion for motion in told if motion.speed_mps > 0]
        assert {motion.wheels_turn for motion in moving} == {on_wheels}
        assert 5 < max(motion.speed_mps for motion in told) * 3.6 <= 40.1
        assert told[-1].t_s <= 181


def test_a_flatbed_pulls_the_car_up_before_it_drives() -> None:
    told = list(acts.flatbed(HOME, TOWN["scrapyard"], 1))
    check(HOME, told)
    assert {motion.phase for motion in told} == {Phase.OFF}
    winched = [m for m in told if m.wheels_turn and m.speed_mps > 0]
    assert max(m.speed_mps for m in winched) < 0.13
    assert sum(m.speed_mps for m in winched) * STEP_S == pytest.approx(14, abs=1)  # up and down
    assert max(m.speed_mps for m in told if not m.wheels_turn) > 8
    cut = list(acts.flatbed(HOME, TOWN["scrapyard"], 1, minutes=5))
    assert 300 <= cut[-1].t_s < 400


def test_a_ferry_moves_and_its_cars_do_not() -> None:
    port = parked_at(TOWN["port"])
    told = list(acts.ferry(port, TOWN["far_quay"], 1))
    check(port, told)
    assert metres(told[-1], TOWN["far_quay"]) < 1
    moving = [motion for motion in told if motion.speed_mps > 0]
    assert not any(motion.wheels_turn for motion in moving)
    assert {motion.phase for motion in told} == {Phase.OFF}
    assert 6 < max(motion.speed_mps for motion in told) < 6.3


def test_a_slope_decides_whether_it_rolls() -> None:
    """From a = g (sin - Crr cos): 4 % is 0.28 m/s2, so 25 m take v = 3.8 m/s; 1 % does not overcome the tyres."""
    told = list(acts.rolls(HOME, slope_pct=4.0, metres=25.0))
    check(HOME, told, least_accel=-9.0)
    assert max(motion.speed_mps for motion in told) == pytest.approx(math.sqrt(2 * 0.2842 * 25), rel=0.02)
    assert 25 < metres(HOME, told[-1]) < 26.5
    assert list(acts.rolls(HOME, slope_pct=1.0)) == []


def test_standing_can_be_thinned() -> None:
    told = list(acts.still(HOME, 3600, rate_hz=1))
    assert len(told) == 3600
    assert told[-1] == replace(HOME, t_s=3600.0)
    assert {round(b.t_s - a.t_s, 6) for a, b in itertools.pairwise(told)} == {1.0}
    assert [motion.t_s for motion in acts.still(HOME, 0.05)] == [pytest.approx(0.1, abs=0.06)]


def test_hard_brakes_are_hard_and_a_crash_is_harder() -> None:
    hard = list(acts.drive(HOME, TOWN["scrapyard"], 1, driver=Driver(hard_brakes_s=(20.0, 60.0, 100.0))))
    check(HOME, hard, least_accel=-8.0)
    stops = sum(b.accel_mps2 < -7 <= a.accel_mps2 for a, b in itertools.pairwise(hard))
    assert stops == 3


@pytest.mark.parametrize("seed", range(12))
def test_a_crash_comes_and_is_harder_than_any_brake(seed: int) -> None:
    crash = list(acts.drive(HOME, None, seed, minutes=1.5, hour=3.0, driver=Driver(crash_s=50.0)))
    check(HOME, crash, least_accel=-130.0)
    first = next(i for i, motion in enumerate(crash) if motion.accel_mps2 < -100)
    assert crash[first - 1].speed_mps * 3.6 >= 50
    assert crash[first + 1].speed_mps == 0
    assert 60 < crash[first].t_s < 240
    assert all(m.speed_mps == 0 and m.phase is not Phase.RUNNING for m in crash[first + 1 :])
    assert crash[-1].phase is Phase.OFF


def test_the_same_seed_gives_the_same_drive() -> None:
    again = list(acts.drive(HOME, TOWN["mall"], 9))
    assert again == list(acts.drive(HOME, TOWN["mall"], 9))
    assert again != list(acts.drive(HOME, TOWN["mall"], 10))
