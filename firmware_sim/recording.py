"""A recorded NMEA log as timed events: the bytes untouched, paced by the times of day in its sentences. Pure.

Every byte is played as recorded, corrupted lines and binary noise included, with one exception: a block of lines that
begin with `#` at the very top is the recorder's note about the file, never sent by a receiver, and is left out. So what
is sent is always the file from some line on to its last byte.
"""

import re
from collections.abc import Sequence
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
    """Events in order, with one line each; `clock_jumps` counts the steps in time that were shortened."""

    events: tuple[GnssBytes, ...]
    duration_s: float
    clock_jumps: int
    is_timed: bool  # False: no time was found, so it is paced as 9600 baud


def read_recording(data: bytes) -> Recording:
    """A whole log file → what to send when. Raises RecordingError when no sentence is in it."""
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
