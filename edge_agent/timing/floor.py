"""The floor: a time that is certainly past, kept over restarts, so that a unit without a clock is never back in 1970.

It moves only with receipts that the server signed, never with a receiver's or a network's time: a spoofed year cannot
lock the unit out. It never moves backwards, and it is at least the day on which the software was built.

On the card: two small files, written in turn, each whole or not at all, with a checksum. Damage to one costs the hour
between them; damage to both leaves the day of building. It is written when it has moved by an hour since it was last
written, so at most 24 times a day.
"""

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path

from edge_agent.gnss.gnss_time import BUILT_UTC
from edge_agent.store.durable_file import replace_durably
from edge_agent.timing.clock import utc_ms
from edge_agent.timing.receipt_time import TimeBounds

log = logging.getLogger(__name__)

BUILT_MS = utc_ms(BUILT_UTC)
WRITE_EVERY_MS = 3_600_000
# A server whose clock was set wrong for an hour must not move every unit's floor into next year: a receipt so far ahead
# of the unit's own good clock does not count.
AHEAD_MS = 86_400_000
_COPIES = ("floor.a", "floor.b")
_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class _Written:
    """A copy: at `mono_ms` of a kernel boot it was not earlier than `floor_ms` (UTC ms)."""

    floor_ms: int
    kernel_boot: int
    mono_ms: int


class Floor:
    """The unit's floor, one owner. `offset_ms` is UTC less monotonic, in ms, at the least."""

    def __init__(self, folder: Path, kernel_boot: int, mono_s: float) -> None:
        """Read what an earlier run left in the unit's folder; `mono_s` is now."""
        self._folder, self._kernel_boot = folder, kernel_boot
        self.refused_ahead = 0  # receipts that were too far ahead of the unit's own clock
        copies = [(written, name) for name in _COPIES if (written := _read(folder / name)) is not None]
        newest, self._last_copy = max(copies, key=lambda each: each[0].floor_ms, default=(None, _COPIES[1]))
        self.is_told = newest is not None  # by a receipt, now or in an earlier run
        self._written_ms = newest.floor_ms if newest else 0
        self.offset_ms = BUILT_MS - round(mono_s * 1000)
        if newest is not None:
            # Within one kernel boot the clock ran on; a later kernel started after that floor, so its whole run counts.
            since_ms = newest.mono_ms if newest.kernel_boot == kernel_boot else 0
            self.offset_ms = max(self.offset_ms, newest.floor_ms - since_ms)

    def at_ms(self, mono_s: float) -> int:
        """It is not earlier than this, UTC ms."""
        return round(mono_s * 1000) + self.offset_ms

    @property
    def bounds(self) -> TimeBounds:
        """What is known before the first receipt of this run."""
        return TimeBounds(self.offset_ms)

    def told(self, server_time_ms: int, mono_s: float, witness_ms: int | None) -> bool:
        """A receipt whose signature held came at `mono_s`.

        A disk that does not take it is tried again with the next receipt.

        Args:
            server_time_ms: when the server made it, UTC ms.
            mono_s: now.
            witness_ms: UTC by the unit's own clock, None where it has none.

        Returns:
            Whether the receipt counted: False where it is days ahead of the unit's own clock.
        """
        if witness_ms is not None and server_time_ms > witness_ms + AHEAD_MS:
            if not self.refused_ahead:
                log.warning(
                    "the server's time is %d h ahead of this unit's", (server_time_ms - witness_ms) // 3_600_000
                )
            self.refused_ahead += 1
            return False
        self.is_told = True
        self.offset_ms = max(self.offset_ms, server_time_ms - round(mono_s * 1000))
        if self.at_ms(mono_s) - self._written_ms >= WRITE_EVERY_MS:
            self._write(_Written(self.at_ms(mono_s), self._kernel_boot, round(mono_s * 1000)))
        return True

    def _write(self, written: _Written) -> None:
        name = next(each for each in _COPIES if each != self._last_copy)
        try:
            replace_durably(self._folder / name, _text(written))
        except OSError as error:
            log.error("the time floor cannot be written: %s", error)
            return
        self._written_ms, self._last_copy = written.floor_ms, name


def _text(written: _Written) -> str:
    fields = f"{_FORMAT} {written.floor_ms} {written.kernel_boot} {written.mono_ms}"
    return f"{fields} {zlib.crc32(fields.encode()):08x}\n"


def _read(path: Path) -> _Written | None:
    """One copy; None where it is missing or damaged."""
    try:
        text = path.read_text(encoding="ascii")
        _, *numbers, _ = text.split()
        written = _Written(*map(int, numbers))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError):
        log.warning("%s is damaged", path)
        return None
    if _text(written) != text:
        log.warning("%s is damaged", path)
        return None
    return written
