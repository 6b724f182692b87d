"""Bytes an hour of driving, full and thin, and how far off the track is: `python -m benchmarks.thinning [--json]`.

Recorded drives go second by second through the agent's own `Sampler`, and what it gives out is sealed as a unit seals
it: 60 samples a batch, Ed25519, link, identity, MQTT header; no TCP or TLS. An hour counts where the vehicle drives.
`off_m` is the greatest distance of a left-out position from the straight line between the kept ones, each at its own
time; a reader that draws straight lines is off by no more. Peer: every fifth second, which costs a fifth and promises
nothing.

The recordings repeat positions and OBD values for seconds; the receiver at 1 Hz without OBD (ublox_f9k_drive) and the
car polled each second (kit_obd2) are the two ends between which a real unit lies.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.recorded_drives import Drive, drives
from edge_agent.batch import Batcher, SealedBefore
from edge_agent.rules.geometry import metres_between
from edge_agent.sampling import OBD_STEPS, Sampler, SamplingSettings
from wire.records import Sample
from wire.topics import BATCH

DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
SOURCES = ("ublox_f9k_drive", "ved_sample", "rsk_twizy_ev", "obd_gps_19drivers", "kit_obd2")
MOST_HOURS = 4.0  # of each source
UNIT = "PW000001"


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with telemetry/")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    if not (arguments.data / "telemetry").is_dir():
        print(f"no recorded data in {arguments.data}", file=sys.stderr)
        return 1
    result = {}
    for source in SOURCES:
        chosen = _some(arguments.data, source)
        result[source] = {name: _measure(chosen, way) for name, way in WAYS.items()}
        without_obd = {name: _measure(chosen, way, without_obd=True) for name, way in WAYS.items()}
        result[f"{source}, positions only"] = without_obd if source in ("ved_sample", "rsk_twizy_ev") else {}
    result = {source: found for source, found in result.items() if found}
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))
    return 0


def _full(samples: list[Sample]) -> list[Sample]:
    return _sampled(samples, SamplingSettings())


def _thin(samples: list[Sample]) -> list[Sample]:
    return _sampled(samples, SamplingSettings(profile="thin"))


def _every_fifth(samples: list[Sample]) -> list[Sample]:
    return samples[::5]


WAYS: dict[str, Callable[[list[Sample]], list[Sample]]] = {"full": _full, "thin": _thin, "every_fifth": _every_fifth}


def _some(data: Path, source: str) -> list[Drive]:
    chosen: list[Drive] = []
    for drive in drives(data, (source,)):
        if sum(each.hours for each in chosen) < MOST_HOURS:
            chosen.append(drive)
    return chosen


def _sampled(samples: list[Sample], settings: SamplingSettings) -> list[Sample]:
    sampler = Sampler(settings)
    kept = [out for each in samples for out in sampler.on_sample(each, True, each.mono_s)]
    return [*kept, *sampler.finish()]


def _measure(
    chosen: list[Drive], way: Callable[[list[Sample]], list[Sample]], *, without_obd: bool = False
) -> dict[str, float]:
    taken = sent = batches = 0
    off_m = obd_off = 0.0
    for drive in chosen:
        samples = [each.sample for each in drive.seconds if each.sample is not None]
        if without_obd:
            samples = [_positions_only(sample) for sample in samples]
        kept = way(samples)
        taken, batches = taken + len(samples), batches + _bytes(kept)
        sent += len(kept)
        off_m, obd_off = max(off_m, _off_m(samples, kept)), max(obd_off, _obd_steps_off(samples, kept))
    hours = taken / 3600
    return {
        "hours": round(hours, 2),
        "kept_share": round(sent / taken, 4),
        "kb_per_driving_hour": round(batches / hours / 1000, 1),
        "bytes_per_second_driven": round(batches / taken, 2),
        "off_m": round(off_m, 2),
        "obd_steps_off": round(obd_off, 1),
    }


def _positions_only(sample: Sample) -> Sample:
    held = ("lat_deg", "lon_deg", "alt_m", "speed_mps", "course_deg", "fix_quality", "satellites_used", "hdop")
    position = {name: getattr(sample, name) for name in held}
    return Sample(sample.mono_s, sample.time_utc_ms, sample.time_quality, **position)


def _bytes(samples: list[Sample]) -> int:
    """MQTT 3.1.1 PUBLISH at QoS 1 of all batches: type, length, topic with its length, packet id, payload."""
    batcher = Batcher(Ed25519PrivateKey.generate(), SealedBefore(UNIT, b"b" * 16, 1), 1, 60, 1e9)
    total = 0
    for sample in samples:
        batcher.add_sample(sample)
        if batcher.due(sample.mono_s):
            total += sum(_published(each.data) for each in batcher.seal({}))
    return total + sum(_published(each.data) for each in batcher.seal({}))


def _published(payload: bytes) -> int:
    rest = 2 + len(BATCH.of(UNIT)) + 2 + len(payload)
    return 1 + (1 if rest < 128 else 2) + rest


def _off_m(samples: list[Sample], kept: list[Sample]) -> float:
    """The greatest distance between a position and the line between those that were kept around it."""
    times = [each.mono_s for each in kept]
    most = 0.0
    for each in samples:
        after = bisect_right(times, each.mono_s)
        if each.lat_deg is None or each.lon_deg is None or not 0 < after < len(kept):
            continue
        one, other = kept[after - 1], kept[after]
        if one.lat_deg is None or one.lon_deg is None or other.lat_deg is None or other.lon_deg is None:
            continue
        share = (each.mono_s - one.mono_s) / (other.mono_s - one.mono_s)
        lat = one.lat_deg + share * (other.lat_deg - one.lat_deg)
        lon = one.lon_deg + share * (other.lon_deg - one.lon_deg)
        most = max(most, metres_between((lat, lon), (each.lat_deg, each.lon_deg)))
    return most


def _obd_steps_off(samples: list[Sample], kept: list[Sample]) -> float:
    """The greatest difference of an OBD value from the last one kept, in steps of its resolution; rounding aside."""
    times = [each.mono_s for each in kept]
    most = 0.0
    for each in samples:
        held = kept[max(0, bisect_right(times, each.mono_s) - 1)]
        for name, step in OBD_STEPS.items():
            one, other = getattr(held, name), getattr(each, name)
            if one is not None and other is not None and step:
                most = max(most, (abs(other - one) - 0.1 * (not math.isclose(step * 10, round(step * 10)))) / step)
    return most


if __name__ == "__main__":
    sys.exit(main())
