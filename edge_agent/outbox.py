"""Batches on disk until the server's signed receipt: durable, bounded, and declared where something had to go.

SQLite in WAL mode with synchronous=FULL: `put` returns once the batch is on the card. One file is one *boot*, named by
128 random bits. The samples not yet sealed are journalled beside the batches, so that a power cut costs seconds.

What goes first when space is needed: batches with a receipt, oldest first; then the oldest without one, as gap records.
"""

import os
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from edge_agent.batch import Sealed, SealedBefore
from wire.records import BOOT_BYTES, Gap, Receipt, SequenceRange
from wire.seal import link_to

_DAY_MS = 24 * 3600 * 1000
# Errors that speak of the moment and not of the file: whoever sets a good outbox aside for them loses batches.
_PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)


class OutboxDamagedError(Exception):
    """The file is no outbox that can be read."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch without a receipt."""

    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """How much the outbox holds."""

    waiting: int  # batches without a receipt
    waiting_samples: int
    receipted: int  # kept in case that the server asks again
    bytes: int  # of all batches


class Outbox:
    """One boot's batches. Used from one thread."""

    def __init__(self, path: Path) -> None:
        """Open an outbox.

        Raises:
            FileNotFoundError: there is none.
            OutboxDamagedError: it cannot be read.
            sqlite3.OperationalError: it cannot be opened now: held by another program, or the disk is full.
        """
        if not path.exists():
            raise FileNotFoundError(path)
        try:
            self._db = _database(path)
            # 0.2 s for 200,000 batches here; unnoticed, the damage would end the agent later, and after every start
            if (found := self._db.execute("pragma integrity_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            meta = {row["name"]: row["value"] for row in self._db.table("meta").rows}
            self.boot: bytes = meta["boot"]
            self.boot_number: int = meta["boot_number"]
            self._server_time_ms: int = meta["server_time_ms"]
            self._bytes = self._db.execute("select coalesce(sum(length(sealed)), 0) from batches").fetchone()[0]
        except (sqlite3.DatabaseError, KeyError, UnicodeDecodeError) as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
                raise
            raise OutboxDamagedError(f"{path}: {error}") from None

    @classmethod
    def create(cls, path: Path, boot_number: int) -> "Outbox":
        """A new outbox, and with it a new boot."""
        beside = path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        db = _database(beside)
        meta = db.table("meta")
        meta.create({"name": str, "value": bytes}, pk="name")
        db.table("batches").create(
            {"sequence": int, "sealed": bytes, "samples": int, "receipted_ms": int},
            pk="sequence",
            not_null=("sealed", "samples"),
        )
        db.table("batches").create_index(["receipted_ms", "sequence"])
        db.table("journal").create({"id": int, "body": bytes}, pk="id")
        rows: dict[str, Any] = {"boot": os.urandom(BOOT_BYTES), "boot_number": boot_number, "server_time_ms": 0}
        meta.insert_all({"name": name, "value": value} for name, value in rows.items())
        db.close()  # folds the write-ahead log into the file, so that renaming one file moves all of it
        for orphan in ("-wal", "-shm"):  # of an outbox that is gone: SQLite would play it back into this one
            Path(f"{path}{orphan}").unlink(missing_ok=True)
        beside.replace(path)
        return cls(path)

    @property
    def server_time_ms(self) -> int:
        """The newest time that a receipt has told, UTC ms; 0 before the first."""
        return self._server_time_ms

    def sealed_before(self, unit: str) -> SealedBefore:
        """Where the chain stands."""
        last = self._db.execute("select sequence, sealed from batches order by sequence desc limit 1").fetchone()
        sequence, link = (0, b"") if last is None else (last[0], link_to(last[1]))
        return SealedBefore(unit, self.boot, self.boot_number, sequence, link)

    def put(self, sealed: Iterable[Sealed], journal: bytes | None) -> None:
        """Keep sealed batches and, in the same commit, replace the journal by what is still not sealed."""
        batches = list(sealed)
        with self._db.atomic():
            self._db.table("batches").insert_all(
                {"sequence": each.sequence, "sealed": each.data, "samples": each.samples, "receipted_ms": None}
                for each in batches
            )
            self._replace_journal(journal)
        self._bytes += sum(len(each.data) for each in batches)

    def journal(self) -> bytes | None:
        """The records that were not sealed when the agent last ended."""
        row = self._db.execute("select body from journal").fetchone()
        return None if row is None else row[0]

    def waiting(self, leave_out: Collection[int], limit: int) -> list[Waiting]:
        """The oldest batches without a receipt, but for those of `leave_out`."""
        holes = ",".join(str(int(sequence)) for sequence in leave_out)
        rows = self._db.table("batches").rows_where(
            f"receipted_ms is null and sequence not in ({holes})",
            select="sequence, sealed",
            order_by="sequence",
            limit=limit,
        )
        return [Waiting(row["sequence"], row["sealed"]) for row in rows]

    def waiting_one(self, sequence: int) -> Waiting | None:
        """One batch, unless it has a receipt by now."""
        rows = self._db.table("batches").rows_where("receipted_ms is null and sequence = ?", [sequence])
        return next((Waiting(row["sequence"], row["sealed"]) for row in rows), None)

    def still_waiting(self, sequences: Collection[int]) -> set[int]:
        """Those of `sequences` that have no receipt yet."""
        asked = ",".join(str(int(sequence)) for sequence in sequences)
        where = f"receipted_ms is null and sequence in ({asked})"
        return {row["sequence"] for row in self._db.table("batches").rows_where(where, select="sequence")}

    def receipt(self, receipt: Receipt) -> int:
        """Take a receipt whose signature held: how many batches it covers that had none. Another boot's covers none."""
        if receipt.boot != self.boot:
            return 0
        covered = 0
        with self._db.atomic():
            for each in receipt.committed:
                covered += self._set_receipted(receipt.server_time_ms, "is null", each)
            for each in receipt.wanted:
                self._set_receipted(None, "is not null", each)
            if receipt.server_time_ms > self._server_time_ms:
                self._db.execute("update meta set value = ? where name = 'server_time_ms'", [receipt.server_time_ms])
        self._server_time_ms = max(self._server_time_ms, receipt.server_time_ms)
        return covered

    def make_room(self, max_bytes: int, keep_days: int) -> list[Gap]:
        """Let go of what may go: receipted batches past their days, then the oldest while over the bound.

        Returns the gap records to be sealed, one a run of batches that had no receipt.
        """
        old_ms = self._server_time_ms - keep_days * _DAY_MS
        gone: list[tuple[int, int]] = []
        with self._db.atomic():
            # Receipted first; of each kind the oldest first. The newest of all stays: the next batch links to it.
            rows = self._db.query(
                "select sequence, samples, length(sealed) size, receipted_ms from batches "
                "where sequence < (select max(sequence) from batches) order by receipted_ms is null, sequence"
            )
            for row in rows:
                receipted_ms = row["receipted_ms"]
                if self._bytes <= max_bytes and (receipted_ms is None or receipted_ms >= old_ms):
                    break
                self._bytes -= row["size"]
                gone.append((row["sequence"], -1 if receipted_ms is not None else row["samples"]))
            for sequence, _ in gone:
                self._db.execute("delete from batches where sequence = ?", [sequence])
        return [
            Gap(self.boot, first, last, samples, "outbox_full")
            for first, last, samples in _runs([each for each in gone if each[1] >= 0])
        ]

    def missing(self, wanted: Iterable[SequenceRange]) -> list[Gap]:
        """Of ranges that the server asks for again, what is not here any more."""
        gaps = []
        for each in wanted:
            query = "select sequence from batches where sequence between ? and ? order by sequence"
            here = [sequence for (sequence,) in self._db.execute(query, [each.first, each.last])]
            edges = pairwise([each.first - 1, *here, each.last + 1])
            gaps += [Gap(self.boot, a + 1, b - 1, 0, "not_kept") for a, b in edges if a + 1 < b]
        return gaps

    def held(self) -> Held:
        """How much is here."""
        waiting, samples, receipted = self._db.execute(
            "select count(*) filter (where receipted_ms is null), "
            "coalesce(sum(samples) filter (where receipted_ms is null), 0), count(receipted_ms) from batches"
        ).fetchone()
        return Held(waiting, samples, receipted, self._bytes)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _replace_journal(self, body: bytes | None) -> None:
        if body is None:
            self._db.table("journal").delete_where()
        else:
            self._db.table("journal").insert({"id": 1, "body": body}, replace=True)

    def _set_receipted(self, value: int | None, where: str, each: SequenceRange) -> int:
        return self._db.execute(
            f"update batches set receipted_ms = ? where receipted_ms {where} and sequence between ? and ?",  # noqa: S608
            [value, each.first, each.last],
        ).rowcount


def _database(path: Path) -> Database:
    connection = sqlite3.connect(path, timeout=10, check_same_thread=True)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    return Database(connection)


def _runs(gone: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(sequence, samples) in order → (first, last, samples) of each unbroken run."""
    runs: list[tuple[int, int, int]] = []
    for sequence, samples in sorted(gone):
        if runs and runs[-1][1] == sequence - 1:
            first, _, before = runs.pop()
            runs.append((first, sequence, before + samples))
        else:
            runs.append((sequence, sequence, samples))
    return runs
