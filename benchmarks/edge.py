"""What the agent costs in a car: memory, processor, bytes on the wire and on the card, delay; against its targets.

    python -m benchmarks.edge --json [--data DIR] [--minutes N]       about 8 minutes; needs Linux, Mosquitto, gpsd

Everything is real: server, Mosquitto with mutual TLS, enrolled units, drives played at 1x on ptys by pledgewatch-sim,
an ONNX session of 400 KB that judges each second in the agent's process. The benchmark runs itself again in namespaces
of its own and gives each unit another network, so that bytes are counted on an interface (IP level, both ways).

Three units run beside each other, each for its own figures:

- *driving*: the recorded u-blox F9K drive (where it is not there: a seeded drive of the simulator), with the
  simulator's car moved by the recorded speed on the adapter's side. From --minutes of it: cpu_percent,
  wire_bytes_per_sample, max_unsealed_s, disk_mb_per_driving_hour, and at its end pss_mib.
- *standing*: its receiver and adapter are played by the benchmark, which notes when it has written each last byte; its
  OBD worker asks for the fault lamp each second instead of each minute (`edge_parts/hasty_worker.py`). Events: trouble
  codes (services 03, 07, 0A) that are others each time, told at once; and one by the model for each epoch, counted from
  the epoch's last byte. event_latency_ms ends when a reader of the server's database sees the row. How long a fault
  waits until the car is asked is no part of it, and told as obd_poll_wait_ms.
- *parked*: its engine stops; its heartbeat is 60 s instead of 900 s, its keepalive shorter by the same factor, and
  batches are sealed after 30 s. Whole cycles are counted, then one connection that is lost and made again (the broker
  is killed and comes back).

The peer, on the same drive in a network of its own: gpsd and `edge_parts/publisher.py`, one JSON fix a second at QoS 1
with mutual TLS. It has no OBD, keeps nothing on disk, signs nothing.

Memory is PSS as if the unit's processes were alone on the machine (`edge_parts/processes.py`); CPU is user and system
time of the processes. What cannot be measured here is null, with the reason beside it. The last line is one JSON
object: figures, what they are made of, and the targets with whether each is met.
"""

import argparse
import gzip
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.edge_parts.namespaces import enter_or_say_why
from benchmarks.edge_parts.phases import LONGEST_PLAY_BEYOND_S, ROOT, measure
from benchmarks.edge_parts.scene import SceneError, scene, simulated_nmea
from benchmarks.edge_parts.targets import judged

_DATA = Path(os.environ.get("PLEDGEWATCH_DATA", ROOT.parent / "shared" / "data"))


def main() -> int:
    """Measure and print; 1 where something did not start."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=_DATA, help="folder with recorded drives (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=6.0, help="of driving to measure (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where all lives (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="only the last line, one JSON object")
    arguments = parser.parse_args()
    if not 2 <= arguments.minutes <= 25:
        parser.error("--minutes: 2 (two batches have to arrive) to 25 (the recorded drive ends)")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    why_no_wire = enter_or_say_why(sys.argv[1:])
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what programs that are started say is no part of the result
    with tempfile.TemporaryDirectory(prefix="pledgewatch-edge-", dir=arguments.folder) as folder:
        source, recording = _recording(arguments.data, Path(folder), arguments.minutes)
        try:
            with scene(Path(folder), why_no_wire is None) as made:
                result = {"drive": source, **measure(made, recording, arguments.minutes, why_no_wire)}
        except (SceneError, OSError) as error:  # OSError: a process that was to be looked at has ended
            print(f"benchmarks.edge: {error}", file=sys.stderr)
            return 1
    result["targets"] = judged(result)
    if not arguments.json:
        for name, value in result.items():
            print(f"{name:40} {value}", file=out)
    print(json.dumps(result), file=out, flush=True)
    return 0


def _recording(data: Path, home: Path, minutes: float) -> tuple[str, bytes]:
    found = sorted(data.rglob("*ublox-F9K*.nmea.gz"))
    if found:
        return f"recorded: {found[0].name}", gzip.decompress(found[0].read_bytes())
    return "simulated: chengdu, seed 5", simulated_nmea(home, minutes * 60 + LONGEST_PLAY_BEYOND_S + 60)


if __name__ == "__main__":
    sys.exit(main())
