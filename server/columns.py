"""A body's samples as columns of numbers, for the server's sums over whole batches. Pure.

`wire.codec` reads the same columns as lists; here they are numpy arrays, because a server folds and draws thousands of
batches a second and a sample at a time costs ten times as much. Both refuse the same bodies and read the same values
(tests/server/test_columns.py).

Every column is float64 with NaN where a sample has no value. That loses nothing: the wire carries at most 2**51 steps
of a column, and float64 holds every whole number up to 2**53.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wire import telemetry_pb2 as pb
from wire.codec import COLUMNS, MAX_STEPS, parse_body, read_told
from wire.records import Event, Gap, TimeQuality
from wire.refused import Reason, RefusedError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Sums whose parts come to less than this do not leave 64 bits.
_NO_SUM_BEYOND = 2.0**62

_BY_NAME = {column.name: column for column in COLUMNS}
NAMES = tuple(_BY_NAME)
_WHOLE = frozenset(column.name for column in COLUMNS if column.whole)
# What a value can be: by SAE J1979 (the bytes of its PID and their scale), NMEA 0183 4.11, or for what moves on wheels.
# Beyond, it is a fault of receiver, adapter or car: it stays in the signed bytes, and is read as if nobody had told it.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "lat_deg": (-90, 90),
    "lon_deg": (-180, 180),
    "alt_m": (-1_000, 20_000),
    "speed_mps": (0, 150),
    "course_deg": (0, 360),
    "fix_quality": (0, 8),  # GGA
    "satellites_used": (0, 255),
    "hdop": (0, 1_000),
    "obd_speed_kmh": (0, 255),  # PID 0D
    "engine_rpm": (0, 16_383.75),  # 0C
    "coolant_temp_c": (-40, 215),  # 05
    "engine_load_pct": (0, 100),  # 04
    "throttle_pct": (0, 100),  # 11
    "module_voltage_v": (0, 65.535),  # 42
    "fuel_level_pct": (0, 100),  # 2F
    "odometer_km": (0, 429_496_729.5),  # A6
    "mil_on": (0, 1),  # 01, bit A7
    "dtc_count": (0, 127),  # 01, bits A0 to A6
    "position_source": (1, 3),  # wire.records.PositionSource
    "position_accuracy_m": (0, 1_000_000),
}
_ANY = (-np.inf, np.inf)
_BEST_QUALITY, _WORST_QUALITY = min(TimeQuality), max(TimeQuality)


@dataclass(frozen=True, slots=True)
class Samples:
    """`count` samples as columns of one table of shape (columns, count); a name without a row was told by none.

    `implausible` values were out of BOUNDS and are NaN.
    """

    count: int
    rows: Mapping[str, int]
    table: Floats
    implausible: int = 0

    def __contains__(self, name: str) -> bool:
        return name in self.rows

    def __getitem__(self, name: str) -> Floats:
        at = self.rows.get(name)
        return np.full(self.count, np.nan) if at is None else self.table[at]

    def value(self, name: str, at: int) -> float | int | None:
        """One value as Python's own; None where it was not told."""
        row = self.rows.get(name)
        number = np.nan if row is None else self.table.item(row, at)
        if number != number:
            return None
        return int(number) if name in _WHOLE else number


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
    if samples.count and ("mono_s" not in samples or "time_quality" not in samples):
        raise RefusedError(Reason.MALFORMED, "a sample without monotonic time or time quality")
    if samples.count:
        quality = samples["time_quality"]
        if np.isnan(samples["mono_s"]).any() or np.isnan(quality).any():
            raise RefusedError(Reason.MALFORMED, "a sample without monotonic time or time quality")
        if quality.min() < _BEST_QUALITY or quality.max() > _WORST_QUALITY:
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


def read_many(bodies: Iterable[bytes], names: Iterable[str]) -> tuple[Samples, Ints]:
    """The named columns of many bodies, one after the other: a month's track is one table.

    Returns:
        The samples of all of them, and how many each has, of shape (bodies,).

    Raises:
        RefusedError: MALFORMED.
        KeyError: no such column.
    """
    parsed = [parse_body(body) for body in bodies]
    counts = np.array([each.sample_count for each in parsed], np.int64)
    told = [each.samples for each in parsed]
    rows: dict[str, int] = {}
    found = [(name, values) for name in names if (values := _column(told, counts, name)) is not None]
    for name, _ in found:
        rows[name] = len(rows)
    total = int(counts.sum())
    return _plausible(total, rows, np.array([values for _, values in found]).reshape(len(rows), total)), counts


