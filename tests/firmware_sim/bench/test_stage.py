"""Acts as motion: the same however often it is asked, without jumps, and hours cost one step."""

from datetime import UTC, datetime
from itertools import pairwise
from math import hypot
from pathlib import Path

import pytest

from firmware_sim.bench.catalogue import all_files, read_file
from firmware_sim.bench.stage import Stage, apart_m, timing
from firmware_sim.roads.motion import Motion, Phase
from firmware_sim.story.schema import Act, Story, Text


def story(*acts: Act, at: str = "home") -> Story:
    text = Text("一", "one")
    return Story("one", text, text, (), 3, datetime(2026, 11, 23, tzinfo=UTC), "chengdu", at, 1.0, acts)


def played(stage: Stage, until_s: float, every_s: float) -> list[Motion]:
    found: list[Motion] = []
    for number in range(round(until_s / every_s) + 1):
        found += stage.at(number * every_s)
    return found


ACTS = (
    Act("drive", "drive", 0.0, 60.0),
    Act("night", "park", 60.0, 30.0),
    Act("theft", "tow", 90.0, 60.0),
    Act("stay", "park", 150.0, 20.0),
)


def test_the_motion_does_not_depend_on_when_it_is_asked_for() -> None:
    often = {each.t_s: each for each in played(Stage(story(*ACTS)), 170.0, 0.01)}
    seldom = {each.t_s: each for each in played(Stage(story(*ACTS)), 170.0, 0.7)}
    common = [at_s for at_s in seldom if 0 <= at_s <= 168]
    assert len(common) > 1600
    assert [often[at_s] for at_s in common] == [seldom[at_s] for at_s in common]


def test_steps_go_on_in_tenths_and_nothing_jumps() -> None:
    motions = [each for each in played(Stage(story(*ACTS)), 170.0, 0.05) if each.t_s >= 0]
    for before, after in pairwise(motions):
        assert after.t_s == pytest.approx(before.t_s + 0.1)
        moved_m = hypot(*apart_m((before.lat_deg, before.lon_deg), (after.lat_deg, after.lon_deg)))
        assert moved_m <= 4.0
    by_phase = {each.phase for each in motions if each.t_s < 60}
    assert {Phase.KEY_ON, Phase.CRANKING, Phase.RUNNING} <= by_phase
    assert {each.phase for each in motions if each.t_s > 91} == {Phase.OFF}
    assert max(each.speed_mps for each in motions if each.t_s > 91) > 2


def test_skipped_hours_are_one_step() -> None:
    stage = Stage(story(Act("night", "park", 0.0, 90_000.0)))
    stage.at(10.0)
    assert len(stage.at(80_000.0)) <= 51
    assert stage.at(80_000.0) == []


def test_underground_there_is_no_sky() -> None:
    stage = Stage(story(Act("night", "park", 0.0, 90.0), at="garage"))
    assert stage.is_covered(stage.at(1.0)[-1])
    home = Stage(story(Act("night", "park", 0.0, 90.0)))
    assert not home.is_covered(home.at(1.0)[-1])


def test_the_unit_is_carried_in_a_straight_line() -> None:
    stage = Stage(story(Act("walk", "away", 0.0, 60.0, "work", more={"speed_kmh": 5.0})))
    begin, end = stage.at(0.0)[-1], played(stage, 59.0, 0.5)[-1]
    assert hypot(*apart_m((begin.lat_deg, begin.lon_deg), (end.lat_deg, end.lon_deg))) == pytest.approx(82.0, abs=1.0)
    assert end.speed_mps == pytest.approx(5 / 3.6)
    assert not end.wheels_turn


def test_a_way_takes_as_long_as_it_takes() -> None:
    short = story(Act("drive", "drive", 0.0, 30.0, "work"))
    told = timing(short)
    needed = told.lengths_s
    assert needed["drive"] > 60
    fitting = Stage(story(Act("drive", "drive", 0.0, needed["drive"], "work", told_s=30.0)))
    motions = played(fitting, needed["drive"], 0.5)
    last = motions[-1]
    assert next(each for each in motions if each.t_s >= told.ends_s["drive"]).phase is Phase.RUNNING
    assert next(each for each in motions if each.t_s >= told.ends_s["drive"] + 4).phase is not Phase.RUNNING
    work = fitting.places["work"]
    assert hypot(*apart_m((work.lat_deg, work.lon_deg), (last.lat_deg, last.lon_deg))) < 15
    assert last.phase is Phase.OFF
    assert last.speed_mps == 0


@pytest.mark.parametrize("path", all_files(), ids=lambda path: path.stem)
def test_no_act_of_any_story_ends_at_speed(path: Path) -> None:
    told = read_file(path, fitted=True)
    stage, last = Stage(told), None
    for act in told.acts:
        for motion in stage.at(act.end_s - 0.11):
            last = motion
        assert last is not None
        assert last.speed_mps < 3.0 or act.do in ("tow", "flatbed", "ferry", "away"), act.name
