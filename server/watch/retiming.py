"""Event times for records that were made before the unit knew the time. Pure.

Theory. A unit's monotonic clock counts from the start of its kernel and never jumps. A record that carries both a
monotonic and a good UTC time ties the two: UTC = monotonic + offset, for every record of the same kernel boot, earlier
or later, whichever arrives first. A quartz drifts some 20 ppm (1.7 s a day), so the uncertainty of a time made in this
way is the tie's own plus 20 ppm of the distance on the monotonic clock.

What may tie: GNSS and NTP times. What is re-timed: records without a time (NONE), and those of quality FLOOR, whose
time only says "not before". RTC times are the unit's own and stay. The signed bytes never change: a re-timed value
exists only as it is read.

Which tie holds: the first of a kernel boot, until one of a better source contradicts it (GNSS before NTP). A later one
of the same source that contradicts it (a clock that jumped, a spoofed receiver) changes nothing and is recorded. So a
kernel boot is dated once, at most once more, and never goes back and forth.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median_low

from server.watch.vehicle_state import FUTURE_TOLERANCE_MS, OBD_FIELDS
from wire.codec import decode_columns
from wire.records import Body, Event, Sample, TimeQuality

DRIFT_PPM = 20
# How far a source's times are from the instant that their monotonic time names. GNSS: receivers send an epoch 50 to
# 900 ms after it. NTP: what a mobile network's asymmetric delay costs; the kernel gives up its discipline at 16 s.
SOURCE_UNCERTAINTY_MS = {TimeQuality.GNSS: 1000, TimeQuality.NTP: 1000}
# Two ties of one kernel boot disagree beyond the uncertainty of both, this, and the worst drift of a cold, cheap
# quartz.
JUMP_MS = 2000
WORST_DRIFT_PPM = 100
# No unit works before it is enrolled; the server's clock may have been wrong by so much at that moment.
ENROLMENT_TOLERANCE_MS = 24 * 3600 * 1000
_TELLING = ("mono_s", "lat_deg", *OBD_FIELDS)  # columns that move a vehicle's state; every sample has the first


@dataclass(frozen=True, slots=True)
class Tie:
    """UTC ms = monotonic ms + `offset_ms`, measured at `at_mono_ms` by `source`, right to ± `uncertainty_ms` there."""

    offset_ms: int
    at_mono_ms: int
    uncertainty_ms: int
    source: TimeQuality

    def uncertainty_at(self, mono_ms: int) -> int:
        """± ms of a time made by this tie."""
        return self.uncertainty_ms + abs(mono_ms - self.at_mono_ms) * DRIFT_PPM // 1_000_000


@dataclass(frozen=True, slots=True)
class DatedBatch:
    """The body of a stored batch, and the event time of each of its samples (UTC ms, None: not known)."""

    id: int
    body: bytes
    times_ms: tuple[int | None, ...]

    @property
    def span(self) -> tuple[int | None, int | None]:
        """First and last event time."""
        known = [time_ms for time_ms in self.times_ms if time_ms is not None]
        return min(known, default=None), max(known, default=None)


class Finding(Enum):
    """What a new tie means beside the one that holds."""

    FIRST = "first"  # there was none: it holds from now on
    BETTER = "better"  # contradicts the one that holds and comes from a better source: it holds from now on
    AGREES = "agrees"
    CONTRADICTS = "contradicts"  # recorded, changes nothing


@dataclass(frozen=True, slots=True)
class Timing:
    """The tie that times a batch's records, the one that the batch told, and what that means; None: there is none."""

    tie: Tie | None
    told: Tie | None
    finding: Finding | None


def is_timeless(quality: int) -> bool:
    """Whether a record of this TimeQuality has no event time of its own."""
    return quality in (TimeQuality.FLOOR, TimeQuality.NONE)


def tie_of(body: Body, arrived_ms: int, enrolled_ms: int) -> Tie | None:
    """What a batch tells about its kernel boot: the middle one of its best source's times, or None.

    A tie from the future, or from before the unit was enrolled, is none: it is a wrong clock, a spoofed receiver or an
    old recording that is being played.

    Args:
        body: what was sealed.
        arrived_ms: when the server got it, UTC ms.
        enrolled_ms: when the unit was enrolled, UTC ms.
    """
    told = [(each.time_quality, _mono_ms(each), each.time_utc_ms) for each in _records(body)]
    timed = [(quality, mono_ms, time_ms) for quality, mono_ms, time_ms in told if time_ms is not None]
    best = min((quality for quality, _, _ in timed), default=TimeQuality.NONE)
    if best not in SOURCE_UNCERTAINTY_MS:
        return None
    offsets = [(time_ms - mono_ms, mono_ms) for quality, mono_ms, time_ms in timed if quality is best]
    offset_ms, at_mono_ms = median_low(offsets)
    if not enrolled_ms - ENROLMENT_TOLERANCE_MS <= at_mono_ms + offset_ms <= arrived_ms + FUTURE_TOLERANCE_MS:
        return None
    return Tie(offset_ms, at_mono_ms, SOURCE_UNCERTAINTY_MS[best], best)


