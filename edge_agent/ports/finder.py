"""Finds the receiver and the adapter by what they say, whatever their ports are called today.

One thread looks, for both roles at once and at all free ports side by side, so that nobody waits for anybody: the
consumers' `Find` returns at once, always. The rules:

* A role is looked for from `start` on, and again whenever its consumer comes back for another place: it opened the
  last one and lost it. What one role holds, the other does not touch.
* The last good places are looked at first, for one listening each, and no other port is opened when that suffices. A
  place is remembered by its USB socket too, which stays when numbers change.
* A path that a person wrote down wins, is never questioned, and is kept from the other role. With `baud = 0` only its
  speed is found, by listening, or by asking where it is the adapter's.
* Looks in vain are followed by pauses that grow, with jitter; a change among the ports ends the pause.

The lock guards a few assignments; it is never held while something is opened, read, written or waited for.
"""

import contextlib
import logging
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edge_agent.ports.kinds import Listing
from edge_agent.ports.listing import PortsSettings, list_all
from edge_agent.ports.memory import Memory
from edge_agent.ports.place import Find, Place, fixed
from edge_agent.ports.plan import AUTO, Remembered, Stage, Want, location, plans
from edge_agent.ports.probe import Pace, Plan, Role, Verdict, pause_s
from edge_agent.ports.survey import survey

WATCH_S = 2.0  # how often to see whether a port has come or gone, while something is missing
REST_S = 1.0  # at least, after a look: ports that come and go all the time do not keep us busy
INTERRUPTIONS = 3  # in a row; a port that comes and goes must not keep the others from being heard out
SETTLED_S = 10.0  # a place that was held for so long was good: its loss is answered at once

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seat:
    """What is known of one role."""

    port: str  # AUTO, or the path whose speed is to be found
    baud: int  # 0: to be found
    place: Place | None = None
    taken_s: float | None = None  # when the consumer took `place`
    due_s: float = float("-inf")  # without a place: look then, or sooner when the ports change
    fruitless: int = 0
    doubted: str = ""  # a port that disappointed: looked at last
    looked_at: Mapping[str, str] | None = None  # path → why it is not the one; None: no look has ended yet


