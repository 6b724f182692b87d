"""What the worker's lines mean, and when it is started and killed."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.car.lifeline import (
    LEFT_OUT_S,
    LONGEST_LOOK_S,
    LOOK_FOR_PORT_S,
    MAX_LINE,
    Asking,
    Deadlines,
    Doing,
    Ending,
    Hello,
    Lifeline,
    Phase,
    Silent,
    Suspects,
    parse_line,
)
from edge_agent.car.readings import Reading, Refused

HELLO = Hello("ELM327 v1.5", "6", ("speed_kmh",))
SPEED = Reading("speed_kmh", 42.0, 1.0)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        (b'{"hello": {"adapter": "ELM327 v1.5", "protocol": "6", "supported": ["speed_kmh"], "car": true}}', HELLO),
        (b'{"hello": {"adapter": "", "protocol": "", "supported": [], "car": false}}', Hello("", "", (), False)),
        (b'{"hello": {"adapter": "", "protocol": "", "supported": []}}', Refused("malformed hello")),
        (b'{"asking": "vin"}', Asking("vin")),
        (b'{"doing": "resting", "next_line_s": 60}', Doing("resting", 60.0)),
        (b'{"doing": "resting", "next_line_s": 3601}', Refused("malformed doing")),
        (b'{"doing": "resting", "next_line_s": NaN}', Refused("malformed doing")),
        (b'{"doing": "resting"}', Refused("malformed doing")),
        (b'{"mono_s": 1, "name": "speed_kmh", "value": 42}', SPEED),
        (b'{"mono_s": 1.5, "name": "dtc_codes", "value": ["P0301"]}', Reading("dtc_codes", ("P0301",), 1.5)),
        (b'{"mono_s": 1, "name": "vin", "value": ' + b"9" * 400 + b"}", Reading("vin", math.inf, 1.0)),
        (b'{"mono_s": ' + b"9" * 5_000 + b', "name": "vin", "value": 1}', Reading("vin", 1.0, math.inf)),
        (b'{"silent": "vin"}\r', Silent("vin")),
        (b'{"error": "the adapter vanished"}', Ending("the adapter vanished")),
        (b"", Refused("not JSON")),
        (b"41 0D 2A", Refused("not JSON")),
        (b'{"silent": "vin"', Refused("not JSON")),
        (b"\xff\xfe\x00", Refused("not JSON")),
        (b"[" * 8_000, Refused("not JSON")),
        (b"[1]", Refused("not an object")),
        (b"{}", Refused("unknown kind of line")),
        (b'{"speed_kmh": 42}', Refused("unknown kind of line")),
        (b'{"hello": "ELM327"}', Refused("malformed hello")),
        (b'{"mono_s": 1, "name": "speed_kmh"}', Refused("malformed name")),
        (b'{"mono_s": "1", "name": "speed_kmh", "value": 42}', Refused("malformed name")),
        (b'{"mono_s": 1, "name": "speed_kmh", "value": null}', Refused("malformed name")),
        (b'{"mono_s": 1, "name": "speed_kmh", "value": true}', Refused("malformed name")),
        (b'{"silent": "' + b"x" * MAX_LINE + b'"}', Refused("line too long")),
    ],
)
def test_lines(line: bytes, meaning: object) -> None:
    assert parse_line(line) == meaning


@given(
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "hello",
                        "mono_s",
                        "name",
                        "value",
                        "silent",
                        "error",
                        "adapter",
                        "supported",
                        "doing",
                        "next_line_s",
                    ]
                ),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_no_line_raises(line: bytes) -> None:
    assert isinstance(parse_line(line), Hello | Asking | Reading | Silent | Doing | Ending | Refused)


def test_a_new_lifeline_starts_at_once() -> None:
    assert Lifeline().is_due(0.0)


def test_connecting_has_its_own_longer_deadline() -> None:
    life = Lifeline().started(100.0)
    assert life.phase is Phase.CONNECTING
    assert not life.is_due(119.9)
    assert life.is_due(120.0)


def test_only_a_hello_or_an_announcement_ends_the_connecting() -> None:
    life = Lifeline().started(100.0)
    assert life.heard(Silent("speed_kmh"), 110.0) == life
    assert life.heard(HELLO, 110.0).phase is Phase.QUERYING
    assert life.heard(Doing("meeting the car", 20.0), 110.0).due_s == 138.0  # a search takes longer than the adapter
    assert life.heard(HELLO, 110.0).due_s == 118.0


@pytest.mark.parametrize("message", [SPEED, Silent("speed_kmh"), Ending("gone")])
def test_each_line_puts_the_deadline_off(message: Reading | Silent | Ending) -> None:
    life = Lifeline().started(100.0).heard(HELLO, 101.0).heard(message, 105.0)
    assert not life.is_due(112.9)
    assert life.is_due(113.0)


def test_pauses_double_up_to_the_longest_and_start_over_after_a_reading() -> None:
    life = Lifeline()
    pauses = []
    for _ in range(7):
        life = life.started(0.0).ended(0.0, jitter=0.0)
        pauses.append(life.due_s)
    assert pauses == [3.0, 6.0, 12.0, 24.0, 48.0, 60.0, 60.0]
    life = life.started(0.0).heard(HELLO, 0.0)
    assert life.ended(0.0, 0.0).due_s == 60.0  # a hello alone is no fruit
    assert life.heard(SPEED, 0.0).ended(0.0, 0.0).due_s == 3.0


@given(st.integers(0, 2_000), st.floats(0, 1))
def test_a_pause_is_never_shorter_than_three_seconds_nor_longer_than_sixty(fruitless: int, jitter: float) -> None:
    assert 3.0 <= Lifeline(fruitless=fruitless).ended(0.0, jitter).due_s <= 60.0


def test_jitter_lengthens_by_up_to_a_quarter() -> None:
    assert Lifeline(fruitless=2).ended(10.0, 1.0).due_s == 10.0 + 6.0 * 1.25


def test_a_missing_port_is_looked_for_soon_and_forgives_the_past() -> None:
    life = Lifeline(fruitless=9).no_port(50.0)
    assert life.phase is Phase.DOWN
    assert life.due_s == 50.0 + LOOK_FOR_PORT_S
    assert life.started(51.0).ended(51.0, 0.0).due_s == 54.0


def test_a_worker_may_announce_how_long_it_will_be_quiet() -> None:
    life = Lifeline().started(0.0).heard(HELLO, 0.0).heard(Doing("resting", 60.0), 10.0)
    assert not life.is_due(77.9)
    assert life.is_due(78.0)
    assert life.heard(SPEED, 11.0).due_s == 19.0  # announced once, for the next line only


def test_where_nothing_is_found_the_looking_gets_rarer() -> None:
    life = Lifeline(fruitless=9)
    pauses = []
    for _ in range(6):
        life = life.nothing_found(0.0)
        pauses.append(life.due_s)
    assert pauses == [LOOK_FOR_PORT_S, 1.0, 2.0, 4.0, LONGEST_LOOK_S, LONGEST_LOOK_S]
    assert life.started(0.0).ended(0.0, 0.0).nothing_found(0.0).due_s == LOOK_FOR_PORT_S


def test_a_question_under_way_at_two_deaths_is_left_out_for_a_while() -> None:
    once = Suspects().heard(Asking("speed_kmh")).heard(SPEED).heard(Asking("vin")).died(100.0)
    assert once.left_out(100.0) == ()
    twice = once.heard(Asking("vin")).heard(HELLO).died(200.0)
    assert twice.left_out(200.0 + LEFT_OUT_S - 1) == ("vin",)
    assert twice.left_out(200.0 + LEFT_OUT_S) == ()
    later = 300.0 + LEFT_OUT_S
    assert twice.heard(Asking("vin")).died(later).left_out(later) == ("vin",)  # one more chance, not two


@pytest.mark.parametrize("answer", [SPEED, Silent("vin")])
def test_a_question_that_was_answered_is_not_suspected(answer: Reading | Silent) -> None:
    suspects = Suspects()
    for _ in range(3):
        suspects = suspects.heard(Asking("vin")).heard(answer).died(0.0)
    assert suspects == Suspects()


def test_a_late_line_of_a_dead_worker_changes_nothing() -> None:
    down = Lifeline().started(0.0).ended(1.0, 0.0)
    assert down.heard(SPEED, 2.0) == down


def test_deadlines_are_the_documented_ones() -> None:
    assert Deadlines() == Deadlines(connect_s=20.0, deadline_s=8.0, pause_s=3.0, longest_pause_s=60.0)
    assert not math.isfinite(Lifeline().due_s)
