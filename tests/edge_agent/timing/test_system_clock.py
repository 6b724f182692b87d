"""What vouches for the system clock, by files and answers of the kernel that are laid before it."""

import ctypes
import time
from pathlib import Path
from typing import Any

import pytest

from edge_agent.timing import system_clock
from edge_agent.timing.clock import SystemTime
from edge_agent.timing.system_clock import SystemClock, system_time


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without network time, without RTC."""
    monkeypatch.setattr(system_clock, "_TIMESYNC", tmp_path / "synchronized")
    monkeypatch.setattr(system_clock, "_RTCS", tmp_path / "rtc")
    monkeypatch.setattr(system_clock, "_kernel_is_disciplined", lambda: False)
    (tmp_path / "rtc").mkdir()
    return tmp_path


def add_rtc(machine: Path, name: str, hctosys: str, since_epoch: str) -> None:
    (machine / "rtc" / name).mkdir()
    (machine / "rtc" / name / "hctosys").write_text(hctosys)
    (machine / "rtc" / name / "since_epoch").write_text(since_epoch)


def test_the_clocks_are_the_machine_s() -> None:
    clock = SystemClock()
    before_s, before_ms = time.monotonic(), time.time_ns() // 1_000_000
    assert before_s <= clock.monotonic_s() <= time.monotonic()
    assert before_ms <= clock.utc_ms() <= time.time_ns() // 1_000_000


def test_the_kernel_boot_is_32_bits_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SystemClock().kernel_boot() == SystemClock().kernel_boot()
    (tmp_path / "boot_id").write_text("deadbeef-1234-5678-9abc-def012345678\n")
    monkeypatch.setattr(system_clock, "_BOOT_ID", tmp_path / "boot_id")
    assert SystemClock().kernel_boot() == 0xDEADBEEF


def test_either_witness_says_that_the_clock_is_disciplined(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not SystemClock().is_disciplined()
    (machine / "synchronized").touch()
    assert SystemClock().is_disciplined()
    (machine / "synchronized").unlink()
    monkeypatch.setattr(system_clock, "_kernel_is_disciplined", lambda: True)
    assert SystemClock().is_disciplined()


class Libc:
    """Of the C library's shape."""

    def __init__(self, state: int, status: int) -> None:
        self.state, self.status = state, status

    def adjtimex(self, timex: Any) -> int:
        assert timex._obj.modes == 0  # changes nothing
        timex._obj.status = self.status
        return self.state


@pytest.mark.parametrize(
    ("state", "status", "disciplined"),
    [
        (0, 0x01, True),
        (0, 0x2001, True),
        (1, 0, True),
        (5, 0x40, False),
        (0, 0x40, False),
        (5, 0, False),
        (-1, 0, False),
    ],
)
def test_what_the_kernel_says(monkeypatch: pytest.MonkeyPatch, state: int, status: int, disciplined: bool) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc(state, status))
    assert system_clock._kernel_is_disciplined() == disciplined


def test_a_c_library_without_adjtimex_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert not system_clock._kernel_is_disciplined()


def test_the_real_kernel_answers() -> None:
    """Whatever it says, its own record of the clock is read where it stands: the status has only bits that exist."""
    timex = system_clock._Timex()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    if state == -1:
        pytest.skip("adjtimex is not allowed here")
    assert 0 <= timex.status <= 0xFFFF
    assert 0 <= timex.maxerror <= 16_000_000 * 2
    assert system_clock._kernel_is_disciplined() == (state != 5 and not timex.status & 0x40)


@pytest.mark.parametrize(
    ("hctosys", "away_s", "has_rtc"),
    [
        ("1\n", 0, True),
        ("1\n", 50, True),
        ("1\n", -50, True),
        ("1\n", 70, False),
        ("1\n", -70, False),
        ("0\n", 0, False),
    ],
)
def test_a_chip_that_set_the_clock_and_still_agrees(machine: Path, hctosys: str, away_s: int, has_rtc: bool) -> None:
    add_rtc(machine, "rtc0", "0\n", "0\n")
    add_rtc(machine, "rtc1", hctosys, f"{int(time.time()) + away_s}\n")
    assert SystemClock().has_rtc() == has_rtc


def test_a_chip_that_cannot_be_read_is_none(machine: Path) -> None:
    assert not SystemClock().has_rtc()
    add_rtc(machine, "rtc0", "1\n", "garbage\n")
    (machine / "rtc" / "rtc1").mkdir()
    assert not SystemClock().has_rtc()


def test_the_chip_is_looked_at_once_a_minute(machine: Path) -> None:
    clock = SystemClock()
    assert not clock.has_rtc()
    add_rtc(machine, "rtc0", "1\n", f"{int(time.time())}\n")
    assert not clock.has_rtc()
    clock._rtc_looked_s -= 60
    assert clock.has_rtc()


class Still:
    """A clock that a test holds."""

    def monotonic_s(self) -> float:
        return 12.5

    def utc_ms(self) -> int:
        return 1_000_000

    def is_disciplined(self) -> bool:
        return True

    def has_rtc(self) -> bool:
        return False

    def kernel_boot(self) -> int:
        return 1


def test_what_the_agent_s_clock_wants_to_know() -> None:
    assert system_time(Still()) == SystemTime(987_500, is_disciplined=True, has_rtc=False)
