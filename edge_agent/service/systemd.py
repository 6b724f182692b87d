"""What systemd is told: ready, alive, what we do, stopping (sd_notify(3)), and what a crash loop changes.

The watchdog is fed from the agent's own loop, so a loop that hangs is restarted; a thread of its own would feed it
for ever.
"""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CRASHES_TO_SAFE = 4  # starts in a row that did not last
LASTED_S = 120.0  # a start that worked so long was none of a crash loop


class Service:
    """The service manager that started us, if one did; everything is a no-op otherwise."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        period = environment.get("WATCHDOG_USEC", "") if mine else ""
        self._feed_every_s = int(period) / 1e6 / 3 if period.isdigit() and int(period) else None
        self._fed_s = float("-inf")

    def ready(self) -> None:
        """The agent works."""
        self._say("READY=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._say("STATUS=" + text.replace("\n", " "))

    def alive(self, mono_s: float) -> None:
        """From the loop, as often as it likes; what is said is a third of the watchdog's period apart."""
        if self._feed_every_s is not None and mono_s - self._fed_s >= self._feed_every_s:
            self._fed_s = mono_s
            self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """The agent ends as asked."""
        self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as way:
                way.setblocking(False)  # a service manager that does not listen must not stop the agent
                way.sendto(text.encode(), self._address)
        except OSError:
            return


@dataclass(frozen=True, slots=True)
class Started:
    """How this start stands in the row of starts."""

    in_a_row: int  # starts before this one that neither lasted nor ended as asked
    is_safe: bool  # begin with as little as can go wrong: no remote settings, no model, no OBD, no receiver set-up


class CrashGuard:
    """Counts starts that did not last in `starts.json`; two small writes a start."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "starts.json"
        self._began_s = 0.0
        self._is_open = False

    def begin(self, mono_s: float) -> Started:
        """Count this start before anything can go wrong."""
        crashes = self._read()
        self._began_s, self._is_open = mono_s, True
        self._write(crashes + 1)
        return Started(crashes, crashes >= CRASHES_TO_SAFE)

    def works(self, mono_s: float) -> None:
        """From the loop: once a start has lasted, it is no crash any more."""
        if self._is_open and mono_s - self._began_s >= LASTED_S:
            self.ended()

    def ended(self) -> None:
        """It lasted, or it ended as asked."""
        if self._is_open:
            self._is_open = False
            self._write(0)

    def _read(self) -> int:
        try:
            told = json.loads(self._path.read_text())
            return max(0, int(told["in_a_row"]))
        except (OSError, ValueError, KeyError, TypeError):
            return 0  # unreadable after a power cut: a new row begins

    def _write(self, in_a_row: int) -> None:
        try:
            beside = self._path.with_suffix(".new")
            beside.write_text(json.dumps({"in_a_row": in_a_row}))
            beside.replace(self._path)
        except OSError:  # a full disk: guarding is not worth failing for
            return
