"""THE LOOP: batches leave when they are due, receipts are read, storms come; in one process or several.

A play is open: a batch is due at its own time, whether or not the server keeps up, and its receipt's time is counted
from then. A slow server so makes the figures worse instead of making the load smaller.
"""

import logging
import multiprocessing
import random
import resource
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from threading import BrokenBarrierError

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from firmware_sim.fleet import sealed_file
from firmware_sim.fleet.connections import Lines
from firmware_sim.fleet.disturbing import disturbed, paced
from firmware_sim.fleet.identities import Enrolled, Fleet, FleetError, read_fleet, unpack_bundles
from firmware_sim.fleet.sealing import Entry, Plan, boot_of, traffic
from firmware_sim.fleet.tally import Tally, added
from firmware_sim.fleet.windows import Answered, Leaving, UnitWindow
from wire.refused import RefusedError
from wire.seal import open_receipt

_IDLE_S = 0.2  # the longest wait, which bounds the answer to a signal
_MOST_AT_ONCE = 100  # batches before receipts are read again
_LOOK_EVERY_S = 1.0  # for batches without a receipt
_FILES_BESIDE = 64  # descriptors that are no connections


@dataclass(frozen=True, slots=True)
class Manners:
    """How to play.

    `sealed` names batches that were sealed beforehand; without it, `plan` is sealed as it goes. `rate_per_s` None: at
    their own times, `speed` times as fast.
    """

    folder: Path
    vehicles: int
    seed: int
    sealed: Path | None = None
    plan: Plan | None = None
    rate_per_s: float | None = None
    speed: float = 1.0
    duplicate_share: float = 0.0
    swap_share: float = 0.0
    storm_every_s: float | None = None
    storm_share: float = 1.0
    connect_s: float = 120.0
    drain_s: float = 60.0
    receipts: bool = True
    processes: int = 1


