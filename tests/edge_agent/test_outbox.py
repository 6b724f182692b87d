"""The outbox on a real disk: durable across kill -9, bounded, and honest about what it had to drop."""

import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.batch import Batcher, Sealed, SealedBefore
from edge_agent.outbox import Held, Outbox, OutboxDamagedError, Waiting
from wire.records import Gap, Receipt, Sample, SequenceRange, TimeQuality
from wire.seal import link_to, stored_link

ROOT = Path(__file__).parents[2]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT = "PW000001"
DAY_MS = 86_400_000
NOW_MS = 1_795_421_700_000
EVERYTHING = 10**9

# Puts batch after batch, each with a journal that names it, and says each sequence once `put` has returned.
PUTS_FOR_EVER = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_agent.batch import Batcher
from edge_agent.outbox import Outbox
from wire.records import Sample, TimeQuality
outbox = Outbox(Path(sys.argv[1]))
key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
batcher = Batcher(key, outbox.sealed_before("PW000001"), 7, 60, 60.0)
while True:
    batcher.add_sample(Sample(1.0, None, TimeQuality.NONE))
    sealed = batcher.seal({})
    outbox.put(sealed, str(sealed[-1].sequence).encode())
    print(sealed[-1].sequence, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    outbox = Outbox.create(path, 1)
    yield outbox
    outbox.close()


def batch(sequence: int, size: int = 100, samples: int = 60) -> Sealed:
    return Sealed(sequence, sequence.to_bytes(size, "little"), samples)


def filled(outbox: Outbox, last: int, first: int = 1) -> Outbox:
    outbox.put([batch(n) for n in range(first, last + 1)], None)
    return outbox


def ranges(*spans: tuple[int, int]) -> tuple[SequenceRange, ...]:
    return tuple(SequenceRange(first, last) for first, last in spans)


def receipt(
    outbox: Outbox, *spans: tuple[int, int], time_ms: int = NOW_MS, wanted: tuple[tuple[int, int], ...] = ()
) -> Receipt:
    return Receipt(UNIT, outbox.boot, ranges(*spans), time_ms, ranges(*wanted))


def waiting(outbox: Outbox) -> list[int]:
    return [each.sequence for each in outbox.waiting((), 10_000)]


def kept(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        found = [sequence for (sequence,) in connection.execute("select sequence from batches order by 1")]
    connection.close()
    return found


def chain(outbox: Outbox, link: bytes = b"") -> list[int]:
    """The sequences, once it is sure that each batch links to the one before."""
    found = outbox.waiting((), 1_000_000)
    for each in found:
        assert stored_link(each.data) == link
        link = link_to(each.data)
    return [each.sequence for each in found]


# Durable


def test_what_was_put_is_there_after_reopening(path: Path) -> None:
    outbox = Outbox.create(path, 4)
    outbox.put([batch(1), batch(2)], b"journal")
    boot = outbox.boot
    outbox.close()
    outbox = Outbox(path)
    assert (outbox.boot, outbox.boot_number, outbox.server_time_ms) == (boot, 4, 0)
    assert outbox.waiting((), 10) == [Waiting(1, batch(1).data), Waiting(2, batch(2).data)]
    assert outbox.journal() == b"journal"
    assert outbox.held() == Held(waiting=2, waiting_samples=120, receipted=0, bytes=200)


def test_every_outbox_is_a_boot_of_its_own(tmp_path: Path) -> None:
    boots = [Outbox.create(tmp_path / f"{n}.db", 1).boot for n in range(3)]
    assert len(set(boots)) == 3
    assert {len(boot) for boot in boots} == {16}


def test_a_new_outbox_is_empty_and_its_chain_begins(path: Path) -> None:
    outbox = Outbox.create(path, 7)
    assert outbox.sealed_before(UNIT) == SealedBefore(UNIT, outbox.boot, 7, 0, b"")
    assert outbox.journal() is None
    assert outbox.waiting((), 10) == []
    assert outbox.held() == Held(0, 0, 0, 0)
    assert outbox.make_room(0, 0) == []


def test_no_outbox_is_not_a_damaged_one(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Outbox(path)


def test_creating_one_that_was_cut_off_can_be_done_again(path: Path) -> None:
    path.with_suffix(".new").write_bytes(b"half an outbox")
    filled(Outbox.create(path, 1), 3)
    assert sorted(each.name for each in path.parent.iterdir() if "new" in each.name) == []


def test_the_chain_goes_on_after_reopening(path: Path) -> None:
    outbox = Outbox.create(path, 1)
    for _ in range(3):
        batcher = Batcher(KEY, outbox.sealed_before(UNIT), 7, 60, 60.0)
        for _ in range(2):
            batcher.add_sample(Sample(1.0, None, TimeQuality.NONE))
            outbox.put(batcher.seal({}), None)
        outbox.close()
        outbox = Outbox(path)
    assert chain(outbox) == [1, 2, 3, 4, 5, 6]


def test_kill_9_in_the_middle_of_putting_loses_nothing_that_put_returned(path: Path) -> None:
    boot = Outbox.create(path, 1).boot
    rng = random.Random(9)
    seen = 0
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", PUTS_FOR_EVER, path], cwd=ROOT, stdout=subprocess.PIPE)
        assert child.stdout
        with child, child.stdout as said:
            for _ in range(rng.randrange(1, 60)):
                seen = int(said.readline())
            child.send_signal(signal.SIGKILL)
            seen = max([seen, *(int(line) for line in said if line.endswith(b"\n"))])
        assert child.returncode == -signal.SIGKILL
        outbox = Outbox(path)
        found = chain(outbox)
        assert outbox.boot == boot
        assert found == list(range(1, found[-1] + 1))
        assert found[-1] >= seen
        assert outbox.journal() == str(found[-1]).encode()
        outbox.close()


def test_batches_and_journal_are_one_commit(outbox: Outbox) -> None:
    outbox.put([batch(1)], b"first")
    with pytest.raises(sqlite3.Error):
        outbox.put([batch(2), batch(1)], b"second")
    assert waiting(outbox) == [1]
    assert outbox.journal() == b"first"
    assert outbox.held().bytes == 100
    outbox.put([batch(2)], b"second")
    assert (waiting(outbox), outbox.journal()) == ([1, 2], b"second")


def test_a_journal_is_replaced_and_taken_away(outbox: Outbox, path: Path) -> None:
    for body in (b"one", b"two", b"\x00\xff"):
        outbox.put([], body)
        assert outbox.journal() == body
    outbox.put([], None)
    assert outbox.journal() is None
    outbox.put([], b"again")
    outbox.put([batch(1)], None)
    assert outbox.journal() is None
    with sqlite3.connect(path) as connection:
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()


def test_every_commit_waits_for_the_card(outbox: Outbox) -> None:
    assert outbox._db.execute("pragma synchronous").fetchone() == (2,)


# Waiting


def test_waiting_batches_come_oldest_first_and_as_many_as_asked(outbox: Outbox) -> None:
    outbox.put([batch(3), batch(1), batch(2), batch(4)], None)
    assert [each.sequence for each in outbox.waiting((), 3)] == [1, 2, 3]
    assert [each.sequence for each in outbox.waiting({1, 3}, 10)] == [2, 4]
    assert outbox.waiting((), 0) == []


def test_one_batch_and_several_by_their_sequence(outbox: Outbox) -> None:
    filled(outbox, 4)
    outbox.receipt(receipt(outbox, (2, 2)))
    assert outbox.waiting_one(1) == Waiting(1, batch(1).data)
    assert outbox.waiting_one(2) is None
    assert outbox.waiting_one(9) is None
    assert outbox.still_waiting([1, 2, 4, 9]) == {1, 4}
    assert outbox.still_waiting([]) == set()


# Receipts


def test_a_receipt_covers_its_ranges_once(outbox: Outbox) -> None:
    filled(outbox, 9)
    assert outbox.receipt(receipt(outbox, (2, 3), (5, 5), (8, 20))) == 5
    assert waiting(outbox) == [1, 4, 6, 7]
    assert outbox.receipt(receipt(outbox, (2, 3), (5, 6))) == 1
    assert waiting(outbox) == [1, 4, 7]
    assert outbox.held() == Held(waiting=3, waiting_samples=180, receipted=6, bytes=900)


def test_what_has_a_receipt_is_still_kept(outbox: Outbox, path: Path) -> None:
    outbox.receipt(receipt(filled(outbox, 3), (1, 3)))
    assert outbox.make_room(EVERYTHING, 7) == []
    assert kept(path) == [1, 2, 3]


def test_a_receipt_for_another_boot_changes_nothing(outbox: Outbox) -> None:
    filled(outbox, 3)
    other = Receipt(UNIT, b"o" * 16, ranges((1, 3)), NOW_MS, ())
    assert outbox.receipt(other) == 0
    assert waiting(outbox) == [1, 2, 3]
    assert outbox.server_time_ms == 0
    outbox.receipt(receipt(outbox, (1, 3)))
    outbox.receipt(Receipt(UNIT, b"o" * 16, (), NOW_MS, ranges((1, 3))))
    assert waiting(outbox) == []


def test_what_the_server_wants_again_waits_again(outbox: Outbox) -> None:
    filled(outbox, 6)
    outbox.receipt(receipt(outbox, (1, 6)))
    assert outbox.receipt(receipt(outbox, (1, 1), (5, 6), wanted=((2, 4),))) == 0
    assert waiting(outbox) == [2, 3, 4]
    assert outbox.receipt(receipt(outbox, (1, 6))) == 3
    assert waiting(outbox) == []


def test_what_is_wanted_and_not_kept_is_named(outbox: Outbox) -> None:
    outbox.put([batch(n) for n in (3, 4, 7, 9)], None)
    here = partial(Gap, outbox.boot, samples=0, reason="not_kept")
    assert outbox.missing(ranges((1, 9))) == [here(first=1, last=2), here(first=5, last=6), here(first=8, last=8)]
    assert outbox.missing(ranges((1, 2), (5, 5))) == [here(first=1, last=2), here(first=5, last=5)]
    assert outbox.missing(ranges((2, 3), (9, 12))) == [here(first=2, last=2), here(first=10, last=12)]
    assert outbox.missing(ranges((3, 4), (7, 7), (9, 9))) == []
    assert outbox.missing(()) == []


def test_the_newest_server_time_is_remembered(path: Path) -> None:
    outbox = filled(Outbox.create(path, 1), 1)
    for time_ms in (NOW_MS, NOW_MS - 5, NOW_MS + 1, NOW_MS):
        outbox.receipt(receipt(outbox, time_ms=time_ms))
    assert outbox.server_time_ms == NOW_MS + 1
    outbox.close()
    assert Outbox(path).server_time_ms == NOW_MS + 1


# Room


def test_while_there_is_room_nothing_goes(outbox: Outbox) -> None:
    filled(outbox, 10)
    assert outbox.make_room(1000, 7) == []
    assert len(waiting(outbox)) == 10


def test_receipted_batches_go_first_the_oldest_first(outbox: Outbox, path: Path) -> None:
    filled(outbox, 10)
    outbox.receipt(receipt(outbox, (3, 6)))
    assert outbox.make_room(800, 7) == []
    assert kept(path) == [1, 2, 5, 6, 7, 8, 9, 10]
    assert outbox.held() == Held(waiting=6, waiting_samples=360, receipted=2, bytes=800)


def test_then_the_oldest_without_a_receipt_and_that_is_declared(outbox: Outbox, path: Path) -> None:
    filled(outbox, 10)
    outbox.receipt(receipt(outbox, (3, 4)))
    assert outbox.make_room(499, 7) == [
        Gap(outbox.boot, 1, 2, 120, "outbox_full"),
        Gap(outbox.boot, 5, 6, 120, "outbox_full"),
    ]
    assert kept(path) == [7, 8, 9, 10]
    assert outbox.held() == Held(waiting=4, waiting_samples=240, receipted=0, bytes=400)


def test_one_run_is_one_gap_with_all_its_samples(outbox: Outbox) -> None:
    outbox.put([batch(1, samples=1), batch(2, samples=20), batch(3, samples=0), batch(4)], None)
    assert outbox.make_room(100, 7) == [Gap(outbox.boot, 1, 3, 21, "outbox_full")]


@pytest.mark.parametrize("receipted", [False, True])
def test_the_newest_stays_whatever_happens_so_that_the_chain_goes_on(path: Path, receipted: bool) -> None:
    outbox = filled(Outbox.create(path, 1), 5)
    before = outbox.sealed_before(UNIT)
    if receipted:
        outbox.receipt(receipt(outbox, (1, 5)))
        outbox.receipt(receipt(outbox, time_ms=NOW_MS + 365 * DAY_MS))
    outbox.make_room(0, 0)
    assert kept(path) == [5]
    outbox.close()
    assert Outbox(path).sealed_before(UNIT) == before


def test_receipted_batches_go_after_their_days_by_the_servers_time(outbox: Outbox, path: Path) -> None:
    filled(outbox, 5)
    outbox.receipt(receipt(outbox, (1, 2)))
    outbox.receipt(receipt(outbox, (3, 3), time_ms=NOW_MS + DAY_MS))
    outbox.receipt(receipt(outbox, time_ms=NOW_MS + 7 * DAY_MS))
    assert outbox.make_room(EVERYTHING, 7) == []
    assert kept(path) == [1, 2, 3, 4, 5]
    outbox.receipt(receipt(outbox, time_ms=NOW_MS + 7 * DAY_MS + 1))
    assert outbox.make_room(EVERYTHING, 7) == []
    assert kept(path) == [3, 4, 5]
    assert outbox.held().bytes == 300


def test_a_batch_without_a_receipt_never_goes_by_its_age(outbox: Outbox, path: Path) -> None:
    filled(outbox, 3)
    outbox.receipt(receipt(outbox, time_ms=NOW_MS))
    outbox.receipt(receipt(outbox, time_ms=NOW_MS + 1000 * DAY_MS))
    assert outbox.make_room(EVERYTHING, 0) == []
    assert kept(path) == [1, 2, 3]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(8, 300), min_size=1, max_size=30),
    receipted=st.sets(st.integers(1, 30)),
    max_bytes=st.integers(0, 5_000),
)
def test_room_is_made_within_the_bound_and_everything_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], receipted: set[int], max_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("room") / "outbox.db"
    outbox = Outbox.create(path, 1)
    outbox._db.execute("pragma synchronous=off")
    outbox.put([batch(n, size, n) for n, size in enumerate(sizes, 1)], None)
    outbox.receipt(receipt(outbox, *((n, n) for n in receipted)))
    gaps = outbox.make_room(max_bytes, 7)
    here = kept(path)
    held = outbox.held()
    assert held.bytes == sum(sizes[n - 1] for n in here)
    assert held.bytes <= max_bytes or here == [len(sizes)]
    dropped = [n for n in range(1, len(sizes) + 1) if n not in here]
    declared = [n for gap in gaps for n in range(gap.first, gap.last + 1)]
    assert sorted(declared) == [n for n in dropped if n not in receipted]
    assert sum(gap.samples for gap in gaps) == sum(declared)
    assert all(b.first > a.last + 1 for a, b in pairwise(gaps))
    if declared:
        assert not receipted & {n for n in here if n < len(sizes)}, "receipted ones go first"
        assert all(n > max(declared) for n in here)
    if dropped:  # not one more than needed
        last_gone = max(declared) if declared else max(dropped)
        assert held.bytes + sizes[last_gone - 1] > max_bytes
    outbox.close()


