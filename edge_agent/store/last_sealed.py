"""Beside the outbox: which sequence was sealed last, so that none is ever given away twice.

SQLite takes a damaged frame at the end of its write-ahead log for a commit that never was, and opens an older state
without a word. The unit would then seal other records under sequences that the server has already. So after each commit
with a batch, and before that is sent, its sequence is written here too. Two places take turns, in one block of the
card: while one is written the other still tells the sequence before.
"""

import os
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from wire.records import BOOT_BYTES

_PLACES, _PLACE_BYTES = 2, 512  # sectors: a power cut tears no smaller thing
_FORM = struct.Struct(f">{BOOT_BYTES}sQ")


@dataclass(frozen=True, slots=True)
class LastSealed:
    """The newest sequence of a boot."""

    boot: bytes
    sequence: int


def read_last(path: Path) -> LastSealed | None:
    """What is written in `path`; None where nothing can be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    told: list[LastSealed] = []
    for at in range(0, _PLACES * _PLACE_BYTES, _PLACE_BYTES):
        place = data[at : at + _FORM.size + 4]
        if len(place) == _FORM.size + 4 and zlib.crc32(place[: _FORM.size]) == int.from_bytes(
            place[_FORM.size :], "big"
        ):
            told.append(LastSealed(*_FORM.unpack(place[: _FORM.size])))
    return max(told, key=lambda each: each.sequence, default=None)


class LastSealedFile:
    """Writes what `read_last` reads. A card that does not take it only leaves the protection out."""

    def __init__(self, path: Path, boot: bytes) -> None:
        self._path, self._boot = path, boot
        known = read_last(path)
        if known is not None and known.boot != boot:  # of an outbox that is gone: its sequences may be higher
            with suppress(OSError):
                path.unlink()

    def write(self, sequence: int) -> None:
        """Returns once it is on the card, or once the card has refused it."""
        content = _FORM.pack(self._boot, sequence)
        content += zlib.crc32(content).to_bytes(4, "big")
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_size < _PLACES * _PLACE_BYTES:
                    os.pwrite(descriptor, bytes(_PLACES * _PLACE_BYTES), 0)
                os.pwrite(descriptor, content, sequence % _PLACES * _PLACE_BYTES)
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
