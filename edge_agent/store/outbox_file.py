"""The outbox's file: tables, row ids, checksums, and how it is opened so that the card wears little.

What wears a card is how many 4 KiB blocks are written, not how many bytes, and each commit writes at least one
(`python -m benchmarks.outbox` counts them):

- pages of 1 KiB: the journal's commit, 720 an hour, is one frame of the write-ahead log instead of one of 4 KiB that
  lies across two blocks;
- the log is written full of zeros when the outbox is opened, and begins anew every `LOG_FRAMES` frames: a file that
  grows costs the file system four blocks more a commit than one that is written over.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from edge_agent.settings import setting
from edge_agent.store.sqlite_pages import FRAME_HEADER_BYTES, WAL_HEADER_BYTES
from wire.records import Gap

PAGE_BYTES = 1024
LOG_FRAMES = 128  # of the write-ahead log before it is folded into the file and begun anew
_LOG_BYTES = WAL_HEADER_BYTES + (LOG_FRAMES + 32) * (PAGE_BYTES + FRAME_HEADER_BYTES)
_RESERVE_BYTES = 64 * 1024  # the shared memory of a log is 32 KiB
_SEQUENCE_BITS = 40

# What a batch waits for.
RECEIPTED, SAMPLES, URGENT, LOST = 0, 1, 2, 3  # nothing; a receipt; the same, and tells events or gaps; its row is bad

# Why batches were lost, as gap records say it. The server reads END_UNKNOWN (server/store/batch_rows.py).
OUTBOX_FULL, NOT_KEPT, DAMAGED = "outbox_full", "not_kept", "damaged"
# An outbox could not be read to its end: of this boot nothing from `first` on will ever come, and whether anything was
# sealed from there on nobody knows; `last` is what the write-ahead log could have held besides.
END_UNKNOWN = "end_unknown"

# Errors that speak of the moment and not of the file: whoever sets a good outbox aside for them loses batches.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR,
}
_UNREADABLE = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}

_SCHEMA = """
create table meta(name text primary key, value);
-- Boots that have batches here; the one with the highest ordinal is this outbox's own. `last` was sealed last (of the
-- own boot the journal's row knows); all up to `settled` have their receipt or are declared.
create table boots(
    ordinal integer primary key, boot blob not null, number integer not null, last integer not null,
    settled integer not null, crc integer not null
);
create table batches(
    id integer primary key, state integer not null, urgent integer not null, samples integer not null,
    receipted_ms integer, crc integer not null, sealed blob not null,
    sequence integer generated always as (id & 1099511627775) virtual
);
create index batches_state on batches(state, id, samples);
create table journal(
    id integer primary key, last integer not null, settled integer not null, crc integer not null, body blob
);
-- Losses to be declared; `told_in` is the id of the batch that does, until that has its receipt.
create table gaps(
    id integer primary key, boot blob not null, first integer not null, last integer not null,
    samples integer not null, reason text not null, told_in integer, crc integer not null
);
create index gaps_told on gaps(told_in);
"""


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    """How much the unit keeps."""

    max_mib: int = setting("how much of the card batches may take: months of driving", 512, low=1, high=65536)
    keep_days: int = setting(
        "batches stay so long after their receipt: a restored server asks again", 7, low=0, high=365
    )
    keep_free_mib: int = setting(
        "batches go before less than this is left to grow into on a full card", 16, low=1, high=1024
    )


@dataclass(frozen=True, slots=True)
class Held:
    """How much the outbox holds."""

    waiting: int  # batches without a receipt
    waiting_samples: int
    receipted: int  # kept in case that the server asks again
    bytes: int  # of the card, for all batches


class OutboxDamagedError(Exception):
    """The file is no outbox that can be read."""


def batch_id(ordinal: int, sequence: int) -> int:
    """The id of a batch: boots in their order, and in each the sequences."""
    return ordinal << _SEQUENCE_BITS | sequence


def ordinal_of(batch: int) -> int:
    """Which of the outbox's boots a batch belongs to."""
    return batch >> _SEQUENCE_BITS


def sequence_of(batch: int) -> int:
    """The sequence of a batch within its boot."""
    return batch & (1 << _SEQUENCE_BITS) - 1


