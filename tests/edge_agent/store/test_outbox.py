"""The outbox on a real disk: durable across kill -9, bounded, and honest about what it had to drop."""

import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.batch import Batcher, Sealed, SealedBefore
from edge_agent.network.sending import Waiting
from edge_agent.store.outbox import Outbox
from edge_agent.store.outbox_file import LOG_FRAMES, Held, OutboxDamagedError, batch_id, sequence_of, stored_bytes
from wire.records import Event, Gap, Receipt, Sample, SequenceRange, TimeQuality
from wire.seal import link_to, stored_link

ROOT = Path(__file__).parents[3]
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
UNIT = "PW000001"
DAY_MS = 86_400_000
NOW_MS = 1_795_421_700_000
EVERYTHING = 10**9
SIZE = stored_bytes(100)

# Puts batch after batch, each with a journal that names it, and says each sequence once `put` has returned.
PUTS_FOR_EVER = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from edge_agent.batch import Batcher
from edge_agent.store import outbox_file as form
from edge_agent.store.outbox import Outbox
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


def batch(sequence: int, size: int = 100, samples: int = 60, events: int = 0, gaps: tuple[Gap, ...] = ()) -> Sealed:
    return Sealed(sequence, sequence.to_bytes(size, "little"), samples, events, gaps)


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
    lanes = outbox.waiting(None, (), 1_000_000)
    assert lanes.live == ()
    return sorted(sequence_of(each) for each in lanes.events + lanes.backlog)


def ids(*sequences: int) -> tuple[int, ...]:
    return tuple(batch_id(1, each) for each in sequences)


def kept(path: Path) -> list[int]:
    with sqlite3.connect(path) as connection:
        found = [sequence for (sequence,) in connection.execute("select sequence from batches order by 1")]
    connection.close()
    return found


def gaps_of(outbox: Outbox) -> list[tuple[int, int, int, str]]:
    return [(gap.first, gap.last, gap.samples, gap.reason) for gap in outbox.gaps_to_declare()]


def chain(outbox: Outbox, link: bytes = b"") -> list[int]:
    """The sequences, once it is sure that each batch links to the one before."""
    found = waiting(outbox)
    for each in found:
        data = outbox.sealed(batch_id(1, each))
        assert data is not None
        assert stored_link(data) == link
        link = link_to(data)
    return found


# Durable


def test_what_was_put_is_there_after_reopening(path: Path) -> None:
    outbox = Outbox.create(path, 4)
    outbox.put([batch(1), batch(2)], b"journal")
    boot = outbox.boot
    outbox.close()
    outbox = Outbox(path)
    assert (outbox.boot, outbox.boot_number, outbox.server_time_ms) == (boot, 4, 0)
    assert [outbox.sealed(each) for each in ids(1, 2)] == [batch(1).data, batch(2).data]
    assert outbox.journal() == b"journal"
    assert outbox.held() == Held(waiting=2, waiting_samples=120, receipted=0, bytes=2 * SIZE)


def test_every_outbox_is_a_boot_of_its_own(tmp_path: Path) -> None:
    boots = [Outbox.create(tmp_path / f"{n}.db", 1).boot for n in range(3)]
    assert len(set(boots)) == 3
    assert {len(boot) for boot in boots} == {16}


def test_a_new_outbox_is_empty_and_its_chain_begins(path: Path) -> None:
    outbox = Outbox.create(path, 7)
    assert outbox.sealed_before(UNIT) == SealedBefore(UNIT, outbox.boot, 7, 0, b"")
    assert outbox.journal() is None
    assert outbox.waiting(None, (), 10) == Waiting()
    assert outbox.held() == Held(0, 0, 0, 0)
    assert not outbox.make_room(0, 0)
    assert outbox.gaps_to_declare() == []


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
    assert outbox.held().bytes == SIZE
    outbox.put([batch(2)], b"second")
    assert (waiting(outbox), outbox.journal()) == ([1, 2], b"second")


