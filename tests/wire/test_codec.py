"""Records ↔ body bytes: what goes in comes out, and bytes that nobody's encoder made are refused, never half read."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import telemetry_pb2 as pb
from wire.codec import (
    COLUMNS,
    MAX_SAMPLES,
    MAX_STEPS,
    Column,
    decode_body,
    decode_columns,
    encode_body,
    on_wire,
    read_ranges,
)
from wire.records import Body, Event, Gap, Sample, SequenceRange, TimeQuality
from wire.refused import Reason, RefusedError

BOOT = bytes(range(16))
NEVER_ABSENT = ("mono_s", "time_quality")
HINTS = get_type_hints(Sample)


def values_of(column: Column) -> st.SearchStrategy[Any]:
    """Any value that the column can carry, exactly as it is on the wire; usually small, sometimes at the ends."""
    if column.name == "time_quality":
        return st.sampled_from(TimeQuality)
    steps = st.integers(-MAX_STEPS, MAX_STEPS) | st.integers(-(10**4), 10**10)
    held = steps if column.whole else steps.map(lambda n: n / column.steps_per_unit)
    return held if column.name in NEVER_ABSENT else st.none() | held


samples = st.builds(Sample, *(values_of(column) for column in COLUMNS))
int64 = st.integers(-(2**63), 2**63 - 1)
events = st.builds(
    Event,
    kind=st.text(max_size=20),
    mono_ms=int64,
    time_utc_ms=st.none() | int64,
    time_quality=st.sampled_from(TimeQuality),
    details=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3),
)
counted = st.integers(0, MAX_STEPS)
gaps = st.builds(
    lambda boot, ends, lost, reason: Gap(boot, min(ends), max(ends), lost, reason),
    st.binary(min_size=16, max_size=16),
    st.tuples(st.integers(1, MAX_STEPS), st.integers(1, MAX_STEPS)),
    counted,
    st.text(max_size=12),
)
bodies = st.builds(
    Body,
    kernel_boot=st.integers(0, 2**32 - 1),
    samples=st.lists(samples, max_size=12).map(tuple),
    events=st.lists(events, max_size=3).map(tuple),
    gaps=st.lists(gaps, max_size=3).map(tuple),
    counts=st.dictionaries(st.text(max_size=8), counted, max_size=4),
)


def sample(mono_s: float = 1.0, **values: Any) -> Sample:
    return Sample(mono_s, None, TimeQuality.NONE, **values)


def encoded(*rows: Sample, **others: Any) -> bytes:
    return encode_body(Body(7, rows, **others))


def crafted(change: Callable[[pb.Body], object], rows: int = 2) -> bytes:
    """A good body of `rows` samples with something done to it."""
    body = pb.Body.FromString(encoded(*(sample(n + 1.0, lat_deg=n / 8) for n in range(rows))))
    change(body)
    return body.SerializeToString()


def refusal(data: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        decode_body(data)
    assert refused.value.reason is Reason.MALFORMED
    return refused.value


def test_the_table_is_the_sample_and_the_schema() -> None:
    # Samples are built by position from the table, so the order counts too.
    names = [column.name for column in COLUMNS]
    assert names == [field.name for field in fields(Sample)]
    assert names == [field.name for field in pb.SampleColumns.DESCRIPTOR.fields]


def test_a_body_written_by_hand() -> None:
    """Bytes put together from protobuf's encoding guide, not by our encoder."""

    def field(number: int, payload: bytes) -> bytes:
        return bytes([number << 3 | 2, len(payload)]) + payload

    mono_s = field(1, b"\xc8\x01" + b"\xc5\x01") + b"\x18\x01"  # zigzag(100), zigzag(-99): 1.00, 0.01
    quality = field(1, b"\x0a\x00") + b"\x18\x01"  # zigzag(5), zigzag(0)
    lat_deg = field(1, b"\x02\x01") + b"\x18\x02"  # twice differenced 1, -1: 1, 1 steps
    fuel = field(1, b"\x03") + field(2, b"\x02") + b"\x18\x01"  # -2 steps, only in the second sample
    columns = field(1, mono_s) + field(3, quality) + field(4, lat_deg) + b"\x92\x01" + bytes([len(fuel)]) + fuel
    body = b"\x0d\x07\x00\x00\x00" + b"\x10\x02" + field(3, columns)
    assert decode_body(body) == Body(
        7,
        (
            Sample(1.0, None, TimeQuality.NONE, lat_deg=1e-7),
            Sample(0.01, None, TimeQuality.NONE, lat_deg=1e-7, fuel_level_pct=-0.2),
        ),
    )


@given(bodies)
def test_what_is_written_is_read(body: Body) -> None:
    data = encode_body(body)
    assert decode_body(data) == body
    assert encode_body(decode_body(data)) == data


