"""kill -9 of the agent, the broker and the server at random moments of a drive: nothing that was sealed is lost."""

import random
import time
from pathlib import Path

import pytest

from server.store import history_rows
from tests.journey.test_recorded_drive import positions
from tests.journey.world import World

ROUNDS = 10
UNIT = "PW000001"
# What a kill of the agent may cost: samples that were not journalled yet, and what the kernel held of the port (4 KiB,
# about three seconds of this receiver).
MOST_LOST_A_KILL = 10


def assert_nothing_sealed_is_lost(world: World, recording: Path, dice: random.Random) -> None:
    expected, _ = positions(recording)
    world.add_unit(UNIT)
    world.start("broker", "ingest", f"agent {UNIT}")
    speed = len(expected) / (ROUNDS * 3 * 2.2)  # the drive lasts about as long as all the rounds
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

    times = [t for (t,) in world.rows("select time_ms from events where kind = 'unit_started'")]
    assert len(times) == ROUNDS + 2, "the agent was started once, after each kill, and once more at the end"
    lender_id, vehicle_id = world.rows("select lender_id, id from vehicles")[0]
    with world.store.read() as connection:
        track = history_rows.track(connection, lender_id, vehicle_id, 0, 2**53)
    missing = expected.keys() - {point.time_ms for point in track}
    assert not {point.time_ms for point in track} - expected.keys()
    assert len(missing) <= ROUNDS * MOST_LOST_A_KILL
    assert longest_run(sorted(missing)) <= MOST_LOST_A_KILL


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
