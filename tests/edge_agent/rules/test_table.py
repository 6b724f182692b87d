"""All rules together: restart, damaged state, unknown input, and the kinds and texts that they promise."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.rules import DETAILS, KINDS, WORDS, EventSettings, Seen, Watch
from edge_agent.settings import ConfigError, read_section
from server.web.event_texts import DETAIL_TEXTS, EVENT_TEXTS, VALUE_TEXTS
from tests.edge_agent.rules.play import HOME, away, kinds, new_watch, played, restarted, second, steady


def towed(start_s: float) -> Iterator[Seen]:
    yield from steady(start_s, 200, engine="off", obd_port="car silent", place=HOME, speed_mps=0.0)
    for i in range(120):
        yield second(start_s + 200 + i, engine="off", obd_port="car silent", place=away(8.0 * i), speed_mps=8.0)


def frozen(start_s: float) -> Iterator[Seen]:
    for i in range(400):
        where = away(15.0 * min(i, 60))
        yield second(start_s + i, place=where, obd_speed_kmh=54.0, engine="running", obd_port="answering")


def blind(start_s: float) -> Iterator[Seen]:
    yield from steady(start_s, 60, place=HOME, obd_speed_kmh=54.0, engine="running", fix_quality=1)
    yield from steady(start_s + 60, 60, obd_speed_kmh=54.0, engine="running", fix_quality=0)


# What makes each kind that is told once and has to be remembered, and what goes on after it.
STORIES: dict[str, Callable[[float], Iterator[Seen]]] = {
    "power_cut": lambda at: steady(at, 30, external_power=False),
    "ignition_on": lambda at: steady(at, 30, engine="running"),
    "low_battery": lambda at: steady(at, 200, volts=11.2, engine="off"),
    "mil_on": lambda at: steady(at, 60, mil_on=1, dtc_count=2, dtc_codes=("P0301", "P0420")),
    "wrong_vin": lambda at: steady(
        at, 60, vin="different", told_vin="LSVAA4187C2184841", bound_vin="LSVAA4187C2184842"
    ),
    "tow": towed,
    "gnss_lost": blind,
    "position_disagrees": frozen,
}


@pytest.mark.parametrize("kind", STORIES)
def test_each_story_is_told_once_and_not_again_after_a_restart(kind: str) -> None:
    watch = new_watch()
    assert kinds(played(watch, STORIES[kind](100.0))).count(kind) == 1
    again = restarted(watch)
    last = list(STORIES[kind](100.0))[-1]
    # The unit itself was restarted: its monotonic clock begins anew and the same goes on.
    goes_on = [
        replace(last, mono_s=1.0 + i, sample=last.sample and replace(last.sample, mono_s=1.0 + i)) for i in range(300)
    ]
    assert kind not in kinds(played(again, goes_on))
    assert restarted(again).to_state() == again.to_state()


def test_unplugging_is_not_told_again_after_a_restart_but_its_end_is() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 60, obd_port="answering", engine="running"))
    assert kinds(played(watch, steady(60.0, 120, obd_port="no adapter"))) == ["obd_unplugged"]
    watch = restarted(watch)
    assert played(watch, steady(1.0, 300, obd_port="no adapter")) == []
    assert kinds(played(watch, steady(301.0, 10, obd_port="car silent"))) == ["obd_plugged_in"]


def test_the_end_of_a_cut_is_told_by_the_run_that_follows_it() -> None:
    watch = new_watch()
    played(watch, steady(0.0, 5, external_power=False))
    told = played(restarted(watch), steady(1.0, 60, external_power=True))
    assert kinds(told) == ["power_restored"]


@pytest.mark.parametrize(
    "state",
    [None, [], "x", 7, {}, {"tow": "yes", "supply": 3, "battery": [], "obd_plug": {"habit": []}, "other_car": 1}],
)
def test_a_damaged_state_is_passed_over(state: object) -> None:
    assert Watch.from_state(EventSettings(), state).to_state() == new_watch().to_state()


def test_what_is_not_known_tells_nothing() -> None:
    assert played(new_watch(), (Seen(float(i)) for i in range(2000))) == []


numbers = st.none() | st.floats(0, 300)
seconds = st.builds(
    second,
    st.just(0.0),
    engine=st.sampled_from(["running", "off", "unknown"]),
    volts=st.none() | st.floats(0, 40),
    external_power=st.none() | st.booleans(),
    obd_port=st.sampled_from(["answering", "car silent", "no adapter", "none configured"]),
    obd_speed_kmh=numbers,
    engine_rpm=numbers,
    speed_mps=numbers,
    satellites_used=st.none() | st.integers(0, 40),
    mil_on=st.none() | st.integers(0, 1),
    dtc_count=st.none() | st.integers(0, 3),
    place=st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180)),
    vin=st.sampled_from(["same", "different", "unknown"]),
)


@given(st.lists(st.tuples(seconds, st.floats(0.1, 400)), max_size=60), st.integers(0, 59))
def test_whatever_is_seen_is_judged_and_a_restart_at_any_moment_tells_nothing_twice(
    seen: list[tuple[Seen, float]], cut: int
) -> None:
    watch, mono_s, state_told = new_watch(), 0.0, dict[str, Any]()
    for place, (each, step_s) in enumerate(seen):
        mono_s += step_s
        told = kinds(played(watch, [replace(each, mono_s=mono_s)]))
        for on, off in OPPOSITES.items():
            if on in told:
                assert state_told.get(on) is not True, f"{on} twice without {off}"
                state_told[on] = True
            if off in told:
                state_told[on] = False
        if place == cut:
            watch = restarted(watch)


OPPOSITES = {
    "ignition_on": "ignition_off",
    "power_cut": "power_restored",
    "obd_unplugged": "obd_plugged_in",
    "low_battery": "battery_recovered",
    "mil_on": "mil_off",
    "gnss_lost": "gnss_regained",
}


def test_every_kind_detail_and_word_has_its_text() -> None:
    assert set(KINDS) <= set(EVENT_TEXTS)
    assert {name for details in DETAILS.values() for name in details} <= set(DETAIL_TEXTS)
    assert {(name, word) for name, words in WORDS.items() for word in words} <= set(VALUE_TEXTS)


def test_the_threshold_is_bounded() -> None:
    assert read_section(EventSettings, {"low_battery_v": 11.5}, "[events]").low_battery_v == 11.5
    with pytest.raises(ConfigError):
        read_section(EventSettings, {"low_battery_v": 13.0}, "[events]")
