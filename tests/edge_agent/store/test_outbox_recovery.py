"""Opening what is left of an outbox: a power cut costs nothing that was put, damage only what it hit, all declared."""

import random
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.batch import Batcher
from edge_agent.store import outbox_file, outbox_recovery
from edge_agent.store.boots import Boots, read_boots
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import LOG_FRAMES, batch_id, sequence_of
from edge_agent.store.outbox_recovery import Opened, OutboxUnavailableError, open_outbox
from wire.codec import decode_body
from wire.records import Event, Gap, Receipt, Sample, SequenceRange, TimeQuality
from wire.seal import Identity, open_seal

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT = "PW000001"
NOW_MS = 1_795_421_700_000
PARTS = ("outbox.db", "outbox.db-wal")


KEPT = '{"rules": {"ignition": "on"}}'


def opened(folder: Path, key: Ed25519PrivateKey = KEY) -> Opened:
    return open_outbox(folder, UNIT, key.public_key())


@dataclass
class Writer:
    """A unit that seals and journals, and remembers what it sealed: batches of 1, 20 and 60 samples, some events."""

    outbox: Outbox
    seed: int = 0
    sealed: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.batcher = Batcher(KEY, self.outbox.sealed_before(UNIT), 7, 600, 600.0)
        self.dice = random.Random(self.seed)

    def collect(self, samples: int) -> None:
        for n in range(samples):
            place = {"lat_deg": self.dice.uniform(31, 32), "lon_deg": self.dice.uniform(117, 118)}
            self.batcher.add_sample(Sample(float(n), None, TimeQuality.NONE, **place))

    def seal(self, count: int = 1) -> "Writer":
        for _ in range(count):
            self.collect(self.dice.choice((1, 20, 60)))
            if self.dice.random() < 0.2:
                self.batcher.add_event(Event("unit_started", 0, None, TimeQuality.NONE))
            batches = self.batcher.seal({})
            self.outbox.put(batches, None)
            self.sealed |= {each.sequence: each.data for each in batches}
        return self

    def journal(self, samples: int) -> "Writer":
        self.collect(samples)
        self.outbox.put([], self.batcher.open_body())
        return self

    def receipt(self, *spans: tuple[int, int]) -> "Writer":
        committed = tuple(SequenceRange(*span) for span in spans)
        self.outbox.receipt(Receipt(UNIT, self.outbox.boot, committed, NOW_MS, ()))
        return self


def found_of(folder: Path, boot: bytes) -> dict[int, bytes]:
    """What the outbox holds of a boot: bytes by sequence, by what the bytes say themselves."""
    with closing(sqlite3.connect(folder / "outbox.db")) as db:
        rows = [
            open_seal(sealed, UNIT, KEY.public_key()).identity for (sealed,) in db.execute("select sealed from batches")
        ]
        found = [sealed for (sealed,) in db.execute("select sealed from batches")]
    return {name.sequence: data for name, data in zip(rows, found, strict=True) if name.boot == boot}


def gaps_of(outbox: Outbox) -> list[Gap]:
    gaps = outbox.gaps_to_declare()
    assert len(gaps) < 32
    return gaps


def declared(gaps: Iterable[Gap], boot: bytes) -> tuple[set[int], int]:
    """Sequences declared lost, and where the boot is said to have ended."""
    lost = {n for gap in gaps if gap.boot == boot and gap.reason == "damaged" for n in range(gap.first, gap.last + 1)}
    (end,) = (gap.first for gap in gaps if gap.boot == boot and gap.reason == "end_unknown")
    return lost, end


def copy(source: Path, target: Path, change: Callable[[str, bytes], bytes] = lambda _, data: data) -> Path:
    """The outbox as a power cut would leave it in `source`, in a folder of its own."""
    target.mkdir()
    for name in (*PARTS, "boots", "boots_copy", "outbox.last"):
        if (source / name).exists():
            (target / name).write_bytes(change(name, (source / name).read_bytes()))
    return target


# Sound


