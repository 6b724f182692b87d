"""Tow, lost position, disagreeing position and collision, on made-up ways; `test_recorded.py` has real ones."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from edge_agent.rules import LocalEvent, Seen
from tests.edge_agent.rules.play import HOME, away, kinds, new_watch, played, second, steady

ASLEEP: dict[str, Any] = {"engine": "off", "obd_port": "car silent"}


def drive(start_s: float, count: int, *, kmh: float = 54.0, from_m: float = 0.0, **other: Any) -> Iterator[Seen]:
    """North at a steady speed, with wheels and receiver of one mind; the engine's speed wavers."""
    for i in range(count):
        place = away(from_m + kmh / 3.6 * i)
        known = {"engine": "running", "obd_port": "answering", "engine_rpm": 2000.0 + i % 3, "fix_quality": 1}
        known |= {"obd_speed_kmh": kmh, "obd_speed_mono_s": start_s + i, "speed_mps": kmh / 3.6, "place": place}
        yield second(start_s + i, **(known | other))


def only(kind: str, events: list[LocalEvent]) -> list[LocalEvent]:
    return [event for event in events if event.kind == kind]


def test_a_tow_is_told_once_until_the_car_runs_again() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 600, **ASLEEP, place=HOME, speed_mps=0.0))
    told = played(watch, (second(600.0 + i, **ASLEEP, place=away(6.0 * i), speed_mps=6.0) for i in range(300)))
    assert kinds(told) == ["tow"]
    assert 20 <= told[0].mono_s - 600 <= 45
    assert told[0].details["reason"] == "moving_fast"
    assert played(watch, steady(900.0, 300, **ASLEEP, place=away(1800.0), speed_mps=0.0)) == []
    played(watch, steady(1200.0, 10, engine="running", place=away(1800.0), speed_mps=0.0))
    played(watch, steady(1210.0, 300, **ASLEEP, place=away(1800.0), speed_mps=0.0))
    again = played(
        watch, (second(1510.0 + i, **ASLEEP, place=away(1800.0 + 6.0 * i), speed_mps=6.0) for i in range(99))
    )
    assert kinds(only("tow", again)) == ["tow"]


def test_a_slow_winch_without_a_doppler_speed_is_a_tow() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 300, **ASLEEP, place=HOME))
    told = played(watch, (second(300.0 + i, **ASLEEP, place=away(1.0 * (i - i % 5))) for i in range(300)))
    assert [event.details["reason"] for event in told] == ["moving_slowly"]


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("a hybrid at 0 rpm", {"engine": "off", "obd_speed_kmh": 40.0, "engine_rpm": 0.0}),
        ("an engine nobody knows of", {"engine": "unknown"}),
        ("an engine that runs", {"engine": "running"}),
        ("a crankshaft that turns", {"engine": "off", "engine_rpm": 800.0, "obd_speed_kmh": 0.0}),
    ],
)
def test_no_tow(name: str, known: dict[str, Any]) -> None:
    watch = new_watch()
    played(watch, steady(0.0, 300, **ASLEEP, place=HOME, speed_mps=0.0))
    told = played(watch, (second(300.0 + i, place=away(10.0 * i), speed_mps=10.0, **known) for i in range(300)))
    assert only("tow", told) == [], name


def test_a_position_that_catches_up_after_parking_is_no_tow() -> None:
    watch = new_watch()
    played(watch, drive(0.0, 60))
    late = (
        second(60.0 + i, **ASLEEP, place=away(800.0 + 12.0 * min(i, 60)), speed_mps=12.0 if i < 60 else 0.0)
        for i in range(600)
    )
    assert only("tow", played(watch, late)) == []


def test_a_parked_receiver_that_wanders_is_no_tow() -> None:
    watch, walk, seed = new_watch(), [0.0, 0.0], random.Random(3)
    seconds = []
    for i in range(20_000):
        walk = [0.995 * each + seed.gauss(0, 3.0) for each in walk]  # 30 m, one sigma, within minutes
        seconds.append(second(float(i), **ASLEEP, place=away(*walk), speed_mps=abs(seed.gauss(0, 0.4))))
    assert played(watch, seconds) == []


def test_reappearing_elsewhere_after_a_pause_is_no_tow() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 300, **ASLEEP, place=HOME))
    played(watch, steady(300.0, 3600, **ASLEEP))
    assert played(watch, steady(3900.0, 900, **ASLEEP, place=away(900.0), speed_mps=0.0)) == []


def test_one_jump_and_back_is_no_tow() -> None:
    watch = new_watch()
    places = [HOME] * 300 + [away(2500.0)] * 20 + [HOME] * 300
    assert played(watch, (second(float(i), **ASLEEP, place=place) for i, place in enumerate(places))) == []


