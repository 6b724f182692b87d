"""The stories that come with the simulator: readable, playable, in two languages, and all that was wanted is there."""

from pathlib import Path

import pytest

from firmware_sim.bench.catalogue import FOLDER, all_files, read_file
from firmware_sim.bench.devices import Devices
from firmware_sim.bench.names import WORLD
from firmware_sim.bench.pacing import pace_of
from firmware_sim.story.describe import describe
from firmware_sim.story.schema import Story
from firmware_sim.story.vocabulary import ACTS, BENCH_FAULTS, STYLES

ROOT = Path(__file__).parents[2]
FILES = all_files()
NAMES = [path.stem for path in FILES]
DOCUMENT = (ROOT / "docs" / "scenario-schema.md").read_text(encoding="utf-8")
JOBS, LIMIT_S = 8, 45 * 60  # as `make hil` plays them
_STARTS_S, _MEETS_S = 9.0, 14.0  # what a story costs besides its acts: server and agent; the adapter's first answer
_SKIP_S = 15.0  # what skipped hours cost

# What testers must be able to show, by the story that shows it.
WANTED = {
    "honest commute for a week": "honest_week",
    "underground parking": "underground_parking",
    "ferry": "ferry",
    "tow-away at night": "towed_at_night",
    "jammer, then flatbed": "jammer_then_flatbed",
    "slow spoof": "slow_spoof",
    "spoofed jump": "spoof_jump",
    "frozen receiver": "frozen_receiver",
    "unplugged and sold": "unplugged_and_sold",
    "moved into another car": "moved_into_another_car",
    "second pledge": "second_pledge",
    "out of province": "out_of_province",
    "chop shop": "chop_shop",
    "weak battery in winter": "weak_battery_in_winter",
    "MIL with misfire": "mil_with_misfire",
    "clone that hangs": "clone_hangs",
    "clone without prompts": "clone_missing_prompts",
    "fake v2.1": "clone_fake_v21",
    "slow Bluetooth clone": "clone_slow_bluetooth",
    "week rollover": "week_rollover",
    "BeiDou only": "beidou_only",
    "10 Hz": "ten_hertz_receiver",
    "cold start in a garage": "cold_start_in_a_garage",
    "modem out for six days": "modem_out_for_six_days",
    "power cut during write": "power_cuts_while_writing",
    "bridges renumbered": "two_bridges_renumbered",
    "adapter out for an hour": "adapter_out_for_an_hour",
    "clock ten years off": "clock_ten_years_off",
    "EV commute": "ev_commute",
    "24 V truck": "truck_24v",
    "GNSS only": "gnss_only_unit",
    "stop and go": "stop_and_go",
    "long idle": "long_idle",
    "hard braking": "hard_braking",
    "collision": "collision",
    "odometer rolled back": "odometer_rolled_back",
    "title transferred": "title_transferred",
    "gathering": "gathering",
    "halted and woken": "halted_and_woken",
    "follow": "follow_on_the_road",
}


@pytest.fixture(scope="module")
def stories() -> dict[str, Story]:
    return {path.stem: read_file(path, fitted=True) for path in FILES}


def test_there_are_enough_and_what_was_wanted() -> None:
    assert len(NAMES) >= 30
    assert set(WANTED.values()) <= set(NAMES)
    assert all(path.suffix == ".toml" for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_reads_in_both_languages(name: str, stories: dict[str, Story]) -> None:
    story = stories[name]
    for text in (story.title, story.about):
        assert any("\u4e00" <= letter <= "\u9fff" for letter in text.zh)
        assert not any("\u4e00" <= letter <= "\u9fff" for letter in text.en)
    assert len(story.about.en.split()) >= 15, "two or three sentences: who does what, and what must be noticed"
    assert story.tags
    for language in ("zh", "en"):
        assert story.title.in_language(language) in describe(story, language)


@pytest.mark.parametrize("name", NAMES)
def test_judges_something_and_its_devices_exist(name: str, stories: dict[str, Story]) -> None:
    story = stories[name]
    judged = [each for each in (*story.expects, *story.nevers) if not each.waits_for]
    assert judged, "a story that only waits proves nothing today"
    devices = Devices(story, story.start)  # refuses settings of car, receiver and adapter that there are not
    for fault in story.faults:
        devices.befall({fault.what: fault}, fault.begin_s, carried=False)


def test_titles_and_seeds_are_their_own(stories: dict[str, Story]) -> None:
    assert len({each.title.zh for each in stories.values()}) == len(stories)
    assert len({each.title.en for each in stories.values()}) == len(stories)
    assert len({each.seed for each in stories.values()}) == len(stories)
    assert len({each.city for each in stories.values()}) >= 8


def test_alerts_are_marked_as_waiting(stories: dict[str, Story]) -> None:
    waiting = {name for name, each in stories.items() if each.waiting}
    assert {"title_transferred", "gathering", "second_pledge", "out_of_province"} <= waiting
    alerts = {expect.alert for each in stories.values() for expect in each.expects if expect.alert}
    assert {alert.split(".")[0] for alert in alerts} == {"L1", "L2", "L3"}


def test_what_can_go_wrong_does_somewhere(stories: dict[str, Story]) -> None:
    used = {fault.what for each in stories.values() for fault in each.faults}
    assert set(BENCH_FAULTS) <= used
    of_a_tester = {"replay"}  # needs a recording, and none comes with the simulator
    assert {act.do for each in stories.values() for act in each.acts} >= set(ACTS) - {"off"} - of_a_tester


def test_all_of_them_take_less_than_the_limit(stories: dict[str, Story]) -> None:
    """By the story's clock: `make hil` measures it."""
    assert sum(wall_s(each) for each in stories.values()) / JOBS <= LIMIT_S
    fast = [each for each in stories.values() if "fast" in each.tags]
    assert len(fast) >= 6
    assert all(wall_s(each) <= 40 for each in fast)
    assert sum(wall_s(each) for each in fast) <= 200


def wall_s(story: Story) -> float:
    """About how long it takes to play."""
    lived_s, skips = 0.0, 0
    for act in story.acts:
        pace = pace_of(story, act)
        skips += pace is not None
        lived_s += act.seconds if pace is None else min(act.seconds, 120.0 + 70.0 * len(pace.points))
    meets_s = 0.0 if story.adapter is None else _MEETS_S
    return _STARTS_S + meets_s + lived_s / story.speed + skips * _SKIP_S


@pytest.mark.parametrize(
    "word",
    [
        *ACTS,
        *STYLES,
        *BENCH_FAULTS,
        *WORLD.places,
        *(fault.partition(".")[2] for fault in WORLD.faults),
    ],
)
def test_the_document_names_every_word(word: str) -> None:
    assert f"`{word}`" in DOCUMENT