def stored_bytes(sealed_bytes: int) -> int:
    """What a batch takes of the card: its pages, and its place in the index. A leaf's row has room for 957 bytes."""
    return (1 + (sealed_bytes + 62) // (PAGE_BYTES - 4)) * PAGE_BYTES + 16


# The same in SQL, of the batches' table.
STORED_BYTES_SQL = f"(1 + (length(sealed) + 62) / {PAGE_BYTES - 4}) * {PAGE_BYTES} + 16"


def batch_crc(batch: int, urgent: int, samples: int, sealed: bytes) -> int:
    """Checksum of a batch's row, but for what receipts change."""
    return _crc(batch, urgent, samples, sealed)


def boot_crc(boot: bytes, number: int, last: int, settled: int) -> int:
    """Checksum of a boot's row."""
    return _crc(boot, number, last, settled)


def journal_crc(last: int, settled: int, body: bytes | None) -> int:
    """Checksum of the journal's row."""
    return _crc(last, settled, b"" if body is None else body)


def gap_crc(gap: Gap) -> int:
    """Checksum of a gap's row."""
    return _crc(gap.boot, gap.first, gap.last, gap.samples, gap.reason.encode())


def add_boot(db: Database, ordinal: int, boot: bytes, number: int, last: int = 0, settled: int = 0) -> None:
    """Write a boot's row, new or over the one that is there."""
    row = [ordinal, boot, number, last, settled, boot_crc(boot, number, last, settled)]
    db.execute("insert or replace into boots values(?, ?, ?, ?, ?, ?)", row)


def add_gap(db: Database, gap: Gap) -> None:
    """Write down a loss that is to be declared."""
    row = [gap.boot, gap.first, gap.last, gap.samples, gap.reason, gap_crc(gap)]
    db.execute('insert into gaps(boot, "first", "last", samples, reason, crc) values(?, ?, ?, ?, ?, ?)', row)


def create_file(path: Path) -> Database:
    """A new file with empty tables, made beside everything durable: call `finish_file` before it counts."""
    for part in parts_of(path):
        part.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute(f"pragma page_size={PAGE_BYTES}")
    connection.execute("pragma journal_mode=off")  # until it is finished nobody needs it back
    connection.execute("pragma synchronous=off")
    connection.executescript(_SCHEMA)
    return Database(connection)


def finish_file(db: Database, beside: Path, path: Path) -> None:
    """Close a new file, put it on the card, and give it its name in one step."""
    db.close()
    sync(beside)
    _, *orphans = parts_of(path)  # of an outbox that is gone: SQLite would play its log back into this one
    for orphan in orphans:
        orphan.unlink(missing_ok=True)
    beside.replace(path)
    sync(path.parent)


def open_file(path: Path) -> Database:
    """Open for reading and writing; each commit waits for the card."""
    connection = sqlite3.connect(path, timeout=10, check_same_thread=True)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=full")
    connection.execute(f"pragma wal_autocheckpoint={LOG_FRAMES}")
    connection.execute("select count(*) from meta").fetchone()  # a log left from before is read now
    with suppress(OSError):  # a full disk: the log grows as it can
        _fill_log(Path(f"{path}-wal"))
    return Database(connection)


def keep_reserve(path: Path) -> None:
    """Hold some room beside the outbox, so that it can be opened on a full card: SQLite needs a little for that."""
    reserve, disk = _reserve_of(path), os.statvfs(path.parent)
    if reserve.exists() or disk.f_bavail * disk.f_frsize < 16 * _RESERVE_BYTES:
        return
    with suppress(OSError):
        reserve.write_bytes(bytes(_RESERVE_BYTES))
        sync(reserve)


def give_up_reserve(path: Path) -> bool:
    """Let go of that room; whether there was any."""
    try:
        _reserve_of(path).unlink()
    except OSError:
        return False
    return True


def _reserve_of(path: Path) -> Path:
    return path.with_suffix(".reserve")


def open_to_look(path: Path) -> sqlite3.Connection:
    """Open without changing anything: closing it does not fold the log into a file that may be damaged."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)


def last_of(path: Path) -> Path:
    """Where the newest sequence is written besides (`store/last_sealed.py`)."""
    return path.with_suffix(".last")


def has_our_tables(db: sqlite3.Connection) -> bool:
    """Whether a file's tables are those of this version, letter by letter."""
    with closing(sqlite3.connect(":memory:")) as ours:
        ours.executescript(_SCHEMA)
        query = "select name, sql from sqlite_schema order by name"
        return ours.execute(query).fetchall() == db.execute(query).fetchall()


def parts_of(path: Path) -> tuple[Path, Path, Path]:
    """The file, its write-ahead log and the log's index."""
    return path, Path(f"{path}-wal"), Path(f"{path}-shm")


def _fill_log(log: Path) -> None:
    with log.open("ab") as file:
        lacking = _LOG_BYTES - file.tell()
        if lacking > 0:
            file.write(bytes(lacking))
            file.flush()
            os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the card."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _crc(*values: int | bytes) -> int:
    """CRC-32 of values joined without lengths: only the last may vary in length."""
    crc = 0
    for value in values:
        crc = zlib.crc32(value if isinstance(value, bytes) else value.to_bytes(8, "big", signed=True), crc)
    return crc


def passing(error: sqlite3.Error) -> bool:
    """Whether an error speaks of the moment (disk full, file held), and not of a file that cannot be read."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _PASSING and code not in _UNREADABLE


@contextmanager
def judged(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: what speaks against the file is OutboxDamagedError."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # our own mistake, and not the file's
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.Error) and passing(error):
            raise
        raise OutboxDamagedError(f"{path}: {error}") from None


def room_to_grow(path: Path, db: Database) -> int:
    """Bytes that are left to the outbox: free on its disk, and freed inside the file."""
    disk = os.statvfs(path.parent)
    with judged(path):
        (pages,) = db.execute("pragma freelist_count").fetchone()
    return disk.f_bavail * disk.f_frsize + int(pages) * PAGE_BYTES
