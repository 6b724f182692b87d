"""Records ↔ body bytes: columns of zigzag deltas in protobuf.

Why columns: neighbouring samples differ little, so each column becomes a run of small numbers that protobuf writes in a
byte each and zlib then folds; rows of the same values take twice the bytes (measured, benchmarks/wire_size.py).

A value is an integer number of steps of its column's resolution. The table below is that promise: reading
gives `steps / steps_per_unit`, the double nearest to the decimal, so that writing what was read gives the same bytes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from google.protobuf.message import DecodeError

from wire import telemetry_pb2 as pb
from wire.records import BOOT_BYTES, Body, Event, Gap, Sample, SequenceRange, TimeQuality
from wire.refused import Reason, RefusedError

MAX_SAMPLES = 3600
MAX_STEPS = 2**51  # beyond this, reading and writing again may miss by a step (two roundings of a double)


@dataclass(frozen=True, slots=True)
class Column:
    """How one field of a Sample is written: `steps_per_unit` steps make one unit of the name."""

    name: str
    steps_per_unit: int
    whole: bool = False  # an int in the Sample
    order: int = 1  # differences of differences where that is shorter on real drives


COLUMNS: tuple[Column, ...] = (
    Column("mono_s", 100, order=2),
    Column("time_utc_ms", 1, whole=True, order=2),
    Column("time_quality", 1, whole=True),
    Column("lat_deg", 10_000_000, order=2),
    Column("lon_deg", 10_000_000, order=2),
    Column("alt_m", 10),
    Column("speed_mps", 100),
    Column("course_deg", 10),
    Column("fix_quality", 1, whole=True),
    Column("satellites_used", 1, whole=True),
    Column("hdop", 100),
    Column("obd_speed_kmh", 1),
    Column("engine_rpm", 4),  # SAE J1979 PID 0C: a quarter of a revolution
    Column("coolant_temp_c", 1),
    Column("engine_load_pct", 10),
    Column("throttle_pct", 10),
    Column("module_voltage_v", 1000),
    Column("fuel_level_pct", 10),
    Column("odometer_km", 10),
    Column("mil_on", 1, whole=True),
    Column("dtc_count", 1, whole=True),
    Column("position_source", 1, whole=True),
    Column("position_accuracy_m", 1),
)


def on_wire(sample: Sample) -> Sample:
    """The sample with each value rounded to its column's step: what the other side will read.

    A number that no column carries (not finite, or past MAX_STEPS) cannot have been measured: it becomes None.
    """
    values: dict[str, Any] = {}
    for column in COLUMNS:
        value = getattr(sample, column.name)
        try:
            values[column.name] = None if value is None else _value(column, _steps(column, value))
        except ValueError:
            values[column.name] = None
    values["time_quality"] = sample.time_quality
    return Sample(**values)


def encode_body(records: Body) -> bytes:
    """Records → body bytes, the same bytes for the same records.

    Raises:
        ValueError: a value is outside what its column can carry.
    """
    rows = records.samples
    body = pb.Body(kernel_boot=records.kernel_boot, sample_count=len(rows), counts=dict(records.counts))
    for column in COLUMNS:
        _write_column(getattr(body.samples, column.name), column, [getattr(row, column.name) for row in rows])
    for event in records.events:
        body.events.add(
            kind=event.kind,
            mono_ms=event.mono_ms,
            time_utc_ms=event.time_utc_ms,
            time_quality=int(event.time_quality),
            details=dict(event.details),
        )
    for gap in records.gaps:
        body.gaps.add(boot=gap.boot, first=gap.first, last=gap.last, samples=gap.samples, reason=gap.reason)
    return body.SerializeToString(deterministic=True)


def decode_body(data: bytes) -> Body:
    """Body bytes → records. Fields that this version does not know are passed over.

    Raises:
        RefusedError: MALFORMED, with what is wrong.
    """
    body = parse_body(data)
    columns = {column.name: _read_column(body, column) for column in COLUMNS}
    if None in columns["mono_s"] or None in columns["time_quality"]:
        raise RefusedError(Reason.MALFORMED, "a sample without monotonic time or time quality")
    try:
        columns["time_quality"] = [TimeQuality(value) for value in columns["time_quality"]]
        samples = tuple(Sample(*row) for row in zip(*columns.values(), strict=True))
    except ValueError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from None
    return Body(body.kernel_boot, samples, *read_told(body))


def read_told(body: pb.Body) -> tuple[tuple[Event, ...], tuple[Gap, ...], dict[str, int]]:
    """What a body tells besides samples: events, gaps and counts.

    Raises:
        RefusedError: MALFORMED.
    """
    try:
        events = tuple(_read_event(event) for event in body.events)
        gaps = tuple(_read_gap(gap) for gap in body.gaps)
    except ValueError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from None
    if any(value > MAX_STEPS for value in body.counts.values()):
        raise RefusedError(Reason.MALFORMED, "a count beyond all counting")
    return events, gaps, dict(body.counts)


def decode_columns(data: bytes, names: Iterable[str]) -> dict[str, list[Any]]:
    """Only the named columns of a body: {name: one value or None a sample}. A track needs three, not twenty.

    Raises:
        RefusedError: MALFORMED.
        KeyError: no such column.
    """
    body = parse_body(data)
    by_name = {column.name: column for column in COLUMNS}
    return {name: _read_column(body, by_name[name]) for name in names}


def parse_body(data: bytes) -> pb.Body:
    """Body bytes → protobuf, or RefusedError."""
    try:
        body = pb.Body.FromString(data)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, f"body: {error}") from None
    if body.sample_count > MAX_SAMPLES:
        raise RefusedError(Reason.MALFORMED, f"{body.sample_count} samples in one batch")
    return body


def read_ranges(ranges: Iterable[pb.Range]) -> tuple[SequenceRange, ...]:
    """Protobuf ranges → records, or RefusedError for one that runs backwards."""
    found = tuple(SequenceRange(each.first, each.last) for each in ranges)
    if any(each.first > each.last for each in found):
        raise RefusedError(Reason.MALFORMED, "a range that runs backwards")
    return found


def _steps(column: Column, value: float) -> int:
    scaled = value * column.steps_per_unit
    if not -MAX_STEPS <= scaled <= MAX_STEPS:  # NaN, too, is not between them
        raise ValueError(f"{column.name}={value!r} is outside what the wire carries")
    return round(scaled)


def _value(column: Column, steps: int) -> float | int:
    return steps if column.whole else steps / column.steps_per_unit


def _write_column(target: pb.Column, column: Column, values: list[float | None]) -> None:
    held = [_steps(column, value) for value in values if value is not None]
    if not held:
        return
    for _ in range(column.order):
        held = [held[0], *(after - before for before, after in pairwise(held))]
    target.deltas.extend(held)
    target.order = column.order
    if len(held) < len(values):
        bits = sum(1 << i for i, value in enumerate(values) if value is not None)
        target.present = bits.to_bytes((len(values) + 7) // 8, "little")


def _read_column(body: pb.Body, column: Column) -> list[Any]:
    source: pb.Column = getattr(body.samples, column.name)
    count = body.sample_count
    if not source.deltas and not source.present:
        return [None] * count
    if source.order not in (1, 2):
        raise RefusedError(Reason.MALFORMED, f"{column.name}: differences of order {source.order}")
    held = list(source.deltas)
    for _ in range(source.order):
        held = list(accumulate(held))
    if any(abs(steps) > MAX_STEPS for steps in held):
        raise RefusedError(Reason.MALFORMED, f"{column.name} is outside what the wire carries")
    if column.whole:
        values: list[float | int] = list(held)
    else:
        values = [steps / column.steps_per_unit for steps in held]
    if not source.present:
        if len(held) != count:
            raise RefusedError(Reason.MALFORMED, f"{column.name}: {len(held)} values for {count} samples")
        return values
    bits = int.from_bytes(source.present, "little")
    if bits >> count or bits.bit_count() != len(held):
        raise RefusedError(Reason.MALFORMED, f"{column.name}: presence and values disagree")
    following = iter(values)
    return [next(following) if bits >> i & 1 else None for i in range(count)]


def _read_event(event: pb.Event) -> Event:
    time_utc_ms = event.time_utc_ms if event.HasField("time_utc_ms") else None
    return Event(event.kind, event.mono_ms, time_utc_ms, TimeQuality(event.time_quality), dict(event.details))


def _read_gap(gap: pb.Gap) -> Gap:
    if len(gap.boot) != BOOT_BYTES or not 0 < gap.first <= gap.last <= MAX_STEPS or gap.samples > MAX_STEPS:
        raise ValueError("a gap record that names no range")
    return Gap(gap.boot, gap.first, gap.last, gap.samples, gap.reason)
