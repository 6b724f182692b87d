"""Codes and lamp over trips."""

from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.car.diagnosis import Diagnosis

CODE = "P0420"


def trip(memory: Diagnosis, failing: bool, at_once: bool = False, seconds: float = 60.0) -> None:
    for _ in range(int(seconds)):
        memory.watch({CODE: at_once} if failing else {}, 1.0, is_on=True)
    memory.end_trip(warmed_up=True)


def test_pending_in_the_first_trip_confirmed_in_the_second() -> None:
    memory = Diagnosis()
    trip(memory, True)
    assert (memory.pending, memory.stored, memory.permanent, memory.lamp) == ((CODE,), (), (), False)
    trip(memory, True)
    assert (memory.stored, memory.permanent, memory.lamp) == ((CODE,), (CODE,), True)


def test_what_does_not_come_back_is_forgotten() -> None:
    memory = Diagnosis()
    trip(memory, True)
    trip(memory, False)
    assert (memory.pending, memory.stored) == ((), ())
    trip(memory, True)
    assert not memory.lamp


def test_severe_ones_light_the_lamp_at_once() -> None:
    memory = Diagnosis()
    assert memory.watch({CODE: True}, 0.1, is_on=True) == (CODE,)
    assert memory.lamp
    assert memory.watch({CODE: True}, 0.1, is_on=True) == ()


def test_the_lamp_goes_out_after_three_clean_trips_and_the_code_after_forty_warm_ups() -> None:
    memory = Diagnosis((CODE,))
    trip(memory, False)
    trip(memory, False)
    assert memory.lamp
    trip(memory, False)
    assert (memory.lamp, memory.stored, memory.permanent) == (False, (CODE,), ())
    kept = 0
    while memory.stored:
        trip(memory, False)
        kept += 1
    assert kept == 39  # the trip in which the lamp went out was the first


def test_clearing_leaves_the_permanent_code_and_short_runs_are_no_trips() -> None:
    memory = Diagnosis((CODE,))
    memory.clear()
    assert (memory.lamp, memory.stored, memory.permanent) == (False, (), (CODE,))
    memory = Diagnosis((CODE,))
    for _ in range(10):
        trip(memory, False, seconds=5)
    assert memory.lamp


@given(st.lists(st.booleans(), max_size=60))
def test_the_lamp_shines_for_confirmed_codes_only(trips: list[bool]) -> None:
    memory = Diagnosis()
    for failing in trips:
        trip(memory, failing, seconds=12)
        assert memory.stored or not memory.lamp
        assert set(memory.permanent) <= set(memory.stored)
        assert memory.lamp == bool(memory.permanent)
