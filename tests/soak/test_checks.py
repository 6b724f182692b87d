"""The soak's own checks, held against what they must find."""

import hashlib
import random
import struct
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from tests.soak.devices import QUIRKS
from tests.soak.disk import Disk
from tests.soak.faults import ENDING, EVERYWHERE, ODDS, Kind, UnitTraits, schedule
from tests.soak.faulty import DONE
from tests.soak.ledger import Ledger
from tests.soak.logbook import Logbook, tracebacks
from tests.soak.report import slope_per_hour
from tests.soak.steering import SteeredClock, SteeringWheel
from wire.records import Sample, TimeQuality

UNITS = [UnitTraits("A", has_obd=True), UnitTraits("B", has_obd=False), UnitTraits("C", has_obd=True, is_spared=True)]
BOOT = "00" * 16


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# The schedule


def test_the_same_seed_gives_the_same_faults_and_another_one_others() -> None:
    first = list(schedule(5, 300, UNITS, 1.0))
    assert first == list(schedule(5, 300, UNITS, 1.0))
    assert first != list(schedule(6, 300, UNITS, 1.0))
    assert [fault.step for fault in first] == list(range(300))


def test_every_kind_is_drawn_and_can_be_done() -> None:
    assert {fault.kind for fault in schedule(5, 2000, UNITS, 1.0)} == set(Kind) == set(ODDS) == DONE


def test_no_fault_hits_what_is_not_there_or_is_spared() -> None:
    for fault in schedule(5, 2000, UNITS, 1.0):
        assert (fault.unit == "") == (fault.kind in EVERYWHERE)
        assert not (fault.unit == "B" and fault.kind.startswith("obd"))
        assert not (fault.unit == "C" and fault.kind in ENDING)


def test_faults_come_at_the_pace_that_was_asked_for() -> None:
    *_, last = schedule(5, 2000, UNITS, 1.5)
    assert last.at_s == pytest.approx(3000, rel=0.05)


# The ledger


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger()
    for sequence in (1, 2, 3):
        made.on_sealed("A", BOOT, sequence, 6, digest(f"batch {sequence}"))
    return made


def test_what_is_neither_stored_nor_declared_is_lost(ledger: Ledger) -> None:
    ledger.on_stored("A", BOOT, 1, digest("batch 1"))
    ledger.on_gap("A", BOOT, 2, 2, "damaged")
    assert ledger.lost() == [("A", BOOT, 3)]
    assert ledger.declared() == {"damaged": [("A", BOOT, 2)]}
    assert not ledger.violations


def test_both_sides_may_come_in_any_order(ledger: Ledger) -> None:
    ledger.on_stored("A", BOOT, 4, digest("batch 4"))
    ledger.on_gap("A", BOOT, 5, 5, "outbox_full")
    for sequence in (4, 5):
        ledger.on_sealed("A", BOOT, sequence, 6, digest(f"batch {sequence}"))
    assert [name[2] for name in ledger.lost()] == [1, 2, 3]


def test_a_gap_of_another_unit_or_boot_declares_nothing(ledger: Ledger) -> None:
    ledger.on_gap("B", BOOT, 1, 3, "damaged")
    ledger.on_gap("A", "11" * 16, 1, 3, "damaged")
    assert len(ledger.lost()) == 3


def test_other_bytes_are_found_whichever_side_comes_first(ledger: Ledger) -> None:
    ledger.on_stored("A", BOOT, 1, digest("something else"))
    ledger.on_stored("A", BOOT, 9, digest("something else"))
    ledger.on_sealed("A", BOOT, 9, 6, digest("batch 9"))
    assert len(ledger.violations) == 2


def test_a_sequence_that_is_given_away_twice_is_found(ledger: Ledger) -> None:
    ledger.on_sealed("A", BOOT, 1, 6, digest("another batch"))
    assert "given away twice" in ledger.violations[0]


def test_batches_and_samples_that_are_stored_twice_are_counted(ledger: Ledger) -> None:
    ledger.on_stored("A", BOOT, 1, digest("batch 1"))
    ledger.on_stored("A", BOOT, 1, digest("batch 1"))
    one, other = (Sample(mono_s, None, TimeQuality.NONE) for mono_s in (1.0, 2.0))
    ledger.on_samples("A", 7, [one, other])
    ledger.on_samples("A", 8, [one])  # another run of the monotonic clock
    assert ledger.twice == 1
    ledger.on_samples("A", 7, [other])
    assert ledger.twice == len(ledger.violations) == 2


