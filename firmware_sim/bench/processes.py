"""The programs that a story needs: started by their command lines, each with a log, none outliving the bench."""

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)
TERM_LIMIT_S = 10.0  # the agent promises two seconds; a busy bench gets more


class BenchError(Exception):
    """The bench itself cannot work; the message is a sentence for a person."""


class Processes:
    """All programs of one story."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> Path:
        """What a program has said."""
        return self._logs / f"{name}.log"

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """Start it, unless it runs."""
        if self.code(name) is None and name in self._running:
            return
        with self.log(name).open("ab") as out:
            try:
                self._running[name] = subprocess.Popen(
                    list(map(str, command)),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            except OSError as error:
                raise BenchError(f"cannot start {command[0]}: {error.strerror}") from None

    def call(self, name: str, command: Sequence[str | Path], given: str | None = None, within_s: float = 60.0) -> str:
        """Run a command to its end; what it printed. Raises BenchError where it fails."""
        try:
            done = subprocess.run(
                list(map(str, command)), input=given, capture_output=True, text=True, timeout=within_s, check=False
            )
        except OSError as error:
            raise BenchError(f"cannot start {command[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise BenchError(f"{name} did not end within {within_s:g} s") from None
        with self.log(name).open("a") as out:
            out.write(done.stdout + done.stderr)
        if done.returncode:
            raise BenchError(f"{name} failed: {(done.stderr or done.stdout).strip()[-400:]}")
        return done.stdout

    def runs(self, name: str) -> bool:
        """Whether it runs."""
        return name in self._running and self._running[name].poll() is None

    def code(self, name: str) -> int | None:
        """Its exit status; None while it runs, and for what was never started."""
        return self._running[name].poll() if name in self._running else None

    def kill(self, name: str) -> None:
        """kill -9, no farewell, its children too."""
        if (process := self._running.pop(name, None)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def terminate(self, name: str) -> int | None:
        """SIGTERM, and wait; its exit status, or None where it did not end in time and was killed."""
        process = self._running.get(name)
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(TERM_LIMIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill(name)

    def let_no_file_grow(self, name: str, yes: bool) -> None:
        """A full disk, as far as one process sees it: every write that would extend a file fails (setrlimit(2))."""
        if name in self._running:
            hard = resource.RLIM_INFINITY
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(self._running[name].pid, resource.RLIMIT_FSIZE, (0 if yes else hard, hard))

    def end(self) -> None:
        """End all of them."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        until_s = time.monotonic() + 3.0
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.05, until_s - time.monotonic()))
        for name in list(self._running):
            self.kill(name)


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
