"""The play clock and the order of events."""

from itertools import islice

import pytest

from firmware_sim.j1979 import CarSnapshot
from firmware_sim.timeline import CarAt, GnssBytes, PlayClock, in_order, repeated


def test_the_clock_runs_at_its_speed_and_stands_while_held() -> None:
    clock = PlayClock(speed=10)
    assert clock.at(100) == 0
    clock.run(100)
    clock.run(101)  # already running: nothing new
    assert clock.at(102) == 20
    assert clock.wall_s_until(25, 102) == pytest.approx(0.5)
    assert clock.wall_s_until(5, 102) == 0
    clock.hold(103)
    clock.hold(150)
    assert clock.at(200) == 30
    clock.run(200)
    assert clock.at(201) == 40


def test_streams_merge_by_time() -> None:
    car = [CarAt(t_s, CarSnapshot()) for t_s in (0, 1, 2)]
    gnss = [GnssBytes(t_s, b"x") for t_s in (0.5, 1, 3)]
    assert [event.t_s for event in in_order(car, gnss)] == [0, 0.5, 1, 1, 2, 3]


def test_repeated() -> None:
    events = (GnssBytes(0, b"a"), GnssBytes(2, b"b"))
    assert [(e.t_s, e.data) for e in islice(repeated(events), 5) if isinstance(e, GnssBytes)] == [
        (0, b"a"),
        (2, b"b"),
        (3, b"a"),
        (5, b"b"),
        (6, b"a"),
    ]
    assert list(repeated(())) == []