class PortFinder:
    """Both roles' places. One object is one life: after `stop` make a new one."""

    def __init__(
        self,
        settings: PortsSettings,
        memory: Path,
        *,
        list_ports: Callable[[PortsSettings], Listing] = list_all,
        pace: Pace | None = None,
    ) -> None:
        """`memory`: the file in which good places are remembered; it need not exist."""
        self._settings = settings
        self._memory = Memory(memory)
        self._list = list_ports
        self._pace = pace or Pace()
        self._seats: dict[Role, _Seat] = {}
        self._chosen: dict[Role, str] = {}  # paths that a person wrote down
        self._seen: Listing | None = None
        self._rested_s = self._watch_s = float("-inf")
        self._interrupted = 0  # looks in a row that were ended by news
        self._ending = False
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()  # stop() and a consumer that comes back end every wait
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ports", daemon=True)

    def seek(self, role: Role, port: str = AUTO, baud: int = 0) -> Find:
        """How `role` finds its place; call it before `start`.

        `port`: AUTO or a path; `baud`: bits per second, 0: to be found.
        """
        if port != AUTO:
            self._chosen[role] = port
            if baud:
                return fixed(port, baud)
        self._seats[role] = _Seat(port, baud)
        return partial(self._find, role)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End every look; returns within a second, from any state and any thread."""
        self._stopping.set()
        self._wake_up()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(0.9)

    def doubt(self, role: Role, because: str) -> None:
        """The device at `role`'s place is not what it was taken for: next time the other ports are looked at first.

        Its consumer still has to close the port and come back for another place (`SerialSource.reopen`).
        """
        with self._lock:
            seat = self._seats.get(role)
            if seat and seat.place:
                seat.doubted = seat.place.port
                _log.warning("%s: %s is doubted: %s", role, seat.place.port, because)

    def state(self, role: Role) -> str:
        """What a person should know of the search for `role`; one line."""
        with self._lock:
            seat = self._seats.get(role)
            if seat is None:
                return f"at {self._chosen[role]}, as set" if role in self._chosen else "not looked for"
            if seat.place:
                return f"found at {seat.place.port}, {seat.place.baud} baud"
            return "looking" if seat.looked_at is None else _in_words(seat.looked_at)

    def _find(self, role: Role) -> Place | None:
        with self._lock:
            seat, now_s = self._seats[role], time.monotonic()
            if seat.place is None:
                return None
            if seat.taken_s is None:
                seat.taken_s = now_s
                return seat.place
            settled = now_s - seat.taken_s >= SETTLED_S
            seat.fruitless = 0 if settled else seat.fruitless + 1
            seat.due_s = now_s if settled else now_s + self._pause_s(seat.fruitless)
            seat.place, seat.taken_s, seat.looked_at = None, None, None
        self._wake_up()
        return None

    def _run(self) -> None:
        with self._wake, self._woken:
            while not self._stopping.is_set():
                try:
                    self._turn()
                except Exception:  # noqa: BLE001 - a fault must not end the looking; it is logged, and we look again
                    _log.exception("a look for ports failed")
                    self._sleep(WATCH_S)

    def _turn(self) -> None:
        """Look, or wait until that is due, the ports have changed, or somebody comes."""
        missing = self._missing()
        if not missing:
            self._sleep(None)
            return
        listing = self._list(self._settings)
        if listing != self._seen:
            for seat in missing.values():  # a device that came may need some seconds to speak: so the count starts anew
                seat.due_s, seat.fruitless = self._rested_s, 0
        self._seen = listing
        wait_s = min(seat.due_s for seat in missing.values()) - time.monotonic()
        if wait_s > 0:
            self._sleep(min(wait_s, WATCH_S))
        else:
            self._look(missing, listing)
            self._rested_s = time.monotonic() + REST_S

    def _missing(self) -> dict[Role, _Seat]:
        with self._lock:
            return {role: seat for role, seat in self._seats.items() if seat.place is None}

    def _look(self, missing: Mapping[Role, _Seat], listing: Listing) -> None:
        """Look once for all that is missing. What is found and lost again meanwhile is a matter for the next look."""
        self._ending, self._watch_s = False, time.monotonic() + WATCH_S
        sought, texts = dict(missing), {role: dict[str, str]() for role in missing}
        for stage in Stage:
            wants = [
                Want(role, seat.port, seat.baud, self._memory.get(role), seat.doubted) for role, seat in sought.items()
            ]
            tries, refused = plans(stage, wants, listing, self._taken(), self._pace)
            for refusal in refused:
                texts[refusal.role][refusal.path] = refusal.text
            tell = partial(self._tell, sought, tries, texts, listing)
            survey(tries, tell, self._woken, partial(self._must_end, sought, listing))
            if self._ending:
                return
        self._interrupted = 0
        with self._lock:
            for role, seat in sought.items():
                if seat.looked_at != texts[role]:
                    _log.warning("%s: %s", role, _in_words(texts[role]))
                seat.looked_at, seat.fruitless, seat.doubted = texts[role], seat.fruitless + 1, ""
                seat.due_s = time.monotonic() + self._pause_s(seat.fruitless)

    def _must_end(self, sought: Mapping[Role, _Seat], listing: Listing) -> bool:
        """Whether to end a look before its time: for stop(), and a few times in a row for news worth a new look."""
        now_s = time.monotonic()
        if self._stopping.is_set():
            self._ending = True
        elif self._interrupted < INTERRUPTIONS:
            is_news = any(seat.due_s <= now_s for role, seat in self._missing().items() if role not in sought)
            if now_s >= self._watch_s and not is_news:
                self._watch_s = now_s + WATCH_S
                is_news = self._list(self._settings) != listing
            self._interrupted += is_news
            self._ending = is_news
        return self._ending

    def _tell(
        self,
        sought: dict[Role, _Seat],
        tries: Mapping[str, Plan],
        texts: Mapping[Role, dict[str, str]],
        listing: Listing,
        path: str,
        verdict: Verdict,
    ) -> bool:
        """Take a verdict; True when nothing is sought any more."""
        for role, speeds in ((Role.GNSS, tries[path].listen_at), (Role.OBD, tries[path].ask_at)):
            if speeds:
                texts[role][path] = verdict.text
        seat = sought.pop(verdict.role, None) if verdict.role else None
        if verdict.role and seat:
            _log.info("%s: %s %s at %d baud", verdict.role, path, verdict.text, verdict.baud)
            with self._lock:
                seat.place, seat.doubted = Place(path, verdict.baud), ""
            self._memory.put(verdict.role, Remembered(path, verdict.baud, location(path, listing.ports)))
        return not sought

    def _taken(self) -> dict[str, str]:
        """Ports that are not free, and why."""
        with self._lock:
            taken = {seat.place.port: f"in use for {role}" for role, seat in self._seats.items() if seat.place}
        return taken | {os.path.realpath(path): f"kept for {role}" for role, path in self._chosen.items()}

    def _pause_s(self, fruitless: int) -> float:
        return pause_s(fruitless, random.random(), self._settings.longest_pause_s)  # noqa: S311 - spreads looks, no secret

    def _wake_up(self) -> None:
        with contextlib.suppress(OSError):  # closed: the thread has already ended; full: it will wake anyhow
            self._wake.send(b"x")

    def _sleep(self, seconds: float | None) -> None:
        if select.select([self._woken], [], [], seconds)[0]:
            self._woken.recv(4096)


def _in_words(looked_at: Mapping[str, str]) -> str:
    looked = ", ".join(f"{path} ({text})" for path, text in sorted(looked_at.items()))
    return f"looked at {looked}" if looked else "there is no port to look at"
