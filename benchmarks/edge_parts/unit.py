"""The agent of the benchmark: `pledgewatch-agent run` with a real ONNX session in its scorer's place.

    python -m benchmarks.edge_parts.unit --config unit.toml --model judge.onnx --notes FILE [--tell] [--worker ...]

The session judges the window of every sample (1 Hz, one thread). With --tell each sample becomes an event, as if the
model had found something in it; --worker runs another program in the place of the OBD worker. Notes, a JSON object a
line: when the first sample came, the threads' names, and how long one judgement took.
"""

import argparse
import json
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

import edge_agent.devices
from benchmarks.edge_parts.model import FEATURES, SECONDS
from edge_agent.car.obd_link import ObdLink
from edge_agent.running import run
from edge_agent.service import logs
from wire.records import Event, Sample

TOLD = "model_told"
_NOTE_AT = (1, 30)  # samples: the first, and when every thread runs
_FIELDS = (
    *("lat_deg", "lon_deg", "alt_m", "speed_mps", "course_deg", "hdop"),
    *("obd_speed_kmh", "engine_rpm", "engine_load_pct", "throttle_pct", "module_voltage_v", "coolant_temp_c"),
)


class Judge:
    """Holds the last minute and asks the model about it."""

    def __init__(self, model: Path, notes: Path, tells: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._window = np.zeros((1, SECONDS, FEATURES), dtype=np.float32)
        self._notes, self._tells = notes, tells
        self._samples = 0

    def __call__(self, sample: Sample) -> tuple[Event, ...]:
        """See `edge_agent/score.py`."""
        self._samples += 1
        self._window[0, :-1] = self._window[0, 1:]
        self._window[0, -1] = [getattr(sample, name) or 0.0 for name in _FIELDS]
        began_s = time.perf_counter()
        self._session.run(None, {"window": self._window})
        took_us = round((time.perf_counter() - began_s) * 1e6)
        if self._samples in _NOTE_AT:
            threads = {str(each.native_id): each.name for each in threading.enumerate()}
            self._note({"samples": self._samples, "mono_s": time.monotonic(), "judged_us": took_us, "threads": threads})
        if not self._tells:
            return ()
        details = {"time_ms": str(sample.time_utc_ms)}
        return (Event(TOLD, round(sample.mono_s * 1000), sample.time_utc_ms, sample.time_quality, details),)

    def _note(self, facts: dict[str, object]) -> None:
        with self._notes.open("a") as file:
            file.write(json.dumps(facts) + "\n")


def main() -> int:
    """Run until a signal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--tell", action="store_true")
    parser.add_argument("--worker", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    judge = Judge(arguments.model, arguments.notes, arguments.tell)
    logs.set_up(verbose=False, as_json=False)
    if arguments.worker:
        vars(edge_agent.devices)["ObdLink"] = partial(ObdLink, worker=arguments.worker)
    return run(arguments.config, judge)


if __name__ == "__main__":
    sys.exit(main())