def test_the_first_outbox_is_the_first_boot_and_is_kept(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert (first.found, first.told, first.outbox.boot_number, first.outbox.gaps_to_declare()) == ("new", {}, 1, [])
    assert read_boots(tmp_path) == Boots(1, first.outbox.boot)
    writer = Writer(first.outbox).seal(5).journal(7)
    first.outbox.close()
    again = opened(tmp_path)
    assert (again.found, again.outbox.boot, again.outbox.boot_number) == ("kept", writer.outbox.boot, 1)
    assert found_of(tmp_path, writer.outbox.boot) == writer.sealed
    assert len(decode_body(again.outbox.journal() or b"").samples) == 7


def test_a_lost_count_of_boots_is_mended_from_the_outbox(tmp_path: Path) -> None:
    opened(tmp_path).outbox.close()
    for name in ("boots", "boots_copy"):
        (tmp_path / name).unlink()
    again = opened(tmp_path).outbox
    assert read_boots(tmp_path) == Boots(1, again.boot)


def test_a_lost_outbox_is_a_new_boot_that_says_that_nothing_is_left_of_the_old(tmp_path: Path) -> None:
    old = opened(tmp_path).outbox
    old.close()
    (tmp_path / "outbox.db").unlink()
    new = opened(tmp_path)
    assert (new.found, new.outbox.boot_number) == ("new", 2)
    assert new.outbox.gaps_to_declare() == [Gap(old.boot, 1, LOG_FRAMES, 0, "end_unknown")]


# Power cuts


def torn(before: bytes, after: bytes, dice: random.Random) -> bytes:
    """What a card may hold that lost power while `before` became `after`: any of its 512-byte sectors old or new."""
    length = max(len(before), len(after))
    before, after = before.ljust(length, b"\0"), after.ljust(length, b"\0")
    share = dice.random()
    parts = [(after if dice.random() < share else before)[n : n + 512] for n in range(0, length, 512)]
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_while_putting_loses_nothing_that_was_put(tmp_path: Path, seed: int) -> None:
    """SQLite writes the log and waits; then, now and then, it folds it into the file and waits. Either may be torn."""
    dice = random.Random(seed)
    writer = Writer(opened(tmp_path).outbox, seed)
    boot = writer.outbox.boot
    for n in range(150):
        before = {name: (tmp_path / name).read_bytes() for name in PARTS}
        sealed_before = dict(writer.sealed)
        if n % 5 == 4:
            writer.seal()
        else:
            writer.journal(dice.randrange(1, 6))
        after = {name: (tmp_path / name).read_bytes() for name in PARTS}
        folded = before["outbox.db"] != after["outbox.db"]
        if n % 5 != 4 and not folded and n % 7:
            continue
        while_folding = folded and dice.random() < 0.7
        cut = tmp_path / f"cut-{n}"
        cut.mkdir()
        if while_folding:
            db, log = torn(before[PARTS[0]], after[PARTS[0]], dice), after[PARTS[1]]
        else:  # a log that begins anew gets its new header, and waits for the card, before its first frame
            headed = after[PARTS[1]][:32] + before[PARTS[1]][32:]
            db, log = before[PARTS[0]], torn(headed, after[PARTS[1]], dice) + dice.randbytes(dice.choice((0, 3000)))
        (cut / PARTS[0]).write_bytes(db)
        (cut / PARTS[1]).write_bytes(log)
        outcome = opened(cut)
        left = found_of(cut, boot)
        assert sealed_before.items() <= left.items() <= writer.sealed.items()
        if outcome.found == "kept":
            assert outcome.outbox.boot == boot
            assert outcome.outbox.sealed_before(UNIT).sequence == max(left, default=0)
        else:  # the batch being put is whole in the log but its commit is not: it counts, and its number is not reused
            assert left == writer.sealed
            assert outcome.outbox.boot != boot
            assert declared(gaps_of(outcome.outbox), boot) == (set(), max(left) + 1)
            assert outcome.outbox.journal() is None, "its samples are in that batch"
        outcome.outbox.close()


def test_a_cut_while_a_damaged_outbox_is_set_aside_is_taken_up_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    writer = Writer(opened(source).outbox).seal(30)
    boot, replace = writer.outbox.boot, Path.replace
    writer.outbox.close()
    (source / PARTS[1]).write_bytes(b"a log that is none" * 100)

    def without_the_log(self: Path, target: Path) -> Path:
        return cut() if self.name.endswith("-wal") else replace(self, target)

    def cut(*_: object, **__: object) -> Path:
        raise OSError("power cut")

    for step in ("replace", "create_file", "finish_file", "remember_boot"):
        folder = copy(source, tmp_path / step, lambda name, data: bytes(100) + data[100:] if name == PARTS[0] else data)
        with monkeypatch.context() as patched:
            if step == "replace":  # after the file got its new name, before its log did
                patched.setattr(Path, "replace", without_the_log)
            else:
                patched.setattr(outbox_recovery if step == "remember_boot" else outbox_file, step, cut)
            with pytest.raises(OutboxUnavailableError, match="power cut"):
                opened(folder)
        again = opened(folder)
        assert found_of(folder, boot) == writer.sealed
        assert declared(gaps_of(again.outbox), boot)[0] == set()
        assert read_boots(folder) == Boots(2, again.outbox.boot)
        again.outbox.close()


# Damage

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "zero length": lambda good: b"",
    "one byte": lambda good: good[:1],
    "half a header": lambda good: good[:50],
    "not SQLite": lambda good: b"no database at all\n" * 1000,
    "header only": lambda good: good[:1024],
    "half": lambda good: good[: len(good) // 2],
    "last page missing": lambda good: good[:-1024],
    "header flipped": lambda good: bytes(255 - byte for byte in good[:100]) + good[100:],
    "schema flipped": lambda good: good.replace(b"CREATE TABLE", b"CREA\xabE TABLE"),
    "another name for a column": lambda good: good.replace(b"reason text", b"reasen text"),
    "other schema": lambda good: good.replace(b"batches", b"botches"),
    "every second page zero": lambda good: b"".join(
        good[n : n + 1024] if n // 1024 % 2 else bytes(1024) for n in range(0, len(good), 1024)
    ),
}
WHOLE = {"header flipped", "schema flipped", "other schema", "another name for a column"}


def damaged(folder: Path, damage: Callable[[bytes], bytes]) -> Writer:
    """An outbox of 60 batches, the first 20 with receipts, its log folded in, and then damaged."""
    outbox = opened(folder).outbox
    outbox.put([], None, kept="older")
    writer = Writer(outbox).seal(60).receipt((1, 20)).journal(9)
    outbox.put([], writer.batcher.open_body(), kept=KEPT)
    outbox.close()
    good = (folder / "outbox.db").read_bytes()
    assert damage(good) != good
    (folder / "outbox.db").write_bytes(damage(good))
    return writer


@pytest.mark.parametrize("kind", DAMAGE)
def test_after_damage_everything_is_there_or_declared(tmp_path: Path, kind: str) -> None:
    writer = damaged(tmp_path, DAMAGE[kind])
    again = opened(tmp_path)
    assert (again.found, again.outbox.boot_number) == ("replaced", 2)
    assert again.outbox.boot != writer.outbox.boot
    left = found_of(tmp_path, writer.outbox.boot)
    lost, end = declared(gaps_of(again.outbox), writer.outbox.boot)
    assert left.items() <= writer.sealed.items()
    assert not lost & left.keys()
    assert {n for n in writer.sealed if n not in left and n > 20} <= lost | set(range(end, 61))
    if kind in WHOLE:
        assert (left, lost, end) == (writer.sealed, set(), 61)
        assert len(decode_body(again.outbox.journal() or b"").samples) == 9
        assert again.outbox.held().receipted == 20
        assert again.told["recovered_batches"] == "60"
        assert again.outbox.kept_text == KEPT
    assert (tmp_path / again.told["set_aside"]).name == "outbox.damaged-1"
    again.outbox.close()
    assert opened(tmp_path).found == "kept"


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_byte_costs_at_most_what_it_is_in_and_never_a_sequence_twice(
    tmp_path: Path, part: str, seed: int
) -> None:
    """Flipped anywhere in file or log: what is sent then is what was sealed, and all that is missing is declared."""
    dice = random.Random(seed)
    source = tmp_path / "source"
    source.mkdir()
    writer = Writer(opened(source).outbox, seed).seal(45).receipt((1, 10)).journal(9)
    boot, length = writer.outbox.boot, (source / part).stat().st_size
    if part == PARTS[1]:
        length = min(length, 140 * 1048)
    for n in range(12):
        at = dice.randrange(length)

        def flip(name: str, data: bytes, at: int = at) -> bytes:
            return data[:at] + bytes([data[at] ^ dice.randrange(1, 256)]) + data[at + 1 :] if name == part else data

        outcome = opened(copy(source, tmp_path / f"{n}", flip))
        outbox = outcome.outbox
        sent = {
            open_seal(data, UNIT, KEY.public_key()).identity.sequence: data
            for each in range(1, outbox._own)
            for sequence in writer.sealed
            if (data := outbox.sealed(batch_id(each, sequence)))
        }
        if outcome.found == "kept":
            sent |= {n: data for n in writer.sealed if (data := outbox.sealed(batch_id(1, n)))}
        lost = {n for gap in gaps_of(outbox) if gap.boot == boot for n in range(gap.first, gap.last + 1)}
        assert sent.items() <= writer.sealed.items()
        missing = {n for n in writer.sealed if n > 10} - sent.keys()
        assert missing <= lost, f"byte {at}"
        assert len(missing) <= 8, "the rows of one page of a kilobyte"
        if outbox.boot == boot:
            assert outbox.sealed_before(UNIT).sequence == 45
        outbox.close()


def test_the_signature_decides_what_is_recovered(tmp_path: Path) -> None:
    writer = damaged(tmp_path, DAMAGE["header flipped"])
    other = opened(tmp_path, Ed25519PrivateKey.generate())
    assert found_of(tmp_path, writer.outbox.boot) == {}
    assert declared(gaps_of(other.outbox), writer.outbox.boot) == (set(range(21, 61)), 61)


def test_what_is_recovered_waits_until_the_server_knows_where_its_boot_ended(tmp_path: Path) -> None:
    old = damaged(tmp_path, DAMAGE["header flipped"])
    outbox = opened(tmp_path).outbox
    lanes = outbox.waiting(None, (), 100)
    assert lanes.events + lanes.backlog == ()
    gaps = gaps_of(outbox)
    batcher = Batcher(KEY, outbox.sealed_before(UNIT), 7, 60, 60.0)
    for gap in gaps:
        batcher.add_gap(gap)
    (telling,) = batcher.seal({})
    outbox.put([telling], None)
    own = outbox.newest_id
    assert outbox.waiting(None, (), 100).events == (own,)
    outbox.receipt(Receipt(UNIT, outbox.boot, (SequenceRange(1, 1),), NOW_MS, ()))
    lanes = outbox.waiting(None, (), 100)
    assert sorted(map(sequence_of, lanes.events + lanes.backlog)) == list(range(21, 61))
    assert outbox.knows(old.outbox.boot)
    assert outbox.receipt(Receipt(UNIT, old.outbox.boot, (SequenceRange(1, 50),), NOW_MS, ())) == 30
    assert outbox.held().waiting == 10


def test_a_second_damage_carries_the_older_boot_on_and_asks_only_for_what_is_not_settled(tmp_path: Path) -> None:
    old = damaged(tmp_path, DAMAGE["header flipped"])
    outbox = opened(tmp_path).outbox
    outbox.receipt(Receipt(UNIT, old.outbox.boot, (SequenceRange(21, 40),), NOW_MS, ()))
    newer = Writer(outbox, 1).seal(5)
    outbox.close()
    good = (tmp_path / "outbox.db").read_bytes()
    (tmp_path / "outbox.db").write_bytes(DAMAGE["header flipped"](good))
    again = opened(tmp_path)
    gaps = gaps_of(again.outbox)
    assert found_of(tmp_path, old.outbox.boot) == old.sealed
    assert found_of(tmp_path, newer.outbox.boot) == newer.sealed
    assert declared(gaps, old.outbox.boot) == (set(), 61)
    assert declared(gaps, newer.outbox.boot) == (set(), 6)
    assert again.outbox.boot_number == 3


def test_losses_that_were_written_down_survive_the_damage(tmp_path: Path) -> None:
    outbox = opened(tmp_path).outbox
    Writer(outbox).seal(30)
    outbox.make_room(outbox.held().bytes // 2, 7)
    lost = outbox.gaps_to_declare()
    assert lost
    boot = outbox.boot
    outbox.close()
    good = (tmp_path / "outbox.db").read_bytes()
    (tmp_path / "outbox.db").write_bytes(DAMAGE["header flipped"](good))
    assert set(lost) <= {gap for gap in opened(tmp_path).outbox.gaps_to_declare() if gap.boot == boot}


def test_two_set_aside_files_are_kept_and_what_is_deleted_is_told(tmp_path: Path) -> None:
    opened(tmp_path).outbox.close()
    told = []
    for _ in range(4):
        (tmp_path / "outbox.db").write_bytes(b"damaged" * 1000)
        again = opened(tmp_path)
        again.outbox.close()
        told.append((again.told["set_aside"], again.told.get("deleted")))
    assert told == [
        ("outbox.damaged-1", None),
        ("outbox.damaged-2", None),
        ("outbox.damaged-3", "outbox.damaged-1"),
        ("outbox.damaged-4", "outbox.damaged-2"),
    ]
    assert sorted(each.name for each in tmp_path.glob("outbox.damaged-*")) == ["outbox.damaged-3", "outbox.damaged-4"]
    assert again.outbox.boot_number == 5


def test_the_number_of_a_new_boot_is_above_any_that_the_damaged_file_tells(tmp_path: Path) -> None:
    Writer(Outbox.create(tmp_path / "outbox.db", 41)).seal(3).outbox.close()
    good = (tmp_path / "outbox.db").read_bytes()
    (tmp_path / "outbox.db").write_bytes(DAMAGE["header flipped"](good))
    assert opened(tmp_path).outbox.boot_number == 42


def test_an_outbox_of_the_first_version_is_carried_on(tmp_path: Path) -> None:
    batcher = Batcher(KEY, Writer(Outbox.create(tmp_path / "x.db", 6)).outbox.sealed_before(UNIT), 7, 60, 60.0)
    sealed = []
    for n in range(90):
        batcher.add_sample(Sample(float(n), None, TimeQuality.NONE, lat_deg=n / 7))
        sealed += batcher.seal({})
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        db.execute("create table meta(name text primary key, value blob)")
        db.execute(
            "create table batches(sequence integer primary key, sealed blob, samples integer, receipted_ms integer)"
        )
        db.executemany("insert into batches values(?, ?, ?, null)", [(n.sequence, n.data, n.samples) for n in sealed])
        db.commit()
    (tmp_path / "boots").write_text("6\n")
    again = opened(tmp_path)
    name: Identity = open_seal(sealed[0].data, UNIT, KEY.public_key()).identity
    assert found_of(tmp_path, name.boot) == {each.sequence: each.data for each in sealed}
    assert again.outbox.held().waiting_samples == 90
    assert (again.found, again.outbox.boot_number) == ("replaced", 7)


# Not now


def test_a_disk_that_is_full_or_a_file_that_is_held_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = Writer(opened(tmp_path).outbox).seal(5)
    writer.outbox.close()
    for error in (OSError(28, "No space left on device"), sqlite3.OperationalError("database or disk is full")):
        with monkeypatch.context() as patched:

            def fails(path: Path, error: Exception = error) -> None:
                raise error

            patched.setattr(outbox_file, "open_file", fails)
            if isinstance(error, sqlite3.Error):
                error.sqlite_errorcode = sqlite3.SQLITE_FULL
            with pytest.raises(OutboxUnavailableError, match=r"outbox\.db: .*(space|full)"):
                opened(tmp_path)
    assert opened(tmp_path).found == "kept"
    assert found_of(tmp_path, writer.outbox.boot) == writer.sealed
    assert list(tmp_path.glob("*.damaged*")) == []


def test_a_full_disk_while_recovering_leaves_the_damaged_file_for_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = damaged(tmp_path, DAMAGE["header flipped"])

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(outbox_file, "sync", full)
        with pytest.raises(OutboxUnavailableError, match="No space"):
            opened(tmp_path)
    assert opened(tmp_path).found == "replaced"
    assert found_of(tmp_path, writer.outbox.boot) == writer.sealed


def test_a_full_card_is_opened_with_the_room_that_was_kept_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = opened(tmp_path).outbox
    writer = Writer(outbox).seal(3)
    outbox.make_room(1 << 20, 7)
    outbox.close()
    reserve = tmp_path / "outbox.reserve"
    assert reserve.stat().st_size >= 64 * 1024
    really = outbox_file.open_file

    def full_while_it_is_there(path: Path) -> object:
        if reserve.exists():
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error
        return really(path)

    monkeypatch.setattr(outbox_file, "open_file", full_while_it_is_there)
    again = opened(tmp_path)
    assert (again.found, reserve.exists()) == ("kept", False)
    assert found_of(tmp_path, writer.outbox.boot) == writer.sealed
    again.outbox.make_room(1 << 20, 7)
    assert reserve.exists(), "made again as soon as there is room"
    again.outbox.close()
