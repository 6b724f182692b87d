"""The check digit of a VIN, and whether the car is still the bound one."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.car.vin import Problem, Verdict, VinWatch, check, check_digit
from firmware_sim.car.vin import vin_problem

BOUND = "1HGCM82633A004352"  # the example of 49 CFR 565 in many handbooks
CHINESE = "LSVPW5000T2000001"
EUROPEAN = "WVWZZZ1JZ3W386752"  # Z as filler: no check digit
LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"
OTHER = "1HGCM82633A004353"[:8] + check_digit("1HGCM82633A004353") + "3A004353"


@pytest.mark.parametrize("vin", [BOUND, CHINESE, EUROPEAN, "11111111111111111", "1M8GDM9AXKP042788"])
def test_good_numbers(vin: str) -> None:
    assert check(vin) is None


@pytest.mark.parametrize(
    ("vin", "applies", "problem"),
    [
        (BOUND[1:], None, Problem.LENGTH),
        (BOUND + "1", None, Problem.LENGTH),
        ("O" + BOUND[1:], None, Problem.CHARACTER),
        (BOUND.lower(), None, Problem.CHARACTER),
        (BOUND[:8] + "4" + BOUND[9:], None, Problem.CHECK_DIGIT),
        (BOUND[:8] + "4" + BOUND[9:], False, None),
        (CHINESE[:-1] + "2", None, Problem.CHECK_DIGIT),
        (EUROPEAN, True, Problem.CHECK_DIGIT),
        ("", None, Problem.LENGTH),
    ],
)
def test_problems(vin: str, applies: bool | None, problem: Problem | None) -> None:
    assert check(vin, applies) is problem


@given(st.text(alphabet=LETTERS, min_size=17, max_size=17), st.integers(0, 16), st.sampled_from(LETTERS))
def test_against_the_simulators_own_reading_of_the_standard(vin: str, at: int, letter: str) -> None:
    right = vin[:8] + check_digit(vin) + vin[9:]
    assert check(right, applies=True) is None
    assert vin_problem(right) is None
    changed = right[:at] + letter + right[at + 1 :]
    assert (check(changed, applies=True) is None) == (vin_problem(changed) is None)


def after(*answers: str, bound: str | None = BOUND) -> Verdict:
    watch = VinWatch(bound)
    for answer in answers:
        watch = watch.heard(answer)
    return watch.verdict


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((), Verdict.UNKNOWN),
        ((BOUND,), Verdict.SAME),
        ((BOUND[1:],), Verdict.SAME),  # lost its first byte
        ((BOUND[9:],), Verdict.SAME),
        ((BOUND[10:],), Verdict.UNKNOWN),  # too little to tell one car from another
        ((OTHER,), Verdict.UNKNOWN),
        ((OTHER, OTHER), Verdict.DIFFERENT),
        ((OTHER, BOUND, OTHER), Verdict.SAME),
        ((OTHER, OTHER, BOUND), Verdict.SAME),
        ((BOUND, OTHER, OTHER), Verdict.DIFFERENT),
        ((OTHER, CHINESE, OTHER), Verdict.UNKNOWN),
        ((OTHER[1:],) * 5, Verdict.UNKNOWN),  # mutilated: cannot be told
        ((BOUND[1:] + "0",) * 5, Verdict.UNKNOWN),  # shifted
        ((BOUND[2:] + "00",) * 5, Verdict.UNKNOWN),
        (("0" + BOUND[:-1],) * 5, Verdict.UNKNOWN),
        ((BOUND[:16] + "3",) * 5, Verdict.UNKNOWN),  # one byte garbled: its check digit is wrong
        ((OTHER, BOUND[:16] + "3", OTHER), Verdict.DIFFERENT),  # noise between two equal answers
        (("",) * 5, Verdict.UNKNOWN),
        (("?" * 17,) * 5, Verdict.UNKNOWN),
    ],
)
def test_verdicts(answers: tuple[str, ...], verdict: Verdict) -> None:
    assert after(*answers) is verdict


def test_without_a_bound_number_there_is_no_verdict() -> None:
    assert after(OTHER, OTHER, bound=None) is Verdict.UNKNOWN


def test_a_maker_without_check_digits() -> None:
    other = EUROPEAN[:-1] + "3"
    assert after(other, bound=EUROPEAN) is Verdict.UNKNOWN
    assert after(other, other, bound=EUROPEAN) is Verdict.DIFFERENT
    assert after(EUROPEAN[1:] + "0", EUROPEAN[1:] + "0", bound=EUROPEAN) is Verdict.UNKNOWN


@given(st.randoms(use_true_random=False), st.integers(1, 3))
def test_no_loss_of_bytes_makes_the_bound_car_another(chance: random.Random, lost: int) -> None:
    at = chance.randrange(18 - lost)
    answer = BOUND[:at] + BOUND[at + lost :]
    assert after(answer, answer, answer) is not Verdict.DIFFERENT


@given(st.text(alphabet=LETTERS, min_size=17, max_size=17))
def test_another_true_number_twice_is_always_noticed(vin: str) -> None:
    other = vin[:8] + check_digit(vin) + vin[9:]
    if other != BOUND:
        watch = VinWatch(BOUND).heard(other).heard(other)
        assert watch.verdict is (Verdict.DIFFERENT if watch.times == 2 else Verdict.UNKNOWN)
        shifted = any(other[:-n] == BOUND[n:] or other[n:] == BOUND[:-n] for n in (1, 2, 3))
        assert (watch.verdict is Verdict.DIFFERENT) == (not shifted)