def test_what_was_told_is_kept_in_the_commit_of_the_batch_that_tells_it(outbox: Outbox, path: Path) -> None:
    assert outbox.kept_text is None
    outbox.put([batch(1)], None, kept="first")
    outbox.put([batch(2)], None)
    with pytest.raises(sqlite3.Error):
        outbox.put([batch(1)], None, kept="second")
    outbox.close()
    again = Outbox(path)
    assert again.kept_text == "first"
    again.close()


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


def test_the_lanes_are_live_then_events_then_backlog_oldest_first_and_as_many_as_asked(outbox: Outbox) -> None:
    outbox.put([batch(n, events=n in (2, 5, 8)) for n in range(1, 10)], None)
    assert outbox.waiting(None, (), 20) == Waiting((), ids(2, 5, 8), ids(1, 3, 4, 6, 7, 9))
    live_from = batch_id(1, 7)
    assert outbox.waiting(live_from, (), 20) == Waiting(ids(8, 7, 9), ids(2, 5), ids(1, 3, 4, 6))
    assert outbox.waiting(live_from, ids(7, 5, 1), 2) == Waiting(ids(8, 9), ids(2), ids(3, 4))
    assert outbox.waiting(live_from, (), 0) == Waiting()


def test_a_batch_that_declares_a_loss_goes_with_the_events(outbox: Outbox) -> None:
    outbox.put([batch(1), batch(2, gaps=(Gap(outbox.boot, 7, 8, 0, "x"),))], None)
    assert outbox.waiting(None, (), 20) == Waiting((), ids(2), ids(1))


def test_the_newest_batch_tells_from_where_on_a_connection_is_live(outbox: Outbox) -> None:
    assert outbox.newest_id == batch_id(1, 0)
    filled(outbox, 4)
    assert outbox.newest_id == batch_id(1, 4)


def test_one_batch_and_several_by_their_ids(outbox: Outbox) -> None:
    filled(outbox, 4)
    outbox.receipt(receipt(outbox, (2, 2)))
    assert outbox.sealed(batch_id(1, 1)) == batch(1).data
    assert outbox.sealed(batch_id(1, 2)) is None
    assert outbox.sealed(batch_id(1, 9)) is None
    assert outbox.still_waiting(ids(1, 2, 4, 9)) == set(ids(1, 4))
    assert outbox.still_waiting([]) == set()


@pytest.mark.parametrize("column", ["sealed", "samples", "urgent"])
def test_a_changed_row_is_never_sent_but_declared_and_the_others_go_on(outbox: Outbox, column: str) -> None:
    filled(outbox, 3)
    value = bytearray(batch(2).data)
    value[50] ^= 4
    outbox._db.execute(
        f"update batches set {column} = ? where id = ?", [bytes(value) if column == "sealed" else 9, ids(2)[0]]
    )
    assert [outbox.sealed(each) is None for each in ids(1, 2, 3)] == [False, True, False]
    assert outbox.sealed(ids(2)[0]) is None
    assert waiting(outbox) == [1, 3]
    assert gaps_of(outbox) == [(2, 2, 0, "damaged")]
    outbox.make_room(EVERYTHING, 7)
    assert kept(outbox._path) == [1, 3]


# Receipts


def test_a_receipt_covers_its_ranges_once(outbox: Outbox) -> None:
    filled(outbox, 9)
    assert outbox.receipt(receipt(outbox, (2, 3), (5, 5), (8, 20))) == 5
    assert waiting(outbox) == [1, 4, 6, 7]
    assert outbox.receipt(receipt(outbox, (2, 3), (5, 6))) == 1
    assert waiting(outbox) == [1, 4, 7]
    assert outbox.held() == Held(waiting=3, waiting_samples=180, receipted=6, bytes=9 * SIZE)


