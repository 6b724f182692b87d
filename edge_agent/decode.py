"""`pledgewatch-agent decode FILE [--json]`: what the agent would read out of a recorded receiver log.

The log goes through the `NmeaReader` that the live agent uses. What becomes of it is in `DECODE_HELP`, the text of the
command's own `--help`.
"""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from edge_agent.gnss.nmea import Fix, NmeaCounts, NmeaReader

DECODE_HELP = """\
Reads an NMEA 0183 log (plain, gzip if its name ends in .gz, - for standard input) and prints the receiver's epochs.

With --json one object a line, with exactly these keys, null where the receiver did not say or had no valid fix:
  time_utc         ISO 8601 in UTC with milliseconds, 2026-11-23T20:44:01.000Z. While the log has given no date yet,
                   the time of day alone: T20:44:01.000Z
  lat_deg lon_deg  WGS-84 degrees
  alt_m            metres above mean sea level
  speed_mps        metres per second
  course_deg       degrees from true north
  fix_quality      GGA quality indicator: 0 none, 1 GNSS, 2 differential, 4 RTK, 5 float RTK, 6 estimated, 8 simulated
  satellites_used  count
  hdop             horizontal dilution of precision
Two lines have the same time only if the receiver gave that time two positions; the more precise one comes last.

The last line on standard error counts the sentences: accepted, refused by reason, bytes that were not NMEA.
Exit status 0, or 2 if the file cannot be read.
"""
CHUNK_BYTES = 4096  # small, so that a pipe from a live receiver shows its epochs soon
_COLUMNS = (
    # heading, width, key
    ("time (UTC)", 24, "time_utc"),
    ("latitude", 13, "lat_deg"),
    ("longitude", 14, "lon_deg"),
    ("alt m", 9, "alt_m"),
    ("m/s", 8, "speed_mps"),
    ("course", 7, "course_deg"),
    ("fix", 4, "fix_quality"),
    ("sats", 5, "satellites_used"),
    ("hdop", 6, "hdop"),
)


def decode_file(path: Path, out: TextIO, err: TextIO, as_json: bool) -> int:
    """Epochs of the log at `path` to `out`, counts (or one line saying what is wrong) to `err`; the exit status."""
    reader = NmeaReader()
    epochs = epochs_with_position = 0
    if not as_json:
        print("".join(heading.rjust(width) for heading, width, _ in _COLUMNS), file=out)
    try:
        for fix in _fixes(path, reader):
            epochs += 1
            epochs_with_position += fix.lat_deg is not None
            row = _row(fix)
            print(json.dumps(row) if as_json else _table_line(row), file=out)
    except _UnreadableError as problem:
        print(f"pledgewatch-agent decode: {problem}", file=err)
        return 2
    totals = _totals(reader.counts, epochs, epochs_with_position)
    print(json.dumps(totals) if as_json else _totals_line(totals), file=err)
    return 0


class _UnreadableError(Exception):
    """The log cannot be read (to its end); the text says which one and why."""


def _fixes(path: Path, reader: NmeaReader) -> Iterator[Fix]:
    for chunk in _chunks(path):
        yield from reader.feed(chunk)
    yield from reader.feed(b"\n")  # so that a sentence cut by the end of the file is counted
    yield from reader.flush()


def _chunks(path: Path) -> Iterator[bytes]:
    if str(path) == "-":
        yield from iter(lambda: sys.stdin.buffer.read(CHUNK_BYTES), b"")
        return
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as log:
            while chunk := log.read(CHUNK_BYTES):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise _UnreadableError(f"{path}: damaged gzip file: {problem}") from problem
    except OSError as problem:
        raise _UnreadableError(f"{path}: {problem.strerror or problem}") from problem


def _row(fix: Fix) -> dict[str, Any]:
    return {
        "time_utc": _time_text(fix),
        "lat_deg": _rounded(fix.lat_deg, 9),
        "lon_deg": _rounded(fix.lon_deg, 9),
        "alt_m": fix.alt_m,
        "speed_mps": _rounded(fix.speed_mps, 4),
        "course_deg": fix.course_deg,
        "fix_quality": fix.fix_quality,
        "satellites_used": fix.satellites_used,
        "hdop": fix.hdop,
    }


def _time_text(fix: Fix) -> str | None:
    if fix.time_utc is not None:
        return fix.time_utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{fix.time_utc.microsecond // 1000:03d}Z"
    if fix.time_of_day_ms is None:
        return None
    clock = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(milliseconds=fix.time_of_day_ms)
    return clock.strftime("T%H:%M:%S.") + f"{clock.microsecond // 1000:03d}Z"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _table_line(row: dict[str, Any]) -> str:
    return "".join(_cell(row[key]).rjust(width) for _, width, key in _COLUMNS)


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _totals(counts: NmeaCounts, epochs: int, epochs_with_position: int) -> dict[str, Any]:
    return {
        "accepted": sum(counts.accepted.values()) + counts.accepted_unused,
        "accepted_by_type": dict(sorted(counts.accepted.items())),
        "unused": counts.accepted_unused,
        "refused": dict(sorted(counts.refused.items())),
        "noise_bytes": counts.noise_bytes,
        "epochs": epochs,
        "epochs_with_position": epochs_with_position,
    }


def _totals_line(totals: dict[str, Any]) -> str:
    refused = totals["refused"]
    reasons = ", ".join(f"{reason} {count}" for reason, count in refused.items())
    return (
        f"{totals['epochs']} epochs, {totals['epochs_with_position']} with a position; "
        f"sentences: {totals['accepted']} accepted ({totals['unused']} of types that are not read), "
        f"{sum(refused.values())} refused{f' ({reasons})' if reasons else ''}; "
        f"{totals['noise_bytes']} bytes of other data"
    )
