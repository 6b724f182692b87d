"""The demo's processes: started, watched, and ended in order; none outlives the demo, whatever ends it."""

import ctypes
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Child:
    """A process with a name for people and a file with what it said."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def last_words(self) -> str:
        """The end of its log, for an error message."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(f"    {line}" for line in lines[-8:]) or "    (it said nothing)"


class Children:
    """All processes of one demo."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._all: list[Child] = []

    def start(self, name: str, command: Sequence[str | Path], env: dict[str, str] | None = None) -> Child:
        """Start a process in a session of its own, so that Ctrl-C reaches only us and we end them in order."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
                env=env,
            )
        child = Child(name, process, log)
        self._all.append(child)
        return child

    def ended(self, names: str) -> Child | None:
        """The first child whose name begins so and that has ended."""
        return next(
            (each for each in self._all if each.name.startswith(names) and each.process.poll() is not None), None
        )

    def stop(self, names: str, wait_s: float = 8.0) -> None:
        """End all children whose name begins so: ask first, then kill."""
        chosen = [each.process for each in self._all if each.name.startswith(names)]
        for process in chosen:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        until = time.monotonic() + wait_s
        for process in chosen:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
