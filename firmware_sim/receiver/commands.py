"""The bytes somebody writes to a receiver, cut into commands: sentences, UBX frames, lines of text. Pure.

Any chunking gives the same commands. What is no command (noise, a frame with a wrong checksum) is passed over, as
receivers do.
"""

import re
import struct
from dataclasses import dataclass
from functools import reduce
from operator import xor

_SYNC = b"\xb5\x62"
_MAX_PAYLOAD = 1024
_MAX_WAITING = 2048  # bytes without a line end or a whole frame: the oldest go
_SENTENCE = re.compile(r"\$([^$*]+)(?:\*([0-9A-Fa-f]{2}))?")


@dataclass(frozen=True, slots=True)
class Sentence:
    """`$body*XX`; `intact` None where it came without a checksum."""

    body: str
    intact: bool | None

    @property
    def fields(self) -> list[str]:
        return self.body.split(",")


@dataclass(frozen=True, slots=True)
class Frame:
    """A UBX frame with a good checksum: class and identity, payload."""

    kind: tuple[int, int]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """Plain text, without its line end."""

    text: str


Command = Sentence | Frame | Line


def ubx(kind: tuple[int, int], payload: bytes = b"") -> bytes:
    """A UBX frame (u-blox M8 protocol specification UBX-13003221, 32.2): sync, class, id, length, payload, checksum."""
    body = bytes(kind) + struct.pack("<H", len(payload)) + payload
    return _SYNC + body + _fletcher(body)


class CommandReader:
    """Bytes in, commands out."""

    def __init__(self) -> None:
        self._waiting = b""

    def feed(self, data: bytes) -> list[Command]:
        self._waiting += data
        found: list[Command] = []
        while True:
            sync, line_end = self._waiting.find(_SYNC), self._waiting.find(b"\n")
            if sync >= 0 and (line_end < 0 or sync < line_end):
                self._waiting = self._waiting[sync:]
                whole = self._frame(found)
            elif line_end >= 0:
                line, self._waiting = self._waiting[:line_end], self._waiting[line_end + 1 :]
                found += _text(line)
                whole = True
            else:
                whole = False
            if not whole:
                self._waiting = self._waiting[-_MAX_WAITING:]
                return found

    def _frame(self, found: list[Command]) -> bool:
        """Take the frame at the start of what waits; False if it is not whole yet."""
        if len(self._waiting) < 6:
            return False
        (length,) = struct.unpack_from("<H", self._waiting, 4)
        end = 6 + length + 2
        if length <= _MAX_PAYLOAD and len(self._waiting) < end:
            return False
        if length <= _MAX_PAYLOAD and self._waiting[end - 2 : end] == _fletcher(self._waiting[2 : end - 2]):
            found.append(Frame((self._waiting[2], self._waiting[3]), self._waiting[6 : end - 2]))
            self._waiting = self._waiting[end:]
        else:
            self._waiting = self._waiting[2:]
        return True


def _text(line: bytes) -> list[Command]:
    try:
        text = line.decode("ascii").strip()
    except UnicodeDecodeError:
        return []
    if "$" not in text:
        return [Line(text)] if text else []
    match = _SENTENCE.fullmatch(text[text.rindex("$") :])
    if match is None:
        return []
    body, checksum = match[1], match[2]
    return [Sentence(body, None if checksum is None else int(checksum, 16) == reduce(xor, body.encode(), 0))]


def _fletcher(body: bytes) -> bytes:
    """8-bit Fletcher checksum (RFC 1145)."""
    first = second = 0
    for byte in body:
        first = (first + byte) & 0xFF
        second = (second + first) & 0xFF
    return bytes((first, second))
