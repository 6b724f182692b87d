"""Records → sealed bytes, in sequence, each linked to the one before. Pure: the key is an argument, the clock too."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire.codec import encode_body
from wire.records import Body, Event, Gap, Sample
from wire.seal import Identity, link_to, seal_batch


@dataclass(frozen=True, slots=True)
class Sealed:
    """One batch, sealed once and never again."""

    sequence: int
    data: bytes
    samples: int
    events: int = 0
    gaps: tuple[Gap, ...] = ()  # the losses that it declares

    @property
    def urgent(self) -> bool:
        """Whether it tells more than samples: it leaves before those, and is dropped after them."""
        return bool(self.events or self.gaps)


@dataclass(frozen=True, slots=True)
class SealedBefore:
    """Where a boot's chain stands: the last sequence that was sealed (0: none) and the link to it."""

    unit: str
    boot: bytes
    boot_number: int
    sequence: int = 0
    link: bytes = b""


class Batcher:
    """Collects records until they are due, then seals them. What is collected but not sealed is `open_body`."""

    def __init__(
        self, key: Ed25519PrivateKey, before: SealedBefore, kernel_boot: int, samples: int, after_s: float
    ) -> None:
        self._key, self._before, self._kernel_boot = key, before, kernel_boot
        self._most_samples, self._after_s = samples, after_s
        self._samples: list[Sample] = []
        self._events: list[Event] = []
        self._gaps: list[Gap] = []
        self._since_mono_s: float | None = None

    def add_sample(self, sample: Sample) -> None:
        """Collect a sample."""
        self._samples.append(sample)
        if self._since_mono_s is None:
            self._since_mono_s = sample.mono_s

    def add_event(self, event: Event) -> None:
        """Collect an event: the batch is due at once."""
        self._events.append(event)

    def add_gap(self, gap: Gap) -> None:
        """Collect a gap record; it leaves with the next batch."""
        self._gaps.append(gap)

    def due(self, mono_s: float) -> bool:
        """Whether it is time to seal."""
        waited = self._since_mono_s is not None and mono_s - self._since_mono_s >= self._after_s
        return bool(self._events) or len(self._samples) >= self._most_samples or waited

    @property
    def open_samples(self) -> int:
        """How many samples are collected and not sealed."""
        return len(self._samples)

    def open_body(self, waiting: tuple[Sample, ...] = ()) -> bytes | None:
        """What a power cut would cost, as body bytes for the journal; None where there is nothing.

        `waiting` are samples that may yet be collected (`sampling.py`).
        """
        body = self._collected({})
        body = replace(body, samples=(*body.samples, *waiting))
        return encode_body(body) if body.samples or body.events or body.gaps else None

    def seal(self, counts: Mapping[str, int]) -> tuple[Sealed, ...]:
        """Seal what was collected, with the unit's own counters; nothing where nothing was."""
        if not (self._samples or self._events or self._gaps):
            return ()
        body = self._collected(counts)
        self._samples, self._events, self._gaps, self._since_mono_s = [], [], [], None
        return self.seal_body(body)

    def seal_body(self, body: Body) -> tuple[Sealed, ...]:
        """Seal records as they are: one batch, or halves where they are too large for one.

        Raises:
            ValueError: a single record is too large for a batch.
        """
        before = self._before
        identity = Identity(before.unit, before.boot, before.boot_number, before.sequence + 1)
        try:
            data = seal_batch(self._key, identity, before.link, body)
        except ValueError:
            if len(body.samples) + len(body.events) + len(body.gaps) < 2:
                raise
            try:
                return tuple(sealed for half in _halves(body) for sealed in self.seal_body(half))
            except ValueError:
                self._before = before  # what was sealed of it goes nowhere, and must leave no hole
                raise
        self._before = replace(before, sequence=identity.sequence, link=link_to(data))
        return (Sealed(identity.sequence, data, len(body.samples), len(body.events), body.gaps),)

    def _collected(self, counts: Mapping[str, int]) -> Body:
        return Body(self._kernel_boot, tuple(self._samples), tuple(self._events), tuple(self._gaps), dict(counts))


def _halves(body: Body) -> tuple[Body, Body]:
    """The records in their order (samples, events, gaps), cut in the middle; the counts go with the first half."""
    cut = (len(body.samples) + len(body.events) + len(body.gaps)) // 2
    in_events = max(0, cut - len(body.samples))
    in_gaps = max(0, in_events - len(body.events))
    first = Body(body.kernel_boot, body.samples[:cut], body.events[:in_events], body.gaps[:in_gaps], body.counts)
    return first, Body(body.kernel_boot, body.samples[cut:], body.events[in_events:], body.gaps[in_gaps:])
