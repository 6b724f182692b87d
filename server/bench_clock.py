"""The server's clock as a test bench steers it: `pledgewatch --bench-clock FILE ...`; else the machine's own.

The bench plays days in minutes to a unit; what the unit tells would lie in this server's future. The file is the one
that `pledgewatch-agent run --bench-clock` goes by (little-endian: anchor of CLOCK_MONOTONIC s, the unit's monotonic s,
UTC s, all at the anchor; s per s of the machine's; 8 bytes for the unit alone; CRC-32; "PWC1").
"""

import logging
import mmap
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from server.config import ConfigError

log = logging.getLogger(__name__)

_FORM = struct.Struct("<dddd8xI4s")
_CRC_AT = 40
_TRIES = 1000
NowMs = Callable[[], int]


def machine_ms() -> int:
    """UTC ms by the machine's clock."""
    return time.time_ns() // 1_000_000


def clock_of(path: Path | None) -> NowMs:
    """UTC ms by the bench's file, or by the machine where there is none. Raises ConfigError for a file that is none."""
    if path is None:
        return machine_ms
    try:
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), _FORM.size, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a bench's clock: {error}") from None

    def now_ms() -> int:
        for _ in range(_TRIES):  # one that is half-written is read again
            data = mapped[: _FORM.size]
            told: tuple[float, float, float, float, int, bytes] = _FORM.unpack(data)
            anchor_s, _, utc_s, rate, crc, magic = told
            if magic == b"PWC1" and zlib.crc32(data[:_CRC_AT]) == crc:
                return round((utc_s + (time.monotonic() - anchor_s) * rate) * 1000)
            time.sleep(0)
        raise ConfigError(f"{path} is not a bench's clock")

    now_ms()
    log.warning("a test bench steers this server's clock: %s", path)
    return now_ms
