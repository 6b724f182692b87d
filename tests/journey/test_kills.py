"""kill -9 of the agent, the broker and the server at random moments of a drive: nothing that was sealed is lost."""

import math
import random
import time
from pathlib import Path

import pytest

from server.store import history_rows
from tests.journey.test_recorded_drive import positions
from tests.journey.world import World

ROUNDS = 10
UNIT = "PW000001"
# What a kill of the agent may cost: the samples that were not journalled yet, and what was between the receiver and the
# pipeline while the killed agent came back (on a busy machine the simulator may speak before a slow start listens).
JOURNALLED_EVERY = 5
IN_TRANSIT_S = 4.5


def assert_nothing_sealed_is_lost(world: World, recording: Path, dice: random.Random) -> None:
    expected, _ = positions(recording)
    world.add_unit(UNIT)
    world.start("broker", "ingest", f"agent {UNIT}")
    speed = len(expected) / (ROUNDS * 3 * 2.2)  # the drive lasts about as long as all the rounds
    most_lost = JOURNALLED_EVERY + math.ceil(IN_TRANSIT_S * speed)
    link = world.home / UNIT / "gnss"
    world.play("sim", "replay", "--nmea", recording, "--speed", f"{speed:.1f}", "--gnss-link", link)
    for _ in range(ROUNDS):
        for name in dice.sample((f"agent {UNIT}", "broker", "ingest"), 3):
            time.sleep(dice.uniform(0.3, 2.5))
            world.kill(name)
            time.sleep(dice.uniform(0, 0.8))
            world.start(name)
    assert world.processes["sim"].wait(240) == 0
    assert world.stop(f"agent {UNIT}") == 0
    world.start(f"agent {UNIT}")
    world.wait_for_drain(UNIT, 120)

    sealed = world.outbox(UNIT, "select sequence, sealed, samples from batches order by sequence")
    stored = world.rows("select sequence, sealed, samples from batches order by sequence")
    assert [row[0] for row in stored] == list(range(1, len(stored) + 1)), "a hole, or a batch stored twice"
    assert stored == sealed, "the server has exactly the bytes that the car sealed"
    assert world.rows("select sum(times) from quarantine") == [(None,)]

    ((starts,),) = world.rows("select count(*) from events where kind = 'unit_started'")
    assert ROUNDS // 2 < starts <= ROUNDS + 2, "each start is told, but where the next kill came before it was sealed"
    lender_id, vehicle_id = world.rows("select lender_id, id from vehicles")[0]
    with world.store.read() as connection:
        track = history_rows.track(connection, lender_id, vehicle_id, 0, 2**53).points()
    missing = expected.keys() - {point.time_ms for point in track}
    assert not {point.time_ms for point in track} - expected.keys()
    print(
        f"{len(missing)} of {len(expected)} epochs were never sealed, at most {longest_run(sorted(missing))} in a row"
    )
    assert len(missing) <= ROUNDS * most_lost
    assert longest_run(sorted(missing)) <= most_lost


def longest_run(times_ms: list[int]) -> int:
    longest = run = 0
    before = None
    for time_ms in times_ms:
        run = run + 1 if before is not None and time_ms - before <= 1000 else 1
        longest, before = max(longest, run), time_ms
    return longest


def test_ten_rounds_on_a_synthetic_drive(world: World, synthetic_recording: Path, dice: random.Random) -> None:
    assert_nothing_sealed_is_lost(world, synthetic_recording, dice)


@pytest.mark.shared
def test_ten_rounds_on_the_recorded_drive(world: World, f9k_recording: Path, dice: random.Random) -> None:
    assert_nothing_sealed_is_lost(world, f9k_recording, dice)
