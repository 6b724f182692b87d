"""Bytes from a receiver's line → NMEA 0183 sentences whose checksum holds; everything else is refused with a reason.

A sentence is `$` (or `!` when it wraps AIS bits), an address, comma-separated fields, `*`, two hexadecimal digits and
CR LF. The digits are the XOR of every character between the `$` and the `*`; all characters are printable ASCII and
`$` opens a sentence wherever it stands (IEC 61162-1, NMEA 0183 v4.11, "sentence structure").

What real lines do, and what is done about it here:

* Binary protocols share the line (UBX, SkyTraq, SiRF, RTCM), and their bytes include `$`, `!` and line ends. A piece
  that does not start like a sentence is noise: its bytes are counted, it is not a refused sentence.
* A sentence is cut by the next one, by a NUL or by a dropped line end. It counts as whole if its checksum is there and
  holds, whatever follows it; the digits prove more than the line end does.
* Lines without a checksum are refused (`no_checksum`). NMEA made it optional before version 2 and mandatory for RMC;
  a serial line in a car drops and doubles bytes, and nothing else would notice. gpsd takes none of them either: a
  HP 58534A, the one receiver in its suite that sends none, gives it no position.
* Recorded logs carry `#` comments. A comment is a line of text that starts with `#`; a control character ends it, so
  binary that happens to start with `#` cannot hide the sentences after it. Comments are neither noise nor sentences.

The line is read in whatever chunks it comes: state depends on the bytes alone, never on where a chunk ends.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from operator import xor

MAX_SENTENCE_BYTES = 512  # the standard says 82; u-blox PUBX,03 with every satellite needs over 400
REFUSALS = {
    "checksum": "the two digits do not match the characters",
    "no_checksum": "the line ended without `*` and two digits",
    "interrupted": "the next `$` came before the checksum",
    "not_ascii": "a byte outside 0x20–0x7E came before the checksum",
    "malformed": "`*` without two hexadecimal digits after it, or a field that cannot be read",
    "too_long": "longer than any real sentence",
    "value_out_of_range": "a time, position or quality that cannot exist, with a good checksum",
    "zero_position": "a position flagged valid at exactly 0° N 0° E, where no car is",
}
_LINE_ENDS = b"\r\n"
_SENTENCE_STARTS = b"$!"
_NOISE_END = re.compile(rb"[$!\r\n]")
_PIECE_END = re.compile(rb"[^ -~]|\$")
_COMMENT_END = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_WHOLE = re.compile(rb"[$!]([^*]+)\*([0-9A-Fa-f]{2}) *")
_LOOKS_LIKE_A_SENTENCE = re.compile(rb"[$!][A-Za-z0-9]{3,9},")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence whose checksum held: `GNRMC` and the fields after it, as sent."""

    address: str
    fields: list[str]
    length: int  # characters from `$` to the checksum's last digit


class SentenceFramer:
    """Bytes in, sentences out. Holds at most `MAX_SENTENCE_BYTES` between calls."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.noise_bytes = 0
        self._tail = b""  # an unfinished sentence, from its `$`
        self._in_comment = False
        self._at_line_start = True

    def feed(self, data: bytes) -> list[Sentence]:
        """The sentences that `data` completes."""
        buffer = self._tail + data
        position = 0
        found = []
        while position < len(buffer):
            if self._in_comment:
                position = self._skip_comment(buffer, position)
            elif buffer[position] not in _SENTENCE_STARTS:
                position = self._skip_noise(buffer, position)
            else:
                end = _end_of_piece(buffer, position)
                if end is None:
                    break
                sentence = self._judge(buffer[position:end], buffer[end : end + 1])
                if sentence is not None:
                    found.append(sentence)
                self._at_line_start = False
                position = end
        self._tail = buffer[position:]
        return found

    def flush(self) -> list[Sentence]:
        """The sentence that only lacks its line end, if there is one. Half a sentence stays: the rest may come yet."""
        if not _WHOLE.fullmatch(self._tail):
            return []
        sentence = self._judge(self._tail, b"\n")
        self._tail = b""
        self._at_line_start = False
        return [] if sentence is None else [sentence]

    def _skip_comment(self, buffer: bytes, position: int) -> int:
        end = _COMMENT_END.search(buffer, position)
        if end is None:
            return len(buffer)
        self._in_comment = False
        return end.start()

    def _skip_noise(self, buffer: bytes, position: int) -> int:
        if buffer[position] in _LINE_ENDS:
            self._at_line_start = True
            return position + 1
        if self._at_line_start and buffer[position] == ord("#"):
            self._in_comment = True
            self._at_line_start = False
            return position + 1
        self._at_line_start = False
        found = _NOISE_END.search(buffer, position)
        end = len(buffer) if found is None else found.start()
        self.noise_bytes += end - position
        return end

    def _judge(self, piece: bytes, stopped_by: bytes) -> Sentence | None:
        """A piece from its `$` up to what stopped it; a stop byte that is missing means that the length did."""
        whole = _WHOLE.fullmatch(piece)
        if whole is not None:
            body, digits = whole.groups()
            if reduce(xor, body) == int(digits, 16):
                address, *fields = body.decode("ascii").split(",")
                return Sentence(address, fields, len(body) + 4)
            self.refused["checksum"] += 1
        elif _LOOKS_LIKE_A_SENTENCE.match(piece) is None:
            self.noise_bytes += len(piece)
        else:
            self.refused[_why_not_whole(piece, stopped_by)] += 1
        return None


def _end_of_piece(buffer: bytes, start: int) -> int | None:
    """Where the piece that starts at `start` ends; None while that is not known."""
    found = _PIECE_END.search(buffer, start + 1, start + MAX_SENTENCE_BYTES)
    if found is not None:
        return found.start()
    return start + MAX_SENTENCE_BYTES if len(buffer) >= start + MAX_SENTENCE_BYTES else None


def _why_not_whole(piece: bytes, stopped_by: bytes) -> str:
    if len(piece) >= MAX_SENTENCE_BYTES:
        return "too_long"
    if stopped_by == b"$":
        return "interrupted"
    if stopped_by not in (b"\r", b"\n"):
        return "not_ascii"
    return "malformed" if b"*" in piece else "no_checksum"
