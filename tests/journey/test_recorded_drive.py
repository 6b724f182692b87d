"""A recorded drive travels from a serial port to the server: every epoch once, where the receiver said it was."""

from pathlib import Path

import pynmeagps
import pytest

from server.store import history_rows
from tests.journey.world import World, lines_of

SPEED = "60"


def positions(path: Path) -> tuple[dict[int, tuple[float, float]], int]:
    """An independent reading (pynmeagps) of a receiver that says RMC first in each second.

    Returns {UTC ms: (lat, lon)} of every second with a valid RMC, GGA or GLL, and how many lines fail their checksum.
    """
    found: dict[int, tuple[float, float]] = {}
    date, bad = None, 0
    for line in lines_of(path):
        if not line.startswith(b"$"):
            continue
        try:
            sentence = pynmeagps.NMEAReader.parse(line, validate=pynmeagps.VALCKSUM)
        except pynmeagps.NMEAParseError:
            bad += 1
            continue
        valid = {"RMC": "status", "GLL": "status", "GGA": "quality"}.get(sentence.msgID)
        if valid is None or getattr(sentence, valid) in ("V", 0):
            continue
        date = sentence.date if sentence.msgID == "RMC" else date
        if date is None:
            continue
        time = sentence.time
        seconds = (time.hour * 60 + time.minute) * 60 + time.second
        day_ms = (date.toordinal() - 719_163) * 86_400_000
        found[day_ms + seconds * 1000 + time.microsecond // 1000] = (sentence.lat, sentence.lon)
    return found, bad


def assert_journey(world: World, recording: Path, refused: int) -> None:
    expected, bad = positions(recording)
    assert bad == refused
    world.add_unit("PW000001")
    world.start("broker", "ingest", "agent PW000001")
    world.play("sim", "replay", "--nmea", recording, "--speed", SPEED, "--gnss-link", world.home / "PW000001" / "gnss")
    assert world.processes["sim"].wait(180) == 0
    assert world.stop("agent PW000001") == 0
    world.start("agent PW000001")  # what was sealed at the very end is sent again, if it was cut off
    world.wait_for_drain("PW000001")

    lender_id, vehicle_id = world.rows("select lender_id, id from vehicles")[0]
    with world.store.read() as connection:
        track = history_rows.track(connection, lender_id, vehicle_id, 0, 2**53).points()
    stored = {point.time_ms: (point.lat_deg, point.lon_deg) for point in track}
    assert stored.keys() == expected.keys()
    worst = max(max(abs(a - b) for a, b in zip(stored[t], expected[t], strict=True)) for t in expected)
    assert worst <= 1e-7
    samples = world.rows("select sum(samples) from batches")[0][0]
    with_position = sum(1 for _ in track)
    told = dict(world.rows("select name, value from unit_counts"))
    assert told.get("gnss.refused.checksum", 0) == refused
    assert with_position == len(expected) <= samples
    assert world.rows("select count(*) from quarantine") == [(0,)]


@pytest.mark.shared
def test_every_epoch_of_the_recorded_drive_is_stored_once(world: World, f9k_recording: Path) -> None:
    assert_journey(world, f9k_recording, refused=13)


def test_every_epoch_of_a_synthetic_drive_is_stored_once(world: World, synthetic_recording: Path) -> None:
    assert_journey(world, synthetic_recording, refused=0)
