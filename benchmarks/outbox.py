"""What an hour of driving writes to the card: `python -m benchmarks.outbox [--folder DIR --device NAME] [--json]`.

Default settings: a sample a second with every OBD column, the journal every 5 s, a batch a minute, a receipt for each.
How long a put takes, a start with many batches, and the recovery of a damaged file, is told beside it.

`disk_mb_per_driving_hour` counts the 4 KiB blocks whose content changed between one commit and the next, in all files
of the folder: the least that a card with such blocks must write, whatever the file system adds. `baseline_mb_...`
counts the same for the outbox of the first version (pages of 4 KiB, the journal not compressed, a log that grows).
With `--device` (a block device with `--folder` on it, that nothing else writes to) the sectors that the kernel wrote in
the same hours are told too. The hours run at full speed: a file system that commits its own journal every 5 s, as ext4
does by default, adds up to 6 MB to an hour on the road; `commit=60` among the mount options takes most of that away.
"""

import argparse
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.batch import Batcher, Sealed
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_recovery import open_outbox
from wire.records import Receipt, Sample, SequenceRange, TimeQuality

UNIT = "PW000001"
_BLOCK = 4096
_JOURNAL_S, _BATCH_S, _HOUR_S = 5, 60, 3600
_BEGIN_MS = 1_795_421_700_000
_RECOVERED = 20_000  # two weeks of two hours a day without network, and as much again


class Blocks:
    """Counts changed blocks of all files in a folder; `count` False only lets the time pass."""

    def __init__(self, folder: Path, count: bool) -> None:
        self._folder, self._count = folder, count
        self._before: dict[str, bytes] = {}
        self.written = 0

    def look(self) -> None:
        """Called after each commit."""
        if not self._count:
            return
        now = {each.name: each.read_bytes() for each in self._folder.iterdir() if not each.name.endswith("-shm")}
        for name, data in now.items():
            before = self._before.get(name, b"")
            if data != before:
                starts = range(0, len(data), _BLOCK)
                self.written += sum(data[n : n + _BLOCK] != before[n : n + _BLOCK] for n in starts) * _BLOCK
        self._before = now


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--device", help="the block device of --folder, as in /sys/block")
    parser.add_argument("--data", type=Path, help="not used: nothing here depends on recordings")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        result = measure(Path(folder), arguments.device)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:36} {value}" for name, value in result.items()))
    return 0


def measure(folder: Path, device: str | None) -> dict[str, float]:
    """All figures."""
    places = [folder / name for name in ("counted", "timed", "first", "recovery")]
    for each in places:
        each.mkdir()
    before = _sectors(device)
    counted, _, _ = drive(places[0], count=True)
    between = _sectors(device)
    first = first_version(places[2])
    after = _sectors(device)
    _, put_ms, journal_ms = drive(places[1], count=False)
    result = {
        "disk_mb_per_driving_hour": round(counted / 1e6, 2),
        "baseline_mb_per_driving_hour": round(first / 1e6, 2),
        "put_ms_median": round(statistics.median(put_ms), 3),
        "journal_ms_median": round(statistics.median(journal_ms), 3),
    }
    if device:
        result["device_mb_per_driving_hour"] = round((between - before) / 1e6, 2)
        result["device_baseline_mb_per_driving_hour"] = round((after - between) / 1e6, 2)
    return result | recovery(places[3])