def test_a_bridge_is_not_told_and_a_jammer_is() -> None:
    watch = new_watch()
    seconds = list(drive(0.0, 100, satellites_used=11))
    assert only("gnss_lost", played(watch, seconds)) == []
    blind = {"place": None, "speed_mps": None, "satellites_used": 0, "fix_quality": 0}
    assert only("gnss_lost", played(watch, drive(100.0, 10, **blind))) == []
    played(watch, drive(110.0, 60, from_m=1650.0, satellites_used=11))
    told = only("gnss_lost", played(watch, drive(170.0, 60, satellites_in_view=0, **blind)))
    assert [event.mono_s for event in told] == [186.0]
    assert told[0].details == {
        "reason": "at_once",
        "lost_s": "16",
        "satellites_before": "11",
        "satellites_in_view": "0",
        "driven_m": "255",
    }
    back = played(watch, drive(230.0, 20, from_m=3450.0, satellites_used=9))
    assert [(event.kind, event.mono_s, event.details) for event in only("gnss_regained", back)] == [
        ("gnss_regained", 240.0, {"lost_s": "60"})
    ]


def test_satellites_that_fade_are_told_as_faded_and_a_silent_receiver_as_silent() -> None:
    fading = [*drive(0.0, 60, satellites_used=12)]
    fading += [next(drive(60.0 + i, 1, from_m=900.0 + 15 * i, satellites_used=12 - i)) for i in range(9)]
    for quality, reason in ((0, "faded"), (None, "receiver_silent")):
        watch = new_watch()
        played(watch, fading)
        told = played(watch, drive(69.0, 60, place=None, speed_mps=None, fix_quality=quality))
        assert [event.details["reason"] for event in only("gnss_lost", told)] == [reason]


def test_a_garage_entered_at_walking_pace_is_not_told() -> None:
    watch = new_watch()
    played(watch, drive(0.0, 60))
    played(watch, drive(60.0, 60, kmh=6.0, place=None, speed_mps=None))
    assert only("gnss_lost", played(watch, steady(120.0, 900, **ASLEEP, fix_quality=0))) == []


def test_parking_in_a_garage_and_switching_off_is_not_told() -> None:
    """The receiver's last speed was that of the ramp; but the wheels stood when they were last heard."""
    watch = new_watch()
    played(watch, drive(0.0, 60, kmh=25.0))
    played(watch, drive(60.0, 15, kmh=15.0, place=None, speed_mps=None))
    played(watch, drive(75.0, 5, kmh=0.0, place=None, speed_mps=None))
    assert only("gnss_lost", played(watch, steady(80.0, 60, engine="unknown", fix_quality=0))) == []


def test_a_position_that_jumps_away_and_stays_disagrees() -> None:
    watch = new_watch()
    assert only("position_disagrees", played(watch, drive(0.0, 600, kmh=36.0))) == []
    told = only("position_disagrees", played(watch, drive(600.0, 400, kmh=36.0, from_m=6000.0 + 3000.0)))
    assert [event.details["reason"] for event in told] == ["farther_than_wheels"]
    assert 45 <= told[0].mono_s - 600 <= 60
    assert 0 < float(told[0].details["excess_m"]) <= 3000


def test_a_position_that_drifts_off_while_the_car_stands_disagrees() -> None:
    watch = new_watch()
    played(watch, drive(0.0, 400))
    stands = (second(400.0 + i, obd_speed_kmh=0.0, engine="running", place=away(6000.0 + 3.0 * i)) for i in range(400))
    assert [event.details["reason"] for event in only("position_disagrees", played(watch, stands))] == [
        "farther_than_wheels"
    ]


def test_a_frozen_position_disagrees_after_a_kilometre_and_a_half() -> None:
    watch = new_watch()
    played(watch, drive(0.0, 400))
    told = only("position_disagrees", played(watch, drive(400.0, 300, place=away(6000.0))))
    assert [(event.details["reason"], event.mono_s) for event in told] == [("frozen", 500.0)]


def test_a_position_that_shakes_on_the_spot_goes_a_shorter_way_than_the_wheels() -> None:
    watch, seed = new_watch(), random.Random(5)
    played(watch, drive(0.0, 400))
    shaking = [next(drive(400.0 + i, 1, place=away(6000.0 + seed.gauss(0, 3)))) for i in range(400)]
    assert [event.details["reason"] for event in only("position_disagrees", played(watch, shaking))] == [
        "shorter_than_wheels"
    ]


@pytest.mark.parametrize("seconds_away", [1, 5, 30])
def test_an_absurd_fix_and_back_agrees(seconds_away: int) -> None:
    watch = new_watch()
    played(watch, drive(0.0, 500))
    played(watch, drive(500.0, seconds_away, place=away(3_779_559.0)))
    after = 500.0 + seconds_away
    assert only("position_disagrees", played(watch, drive(after, 900, from_m=15.0 * after))) == []


