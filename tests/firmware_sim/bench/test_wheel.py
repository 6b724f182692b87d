"""The clock file, read back by the table of its own documentation, and the story's time."""

import struct
import zlib
from pathlib import Path

import pytest

from firmware_sim.bench import wheel
from firmware_sim.bench.wheel import StoryClock, Wheel


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [5000.0]
    monkeypatch.setattr(wheel.time, "monotonic", lambda: at[0])
    return at


def told(path: Path) -> tuple[float, float, float, float, int, bool, bool]:
    data = path.read_bytes()
    assert data[44:] == b"PWC1"
    assert struct.unpack("<I", data[40:44])[0] == zlib.crc32(data[:40])
    anchor_s, mono_s, utc_s, rate = struct.unpack("<dddd", data[:32])
    return anchor_s, mono_s, utc_s, rate, struct.unpack("<I", data[32:36])[0], bool(data[36]), bool(data[37])


def test_story_time_is_held_runs_and_is_moved_on(now: list[float]) -> None:
    clock = StoryClock(-5.0)
    now[0] += 10
    assert clock.now_s() == -5.0
    clock.run(4.0)
    now[0] += 2
    assert clock.now_s() == 3.0
    clock.skip(3600.0)
    assert clock.now_s() == 3603.0
    clock.run(1.0)
    now[0] += 1
    assert clock.now_s() == 3604.0


def test_the_file_says_where_the_clocks_stand(now: list[float], tmp_path: Path) -> None:
    clock = StoryClock(0.0)
    steered = Wheel(tmp_path / "clock", clock, 1_790_000_000.0)
    steered.boot(12.0)
    assert told(steered.path) == (5000.0, 12.0, 1_790_000_000.0, 0.0, 1, True, False)
    clock.run(2.0)
    clock.skip(100.0)
    steered.clock_error_s, steered.is_disciplined, steered.has_rtc = -10.0, False, True
    now[0] += 1
    steered.turn()
    assert told(steered.path) == (5000.0, 112.0, 1_790_000_090.0, 2.0, 1, False, True)
    steered.boot(0.0)
    assert told(steered.path)[4] == 2
    assert steered.booted_at_s == {1: -12.0, 2: 102.0}
    steered.close()
