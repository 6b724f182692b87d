"""A paced adapter on a pty, for clients that are programs of their own."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort, wait_for_bytes


@contextmanager
def on_a_port(adapter: Adapter, car: CarSnapshot) -> Iterator[str]:
    """The path to open; the car stands still in time behind the adapter."""
    port, over = PtyPort(), threading.Event()

    def serve() -> None:
        waiting = bytearray()
        while not over.is_set():
            now_s = time.monotonic()
            adapter.feed(port.receive(), car, now_s)
            waiting += adapter.due(now_s)
            if port.is_open:
                del waiting[: port.write(waiting)]
            else:  # a serial line keeps nothing for a listener who is not there
                waiting.clear()
            next_s = adapter.next_s()
            wait_s = 0.05 if next_s is None else min(0.05, next_s - time.monotonic())
            if port.is_open:
                wait_for_bytes([port], wait_s)
            else:
                over.wait(0.02)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield port.path
    finally:
        over.set()
        thread.join()
        port.close()


def said_by(program: str, *arguments: str) -> dict[str, Any]:
    """Run a client in a process of its own, because it can block for minutes; its last line is JSON."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said