def test_a_slow_link_that_freezes_for_36_seconds_and_leaps_agrees() -> None:
    watch = new_watch()
    slow = (next(drive(float(i), 1, place=away(15.0 * (i - i % 36 - 14)))) for i in range(1500))
    assert only("position_disagrees", played(watch, slow)) == []


def test_wheels_that_are_14_percent_out_agree() -> None:
    for wrong in (0.86, 1.14):
        told = played(new_watch(), drive(0.0, 1500, kmh=100.0, obd_speed_kmh=100.0 * wrong))
        assert only("position_disagrees", told) == []


def test_a_tunnel_agrees() -> None:
    watch = new_watch()
    played(watch, drive(0.0, 400))
    played(watch, drive(400.0, 300, place=None, speed_mps=None))
    assert only("position_disagrees", played(watch, drive(700.0, 600, from_m=15.0 * 700))) == []


def stop(from_kmh: float, within_s: float, **other: Any) -> list[Seen]:
    """A drive, then a stop in so many seconds, then a minute at rest."""
    seconds = list(drive(0.0, 60, kmh=from_kmh))
    at_m = 60 * from_kmh / 3.6
    for i in range(1, 61):
        kmh = round(max(0.0, from_kmh * (1 - i / within_s)))
        seconds += drive(59.0 + i, 1, kmh=kmh, from_m=at_m, **other)
    return seconds


def test_a_stop_from_80_within_a_second_is_like_a_collision() -> None:
    told = only("collision", played(new_watch(), stop(80.0, 0.2)))
    assert [event.mono_s for event in told] == [65.0]
    assert told[0].details == {
        "reason": "wheels",
        "receiver_speed": "confirmed",
        "speed_before_kmh": "80",
        "speed_after_kmh": "0",
        "within_s": "1.0",
        "ago_s": "5",
    }


@pytest.mark.parametrize("from_kmh", [30.0, 60.0, 100.0, 180.0])
def test_braking_at_1_g_is_none(from_kmh: float) -> None:
    assert only("collision", played(new_watch(), stop(from_kmh, from_kmh / 3.6 / 9.81))) == []


def test_wheels_that_lock_while_the_car_slides_on_are_none() -> None:
    assert only("collision", played(new_watch(), stop(80.0, 0.2, speed_mps=18.0))) == []


def test_a_single_wrong_zero_is_none() -> None:
    seconds = [*drive(0.0, 60, kmh=80.0), *drive(60.0, 1, obd_speed_kmh=0.0), *drive(61.0, 60, kmh=80.0)]
    assert only("collision", played(new_watch(), seconds)) == []


def test_an_adapter_that_paused_or_repeated_the_old_is_none() -> None:
    # 5 s without an answer while the car brakes from 100 to 0; the time of the answers tells it.
    paused = [next(drive(60.0 + i, 1, kmh=100.0, obd_speed_mono_s=59.0, speed_mps=0.0)) for i in range(5)]
    seconds = [*drive(0.0, 60, kmh=100.0), *paused, *drive(65.0, 60, kmh=0.0, from_m=1700.0)]
    assert only("collision", played(new_watch(), seconds)) == []
    # The same without a time of the answers.
    untimed = [next(drive(each.mono_s, 1, kmh=each.wheel_kmh or 0.0, obd_speed_mono_s=None)) for each in seconds]
    assert only("collision", played(new_watch(), untimed)) == []
    # Wheels and engine at the very same values for a minute, then the truth.
    stuck = [next(drive(60.0 + i, 1, kmh=100.0, engine_rpm=2500.0)) for i in range(60)]
    seconds = [*drive(0.0, 60, kmh=100.0), *stuck, *drive(120.0, 60, kmh=0.0, from_m=2000.0)]
    assert only("collision", played(new_watch(), seconds)) == []


def test_without_wheels_the_receiver_and_its_position_tell_a_collision() -> None:
    no_wheels = {"obd_speed_kmh": None, "engine_rpm": None, "obd_port": "none configured", "engine": "unknown"}
    seconds = [*drive(0.0, 60, kmh=72.0, **no_wheels), *drive(60.0, 60, kmh=0.0, from_m=1200.0, **no_wheels)]
    told = only("collision", played(new_watch(), seconds))
    assert [event.details["reason"] for event in told] == ["receiver"]
    goes_on = [
        *drive(0.0, 60, kmh=72.0, **no_wheels),
        *drive(60.0, 60, kmh=72.0, from_m=1200.0, **(no_wheels | {"speed_mps": 0.0})),
    ]
    assert only("collision", played(new_watch(), goes_on)) == []
