"""Clocks that are steered from outside, through 32 bytes that both sides have mapped.

The harness moves a unit's clocks while it runs: hours that a car is parked are skipped, its system clock jumps by
years, a power cut lets the monotonic clock begin anew. Nothing is told to the process; it only reads other values.
"""

import mmap
import struct
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_FORM = struct.Struct("<ddI??")
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Steered:
    """Where the clocks are, against those of the machine that all of this runs on."""

    monotonic_shift_s: float = 0.0
    utc_shift_s: float = 0.0
    kernel_boot: int = 1
    is_disciplined: bool = True
    has_rtc: bool = False


class SteeringWheel:
    """The harness's end. The file is new with each wheel."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)
        self.now = Steered()
        self.turn()

    def turn(self, **changed: Any) -> None:
        """Change some of `Steered`."""
        self.now = replace(self.now, **changed)
        told = self.now
        self._map[: _FORM.size] = _FORM.pack(
            told.monotonic_shift_s, told.utc_shift_s, told.kernel_boot, told.is_disciplined, told.has_rtc
        )

    def skip(self, seconds: float) -> None:
        """Time passes, everywhere."""
        self.turn(monotonic_shift_s=self.now.monotonic_shift_s + seconds, utc_shift_s=self.now.utc_shift_s + seconds)

    def close(self) -> None:
        self._map.close()


class SteeredClock:
    """The unit's end: an `edge_agent.timing.system_clock.Clock`."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES, access=mmap.ACCESS_READ)

    def monotonic_s(self) -> float:
        return time.monotonic() + self._told().monotonic_shift_s

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000 + round(self._told().utc_shift_s * 1000)

    def is_disciplined(self) -> bool:
        return self._told().is_disciplined

    def has_rtc(self) -> bool:
        return self._told().has_rtc

    def kernel_boot(self) -> int:
        return self._told().kernel_boot

    def _told(self) -> Steered:
        return Steered(*_FORM.unpack(self._map[: _FORM.size]))