def drive(folder: Path, *, count: bool) -> tuple[int, list[float], list[float]]:
    """An hour: (bytes of changed blocks, ms of each put with a batch, ms of each with the journal only)."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    outbox = open_outbox(folder, UNIT, key.public_key()).outbox
    batcher = Batcher(key, outbox.sealed_before(UNIT), 1, _BATCH_S, 1e9)
    blocks, put_ms, journal_ms = Blocks(folder, count), list[float](), list[float]()
    blocks.look()
    blocks.written = 0  # the files as they are made once a boot and once a start
    for second in range(1, _HOUR_S + 1):
        batcher.add_sample(_sample(second))
        if second % _JOURNAL_S:
            continue
        sealed = batcher.seal({}) if second % _BATCH_S == 0 else ()
        body = batcher.open_body()
        began = time.perf_counter()
        outbox.put(sealed, body)
        (put_ms if sealed else journal_ms).append((time.perf_counter() - began) * 1000)
        blocks.look()
        if sealed:
            committed = (SequenceRange(1, sealed[-1].sequence),)
            outbox.receipt(Receipt(UNIT, outbox.boot, committed, _BEGIN_MS + second * 1000))
            blocks.look()
    outbox.close()
    return blocks.written, put_ms, journal_ms


def first_version(folder: Path) -> int:
    """The same hour as the first version of the outbox wrote it."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    made = Outbox.create(folder / "other.db", 1)
    batcher = Batcher(key, made.sealed_before(UNIT), 1, _BATCH_S, 1e9)
    made.close()
    inner = folder / "first"
    inner.mkdir()
    blocks = Blocks(inner, count=True)
    with closing(sqlite3.connect(inner / "outbox.db", isolation_level=None)) as db:
        db.execute("pragma journal_mode=wal")
        db.execute("pragma synchronous=full")
        db.execute("create table batches(sequence integer primary key, sealed blob, samples int, receipted_ms int)")
        db.execute("create index by_receipt on batches(receipted_ms, sequence)")
        db.execute("create table journal(id integer primary key, body blob)")
        db.execute("create table meta(name text primary key, value)")
        db.execute("insert into meta values('server_time_ms', 0)")
        blocks.look()
        blocks.written = 0
        for second in range(1, _HOUR_S + 1):
            batcher.add_sample(_sample(second))
            if second % _JOURNAL_S:
                continue
            sealed = batcher.seal({}) if second % _BATCH_S == 0 else ()
            db.execute("begin")
            for each in sealed:
                db.execute("insert into batches values(?, ?, ?, null)", [each.sequence, each.data, each.samples])
            if (body := batcher.open_body()) is None:
                db.execute("delete from journal")
            else:
                db.execute("insert or replace into journal values(1, ?)", [body])
            db.execute("commit")
            blocks.look()
            for each in sealed:
                db.execute("begin")
                db.execute("update batches set receipted_ms = ? where sequence = ?", [second, each.sequence])
                db.execute("update meta set value = ?", [second])
                db.execute("commit")
                blocks.look()
    return blocks.written


def recovery(folder: Path) -> dict[str, float]:
    """How long a start takes with many batches, and with the same file damaged."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    outbox = open_outbox(folder, UNIT, key.public_key()).outbox
    batcher = Batcher(key, outbox.sealed_before(UNIT), 1, _BATCH_S, 1e9)
    for n in range(0, _RECOVERED, 500):
        batches: list[Sealed] = []
        for _ in range(500):
            batcher.add_sample(_sample(n))
            batches += batcher.seal({})
        outbox.put(batches, None)
    outbox.close()
    began = time.perf_counter()
    open_outbox(folder, UNIT, key.public_key()).outbox.close()
    opened_s = time.perf_counter() - began
    path = folder / "outbox.db"
    with path.open("r+b") as file:
        file.write(bytes(100))
    began = time.perf_counter()
    recovered = open_outbox(folder, UNIT, key.public_key())
    recovered_s = time.perf_counter() - began
    assert recovered.told["recovered_batches"] == str(_RECOVERED)
    recovered.outbox.close()
    return {
        "batches": _RECOVERED,
        "open_s": round(opened_s, 3),
        "recovery_s": round(recovered_s, 3),
    }


def _sectors(device: str | None) -> int:
    """Bytes written to a block device since it is there; see Documentation/block/stat.rst of Linux."""
    return int(Path(f"/sys/block/{device}/stat").read_text().split()[6]) * 512 if device else 0


def _sample(second: int) -> Sample:
    """A restless drive, so that nothing is smaller here than on the road."""
    dice = random.Random(second)
    return Sample(
        mono_s=float(second) + dice.choice((0.0, 0.01)),
        time_utc_ms=_BEGIN_MS + second * 1000,
        time_quality=TimeQuality.GNSS,
        lat_deg=31.8 + second * 1.2e-4 + dice.gauss(0, 1e-5),
        lon_deg=117.2 + second * 0.8e-4 + dice.gauss(0, 1e-5),
        alt_m=37.0 + dice.gauss(0, 0.5),
        speed_mps=14.0 + dice.gauss(0, 1),
        course_deg=40.0 + dice.gauss(0, 2),
        fix_quality=1,
        satellites_used=dice.choice((17, 18, 19)),
        hdop=dice.choice((0.7, 0.8)),
        obd_speed_kmh=50 + dice.gauss(0, 3),
        engine_rpm=1800 + dice.gauss(0, 150),
        coolant_temp_c=90.0,
        engine_load_pct=40 + dice.gauss(0, 8),
        throttle_pct=20 + dice.gauss(0, 4),
        module_voltage_v=14.1 + dice.gauss(0, 0.05),
        fuel_level_pct=55.0,
        odometer_km=81_234.0 + second // 70,
        mil_on=0,
        dtc_count=0,
    )


if __name__ == "__main__":
    sys.exit(main())