def test_what_has_a_receipt_is_still_kept(outbox: Outbox, path: Path) -> None:
    outbox.receipt(receipt(filled(outbox, 3), (1, 3)))
    assert not outbox.make_room(EVERYTHING, 7)
    assert kept(path) == [1, 2, 3]


def test_a_receipt_for_another_boot_changes_nothing(outbox: Outbox) -> None:
    filled(outbox, 3)
    assert outbox.knows(outbox.boot)
    assert not outbox.knows(b"o" * 16)
    assert outbox.receipt(Receipt(UNIT, b"o" * 16, ranges((1, 3)), NOW_MS, ())) == 0
    assert waiting(outbox) == [1, 2, 3]
    assert outbox.server_time_ms == 0
    outbox.receipt(receipt(outbox, (1, 3)))
    outbox.receipt(Receipt(UNIT, b"o" * 16, (), NOW_MS, ranges((1, 3))))
    assert waiting(outbox) == []


def test_what_the_server_wants_again_waits_again_in_its_lane(outbox: Outbox) -> None:
    outbox.put([batch(n, events=n == 3) for n in range(1, 7)], None)
    outbox.receipt(receipt(outbox, (1, 6)))
    assert outbox.receipt(receipt(outbox, (1, 1), (5, 6), wanted=((2, 4),))) == 0
    assert outbox.waiting(None, (), 9) == Waiting((), ids(3), ids(2, 4))
    assert outbox.receipt(receipt(outbox, (1, 6))) == 3
    assert waiting(outbox) == []
    assert outbox.gaps_to_declare() == []


def test_what_is_wanted_and_not_kept_is_declared_once(outbox: Outbox) -> None:
    outbox.put([batch(n) for n in (3, 4, 7, 9)], None)
    for _ in range(3):  # the server asks with every receipt until it has been told
        outbox.receipt(receipt(outbox, wanted=((1, 9),)))
    assert gaps_of(outbox) == [(1, 2, 0, "not_kept"), (5, 6, 0, "not_kept"), (8, 8, 0, "not_kept")]
    outbox.receipt(receipt(outbox, wanted=((3, 4), (7, 7))))
    outbox.put(
        [batch(10, gaps=tuple(Gap(outbox.boot, *each, 0, "not_kept") for each in ((1, 2), (5, 6), (8, 8))))], None
    )
    outbox.receipt(receipt(outbox, wanted=((1, 9),)))
    assert outbox.gaps_to_declare() == []


def test_the_newest_server_time_is_remembered(path: Path) -> None:
    outbox = filled(Outbox.create(path, 1), 1)
    for time_ms in (NOW_MS, NOW_MS - 5, NOW_MS + 1, NOW_MS):
        outbox.receipt(receipt(outbox, time_ms=time_ms))
    assert outbox.server_time_ms == NOW_MS + 1
    outbox.close()
    assert Outbox(path).server_time_ms == NOW_MS + 1


def test_after_a_receipt_commits_wait_for_the_card_again(outbox: Outbox) -> None:
    outbox.receipt(receipt(filled(outbox, 3), (1, 3)))
    assert outbox._db.execute("pragma synchronous").fetchone() == (2,)


# Losses


def test_a_loss_stays_written_down_until_the_batch_that_declares_it_has_its_receipt(path: Path) -> None:
    outbox = filled(Outbox.create(path, 1), 5)
    outbox.make_room(3 * SIZE, 7)
    lost = outbox.gaps_to_declare()
    assert lost == [Gap(outbox.boot, 1, 2, 120, "outbox_full")]
    assert outbox.gaps_to_declare() == [], "handed out already"
    outbox.close()
    outbox = Outbox(path)  # before it was sealed: power cut
    assert outbox.gaps_to_declare() == lost
    outbox.put([batch(6, gaps=tuple(lost))], None)
    outbox.close()
    outbox = Outbox(path)
    assert outbox.gaps_to_declare() == [], "it is on its way"
    outbox.receipt(receipt(outbox, (6, 6)))
    assert outbox._db.execute("select count(*) from gaps").fetchone() == (0,)


