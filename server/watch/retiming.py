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

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

from server.columns import Floats, Samples, Told, read_columns
from server.watch.vehicle_state import FUTURE_TOLERANCE_MS, OBD_FIELDS
from wire.records import TimeQuality

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
# What is further from the start of a kernel boot was never measured: thirty thousand years.
LONGEST_MONO_MS = 2**50
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
    """The body of a stored batch, and the event time of each of its samples (UTC ms, NaN: not known)."""

    id: int
    body: bytes
    times_ms: Floats


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


def tie_of(told: Told, arrived_ms: int, enrolled_ms: int) -> Tie | None:
    """What a batch tells about its kernel boot: the middle one of its best source's times, or None.

    A tie from the future, or from before the unit was enrolled, is none: it is a wrong clock, a spoofed receiver or an
    old recording that is being played.

    Args:
        told: what was sealed.
        arrived_ms: when the server got it, UTC ms.
        enrolled_ms: when the unit was enrolled, UTC ms.
    """
    quality, mono_ms, time_ms = _times(told)
    is_timed = ~np.isnan(time_ms) & (np.abs(mono_ms) <= LONGEST_MONO_MS)
    if not is_timed.any():
        return None
    best = TimeQuality(int(quality[is_timed].min()))
    if best not in SOURCE_UNCERTAINTY_MS:
        return None
    is_best = is_timed & (quality == best)
    mono_ms = mono_ms[is_best]
    offsets_ms = time_ms[is_best] - mono_ms
    middle = np.lexsort((mono_ms, offsets_ms))[(mono_ms.size - 1) // 2]
    offset_ms, at_mono_ms = int(offsets_ms[middle]), int(mono_ms[middle])
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


def times_of(samples: Samples, tie: Tie | None) -> Floats:
    """Event times (UTC ms): the samples' own, or the tie's for those that have none; NaN where nobody can say."""
    is_late = samples["time_quality"] >= TimeQuality.FLOOR
    if not is_late.any():
        return samples["time_utc_ms"]
    made = np.nan if tie is None else _mono_ms(samples) + tie.offset_ms
    return np.where(is_late, made, samples["time_utc_ms"])


def dated(batch_id: int, body: bytes, tie: Tie) -> DatedBatch:
    """A stored batch with the event times of its samples. Reads three columns of twenty. Raises RefusedError."""
    samples = read_columns(body, ("mono_s", "time_utc_ms", "time_quality"))
    return DatedBatch(batch_id, body, times_of(samples, tie))


def telling(batches: Iterable[DatedBatch], now_ms: int) -> list[DatedBatch]:
    """Of many batches the few that can say what is newest of a vehicle, of any field; samples from the future do not.

    From the newest batch back, a field is only looked for in batches that may know it later than it is known already.
    """
    found_ms: dict[str, float] = {}
    few: list[DatedBatch] = []
    limit_ms = now_ms + FUTURE_TOLERANCE_MS
    timed = [(each.times_ms[each.times_ms <= limit_ms].max(initial=-np.inf), each) for each in batches]
    for last_ms, each in sorted(timed, key=lambda pair: pair[0], reverse=True):
        wanted = [name for name in _TELLING if found_ms.get(name, -np.inf) < last_ms]
        if not wanted:
            break
        samples = read_columns(each.body, wanted)
        is_past = each.times_ms <= limit_ms
        newest = {name: each.times_ms[is_past & ~np.isnan(samples[name])].max(initial=-np.inf) for name in wanted}
        newer = {name: time_ms for name, time_ms in newest.items() if time_ms > found_ms.get(name, -np.inf)}
        if newer:
            found_ms |= newer
            few.append(each)
    return few


def timeless_in(told: Told) -> int:
    """How many records of a batch have no event time of their own."""
    quality = told.samples["time_quality"]
    return int(np.count_nonzero(quality >= TimeQuality.FLOOR)) + sum(is_timeless(e.time_quality) for e in told.events)


def span(times_ms: Floats) -> tuple[int | None, int | None]:
    """First and last event time (UTC ms), None where no sample has one."""
    known = times_ms[~np.isnan(times_ms)]
    return (int(known.min()), int(known.max())) if known.size else (None, None)


def _times(told: Told) -> tuple[Floats, Floats, Floats]:
    """Quality, monotonic ms and UTC ms (NaN: none) of a batch's records."""
    columns = (told.samples["time_quality"], _mono_ms(told.samples), told.samples["time_utc_ms"])
    if not told.events:
        return columns
    rows = [(e.time_quality, e.mono_ms, np.nan if e.time_utc_ms is None else e.time_utc_ms) for e in told.events]
    quality, mono_ms, time_ms = map(np.append, columns, np.array(rows, np.float64).T)
    return quality, mono_ms, time_ms


def _mono_ms(samples: Samples) -> Floats:
    return np.rint(samples["mono_s"] * 1000)
