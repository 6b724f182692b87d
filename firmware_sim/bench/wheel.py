"""The bench's end of a steered clock: the file that `--bench-clock` of agent and server go by, and the story's time.

48 bytes, little-endian: doubles anchor (CLOCK_MONOTONIC of the machine, s), monotonic s and UTC s at the anchor, rate;
uint32 kernel boot; a byte each: disciplined, battery-backed; two bytes 0; CRC-32 of the 40 bytes before; "PWC1". The
readers, edge_agent/timing/bench_clock.py and server/bench_clock.py, share no code with this.
"""

import mmap
import struct
import time
import zlib
from pathlib import Path

_FORM = struct.Struct("<ddddIBB2x")
_BYTES = 48


class StoryClock:
    """Seconds of the story: runs `rate` times as fast as life, can be held and moved on."""

    def __init__(self, begin_s: float) -> None:
        self._at_s, self._anchor_s, self.rate = begin_s, time.monotonic(), 0.0

    def now_s(self) -> float:
        """Story seconds."""
        return self._at_s + (time.monotonic() - self._anchor_s) * self.rate

    def run(self, rate: float) -> None:
        """From now on so fast; 0 holds it."""
        self._at_s, self._anchor_s = self.now_s(), time.monotonic()
        self.rate = rate

    def skip(self, seconds: float) -> None:
        """Move on at once."""
        self._at_s += seconds

    @property
    def anchor(self) -> tuple[float, float]:
        """CLOCK_MONOTONIC of this machine, and the story seconds that it was then."""
        return self._anchor_s, self._at_s


class Wheel:
    """One clock file. What it tells follows the story's clock."""

    def __init__(self, path: Path, story: StoryClock, start_utc_s: float) -> None:
        """`start_utc_s`: UTC at story second 0."""
        self.path, self._story, self._start_utc_s = path, story, start_utc_s
        self.kernel_boot = 0
        self.is_disciplined, self.has_rtc = True, False
        self.clock_error_s = 0.0  # of the system clock
        self.booted_at_s: dict[int, float] = {}  # kernel boot → story seconds at which its monotonic clock was 0
        path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)

    def boot(self, uptime_s: float) -> None:
        """A kernel has started; its monotonic clock is at `uptime_s`."""
        self.kernel_boot += 1
        self.booted_at_s[self.kernel_boot] = self._story.now_s() - uptime_s
        self.turn()

    def turn(self) -> None:
        """Write what holds now. Call it after every change of the story's clock."""
        anchor_s, at_s = self._story.anchor
        told = _FORM.pack(
            anchor_s,
            at_s - self.booted_at_s.get(self.kernel_boot, 0.0),
            self._start_utc_s + at_s + self.clock_error_s,
            self._story.rate,
            self.kernel_boot,
            self.is_disciplined,
            self.has_rtc,
        )
        self._map[:_BYTES] = told + struct.pack("<I", zlib.crc32(told)) + b"PWC1"

    def close(self) -> None:
        """Unmap it."""
        self._map.close()
