"""What leaves next: a window, four lanes of which none starves, patience that doubles, nothing that blocks the rest."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge_agent.network.sending import LONGEST_REST_S, MOST_ASIDE, PATIENCE_S, WINDOW, Choice, SendWindow, Waiting

KEPT = 4
ALL_OF_A_SIDE = WINDOW - KEPT


def send(window: SendWindow, waiting: Waiting, at_s: float = 0.0) -> list[int]:
    """Everything that may leave, handed to the network."""
    chosen = window.next(waiting, at_s)
    for choice in chosen:
        window.on_sent(choice, at_s)
    return [choice.id for choice in chosen]


def sent(window: SendWindow, *batches: int, at_s: float = 0.0, fast: bool = False) -> SendWindow:
    for each in batches:
        window.on_sent(Choice(each, fast), at_s)
    return window


def backlog(*batches: int) -> Waiting:
    return Waiting(backlog=batches)


def all_aside(count: int) -> SendWindow:
    """`count` batches that got no receipt, the last ones at the same moment."""
    window = SendWindow()
    for first in range(1, count + 1, WINDOW):
        sent(window, *range(first, min(first + WINDOW, count + 1)))
        window.expire(PATIENCE_S)
    return window


def test_a_new_window_sends_nothing_of_nothing() -> None:
    window = SendWindow()
    assert (window.next(Waiting(), 1e9), window.held(), window.live_from) == ([], set(), None)


def test_live_first_then_events_in_turns_and_each_side_leaves_places_for_the_other() -> None:
    many = tuple(range(100))
    window = SendWindow()
    waiting = Waiting(tuple(300 + n for n in range(3)), tuple(200 + n for n in range(30)), many)
    assert send(window, waiting) == [300, 200, 301, 201, 302, *range(202, 213), 0, 1, 2, 3]
    assert window.next(waiting, 0.0) == []


@pytest.mark.parametrize(("waiting", "fast"), [(backlog(*range(50)), False), (Waiting(live=tuple(range(50))), True)])
def test_no_side_fills_the_window(waiting: Waiting, fast: bool) -> None:
    window = SendWindow()
    assert send(window, waiting) == list(range(ALL_OF_A_SIDE))
    other = Waiting(live=(99,)) if not fast else backlog(99)
    assert send(window, other) == [99]


def test_what_is_live_leaves_at_once_however_much_of_the_backlog_is_under_way() -> None:
    window = SendWindow()
    send(window, backlog(*range(100)))
    assert send(window, Waiting(live=(1000, 1001))) == [1000, 1001]


def test_again_and_backlog_take_turns() -> None:
    window = sent(SendWindow(), 1, 2, 3)
    window.expire(PATIENCE_S)
    assert [each.id for each in window.next(backlog(11, 12, 13, 14), PATIENCE_S)] == [11, 1, 12, 2, 13, 3, 14]


def test_the_window_is_full_when_it_is_full() -> None:
    window = sent(sent(SendWindow(), *range(1, 11)), *range(11, WINDOW), fast=True)
    assert [each.id for each in window.next(Waiting((91, 92), (93,), (94,)), 0.0)] == [93], (
        "nine were sent, so it is the other lane's turn"
    )
    sent(window, WINDOW)
    assert window.next(Waiting((91, 92), (93,), (94,)), 0.0) == []
    assert window.held() == set(range(1, WINDOW + 1))


def test_a_receipt_makes_room_on_its_side() -> None:
    window = SendWindow()
    send(window, Waiting(live=tuple(range(50))))
    assert window.next(Waiting(live=(77,)), 0.0) == []
    window.on_receipted(set(range(2, 50)))
    assert window.held() == set(range(2, ALL_OF_A_SIDE))
    assert window.next(Waiting(live=(77, 78, 79)), 0.0) == [Choice(77, True), Choice(78, True)]


def test_what_got_no_receipt_in_time_steps_aside_and_makes_room() -> None:
    window = sent(sent(SendWindow(), 1), 2, at_s=1.0)
    window.expire(PATIENCE_S - 0.01)
    assert window.next(backlog(), PATIENCE_S) == []
    window.expire(PATIENCE_S)
    assert window.held() == {1, 2}
    assert window.next(backlog(), PATIENCE_S) == [Choice(1, False)], "the second try comes at once"


def test_a_fast_place_is_free_again_when_its_batch_steps_aside() -> None:
    window = SendWindow()
    send(window, Waiting(live=tuple(range(50))))
    window.expire(PATIENCE_S)
    assert len([each for each in window.next(Waiting(live=tuple(range(100, 150))), 0.0) if each.fast]) == ALL_OF_A_SIDE


def test_each_rest_is_twice_as_long_up_to_an_hour() -> None:
    window, now_s, rests = SendWindow(), 0.0, []
    for _ in range(12):
        sent(window, 1, at_s=now_s)
        window.expire(now_s + PATIENCE_S - 0.01)
        assert window.next(backlog(), 1e9) == [], "stepped aside too early"
        now_s += PATIENCE_S
        window.expire(now_s)
        candidates = (0, *(20 * 2**n for n in range(8)), 3600)
        rest_s = next(rest_s for rest_s in candidates if window.next(backlog(), now_s + rest_s))
        assert not rest_s or window.next(backlog(), now_s + rest_s - 0.01) == []
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


def test_one_that_is_never_taken_does_not_hold_up_the_rest() -> None:
    """For a day of batches every minute, of which the server refuses the first for ever."""
    window, tries = SendWindow(), 0
    for minute in range(1, 1440):
        now_s = minute * 60.0
        window.expire(now_s)
        left = send(window, backlog(minute), at_s=now_s)
        assert minute in left
        assert set(left) <= {1, minute}
        tries += 1 in left
        window.on_receipted({1})
    assert window.held() == {1}
    assert 24 <= tries <= 32, "once an hour, after a few sooner"


def test_nothing_new_leaves_while_nothing_gets_receipts() -> None:
    new = Waiting((9001,), (9002,), (9003,))
    window = all_aside(MOST_ASIDE - 1)
    assert {9001, 9002, 9003} <= {each.id for each in window.next(new, 0.0)}
    window = all_aside(MOST_ASIDE)
    assert window.next(new, 0.0) == []
    assert [each.id for each in window.next(new, 1e9)] == list(range(1, ALL_OF_A_SIDE + 1))
    window.on_receipted(window.held() - {7})
    assert {9001, 9002, 9003} <= {each.id for each in window.next(new, 0.0)}


def test_a_new_connection_lets_those_aside_try_at_once_and_those_under_way_be() -> None:
    window = sent(SendWindow(), 1, 2)
    window.expire(PATIENCE_S)
    sent(window, 1, 2, at_s=PATIENCE_S)
    window.expire(2 * PATIENCE_S)
    sent(window, 3, at_s=2 * PATIENCE_S)
    assert window.next(backlog(), 2 * PATIENCE_S) == []
    window.on_connected(4)
    assert window.live_from == 4
    assert [each.id for each in window.next(backlog(), 2 * PATIENCE_S)] == [1, 2]
    assert window.held() == {1, 2, 3}


def test_tries_are_counted_over_a_new_connection_and_forgotten_with_the_receipt() -> None:
    window = sent(SendWindow(), 1)
    window.expire(PATIENCE_S)
    window.on_connected(1)
    sent(window, 1, at_s=100.0)
    window.expire(100.0 + PATIENCE_S)
    assert window.next(backlog(), 100.0 + PATIENCE_S) == []
    window.on_receipted(set())
    sent(window, 1, at_s=200.0)  # asked for again by a restored server
    window.expire(200.0 + PATIENCE_S)
    assert window.next(backlog(), 200.0 + PATIENCE_S) == [Choice(1, False)]


@pytest.mark.parametrize("gone", [{1}, {2}, {3}, {1, 2, 3}, set()])
def test_what_has_no_receipt_stays_held(gone: set[int]) -> None:
    window = sent(SendWindow(), 1, 2)
    window.expire(PATIENCE_S)
    sent(window, 2, 3, at_s=PATIENCE_S)
    window.on_receipted({1, 2, 3} - gone)
    assert window.held() == {1, 2, 3} - gone


@example(lanes=[40, 20, 0], answers=[1] * 20)
@given(lanes=st.lists(st.integers(0, 400), min_size=3, max_size=3), answers=st.lists(st.integers(1, 20), max_size=40))
def test_no_lane_starves_and_live_waits_for_one_receipt_at_most(lanes: list[int], answers: list[int]) -> None:
    """Floods in every lane; the server answers a few at a time, oldest sent first."""
    counts = dict(zip(("live", "events", "backlog"), lanes, strict=True))
    left = {name: [(n + 1) * 10_000 + k for k in range(count)] for n, (name, count) in enumerate(counts.items())}
    window, under_way = SendWindow(), list[int]()
    for answered in answers:
        before = {name: len(ids) for name, ids in left.items()}
        gone = send(window, Waiting(*(tuple(left[name][:WINDOW]) for name in counts)))
        left = {name: [each for each in ids if each not in gone] for name, ids in left.items()}
        under_way += gone
        full = len(under_way) == WINDOW
        assert full or all(len(ids) == 0 or len(under_way) >= ALL_OF_A_SIDE for ids in left.values())
        if left["live"] and gone and not full:
            assert before["live"] == len(left["live"]) or len(under_way) >= ALL_OF_A_SIDE
        under_way = under_way[answered:]
        window.on_receipted(set(under_way))
    taken = {name: counts[name] - len(ids) for name, ids in left.items()}
    if left["live"] and left["events"]:
        assert abs(taken["live"] - taken["events"]) <= 1 + WINDOW // 2
    if answers and counts["backlog"]:
        assert taken["backlog"] >= min(counts["backlog"], KEPT)


class Sending(RuleBasedStateMachine):
    """A unit that does as it is told, against a network and a server that do as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.window = SendWindow()
        self.now_s = 0.0
        self.sealed = 0
        self.waiting: set[int] = set()
        self.events: set[int] = set()
        self.under_way: dict[int, float] = {}  # by our own book: until when at the least
        self.tries: dict[int, int] = {}

    @rule(count=st.integers(1, 60), events=st.booleans())
    def seal(self, count: int, events: bool) -> None:
        fresh = set(range(self.sealed + 1, self.sealed + count + 1))
        self.waiting |= fresh
        self.events |= fresh if events else set()
        self.sealed += count

    @rule(seconds=st.floats(0.01, 5000))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(accepts=st.booleans())
    def send(self, accepts: bool) -> None:
        self.window.expire(self.now_s)
        self.under_way = {each: until_s for each, until_s in self.under_way.items() if until_s > self.now_s}
        never_sent = sorted(self.waiting - self.window.held())
        live_from = self.window.live_from or 2**60
        live = [each for each in never_sent if each >= live_from]
        old = [each for each in never_sent if each < live_from]
        events, samples = [n for n in old if n in self.events], [n for n in old if n not in self.events]
        chosen = self.window.next(Waiting(tuple(live[:20]), tuple(events[:20]), tuple(samples[:20])), self.now_s)
        assert len({each.id for each in chosen}) == len(chosen)
        for choice in chosen:
            self._hand_over(choice, accepts)

    def _hand_over(self, choice: Choice, accepts: bool) -> None:
        assert choice.id in self.waiting, "it has its receipt"
        assert choice.id not in self.under_way, "it is under way already"
        if not accepts:
            return
        self.window.on_sent(choice, self.now_s)
        self.tries[choice.id] = self.tries.get(choice.id, 0) + 1
        self.under_way[choice.id] = self.now_s + PATIENCE_S

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
        self.window.on_connected(self.sealed)

    @invariant()
    def the_window_is_bounded_and_holds_only_what_waits(self) -> None:
        held = self.window.held()
        assert len(self.under_way) <= WINDOW
        assert len(held) <= MOST_ASIDE + WINDOW
        assert self.under_way.keys() <= held <= self.waiting

    def teardown(self) -> None:
        """With a server that answers, everything arrives in the end."""
        for _ in range(400):
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
