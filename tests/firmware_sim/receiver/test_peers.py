"""Independent readers make the same positions of the sentences as we meant: gpsd and pynmeagps."""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.receiver.settings import MAKES, ReceiverFaults
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.trip import roam
from tests.firmware_sim.receiver.listening import START, Second, between, listen, receiver

GPSD = shutil.which("gpsd") or shutil.which("gpsd", path="/usr/sbin")
SECONDS = 90.0


def a_drive(make: str) -> list[Second]:
    """A cold start, a minute of driving, a tunnel of ten seconds."""
    sender = receiver(5, make=make, start="cold")
    return listen(sender, roam(CITIES["wuhan"], 5, SECONDS), between(60, 70, ReceiverFaults(tunnel=True)))


def as_pynmeagps_reads(drive: list[Second]) -> dict[datetime, tuple[float, float, float]]:
    """Time → latitude, longitude and speed in m/s of every valid RMC."""
    found = {}
    for second in drive:
        rmc = second.one("RMC")
        if rmc.status == "A":
            found[datetime.combine(rmc.date, rmc.time, UTC)] = (rmc.lat, rmc.lon, rmc.spd * 1852 / 3600)
    return found


@contextlib.contextmanager
def gpsd_fed_with(data: bytes, folder: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """gpsd reading `data` from a TCP feed, which begins when gpsd says that it is watched; what gpsd reports."""
    assert GPSD is not None
    watched = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as feed, (folder / "gpsd.log").open("wb") as log:
        with socket.create_server(("127.0.0.1", 0)) as reserved:
            port = reserved.getsockname()[1]

        def serve() -> None:
            reader, _ = feed.accept()
            with reader:
                watched.wait(30)
                with contextlib.suppress(OSError):
                    reader.sendall(data)
                    reader.recv(1)  # until gpsd goes

        feeding = threading.Thread(target=serve, daemon=True)
        feeding.start()
        source = f"tcp://127.0.0.1:{feed.getsockname()[1]}"
        daemon = subprocess.Popen([GPSD, "-N", "-n", "-b", "-S", str(port), source], stdout=log, stderr=log)
        try:
            with _connected(port, daemon) as client:
                client.sendall(b'?WATCH={"enable":true,"json":true};\n')
                yield _reports(client, watched)
        finally:
            daemon.terminate()
            daemon.wait(10)
            feeding.join(10)


def _connected(port: int, daemon: "subprocess.Popen[bytes]") -> socket.socket:
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection(("127.0.0.1", port), timeout=20)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(0.05)
            break
    raise AssertionError(f"gpsd does not listen (exit status {daemon.poll()})")


def _reports(client: socket.socket, watched: threading.Event) -> Iterator[dict[str, Any]]:
    with client.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            report = json.loads(line)
            if report["class"] == "WATCH":
                watched.set()
            yield report


@pytest.mark.skipif(GPSD is None, reason="gpsd is not installed (Debian package gpsd)")
@pytest.mark.parametrize("make", MAKES)
def test_gpsd_makes_the_same_positions(make: str, tmp_path: Path) -> None:
    drive = a_drive(make)
    expected = as_pynmeagps_reads(drive)
    data = b"".join(line for second in drive for line in second.raw)
    del expected[max(expected)]
    found, satellites = {}, 0
    with gpsd_fed_with(data, tmp_path) as reports:
        for report in reports:
            if report["class"] == "TPV" and report["mode"] >= 2 and "time" in report:
                time = datetime.fromisoformat(report["time"])
                if time > max(expected):  # the last epoch of all only shows that the one before is complete
                    break
                found[time] = (report["lat"], report["lon"], report.get("speed"))
            if report["class"] == "SKY":
                satellites = max(satellites, len(report.get("satellites", ())))
    assert len(found) >= 0.9 * len(expected)
    assert found.keys() <= expected.keys()
    for time, (lat, lon, speed) in found.items():
        assert (lat, lon) == pytest.approx(expected[time][:2], abs=2e-7)
        assert speed is None or speed == pytest.approx(expected[time][2], abs=0.02)
    assert satellites >= 20


@pytest.mark.parametrize("make", MAKES)
def test_pynmeagps_makes_the_positions_that_were_meant(make: str) -> None:
    drive = a_drive(make)
    found = as_pynmeagps_reads(drive)
    assert 35 < len(found) < 60
    assert all(abs(offset) < 20 for second in drive if second.has_fix for offset in second.error_m)
    assert all((time - START).total_seconds() < 60 or (time - START).total_seconds() >= 70 for time in found)
    for second in drive:
        if second.has_fix:
            rmc, gga = second.one("RMC"), second.one("GGA")
            assert (rmc.lat, rmc.lon, rmc.time) == (gga.lat, gga.lon, gga.time)
