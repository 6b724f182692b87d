"""Asks the modem, or a command of the installer's, where the unit roughly is; in a thread that mostly sleeps.

`mmcli --modem any --location-get --output-json` names the serving cell (ModemManager >= 1.18, with location gathering
of `3gpp-lac-ci` on, which it is by default); `CellTable` says where that is. A command is for everything else, such as
Wi-Fi positioning: it prints one JSON object (cell_table.read_answer). Either is ended after `TIMEOUT_S`.

The thread asks every `every_s`, and only while `wanted` says so: a car that drives under the sky never starts a
process.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import os
import select
import shlex
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from edge_agent.gnss.cell_table import MAX_ANSWER_CHARACTERS, Cell, CellListError, CellTable, read_answer
from edge_agent.gnss.position_source import FallbackSettings, RoughPosition
from edge_agent.settings import ConfigError

MMCLI = ("mmcli", "--modem", "any", "--location-get", "--output-json")
TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


def read_cells(path: Path) -> CellTable:
    """The list of cells at `path`, plain or .gz.

    Raises:
        CellListError: it cannot be read; the text names it and says why.
    """
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            return CellTable(lines)
    except (OSError, EOFError, UnicodeDecodeError, CellListError) as error:
        raise CellListError(f"{path}: {error}") from error


class CellPosition:
    """A `PositionSource`: the newest rough position, measured in a thread of its own."""

    def __init__(
        self,
        command: Sequence[str],
        cells: CellTable | None,
        wanted: Callable[[], bool],
        *,
        every_s: float = 60.0,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`wanted` is called from the thread; `cells` may be None if the command tells positions, not cells."""
        self.counts: Counter[str] = Counter()  # asked, found, and why not: failed, timed_out, no_place, unknown_cell
        self._command = list(command)
        self._cells = cells
        self._wanted = wanted
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._newest: RoughPosition | None = None
        self._stopping = threading.Event()
        self._running: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="fallback", daemon=True)

    @classmethod
    def from_settings(cls, settings: FallbackSettings, wanted: Callable[[], bool]) -> CellPosition | None:
        """As `[fallback]` says; None if it is off.

        Raises:
            ConfigError: a missing command or an unreadable list of cells.
        """
        if settings.source == "off":
            return None
        try:
            cells = read_cells(Path(settings.cells)) if settings.cells else None
            command = MMCLI if settings.source == "modem" else shlex.split(settings.command)
        except (CellListError, ValueError) as error:
            raise ConfigError(f"[fallback]: {error}") from error
        if not command:
            raise ConfigError("[fallback]: source is 'command', so command must be set")
        if settings.source == "modem" and cells is None:
            raise ConfigError("[fallback]: source is 'modem', so cells must name a list of cell positions")
        return cls(command, cells, wanted, every_s=settings.every_s)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and what it started, within a second; from any thread."""
        self._stopping.set()
        running = self._running
        if running is not None:
            _kill(running)
        if self._thread.is_alive():
            self._thread.join(0.9)

    def latest(self) -> RoughPosition | None:
        return self._newest

    def _run(self) -> None:
        while not self._stopping.wait(self._every_s if self._newest or self.counts["asked"] else 1.0):
            if self._wanted():
                self.ask()

    def ask(self) -> None:
        """One question, in the calling thread; returns within `timeout_s`. Nothing it meets is an error."""
        self.counts["asked"] += 1
        text = self._answer()
        if text is None:
            return
        said = read_answer(text)
        place = self._cells.find(said) if isinstance(said, Cell) and self._cells is not None else said
        if place is None or isinstance(place, Cell):
            self.counts["no_place" if said is None else "unknown_cell"] += 1
            return
        self.counts["found"] += 1
        self._newest = place.at(time.monotonic())

    def _answer(self) -> str | None:
        """What the command printed, at most MAX_ANSWER_CHARACTERS; None if it failed or took too long."""
        try:
            running = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            self.counts["failed"] += 1
            _log.warning("fallback position: %s: %s", self._command[0], error)
            return None
        self._running = running
        if self._stopping.is_set():
            _kill(running)
        until_s = time.monotonic() + self._timeout_s
        with running:
            try:
                data = _read_all(running, until_s)
                if len(data) >= MAX_ANSWER_CHARACTERS:  # no answer, and the rest of it would wait for a reader
                    _kill(running)
                status = running.wait(max(0.0, until_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.counts["timed_out"] += 1
                return None
            finally:
                _kill(running)
                self._running = None
        if status != 0:
            self.counts["failed"] += 1
            return None
        return data.decode("utf-8", "replace")


def _read_all(running: subprocess.Popen[bytes], until_s: float) -> bytes:
    """Up to the bound: a command that prints without end fills no memory. Raises TimeoutExpired."""
    assert running.stdout is not None
    data = b""
    while len(data) < MAX_ANSWER_CHARACTERS:
        left_s = until_s - time.monotonic()
        if left_s <= 0 or not select.select([running.stdout], [], [], left_s)[0]:
            raise subprocess.TimeoutExpired(running.args, 0)
        chunk = os.read(running.stdout.fileno(), MAX_ANSWER_CHARACTERS)
        if not chunk:
            break
        data += chunk
    return data


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and all it started; nothing if it has ended and its number may be another's."""
    if process.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