def _column(told: Sequence[pb.SampleColumns], counts: Ints, name: str) -> Floats | None:
    """One column of many bodies, NaN where it was not told; None where none told it."""
    column = _BY_NAME[name]
    deltas: list[int] = []
    sizes = np.zeros(len(told), np.int64)
    orders = np.ones(len(told), np.int64)
    is_full = np.ones(len(told), np.bool_)
    maps: dict[int, bytes] = {}
    for number, samples in enumerate(told):
        source: Any = getattr(samples, name)
        values, present = source.deltas, source.present
        size = len(values)
        if present or not size:
            maps[number] = present
            is_full[number] = False
        if size or present:
            orders[number] = _order(source.order, name)
            deltas += values[:]
            sizes[number] = size
    if (sizes[is_full] != counts[is_full]).any():
        raise RefusedError(Reason.MALFORMED, f"{name}: not one value for each sample")
    is_told = np.ones(int(counts.sum()), np.bool_)
    begins = counts.cumsum() - counts
    for number, present in maps.items():
        begin, count = int(begins[number]), int(counts[number])
        bits = np.unpackbits(np.frombuffer(present.ljust((count + 7) // 8, b"\0"), np.uint8), bitorder="little")
        if bits[count:].any() or int(bits.sum()) != sizes[number]:
            raise RefusedError(Reason.MALFORMED, f"{name}: presence and values disagree")
        is_told[begin : begin + count] = bits[:count]
    if not deltas:
        return None
    spread = np.full(is_told.size, np.nan)
    spread[is_told] = _summed(np.fromiter(deltas, np.int64, len(deltas)), sizes, orders) / column.steps_per_unit
    return spread


def _order(order: int, name: str) -> int:
    if order not in (1, 2):
        raise RefusedError(Reason.MALFORMED, f"{name}: differences of order {order}")
    return order


def _samples(parsed: pb.Body, names: Iterable[str]) -> Samples:
    """All columns at once: they lie one after the other, so that numpy is asked a dozen times and not two hundred."""
    count, told = parsed.sample_count, parsed.samples
    rows: dict[str, int] = {}
    lengths, orders, scales = [], [], []
    deltas: list[int] = []
    maps = []
    width = (count + 7) // 8
    full = ((1 << count) - 1).to_bytes(width, "little")
    for name in names:
        column = _BY_NAME[name]
        source: Any = getattr(told, name)
        values, present, order = source.deltas, source.present, source.order
        length = len(values)
        if not length and not present:
            continue
        if any(present[width:]):
            raise RefusedError(Reason.MALFORMED, f"{name}: presence and values disagree")
        rows[name] = len(rows)
        deltas += values[:]  # in one go: an iterator over them asks protobuf for each
        lengths.append(length)
        orders.append(_order(order, name))
        scales.append(column.steps_per_unit)
        maps.append(present[:width].ljust(width, b"\0") if present else full)
    if not rows:
        return Samples(count, rows, np.empty((0, count)))
    is_told = np.unpackbits(
        np.frombuffer(b"".join(maps), np.uint8).reshape(len(rows), width), axis=1, bitorder="little"
    )
    sizes = np.array(lengths)
    if is_told[:, count:].any() or (is_told.sum(axis=1) != sizes).any():
        raise RefusedError(Reason.MALFORMED, "presence and values disagree")
    steps = _summed(np.fromiter(deltas, np.int64, len(deltas)), sizes, np.array(orders))
    table = np.full((len(rows), count), np.nan)
    table[is_told[:, :count].view(np.bool_)] = steps / np.repeat(np.array(scales, np.float64), sizes)
    return _plausible(count, rows, table)


def _plausible(count: int, rows: dict[str, int], table: Floats) -> Samples:
    """The table without what is out of BOUNDS."""
    if not rows:
        return Samples(count, rows, table)
    low, high = np.array([BOUNDS.get(name, _ANY) for name in rows]).T[:, :, None]
    is_out = (table < low) | (table > high)  # NaN is neither
    implausible = int(np.count_nonzero(is_out))
    if implausible:
        table[is_out] = np.nan
    return Samples(count, rows, table, implausible)


def _summed(deltas: Ints, sizes: Ints, orders: Ints) -> Floats:
    """Differences of columns that lie one after the other → their values, in steps.

    Raises:
        RefusedError: MALFORMED: a value is past MAX_STEPS.
    """
    if np.abs(deltas.astype(np.float64)).sum() * sizes.max() < _NO_SUM_BEYOND:
        once = _running(deltas, sizes)
        steps = np.where(np.repeat(orders, sizes) == 2, _running(once, sizes), once).astype(np.float64)
    else:
        # Each by itself, in float64: where no value is past MAX_STEPS, no sum on the way is past four times that.
        ends = sizes.cumsum()
        parts = [deltas[end - size : end].astype(np.float64) for end, size in zip(ends, sizes, strict=True)]
        steps = np.concatenate(
            [each.cumsum().cumsum() if order == 2 else each.cumsum() for each, order in zip(parts, orders, strict=True)]
        )
    if steps.size and not np.abs(steps).max() <= MAX_STEPS:
        raise RefusedError(Reason.MALFORMED, "a value outside what the wire carries")
    return steps


def _running(values: Ints, sizes: Ints) -> Ints:
    """Running sums of each column by itself."""
    sums: Ints = np.append(0, values.cumsum())
    before: Ints = np.repeat(sums[sizes.cumsum() - sizes], sizes)
    return np.subtract(sums[1:], before)