class Player:
    """One process's share of the vehicles; it is also what the lines tell (`connections.Ears`)."""

    def __init__(self, manners: Manners, fleet: Fleet, enrolled: Enrolled, share: range) -> None:
        """`share` are the vehicles of this process. Raises OSError for certificates that cannot be read."""
        self.tally = Tally(vehicles=len(share))
        self._manners, self._fleet = manners, fleet
        self._receipt_keys = [Ed25519PublicKey.from_public_bytes(key) for key in enrolled.receipt_keys]
        self._windows = {vehicle: UnitWindow() for vehicle in share}
        self._boots: dict[int, bytes] = {}
        self._messages: dict[tuple[int, int], int] = {}  # (vehicle, message) → sequence, where receipts are not read
        self._ready: dict[int, None] = {}  # vehicles that may have something to send
        self._dropped: set[int] = set()  # by a storm, and not yet noticed by paho
        self._dice = random.Random(f"fleet storms {manners.seed} {share.start}")  # noqa: S311 - repeatable on purpose
        self._lines = Lines(enrolled, manners.folder / "keys", self, manners.seed)
        for vehicle in share:
            self._lines.add(vehicle, fleet.name(vehicle))

    def connect(self, stopping: Callable[[], bool]) -> None:
        """Until every unit is connected, or for as long as the manners allow."""
        began_s = time.monotonic()
        until_s = began_s + self._manners.connect_s
        while self._up() < len(self._windows) and time.monotonic() < until_s and not stopping():
            self._lines.serve(_IDLE_S)
        self.tally.connect_s = time.monotonic() - began_s

    def play(self, entries: Iterator[Entry], stopping: Callable[[], bool]) -> Tally:
        """Send them all in time, then wait for what is still open."""
        began_s, began_cpu_s = time.monotonic(), time.process_time()
        upcoming = next(entries, None)
        looked_s = began_s
        storm_s = began_s + (self._manners.storm_every_s or float("inf"))
        sent_all_s: float | None = None
        while not stopping():
            now_s = time.monotonic()
            taken = 0
            while upcoming is not None and began_s + upcoming.due_ms / 1000 <= now_s and taken < _MOST_AT_ONCE:
                self._windows[upcoming.vehicle].offer(upcoming, began_s + upcoming.due_ms / 1000)
                self._ready[upcoming.vehicle] = None
                upcoming, taken = next(entries, None), taken + 1
            self.tally.due += taken
            self._send_ready()
            if now_s - looked_s >= _LOOK_EVERY_S:
                looked_s = now_s
                self._send_again(now_s)
            if now_s >= storm_s:
                storm_s += self._manners.storm_every_s or float("inf")
                self._storm()
            if upcoming is None and sent_all_s is None:
                sent_all_s = time.monotonic()
            if sent_all_s is not None and (self._is_settled() or now_s - sent_all_s > self._manners.drain_s):
                break
            next_s = now_s + _IDLE_S if upcoming is None else began_s + upcoming.due_ms / 1000
            self._lines.serve(max(0.0, min(_IDLE_S, next_s - time.monotonic())))
        ended_s = time.monotonic()
        self.tally.seconds = (sent_all_s or ended_s) - began_s
        self.tally.drain_s = ended_s - (sent_all_s or ended_s)
        self.tally.cpu_s = time.process_time() - began_cpu_s
        self.tally.unsettled = sum(window.open for window in self._windows.values())
        return self.tally

    def close(self) -> None:
        """Leave."""
        self._lines.close()

    def on_up(self, line: int) -> None:
        """A unit is connected, for the first time or again."""
        self.tally.connected += 1
        self._ready[line] = None

    def on_down(self, line: int) -> None:
        """A connection ended, by a storm or otherwise."""
        if line in self._dropped:
            self._dropped.discard(line)
        else:
            self.tally.lost_connections += 1

    def on_refused(self, line: int) -> None:
        """An attempt failed."""
        self.tally.refused_connections += 1

    def on_receipt(self, line: int, payload: bytes) -> None:
        """Check it as a unit does, and send what it makes room for."""
        self.tally.receipts += 1
        if not self._manners.receipts:
            return
        try:
            receipt = open_receipt(payload, self._fleet.name(line), self._receipt_keys)
        except RefusedError:
            self.tally.refused_receipts += 1
            return
        if receipt.boot == self._boots.get(line):
            self._note(self._windows[line].receipted(receipt.committed, time.monotonic()))
            self._ready[line] = None

    def on_command(self, line: int) -> None:
        """Counted; this fleet carries nothing out."""
        self.tally.commands += 1

    def on_acknowledged(self, line: int, message: int) -> None:
        """Where receipts are not read, this settles a batch."""
        sequence = self._messages.pop((line, message), None)
        answered = None if sequence is None else self._windows[line].acknowledged(sequence, time.monotonic())
        if answered is not None:
            self._note([answered])
            self._ready[line] = None

    def _send_ready(self) -> None:
        while self._ready:
            vehicle = next(iter(self._ready))
            del self._ready[vehicle]
            if self._lines.is_up(vehicle):
                for leaving in self._windows[vehicle].leaving(time.monotonic()):
                    self._send(vehicle, leaving)

    def _send_again(self, now_s: float) -> None:
        for vehicle, window in self._windows.items():
            if not window.is_idle and self._lines.is_up(vehicle):
                for leaving in window.impatient(now_s):
                    self._send(vehicle, leaving)

    def _send(self, vehicle: int, leaving: Leaving) -> None:
        entry, tally = leaving.entry, self.tally
        if vehicle not in self._boots:
            self._boots[vehicle] = boot_of(entry.data)
        message = self._lines.publish(vehicle, entry.data)
        if message is not None and not self._manners.receipts:
            self._messages[vehicle, message] = entry.sequence
        tally.sent += 1
        tally.bytes_sent += len(entry.data)
        if leaving.is_copy:
            tally.copies += 1
        elif leaving.late_s is None:
            tally.again += 1
        else:
            tally.samples += entry.samples
            tally.late_s.append(leaving.late_s)

    def _note(self, answers: Iterable[Answered]) -> None:
        for answered in answers:
            self.tally.settled += 1
            self.tally.since_due_s.append(answered.since_due_s)
            self.tally.since_sent_s.append(answered.since_sent_s)

    def _storm(self) -> None:
        """Many connections end in the same instant; all of them are made again at once."""
        up = [vehicle for vehicle in self._windows if self._lines.is_up(vehicle)]
        for vehicle in self._dice.sample(up, round(len(up) * self._manners.storm_share)):
            if self._lines.drop(vehicle):
                self._dropped.add(vehicle)
                self.tally.dropped += 1

    def _is_settled(self) -> bool:
        return not self._ready and all(window.is_idle for window in self._windows.values())

    def _up(self) -> int:
        return sum(self._lines.is_up(vehicle) for vehicle in self._windows)


