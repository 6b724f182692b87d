"""One unit gone mad is put off, and nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from server.fairness import Fairness


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20), st.integers(1, 30))
def test_never_more_than_the_burst_and_what_time_has_brought(pauses: list[float], per_s: int, burst: int) -> None:
    fairness, now_s, admitted = Fairness(per_s, burst), 0.0, 0
    for pause_s in pauses:
        now_s += pause_s
        admitted += fairness.admits("PW1", now_s)
        assert admitted <= burst + now_s * per_s + 1e-6
        fairness.sweep(now_s)
    # Who keeps to the rate is never put off.
    assert all(fairness.admits("PW2", now_s + n / per_s) for n in range(50))


def test_a_burst_passes_and_then_the_rate() -> None:
    fairness = Fairness(2, 5)
    assert [fairness.admits("PW1", 0.0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert [fairness.admits("PW1", 1.0) for _ in range(3)] == [True, True, False]
    assert fairness.admits("PW2", 1.0)


def test_what_was_not_taken_in_does_not_count() -> None:
    fairness = Fairness(1, 2)
    for _ in range(5):  # the store fails, and the same two are tried again
        assert [fairness.admits("PW1", 0.0) for _ in range(2)] == [True, True]
        fairness.give_back(["PW1", "PW1", "PW2"])


def test_units_that_are_quiet_are_forgotten() -> None:
    fairness = Fairness(1, 10)
    for n in range(100):
        fairness.admits(f"PW{n}", 0.0)
    fairness.admits("PW0", 9.5)
    fairness.sweep(10.0)
    assert len(fairness) == 1
