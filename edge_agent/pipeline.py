"""THE HOT PATH: chunk in, sealed batches out.

    GNSS bytes → sentences → Fix → time and position judged ─┐
                                                             ├─ 1 Hz Sample → rules, power, sampling → Batcher → Sealed
    OBD answer → Reading ────────────────────────────────────┘

Pure: no port, clock, disk or network. Every method takes the instant it speaks of (`mono_s`, the unit's monotonic
clock) and returns the batches that became due; the caller (`agent.py`) puts them into the outbox before anything else.
"""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from edge_agent.batch import Batcher, Sealed
from edge_agent.car.readings import Reading, listed
from edge_agent.commands.judging import Follow
from edge_agent.gnss.gnss_time import GnssTime
from edge_agent.gnss.nmea import Fix, FixSource, NmeaReader, best_of_each_time
from edge_agent.gnss.position import PositionFilter
from edge_agent.gnss.position_source import Fallback
from edge_agent.power.cut import Supply
from edge_agent.power.states import Plan
from edge_agent.power.watch import PowerWatch, Told
from edge_agent.rules import Watch
from edge_agent.rules.seen import MOST_WINDOW_S, ObdPort
from edge_agent.sample import Fuser
from edge_agent.sampling import RING_S, Sampler
from edge_agent.score import Scorer
from edge_agent.situation import Situation
from edge_agent.timing.clock import SystemTime, UtcClock
from wire.records import Event, Gap, Sample

