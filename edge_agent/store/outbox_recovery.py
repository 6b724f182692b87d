"""Opening the outbox, whatever is left of it: a damaged one is set aside and what can be read of it is carried on.

    sound                       → open it
    not there                   → a new boot; a set-aside file that nothing was made of yet is read first
    damaged                     → set aside, then as above

Rows are read page by page (`store/sqlite_pages.py`), since one bad byte may hide all of them from SQLite. A batch is
believed by its own signature and name, the other rows by their checksums, so a flipped bit costs the row that it is in.
Recovered batches keep the identity that they were sealed with; only the boot ends: the new outbox begins another, and
its first batch declares, per earlier boot, which sequences are lost and where the boot ended. All of that is in the new
file before it gets its name, so power may go at any instant: the next start begins again from the set-aside file.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlite_utils import Database

from edge_agent.store import outbox_file as form
from edge_agent.store.boots import Boots, next_number, read_boots, remember_boot
from edge_agent.store.last_sealed import LastSealed, read_last
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import RECEIPTED, SAMPLES, URGENT, OutboxDamagedError, batch_id, sequence_of
from edge_agent.store.sqlite_pages import (
    FRAME_HEADER_BYTES,
    WAL_HEADER_BYTES,
    Row,
    Value,
    page_bytes_of,
    rows_of_page,
    whole_frames,
)
from wire.records import BOOT_BYTES, Gap
from wire.refused import RefusedError
from wire.seal import Identity, open_seal, read_body

log = logging.getLogger(__name__)

KEPT_ASIDE = 2  # newest set-aside files; older ones are deleted, and that is told


class OutboxUnavailableError(Exception):
    """The outbox cannot be opened now (disk full or read-only, held by another program): try again."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The outbox, how it was found, and what there is to tell of it.

    `found` is "kept", "new", or "replaced" where a damaged one was set aside; `told` holds details for the event.
    """

    outbox: Outbox
    found: str
    told: dict[str, str]


def open_outbox(folder: Path, unit: str, key: Ed25519PublicKey, floor_ms: int = 0) -> Opened:
    """Open the outbox in `folder`, or make one of what is left.

    Args:
        folder: where `outbox.db` is.
        unit: the unit's name.
        key: the unit's own public key: recovered batches must be signed with it.
        floor_ms: the time is known to be later than this, UTC ms; 0 where that is not known.

    Raises:
        OutboxUnavailableError: not now; the reason is in the text.
    """
    path = folder / "outbox.db"
    while True:
        try:
            return _open(path, unit, key, floor_ms)
        except (OSError, sqlite3.OperationalError) as error:
            if not form.give_up_reserve(path):
                raise OutboxUnavailableError(f"{path}: {error}") from None
            log.warning("%s: %s; trying again with the room that was kept for this", path, error)


def _open(path: Path, unit: str, key: Ed25519PublicKey, floor_ms: int) -> Opened:
    told: dict[str, str] = {}
    if path.exists():
        try:
            _require_sound(path)
            outbox = Outbox(path)
            remember_boot(path.parent, Boots(outbox.boot_number, outbox.boot))
            return Opened(outbox, "kept", {})
        except OutboxDamagedError as error:
            told = {"damage": str(error)[:200], **_set_aside(path)}
            log.error("%s; set aside, a new boot begins", error)
    return _begin_anew(path.parent, unit, key, floor_ms, told)


def _require_sound(path: Path) -> None:
    """Look at an outbox without changing it. 0.4 to 0.7 s for 200,000 batches (200 MiB) on a server's disk.

    Damage that went unnoticed would end the agent later, and after every start; an unnoticed loss of the newest batches
    would be worse: their sequences would be given away again.

    Raises:
        OutboxDamagedError: the file, or the write-ahead log, is not what was written.
        sqlite3.OperationalError: it cannot be looked at now.
    """
    with form.judged(path), closing(form.open_to_look(path)) as db:
        if (found := db.execute("pragma integrity_check(1)").fetchone()[0]) != "ok":
            raise OutboxDamagedError(f"{path}: {found}")
        if not form.has_our_tables(db):
            raise OutboxDamagedError(f"{path}: its tables are not those of this version")
        row = db.execute("select ordinal, boot from boots order by ordinal desc limit 1").fetchone()
        if row is None:
            raise OutboxDamagedError(f"{path}: it names no boot")
        own, boot = row
        newest = db.execute(
            "select id, urgent, samples, sealed, crc from batches where id > ? order by id desc limit 1",
            [batch_id(own, 0)],
        ).fetchone()
    if newest is not None and form.batch_crc(*newest[:4]) != newest[4]:
        raise OutboxDamagedError(f"{path}: the newest batch is not what was put")
    last = batch_id(own, 0) if newest is None else newest[0]
    if (told := read_last(form.last_of(path))) is not None and told.boot == boot and told.sequence > sequence_of(last):
        raise OutboxDamagedError(f"{path}: it ends at {sequence_of(last)}, but {told.sequence} was sealed")
    if any(row.id > last for row in _rows_cut_off(path) if _is_sound_batch(row)):
        raise OutboxDamagedError(f"{path}: the write-ahead log holds batches that SQLite cannot reach")


def _rows_cut_off(path: Path) -> Iterator[Row]:
    """Rows in the log behind where SQLite stops reading: of an earlier round, of a commit cut short, or cut off."""
    log_path = form.parts_of(path)[1]
    data = log_path.read_bytes() if log_path.exists() else b""
    return _rows_of_frames(data, whole_frames(data)[0])


def _rows_of_frames(data: bytes, begin: int) -> Iterator[Row]:
    frame_bytes = FRAME_HEADER_BYTES + form.PAGE_BYTES
    at = max(begin, WAL_HEADER_BYTES)
    pages = {
        int.from_bytes(data[n : n + 4], "big"): data[n + FRAME_HEADER_BYTES : n + frame_bytes]
        for n in range(at, len(data) - frame_bytes + 1, frame_bytes)
    }
    for number, page in pages.items():
        yield from rows_of_page(number, page, lambda wanted: pages.get(wanted, b""))


def _is_sound_batch(row: Row) -> bool:
    """Whether a row is one of `batches` whose checksum holds."""
    if len(row.columns) != 7:
        return False
    _, _, urgent, samples, _, crc, sealed = row.columns
    if not (isinstance(urgent, int) and isinstance(samples, int) and isinstance(sealed, bytes)):
        return False
    return row.id >= 0 and form.batch_crc(row.id, urgent, samples, sealed) == crc


def _set_aside(path: Path) -> dict[str, str]:
    """Give a damaged outbox another name: the file first, so that a log is never left without its file."""
    before = _aside(path)
    number = 1 + max(before, default=0)
    _finish_setting_aside(path, number)
    deleted = before[: max(0, len(before) + 1 - KEPT_ASIDE)]
    for each in deleted:
        for part in form.parts_of(_aside_path(path, each)):
            part.unlink(missing_ok=True)
        log.error("deleted %s to keep %d set-aside outboxes", _aside_path(path, each).name, KEPT_ASIDE)
    form.sync(path.parent)
    told = {"set_aside": _aside_path(path, number).name}
    return told | ({"deleted": " ".join(_aside_path(path, each).name for each in deleted)} if deleted else {})


def _finish_setting_aside(path: Path, number: int) -> None:
    for part, aside in zip(form.parts_of(path), form.parts_of(_aside_path(path, number)), strict=True):
        if part.exists() and not aside.exists():
            part.replace(aside)


def _aside(path: Path) -> list[int]:
    """The numbers of the set-aside files, oldest first."""
    numbers = (each.name.removeprefix(f"{path.stem}.damaged-") for each in path.parent.glob(f"{path.stem}.damaged-*"))
    return sorted(int(each) for each in numbers if each.isdecimal())


def _aside_path(path: Path, number: int) -> Path:
    return path.with_suffix(f".damaged-{number}")


def _begin_anew(folder: Path, unit: str, key: Ed25519PublicKey, floor_ms: int, told: dict[str, str]) -> Opened:
    """A new outbox, with what can be read of the newest that was set aside."""
    path, beside = folder / "outbox.db", folder / "outbox.new"
    known = read_boots(folder)
    aside = _aside(path)
    db = form.create_file(beside)
    try:
        with db.atomic():
            salvage = _Salvage(db, unit, key)
            if aside:
                _finish_setting_aside(path, aside[-1])
                salvage.read(_aside_path(path, aside[-1]))
            number = next_number(folder, salvage.highest_number(), floor_ms, anew=not aside)
            boot = os.urandom(BOOT_BYTES)
            salvage.declare(known.boot if known else None, read_last(form.last_of(path)))
            form.add_boot(db, salvage.next_ordinal(), boot, number)
        form.finish_file(db, beside, path)
    except BaseException:
        db.close()
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    remember_boot(folder, Boots(number, boot))
    outbox = Outbox(path)
    if not aside:
        return Opened(outbox, "new", told)
    log.error("recovered %d batches; %d stretches declared lost", salvage.batches, salvage.stretches)
    told = {"recovered_batches": str(salvage.batches), "lost_stretches": str(salvage.stretches), **told}
    return Opened(outbox, "replaced", told)


@dataclass(slots=True)
class _Ended:
    """What is known of an earlier boot."""

    ordinal: int
    boot: bytes
    number: int
    last: int = 0  # sealed last, as far as is known
    settled: int = 0  # all up to here have their receipt or were declared


class _Salvage:
    """Reads a damaged outbox into a new file, row by row; memory does not grow with the number of rows."""

    def __init__(self, db: Database, unit: str, key: Ed25519PublicKey) -> None:
        self._db, self._unit, self._key = db, unit, key
        self._boots: dict[bytes, _Ended] = {}
        self._journal: tuple[int, int, bytes | None] | None = None
        self.batches = self.stretches = 0

    def read(self, path: Path) -> None:
        """Take every row that can be believed."""
        for row in _rows_of_file(path):
            take = {
                8: self._take_gap,
                7: self._take_batch,
                6: self._take_boot,
                5: self._take_journal,
                2: self._take_kept,
            }
            take.get(len(row.columns), self._take_other)(row)
        (self.batches,) = self._db.execute("select count(*) from batches").fetchone()

    def highest_number(self) -> int:
        """The highest number of a boot that was found, 0 where none was."""
        return max((each.number for each in self._boots.values()), default=0)

    def next_ordinal(self) -> int:
        """A place behind all boots that were found."""
        return len(self._boots) + 1

    def declare(self, newest: bytes | None, last_sealed: LastSealed | None) -> None:
        """Write down what is lost of each boot, and where each ended.

        Args:
            newest: the boot that should be here, as far as that is known.
            last_sealed: what was written beside the outbox.
        """
        if last_sealed is not None and last_sealed.boot in self._boots:
            known = self._boots[last_sealed.boot]
            known.last = max(known.last, last_sealed.sequence)
        if newest is not None and newest not in self._boots:
            last = last_sealed.sequence if last_sealed is not None and last_sealed.boot == newest else 0
            if last:
                self._declare(Gap(newest, 1, last, 0, form.DAMAGED))
            self._declare(Gap(newest, last + 1, last + form.LOG_FRAMES, 0, form.END_UNKNOWN))
        own = max(self._boots.values(), key=lambda each: each.number, default=None)
        for each in self._boots.values():
            ids = [batch_id(each.ordinal, 0), batch_id(each.ordinal + 1, 0)]
            query = "select id from batches where id between ? and ? order by id"
            (newest_id,) = self._db.execute("select max(id) from batches where id between ? and ?", ids).fetchone()
            each.last = max(each.last, sequence_of(newest_id or 0))
            if each is own and self._journal is not None:
                each.last, each.settled = max(each.last, self._journal[0]), max(each.settled, self._journal[1])
            here = (
                sequence for (batch,) in self._db.execute(query, ids) if (sequence := sequence_of(batch)) > each.settled
            )
            for before, after in pairwise(chain([each.settled], here, [each.last + 1])):
                if after > before + 1:
                    self._declare(Gap(each.boot, before + 1, after - 1, 0, form.DAMAGED))
            self._declare(Gap(each.boot, each.last + 1, each.last + form.LOG_FRAMES, 0, form.END_UNKNOWN))
            form.add_boot(self._db, each.ordinal, each.boot, each.number, each.last, each.settled)
        if own is not None and self._journal is not None and self._journal[0] >= own.last:
            folded = self._journal[2]
            self._db.execute("insert into journal values(1, 0, 0, ?, ?)", [form.journal_crc(0, 0, folded), folded])

    def _declare(self, gap: Gap) -> None:
        form.add_gap(self._db, gap)
        self.stretches += gap.reason == form.DAMAGED

    def _take_batch(self, row: Row) -> None:
        if not _is_sound_batch(row):
            self._take_other(row)
            return
        _, state, urgent, samples, receipted_ms, _, sealed = row.columns
        receipted = state == RECEIPTED and isinstance(receipted_ms, int)
        assert isinstance(urgent, int)
        assert isinstance(samples, int)
        assert isinstance(sealed, bytes)
        if (identity := self._identity(sealed)) is not None:
            self._keep(identity, urgent, samples, receipted_ms if receipted else None, sealed)

    def _take_other(self, row: Row) -> None:
        """A row whose columns cannot be believed, or of an older version: the batch in it speaks for itself."""
        for sealed in row.columns:
            if isinstance(sealed, bytes) and (identity := self._identity(sealed)) is not None:
                with suppress(RefusedError):
                    body = read_body(open_seal(sealed, self._unit, self._key))
                    self._keep(identity, int(bool(body.events or body.gaps)), len(body.samples), None, sealed)

    def _identity(self, sealed: bytes) -> Identity | None:
        try:
            return open_seal(sealed, self._unit, self._key).identity
        except RefusedError:
            return None

    def _keep(self, named: Identity, urgent: int, samples: int, receipted_ms: Value, sealed: bytes) -> None:
        """A page and an older image of it may both be found: what still waits in one of them waits."""
        known = self._boots.setdefault(named.boot, _Ended(len(self._boots) + 1, named.boot, named.boot_number))
        batch = batch_id(known.ordinal, named.sequence)
        state = SAMPLES + urgent if receipted_ms is None else RECEIPTED
        crc = form.batch_crc(batch, urgent, samples, sealed)
        self._db.execute(
            "insert into batches(id, state, urgent, samples, receipted_ms, crc, sealed) values(?, ?, ?, ?, ?, ?, ?) "
            f"on conflict(id) do update set state = excluded.state, receipted_ms = null where excluded.state in "
            f"({SAMPLES}, {URGENT}) and crc = excluded.crc",
            [batch, state, urgent, samples, receipted_ms, crc, sealed],
        )

    def _take_boot(self, row: Row) -> None:
        _, boot, number, last, settled, crc = row.columns
        if not (isinstance(boot, bytes) and isinstance(number, int) and isinstance(last, int)):
            return
        if isinstance(settled, int) and form.boot_crc(boot, number, last, settled) == crc:
            known = self._boots.setdefault(boot, _Ended(len(self._boots) + 1, boot, number))
            known.last, known.settled = max(known.last, last), max(known.settled, settled)

    def _take_journal(self, row: Row) -> None:
        _, last, settled, crc, body = row.columns
        if not (isinstance(last, int) and isinstance(settled, int) and isinstance(body, bytes | None)):
            return
        newer = self._journal is None or (last, len(body or b"")) > (self._journal[0], len(self._journal[2] or b""))
        if newer and form.journal_crc(last, settled, body) == crc:
            self._journal = last, settled, body

    def _take_kept(self, row: Row) -> None:
        """The file as its log has it comes first, so the first text found is the newest."""
        if row.columns[0] == "kept" and isinstance(row.columns[1], str):
            self._db.execute("insert or ignore into meta values('kept', ?)", [row.columns[1]])

    def _take_gap(self, row: Row) -> None:
        _, boot, first, last, samples, reason, _, crc = row.columns
        if not (isinstance(boot, bytes) and isinstance(first, int) and isinstance(last, int)):
            return
        if isinstance(samples, int) and isinstance(reason, str):
            gap = Gap(boot, first, last, samples, reason)
            if form.gap_crc(gap) == crc and reason != form.END_UNKNOWN:
                form.add_gap(self._db, gap)


def _rows_of_file(path: Path) -> Iterator[Row]:
    """Rows of the file as its log has it, then of the log behind where SQLite would stop reading it."""
    _, log_path, _ = form.parts_of(path)
    logged = log_path.read_bytes() if log_path.exists() else b""
    committed, frames = whole_frames(logged)
    newest = dict(frames)
    with path.open("rb", buffering=0) as file:
        page_bytes = page_bytes_of(_read_at(file, 0, 100), form.PAGE_BYTES)

        def read_page(number: int) -> bytes:
            begin = newest.get(number)
            if begin is not None:
                return logged[begin : begin + page_bytes]
            return _read_at(file, (number - 1) * page_bytes, page_bytes) if number > 0 else b""

        pages = path.stat().st_size // page_bytes
        for number in range(1, max(pages, max(newest, default=0)) + 1):
            yield from rows_of_page(number, read_page(number), read_page)
    yield from _rows_of_frames(logged, committed)


def _read_at(file: IO[bytes], at: int, length: int) -> bytes:
    """Bytes of a file; none where the card cannot read them."""
    try:
        return os.pread(file.fileno(), length, at)
    except OSError:
        return b""
