"""Jumps withheld and confirmed, zeros dropped, a standing car held and let go."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.gnss.position import (
    CONFIRM_S,
    METRES_PER_DEGREE,
    NOISE_M,
    NOISE_RADIUS_M,
    REASONS,
    SETTLE_S,
    PositionFilter,
    PositionSettings,
    distance_m,
    noise_radius_m,
)
from edge_agent.settings import read_section

LAT, LON = 31.82, 117.23


def at(
    north_m: float, east_m: float = 0.0, speed: float | None = 0.0, hdop: float | None = 0.9, **other: object
) -> Fix:
    lat_deg = LAT + north_m / METRES_PER_DEGREE
    lon_deg = LON + east_m / METRES_PER_DEGREE / math.cos(math.radians(LAT))
    return Fix(None, None, lat_deg, lon_deg, 30.0, speed, 90.0, 1, 9, hdop, **other)  # type: ignore[arg-type]


def north_m(fix: Fix) -> float | None:
    return None if fix.lat_deg is None else round((fix.lat_deg - LAT) * METRES_PER_DEGREE, 3)


def run(north: list[float], speed: float | None = 0.0, every_s: float = 1.0, hold: bool = False) -> list[float | None]:
    given = PositionFilter(hold)
    return [north_m(given.step(at(metres, speed=speed), index * every_s)) for index, metres in enumerate(north)]


# --- what passes ------------------------------------------------------------------------------------------------------


def test_a_drive_passes_unchanged() -> None:
    given = PositionFilter()
    for second in range(60):
        fix = at(25.0 * second, speed=25.0)
        assert given.step(fix, float(second)) is fix
    assert not +given.counts


def test_a_fix_without_a_position_passes_unchanged() -> None:
    void = Fix(None, 1000, None, None, None, None, None, 0, 0, None)
    given = PositionFilter()
    assert given.step(void, 0.0) is void
    assert not +given.counts


@pytest.mark.parametrize("source", [FixSource.CELL, FixSource.WIFI])
def test_a_fallbacks_position_is_no_jump_and_moves_no_circle(source: FixSource) -> None:
    given = PositionFilter()
    settled(given)
    rough = at(9000.0, source=source)
    assert given.step(rough, 21.0) is rough
    assert given.step(at(0.5), 22.0).source is FixSource.HELD
    assert given.counts["jump"] == 0


def test_holding_can_be_switched_off() -> None:
    assert read_section(PositionSettings, {}, "[position]").hold
    given = PositionFilter(read_section(PositionSettings, {"hold": False}, "[position]").hold)
    settled(given, 40)
    assert not given.counts["held"]


def test_hard_braking_and_starting_pass() -> None:
    speeds = [30.0, 22.0, 14.0, 6.0, 0.0, 0.0, 4.0, 8.0, 12.0]
    given, north = PositionFilter(), 0.0
    for second, speed in enumerate(speeds):
        north += speed
        assert given.step(at(north, speed=speed), float(second)).lat_deg is not None


def test_after_a_gap_a_car_may_be_anywhere_it_can_have_driven() -> None:
    """A ferry, a tunnel, a unit without power: 30 km in ten minutes is a drive."""
    given = PositionFilter()
    given.step(at(0), 0.0)
    assert given.step(at(30_000), 600.0).lat_deg is not None
    assert given.step(at(30_000 + 60_000), 601.0).lat_deg is None
    assert given.counts == {"jump": 1, "relocated": 0}


# --- jumps ------------------------------------------------------------------------------------------------------------


def test_out_and_back_is_withheld_and_counted() -> None:
    given = PositionFilter()
    shown = [given.step(at(metres), float(second)) for second, metres in enumerate([0, 0, 500, 502, 1, 0])]
    assert [north_m(fix) for fix in shown] == [0, 0, None, None, 1, 0]
    assert given.counts["jump"] == 2
    assert "jump" in REASONS
    withheld = shown[2]
    assert (withheld.lon_deg, withheld.satellites_used, withheld.speed_mps, withheld.source) == (None, 9, 0.0, 0)


def test_a_new_place_is_believed_after_a_while_and_counted_once() -> None:
    given = PositionFilter(hold=False)
    track = [0.0] * 5 + [5000.0 + metres for metres in range(20)]
    shown = [north_m(given.step(at(metres), float(second))) for second, metres in enumerate(track)]
    withheld = int(CONFIRM_S)
    assert shown[5 : 5 + withheld] == [None] * withheld
    assert shown[5 + withheld :] == track[5 + withheld :]
    assert given.counts == {"jump": withheld, "relocated": 1}


def test_at_ten_hertz_a_new_place_takes_as_long() -> None:
    shown = run([0.0] * 10 + [5000.0] * 100, every_s=0.1)
    assert shown.count(None) == round(CONFIRM_S / 0.1)


def test_a_sparse_receiver_confirms_with_three_fixes() -> None:
    """After a minute a car can be 4.2 km away, not 400."""
    assert run([0, 0, 400_000, 400_010, 400_020], every_s=60.0) == [0, 0, None, None, 400_020]


def test_scattered_positions_confirm_nothing() -> None:
    wild = [10_000.0 * (1 + second % 7) * (-1) ** second for second in range(8)]
    assert run([0, 0, *wild, 0])[2:-1] == [None] * 8


def test_a_glitch_that_comes_back_to_the_same_place_starts_anew() -> None:
    away = [5000.0] * 6
    assert run([0.0, 0.0, *away, 0.0, *away, 0.0])[-8:] == [0, None, None, None, None, None, None, 0]


@pytest.mark.parametrize(("metres", "shown"), [(NOISE_M + 7.9, True), (NOISE_M + 8.1, False)])
def test_from_standing_a_car_comes_as_far_as_noise_and_acceleration(metres: float, shown: bool) -> None:
    assert (run([0, 0, metres])[-1] is not None) == shown


@pytest.mark.parametrize(("metres", "shown"), [(NOISE_M + 69.9, True), (NOISE_M + 70.1, False)])
@pytest.mark.parametrize("speed", [None, 68.0])
def test_without_a_speed_and_at_high_speed_the_top_speed_counts(
    metres: float, shown: bool, speed: float | None
) -> None:
    assert (run([0, 1, 1 + metres], speed=speed)[-1] is not None) == shown


def test_the_second_position_outweighs_a_first_one_that_nothing_bore_out() -> None:
    assert run([800_000, 0, 1, 2]) == [800_000, None, 1, 2]
    assert run([800_000, 800_001, 0, 1, 2])[2:] == [None] * 3


def test_epochs_that_were_read_late_and_all_at_once_are_no_jumps() -> None:
    given = PositionFilter()
    for second in range(20):
        fix = at(30.0 * second, speed=None)
        told = Fix(None, second * 1000, *(getattr(fix, name) for name in Fix.__slots__[2:]))
        assert given.step(told, 100.0).lat_deg is not None


def test_a_position_that_stands_still_at_speed_is_not_measured_anew() -> None:
    """A receiver that repeats its position for ten seconds at 15 m/s, then shows the true one."""
    frozen = [0.0] * 10 + [150.0]
    assert run(frozen, speed=15.0)[-1] == 150
    assert run(frozen, speed=0.5)[-1] is None


def test_the_date_line_and_midnight_are_no_jumps() -> None:
    given = PositionFilter()
    for second, lon_deg in enumerate([179.9999, 179.99999, -179.9999, -179.9998]):
        time_of_day_ms = (86_398_000 + second * 1000) % 86_400_000
        fix = Fix(None, time_of_day_ms, 10.0, lon_deg, None, 5.0, None, 1, 9, 0.9)
        assert given.step(fix, float(second)).lon_deg == lon_deg


# --- zeros ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lat_deg", "lon_deg", "shown"),
    [
        (0.0, 117.2, False),
        (31.8, 0.0, False),
        (0.0, 0.0, False),
        (0.001, -0.004, False),
        (0.0, -0.0, False),
        (0.006, 0.001, True),
        (0.001, 9.4, True),
        (51.4779, -0.0015, True),
    ],
)
def test_what_was_never_set_is_dropped(lat_deg: float, lon_deg: float, shown: bool) -> None:
    given = PositionFilter()
    fix = Fix(None, None, lat_deg, lon_deg, None, None, None, 1, 9, None)
    assert (given.step(fix, 0.0).lat_deg is not None) == shown
    assert given.counts["zero"] == (not shown)
    assert given.step(at(0), 1.0).lat_deg is None if shown else given.step(at(0), 1.0).lat_deg is not None


# --- holding ----------------------------------------------------------------------------------------------------------


def settled(given: PositionFilter, until: int = 20, **other: object) -> None:
    for second in range(until):
        given.step(at(1.0 * (second % 2), **other), float(second))  # type: ignore[arg-type]


def test_a_standing_car_is_held_at_its_mean() -> None:
    given = PositionFilter()
    shown = [given.step(at(1.0 * (second % 2), second % 3), float(second)) for second in range(40)]
    assert [fix.source for fix in shown] == [FixSource.GNSS] * int(SETTLE_S) + [FixSource.HELD] * 30
    assert len({(fix.lat_deg, fix.lon_deg) for fix in shown[10:]}) == 1
    assert north_m(shown[-1]) == pytest.approx(0.5, abs=0.1)
    assert shown[-1].speed_mps == 0.0
    assert given.counts["held"] == 30


@pytest.mark.parametrize("speed", [0.5, 0.79, 5.0])
def test_who_is_not_still_is_not_held(speed: float) -> None:
    given = PositionFilter()
    settled(given, 60, speed=speed)
    assert given.counts["held"] == 0


def test_without_reported_speeds_the_positions_decide() -> None:
    given = PositionFilter()
    settled(given, speed=None)
    assert given.counts["held"] == 10
    assert all(given.step(at(3.0 * second, speed=None), 20.0 + second).lat_deg for second in range(10))
    assert given.step(at(33, speed=None), 31.0).source is FixSource.GNSS


@pytest.mark.parametrize(
    ("moves", "released"),
    [
        ([(0, 1.99)], False),
        ([(0, 2.0)], True),
        ([(0, 0.8), (0, 0.8)], True),
        ([(0, 0.8), (0, 0.79), (0, 0.8)], False),
        ([(16, 0.0)], False),  # an outlier
        ([(16, 0.0), (17, 0.0)], True),
        ([(14, 0.0), (14, 0.0)], False),
        ([(12, 0.0)] * 6, True),  # the mean of five seconds
        ([(9, 0.0)] * 30, False),
    ],
)
def test_when_it_is_let_go(moves: list[tuple[float, float]], released: bool) -> None:
    given = PositionFilter()
    settled(given)
    for index, (metres, speed) in enumerate(moves):
        fix = given.step(at(metres, speed=speed), 20.0 + index)
    assert (fix.source is FixSource.GNSS) == released
    if released:
        assert north_m(fix) == metres


def test_after_a_gap_one_position_away_lets_go() -> None:
    given = PositionFilter()
    settled(given)
    assert given.step(at(11), 60.0).source is FixSource.GNSS
    again = PositionFilter()
    settled(again)
    assert again.step(at(9), 60.0).source is FixSource.HELD


@pytest.mark.parametrize("speed_mps", [1.0, 0.5, 0.2, 0.05])
@pytest.mark.parametrize("told", [True, False])
def test_a_drag_is_never_hidden(speed_mps: float, told: bool) -> None:
    """However slow, what is shown stays within 1.5 radii; at 1 m/s it is let go at once if the speed is told."""
    given, chance, released_s = PositionFilter(), random.Random(7), None
    for second in range(1000):
        pulled = max(0, second - 60)
        raw = at(
            chance.gauss(0, 1.0) + speed_mps * pulled, chance.gauss(0, 1.0), speed=speed_mps * (told and pulled > 0)
        )
        shown = given.step(raw, float(second))
        assert shown.lat_deg is not None
        assert shown.lon_deg is not None
        assert raw.lat_deg is not None
        assert raw.lon_deg is not None
        off = distance_m(shown.lat_deg, shown.lon_deg, raw.lat_deg, raw.lon_deg)
        assert off <= 1.5 * NOISE_RADIUS_M[0] + 4.0  # the noise of one position, which may be an outlier
        if pulled and released_s is None and shown.source is FixSource.GNSS:
            released_s = pulled
    assert released_s is not None
    assert released_s <= (2 if told and speed_mps == 1 else 20 + 10 / speed_mps)


def test_the_noise_radius_follows_the_dilution_within_bounds() -> None:
    assert [noise_radius_m(hdop) for hdop in (None, 0.5, 2.0, 3.0, 5.0, 50.0)] == [10, 10, 10, 15, 25, 25]
    wide = PositionFilter()
    settled(wide)
    assert [wide.step(at(20, hdop=4.0), 20.0 + second).source for second in range(9)] == [FixSource.HELD] * 9


def test_a_car_on_the_date_line_is_held_there() -> None:
    given = PositionFilter()
    for second in range(30):
        fix = Fix(None, None, 10.0, (180 - 1e-6) * (-1) ** second, None, 0.0, None, 1, 9, 0.9)
        shown = given.step(fix, float(second))
    assert shown.source is FixSource.HELD
    assert shown.lon_deg is not None
    assert 179.9999 <= abs(shown.lon_deg) <= 180


# --- whatever comes ---------------------------------------------------------------------------------------------------

wild = st.tuples(
    st.floats(-90, 90),
    st.floats(-180, 180),
    st.one_of(st.none(), st.floats(0, 515)),
    st.one_of(st.none(), st.integers(0, 86_400_999)),
    st.floats(0, 3600),
)


@given(st.lists(wild, max_size=40))
def test_whatever_comes_nothing_raises_and_shown_positions_are_on_earth(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    given, mono_s = PositionFilter(), 0.0
    for lat_deg, lon_deg, speed, time_of_day_ms, passed_s in steps:
        mono_s += passed_s
        fix = given.step(Fix(None, time_of_day_ms, lat_deg, lon_deg, None, speed, None, 1, 9, None), mono_s)
        assert (fix.lat_deg is None) == (fix.lon_deg is None)
        assert fix.lat_deg is None or (-90 <= fix.lat_deg <= 90)
        assert fix.lon_deg is None or (-180 <= fix.lon_deg <= 180)
    assert given.counts["jump"] + given.counts["zero"] <= len(steps)


@given(st.integers(0, 5_000_000), st.integers(1, 60))
def test_no_place_is_withheld_for_longer_than_it_takes_to_confirm(metres: int, every_s: int) -> None:
    shown = run([0.0, 0.0] + [float(metres)] * 30, every_s=float(every_s))
    assert shown[2:].count(None) <= max(2, math.ceil(CONFIRM_S / every_s))


@pytest.mark.shared
def test_of_a_real_drive_nothing_is_withheld_and_its_stops_are_held(telemetry: Path) -> None:
    pytest.importorskip("pyarrow")
    from benchmarks.position_filter import drifts, f9k, on_real_drives, stops

    drives = f9k(telemetry)
    result = on_real_drives(drives)
    assert (result["jump"], result["zero"], result["relocated"]) == (0, 0, 0)
    assert result["held"] > 300
    drift = drifts(stops(drives[0]), 3.0)
    assert drift["shown_path_m_per_hour"] < drift["raw_path_m_per_hour"] / 3
