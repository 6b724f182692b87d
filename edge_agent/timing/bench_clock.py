"""A clock that a test bench steers through a mapped file: `pledgewatch-agent run --bench-clock FILE`.

The bench plays the world to an unchanged agent. What it cannot play on wires is time: hours that a car is parked are
skipped, the system clock is wrong by years, a power cut lets the monotonic clock begin anew. The file says where the
clocks stand, in 48 bytes, little-endian:

    offset  type     what
    0       double   anchor: the machine's CLOCK_MONOTONIC, s, at which the next two held
    8       double   the unit's monotonic clock at the anchor, s
    16      double   the unit's system clock at the anchor, UTC s
    24      double   rate: how many s both advance in one s of the machine's
    32      uint32   names the kernel boot
    36      uint8    1: the system clock is set over the network
    37      uint8    1: a battery-backed clock set it at boot
    38      2 bytes  0
    40      uint32   CRC-32 of what precedes
    44      4 bytes  "PWC1"

Whoever writes replaces all of it at once; a reader that meets a half-written one reads again. Only the clock that
values are stamped with is steered: the agent's waiting is done in the machine's own time.
"""

import mmap
import struct
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from edge_agent.settings import ConfigError

_FORM = struct.Struct("<ddddI??2xI4s")
_CRC_AT = 40
_MAGIC = b"PWC1"
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Told:
    """The file's content."""

    anchor_s: float
    monotonic_s: float
    utc_s: float
    rate: float
    kernel_boot: int
    is_disciplined: bool
    has_rtc: bool


class BenchClock:
    """A `Clock` (`system_clock.py`) that goes by the file. Safe to ask from any thread."""

    def __init__(self, path: Path) -> None:
        """Map the file. Raises ConfigError where it is not there or is none."""
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), _FORM.size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path} cannot be read as a bench's clock: {error}") from None
        self._path = path
        self._last = self._told()

    def monotonic_s(self) -> float:
        """As steered."""
        told = self._told()
        return told.monotonic_s + (time.monotonic() - told.anchor_s) * told.rate

    def utc_ms(self) -> int:
        """As steered."""
        told = self._told()
        return round((told.utc_s + (time.monotonic() - told.anchor_s) * told.rate) * 1000)

    def is_disciplined(self) -> bool:
        """As steered."""
        return self._told().is_disciplined

    def has_rtc(self) -> bool:
        """As steered."""
        return self._told().has_rtc

    def kernel_boot(self) -> int:
        """As steered."""
        return self._told().kernel_boot

    def _told(self) -> Told:
        for _ in range(_TRIES):
            data = self._map[: _FORM.size]
            *told, crc, magic = _FORM.unpack(data)
            if magic == _MAGIC and zlib.crc32(data[:_CRC_AT]) == crc:
                self._last = Told(*told)
                return self._last
            time.sleep(0)
        raise ConfigError(f"{self._path} is not a bench's clock")
