"""When the line to the server is open, and which receipts count. What leaves first: test_sending.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_agent.batch import Sealed
from edge_agent.network.sender import Counted, Sender
from edge_agent.network.uplink import Uplink
from edge_agent.store.outbox import Outbox
from edge_agent.timing.floor import Floor
from edge_agent.timing.receipt_time import TimeBounds
from wire.records import Gap, Receipt, SequenceRange
from wire.seal import seal_receipt

UNIT, KEY = "PW000042", Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NOW_MS = 1_900_000_000_000  # later than any day of building


class Line:
    """Of Uplink's shape."""

    def __init__(self, certificate_holds: bool) -> None:
        self.is_open = self.was_open = False
        self.sent: list[bytes] = []
        self._certificate_holds = certificate_holds

    def start(self) -> None:
        assert not self.was_open, "each is used once"
        self.is_open = self.was_open = True

    def stop(self) -> None:
        self.is_open = False

    def send(self, data: bytes) -> bool:
        self.sent.append(data)
        return self.is_open

    def told(self, _bounds: TimeBounds) -> bool:
        return self._certificate_holds


class Bench:
    """A sender with its outbox, and every line that it was given."""

    def __init__(self, folder: Path) -> None:
        self.outbox = Outbox.create(folder / "outbox.db", 1)
        self.floor = Floor(folder, 7, 0.0)
        self.certificate_holds = True
        self.lines: list[Line] = []
        first = self._line(self.floor.bounds)
        self.sender = Sender(UNIT, (KEY.public_key(),), self.outbox, self.floor, first, self._line)
        self._sequence = 0

    def _line(self, _bounds: TimeBounds) -> Uplink:
        self.lines.append(Line(self.certificate_holds))
        return cast(Uplink, self.lines[-1])

    def seal(self, mono_s: float, *, urgent: bool = False) -> bytes:
        self._sequence += 1
        gaps = (Gap(self.outbox.boot, 1, 1, 0, "not_kept"),) if urgent else ()
        each = Sealed(self._sequence, b"batch %d" % self._sequence, 1, 0, gaps)
        self.outbox.put([each], None)
        self.sender.on_sealed(each.sequence, mono_s, urgent=each.urgent)
        return each.data

    def receipt(self, mono_s: float, *, key: Ed25519PrivateKey = KEY, boot: bytes | None = None) -> int | Counted:
        spans = (SequenceRange(1, self._sequence),)
        data = seal_receipt(key, Receipt(UNIT, boot or self.outbox.boot, spans, NOW_MS))
        return self.sender.on_receipt(data, mono_s, None)

    def is_open(self, send_every_s: float | None, mono_s: float) -> bool:
        self.sender.tend(send_every_s, mono_s)
        assert self.sender.is_open == self.lines[-1].is_open
        assert not any(line.is_open for line in self.lines[:-1])
        return self.sender.is_open


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.outbox.close()


def test_while_power_allows_the_line_stays_open(bench: Bench) -> None:
    assert [bench.is_open(0.0, float(now_s)) for now_s in (0, 1, 100, 10_000)] == [True] * 4
    assert len(bench.lines) == 1


def test_a_parked_unit_opens_the_line_now_and_then_until_all_has_its_receipt(bench: Bench) -> None:
    assert bench.is_open(0.0, 0.0)
    bench.seal(0.0)
    assert bench.is_open(900.0, 30.0), "one waits for its receipt"
    bench.receipt(31.0)
    assert not bench.is_open(900.0, 32.0)
    bench.seal(33.0)
    assert not bench.is_open(900.0, 931.0)
    assert bench.is_open(900.0, 932.0)
    assert len(bench.lines) == 2
    bench.receipt(933.0)
    assert bench.is_open(900.0, 951.0), "a command may be on its way"
    assert not bench.is_open(900.0, 952.0)


def test_what_is_urgent_opens_it_at_once_and_until_its_receipt(bench: Bench) -> None:
    assert bench.is_open(0.0, 0.0)
    assert not bench.is_open(900.0, 20.0)
    bench.seal(21.0, urgent=True)
    assert bench.is_open(900.0, 22.0)
    assert bench.is_open(900.0, 500.0)
    bench.receipt(501.0)
    bench.sender.tend(900.0, 502.0)
    assert not bench.is_open(900.0, 503.0)


def test_a_budget_that_wants_silence_closes_it_whatever_waits(bench: Bench) -> None:
    assert bench.is_open(0.0, 0.0)
    bench.seal(1.0, urgent=True)
    assert not bench.is_open(None, 2.0)
    assert not bench.is_open(None, 100_000.0)
    assert bench.is_open(0.0, 100_001.0)


def test_nothing_is_offered_to_a_line_that_was_closed(bench: Bench) -> None:
    bench.is_open(0.0, 0.0)
    bench.sender.on_up(1.0)
    assert bench.sender.is_up
    bench.is_open(None, 2.0)
    assert not bench.sender.is_up
    bench.seal(3.0)
    bench.sender.send(3.0)
    assert bench.lines[0].sent == []
    bench.is_open(0.0, 4.0)
    bench.sender.on_up(5.0)
    assert bench.lines[1].sent == [b"batch 1"]


def test_a_receipt_counts_once_and_tells_the_time(bench: Bench) -> None:
    bench.seal(1.0)
    bench.seal(2.0)
    assert bench.sender.server_now_ms(3.0) is None
    assert bench.receipt(3.0) == 2
    assert bench.receipt(4.0) == 0
    assert bench.sender.server_now_ms(10.0) == NOW_MS + 7000
    assert bench.floor.at_ms(10.0) == NOW_MS + 7000


def test_receipts_that_do_not_count_change_nothing(bench: Bench) -> None:
    bench.seal(1.0)
    floor_ms = bench.floor.at_ms(10.0)
    assert bench.receipt(2.0, key=Ed25519PrivateKey.generate()) == Counted("receipts.refused.signature")
    assert bench.receipt(2.0, boot=b"o" * 16) == Counted("receipts.other_boot")
    assert bench.outbox.held().waiting == 1
    assert bench.floor.at_ms(10.0) == floor_ms
    assert bench.sender.server_now_ms(10.0) is None


def test_a_receipt_over_a_line_whose_certificate_does_not_hold_changes_nothing(bench: Bench) -> None:
    bench.is_open(0.0, 0.0)
    bench.is_open(None, 1.0)
    bench.certificate_holds = False
    bench.is_open(0.0, 2.0)
    bench.seal(3.0)
    floor_ms = bench.floor.at_ms(10.0)
    assert bench.receipt(4.0) == Counted("receipts.certificate_not_valid")
    assert bench.outbox.held().waiting == 1
    assert bench.floor.at_ms(10.0) == floor_ms
    assert bench.sender.server_now_ms(10.0) is None
