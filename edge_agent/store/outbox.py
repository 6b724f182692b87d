"""Batches on disk until the server's signed receipt: durable, bounded, and declared where something had to go.

SQLite in WAL mode with synchronous=FULL: `put` returns once the batch is on the card. One file is one *boot*, named by
128 random bits; besides its own batches it carries those that were read out of a damaged outbox of an earlier boot
(`outbox_recovery.py`), under the identity that they were sealed with. The samples not yet sealed are journalled beside
the batches, so that a power cut costs seconds.

What goes first when space is needed: batches with a receipt, then batches that hold samples only, then those with
events; of each kind the oldest first. The loss is written down in the same commit, and stays written down until a batch
that declares it has its receipt.
"""

import logging
import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from edge_agent.batch import Sealed, SealedBefore
from edge_agent.network.sending import Waiting
from edge_agent.store import outbox_file as form
from edge_agent.store.last_sealed import LastSealedFile
from edge_agent.store.losses import not_written_down, write_down
from edge_agent.store.outbox_file import RECEIPTED, SAMPLES, URGENT, batch_id, judged, sequence_of
from wire.records import BOOT_BYTES, Gap, Receipt, SequenceRange
from wire.seal import link_to

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
_MOST_GAPS_AT_ONCE = 32  # gap records in one batch, about 1 KB
_SCARCE_BYTES = 16 * 1024  # some ten batches of a minute
_MOST_GOING_AT_ONCE = 500  # batches let go of in one commit: a longer one would swell the write-ahead log


