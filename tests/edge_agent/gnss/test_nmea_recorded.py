"""Recorded receivers against independent readers: gpsd's regression suite, and pynmeagps on a u-blox F9K drive."""

from __future__ import annotations

import gzip
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pynmeagps
import pytest

from benchmarks.decode_vs_gpsd import LogResult, compare, find_logs, summary
from edge_agent.gnss.nmea import NmeaReader

pytestmark = pytest.mark.shared
REPOSITORY = Path(__file__).resolve().parents[3]
DIFFERENCES = tomllib.loads((Path(__file__).parent / "gpsd_differences.toml").read_text())


@pytest.fixture(scope="module")
def gpsd_results(telemetry: Path) -> list[LogResult]:
    logs = find_logs(telemetry)
    if not logs:
        pytest.skip(f"no gpsd logs with answers below {telemetry}")
    return [compare(log) for log in logs]


def test_gpsd_agrees(gpsd_results: list[LogResult]) -> None:
    result = summary(gpsd_results)
    assert result["tpv"] > 0
    assert result["percent"] >= 99.5, result["worst"]
    assert result["percent"] > result["baseline_rmc_gga_percent"]


def test_every_difference_from_gpsd_is_explained(gpsd_results: list[LogResult]) -> None:
    missed = {(result.log, place.time_of_day_ms) for result in gpsd_results for place in result.missed}
    assert missed == {(log, time_of_day_ms) for log, time_of_day_ms, _ in DIFFERENCES["missed"]}
    assert {result.log: len(result.extra) for result in gpsd_results if result.extra} == {
        log: count for log, (count, _) in DIFFERENCES["extra"].items()
    }
    assert {reason for _, reason in DIFFERENCES["extra"].values()} == set(DIFFERENCES["reasons"])


def test_gpsd_takes_no_sentence_without_a_checksum_either(telemetry: Path) -> None:
    """The HP 58534A sends GGA and ZDA without checksums; gpsd's recorded answer to its log is empty."""
    log = telemetry / "gpsd_nmea" / "hp58534a.log"
    assert b'"TPV"' not in gzip.decompress(log.with_name(log.name + ".chk.gz").read_bytes())
    reader = NmeaReader()
    assert reader.feed(log.read_bytes()) + reader.flush() == []
    assert reader.counts.refused["no_checksum"] > 0


@pytest.fixture(scope="module")
def drive(telemetry: Path) -> bytes:
    recordings = sorted((telemetry / "ublox_f9k_drive").glob("*F9K*.nmea.gz"))
    if not recordings:
        pytest.skip(f"no u-blox F9K drive below {telemetry}")
    return gzip.decompress(recordings[0].read_bytes())


def test_a_drive_comes_out_whole_and_exact(drive: bytes) -> None:
    """Every second once, at the position of its sentences as pynmeagps reads them."""
    expected: dict[int, set[tuple[float, float]]] = defaultdict(set)
    for line in drive.splitlines(keepends=True):
        if line[3:6] in (b"RMC", b"GGA", b"GLL"):
            message = pynmeagps.NMEAReader.parse(line)
            moment = message.time
            expected[(moment.hour * 60 + moment.minute) * 60 + moment.second].add((message.lat, message.lon))
    assert len(expected) > 1600
    assert all(len(places) == 1 for places in expected.values())

    reader = NmeaReader()
    fixes = [fix for at in range(0, len(drive), 777) for fix in reader.feed(drive[at : at + 777])] + reader.flush()
    assert [fix.time_of_day_ms for fix in fixes] == [second * 1000 for second in sorted(expected)]
    for fix, second in zip(fixes, sorted(expected), strict=True):
        ((lat_deg, lon_deg),) = expected[second]
        assert fix.lat_deg == pytest.approx(lat_deg, abs=1e-7)
        assert fix.lon_deg == pytest.approx(lon_deg, abs=1e-7)
        assert fix.time_utc is not None
        assert fix.time_utc.date().isoformat() == "2020-02-07"


def test_the_corrupted_lines_of_the_drive_are_refused_and_place_nothing(drive: bytes) -> None:
    corrupted = [line for line in drive.splitlines(keepends=True) if not _pynmeagps_takes(line)]
    assert len(corrupted) == 13
    whole, alone = NmeaReader(), NmeaReader()
    whole.feed(drive)
    assert sum(whole.counts.refused.values()) == 13
    assert whole.counts.refused == {"checksum": 13}
    assert whole.counts.noise_bytes == 0
    assert alone.feed(b"".join(corrupted)) + alone.flush() == []


def _pynmeagps_takes(line: bytes) -> bool:
    try:
        pynmeagps.NMEAReader.parse(line)
    except (pynmeagps.NMEAParseError, pynmeagps.NMEATypeError):
        return False
    return True


def test_odd_lines_of_other_receivers_place_nothing_that_pynmeagps_would_not(telemetry: Path) -> None:
    """Small logs with deliberate faults: every position is one that pynmeagps finds in a good sentence."""
    logs = sorted((telemetry / "pynmeagps_logs").glob("*.log"))
    if not logs:
        pytest.skip(f"no pynmeagps logs below {telemetry}")
    placed = 0
    for log in logs:
        data = log.read_bytes()
        theirs = _pynmeagps_places(data)
        reader = NmeaReader()
        for fix in reader.feed(data) + reader.flush():
            if fix.lat_deg is not None and fix.lon_deg is not None:
                assert (round(fix.lat_deg, 7), round(fix.lon_deg, 7)) in theirs, log.name
                placed += 1
    assert placed >= 10


def _pynmeagps_places(data: bytes) -> set[tuple[float, float]]:
    places = set()
    for line in re.findall(rb"\$[A-Z]{2}(?:RMC|GGA|GLL|GNS),[ -#%-~]*", data):
        if _pynmeagps_takes(line + b"\r\n"):
            message = pynmeagps.NMEAReader.parse(line + b"\r\n")
            places.add((round(message.lat or 0.0, 7), round(message.lon or 0.0, 7)))
    return places
