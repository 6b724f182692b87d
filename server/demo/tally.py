"""What was sealed in the cars against what the server has: read from both sides' own databases."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from server.store.db import Store
from server.store.tables import batches, quarantine


@dataclass(frozen=True, slots=True)
class Tally:
    """The demo's last line. `duplicates` are batches stored twice, `refused` batches in quarantine."""

    vehicles: int
    samples_sealed: int
    samples_stored: int
    duplicates: int
    refused: int

    @property
    def lost(self) -> int:
        """Sealed in a car and not on the server."""
        return self.samples_sealed - self.samples_stored


def tally(store: Store, agent_folders: Sequence[Path]) -> Tally:
    """Count both sides."""
    sealed = sum(sealed_by(folder) for folder in agent_folders)
    with store.read() as connection:
        stored = connection.scalar(select(func.coalesce(func.sum(batches.c.samples), 0))) or 0
        vehicles = connection.scalar(select(func.count(batches.c.vehicle_id.distinct()))) or 0
        twice = (
            select(func.count().label("times"))
            .select_from(batches)
            .group_by(batches.c.boot_id, batches.c.sequence)
            .having(func.count() > 1)
            .subquery()
        )
        duplicates = connection.scalar(select(func.coalesce(func.sum(twice.c.times - 1), 0))) or 0
        refused = connection.scalar(select(func.coalesce(func.sum(quarantine.c.times), 0))) or 0
    return Tally(int(vehicles), sealed, int(stored), int(duplicates), int(refused))


def sealed_by(agent_folder: Path) -> int:
    """How many samples an agent has sealed: its outbox keeps the batches after their receipts too."""
    path = agent_folder / "outbox.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return int(connection.execute("select coalesce(sum(samples), 0) from batches").fetchone()[0])
