"""A body's samples as columns of numbers, for the server's sums over whole batches. Pure.

`wire.codec` reads the same columns as lists; here they are numpy arrays, because a server folds and draws thousands of
batches a second and a sample at a time costs ten times as much. Both refuse the same bodies and read the same values
(tests/server/test_columns.py).

Every column is float64 with NaN where a sample has no value. That loses nothing: the wire carries at most 2**51 steps
of a column, and float64 holds every whole number up to 2**53.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire import telemetry_pb2 as pb
from wire.codec import COLUMNS, MAX_STEPS, Column, parse_body, read_told
from wire.records import Event, Gap, TimeQuality
from wire.refused import Reason, RefusedError

Floats = NDArray[np.float64]

_BY_NAME = {column.name: column for column in COLUMNS}
NAMES = tuple(_BY_NAME)
WHOLE = frozenset(column.name for column in COLUMNS if column.whole)
_WORST_QUALITY = max(TimeQuality)


@dataclass(frozen=True, slots=True)
class Samples:
    """`count` samples as columns, each of shape (count,); a name that is not in `columns` was told by none of them."""

    count: int
    columns: Mapping[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        found = self.columns.get(name)
        return np.full(self.count, np.nan) if found is None else found


@dataclass(frozen=True, slots=True)
class Told:
    """All that a body tells."""

    kernel_boot: int
    samples: Samples
    events: tuple[Event, ...]
    gaps: tuple[Gap, ...]
    counts: Mapping[str, int]


def read_all(body: bytes) -> Told:
    """Body bytes → everything in them.

    Raises:
        RefusedError: MALFORMED, with what is wrong; exactly where `wire.codec.decode_body` does.
    """
    parsed = parse_body(body)
    samples = _samples(parsed, NAMES)
    if samples.count and ("mono_s" not in samples.columns or "time_quality" not in samples.columns):
        raise RefusedError(Reason.MALFORMED, "a sample without monotonic time or time quality")
    if samples.count:
        quality = samples["time_quality"]
        if np.isnan(samples["mono_s"]).any() or np.isnan(quality).any():
            raise RefusedError(Reason.MALFORMED, "a sample without monotonic time or time quality")
        if quality.min() < 0 or quality.max() > _WORST_QUALITY:
            raise RefusedError(Reason.MALFORMED, "a time quality that is none")
    events, gaps, counts = read_told(parsed)
    return Told(parsed.kernel_boot, samples, events, gaps, counts)


def read_columns(body: bytes, names: Iterable[str]) -> Samples:
    """Only the named columns of a body: a track needs seven, not twenty-three.

    Raises:
        RefusedError: MALFORMED.
        KeyError: no such column.
    """
    return _samples(parse_body(body), names)


def value_of(name: str, number: float) -> float | int | None:
    """A number of a column as Python's own; None for NaN."""
    if number != number:
        return None
    return int(number) if name in WHOLE else float(number)


def _samples(parsed: pb.Body, names: Iterable[str]) -> Samples:
    columns = {}
    for name in names:
        values = _column(parsed, _BY_NAME[name])
        if values is not None:
            columns[name] = values
    return Samples(parsed.sample_count, columns)


def _column(parsed: pb.Body, column: Column) -> Floats | None:
    source: Any = getattr(parsed.samples, column.name)
    deltas, present, order = source.deltas, source.present, source.order
    if not deltas and not present:
        return None
    if order not in (1, 2):
        raise RefusedError(Reason.MALFORMED, f"{column.name}: differences of order {order}")
    # Exact in float64: where no value is past MAX_STEPS, no sum on the way is past four times that.
    values = np.fromiter(deltas, np.float64, len(deltas)).cumsum()
    if order == 2:
        values = values.cumsum()
    if values.size and not np.abs(values).max() <= MAX_STEPS:
        raise RefusedError(Reason.MALFORMED, f"{column.name} is outside what the wire carries")
    if column.steps_per_unit != 1:
        values /= column.steps_per_unit
    if present:
        return _spread(column, values, present, parsed.sample_count)
    if values.size != parsed.sample_count:
        raise RefusedError(Reason.MALFORMED, f"{column.name}: {values.size} values for {parsed.sample_count} samples")
    return values


def _spread(column: Column, values: Floats, present: bytes, count: int) -> Floats:
    """Values → one place a sample, NaN where the bit map says that there is none."""
    bits = np.unpackbits(np.frombuffer(present, np.uint8), bitorder="little").view(np.bool_)
    if bits[count:].any() or int(np.count_nonzero(bits)) != values.size:
        raise RefusedError(Reason.MALFORMED, f"{column.name}: presence and values disagree")
    spread = np.full(count, np.nan)
    spread[: bits.size][bits[:count]] = values
    return spread
