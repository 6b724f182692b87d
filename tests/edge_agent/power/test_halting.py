"""A planned halt, carried out: not before the news is out, once, and a failure is told."""

import threading

import pytest

from edge_agent.power.halting import Halting
from edge_agent.power.sleeping import HaltFailedError
from edge_agent.power.states import Halt, Memory, Woken

HALT = Halt("battery rests at 12.1 V", 86_400.0, ("voltage",), 13.0)
OTHER = Halt("no external power for 1800 s", None, ("power",), 13.0)
MEMORY = Memory(True, True, 90_000.0)


class FakeSleeper:
    """Writes down what it was asked for."""

    def __init__(self, fails: str = "") -> None:
        self.halts: list[tuple[Halt, Memory]] = []
        self._fails = fails

    def halt(self, halt: Halt, memory: Memory) -> None:
        self.halts.append((halt, memory))
        if self._fails:
            raise HaltFailedError(self._fails)

    def woken(self) -> Woken | None:
        return None


@pytest.fixture
def sleeper() -> FakeSleeper:
    return FakeSleeper()


@pytest.fixture
def halting(sleeper: FakeSleeper) -> Halting:
    return Halting(sleeper, pytest.fail)


def asked_by_now(sleeper: FakeSleeper) -> list[Halt]:
    for thread in threading.enumerate():
        if thread.name == "halting":
            thread.join(10)
    return [halt for halt, _ in sleeper.halts]


def test_without_a_plan_nothing_halts(halting: Halting, sleeper: FakeSleeper) -> None:
    for n in range(100):
        halting.tend(None, True, MEMORY, float(n))
    assert asked_by_now(sleeper) == []


def test_it_halts_once_as_soon_as_all_is_sent(halting: Halting, sleeper: FakeSleeper) -> None:
    halting.tend(HALT, False, MEMORY, 100.0)
    assert asked_by_now(sleeper) == []
    halting.tend(HALT, True, MEMORY, 101.0)
    halting.tend(HALT, True, MEMORY, 102.0)
    assert asked_by_now(sleeper) == [HALT]
    assert sleeper.halts == [(HALT, MEMORY)]


def test_news_that_cannot_be_sent_holds_it_up_for_30_s(halting: Halting, sleeper: FakeSleeper) -> None:
    halting.tend(HALT, False, MEMORY, 100.0)
    halting.tend(HALT, False, MEMORY, 129.9)
    assert asked_by_now(sleeper) == []
    halting.tend(HALT, False, MEMORY, 130.0)
    assert asked_by_now(sleeper) == [HALT]


def test_a_plan_that_is_given_up_and_made_again_waits_anew(halting: Halting, sleeper: FakeSleeper) -> None:
    halting.tend(HALT, False, MEMORY, 100.0)
    halting.tend(None, False, MEMORY, 120.0)
    halting.tend(OTHER, False, MEMORY, 125.0)
    halting.tend(OTHER, False, MEMORY, 154.9)
    assert asked_by_now(sleeper) == []
    halting.tend(OTHER, False, MEMORY, 155.0)
    assert asked_by_now(sleeper) == [OTHER]
    halting.tend(None, True, MEMORY, 400.0)
    halting.tend(HALT, True, MEMORY, 500.0)
    assert asked_by_now(sleeper) == [OTHER, HALT]


def test_a_failure_is_told_with_its_reason() -> None:
    sleeper, told = FakeSleeper(fails="rtc0 tells no time"), list[str]()
    halting = Halting(sleeper, told.append)
    halting.tend(HALT, True, MEMORY, 0.0)
    assert asked_by_now(sleeper) == [HALT]
    assert told == ["rtc0 tells no time"]
