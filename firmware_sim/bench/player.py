"""Plays one story to a rig: moves clock, devices and faults, skips what may be skipped, keeps the evidence."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from firmware_sim.bench.devices import Devices
from firmware_sim.bench.evidence import Evidence, SeenBatch, SeenEvent, SeenGap
from firmware_sim.bench.observer import Heard
from firmware_sim.bench.pacing import pace_of
from firmware_sim.bench.processes import BenchError
from firmware_sim.bench.rig import Rig
from firmware_sim.bench.wheel import StoryClock
from firmware_sim.story.schema import Act, Fault, Story
from firmware_sim.story.vocabulary import BENCH_FAULTS

# Played before the story begins, s of the machine's time: the receiver is heard, and the adapter was asked for a car
# that sleeps, which takes a search of all protocols.
LEAD_S, LEAD_WITH_ADAPTER_S = 5.0, 14.0
_TURN_S = 0.01
_TEND_S = 0.25
_LIVED_AFTER_STEP_S = 1.2  # of the machine's time
_READY_S = 40.0
_DRAIN_S, _DRAIN_SKIP_S = 60.0, 8.0
_DELIVERY_S = 75.0  # a unit that cannot be asked seals at the latest after a minute
_RESTING_S = 3700.0  # a batch that got no receipt rests for up to an hour
_KILLED_FOR_S = 1.0
STARTS_THE_CAR = ("drive", "replay", "idle", "crank")


def lead_s(story: Story, rate: float) -> float:
    """How many story seconds before 0 the playing begins."""
    return round((LEAD_S if story.adapter is None else LEAD_WITH_ADAPTER_S) * rate)


class Player:
    """One story, once."""

    def __init__(self, story: Story, devices: Devices, rig: Rig, clock: StoryClock, rate: float) -> None:
        self._story, self._devices, self._rig, self._clock, self._rate = story, devices, rig, clock, rate
        self.evidence = Evidence(rate=rate)
        self._due = sorted(_doings(story), key=lambda each: each[0])
        self._active: dict[str, Fault] = {}
        self._act: Act | None = None
        self._carried = False
        self._asking = ThreadPoolExecutor(1)
        self._asked: list[tuple[dict[float, Mapping[str, Any]], float, Future[Mapping[str, Any] | None]]] = []
        self._tended_s = self._stepped_s = float("-inf")
        self._halt: tuple[float, float | None] | None = None  # since when, and until when (None: no timer)
        self._off_since_s: float | None = None

    def play(self) -> Evidence:
        """All of it. Raises BenchError where the unit does not come up."""
        began_s = time.monotonic()
        try:
            self._begin()
            while self._clock.now_s() < self._story.duration_s:
                self._turn()
                time.sleep(_TURN_S)
            self._turn()
            self._drain()
            self._rig.finish(self.evidence)
            self._hear()
            self._count_on_server()
        finally:
            self._asking.shutdown(cancel_futures=True)
        self.evidence.moments = self._devices.moments
        self.evidence.told_s = self._devices.told_s
        places = self._devices.stage.places
        self.evidence.places = {name: (each.lat_deg, each.lon_deg) for name, each in places.items()}
        self.evidence.wall_s = time.monotonic() - began_s
        return self.evidence

    def _begin(self) -> None:
        """Start the unit with the time standing still, so that the story begins with the same bytes each time."""
        self._do_due(0.0)
        self._rig.tend()
        until_s = time.monotonic() + _READY_S
        while not self._rig.is_off and not self._rig.is_ready():
            if time.monotonic() > until_s:
                raise BenchError(
                    f"the unit was not ready within {_READY_S:g} s: it must read its ports and be connected"
                )
            time.sleep(0.05)
            self._rig.tend()
        self._clock.run(self._rate)
        self._rig.skip(0.0)

    def _turn(self) -> None:
        now_s = self._clock.now_s()
        self._enter_act(now_s)
        self._do_due(now_s)
        self._devices.step(now_s, self._rig.gnss, self._rig.obd)
        if time.monotonic() - self._tended_s >= _TEND_S:
            self._tended_s = time.monotonic()
            self._sleep_and_wake(now_s)
            self._rig.tend()
            self._note_power(now_s)
            self._hear()
            self._take_answers()
            self._skip(now_s)

    def _enter_act(self, now_s: float) -> None:
        act = self._devices.stage.act_at(now_s)
        if act is self._act or now_s < 0:
            return
        if self._act is not None and self._act.do == "off":
            self._rig.power(True)
        if act.do == "off":
            self._rig.power(False)
        if (away := act.do == "away") != self._carried:
            self._carried = away
            self._rig.carry(away)
        self._act = act
        self._devices.befall(self._active, now_s, carried=self._carried)

    def _do_due(self, now_s: float) -> None:
        changed = False
        while self._due and self._due[0][0] <= now_s:
            at_s, what, thing = self._due.pop(0)
            if what == "begin":
                self._active[thing.what] = thing
                changed = True
                if thing.what in BENCH_FAULTS:
                    self._rig.begin(thing)
            elif what == "end":
                self._active.pop(thing.what, None)
                changed = True
                if thing.what in BENCH_FAULTS:
                    self._rig.end(thing)
            elif what == "order":
                self._asking.submit(self._rig.order, thing)
            else:
                self._ask(what, at_s)
        if changed or self._act is None:
            self._devices.befall(self._active, now_s, carried=self._carried)

    def _ask(self, what: str, at_s: float) -> None:
        kept = self.evidence.facts if what == "fact" else self.evidence.states
        ask: Callable[[], Mapping[str, Any] | None] = self._rig.ask if what == "fact" else self._rig.state
        self._asked.append((kept, at_s, self._asking.submit(ask)))

    def _take_answers(self) -> None:
        for kept, at_s, answer in [each for each in self._asked if each[2].done()]:
            kept[at_s] = answer.result() or {}
        self._asked = [each for each in self._asked if not each[2].done()]

    def _sleep_and_wake(self, now_s: float) -> None:
        if (asked := self._rig.halted()) is not None:
            after_s = asked.get("wake_after_s")
            self._halt = now_s, None if after_s is None else now_s + float(after_s)
        if self._halt is None:
            return
        since_s, until_s = self._halt
        if self._act is not None and self._act.do in STARTS_THE_CAR and self._act.begin_s > since_s:
            self._rig.wake("voltage", now_s - since_s)
            self._halt = None
        elif until_s is not None and now_s >= until_s:
            self._rig.wake("timer", now_s - since_s)
            self._halt = None

    def _note_power(self, now_s: float) -> None:
        if self._rig.is_off and self._off_since_s is None:
            self._off_since_s = now_s
        elif not self._rig.is_off and self._off_since_s is not None:
            self.evidence.off.append((self._off_since_s, now_s))
            self._off_since_s = None

    def _skip(self, now_s: float) -> None:
        if self._act is None or self._asked or time.monotonic() - self._stepped_s < _LIVED_AFTER_STEP_S:
            return
        wakes = [self._halt[1]] if self._halt is not None and self._halt[1] is not None else []
        pace = pace_of(self._story, self._act, [each for each in wakes if each is not None])
        step_s = pace.step_from(now_s, is_off=self._rig.is_off) if pace else 0.0
        if step_s > 0:
            self._rig.skip(step_s)
            self._devices.forget_waiting()
            if self.evidence.skipped and now_s - self.evidence.skipped[-1][1] < 2 * _LIVED_AFTER_STEP_S * self._rate:
                self.evidence.skipped[-1] = (self.evidence.skipped[-1][0], now_s + step_s)
            else:
                self.evidence.skipped.append((now_s, now_s + step_s))
            self._stepped_s = time.monotonic()

    def _drain(self) -> None:
        """The story is over: until the unit has sent all that it has."""
        self._do_due(float("inf"))
        if self._halt is not None:
            self._rig.wake("power", self._clock.now_s() - self._halt[0])
        if self._act is not None and self._act.do == "off":
            self._rig.power(True)
        began_s = skipped_s = time.monotonic()
        if not self._rig.answers:
            end_s = self._story.start.timestamp() + self._story.duration_s
            while time.monotonic() - began_s < _DELIVERY_S and max(self.evidence.heard_s, default=0) < end_s:
                self._turn()
                time.sleep(_TURN_S)
            return
        self.evidence.waiting = "the unit does not answer"
        while time.monotonic() - began_s < _DRAIN_S:
            self._turn()
            if not self._asked:
                told = self.evidence.facts.get(float("inf"), {})
                self.evidence.waiting = str(told.get("outbox.waiting", "the unit does not answer"))
                if told.get("line.state") == "up" and self.evidence.waiting.startswith("0 "):
                    self.evidence.waiting = ""
                    break
                self._ask("fact", float("inf"))
            if time.monotonic() - skipped_s > _DRAIN_SKIP_S:
                skipped_s = time.monotonic()
                self._rig.skip(_RESTING_S)
            time.sleep(_TURN_S)
        self._hear()

    def _count_on_server(self) -> None:
        """The page counts what the ingest has committed; the last batch may be on its way."""
        wanted = sum(each.samples for each in {(b.boot, b.sequence): b for b in self.evidence.batches}.values())
        until_s = time.monotonic() + 5.0
        while time.monotonic() < until_s:
            told = self._rig.state()
            if told is None:
                return
            self.evidence.states[float("inf")] = told
            self.evidence.server_samples = int((told.get("state") or {}).get("samples") or 0)
            self._hear()
            wanted = sum(each.samples for each in {(b.boot, b.sequence): b for b in self.evidence.batches}.values())
            if self.evidence.server_samples == wanted:
                return
            time.sleep(0.2)

    def _hear(self) -> None:
        now_s = self._clock.now_s()
        for heard in self._rig.observer.take():
            if isinstance(heard, str):
                self.evidence.refused.append(heard)
            else:
                self._note(heard, now_s)

    def _note(self, heard: Heard, now_s: float) -> None:
        evidence, identity, body = self.evidence, heard.identity, heard.body
        known = any(each.digest == heard.digest for each in evidence.batches)
        boot = identity.boot.hex()
        evidence.batches.append(SeenBatch(boot, identity.sequence, len(body.samples), heard.digest))
        if known:
            return  # sent again, since no receipt came: the same bytes
        for event in body.events:
            at_s = self._rig.happened_at_s(body.kernel_boot, event.mono_ms, event.time_utc_ms)
            if at_s is not None:
                evidence.events.append(SeenEvent(round(max(at_s, 0.0), 2), event.kind, dict(event.details), now_s))
        for gap in body.gaps:
            evidence.gaps.append(SeenGap(gap.boot.hex(), gap.first, gap.last, gap.samples, gap.reason))
        evidence.heard_s |= {
            sample.time_utc_ms // 1000
            for sample in body.samples
            if sample.time_utc_ms is not None and sample.lat_deg is not None
        }


def _doings(story: Story) -> list[tuple[float, str, Any]]:
    """Everything that is done at a moment, ends before beginnings."""
    found: list[tuple[float, int, str, Any]] = []
    for fault in story.faults:
        least_s = _KILLED_FOR_S if fault.what in ("unit.kill", "unit.power_cut") else 0.0
        found.append((fault.begin_s, 1, "begin", fault))
        found.append((max(fault.end_s, fault.begin_s + least_s), 0 if fault.end_s > fault.begin_s else 2, "end", fault))
    found += [(order.at_s, 1, "order", order) for order in story.orders]
    for expect in story.expects:
        if expect.at_s is not None:
            found.append((expect.at_s, -1, expect.kind, expect))
    return [(at_s, what, thing) for at_s, _, what, thing in sorted(found, key=lambda each: each[:2])]
