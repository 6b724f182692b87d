"""How many boots (outboxes) this unit has begun, and which is the newest: kept twice beside the outbox.

The server takes a new boot only by a higher number, so a count that went back would lock the unit out for ever. Each
of the two copies carries its own checksum and is replaced whole, one after the other. Where neither can be read and no
outbox tells the number either, it is taken from the calendar: minutes since 2020. A unit does not begin a boot a minute
for years, so that number is higher than any count, it fits into the 31 bits that the server keeps, and it still grows.
"""

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path

from edge_agent.store.durable_file import replace_durably
from wire.records import BOOT_BYTES

log = logging.getLogger(__name__)

_COPIES = ("boots", "boots_copy")
_SINCE_MS = 1_577_836_800_000  # 2020-01-01T00:00Z
# No unit runs this code before it was written: a floor for the calendar where nothing better is known.
_WRITTEN_MS = 1_795_478_400_000  # 2026-11-24T00:00Z
_MS_A_MINUTE = 60_000


@dataclass(frozen=True, slots=True)
class Boots:
    """The newest boot: its number, and which it was (None: an older version did not write that down)."""

    number: int
    boot: bytes | None


def read_boots(folder: Path) -> Boots | None:
    """What the copies tell, the higher one where they differ; None where none can be read."""
    told = [each for name in _COPIES if (each := _read(folder / name)) is not None]
    return max(told, key=lambda each: each.number, default=None)


def remember_boot(folder: Path, boots: Boots) -> None:
    """Write both copies durably where they tell anything else. Raises OSError."""
    for name in _COPIES:
        if _read(folder / name) != boots:
            text = f"{boots.number} {(boots.boot or b'').hex()}"
            replace_durably(folder / name, f"{text} {zlib.crc32(text.encode()):08x}\n")


def next_number(folder: Path, at_least: int, floor_ms: int, *, anew: bool) -> int:
    """The number of a boot that begins now.

    Args:
        folder: where the copies are.
        at_least: the highest number that an outbox tells, 0 where none does.
        floor_ms: the time is known to be later than this, UTC ms; 0 where that is not known.
        anew: nothing hints at an earlier boot, so that this is the first.
    """
    known = read_boots(folder)
    if known is not None or at_least:
        return max(at_least, known.number if known else 0) + 1
    if anew and not any((folder / name).exists() for name in _COPIES):
        return 1
    number = (max(floor_ms, _WRITTEN_MS) - _SINCE_MS) // _MS_A_MINUTE
    log.error("no copy of the count of boots can be read; the next boot is numbered by the calendar: %d", number)
    return number


def _read(path: Path) -> Boots | None:
    try:
        words = path.read_text(encoding="ascii").split(" ")
        if len(words) == 1 and words[0].strip().isdecimal():  # as the first version wrote it
            return Boots(int(words[0]), None) if int(words[0]) > 0 else None
        number, boot, crc = words
        sound = int(crc, 16) == zlib.crc32(f"{number} {boot}".encode())
        told = Boots(int(number), bytes.fromhex(boot) or None)
    except (OSError, ValueError):
        return None
    return told if sound and told.number > 0 and (told.boot is None or len(told.boot) == BOOT_BYTES) else None
