"""A simulator as a program of its own, a reader for its ports, and the recorded data where it is there."""

import contextlib
import json
import os
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


class Simulator:
    """`pledgewatch-sim ...` running; `ports` is its first line."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self._errors = (folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_sim", *arguments, "--json"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        assert self.process.stdout
        self.ports: dict[str, str] = json.loads(self.process.stdout.readline())

    def summary(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """Wait for the end; the last line of stdout."""
        out, _ = self.process.communicate(timeout=timeout_s)
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found

    def end(self) -> dict[str, Any]:
        self.process.terminate()
        return self.summary(5.0)

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._errors.close()


class Reader:
    """Somebody who has the port open, the plain way: raw reads, and the opening flush only if asked for."""

    def __init__(self, path: str, *, flush: bool = False) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        if flush:
            termios.tcflush(self.fd, termios.TCIFLUSH)

    def read(self, at_least: int = 1 << 30, timeout_s: float = 20.0) -> bytes:
        """Bytes until there are `at_least` many, the port ends, or the time is over."""
        got = bytearray()
        until_s = time.monotonic() + timeout_s
        with contextlib.suppress(OSError):  # EIO: the simulator closed the port
            while len(got) < at_least and (left_s := until_s - time.monotonic()) > 0:
                if select.select([self.fd], [], [], left_s)[0]:
                    part = os.read(self.fd, min(1024, at_least - len(got)))
                    if not part:
                        break
                    got += part
        return bytes(got)

    def ask(self, command: str, timeout_s: float = 5.0) -> str:
        """Type a command and a carriage return; the answer up to the prompt."""
        os.write(self.fd, command.encode() + b"\r")
        got = b""
        until_s = time.monotonic() + timeout_s
        while not got.endswith(b">") and time.monotonic() < until_s:
            got += self.read(1, 0.2)
        return got.decode()

    def close(self) -> None:
        os.close(self.fd)


@pytest.fixture
def simulate(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    running: list[Simulator] = []

    def start(*arguments: str | Path) -> Simulator:
        running.append(Simulator([str(argument) for argument in arguments], tmp_path))
        return running[-1]

    yield start
    for simulator in running:
        simulator.close()


@pytest.fixture
def open_port() -> Iterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def start(path: str, *, flush: bool = False) -> Reader:
        readers.append(Reader(path, flush=flush))
        return readers[-1]

    yield start
    for reader in readers:
        with contextlib.suppress(OSError):
            reader.close()
