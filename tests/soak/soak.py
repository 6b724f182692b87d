"""The soak: faults by schedule, a rest after every so many, and at each rest all that must hold.

At a rest everything is mended, and within `CALM_S` each unit must answer, be connected, take new samples, and have
every batch that it ever sealed stored on the server or declared lost. Then memory, descriptors, threads and logs are
looked at, and the soak goes on. The first rest that fails ends it: what comes after would only be its consequence.
"""

import hashlib
import heapq
import itertools
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.journey.world import World
from tests.soak import faulty
from tests.soak.devices import Bench
from tests.soak.faults import ENDING, Fault, Kind, UnitTraits, schedule
from tests.soak.ledger import Ledger
from tests.soak.lines import Network
from tests.soak.logbook import Logbook
from tests.soak.steering import SteeringWheel
from tests.soak.unit import PLANS, Plan, Unit, spawn_server
from wire.codec import decode_body
from wire.seal import stored_body

CALM_S = 120.0
OBD_CALM_S = 240.0  # an adapter that gave nothing for long is tried every 75 s, and each try may take 20 s
SILENT_S = 30.0  # an agent that does not answer its status for so long, while it could, is stuck
SKIP_EVERY_S = 8.0  # at a rest: a batch that got no receipt rests for up to an hour, which is skipped
FRESH_S = 10.0
MOST_LOST_PER_DAMAGE = 8  # a page of 1 KiB holds so many of the smallest batches
MOST_DESCRIPTORS, MOST_THREADS = 64, 20  # of one agent; measured: 29 and 8
MOST_GROWTH_KIB = 8192  # of an agent that is spared, from its first rest with a fault behind it to any later one
_TURN_S = 0.02
_ASK_EVERY_S = 1.0
_BATCHES = """select b.id, u.name, hex(o.boot), b.sequence, b.sealed from batches b
    join units u on u.id = b.unit_id join boots o on o.id = b.boot_id where b.id > {} order by b.id"""
_GAPS = """select g.id, u.name, hex(g.boot), g."first", g."last", g.reason from gaps g
    join units u on u.id = g.unit_id where g.id > {} order by g.id"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to soak."""

    seed: int
    faults: int
    pace_s: float  # between two faults, on average
    rest_every: int = 100  # faults
    first_step: int = 0  # earlier ones are left out
    units: Sequence[Plan] = PLANS
    obd_at_end: bool = True  # the last rest waits until the cars are asked again, too


@dataclass(slots=True)
class Outcome:
    """What came of it."""

    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stuck: int = 0
    last_step: int = -1
    rest_began_at: int = 0  # the first step after the last rest that went well
    longest_rest_s: float = 0.0


