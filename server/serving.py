"""`pledgewatch serve`: the ingest's workers and the pages, each its own process, ended together."""

import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

log = logging.getLogger(__name__)

_STOP_S = 10


def processes(workers: int) -> dict[str, list[str]]:
    """What is started for so many workers: names, and the arguments of `pledgewatch`."""
    ingests = {f"ingest {number}": ["ingest", "--worker", str(number)] for number in range(1, workers + 1)}
    return {**ingests, "web": ["web"]}


def serve_all(settings_path: Path, workers: int) -> int:
    """Run until a signal, or until one of them ends by itself (then its exit status, or 1)."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    started = {
        name: subprocess.Popen([sys.executable, "-m", "server", "--config", str(settings_path), *arguments])
        for name, arguments in processes(workers).items()
    }
    ended: dict[str, int] = {}
    while not stopping.wait(0.3) and not ended:
        ended = {name: code for name, process in started.items() if (code := process.poll()) is not None}
    for process in started.values():
        if process.poll() is None:
            process.terminate()
    for process in started.values():
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
    for name, code in ended.items():
        log.error("%s ended by itself with status %d, so the others were ended too", name, code)
    return max((code or 1 for code in ended.values()), default=0)