def test_if_the_batch_that_declares_a_loss_is_lost_itself_the_loss_is_declared_again(outbox: Outbox) -> None:
    filled(outbox, 3)
    outbox.make_room(2 * SIZE, 7)
    (lost,) = outbox.gaps_to_declare()
    outbox.put([batch(4, gaps=(lost,)), batch(5)], None)
    outbox.make_room(0, 7)
    assert sorted(gaps_of(outbox)) == [(1, 1, 60, "outbox_full"), (2, 4, 180, "outbox_full")]


def test_dropping_and_writing_it_down_are_one_commit(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(outbox, 5)

    def fails(*_: object) -> None:
        raise sqlite3.OperationalError("disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("edge_agent.store.outbox.write_down", fails)
        with pytest.raises((sqlite3.OperationalError, OutboxDamagedError)):
            outbox.make_room(0, 7)
    assert waiting(outbox) == [1, 2, 3, 4, 5]
    assert outbox.held().bytes == 5 * SIZE
    assert outbox.gaps_to_declare() == []


def test_what_memory_had_to_drop_is_written_down_with_the_next_put(outbox: Outbox) -> None:
    lost = Gap(outbox.boot, 2, 4, 180, "disk_full")
    filled(outbox, 1)
    outbox.put([batch(5)], None, [lost])
    assert outbox.gaps_to_declare() == [lost]


def test_a_gap_record_that_was_changed_is_not_signed(outbox: Outbox) -> None:
    filled(outbox, 5)
    outbox.make_room(3 * SIZE, 7)
    outbox._db.execute('update gaps set "last" = 1')
    with pytest.raises(OutboxDamagedError, match="gap record"):
        outbox.gaps_to_declare()


def test_very_many_losses_are_declared_a_few_at_a_time(outbox: Outbox) -> None:
    filled(outbox, 200)
    outbox.receipt(receipt(outbox, *((n, n) for n in range(1, 200, 2)), wanted=()))
    outbox.make_room(SIZE, 7)
    declared = []
    for sequence in range(201, 220):
        gaps = outbox.gaps_to_declare()
        assert len(gaps) <= 32
        declared += gaps
        outbox.put([batch(sequence, gaps=tuple(gaps))], None)
    assert [(gap.first, gap.last) for gap in declared] == [(n, n) for n in range(2, 200, 2)]


# Room


def test_while_there_is_room_nothing_goes(outbox: Outbox) -> None:
    filled(outbox, 10)
    assert not outbox.make_room(10 * SIZE, 7)
    assert len(waiting(outbox)) == 10


def test_receipted_then_samples_then_events_the_oldest_first(outbox: Outbox, path: Path) -> None:
    outbox.put([batch(n, events=n in (1, 2)) for n in range(1, 11)], None)
    outbox.receipt(receipt(outbox, (5, 6)))
    for most, here in ((8, {1, 2, 3, 4, 7, 8, 9, 10}), (6, {1, 2, 7, 8, 9, 10}), (3, {1, 2, 10}), (2, {2, 10})):
        assert not outbox.make_room(most * SIZE, 7)
        assert kept(path) == sorted(here)
    assert sorted(gaps_of(outbox)) == [
        (1, 1, 60, "outbox_full"),
        (3, 4, 120, "outbox_full"),
        (7, 9, 180, "outbox_full"),
    ]


def test_one_run_is_one_gap_with_all_its_samples(outbox: Outbox) -> None:
    outbox.put([batch(1, samples=1), batch(2, samples=20), batch(3, samples=0), batch(4)], None)
    for most in (3, 2, 1):
        outbox.make_room(most * SIZE, 7)
    assert gaps_of(outbox) == [(1, 3, 21, "outbox_full")]


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
    outbox.make_room(EVERYTHING, 7)
    assert kept(path) == [1, 2, 3, 4, 5]
    outbox.receipt(receipt(outbox, time_ms=NOW_MS + 7 * DAY_MS + 1))
    outbox.make_room(EVERYTHING, 7)
    assert kept(path) == [3, 4, 5]
    assert outbox.held().bytes == 3 * SIZE
    assert outbox.gaps_to_declare() == []


def test_a_batch_without_a_receipt_never_goes_by_its_age(outbox: Outbox, path: Path) -> None:
    filled(outbox, 3)
    outbox.receipt(receipt(outbox, time_ms=NOW_MS))
    outbox.receipt(receipt(outbox, time_ms=NOW_MS + 1000 * DAY_MS))
    outbox.make_room(EVERYTHING, 0)
    assert kept(path) == [1, 2, 3]


def test_very_much_goes_in_several_commits(outbox: Outbox) -> None:
    filled(outbox, 1201)
    calls = 1
    while outbox.make_room(0, 7):
        calls += 1
    assert calls == 3
    assert waiting(outbox) == [1201]
    assert gaps_of(outbox) == [(1, 1200, 72_000, "outbox_full")]


def test_when_the_disk_runs_out_room_is_made_inside_the_file(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox.put([batch(n, 900) for n in range(1, 101)], None)
    outbox.receipt(receipt(outbox, (1, 90)))
    real = outbox._db.execute("pragma page_count").fetchone()[0]

    class Full:
        f_bavail, f_frsize = 0, 4096

    monkeypatch.setattr("edge_agent.store.outbox.os.statvfs", lambda _: Full)
    for _ in range(20):
        outbox.make_room(EVERYTHING, 7, keep_free_bytes=20 * 1024)
    gone = 100 - len(kept(outbox._path))
    assert 20 <= gone <= 25, "enough to grow into, and then no more"
    outbox.put([batch(n, 900) for n in range(101, 116)], None)
    assert outbox._db.execute("pragma page_count").fetchone()[0] == real


def test_a_disk_that_others_fill_does_not_empty_the_outbox(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox.put([batch(n, 900) for n in range(1, 201)], None)
    outbox.receipt(receipt(outbox, (1, 20)))

    class Full:
        f_bavail, f_frsize = 0, 4096

    monkeypatch.setattr("edge_agent.store.outbox.os.statvfs", lambda _: Full)
    outbox.make_room(EVERYTHING, 7, keep_free_bytes=16 * 1024 * 1024)
    assert waiting(outbox) == list(range(21, 201)), "only what has a receipt goes for others"
    outbox.put([batch(n, 900) for n in range(201, 216)], None)
    for _ in range(20):
        outbox.make_room(EVERYTHING, 7, keep_free_bytes=16 * 1024 * 1024, is_pressed=True)
    left = waiting(outbox)
    assert left[-1] == 215
    assert 20 < left[0] < 50, "the oldest went, a few, so that new ones have a place"


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(8, 3000), min_size=1, max_size=30),
    receipted=st.sets(st.integers(1, 30)),
    urgent=st.sets(st.integers(1, 30)),
    max_bytes=st.integers(0, 60_000),
)
def test_room_is_made_within_the_bound_and_everything_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], receipted: set[int], urgent: set[int], max_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("room") / "outbox.db"
    outbox = Outbox.create(path, 1)
    outbox._db.execute("pragma synchronous=off")
    outbox.put([batch(n, size, n, events=n in urgent) for n, size in enumerate(sizes, 1)], None)
    outbox.receipt(receipt(outbox, *((n, n) for n in receipted)))
    outbox.make_room(max_bytes, 7)
    gaps = outbox.gaps_to_declare()
    here, held, newest = kept(path), outbox.held(), len(sizes)
    assert held.bytes == sum(stored_bytes(sizes[n - 1]) for n in here)
    assert held.bytes <= max_bytes or here == [newest]
    dropped = [n for n in range(1, newest + 1) if n not in here]
    declared = [n for gap in gaps for n in range(gap.first, gap.last + 1)]
    assert sorted(declared) == [n for n in dropped if n not in receipted]
    assert sum(gap.samples for gap in gaps) == sum(declared)
    if declared:
        assert not receipted & {n for n in here if n < newest}, "receipted ones go first"
    if urgent & set(declared):
        assert all(n in urgent for n in here if n < newest), "events go last"
    if dropped:  # not one more than needed
        assert held.bytes + max(stored_bytes(sizes[n - 1]) for n in dropped) > max_bytes
    outbox.close()
    again = Outbox(path)
    assert again.held() == held


def test_the_bound_counts_what_was_there_before(path: Path) -> None:
    filled(Outbox.create(path, 1), 5).close()
    outbox = filled(Outbox(path), 10, first=6)
    assert outbox.held().bytes == 10 * SIZE
    outbox.make_room(7 * SIZE, 7)
    assert gaps_of(outbox) == [(1, 3, 180, "outbox_full")]


@pytest.mark.parametrize("size", [90, 800, 957, 958, 2000, 5000, 16_000])
def test_the_bound_is_one_of_the_file(path: Path, size: int) -> None:
    """What a batch is counted for is what it takes, or at most a little more than half a page off."""
    outbox = Outbox.create(path, 1)
    empty = outbox._db.execute("pragma page_count").fetchone()[0] * 1024
    outbox.put([batch(n, size) for n in range(1, 301)], None)
    taken = outbox._db.execute("pragma page_count").fetchone()[0] * 1024 - empty
    assert taken <= 1.1 * outbox.held().bytes


# The card


def test_the_log_is_full_size_from_the_start_and_begins_anew_instead_of_growing(outbox: Outbox, path: Path) -> None:
    log = path.with_name("outbox.db-wal")
    size = log.stat().st_size
    assert size > LOG_FRAMES * 1024
    for n in range(1, 1000):
        outbox.put([batch(n, 900)] if n % 12 == 0 else [], b"j" * (n % 12 * 60))
    assert log.stat().st_size == size


def test_a_journal_commit_is_one_page(outbox: Outbox, path: Path) -> None:
    log = path.with_name("outbox.db-wal")
    filled(outbox, 3)
    outbox.put([], random.Random(1).randbytes(900))
    before = log.read_bytes()
    outbox.put([], random.Random(2).randbytes(900))
    after = log.read_bytes()
    changed = [n for n in range(len(before)) if before[n] != after[n]]
    assert changed[-1] - changed[0] < 1024 + 24


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
    found = Outbox(elsewhere / "outbox.db")
    assert waiting(found) == list(range(1, 21))
    assert found.boot == outbox.boot


def test_a_full_disk_raises_what_can_be_tried_again(outbox: Outbox) -> None:
    filled(outbox, 3)
    pages = outbox._db.execute("pragma page_count").fetchone()[0]
    outbox._db.execute(f"pragma max_page_count={pages}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        outbox.put([batch(n, 5000) for n in range(4, 50)], b"journal")
    assert (waiting(outbox), outbox.journal()) == ([1, 2, 3], None)
    outbox._db.execute("pragma max_page_count=1000000")
    outbox.put([batch(n, 5000) for n in range(4, 50)], b"journal")
    assert (len(waiting(outbox)), outbox.journal()) == (49, b"journal")


def test_events_make_a_batch_urgent_from_the_batcher_on(outbox: Outbox) -> None:
    batcher = Batcher(KEY, outbox.sealed_before(UNIT), 7, 60, 60.0)
    batcher.add_sample(Sample(1.0, None, TimeQuality.NONE))
    outbox.put(batcher.seal({}), None)
    batcher.add_event(Event("unit_started", 0, None, TimeQuality.NONE))
    outbox.put(batcher.seal({}), None)
    batcher.add_gap(Gap(outbox.boot, 1, 1, 0, "x"))
    outbox.put(batcher.seal({}), None)
    assert outbox.waiting(None, (), 9) == Waiting((), ids(2, 3), ids(1))
