"""Looks at the unit's own supply: external power there or gone, voltage, current. One thread that blocks in poll.

Who wakes the thread:

- a GPIO's `value` file (its `edge` set to "both") and every attribute with sysfs_notify: POLLPRI;
- `/sys/class/power_supply/*/online`: drivers call power_supply_changed, which sends a uevent (a netlink socket of the
  kernel's) and leaves the file silent;
- a plain file that a HAT's daemon writes: nothing. So the thread also looks by itself: every 50 ms, until a change has
  come with a wake-up and so proven that they work; from then on once a second.
"""

import contextlib
import logging
import math
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from edge_agent.power.cut import CutJudge, Supply
from edge_agent.power.settings import PowerSettings

log = logging.getLogger(__name__)

POWER_SUPPLIES = Path("/sys/class/power_supply")
_LOOK_S = 0.05
_LOOK_UNDECIDED_S = 0.02  # with a cut of 120 ms the news is out after 190 ms at most
_LOOK_PROVEN_S = 1.0
_MEASURE_S = 5.0
_EARLY_S = 0.5  # poll may return a little early; a measurement is not put off for that
_NETLINK_KOBJECT_UEVENT = 15  # linux/netlink.h; group 1 is the kernel itself


class SupplyWatch:
    """Calls back from its thread: `on_supply` on a cut and its end, `on_volts` (V) and `on_current` (mA) every 5 s.

    Every file may be missing, appear later or vanish: what cannot be read says nothing, and nothing is not a cut.
    """

    def __init__(
        self,
        settings: PowerSettings,
        on_supply: Callable[[Supply], None],
        on_volts: Callable[[float, float], None],
        on_current: Callable[[float, float], None],
    ) -> None:
        self._settings = settings
        self._on_supply, self._on_volts, self._on_current = on_supply, on_volts, on_current
        self._judge = CutJudge(settings.cut_after_ms / 1000)
        self._online: int | None = None  # file descriptor, kept open: that is what POLLPRI needs
        self._online_inode = 0
        self._seen: bool | None = None
        self._proven = False
        self._rings_in_vain = False  # a file whose POLLPRI never ends would make the thread spin
        self._measured_s = float("-inf")
        self._stop_read, self._stop_write = os.pipe()
        self._thread = threading.Thread(target=self._run, name="supply", daemon=True)

    @property
    def watches(self) -> bool:
        """Whether there is anything to look at."""
        its = self._settings
        return bool(its.online_file or its.volts_file or its.current_file)

    def start(self) -> None:
        """Begin, unless nothing is configured."""
        if self.watches:
            self._thread.start()

    def stop(self) -> None:
        """End the thread, within two seconds; once."""
        os.write(self._stop_write, b"x")
        if self._thread.is_alive():
            self._thread.join(2.0)
        if not self._thread.is_alive():
            os.close(self._stop_read)
            os.close(self._stop_write)

    def _run(self) -> None:
        with contextlib.ExitStack() as stack:
            uevents = _uevents()
            if uevents is not None:
                stack.enter_context(uevents)
            woken = False
            while True:
                mono_s = time.monotonic()
                changed = self._look(mono_s, woken)
                self._rings_in_vain = woken and not changed
                self._measure(mono_s)
                rung = self._wait(uevents)
                if rung is None:
                    break
                woken = rung
        self._close()

    def _wait(self, uevents: socket.socket | None) -> bool | None:
        """Until something rings (True) or it is time to look (False); None: the watch is stopped."""
        poll = select.poll()
        poll.register(self._stop_read, select.POLLIN)
        if uevents is not None:
            poll.register(uevents, select.POLLIN)
        if self._online is not None and not self._rings_in_vain:
            poll.register(self._online, select.POLLPRI | select.POLLERR)
        rung = dict(poll.poll(self._wait_ms()))
        if self._stop_read in rung:
            return None
        if uevents is not None and rung.pop(uevents.fileno(), None) is not None and _of_power(uevents):
            return True
        return bool(rung)

    def _wait_ms(self) -> int:
        if not self._settings.online_file:
            return round(_MEASURE_S * 1000)
        if self._judge.undecided:
            return round(_LOOK_UNDECIDED_S * 1000)
        return round((_LOOK_PROVEN_S if self._proven else _LOOK_S) * 1000)

    def _look(self, mono_s: float, woken: bool) -> bool:
        """Whether the file says something else than before."""
        present = self._present()
        if present is None:
            return False
        changed = self._seen is not None and present is not self._seen
        if changed:
            self._proven = woken  # a change that only looking found: here nothing rings
        self._seen = present
        its = self._settings
        volts = None if present else _number(its.volts_file, its.volts_scale)
        supply = self._judge.on_look(present, volts, mono_s)
        if supply is not None:
            self._on_supply(supply)
        return changed

    def _measure(self, mono_s: float) -> None:
        if mono_s - self._measured_s < _MEASURE_S - _EARLY_S:
            return
        self._measured_s, its = mono_s, self._settings
        volts = _number(its.volts_file, its.volts_scale)
        current_ma = _number(its.current_file, its.current_scale)
        if volts is not None:
            self._on_volts(volts, mono_s)
        if current_ma is not None:
            self._on_current(abs(current_ma), mono_s)  # drivers disagree on the sign of a discharge

    def _present(self) -> bool | None:
        """What the file says; None: it says nothing."""
        path = online_file(self._settings.online_file)
        try:
            if path is None:
                raise FileNotFoundError
            inode = path.stat().st_ino
            if self._online is None or inode != self._online_inode:  # a daemon may replace its file by a new one
                self._close()
                self._online, self._online_inode = os.open(path, os.O_RDONLY), inode
            text = os.pread(self._online, 64, 0).decode(errors="replace").strip()  # from 0, which arms POLLPRI again
        except OSError:
            self._close()
            return None
        return text == self._settings.online_value if text else None  # empty: between truncating and writing

    def _close(self) -> None:
        if self._online is not None:
            os.close(self._online)
        self._online = None


def online_file(configured: str) -> Path | None:
    """The file to watch; "auto" is the first supply that is no battery and can be there or not."""
    if configured != "auto":
        return Path(configured) if configured else None
    for supply in sorted(POWER_SUPPLIES.glob("*")):
        with contextlib.suppress(OSError):
            if (supply / "type").read_text().strip() != "Battery" and (supply / "online").exists():
                return supply / "online"
    return None


def _uevents() -> socket.socket | None:
    """The kernel's uevents; None where a container or a security rule forbids them."""
    try:
        uevents = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _NETLINK_KOBJECT_UEVENT)
        uevents.bind((0, 1))
    except OSError as error:
        log.info("no uevents (%s): the supply is looked at every %g s", error, _LOOK_S)
        return None
    return uevents


def _of_power(uevents: socket.socket) -> bool:
    """Whether any of what waits there speaks of a power supply."""
    found = False
    while True:
        try:
            message = uevents.recv(8192)
        except BlockingIOError:
            return found
        except OSError:  # ENOBUFS: some were lost, perhaps the one that counts
            return True
        found = found or b"SUBSYSTEM=power_supply" in message.split(b"\0")


def _number(path: str, scale: float) -> float | None:
    """What a file holds, times `scale`; None where there is none or it cannot be read as a number."""
    if not path:
        return None
    try:
        value = float(Path(path).read_text()) * scale
    except (OSError, ValueError):
        return None
    return value if math.isfinite(value) else None
