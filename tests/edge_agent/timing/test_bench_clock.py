"""The steered clock: what the file says is what the agent reads, and a file that is none is refused."""

import struct
import zlib
from pathlib import Path

import pytest

from edge_agent.settings import ConfigError
from edge_agent.timing import bench_clock
from edge_agent.timing.bench_clock import BenchClock


def written(
    anchor_s: float,
    monotonic_s: float,
    utc_s: float,
    rate: float,
    boot: int = 7,
    network: bool = True,
    rtc: bool = False,
) -> bytes:
    """As the module's table says, made here by hand."""
    told = struct.pack("<dddd", anchor_s, monotonic_s, utc_s, rate) + struct.pack("<I", boot)
    told += bytes([network, rtc, 0, 0])
    return told + struct.pack("<I", zlib.crc32(told)) + b"PWC1"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at = [1000.0]
    monkeypatch.setattr(bench_clock.time, "monotonic", lambda: at[0])
    return at


def test_clocks_run_from_the_anchor_at_the_rate(tmp_path: Path, now: list[float]) -> None:
    (tmp_path / "clock").write_bytes(written(990.0, 50.0, 1_800_000_000.0, 3.0))
    clock = BenchClock(tmp_path / "clock")
    assert clock.monotonic_s() == 80.0
    assert clock.utc_ms() == 1_800_000_030_000
    now[0] = 1001.5
    assert clock.monotonic_s() == 84.5
    assert (clock.kernel_boot(), clock.is_disciplined(), clock.has_rtc()) == (7, True, False)


def test_what_is_written_later_counts_at_once(tmp_path: Path, now: list[float]) -> None:
    path = tmp_path / "clock"
    path.write_bytes(written(1000.0, 50.0, 1_800_000_000.0, 1.0))
    clock = BenchClock(path)
    with path.open("r+b") as file:
        file.write(written(1000.0, 9.5, 946_684_800.0, 0.0, boot=8, network=False, rtc=True))
    now[0] = 1100.0
    assert clock.monotonic_s() == 9.5
    assert clock.utc_ms() == 946_684_800_000
    assert (clock.kernel_boot(), clock.is_disciplined(), clock.has_rtc()) == (8, False, True)


@pytest.mark.parametrize("content", [b"", b"x" * 48, written(0, 0, 0, 1)[:-1] + b"2", b"\1" + written(0, 0, 0, 1)[1:]])
def test_a_file_that_is_no_clock_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "clock").write_bytes(content)
    with pytest.raises(ConfigError, match="clock"):
        BenchClock(tmp_path / "clock")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        BenchClock(tmp_path / "nowhere")