class Outbox:
    """One boot's batches, and what it carries of earlier ones. Used from one thread.

    Every method may raise OutboxDamagedError where the file turns out unreadable, and sqlite3.OperationalError where it
    cannot be used at the moment (disk full, held by another program); then nothing of that call has happened.
    """

    def __init__(self, path: Path) -> None:
        """Open an outbox that `outbox_recovery.open_outbox` has found sound.

        Raises:
            FileNotFoundError: there is none.
        """
        if not path.exists():
            raise FileNotFoundError(path)
        with judged(path):
            self._path, self._db = path, form.open_file(path)
            boots = self._db.execute("select ordinal, boot, number from boots order by ordinal").fetchall()
            if not boots:
                raise form.OutboxDamagedError(f"{path}: it names no boot")
            self._boots: dict[int, bytes] = {ordinal: boot for ordinal, boot, _ in boots}
            self._own: int = boots[-1][0]
            self.boot_number: int = boots[-1][2]
            meta = dict(self._db.execute("select name, value from meta").fetchall())
            self._server_time_ms: int = meta.get("server_time_ms", 0)
            self.kept_text: str | None = meta.get("kept")  # what `put` was last given to keep
            (total,) = self._db.execute(f"select sum({form.STORED_BYTES_SQL}) from batches").fetchone()  # noqa: S608
            self._bytes: int = total or 0
        self._last_sealed = LastSealedFile(form.last_of(path), self.boot)
        self._offered: set[int] = set()  # gaps that were handed out to be declared; at most _MOST_GAPS_AT_ONCE

    @classmethod
    def create(cls, path: Path, boot_number: int) -> "Outbox":
        """A new outbox with nothing in it, and with it a new boot."""
        beside = path.with_suffix(".new")
        db = form.create_file(beside)
        with db.atomic():
            form.add_boot(db, 1, os.urandom(BOOT_BYTES), boot_number)
        form.finish_file(db, beside, path)
        return cls(path)

    @property
    def boot(self) -> bytes:
        """The boot that new batches belong to."""
        return self._boots[self._own]

    @property
    def server_time_ms(self) -> int:
        """The newest time that a receipt has told, UTC ms; 0 before the first."""
        return self._server_time_ms

    @property
    def newest_id(self) -> int:
        """The id of the newest batch: the own boot's last, or what comes before its first."""
        with judged(self._path):
            query, low = "select max(id) from batches where id > ?", batch_id(self._own, 0)
            (newest,) = self._db.execute(query, [low]).fetchone()
        return int(newest or low)

    def sealed_before(self, unit: str) -> SealedBefore:
        """Where the chain stands."""
        newest = self.newest_id
        with judged(self._path):
            last = self._db.execute("select sealed from batches where id = ?", [newest]).fetchone()
        link = b"" if last is None else link_to(last[0])
        return SealedBefore(unit, self.boot, self.boot_number, sequence_of(newest), link)

    def put(
        self, sealed: Iterable[Sealed], journal: bytes | None, lost: Iterable[Gap] = (), kept: str | None = None
    ) -> None:
        """Keep sealed batches and, in the same commit, replace the journal by what is still not sealed.

        Args:
            sealed: the batches, in their order.
            journal: body bytes of the records that are not sealed yet, None where there are none.
            lost: batches that were sealed and will never be put, because memory was short while the disk was full.
            kept: what has been told with these batches (`kept.py`); None leaves it as it is.
        """
        batches = list(sealed)
        with self._commit():
            self._db.conn.executemany(
                "insert into batches(id, state, urgent, samples, crc, sealed) values(?, ?, ?, ?, ?, ?)",
                [self._row(each) for each in batches],
            )
            for each in batches:
                for gap in each.gaps:
                    self._db.execute(
                        'update gaps set told_in = ? where told_in is null and boot = ? and "first" = ? and "last" = ?',
                        [batch_id(self._own, each.sequence), gap.boot, gap.first, gap.last],
                    )
            went = list(lost)
            for gap in went:
                write_down(self._db, gap, self._offered)
            self._put_journal(journal)
            if kept is not None:
                self._db.execute("insert or replace into meta values('kept', ?)", [kept])
        if batches:
            self._last_sealed.write(max(each.sequence for each in batches))
        self._bytes += sum(form.stored_bytes(len(each.data)) for each in batches)
        if went or any(each.gaps for each in batches):
            self._offered.clear()

    def journal(self) -> bytes | None:
        """The records that were not sealed when the agent last ended; None where there are none that can be read."""
        with judged(self._path):
            row = self._db.execute('select "last", settled, crc, body from journal').fetchone()
        if row is None or row[3] is None:
            return None
        if form.journal_crc(row[0], row[1], row[3]) != row[2]:
            log.error("%s: the journal is damaged; the samples that were not sealed are lost", self._path)
            return None
        return zlib.decompress(row[3])

    def waiting(self, live_from: int | None, leave_out: Collection[int], limit: int) -> Waiting:
        """What has no receipt, by lane; at most `limit` of each, and none of `leave_out`.

        What was recovered of earlier boots waits until the server has been told where those ended: before that it takes
        nothing of them (server/live.py).
        """
        begin = batch_id(self._own, 0) if self._end_to_be_told() else 0
        live = batch_id(self._own + 1, 0) if live_from is None else live_from
        holes = ",".join(str(int(each)) for each in leave_out)

        def of(state: int, low: int, high: int) -> tuple[int, ...]:
            rows = self._db.execute(
                f"select id from batches where state = ? and id >= ? and id < ? and id not in ({holes}) "  # noqa: S608
                "order by id limit ?",
                [state, low, high, limit],
            )
            return tuple(each for (each,) in rows)

        with judged(self._path):
            end = batch_id(self._own + 1, 0)
            newest = of(URGENT, live, end) + of(SAMPLES, live, end)
            return Waiting(newest[:limit], of(URGENT, begin, live), of(SAMPLES, begin, live))

    def sealed(self, batch: int) -> bytes | None:
        """The bytes to send; None where the batch has its receipt by now.

        Bytes that are not what was put are never sent: the batch is written off and its loss declared.
        """
        with judged(self._path):
            row = self._db.execute(
                "select urgent, samples, crc, sealed from batches where id = ? and state in (?, ?)",
                [batch, SAMPLES, URGENT],
            ).fetchone()
        if row is None:
            return None
        urgent, samples, crc, data = row
        if isinstance(data, bytes) and form.batch_crc(batch, urgent, samples, data) == crc:
            return data
        sequence = sequence_of(batch)
        with self._commit():
            self._db.execute("update batches set state = ? where id = ?", [form.LOST, batch])
            self._db.execute("update gaps set told_in = null where told_in = ?", [batch])
            write_down(
                self._db, Gap(self._boots[form.ordinal_of(batch)], sequence, sequence, 0, form.DAMAGED), self._offered
            )
        return None

    def kept_ids(self) -> list[int]:
        """Ids of the own boot's batches that are here, with or without a receipt, in their order."""
        query = "select id from batches where id > ? and state != ? order by id"
        with judged(self._path):
            return [each for (each,) in self._db.execute(query, [batch_id(self._own, 0), form.LOST])]

    def kept(self, batch: int) -> bytes | None:
        """The bytes of a batch, with or without a receipt, to be looked into."""
        with judged(self._path):
            row = self._db.execute("select sealed from batches where id = ?", [batch]).fetchone()
        return row[0] if row else None

    def send_again(self, batches: Iterable[int]) -> None:
        """The server wants these again, though it has sent a receipt for them."""
        query = "update batches set state = ? + urgent, receipted_ms = null where id = ? and state = ?"
        with self._commit():
            self._db.conn.executemany(query, [[SAMPLES, each, RECEIPTED] for each in batches])

    def still_waiting(self, batches: Collection[int]) -> set[int]:
        """Those of `batches` (ids) that have no receipt yet."""
        asked = ",".join(str(int(each)) for each in batches)
        query = f"select id from batches where state in ({SAMPLES}, {URGENT}) and id in ({asked})"  # noqa: S608
        with judged(self._path):
            return {each for (each,) in self._db.execute(query)}

    def knows(self, boot: bytes) -> bool:
        """Whether batches of this boot are, or were, here."""
        return boot in self._boots.values()

    def receipt(self, receipt: Receipt) -> int:
        """Take a receipt whose signature held: how many batches it covers that had none. An unknown boot's covers none.

        What the server wants again and is not here any more will be declared. The commit does not wait for the card:
        a receipt that a power cut takes away is only sent for again.
        """
        ordinal = next((ordinal for ordinal, boot in self._boots.items() if boot == receipt.boot), None)
        if ordinal is None:
            return 0
        covered = 0
        with self._commit(lazily=True):
            for each in receipt.committed:
                ids = [batch_id(ordinal, each.first), batch_id(ordinal, each.last)]
                covered += self._db.execute(
                    "update batches set state = ?, receipted_ms = ? where id between ? and ? and state in (?, ?)",
                    [RECEIPTED, receipt.server_time_ms, *ids, SAMPLES, URGENT],
                ).rowcount
                self._db.execute("delete from gaps where told_in between ? and ?", ids)
            for each in receipt.wanted:
                self._db.execute(
                    "update batches set state = ? + urgent, receipted_ms = null where id between ? and ? and state = ?",
                    [SAMPLES, batch_id(ordinal, each.first), batch_id(ordinal, each.last), RECEIPTED],
                )
                self._declare_missing(ordinal, each)
            if ordinal != self._own and covered:
                self._settle(ordinal)
            if receipt.server_time_ms > self._server_time_ms:
                self._db.execute("insert or replace into meta values('server_time_ms', ?)", [receipt.server_time_ms])
        self._server_time_ms = max(self._server_time_ms, receipt.server_time_ms)
        return covered

    def make_room(self, max_bytes: int, keep_days: int, keep_free_bytes: int = 0, *, is_pressed: bool = False) -> bool:
        """Let go of what may go: receipted batches past their days, then what must while over the bound.

        Args:
            max_bytes: bound of `Held.bytes`.
            keep_days: how long a batch stays after its receipt.
            keep_free_bytes: what must be left to grow into, on the disk and in the file, before receipted batches go.
                Others that fill the card must not empty the outbox: what has no receipt stays, but for `is_pressed`.
            is_pressed: new batches wait for a place: old ones without a receipt go for them, a few at a time.

        Returns:
            Whether more has to go: one call takes at most 500 batches.
        """
        form.keep_reserve(self._path)
        room, over = form.room_to_grow(self._path, self._db), self._bytes - max_bytes
        not_received = max(over, _SCARCE_BYTES - room if is_pressed else 0)
        too_many = {
            form.LOST: 0,
            RECEIPTED: max(over, keep_free_bytes - room),
            SAMPLES: not_received,
            URGENT: not_received,
        }
        going = self._going(too_many, self._server_time_ms - keep_days * _DAY_MS)
        if going:
            with self._commit():
                for batch, state, samples, _ in going:
                    self._db.execute("delete from batches where id = ?", [batch])
                    if state in (SAMPLES, URGENT):
                        self._db.execute("update gaps set told_in = null where told_in = ?", [batch])
                        boot, sequence = self._boots[form.ordinal_of(batch)], sequence_of(batch)
                        write_down(self._db, Gap(boot, sequence, sequence, samples, form.OUTBOX_FULL), self._offered)
            self._bytes -= sum(size for _, _, _, size in going)
        return len(going) == _MOST_GOING_AT_ONCE

    def gaps_to_declare(self) -> list[Gap]:
        """Losses to be sealed into the next batch; none while those that were handed out before are not put yet."""
        if self._offered:
            return []
        with judged(self._path):
            rows = self._db.execute(
                'select id, crc, boot, "first", "last", samples, reason from gaps where told_in is null '
                "order by id limit ?",
                [_MOST_GAPS_AT_ONCE],
            ).fetchall()
        gaps = [Gap(*row[2:]) for row in rows]
        if any(form.gap_crc(gap) != row[1] for gap, row in zip(gaps, rows, strict=True)):
            raise form.OutboxDamagedError(f"{self._path}: a gap record is not what was written")
        self._offered = {row[0] for row in rows}
        return gaps

    def is_drained(self) -> bool:
        """Whether every batch has its receipt; asked each second, so it counts nothing."""
        with judged(self._path):
            query = "select 1 from batches where state in (?, ?) limit 1"
            return not self._db.execute(query, [SAMPLES, URGENT]).fetchone()

    def held(self) -> form.Held:
        """How much is here."""
        with judged(self._path):
            query = "select count(*), coalesce(sum(samples), 0) from batches where state in (?, ?)"
            waiting, samples = self._db.execute(query, [SAMPLES, URGENT]).fetchone()
            (receipted,) = self._db.execute("select count(*) from batches where state = ?", [RECEIPTED]).fetchone()
        return form.Held(waiting, samples, receipted, self._bytes)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _row(self, each: Sealed) -> tuple[int, int, int, int, int, bytes]:
        batch, urgent = batch_id(self._own, each.sequence), int(each.urgent)
        crc = form.batch_crc(batch, urgent, each.samples, each.data)
        return batch, SAMPLES + urgent, urgent, each.samples, crc, each.data

    def _put_journal(self, body: bytes | None) -> None:
        """One row in a page of its own. It also says how far the boot has come: a damaged file is held against that."""
        newest = self.newest_id
        settled = newest
        for state in (SAMPLES, URGENT, form.LOST):
            query = "select min(id) from batches where state = ? and id > ?"
            (oldest,) = self._db.execute(query, [state, batch_id(self._own, 0)]).fetchone()
            settled = min(settled, newest if oldest is None else oldest - 1)
        (undeclared,) = self._db.execute('select min("first") from gaps where boot = ?', [self.boot]).fetchone()
        told = min(sequence_of(settled), sequence_of(newest) if undeclared is None else undeclared - 1)
        folded = None if body is None else zlib.compress(body, 6)
        row = [sequence_of(newest), told, form.journal_crc(sequence_of(newest), told, folded), folded]
        self._db.execute("insert or replace into journal values(1, ?, ?, ?, ?)", row)

    def _declare_missing(self, ordinal: int, wanted: SequenceRange) -> None:
        query = "select id from batches where id between ? and ? order by id"
        rows = self._db.execute(query, [batch_id(ordinal, wanted.first), batch_id(ordinal, wanted.last)])
        here, boot = [sequence_of(each) for (each,) in rows], self._boots[ordinal]
        for before, after in pairwise([wanted.first - 1, *here, wanted.last + 1]):
            for first, last in not_written_down(self._db, boot, before + 1, after - 1):
                write_down(self._db, Gap(boot, first, last, 0, form.NOT_KEPT), self._offered)

    def _settle(self, ordinal: int) -> None:
        """How far an earlier boot's batches have their receipts now."""
        number, last = self._db.execute('select number, "last" from boots where ordinal = ?', [ordinal]).fetchone()
        query = "select min(id) from batches where state <> ? and id between ? and ?"
        (oldest,) = self._db.execute(query, [RECEIPTED, batch_id(ordinal, 0), batch_id(ordinal + 1, 0)]).fetchone()
        settled = last if oldest is None else sequence_of(oldest) - 1
        form.add_boot(self._db, ordinal, self._boots[ordinal], number, last, settled)

    def _end_to_be_told(self) -> bool:
        with judged(self._path):
            query = "select 1 from gaps where reason = ? limit 1"
            return self._db.execute(query, [form.END_UNKNOWN]).fetchone() is not None

    def _going(self, too_many: Mapping[int, int], old_ms: int) -> list[tuple[int, int, int, int]]:
        """(id, state, samples, bytes) of the batches to let go of. The own newest stays: the next links to it.

        `too_many`: bytes by state, in the order to go in.
        """
        newest, freed, going = self.newest_id, 0, list[tuple[int, int, int, int]]()
        for state, most in too_many.items():
            with judged(self._path):
                rows = self._db.execute(
                    f"select id, samples, receipted_ms, {form.STORED_BYTES_SQL} from batches "  # noqa: S608
                    "where state = ? and id <> ? order by id limit ?",
                    [state, newest, _MOST_GOING_AT_ONCE - len(going)],
                ).fetchall()
            for batch, samples, receipted_ms, size in rows:
                old = state == RECEIPTED and receipted_ms < old_ms
                if most <= freed and not old and state != form.LOST:
                    break
                freed += size
                going.append((batch, state, samples, size))
        return going

    @contextmanager
    def _commit(self, *, lazily: bool = False) -> Iterator[None]:
        """One transaction. One that is `lazily` committed is on the card with the next that is not."""
        with judged(self._path):
            if lazily:
                self._db.execute("pragma synchronous=normal")
            try:
                with self._db.atomic():
                    yield
            finally:
                if lazily:
                    self._db.execute("pragma synchronous=full")
