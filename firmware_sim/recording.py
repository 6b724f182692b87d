"""Recordings as timed bytes: NMEA logs, and captures of a port with the time of every piece. Pure.

A log is paced by the times of day in its sentences; a capture (`pledgewatch-sim record`) by its own times.

Every byte is played as recorded, corrupted lines and binary noise included, with one exception: a block of lines that
begin with `#` at the very top is the recorder's note about the file, never sent by a receiver, and is left out. So what
is sent is always the file from some line on to its last byte.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firmware_sim.timeline import GnssBytes

_DAY_S = 86400.0
_LONGEST_PAUSE_S = 120.0  # a longer step is the receiver's clock being set, or the recorder being switched off
_JUMP_S = 1.0  # what such a step is played as
_BYTES_PER_S = 960.0  # 9600 baud: the pace of a recording without any time in it

# $ttRMC,hhmmss.ss and alike have the time first, GLL has it fifth (NMEA 0183 4.11); anywhere in a line, because a
# sentence may follow binary noise. Groups: what the checksum covers, time, checksum.
_TIMED = re.compile(
    rb"\$((?:[A-Z]{2}(?:RMC|GGA|GNS|ZDA),|[A-Z]{2}GLL,(?:[^,*]*,){4})(\d{6}(?:\.\d+)?)[^*$]*)\*([0-9A-Fa-f]{2})"
)
_SENTENCE = re.compile(rb"\$[A-Z]{2,}[A-Z0-9]*,")


class RecordingError(ValueError):
    """Not a recording that can be played; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Events in order, one a line or a capture's piece; `clock_jumps` counts the steps in time that were shortened."""

    events: tuple[GnssBytes, ...]
    duration_s: float
    clock_jumps: int
    is_timed: bool  # False: no time was found, so it is paced as 9600 baud


def read_recording(data: bytes) -> Recording:
    """A whole log or capture → what to send when. Raises RecordingError when no sentence is in it."""
    if is_capture(data):
        return _as_recording(read_capture(data))
    body = data[_note_length(data) :]
    if not _SENTENCE.search(body):
        raise RecordingError("there is no sentence such as $GNRMC,... in it, so it is no NMEA recording")
    lines = re.findall(rb"[^\n]*\n|[^\n]+", body)  # only LF ends a line: noise may hold CR, and every byte is kept
    times = [_time_of_day_s(line, check=True) for line in lines]
    if all(time is None for time in times):
        times = [_time_of_day_s(line, check=False) for line in lines]
    if all(time is None for time in times):
        return _paced_by_bytes(lines)
    return _paced_by_times(lines, times)


# A capture is text: this line, a line `# {JSON}` about the port, then a line for each piece: seconds since the begin,
# `<` from the device or `>` to it, and the bytes in Python's escapes (\\r, \\n, \\x00), which leave ASCII readable.
_CAPTURE = b"# pledgewatch capture 1\n"
_PIECE = re.compile(rb"(\d+\.\d{6}) ([<>]) ([ -~]+)")


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that came at once, `t_s` seconds after the capture's begin."""

    t_s: float
    from_device: bool
    data: bytes

    def line(self) -> bytes:
        """As it stands in a capture."""
        text = self.data.decode("latin-1").encode("unicode_escape")
        return b"%.6f %s %s\n" % (self.t_s, b"<" if self.from_device else b">", text)


@dataclass(frozen=True, slots=True)
class Capture:
    """What a port said, and what it was told; `facts` are what the recorder noted of it."""

    facts: Mapping[str, str]
    pieces: tuple[Piece, ...]


def capture_head(facts: Mapping[str, str]) -> bytes:
    """What a capture begins with."""
    return _CAPTURE + b"# " + json.dumps(dict(facts), sort_keys=True).encode() + b"\n"


def is_capture(data: bytes) -> bool:
    """Whether the file says that it is a capture."""
    return data.startswith(_CAPTURE)


def read_capture(data: bytes) -> Capture:
    """A capture; a last line that was cut off with its recorder is left out. Raises RecordingError."""
    if not is_capture(data):
        raise RecordingError("its first line is not that of a capture made by 'pledgewatch-sim record'")
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")[1:-1]
    try:
        facts = json.loads(lines[0].removeprefix(b"# "))
        return Capture({str(name): str(value) for name, value in facts.items()}, _pieces(lines[1:]))
    except (IndexError, AttributeError, ValueError) as error:
        raise RecordingError(f"it is a damaged capture: {error}") from None


def _pieces(lines: Sequence[bytes]) -> tuple[Piece, ...]:
    pieces, last_s = [], 0.0
    for number, line in enumerate(lines, 3):
        found = _PIECE.fullmatch(line)
        if found is None or float(found[1]) < last_s:
            raise ValueError(f"line {number} is no piece in order of time")
        last_s = float(found[1])
        pieces.append(Piece(last_s, found[2] == b"<", found[3].decode("unicode_escape").encode("latin-1")))
    return tuple(pieces)


def _as_recording(capture: Capture) -> Recording:
    """The receiver's side, from its first byte on."""
    heard = [piece for piece in capture.pieces if piece.from_device]
    if not _SENTENCE.search(b"".join(piece.data for piece in heard)):
        raise RecordingError("there is no sentence such as $GNRMC,... in it, so it is no receiver's capture")
    begin_s = heard[0].t_s
    events = tuple(GnssBytes(piece.t_s - begin_s, piece.data) for piece in heard)
    return Recording(events, events[-1].t_s, 0, is_timed=True)


def _note_length(data: bytes) -> int:
    """Length of the block of `#` lines at the top."""
    length = 0
    while data[length : length + 1] == b"#":
        length = data.find(b"\n", length) + 1 or len(data)
    return length


def _time_of_day_s(line: bytes, *, check: bool) -> float | None:
    """Seconds of the day in the last timed sentence of a line; with `check` its checksum must be right."""
    found = None
    for match in _TIMED.finditer(line):
        covered, clock, checksum = match.groups()
        hours, minutes, seconds = int(clock[:2]), int(clock[2:4]), float(clock[4:])
        if hours < 24 and minutes < 60 and seconds < 61 and (not check or _xor(covered) == int(checksum, 16)):
            found = hours * 3600 + minutes * 60 + seconds
    return found


def _xor(covered: bytes) -> int:
    checksum = 0
    for byte in covered:
        checksum ^= byte
    return checksum


def _paced_by_times(lines: Sequence[bytes], times: Sequence[float | None]) -> Recording:
    """A line without a time goes out with the line before it. Time never runs backwards."""
    events, offset_s, jumps, last_s = [], 0.0, 0, None
    for line, time_s in zip(lines, times, strict=True):
        if time_s is not None and last_s is not None:
            step_s = (time_s - last_s + _DAY_S / 2) % _DAY_S - _DAY_S / 2  # across midnight too
            if abs(step_s) > _LONGEST_PAUSE_S:
                step_s, last_s = _JUMP_S, None
                jumps += 1
            offset_s += max(0.0, step_s)
            last_s = time_s if last_s is None or step_s > 0 else last_s
        elif time_s is not None:
            last_s = time_s
        events.append(GnssBytes(offset_s, line))
    return Recording(tuple(events), offset_s, jumps, is_timed=True)


def _paced_by_bytes(lines: Sequence[bytes]) -> Recording:
    events, sent = [], 0
    for line in lines:
        events.append(GnssBytes(sent / _BYTES_PER_S, line))
        sent += len(line)
    return Recording(tuple(events), sent / _BYTES_PER_S, 0, is_timed=False)
