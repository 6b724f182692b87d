"""The agent's one door to clocks, and to what vouches for them. A test hands the agent another of the same shape.

Who disciplines the system clock is asked of the kernel: chrony, ntpd and systemd-timesyncd all clear STA_UNSYNC through
adjtimex(2), and the kernel sets it again by itself once the estimated error has grown past 16 s (500 ppm since the last
word from the network, 9 h). systemd-timesyncd's own mark is a second witness: it stays where the network was lost for
longer, and a quartz that was set once today is still good to seconds.
"""

import ctypes
import time
from pathlib import Path
from typing import Protocol

from edge_agent.timing.clock import SystemTime

_TIMESYNC = Path("/run/systemd/timesync/synchronized")
_RTCS = Path("/sys/class/rtc")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x40
_TIME_ERROR = 5
# A clock chip without battery starts in 1970 or 2000, and the system then moves its own clock to when it last ran: the
# two differ. An honest chip differs by seconds a week.
_RTC_AGREES_S = 60
_LOOK_EVERY_S = 60.0  # reading the chip takes a slow bus a millisecond


class Clock(Protocol):
    """What the agent asks of a clock."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never jumps. Stands still while the machine sleeps or is off."""

    def utc_ms(self) -> int:
        """The system clock, UTC ms; may say anything."""

    def is_disciplined(self) -> bool:
        """Whether the system clock is set over the network."""

    def has_rtc(self) -> bool:
        """Whether a battery-backed clock set the system clock when the machine started."""

    def kernel_boot(self) -> int:
        """32 bits that name this run of the monotonic clock."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._rtc_looked_s = float("-inf")
        self._has_rtc = False

    def monotonic_s(self) -> float:
        """CLOCK_MONOTONIC: since the kernel started, on Linux."""
        return time.monotonic()

    def utc_ms(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns() // 1_000_000

    def is_disciplined(self) -> bool:
        """By the kernel's account, or by systemd-timesyncd's mark of this boot."""
        return _kernel_is_disciplined() or _TIMESYNC.exists()

    def has_rtc(self) -> bool:
        """Whether the kernel set the clock from a chip (`hctosys`) that still agrees with it; looked at each minute."""
        now_s = time.monotonic()
        if now_s - self._rtc_looked_s >= _LOOK_EVERY_S:
            self._rtc_looked_s = now_s
            self._has_rtc = any(_agrees(rtc, time.time()) for rtc in _RTCS.glob("*"))
        return self._has_rtc

    def kernel_boot(self) -> int:
        """The beginning of the kernel's random boot id."""
        return int(_BOOT_ID.read_text().strip().replace("-", "")[:8], 16)


def system_time(clock: Clock) -> SystemTime:
    """What `UtcClock.told_by_system` wants to know."""
    offset_ms = clock.utc_ms() - round(clock.monotonic_s() * 1000)
    return SystemTime(offset_ms, clock.is_disciplined(), clock.has_rtc())


class _Timex(ctypes.Structure):
    """The beginning of `struct timex` (adjtimex(2)); the rest is only room for what the kernel writes."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 512),
    )


def _kernel_is_disciplined() -> bool:
    """STA_UNSYNC as adjtimex(2) tells it: with `modes` 0 it changes nothing and needs no rights."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):  # a C library without it
        return False
    return state not in (-1, _TIME_ERROR) and not timex.status & _STA_UNSYNC


def _agrees(rtc: Path, now_s: float) -> bool:
    try:
        set_the_clock = (rtc / "hctosys").read_text().strip() == "1"
        return set_the_clock and abs(int((rtc / "since_epoch").read_text()) - now_s) <= _RTC_AGREES_S
    except (OSError, ValueError):
        return False