@given(st.lists(st.builds(Sample, *(st.none() | st.floats() | st.integers() for _ in COLUMNS)), max_size=5))
def test_on_wire_makes_any_measurement_writable(raw: list[Sample]) -> None:
    kept = [replace(on_wire(replace(each, time_quality=TimeQuality.RTC)), mono_s=1.0) for each in raw]
    assert [on_wire(each) for each in kept] == kept
    assert decode_body(encoded(*kept)).samples == tuple(kept)


@given(st.sampled_from([column for column in COLUMNS if not column.whole]), st.floats(-1e4, 1e4))
def test_on_wire_takes_the_nearest_step(column: Column, value: float) -> None:
    found = getattr(on_wire(replace(sample(), **{column.name: value})), column.name)
    assert abs(Decimal(found) - Decimal(value)) <= Decimal("0.5000001") / column.steps_per_unit


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, (MAX_STEPS + 1) / 10, 10**400])
def test_what_no_column_carries_is_none_on_the_wire_and_an_error_to_write(value: float) -> None:
    unmeasured = sample(alt_m=value, dtc_count=10**400)
    assert on_wire(unmeasured) == sample()
    with pytest.raises(ValueError, match="alt_m="):
        encoded(sample(alt_m=value))


def test_the_last_step_is_carried() -> None:
    ends = sample(alt_m=MAX_STEPS / 10, speed_mps=-MAX_STEPS / 100, dtc_count=MAX_STEPS)
    assert on_wire(ends) == ends
    assert decode_body(encoded(ends)).samples == (ends,)


@given(st.lists(st.integers(-900_000_000, 900_000_000), min_size=1, max_size=60))
def test_a_position_is_exact_to_seven_decimals(places: list[int]) -> None:
    degrees = [float(Decimal(n).scaleb(-7)) for n in places]  # the double nearest to the decimal, by another way
    read = decode_columns(encoded(*(sample(lat_deg=lat, lon_deg=2 * lat) for lat in degrees)), ["lat_deg", "lon_deg"])
    assert read == {"lat_deg": degrees, "lon_deg": [float(Decimal(2 * n).scaleb(-7)) for n in places]}
    assert [f"{lat:.7f}" for lat in read["lat_deg"]] == [f"{Decimal(n).scaleb(-7):.7f}" for n in places]


def test_whole_numbers_are_read_as_such() -> None:
    """1 == 1.0 to Python, but not to a page or a database."""
    [row] = decode_body(encoded(on_wire(Sample(*(1 for _ in COLUMNS))))).samples
    for column in COLUMNS:
        kind = float if "float" in str(HINTS[column.name]) else int
        assert isinstance(getattr(row, column.name), kind), column.name
        assert [type(value) for value in decode_columns(encoded(row), [column.name])[column.name]] == [kind]


def test_one_step_of_latitude_is_not_lost() -> None:
    here, beside = sample(lat_deg=39.9087202), sample(lat_deg=39.9087203)
    assert decode_body(encoded(here, beside)).samples == (here, beside)
    assert on_wire(sample(lat_deg=39.90872024)) == here


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9), min_size=2, max_size=9))
def test_the_same_records_give_the_same_bytes(counts: dict[str, int]) -> None:
    details = {key: str(value) for key, value in counts.items()}
    turned = dict(reversed(counts.items())), dict(reversed(details.items()))
    first, second = (
        encoded(counts=n, events=(Event("e", 0, None, TimeQuality.RTC, d),)) for n, d in ((counts, details), turned)
    )
    assert first == second


def test_absent_and_zero_differ() -> None:
    body = Body(
        0,
        (sample(0.0, lat_deg=0.0, mil_on=0), sample(0.0)),
        (Event("e", 0, 0, TimeQuality.NONE), Event("e", 0, None, TimeQuality.NONE)),
    )
    assert decode_body(encode_body(body)) == body


@given(bodies, st.sets(st.sampled_from([column.name for column in COLUMNS])))
def test_single_columns_are_those_of_the_whole(body: Body, names: set[str]) -> None:
    columns = decode_columns(encode_body(body), names)
    assert columns == {name: [getattr(row, name) for row in body.samples] for name in names}


def test_a_column_that_nobody_has() -> None:
    with pytest.raises(KeyError):
        decode_columns(encoded(sample()), ["colour"])


# -- what a newer unit adds


def length_delimited(number: int, payload: bytes) -> bytes:
    tag = number << 3 | 2
    return bytes([tag & 0x7F | 0x80, tag >> 7, len(payload)]) + payload


@given(st.integers(30, 1000), st.binary(max_size=40))
def test_facts_of_a_newer_unit_are_passed_over(number: int, fact: bytes) -> None:
    body = Body(3, (sample(lat_deg=31.2), sample(2.0)), (Event("e", 1, 2, TimeQuality.RTC),), counts={"a": 1})
    new = length_delimited(number, fact)
    as_field = encode_body(body) + new
    # Protobuf joins a message that comes twice: the samples gain a column, the event stays as it was.
    as_column = as_field + b"\x1a" + bytes([len(new)]) + new
    assert decode_body(as_column) == body
    event = pb.Body.FromString(encode_body(body))
    event.events[0].MergeFromString(new)
    assert decode_body(event.SerializeToString()) == body


