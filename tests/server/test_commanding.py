"""Orders: what may be asked and for which reason, when it is sent again, and what a unit's answer is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.commanding import (
    DEFAULT_LIFE_MS,
    Order,
    OrderRefusedError,
    State,
    Told,
    answers_in,
    checked_order,
    next_send_ms,
    resend_ms,
    state_of,
)
from wire.commands import COMMANDS, MAX_LIFE_MS
from wire.records import Event, TimeQuality

ID = b"\x07" * 16
FOR_EVER_MS = 2**60


def answer(event_kind: str = "command_answer", **details: str) -> Event:
    return Event(event_kind, 1, None, TimeQuality.NONE, details)


def test_an_order_is_completed() -> None:
    made = checked_order("follow", {"minutes": "030"}, "  客户  失联两天 ")
    assert made == Order("follow", {"minutes": "30", "every_s": "10"}, "客户 失联两天", DEFAULT_LIFE_MS)
    assert checked_order("status", {}, "").reason == ""


@pytest.mark.parametrize("kind", [kind for kind, row in COMMANDS.items() if row.tells_place])
@pytest.mark.parametrize("reason", ["", "   ", "abc", " a  b "])
def test_who_asks_for_a_place_says_why(kind: str, reason: str) -> None:
    parameters = {"follow": {"minutes": "5"}, "recall": {"from_ms": "1", "to_ms": "2"}}.get(kind, {})
    with pytest.raises(OrderRefusedError, match="needs a reason"):
        checked_order(kind, parameters, reason)
    assert checked_order(kind, parameters, "四个汉字").kind == kind


@pytest.mark.parametrize(
    ("kind", "parameters", "life_ms", "says"),
    [
        ("explode", {}, DEFAULT_LIFE_MS, "no command is called 'explode'; there are locate, "),
        ("follow", {}, DEFAULT_LIFE_MS, "minutes is missing"),
        ("follow", {"minutes": "61"}, DEFAULT_LIFE_MS, "from 1 to 60"),
        ("status", {"x": "1"}, DEFAULT_LIFE_MS, "no parameter 'x'"),
        ("status", {}, MAX_LIFE_MS + 1, "7 days"),
        ("status", {}, 59_999, "one minute"),
    ],
)
def test_orders_that_are_refused(kind: str, parameters: dict[str, str], life_ms: int, says: str) -> None:
    with pytest.raises(OrderRefusedError, match=says):
        checked_order(kind, parameters, "for a good reason", life_ms)


def test_bounds_of_life_and_reason() -> None:
    assert checked_order("status", {}, "x" * 300, MAX_LIFE_MS).life_ms == MAX_LIFE_MS
    assert checked_order("status", {}, "", 60_000).life_ms == 60_000
    with pytest.raises(OrderRefusedError, match="at most 300"):
        checked_order("status", {}, "x" * 301)


def test_pauses_grow() -> None:
    pauses = [next_send_ms(sends, 0, FOR_EVER_MS) for sends in range(1, 13)]
    assert pauses[:4] == [30_000, 60_000, 120_000, 240_000]
    assert pauses[-1] == 6 * 3_600_000
    assert next_send_ms(10_000, 0, FOR_EVER_MS) == 6 * 3_600_000


def test_nothing_is_sent_that_has_expired() -> None:
    assert next_send_ms(1, 1000, 31_001) == 31_000
    assert next_send_ms(1, 1000, 31_000) is None


@given(st.integers(0, 60_000))
def test_a_week_costs_a_unit_that_is_away_few_copies(start_ms: int) -> None:
    """The broker queues each of them: at some 250 bytes they must not eat the unit's data plan."""
    at: int | None = start_ms
    sends = 0
    while at is not None:
        sends += 1
        at = next_send_ms(sends, at, start_ms + MAX_LIFE_MS)
    assert sends <= 40


def test_after_a_lost_connection_what_was_just_sent_is_left_alone() -> None:
    assert resend_ms(100_000) == 70_000


def test_states() -> None:
    assert state_of(None, 0, 10, 9) is State.WAITING
    assert state_of(None, 3, 10, 9) is State.SENT
    assert state_of(None, 3, 10, 10) is State.EXPIRED
    assert state_of("done", 3, 10, 99) is State.ANSWERED


def test_answers_are_found_among_events() -> None:
    good = answer(id=ID.hex(), kind="locate", outcome="refused", reason="expired")
    later = answer(id=ID.hex(), outcome="a word of later")
    odd = [
        answer("status", id=ID.hex(), outcome="done"),
        answer(id="zz", outcome="done"),
        answer(id="07", outcome="done"),
        answer(id=ID.hex()),
        answer(outcome="done"),
        answer(),
    ]
    assert answers_in([*odd, good, later]) == [Told(ID, "refused", "expired"), Told(ID, "a word of later", "")]
    assert answers_in([answer(id=ID.hex(), outcome="o" * 99, reason="r" * 999)]) == [Told(ID, "o" * 40, "r" * 300)]
