"""Bytes a sample on the wire, next to JSON, on a drive: `python -m benchmarks.wire_size [--nmea FILE] [--json]`.

The drive goes through the agent's own reading, and leaves in batches as a unit sends them: 60 samples, Ed25519 seal,
link, identity; the body alone is told beside it, as it is folded and as zlib would. Peers on the same samples: one JSON
object a position (as simple MQTT publishers send it) and the same JSON in batches of 60 under zlib, neither signed.
MQTT header and topic are counted for all; TCP and TLS for none.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.gnss.nmea import NmeaReader, best_of_each_time
from edge_agent.sample import Fuser
from edge_agent.timing.clock import UtcClock
from wire.codec import encode_body
from wire.fold import fold
from wire.records import Body, Sample
from wire.seal import Identity, link_to, seal_batch
from wire.topics import BATCH

UNIT = "PW000001"
ROOT = Path(__file__).parents[1]
_RECORDED = ROOT.parent / "shared" / "data" / "telemetry" / "ublox_f9k_drive"


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nmea", type=Path, help="an NMEA log (plain or .gz)")
    parser.add_argument("--data", type=Path, help="folder with ublox_f9k_drive logs instead")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    recordings = sorted((arguments.data or _RECORDED).rglob("*ublox-F9K*.nmea.gz"))
    path = arguments.nmea or next(iter(recordings), None)
    with tempfile.TemporaryDirectory() as folder:
        source = "recorded" if path else "simulated"
        path = path or _simulated(Path(folder))
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    result = {"source": source, **measure(data)}
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:28} {value}" for name, value in result.items()))
    return 0


def measure(nmea: bytes) -> dict[str, float]:
    """Bytes a sample, by way of sending."""
    samples = list(_samples(nmea))
    minutes = [Body(1, tuple(samples[first : first + 60])) for first in range(0, len(samples), 60)]
    key, link, sealed = Ed25519PrivateKey.generate(), b"", list[bytes]()
    for sequence, body in enumerate(minutes, 1):
        sealed.append(seal_batch(key, Identity(UNIT, b"b" * 16, 1, sequence), link, body))
        link = link_to(sealed[-1])
    bodies = [encode_body(body) for body in minutes]
    ours = sum(map(_published, sealed))
    rows = [_row(sample) for sample in samples]
    batches = [rows[first : first + 60] for first in range(0, len(rows), 60)]
    one_by_one = sum(_published(json.dumps(row).encode()) for row in rows)
    zipped = sum(_published(zlib.compress(json.dumps(batch).encode(), 9)) for batch in batches)
    return {
        "samples": len(samples),
        "bytes_per_sample": round(ours / len(samples), 2),
        "body_bytes_per_sample": round(sum(len(fold(body)) for body in bodies) / len(samples), 2),
        "body_zlib_bytes_per_sample": round(sum(len(zlib.compress(body, 9)) for body in bodies) / len(samples), 2),
        "json_bytes_per_sample": round(one_by_one / len(samples), 2),
        "json_zlib_bytes_per_sample": round(zipped / len(samples), 2),
        "ratio_to_json": round(ours / one_by_one, 4),
        "ratio_to_json_zlib": round(ours / zipped, 4),
    }


def _samples(nmea: bytes) -> Iterator[Sample]:
    """What the agent makes of a receiver's log, a second after the other."""
    reader, fuser, clock = NmeaReader(), Fuser(), UtcClock(plays_recording=True)
    fixes = best_of_each_time([*reader.feed(nmea), *reader.flush()])
    begin = next(fix.time_utc for fix in fixes if fix.time_utc is not None)
    for fix in fixes:
        if fix.time_utc is None:
            continue
        mono_s = 100.0 + (fix.time_utc - begin).total_seconds()
        clock = clock.told_by_gnss(fix.time_utc, mono_s)
        if (sample := fuser.on_fix(fix, mono_s, clock)) is not None:
            yield sample


def _row(sample: Sample) -> dict[str, object]:
    return {name: value for name, value in asdict(sample).items() if value is not None}


def _published(payload: bytes) -> int:
    """MQTT 3.1.1 PUBLISH at QoS 1: type, length, topic with its length, packet id, payload."""
    rest = 2 + len(BATCH.of(UNIT)) + 2 + len(payload)
    return 1 + (1 if rest < 128 else 2) + rest


def _simulated(folder: Path) -> Path:
    path = folder / "drive.nmea"
    command = [
        sys.executable,
        "-m",
        "firmware_sim",
        "drive",
        "--seed",
        "1",
        "--duration",
        "1200",
        "--nmea-out",
        str(path),
    ]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
