"""The fuzzer of the receiver's bytes, for a moment and from fixed seeds; `fuzz_nmea.py` runs as long as you like."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).with_name("fuzz_nmea.py")
LOGS = Path(__file__).resolve().parents[1] / "logs"
RUNS = 1000


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed (wheels for Linux x86-64 only)"
)
def test_no_bytes_of_a_receiver_raise(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for log in LOGS.glob("nmea_*.log"):
        for number, mode in enumerate(b"\x20\x7e"):
            (corpus / f"{log.stem}_{number}").write_bytes(bytes([mode]) + log.read_bytes()[:1500])
    (corpus / "signed").write_bytes(b"\x41GNRMC,081503.00,A,3149.12345,N,11713.54321,E,10.000,90.00,231126,,,A,V")
    command = [sys.executable, str(FUZZER), str(corpus), f"-runs={RUNS}", "-seed=1", "-max_len=2000"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    done = re.search(r"Done (\d+) (?:in|runs)|#(\d+)\s+DONE", result.stdout + result.stderr)
    assert done is not None, result.stderr[-3000:]
    assert int(done[1] or done[2]) >= RUNS
