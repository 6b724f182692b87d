"""THE HOT PATH: chunk in, sealed batches out.

    GNSS bytes → sentences → Fix ─┐
                                  ├─ 1 Hz Sample → (scorer) → Batcher → Sealed
    OBD answer → Reading ─────────┘

Pure: no port, clock, disk or network. Every method takes the instant it speaks of (`mono_s`, the unit's monotonic
clock) and returns the batches that became due; the caller (`agent.py`) puts them into the outbox before anything else.
"""

from collections import Counter
from collections.abc import Mapping

from edge_agent.batch import Batcher, Sealed
from edge_agent.clock import UtcClock
from edge_agent.nmea import Fix, NmeaReader
from edge_agent.readings import Reading
from edge_agent.sample import Fuser
from edge_agent.score import Scorer
from wire.records import Event, Gap, Sample


class Pipeline:
    """One unit's way from bytes to sealed batches."""

    def __init__(self, batcher: Batcher, scorer: Scorer | None = None) -> None:
        self._nmea = NmeaReader()
        self._fuser = Fuser()
        self._clock = UtcClock()
        self._batcher = batcher
        self._scorer = scorer
        self._told: dict[str, object] = {}  # newest text readings, each told as an event when it changes
        self._counted = Counter[str]()
        self._counts_sent: Mapping[str, int] = {}

    def on_gnss(self, data: bytes, mono_s: float) -> tuple[Sealed, ...]:
        """Bytes from the receiver, cut anywhere."""
        return self._on_fixes(self._nmea.feed(data), mono_s)

    def on_gnss_silence(self, mono_s: float) -> tuple[Sealed, ...]:
        """The receiver's line fell silent: its burst is over, and with it the epoch."""
        return self._on_fixes(self._nmea.flush(), mono_s)

    def on_reading(self, reading: Reading) -> tuple[Sealed, ...]:
        """A value from the car."""
        if reading.name in _TELLING:
            return self._tell(reading)
        self._fuser.on_reading(reading)
        return ()

    def on_event(self, kind: str, mono_s: float, details: Mapping[str, str]) -> tuple[Sealed, ...]:
        """Something happened to the unit itself."""
        time_ms, quality = self._clock.at(mono_s)
        self._batcher.add_event(Event(kind, round(mono_s * 1000), time_ms, quality, dict(details)))
        return self._seal_if_due(mono_s)

    def on_gap(self, gap: Gap) -> None:
        """The outbox had to drop batches: say so with the next one."""
        self._batcher.add_gap(gap)

    def on_tick(self, mono_s: float, ntp_offset_ms: int | None = None) -> tuple[Sealed, ...]:
        """Once a second; `ntp_offset_ms` is system clock less monotonic clock where the system clock is disciplined."""
        self._clock = self._clock.told_by_ntp(ntp_offset_ms)
        sample = self._fuser.on_tick(mono_s, self._clock)
        return self._on_sample(sample, mono_s) if sample else self._seal_if_due(mono_s)

    def finish(self) -> tuple[Sealed, ...]:
        """Seal what is there: the agent is about to end."""
        return self._batcher.seal(self._counts_changed())

    @property
    def open_samples(self) -> int:
        """How many samples are not sealed yet."""
        return self._batcher.open_samples

    def open_body(self) -> bytes | None:
        """The records that are not sealed yet, for the journal."""
        return self._batcher.open_body()

    def count(self, name: str, times: int = 1) -> None:
        """Count something that happened outside the pipeline, to be told with the next batch."""
        self._counted[name] += times

    @property
    def counts(self) -> dict[str, int]:
        """What was accepted and refused by reason since the start, under the names that travel to the server."""
        told = self._nmea.counts
        accepted = sum(told.accepted.values()) + told.accepted_unused
        named = {"gnss.accepted": accepted, "gnss.noise_bytes": told.noise_bytes}
        named |= {f"gnss.refused.{reason}": count for reason, count in told.refused.items()}
        return {name: count for name, count in (named | self._counted).items() if count}

    def _on_fixes(self, fixes: list[Fix], mono_s: float) -> tuple[Sealed, ...]:
        sealed: list[Sealed] = []
        for fix in fixes:
            if fix.time_utc is not None:
                self._clock = self._clock.told_by_gnss(fix.time_utc, mono_s)
            sample = self._fuser.on_fix(fix, mono_s, self._clock)
            if sample is not None:
                sealed += self._on_sample(sample, mono_s)
        return tuple(sealed)

    def _on_sample(self, sample: Sample, mono_s: float) -> tuple[Sealed, ...]:
        self._batcher.add_sample(sample)
        for event in self._scorer(sample) if self._scorer else ():
            self._batcher.add_event(event)
        return self._seal_if_due(mono_s)

    def _tell(self, reading: Reading) -> tuple[Sealed, ...]:
        if self._told.get(reading.name) == reading.value or (reading.value == () and reading.name not in self._told):
            return ()
        self._told[reading.name] = reading.value
        kind, detail = _TELLING[reading.name]
        text = reading.value if isinstance(reading.value, str) else " ".join(map(str, _listed(reading.value)))
        return self.on_event(kind, reading.mono_s, {detail: text[:1000]})

    def _seal_if_due(self, mono_s: float) -> tuple[Sealed, ...]:
        return self._batcher.seal(self._counts_changed()) if self._batcher.due(mono_s) else ()

    def _counts_changed(self) -> dict[str, int]:
        counts = self.counts
        changed = {name: count for name, count in counts.items() if self._counts_sent.get(name) != count}
        self._counts_sent = counts
        return changed


# Readings that are texts: told once, and again when they change.
_TELLING: Mapping[str, tuple[str, str]] = {
    "vin": ("vehicle_identified", "vin"),
    "dtc_codes": ("trouble_codes", "codes"),
}


def _listed(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)
