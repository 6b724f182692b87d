"""What each library costs: a fresh interpreter imports one after the other and looks at its own memory.

    python -m benchmarks.edge_parts.memory agent|worker [MODEL]      one JSON object: library → MiB that it added

The order is that of the agent; what two libraries share counts for the first.
"""

import gc
import importlib
import json
import os
import sys

from benchmarks.edge_parts.processes import alone_mib, smaps_of

STEPS = {
    "agent": (
        (
            "standard library",
            ("argparse", "json", "logging", "queue", "ssl", "socket", "subprocess", "sqlite3", "decimal"),
        ),
        ("numpy", ("numpy",)),
        ("onnxruntime", ("onnxruntime",)),
        ("protobuf", ("google.protobuf.message", "wire.telemetry_pb2")),
        ("cryptography", ("wire.seal", "cryptography.x509")),
        ("paho", ("paho.mqtt.client",)),
        ("sqlite-utils", ("sqlite_utils",)),
        ("pyserial", ("serial",)),
        ("pynmea2", ("pynmea2",)),
        ("agent's own code", ("edge_agent.__main__", "edge_agent.running")),
    ),
    "worker": (
        ("standard library", ("argparse", "json", "logging", "ctypes", "threading")),
        ("pyserial", ("serial",)),
        ("python-OBD and the worker", ("edge_agent.obd_process.worker",)),
    ),
}


def _mib() -> float:
    return alone_mib([smaps_of(os.getpid())])


def main() -> None:
    """Print the table."""
    costs: dict[str, float] = {}
    before = _mib()
    costs["interpreter"] = before
    for name, modules in STEPS[sys.argv[1]]:
        for each in modules:
            importlib.import_module(each)
        gc.collect()
        now = _mib()
        costs[name], before = now - before, now
    if len(sys.argv) > 2:
        kept = _session(sys.argv[2])
        costs["model session, after inference"] = _mib() - before
        del kept
    print(json.dumps({name: round(mib, 2) for name, mib in costs.items()}))


def _session(model: str) -> object:
    import numpy as np
    import onnxruntime

    from benchmarks.edge_parts.model import FEATURES, SECONDS

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session.run(None, {"window": np.zeros((1, SECONDS, FEATURES), dtype=np.float32)})
    return session


if __name__ == "__main__":
    main()
