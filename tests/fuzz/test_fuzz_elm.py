"""A short, seeded run of the fuzzer. A long one: `python tests/fuzz/fuzz_elm.py -max_total_time=3600`."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed here")
def test_nothing_an_adapter_says_escapes_the_worker(tmp_path: Path) -> None:
    fuzzer = Path(__file__).with_name("fuzz_elm.py")
    options = ["-runs=1500", "-seed=1", "-len_control=0", "-max_len=2000", f"-artifact_prefix={tmp_path}/"]
    run = subprocess.run([sys.executable, str(fuzzer), *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2_000:] + run.stderr[-2_000:]
    assert "Done 1500 runs" in run.stderr