class Soak:
    """One run in a folder."""

    def __init__(self, home: Path, wanted: Wanted, say: Callable[[str], None]) -> None:
        self.wanted, self._say = wanted, say
        self.outcome = Outcome()
        self.ledger = Ledger()
        self.world = World(home)
        self.server_wheel = SteeringWheel(home / "server.wheel")
        spawn_server(self.world, self.server_wheel)
        self._bench, self._network = Bench(), Network()
        self.units = {plan.name: Unit(plan, self.world, self._bench, self._network) for plan in wanted.units}
        self.logbook = Logbook([home / "ingest.log", *(unit.log() for unit in self.units.values())])
        self._began_s = time.monotonic()
        self._mending: list[tuple[float, int, Fault, faulty.Undo]] = []  # a heap by when
        self._numbers = itertools.count()
        self._rows_read = {"batches": 0, "gaps": 0}
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="watch", daemon=True)

    def run(self) -> Outcome:
        """All of it."""
        self._bench.start()
        self.world.start("broker", "ingest")
        self._watching.start()
        try:
            self._rest("before the first fault")
            self._began_s = time.monotonic()
            late_s = 0.0
            traits = [UnitTraits(each.name, each.has_obd, each.is_spared) for each in self.wanted.units]
            wanted = self.wanted
            for fault in schedule(wanted.seed, wanted.faults, traits, wanted.pace_s):
                if fault.step < wanted.first_step:
                    late_s = -fault.at_s
                    continue
                self._turn_until(self._began_s + late_s + fault.at_s)
                self._do(fault)
                is_last = fault.step + 1 == wanted.faults
                if (fault.step + 1) % wanted.rest_every == 0 or is_last:
                    late_s += self._rest(f"after step {fault.step}", with_obd=is_last and wanted.obd_at_end)
                if self.outcome.failures:
                    break
        finally:
            self._over.set()
        return self.outcome

    def close(self) -> None:
        """End every process and thread."""
        self._over.set()
        if self._watching.is_alive():
            self._watching.join()
        for unit in self.units.values():
            unit.kill()
        self.world.end()
        self._bench.close()
        self._network.close()
        for unit in self.units.values():
            unit.close()
        self.server_wheel.close()

    @property
    def minutes(self) -> float:
        """Since the first fault could have come."""
        return (time.monotonic() - self._began_s) / 60

    # Time goes on

    def _do(self, fault: Fault) -> None:
        told, undo = faulty.do(fault, self)
        self.outcome.done[fault.kind] += 1
        self.outcome.last_step = fault.step
        self._say(f"{fault}  {told}")
        heapq.heappush(self._mending, (time.monotonic() + fault.lasts_s, next(self._numbers), fault, undo))

    def _turn_until(self, until_s: float) -> None:
        self._turn()
        while (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _TURN_S))
            self._turn()

    def _turn(self) -> None:
        now_s = time.monotonic()
        while self._mending and self._mending[0][0] <= now_s:
            heapq.heappop(self._mending)[3]()
        down = {fault.unit for _, _, fault, _ in self._mending if fault.kind in ENDING}
        full = {fault.unit for _, _, fault, _ in self._mending if fault.kind is Kind.DISK_FULL}
        for unit in self.units.values():
            if trouble := unit.reap():
                self._fail(trouble)
            if unit.name in down or unit.name in full:
                unit.owes_an_answer()
            if unit.pid is None and unit.name not in down:
                unit.start()
            if time.monotonic() - unit.quiet_since_s > SILENT_S:
                self.outcome.stuck += 1
                self._fail(f"{unit.name}: its status has not answered for {SILENT_S:g} s")
                unit.owes_an_answer()

    def _watch(self) -> None:
        """Ask every agent again and again: its own loop answers, so one that hangs is found."""
        while not self._over.wait(_ASK_EVERY_S):
            for unit in self.units.values():
                unit.ask()

    # At a rest

    def _rest(self, when: str, *, with_obd: bool = False) -> float:
        """Mend everything, and hold the whole to its promises; s that it took."""
        began_s, limit_s = time.monotonic(), OBD_CALM_S if with_obd else CALM_S
        while self._mending:
            heapq.heappop(self._mending)[3]()
        skipped_s = began_s
        while (missing := self._missing(began_s, with_obd=with_obd)) and not self.outcome.failures:
            self._turn_until(time.monotonic() + 0.3)
            now_s = time.monotonic()
            if now_s - skipped_s >= SKIP_EVERY_S:
                skipped_s = now_s
                faulty.skip(self, 3700.0)
            if now_s - began_s > limit_s:
                self.outcome.stuck += 1
                self._fail(f"{when}: not within {limit_s:g} s: " + "; ".join(missing))
        rested_s = time.monotonic() - began_s
        for unit in self.units.values():
            unit.measure(time.monotonic() - self._began_s)
        self._check(when)
        if not self.outcome.failures:
            self.outcome.rest_began_at = self.outcome.last_step + 1
        self.outcome.longest_rest_s = max(self.outcome.longest_rest_s, rested_s)
        self._say(f"---- rest {when}: {rested_s:.1f} s, {json.dumps(self.ledger.figures())}")
        return time.monotonic() - began_s

    def _missing(self, since_s: float, *, with_obd: bool) -> list[str]:
        """What is not as it must be at a rest, for a person."""
        self._read_both_sides()
        missing = []
        for unit in self.units.values():
            facts, name = unit.facts, unit.name
            if unit.asked_s < since_s:
                missing.append(f"{name} does not answer")
                continue
            if facts.get("line.state") != "up":
                missing.append(f"{name}: line {facts.get('line.state')}")
            if float(facts.get("gnss.sample_age_s", "inf")) > FRESH_S:
                missing.append(f"{name}: newest sample {facts.get('gnss.sample_age_s')} s old, {facts['gnss.state']}")
            if with_obd and facts.get("obd.state") not in ("querying", "none configured"):
                missing.append(f"{name}: obd {facts.get('obd.state')}")
            if waiting := self.ledger.open[name] or self.ledger.holes(name):
                listed = ", ".join(f"{boot[:8]} {sequence}" for _, boot, sequence in sorted(waiting)[:5])
                missing.append(f"{name}: {len(waiting)} batches neither stored nor declared ({listed})")
        return missing

    def _read_both_sides(self) -> None:
        for unit in self.units.values():
            unit.read_truth(self.ledger)
        for row, name, boot, sequence, sealed in self.world.rows(_BATCHES.format(self._rows_read["batches"])):
            self._rows_read["batches"] = row
            self.ledger.on_stored(name, boot.lower(), sequence, hashlib.sha256(sealed).hexdigest())
            body = decode_body(stored_body(sealed))
            self.ledger.on_samples(name, body.kernel_boot, body.samples)
        for row, name, boot, first, last, reason in self.world.rows(_GAPS.format(self._rows_read["gaps"])):
            self._rows_read["gaps"] = row
            self.ledger.on_gap(name, boot.lower(), first, last, reason)

    def _check(self, when: str) -> None:
        """What no waiting can mend."""
        for each in self.ledger.violations:
            self._fail(each)
        for trace in self.logbook.unexpected():
            self._fail(f"{when}: a traceback in a log: {trace}")
        refused = self.world.rows("select topic, reason, detail, times from quarantine")
        for topic, reason, detail, times in refused:
            self._fail(f"{when}: the server refused {times} × {topic}: {reason}, {detail}")
        damaged = self.ledger.declared().get("damaged", [])
        most = MOST_LOST_PER_DAMAGE * sum(unit.damaged for unit in self.units.values())
        if len(damaged) > most:
            self._fail(f"{when}: {len(damaged)} batches lost to damage, {most} could have been")
        for unit in self.units.values():
            for trouble in grown(unit):
                self._fail(f"{when}: {unit.name} {trouble}")
        if not self._bench.is_alive():
            self._fail("the harness's own devices have stopped")

    def _fail(self, what: str) -> None:
        self._say(f"**** {what}")
        self.outcome.failures.append(what)


def grown(unit: Unit) -> list[str]:
    """What the unit's newest process has too much of."""
    figures, found = unit.figures, []
    if figures.descriptors and figures.descriptors[-1] > MOST_DESCRIPTORS:
        found.append(f"has {figures.descriptors[-1]} descriptors open")
    if figures.threads and figures.threads[-1] > MOST_THREADS:
        found.append(f"has {figures.threads[-1]} threads")
    settled = figures.pss_kib[1:]
    if unit.plan.is_spared and settled and settled[-1][1] - settled[0][1] > MOST_GROWTH_KIB:
        found.append(f"grew from {settled[0][1]} to {settled[-1][1]} KiB")
    return found


def stderr(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


def draw_seed() -> int:
    """Where none was given."""
    return random.SystemRandom().randrange(10**6)