# -- bytes that contradict themselves


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda body: body.samples.mono_s.Clear(), "monotonic"),
        (lambda body: body.samples.time_quality.Clear(), "time quality"),
        (lambda body: setattr(body.samples.time_quality, "present", b"\x01"), "time_quality: presence"),
        (lambda body: body.samples.time_quality.deltas.__setitem__(0, 6), "6"),
        (lambda body: body.samples.time_quality.deltas.__setitem__(0, 0), "0"),
        (lambda body: setattr(body.samples.lat_deg, "order", 0), "order 0"),
        (lambda body: setattr(body.samples.lat_deg, "order", 3), "order 3"),
        (lambda body: body.samples.lat_deg.deltas.append(0), "3 values for 2 samples"),
        (lambda body: body.samples.lat_deg.deltas.pop(), "1 values for 2 samples"),
        (lambda body: setattr(body.samples.lat_deg, "present", b"\x01"), "lat_deg: presence"),
        (lambda body: setattr(body.samples.lat_deg, "present", b"\x07"), "lat_deg: presence"),
        (lambda body: setattr(body.samples.lat_deg, "present", b"\x05"), "lat_deg: presence"),
        (
            lambda body: setattr(body.samples.lat_deg, "present", b"\x01") or body.samples.lat_deg.ClearField("deltas"),
            "lat_deg",
        ),
        (lambda body: setattr(body, "sample_count", 1), "2 values for 1 samples"),
        (lambda body: setattr(body, "sample_count", 0), "2 values for 0 samples"),
        (lambda body: setattr(body, "sample_count", MAX_SAMPLES + 1), "3601 samples in one batch"),
        (lambda body: body.samples.Clear() or setattr(body, "sample_count", 2**32 - 1), "samples in one batch"),
        (lambda body: body.events.add(kind="e", time_quality=0), "0"),
        (lambda body: body.gaps.add(boot=BOOT[1:], first=1, last=1), "gap"),
        (lambda body: body.gaps.add(boot=BOOT + b"x", first=1, last=1), "gap"),
        (lambda body: body.gaps.add(boot=BOOT, first=0, last=1), "gap"),
        (lambda body: body.gaps.add(boot=BOOT, first=2, last=1), "gap"),
        (lambda body: body.gaps.add(boot=BOOT, first=1, last=MAX_STEPS + 1), "gap"),
        (lambda body: body.gaps.add(boot=BOOT, first=1, last=1, samples=MAX_STEPS + 1), "gap"),
        (lambda body: body.counts.__setitem__("a", MAX_STEPS + 1), "count"),
    ],
)
def test_contradictions_are_refused(change: Callable[[pb.Body], object], word: str) -> None:
    assert word in refusal(crafted(change)).detail


@pytest.mark.parametrize("name", [column.name for column in COLUMNS])
@pytest.mark.parametrize("order", [1, 2])
def test_a_value_past_the_last_step_is_refused(name: str, order: int) -> None:
    def grow(body: pb.Body) -> None:
        column = getattr(body.samples, name)
        column.Clear()
        column.deltas.extend([MAX_STEPS, 1] if order == 1 else [MAX_STEPS, 1 - MAX_STEPS])
        column.order = order

    assert refusal(crafted(grow)).detail == f"{name} is outside what the wire carries"


def test_the_most_samples_are_read() -> None:
    assert len(decode_body(encoded(*[sample()] * MAX_SAMPLES)).samples) == MAX_SAMPLES


def test_gaps_and_counts_at_their_ends_are_read() -> None:
    ends = Body(0, gaps=(Gap(BOOT, 1, 1, 0, ""), Gap(BOOT, 1, MAX_STEPS, MAX_STEPS, "")), counts={"a": MAX_STEPS})
    assert decode_body(encode_body(ends)) == ends


def test_ranges() -> None:
    assert read_ranges([pb.Range(first=3, last=3), pb.Range(first=1, last=2)]) == (
        SequenceRange(3, 3),
        SequenceRange(1, 2),
    )
    with pytest.raises(RefusedError, match="backwards"):
        read_ranges([pb.Range(first=2, last=1)])
    assert [n in SequenceRange(2, 3) for n in (1, 2, 3, 4)] == [False, True, True, False]


# -- any bytes


def read_or_refused(data: bytes) -> Body | None:
    try:
        return decode_body(data)
    except RefusedError as refused:
        if refused.reason is not Reason.MALFORMED:
            raise
        return None


@given(st.binary(max_size=300))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refused(data)


@given(bodies, st.data())
def test_damaged_bytes_are_read_or_refused(body: Body, draw: st.DataObject) -> None:
    data = bytearray(encode_body(body))
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(data)))
        cut = draw.draw(st.integers(0, 3))
        data[at : at + cut] = draw.draw(st.binary(max_size=3))
    read = read_or_refused(bytes(data))
    assert read is None or decode_body(encode_body(read)) == read  # what is let in can be told again
