"""Bytes a sample on the wire, next to JSON, on a drive: `python -m benchmarks.wire_size [--nmea FILE] [--json]`.

The drive goes through the agent's own pipeline, so the batches are those that a unit would send: 60 samples, Ed25519
seal, link, identity. Peers on the same samples: one JSON object a position (as simple MQTT publishers send it) and the
same JSON in batches of 60 under zlib, neither signed. MQTT header and topic are counted for all; TCP and TLS for none.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import zlib
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.batch import Batcher, SealedBefore
from edge_agent.pipeline import Pipeline
from wire.codec import decode_body
from wire.records import Sample
from wire.seal import stored_body
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
    batcher = Batcher(Ed25519PrivateKey.generate(), SealedBefore(UNIT, b"b" * 16, 1), 1, 60, 1e9)
    pipeline = Pipeline(batcher)
    sealed = [*pipeline.on_gnss(nmea, 1.0), *pipeline.on_gnss_silence(2.0), *pipeline.finish()]
    bodies = [decode_body(stored_body(each.data)) for each in sealed]
    samples = [sample for body in bodies for sample in body.samples]
    ours = sum(_published(each.data) for each in sealed)
    rows = [_row(sample) for sample in samples]
    batches = [rows[first : first + 60] for first in range(0, len(rows), 60)]
    one_by_one = sum(_published(json.dumps(row).encode()) for row in rows)
    folded = sum(_published(zlib.compress(json.dumps(batch).encode(), 9)) for batch in batches)
    return {
        "samples": len(samples),
        "bytes_per_sample": round(ours / len(samples), 2),
        "json_bytes_per_sample": round(one_by_one / len(samples), 2),
        "json_zlib_bytes_per_sample": round(folded / len(samples), 2),
        "ratio_to_json": round(ours / one_by_one, 4),
        "ratio_to_json_zlib": round(ours / folded, 4),
    }


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
