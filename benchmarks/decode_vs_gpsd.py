"""How many of gpsd's answers our NMEA reader reproduces, and how many a plain RMC/GGA reader does.

gpsd's regression suite keeps recorded receiver logs (`X.log`) with what gpsd makes of them (`X.log.chk.gz`: the
sentences, and after each the JSON report it caused). Taken are the logs that carry RMC, GGA, GLL or GNS, and of their
answers the TPV reports that hold a time and a position. A TPV is matched if our decode of the log has an epoch with the
same time of day, to the millisecond, and a position within 2e-6 degrees in latitude and longitude.

The other way round, `extra` counts our epochs with a position that appear in no TPV, timed or not.

The baseline takes every RMC with status A and every GGA with a quality other than 0 through pynmea2, checksum checked,
each as a position of its own: no epochs, no choice between sentences.

    python -m benchmarks.decode_vs_gpsd --data DIR --json      DIR: the data folder, or the folder with the *.log files
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pynmea2

from edge_agent.gnss.nmea import NmeaReader

TOLERANCE_DEG = 2e-6
CHUNK_BYTES = 4096
DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
_POSITION_SENTENCE = re.compile(rb"\$[A-Z]{2}(RMC|GGA|GLL|GNS),")
_TIME_OF_DAY = re.compile(r"T(\d\d):(\d\d):(\d\d)\.(\d{3})Z$")


@dataclass(frozen=True, slots=True)
class Place:
    """A position at a time of day; gpsd's untimed reports have no time."""

    time_of_day_ms: int | None
    lat_deg: float
    lon_deg: float


@dataclass(frozen=True, slots=True)
class LogResult:
    log: str
    answers: list[Place]
    missed: list[Place]
    missed_by_baseline: int
    epochs_with_position: int
    extra: list[Place]
    sentences: int
    seconds: float


def find_logs(data: Path) -> list[Path]:
    """The logs that have an answer and carry position sentences, wherever below `data` the suite lies."""
    for folder in (data / "telemetry" / "gpsd_nmea", data / "gpsd_nmea", data):
        logs = [log for log in sorted(folder.glob("*.log")) if _answer_of(log) is not None]
        if logs:
            return [log for log in logs if _POSITION_SENTENCE.search(log.read_bytes())]
    return []


def compare(log: Path) -> LogResult:
    started = time.perf_counter()
    epochs, sentences = _our_epochs(log.read_bytes())
    seconds = time.perf_counter() - started
    reports = list(_reports(log))
    answers = [place for place in reports if place.time_of_day_ms is not None]
    ours, plain = _by_time(epochs), _by_time(_plain_positions(log.read_bytes()))
    return LogResult(
        log=log.name,
        answers=answers,
        missed=[place for place in answers if not _is_among(place, ours[place.time_of_day_ms])],
        missed_by_baseline=sum(1 for place in answers if not _is_among(place, plain[place.time_of_day_ms])),
        epochs_with_position=len(epochs),
        extra=_extra(epochs, reports),
        sentences=sentences,
        seconds=seconds,
    )


def summary(results: Iterable[LogResult]) -> dict[str, Any]:
    results = list(results)
    answers = sum(len(result.answers) for result in results)
    missed = sum(len(result.missed) for result in results)
    baseline_missed = sum(result.missed_by_baseline for result in results)
    worst = sorted((result for result in results if result.missed), key=lambda result: -len(result.missed))
    extra = sorted((result for result in results if result.extra), key=lambda result: -len(result.extra))
    seconds = sum(result.seconds for result in results)
    return {
        "tpv": answers,
        "matched": answers - missed,
        "percent": _percent(answers - missed, answers),
        "baseline_rmc_gga_percent": _percent(answers - baseline_missed, answers),
        "logs": len(results),
        "worst": [{"log": result.log, "missed": len(result.missed), "tpv": len(result.answers)} for result in worst],
        "epochs_with_position": sum(result.epochs_with_position for result in results),
        "extra": sum(len(result.extra) for result in results),
        "extra_by_log": {result.log: len(result.extra) for result in extra},
        "sentences_per_second": round(sum(result.sentences for result in results) / seconds) if seconds else None,
    }


