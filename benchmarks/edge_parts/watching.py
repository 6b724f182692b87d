"""What happened and when: events in the server's database, the newest durable sample of a unit, bytes on each wire."""

import contextlib
import json
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.edge_parts.namespaces import Counted
from wire.codec import decode_body
from wire.seal import stored_body

_LOOK_S = 0.002
_KEYS = ("time_ms", "codes")


@dataclass
class Repeated:
    """Calls something again and again in a thread of its own, until `stop`."""

    look: Callable[[], None]
    every_s: float

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The last look may still run for a moment."""
        self._stopping.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stopping.wait(self.every_s):
            with contextlib.suppress(sqlite3.Error, OSError):
                self.look()


@dataclass(frozen=True, slots=True)
class Row:
    """An event in the server's database; instants on CLOCK_MONOTONIC."""

    arrived_s: float  # when the server began its commit (events.arrived_ms)
    visible_s: float


class EventRows:
    """Sees each event as soon as a reader of the server's database can: `seen`, by kind and key."""

    def __init__(self, database: Path) -> None:
        """`key` is what the details say of it: `time_ms` or `codes`."""
        self.seen: dict[tuple[str, str], Row] = {}
        self._last = 0
        self._version: int | None = None
        self._db = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=1, check_same_thread=False)
        self._looking = Repeated(self._look, _LOOK_S)

    def stop(self) -> None:
        """No more looks."""
        self._looking.stop()
        self._db.close()

    def _look(self) -> None:
        (version,) = self._db.execute("pragma data_version").fetchone()  # changes when another process has committed
        if version == self._version:
            return
        rows = self._db.execute(
            "select id, kind, details, arrived_ms from events where id > ?", [self._last]
        ).fetchall()
        at_s, self._version = time.monotonic(), version
        for row, kind, details, arrived_ms in rows:
            self._last = max(self._last, row)
            told = json.loads(details)
            key = next((told[name] for name in _KEYS if name in told), "")
            arrived_s = arrived_ms / 1000 - time.time() + time.monotonic()
            self.seen.setdefault((kind, key), Row(arrived_s, at_s))


class NewestDurable:
    """How old the newest sample is that a power cut would leave, from the unit's outbox, read as it lies on disk."""

    def __init__(self, outbox: Path) -> None:
        self.ages_s: list[float] = []
        self._db = sqlite3.connect(f"file:{outbox}?mode=ro", uri=True, timeout=1, check_same_thread=False)
        self._looking = Repeated(self._look, 0.25)

    def stop(self) -> None:
        """No more looks."""
        self._looking.stop()
        self._db.close()

    def _look(self) -> None:
        rows = self._db.execute(
            "select (select body from journal), (select sealed from batches where samples > 0 order by id desc limit 1)"
        )
        journal, sealed = rows.fetchone()
        bodies = ([zlib.decompress(journal)] if journal else []) + ([stored_body(sealed)] if sealed else [])
        newest = [decode_body(body).samples[-1:] for body in bodies]
        samples_s = [each[0].mono_s for each in newest if each]
        if samples_s:
            self.ages_s.append(time.monotonic() - max(samples_s))


@dataclass
class Wires:
    """Twice a second, what has passed on each wire."""

    counters: Mapping[str, Callable[[], Counted]]
    seen: dict[str, list[tuple[float, Counted]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.seen = {name: [] for name in self.counters}
        self._looking = Repeated(self._look, 0.5)

    def stop(self) -> None:
        """No more looks."""
        self._looking.stop()

    def between(self, name: str, begin_s: float, end_s: float) -> Counted:
        """What passed on a wire from one instant to another, to the look nearest before each."""
        looks = self.seen[name]
        return _before(looks, end_s).since(_before(looks, begin_s))

    def _look(self) -> None:
        for name, counter in self.counters.items():
            self.seen[name].append((time.monotonic(), counter()))


def _before(looks: list[tuple[float, Counted]], at_s: float) -> Counted:
    return next((counted for seen_s, counted in reversed(looks) if seen_s <= at_s), looks[0][1])