def test_a_batch_that_a_kill_kept_from_being_noted_is_counted_and_no_loss(ledger: Ledger) -> None:
    ledger.on_stored("A", BOOT, 4, digest("batch 4"))
    assert ledger.unnoted() == 1
    assert not ledger.violations


def test_a_sequence_that_never_came_is_a_hole_until_it_is_declared(ledger: Ledger) -> None:
    for sequence in (1, 3, 5):
        ledger.on_stored("A", BOOT, sequence, digest(f"batch {sequence}"))
    assert [name[2] for name in ledger.holes("A")] == [2, 4]
    assert ledger.holes("B") == []
    ledger.on_gap("A", BOOT, 4, 4, "disk_full")
    assert [name[2] for name in ledger.holes("A")] == [2]


def test_a_loss_for_which_no_fault_is_an_excuse_is_a_violation(ledger: Ledger) -> None:
    ledger.on_gap("A", BOOT, 1, 1, "disk_full")
    assert not ledger.violations
    ledger.on_gap("A", BOOT, 2, 2, "not_kept")
    assert "no fault explains" in ledger.violations[0]


# Logs, clocks, quirks, memory


def test_a_traceback_is_found_once_and_told_by_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "agent.log"
    path.write_text(
        'well\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n    g()\nValueError: no\nwell\n'
    )
    logbook = Logbook([path, tmp_path / "none.log"])
    assert logbook.unexpected() == ['agent.log: File "a.py", line 1, in f: ValueError: no']
    assert logbook.unexpected() == []
    with path.open("a") as file:
        file.write("Traceback (most recent call last):\nKeyError: 'x'\n")
    assert logbook.unexpected() == ["agent.log: ?: KeyError: 'x'"]


def test_each_of_several_tracebacks_is_told() -> None:
    one = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    g()", "ValueError: no"]
    assert len(tracebacks([*one, "well", *one])) == 2


def test_the_clock_follows_the_wheel(tmp_path: Path) -> None:
    wheel = SteeringWheel(tmp_path / "wheel")
    clock = SteeredClock(wheel.path)
    assert clock.monotonic_s() == pytest.approx(time.monotonic(), abs=5)
    wheel.skip(3600)
    wheel.turn(kernel_boot=2**32 - 1, is_disciplined=False, has_rtc=True)
    assert clock.monotonic_s() == pytest.approx(time.monotonic() + 3600, abs=5)
    assert clock.utc_ms() == pytest.approx(time.time() * 1000 + 3_600_000, abs=5000)
    assert (clock.kernel_boot(), clock.is_disciplined(), clock.has_rtc()) == (2**32 - 1, False, True)
    with pytest.raises(struct.error):
        wheel.turn(kernel_boot=2**32)
    wheel.close()


def test_every_quirk_changes_what_an_adapter_says() -> None:
    good = b"41 0C 1A F8 \r\r>"
    for name, quirk in QUIRKS.items():
        answers = {quirk(good, random.Random(seed)) for seed in range(20)}
        assert answers != {good}, name


def test_memory_that_grows_has_a_slope_and_a_warm_up_has_none() -> None:
    hour = timedelta(hours=1).total_seconds()
    assert slope_per_hour([(n * hour, 1000 + 50 * n) for n in range(8)]) == 50.0
    assert slope_per_hour([(n * hour, 1000 * min(n, 2)) for n in range(8)]) == 0.0
    assert slope_per_hour([(0.0, 1), (1.0, 2)]) is None


@pytest.mark.parametrize("may_mount", [True, False])
def test_a_full_disk_takes_no_more_until_it_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_mount: bool
) -> None:
    if not may_mount:
        monkeypatch.setenv("PATH", str(tmp_path))
    disk = Disk(tmp_path / "disk")
    writing = (
        "import sys\n"
        "for name in sys.stdin:\n"
        "    try:\n"
        "        print(open(name.strip(), 'wb', 0).write(bytes(20_000)) == 20_000, flush=True)\n"
        "    except OSError:\n"
        "        print(False, flush=True)\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", writing], stdin=pipe, stdout=pipe, text=True) as writer:

        def is_taken(name: str) -> bool:
            assert writer.stdin
            assert writer.stdout
            writer.stdin.write(f"{tmp_path}/disk/{name}\n")
            writer.stdin.flush()
            return writer.stdout.readline() == "True\n"

        assert is_taken("before")
        disk.fill(writer.pid)
        assert not is_taken("full")
        disk.empty(writer.pid)
        assert is_taken("after")
    disk.close()