def _answer_of(log: Path) -> Path | None:
    candidates = (log.with_name(log.name + suffix) for suffix in (".chk.gz", ".chk"))
    return next((path for path in candidates if path.exists()), None)


def _reports(log: Path) -> Iterator[Place]:
    """gpsd's TPV reports with a position, in order."""
    answer = _answer_of(log)
    assert answer is not None
    text = gzip.decompress(answer.read_bytes()) if answer.suffix == ".gz" else answer.read_bytes()
    for line in text.splitlines():
        if not line.startswith(b'{"class":"TPV"'):
            continue
        report = json.loads(line)
        if "lat" in report and "lon" in report:
            yield Place(_time_of_day_ms(report.get("time")), report["lat"], report["lon"])


def _time_of_day_ms(text: str | None) -> int | None:
    match = _TIME_OF_DAY.search(text or "")
    if match is None:
        return None
    hours, minutes, seconds, milliseconds = (int(part) for part in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds


def _our_epochs(data: bytes) -> tuple[list[Place], int]:
    reader = NmeaReader()
    fixes = [fix for at in range(0, len(data), CHUNK_BYTES) for fix in reader.feed(data[at : at + CHUNK_BYTES])]
    fixes += reader.feed(b"\n") + reader.flush()
    places = [
        Place(fix.time_of_day_ms, fix.lat_deg, fix.lon_deg)
        for fix in fixes
        if fix.lat_deg is not None and fix.lon_deg is not None
    ]
    counts = reader.counts
    return places, sum(counts.accepted.values()) + counts.accepted_unused + sum(counts.refused.values())


def _plain_positions(data: bytes) -> Iterator[Place]:
    for line in data.split(b"\n"):
        try:
            message = pynmea2.parse(line.decode("ascii").strip(), check=True)
            if (message.sentence_type == "RMC" and message.status == "A") or (
                message.sentence_type == "GGA" and message.gps_qual
            ):
                moment = message.timestamp
                seconds = (moment.hour * 60 + moment.minute) * 60 + moment.second
                yield Place(seconds * 1000 + moment.microsecond // 1000, message.latitude, message.longitude)
        except (ValueError, AttributeError, TypeError):  # cut, foreign or empty lines
            continue


def _by_time(places: Iterable[Place]) -> dict[int | None, list[Place]]:
    found: dict[int | None, list[Place]] = defaultdict(list)
    for place in places:
        found[place.time_of_day_ms].append(place)
    return found


def _is_among(place: Place, others: Iterable[Place]) -> bool:
    return any(
        abs(place.lat_deg - other.lat_deg) <= TOLERANCE_DEG and abs(place.lon_deg - other.lon_deg) <= TOLERANCE_DEG
        for other in others
    )


def _extra(epochs: Iterable[Place], reports: Iterable[Place]) -> list[Place]:
    """Our positions that gpsd never reported; an untimed report (no date yet) excuses an epoch of any time."""
    theirs = _by_time(reports)
    return [epoch for epoch in epochs if not _is_among(epoch, theirs[epoch.time_of_day_ms] + theirs[None])]


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 3) if whole else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("PLEDGEWATCH_DATA", DEFAULT_DATA)))
    parser.add_argument("--json", action="store_true", help="only the last line, one JSON object")
    arguments = parser.parse_args()
    logs = find_logs(arguments.data)
    if not logs:
        print(json.dumps({"skipped": f"no gpsd logs with answers below {arguments.data}"}))
        return 0
    results = [compare(log) for log in logs]
    if not arguments.json:
        for result in results:
            matched = len(result.answers) - len(result.missed)
            print(f"{result.log:36} {matched:5} of {len(result.answers):5}   extra {len(result.extra):4}")
    print(json.dumps(summary(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
