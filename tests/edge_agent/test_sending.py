"""What leaves next: a window, patience that doubles, and no batch that can block the rest."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_agent.sending import LONGEST_REST_S, MOST_ASIDE, PATIENCE_S, WINDOW, SendWindow


def sent(window: SendWindow, *sequences: int, at_s: float = 0.0) -> SendWindow:
    for sequence in sequences:
        window.on_sent(sequence, at_s)
    return window


def all_aside(count: int) -> SendWindow:
    """`count` batches that got no receipt, the last ones at the same moment."""
    window = SendWindow()
    for first in range(1, count + 1, WINDOW):
        sent(window, *range(first, min(first + WINDOW, count + 1)))
        window.expire(PATIENCE_S)
    return window


def test_a_new_window_has_room_and_nothing_to_repeat() -> None:
    window = SendWindow()
    assert (window.room(), window.again(1e9), window.held()) == (WINDOW, [], set())


def test_the_window_is_full_when_it_is_full() -> None:
    window = sent(SendWindow(), *range(1, WINDOW))
    assert window.room() == 1
    sent(window, WINDOW)
    assert window.room() == 0
    assert window.held() == set(range(1, WINDOW + 1))
    sent(window, WINDOW + 1)
    assert window.room() == 0


def test_a_receipt_makes_room() -> None:
    window = sent(SendWindow(), *range(1, WINDOW + 1))
    window.on_receipted({2, 3})
    assert window.held() == {2, 3}
    assert window.room() == WINDOW - 2


def test_what_got_no_receipt_in_time_steps_aside_and_makes_room() -> None:
    window = sent(sent(SendWindow(), 1), 2, at_s=1.0)
    window.expire(PATIENCE_S - 0.01)
    assert window.room() == WINDOW - 2
    window.expire(PATIENCE_S)
    assert window.room() == WINDOW - 1
    assert window.held() == {1, 2}
    assert window.again(PATIENCE_S) == [1], "the second try comes at once"


def test_each_rest_is_twice_as_long_up_to_an_hour() -> None:
    window, now_s, rests = SendWindow(), 0.0, []
    for _ in range(12):
        sent(window, 1, at_s=now_s)
        window.expire(now_s + PATIENCE_S - 0.01)
        assert window.room() == WINDOW - 1, "stepped aside too early"
        now_s += PATIENCE_S
        window.expire(now_s)
        assert window.room() == WINDOW
        rest_s = next(rest_s for rest_s in (0, *(20 * 2**n for n in range(8)), 3600) if window.again(now_s + rest_s))
        assert not rest_s or window.again(now_s + rest_s - 0.01) == []
        rests.append(rest_s)
        now_s += rest_s
    assert rests == [0, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]
    assert LONGEST_REST_S == 3600


def test_a_thousand_tries_do_not_overflow() -> None:
    window = SendWindow()
    for n in range(1200):
        sent(window, 1, at_s=n * LONGEST_REST_S)
        window.expire((n + 1) * LONGEST_REST_S)
    assert window.held() == {1}


def test_those_aside_come_back_oldest_first_and_within_the_window() -> None:
    window = all_aside(2 * WINDOW)
    sent(window, 1000, 1001, at_s=PATIENCE_S)
    assert window.again(1e9) == list(range(1, WINDOW - 1))
    sent(window, *window.again(1e9), at_s=PATIENCE_S)
    assert window.again(1e9) == []
    assert window.room() == 0


def test_one_that_is_never_taken_does_not_hold_up_the_rest() -> None:
    """For a day of batches every minute, of which the server refuses the first for ever."""
    window, tries = SendWindow(), 0
    for minute in range(1, 1440):
        now_s = minute * 60.0
        window.expire(now_s)
        for sequence in window.again(now_s):
            assert sequence == 1
            sent(window, sequence, at_s=now_s)
            tries += 1
        assert window.room() >= WINDOW - 1
        sent(window, minute, at_s=now_s)
        window.on_receipted({1})
    assert window.held() == {1}
    assert 24 <= tries <= 32, "once an hour, after a few sooner"


def test_nothing_new_leaves_while_nothing_gets_receipts() -> None:
    window = all_aside(MOST_ASIDE - 1)
    assert window.room() == WINDOW
    window = all_aside(MOST_ASIDE)
    assert window.room() == 0
    assert len(window.again(1e9)) == WINDOW
    window.on_receipted(window.held() - {7})
    assert window.room() == WINDOW


def test_a_new_connection_lets_those_aside_try_at_once_and_those_under_way_be() -> None:
    window = sent(SendWindow(), 1, 2)
    window.expire(PATIENCE_S)
    sent(window, 1, 2, at_s=PATIENCE_S)
    window.expire(2 * PATIENCE_S)
    sent(window, 3, at_s=2 * PATIENCE_S)
    assert window.again(2 * PATIENCE_S) == []
    window.on_connected()
    assert window.again(2 * PATIENCE_S) == [1, 2]
    assert window.held() == {1, 2, 3}
    assert window.room() == WINDOW - 1


def test_tries_are_counted_over_a_new_connection_and_forgotten_with_the_receipt() -> None:
    window = sent(SendWindow(), 1)
    window.expire(PATIENCE_S)
    window.on_connected()
    sent(window, 1, at_s=100.0)
    window.expire(100.0 + PATIENCE_S)
    assert window.again(100.0 + PATIENCE_S) == []
    window.on_receipted(set())
    sent(window, 1, at_s=200.0)  # asked for again by a restored server
    window.expire(200.0 + PATIENCE_S)
    assert window.again(200.0 + PATIENCE_S) == [1]


@pytest.mark.parametrize("gone", [{1}, {2}, {3}, {1, 2, 3}, set()])
def test_what_has_no_receipt_stays_held(gone: set[int]) -> None:
    window = sent(SendWindow(), 1, 2)
    window.expire(PATIENCE_S)
    sent(window, 2, 3, at_s=PATIENCE_S)
    window.on_receipted({1, 2, 3} - gone)
    assert window.held() == {1, 2, 3} - gone


class Sending(RuleBasedStateMachine):
    """A unit that does as it is told, against a network and a server that do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.window = SendWindow()
        self.now_s = 0.0
        self.sealed = 0
        self.waiting: set[int] = set()
        self.under_way: dict[int, float] = {}  # by our own book: until when at the least
        self.tries: dict[int, int] = {}

    @rule(count=st.integers(1, 60))
    def seal(self, count: int) -> None:
        self.waiting |= set(range(self.sealed + 1, self.sealed + count + 1))
        self.sealed += count

    @rule(seconds=st.floats(0.01, 5000))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(accepts=st.booleans())
    def send(self, accepts: bool) -> None:
        self.window.expire(self.now_s)
        self.under_way = {each: until_s for each, until_s in self.under_way.items() if until_s > self.now_s}
        never_sent = sorted(self.waiting - self.window.held())
        for sequence in never_sent[: self.window.room()]:
            self._hand_over(sequence, accepts)
        for sequence in self.window.again(self.now_s):
            self._hand_over(sequence, accepts)

    def _hand_over(self, sequence: int, accepts: bool) -> None:
        assert sequence in self.waiting, "it has its receipt"
        assert sequence not in self.under_way, "it is under way already"
        if not accepts:
            return
        self.window.on_sent(sequence, self.now_s)
        self.tries[sequence] = self.tries.get(sequence, 0) + 1
        self.under_way[sequence] = self.now_s + PATIENCE_S

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def receipt(self, data: st.DataObject) -> None:
        first = data.draw(st.sampled_from(sorted(self.waiting)))
        count = data.draw(st.integers(1, 30))
        receipted = {each for each in self.waiting if first <= each < first + count}
        self.waiting -= receipted
        self.under_way = {each: until_s for each, until_s in self.under_way.items() if each in self.waiting}
        self.tries = {each: count for each, count in self.tries.items() if each in self.waiting}
        self.window.on_receipted(self.waiting)

    @rule()
    def reconnect(self) -> None:
        self.window.on_connected()

    @invariant()
    def the_window_is_bounded_and_holds_only_what_waits(self) -> None:
        held = self.window.held()
        assert len(self.under_way) <= WINDOW
        assert len(held) <= MOST_ASIDE + WINDOW
        assert self.under_way.keys() <= held <= self.waiting
        assert self.window.room() <= WINDOW - len(self.under_way)

    def teardown(self) -> None:
        """With a server that answers, everything arrives in the end."""
        for _ in range(200):
            if not self.waiting:
                break
            self.now_s += 2 * LONGEST_REST_S
            before = dict(self.tries)
            self.send(accepts=True)
            self.waiting -= {each for each, count in self.tries.items() if count > before.get(each, 0)}
            self.window.on_receipted(self.waiting)
            self.under_way = {}
        assert not self.waiting


TestSending = Sending.TestCase
TestSending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