_COUNTS_EVERY_S = 600.0  # their names cost as much as three samples
_SECOND_S = 0.9  # seconds without a sample are judged too, once each, as soon as
_LATE_S = 1.5  # a sample is so late: a tick between two samples is no second of its own
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Pipeline:
    """One unit's way from bytes to sealed batches."""

    def __init__(
        self,
        batcher: Batcher,
        *,
        clock: UtcClock,
        situation: Situation,
        watch: Watch,
        sampler: Sampler,
        power: PowerWatch,
        fallback: Fallback | None = None,
        scorer: Scorer | None = None,
        hold: bool = True,
        told: Mapping[str, object] | None = None,
    ) -> None:
        """`hold`: a standing vehicle is shown at one place; `told`: what an earlier run has told (its `told`)."""
        self._nmea = NmeaReader()
        self._gnss_time = GnssTime()
        self._position = PositionFilter(hold)
        self._fuser = Fuser()
        self._clock, self._situation, self._watch = clock, situation, watch
        self._sampler, self._power, self._batcher = sampler, power, batcher
        self._fallback, self._scorer = fallback, scorer
        self.told: dict[str, object] = dict(told or {})  # newest text readings, each told as an event when it changes
        self.newest: Sample | None = None
        self._plan = power.plan(0.0)
        self._follow: Follow | None = None
        self._second_s = float("-inf")  # when the rules were last asked,
        self._sample_s = float("-inf")  # and about a sample
        self._sealed_s = float("-inf")
        self._counted = Counter[str]()
        self._counts_sent: Mapping[str, int] = {}
        self._counts_s = float("-inf")  # when they were last sent

    # What comes in

    def on_gnss(self, data: bytes, mono_s: float) -> tuple[Sealed, ...]:
        """Bytes from the receiver, cut anywhere."""
        return self._on_fixes(self._nmea.feed(data), mono_s)

    def on_gnss_silence(self, mono_s: float) -> tuple[Sealed, ...]:
        """The receiver's line fell silent: its burst is over, and with it the epoch."""
        return self._on_fixes(self._nmea.flush(), mono_s)

    def on_reading(self, reading: Reading) -> tuple[Sealed, ...]:
        """A value from the car."""
        self._situation.on_reading(reading)
        self._power.on_reading(reading)
        if reading.name in _TELLING:
            return self._tell(reading)
        self._fuser.on_reading(reading)
        return ()

    def on_obd_port(self, state: ObdPort) -> None:
        """How the adapter is doing."""
        self._situation.obd_port = state

    def on_abilities(self, abilities: Mapping[str, str], mono_s: float) -> tuple[Sealed, ...]:
        """What the car and its adapter can tell, looked at once a second: told when it changes."""
        before = self.told.get("abilities")
        known = (
            {name: each for name, each in before.items() if isinstance(each, str)} if isinstance(before, dict) else {}
        )
        # an adapter that has not spoken since the start does not unsay what it has told
        now = {name: known.get(name, each) if each == "unknown" else each for name, each in abilities.items()}
        if now == before or (before is None and set(now.values()) == {"unknown"}):
            return ()
        self.told["abilities"] = now
        return self.on_event("car_abilities", mono_s, now)

    def on_supply(self, supply: Supply, mono_s: float) -> tuple[Sealed, ...]:
        """External power was cut or came back: the last gasp, sealed at once with all that the ring holds."""
        self._situation.on_external(supply.present)
        self._power.on_supply(supply, mono_s)
        return self._on_second(None, mono_s)

    def on_supply_measured(self, mono_s: float, *, volts: float | None = None, current_ma: float | None = None) -> None:
        """The unit's own monitor measured."""
        if volts is not None:
            self._situation.on_supply_volts(volts, mono_s)
            self._power.on_supply_volts(volts, mono_s)
        if current_ma is not None:
            self._power.on_current(current_ma, mono_s)

    def on_event(self, kind: str, mono_s: float, details: Mapping[str, str]) -> tuple[Sealed, ...]:
        """Something happened to the unit itself; the seconds before go with it where they belong to it."""
        return self._add_told((Told(kind, mono_s, details),), mono_s)

    def on_gap(self, gap: Gap) -> None:
        """The outbox had to drop batches: say so with the next one."""
        self._batcher.add_gap(gap)

    def on_floor(self, floor_offset_ms: int, is_told: bool, mono_s: float) -> None:
        """A signed receipt moved the floor: it is not earlier than monotonic plus this offset."""
        self._clock = self._clock.told_by_floor(floor_offset_ms, is_told)
        self._gnss_time.raise_floor(_EPOCH + timedelta(milliseconds=floor_offset_ms + round(mono_s * 1000)))

    def on_tick(self, mono_s: float, system: SystemTime) -> tuple[Sealed, ...]:
        """Once a second: the machine's clock is looked at, what waits is judged, and a second without a sample too."""
        self._clock = self._clock.told_by_system(system, mono_s)
        sealed = self._add_told(self._power.on_tick(mono_s), mono_s)
        rough = self._fallback.without_epoch(mono_s) if self._fallback else None
        sample = self._fuser.on_fix(rough, mono_s, self._clock) if rough else self._fuser.on_tick(mono_s, self._clock)
        is_empty = mono_s - self._sample_s >= _LATE_S and mono_s - self._second_s >= _SECOND_S
        if sample is not None or is_empty:
            sealed += self._on_second(sample, mono_s)
        self._add_samples(self._sampler.on_tick(mono_s))
        return sealed + self._seal_if_due(mono_s)

    # What the server wants

    def follow(self, wish: Follow | None, mono_s: float) -> None:
        """Send every sample, sealed each `every_s`, until `until_mono_s`; None: as usual again."""
        self._follow = wish
        self._add_samples(self._sampler.on_event(mono_s, MOST_WINDOW_S) if wish else ())

    def follows(self, until_mono_s: float) -> bool:
        """Whether every sample is sent until then already."""
        return self._follow is not None and self._follow.until_mono_s >= until_mono_s

    def recall(self, from_ms: int, to_ms: int, mono_s: float) -> int:
        """Send what waits undecided of [from_ms, to_ms] (UTC ms) too; how many samples of it do."""
        waiting = self._sampler.pending()
        wanted = sum(1 for each in waiting if each.time_utc_ms is not None and from_ms <= each.time_utc_ms <= to_ms)
        if wanted:
            self._add_samples(self._sampler.on_event(mono_s, MOST_WINDOW_S))
        return wanted

    def rules_state(self) -> Mapping[str, object]:
        """What the rules have told, to be kept for the next run."""
        return self._watch.to_state()

    # What goes out

    def finish(self) -> tuple[Sealed, ...]:
        """Seal what is there: the agent is about to end."""
        self._add_samples(self._sampler.finish())
        return self._batcher.seal(self._counts_changed())

    @property
    def open_samples(self) -> int:
        """How many samples are not sealed yet, of those that will be."""
        return self._batcher.open_samples + (0 if self._plan.heartbeat else len(self._sampler.pending()))

    def open_body(self) -> bytes | None:
        """The records that are not sealed yet, for the journal.

        What waits in the ring of a parked vehicle is left out: it would be written all night, and leaves the car only
        if something happens.
        """
        return self._batcher.open_body(() if self._plan.heartbeat else self._sampler.pending())

    @property
    def plan(self) -> Plan:
        """What the power budget allows, as of the last second."""
        return self._plan

    @property
    def clock(self) -> UtcClock:
        """What time it is, and who says so."""
        return self._clock

    @property
    def obd_port(self) -> ObdPort:
        """How the adapter is doing."""
        return self._situation.obd_port

    def count(self, name: str, times: int = 1) -> None:
        """Count something that happened outside the pipeline, to be told with the next batch."""
        self._counted[name] += times

    @property
    def counts(self) -> dict[str, int]:
        """What was accepted and refused by reason since the start, under the names that travel to the server."""
        told = self._nmea.counts
        named = {"gnss.accepted": sum(told.accepted.values()) + told.accepted_unused}
        named |= {"gnss.noise_bytes": told.noise_bytes}
        named |= {f"gnss.refused.{reason}": count for reason, count in told.refused.items()}
        named |= {f"gnss.time.{name}": count for name, count in self._gnss_time.counts.items()}
        named |= {f"gnss.position.{name}": count for name, count in self._position.counts.items()}
        named |= {
            f"fallback.{name}": count for name, count in (self._fallback.counts if self._fallback else {}).items()
        }
        return {name: count for name, count in (named | self._clock.counts | self._counted).items() if count}

    def _on_fixes(self, fixes: list[Fix], mono_s: float) -> tuple[Sealed, ...]:
        in_view, self._nmea.satellites_in_view = self._nmea.satellites_in_view, None
        if in_view is not None:
            self._situation.on_satellites(in_view, mono_s)
        sealed: tuple[Sealed, ...] = ()
        for fix in best_of_each_time(fixes):
            if not self._clock.plays_recording:
                fix = self._gnss_time.step(fix)
            if fix.time_utc is not None:
                self._clock = self._clock.told_by_gnss(fix.time_utc, mono_s)
            shown = self._fallback.step(fix, mono_s) if self._fallback else fix
            if shown.source is FixSource.GNSS:
                shown = self._position.step(shown, mono_s)
            self._situation.on_fix(fix, shown, mono_s)
            sample = self._fuser.on_fix(shown, mono_s, self._clock)
            if sample is not None:
                sealed += self._on_second(sample, mono_s)
        return sealed

    def _on_second(self, sample: Sample | None, mono_s: float) -> tuple[Sealed, ...]:
        """One second's worth: the budget, the sampling, the model and the rules see it, in this order."""
        self._second_s = mono_s
        seen = self._situation.seen(sample, mono_s)
        self._power.on_engine(seen.engine)
        self._power.on_motion(self._situation.is_moving(mono_s), mono_s)
        self._plan = self._power.plan(mono_s)
        if sample is not None:
            self.newest, self._sample_s = sample, mono_s
            wants_all = self._wants_all(mono_s)
            if self._follow is not None:  # at once, also where only what the track needs is sent
                self._add_samples(self._sampler.on_event(sample.mono_s - RING_S, 0.0))
            self._add_samples(self._sampler.on_sample(sample, wants_all, mono_s))
            for event in self._scorer(sample) if self._scorer else ():
                self._add_samples(self._sampler.on_event(mono_s, MOST_WINDOW_S))
                self._batcher.add_event(event)
        for local in self._watch.step(seen):
            self._add_samples(self._sampler.on_event(local.mono_s, local.window_s))
            self._add_event(local.kind, local.mono_s, local.details)
        return self._seal_if_due(mono_s)

    def _wants_all(self, mono_s: float) -> bool:
        if self._follow is not None and mono_s >= self._follow.until_mono_s:
            self._follow = None
        return self._follow is not None or not self._plan.heartbeat

    def _add_told(self, told: tuple[Told, ...], mono_s: float) -> tuple[Sealed, ...]:
        for each in told:
            if each.kind not in _WITHOUT_WINDOW:
                self._add_samples(self._sampler.on_event(each.mono_s, MOST_WINDOW_S))
            self._add_event(each.kind, each.mono_s, each.details)
        return self._seal_if_due(mono_s)

    def _add_event(self, kind: str, mono_s: float, details: Mapping[str, str]) -> None:
        time_ms, quality = self._clock.at(mono_s)
        self._batcher.add_event(Event(kind, round(mono_s * 1000), time_ms, quality, dict(details)))

    def _add_samples(self, samples: tuple[Sample, ...]) -> None:
        for sample in samples:
            self._batcher.add_sample(sample)

    def _tell(self, reading: Reading) -> tuple[Sealed, ...]:
        value = list(reading.value) if isinstance(reading.value, tuple) else reading.value  # as JSON keeps it
        if self.told.get(reading.name) == value or (value == [] and reading.name not in self.told):
            return ()
        self.told[reading.name] = value
        kind, detail = _TELLING[reading.name]
        words = [str(each) for each in value] if isinstance(value, list) else [str(value)]
        return self.on_event(kind, reading.mono_s, {detail: listed(words, _LONGEST_TEXT)})

    def _seal_if_due(self, mono_s: float) -> tuple[Sealed, ...]:
        followed = self._follow is not None and mono_s - self._sealed_s >= self._follow.every_s
        if not (self._batcher.due(mono_s) or (followed and self._batcher.open_samples)):
            return ()
        self._sealed_s = mono_s
        if mono_s - self._counts_s < _COUNTS_EVERY_S:
            return self._batcher.seal({})
        self._counts_s = mono_s
        return self._batcher.seal(self._counts_changed())

    def _counts_changed(self) -> dict[str, int]:
        counts = self.counts
        changed = {name: count for name, count in counts.items() if self._counts_sent.get(name) != count}
        self._counts_sent = counts
        return changed


# Readings that are texts: told once, and again when they change.
_TELLING: Mapping[str, tuple[str, str]] = {
    "vin": ("vehicle_identified", "vin"),
    "dtc_codes": ("trouble_codes", "codes"),
    "dtc_pending": ("pending_codes", "codes"),
    "dtc_permanent": ("permanent_codes", "codes"),
}
_LONGEST_TEXT = 1000
# The unit speaks of itself, not of the road: no samples belong to it.
_WITHOUT_WINDOW = frozenset({"status", "command_answer", "power_state", "unit_started", "unit_woke", "car_abilities"})