def test_the_bound_counts_what_was_there_before(path: Path) -> None:
    filled(Outbox.create(path, 1), 5).close()
    outbox = filled(Outbox(path), 10, first=6)
    assert outbox.held().bytes == 1000
    assert outbox.make_room(700, 7) == [Gap(outbox.boot, 1, 3, 180, "outbox_full")]


# Damage


def pages(path: Path) -> bytes:
    """The file of a well-filled outbox, its write-ahead log folded in."""
    outbox = Outbox.create(path, 1)
    outbox.put([Sealed(n, random.Random(n).randbytes(900), 60) for n in range(1, 51)], random.Random(0).randbytes(900))
    outbox.close()
    return path.read_bytes()


DAMAGE = {
    "zero length": lambda good: b"",
    "one byte": lambda good: good[:1],
    "half a header": lambda good: good[:50],
    "not SQLite": lambda good: b"no database at all\n" * 1000,
    "header only": lambda good: good[:4096],
    "half": lambda good: good[: len(good) // 2],
    "last page missing": lambda good: good[:-4096],
    "header flipped": lambda good: bytes(255 - byte for byte in good[:100]) + good[100:],
    "schema flipped": lambda good: good.replace(b"CREATE TABLE", b"CREA\xabE TABLE", 1),
    "other schema": lambda good: good.replace(b"batches", b"botches"),
    "no boot": lambda good: good.replace(b"boot_number", b"boot_nummer"),
    "an index that tells other sequences": lambda good: good[: 4 * 4096] + bytes(4096) + good[5 * 4096 :],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_said_to_be_damaged(path: Path, damage: str) -> None:
    good = pages(path)
    damaged = DAMAGE[damage](good)
    assert damaged != good
    path.write_bytes(damaged)
    with pytest.raises(OutboxDamagedError, match=r"outbox\.db"):
        Outbox(path)


def test_no_page_can_be_lost_unnoticed(path: Path) -> None:
    good = pages(path)
    for begin in range(0, len(good), 4096):
        path = path.with_name(f"{begin}.db")
        path.write_bytes(good[:begin] + random.Random(begin).randbytes(4096) + good[begin + 4096 :])
        with pytest.raises(OutboxDamagedError):
            Outbox(path)


def test_a_flipped_byte_is_found_at_once_or_harms_only_its_own_batch(path: Path) -> None:
    good = pages(path)
    rng = random.Random(4)
    for n in range(100):
        at = rng.randrange(len(good))
        path = path.with_name(f"{n}.db")
        path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
        try:
            outbox = Outbox(path)
        except OutboxDamagedError:
            continue
        assert len(outbox.waiting((), 1000)) == 50
        outbox.journal()
        outbox.make_room(10_000, 7)
        outbox.put([Sealed(51, b"more", 1)], None)
        assert outbox.sealed_before(UNIT).sequence == 51
        outbox.close()


def test_an_outbox_that_another_program_holds_is_not_damaged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(Outbox.create(path, 1), 3).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("pragma locking_mode=exclusive")
    holder.execute("begin immediate")
    holder.execute("commit")
    patient = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **more: patient(path, **(more | {"timeout": 0.01})))
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        Outbox(path)
    holder.close()
    assert waiting(Outbox(path)) == [1, 2, 3]


def test_the_write_ahead_log_of_a_lost_outbox_is_not_played_into_a_new_one(tmp_path: Path) -> None:
    old = filled(Outbox.create(tmp_path / "old.db", 1), 20)
    for name in ("-wal", "-shm"):
        (tmp_path / f"outbox.db{name}").write_bytes((tmp_path / f"old.db{name}").read_bytes())
    assert (tmp_path / "outbox.db-wal").stat().st_size > 0
    new = Outbox.create(tmp_path / "outbox.db", 2)
    assert new.boot != old.boot
    assert (new.boot_number, new.held().waiting) == (2, 0)
    assert new.sealed_before(UNIT).sequence == 0


def test_batches_still_in_the_write_ahead_log_are_found(tmp_path: Path) -> None:
    """As after a power cut: the log was never folded into the file."""
    outbox = filled(Outbox.create(tmp_path / "outbox.db", 1), 20)
    elsewhere = tmp_path / "after"
    elsewhere.mkdir()
    for name in ("outbox.db", "outbox.db-wal"):
        (elsewhere / name).write_bytes((tmp_path / name).read_bytes())
    assert (elsewhere / "outbox.db-wal").stat().st_size > 0
    found = Outbox(elsewhere / "outbox.db")
    assert waiting(found) == list(range(1, 21))
    assert found.boot == outbox.boot