def judge(held: Tie | None, new: Tie) -> Finding:
    """The new tie beside the one that holds."""
    if held is None:
        return Finding.FIRST
    drift_ms = abs(new.at_mono_ms - held.at_mono_ms) * WORST_DRIFT_PPM // 1_000_000
    if abs(new.offset_ms - held.offset_ms) <= JUMP_MS + held.uncertainty_ms + new.uncertainty_ms + drift_ms:
        return Finding.AGREES
    return Finding.BETTER if new.source < held.source else Finding.CONTRADICTS


def timing(held: Tie | None, told: Tie | None) -> Timing:
    """How a batch is timed that told this tie, where that one holds so far."""
    finding = None if told is None else judge(held, told)
    holds_now = finding in (Finding.FIRST, Finding.BETTER)
    return Timing(told if holds_now else held, told, finding)


def retimed(samples: Sequence[Sample], tie: Tie | None) -> tuple[Sample, ...]:
    """The samples with event times: their own, or the tie's for those that have none; None where nobody can say."""
    return tuple(
        replace(each, time_utc_ms=None if tie is None else _mono_ms(each) + tie.offset_ms)
        if is_timeless(each.time_quality)
        else each
        for each in samples
    )


def dated(batch_id: int, body: bytes, tie: Tie) -> DatedBatch:
    """A stored batch with the event times of its samples. Reads three columns of twenty. Raises RefusedError."""
    columns = decode_columns(body, ("mono_s", "time_utc_ms", "time_quality"))
    rows = zip(columns["mono_s"], columns["time_utc_ms"], columns["time_quality"], strict=True)
    times_ms = tuple(
        round(mono_s * 1000) + tie.offset_ms if is_timeless(quality) else time_ms for mono_s, time_ms, quality in rows
    )
    return DatedBatch(batch_id, body, times_ms)


def telling(batches: Iterable[DatedBatch], now_ms: int) -> list[DatedBatch]:
    """Of many batches the few that can say what is newest of a vehicle, of any field; samples from the future do not.

    From the newest batch back, a field is only looked for in batches that may know it later than it is known already.
    """
    found_ms: dict[str, int] = {}
    few: list[DatedBatch] = []
    timed = [(times, each) for each in batches if (times := _until(each.times_ms, now_ms + FUTURE_TOLERANCE_MS))]
    for times, each in sorted(timed, key=lambda pair: max(pair[0].values()), reverse=True):
        last_ms = max(times.values())
        wanted = [name for name in _TELLING if found_ms.get(name, last_ms - 1) < last_ms]
        if not wanted:
            break
        columns = decode_columns(each.body, wanted)
        newest = {name: [times[n] for n in times if columns[name][n] is not None] for name in wanted}
        newer = {name: max(told) for name, told in newest.items() if told and max(told) > found_ms.get(name, 0)}
        if newer:
            found_ms |= newer
            few.append(each)
    return few


def timeless_in(body: Body) -> int:
    """How many records of a batch have no event time of their own."""
    return sum(is_timeless(each.time_quality) for each in _records(body))


def span(samples: Iterable[Sample]) -> tuple[int | None, int | None]:
    """First and last event time (UTC ms), None where no sample has one."""
    times = [each.time_utc_ms for each in samples if each.time_utc_ms is not None]
    return min(times, default=None), max(times, default=None)


def _until(times_ms: Sequence[int | None], limit_ms: int) -> dict[int, int]:
    """Index and time of those that are known and not after the limit."""
    return {n: time_ms for n, time_ms in enumerate(times_ms) if time_ms is not None and time_ms <= limit_ms}


def _records(body: Body) -> tuple[Sample | Event, ...]:
    return (*body.samples, *body.events)


def _mono_ms(record: Sample | Event) -> int:
    return record.mono_ms if isinstance(record, Event) else round(record.mono_s * 1000)