def play(manners: Manners, stopping: Callable[[], bool]) -> Tally:
    """Play with as many processes as the manners say; returns what all of them did.

    Raises:
        FleetError: the folder, the bundles or the sealed batches cannot be used.
    """
    fleet = _chosen(manners)
    enrolled = unpack_bundles(manners.folder, fleet, range(manners.vehicles))
    if manners.processes == 1:
        return _play_share(manners, fleet, enrolled, 0, stopping, lambda: None)
    context = multiprocessing.get_context("spawn")  # a fork would share the parent's random state and descriptors
    stop, start = context.Event(), context.Barrier(manners.processes)
    with ProcessPoolExecutor(manners.processes, context, _begin_process, (stop, start)) as processes:
        shares = [
            processes.submit(_play_in_process, manners, fleet, enrolled, number) for number in range(manners.processes)
        ]
        while not all(share.done() for share in shares):
            if stopping():
                stop.set()
            if any(share.done() and share.exception() for share in shares):
                start.abort()  # the others would wait for one that will not come
            time.sleep(_IDLE_S)
        return added(share.result() for share in shares)


def _chosen(manners: Manners) -> Fleet:
    fleet = read_fleet(manners.folder)
    if not 1 <= manners.vehicles <= fleet.vehicles:
        raise FleetError(f"{manners.folder} has {fleet.vehicles} vehicles, not {manners.vehicles}")
    return fleet


def _entries(manners: Manners, fleet: Fleet, share: range) -> Iterator[Entry]:
    """This share's batches. Order, copies and pace are decided over all vehicles, so they do not hang on the shares."""
    entries: Iterable[Entry]
    if manners.sealed is not None:
        entries = (entry for entry in sealed_file.read(manners.sealed, fleet) if entry.vehicle < manners.vehicles)
    elif manners.plan is not None:
        entries = traffic(fleet, manners.plan, share if manners.rate_per_s is None else range(manners.vehicles))
    else:
        raise FleetError("nothing to play: neither sealed batches nor a plan")
    entries = disturbed(entries, manners.seed, manners.duplicate_share, manners.swap_share)
    if manners.rate_per_s is not None:
        entries = paced(entries, manners.rate_per_s)
    elif manners.speed != 1:
        entries = (entry._replace(due_ms=round(entry.due_ms / manners.speed)) for entry in entries)
    return (entry for entry in entries if entry.vehicle in share)


def _play_share(
    manners: Manners,
    fleet: Fleet,
    enrolled: Enrolled,
    number: int,
    stopping: Callable[[], bool],
    wait_for_others: Callable[[], object],
) -> Tally:
    share = range(number, manners.vehicles, manners.processes)
    _allow_descriptors(len(share) + _FILES_BESIDE)
    try:
        player = Player(manners, fleet, enrolled, share)
    except OSError as error:
        raise FleetError(f"a certificate in {manners.folder}/keys cannot be used: {error}") from None
    try:
        entries = _entries(manners, fleet, share)
        player.connect(stopping)
        wait_for_others()
        return player.play(entries, stopping)
    finally:
        player.close()


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise FleetError(f"{wanted} open files are needed and {hard} allowed; more --processes, or ulimit -n")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_shared: dict[str, Event | Barrier] = {}  # set once in each process of the pool: neither can be sent to a running one


def _begin_process(stop: Event, start: Barrier) -> None:
    logging.basicConfig(level=logging.WARNING)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # the first process hears them and says so
    _shared.update(stop=stop, start=start)


def _play_in_process(manners: Manners, fleet: Fleet, enrolled: Enrolled, number: int) -> Tally:
    stop, start = _shared["stop"], _shared["start"]
    assert isinstance(stop, Event)
    assert isinstance(start, Barrier)

    def wait_for_others() -> None:
        try:
            start.wait(manners.connect_s + 60)
        except BrokenBarrierError:
            raise FleetError("another process of this play failed") from None

    return _play_share(manners, fleet, enrolled, number, stop.is_set, wait_for_others)
