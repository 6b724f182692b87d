"""The server's columns are the wire's columns: the same values, and the same bodies refused."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.columns import BOUNDS, NAMES, read_all, read_columns, read_many
from wire import telemetry_pb2 as pb
from wire.codec import COLUMNS, MAX_STEPS, decode_body, encode_body
from wire.records import Body, Event, Gap, Sample, TimeQuality
from wire.refused import Reason, RefusedError

# Most columns hold only small numbers of steps; both sides of every bound are tried.
STEPS = st.none() | st.integers(-9, 999) | st.integers(-MAX_STEPS, MAX_STEPS)


@st.composite
def bodies(draw: st.DrawFn) -> Body:
    """Samples with any values that the wire carries, each there or not."""

    def sample() -> Sample:
        values: dict[str, Any] = {}
        for column in COLUMNS:
            steps = draw(STEPS)
            values[column.name] = steps if column.whole or steps is None else steps / column.steps_per_unit
        values["mono_s"] = draw(st.integers(0, 2**40)) / 100
        values["time_quality"] = draw(st.sampled_from(TimeQuality))
        return Sample(**values)

    count = draw(st.integers(0, 6))
    event = Event("trip", 1, None, TimeQuality.NONE, {"a": "b"})
    return Body(draw(st.integers(0, 9)), tuple(sample() for _ in range(count)), (event,), (), {"x": 3})


@given(bodies())
def test_they_read_what_the_wire_reads(body: Body) -> None:
    data = encode_body(body)
    told, known = read_all(data), decode_body(data)
    assert (told.kernel_boot, told.events, told.gaps, told.counts) == (
        known.kernel_boot,
        known.events,
        known.gaps,
        known.counts,
    )
    assert told.samples.count == len(known.samples)
    for name in NAMES:
        values = [told.samples.value(name, n) for n in range(told.samples.count)]
        expected = [plausible(name, getattr(sample, name)) for sample in known.samples]
        assert values == expected
        types = [int if name == "time_quality" else type(value) for value in expected if value is not None]
        assert [type(value) for value in values if value is not None] == types
    all_values = [getattr(sample, name) for sample in known.samples for name in NAMES]
    dropped = sum(value is not None for value in all_values) - int((~np.isnan(told.samples.table)).sum())
    assert told.samples.implausible == dropped


def plausible(name: str, value: float | None) -> float | None:
    """The value, where it is one that its column can have."""
    low, high = BOUNDS.get(name, (-math.inf, math.inf))
    return None if value is None or not low <= value <= high else value


def verdict(read: Any, data: bytes) -> Reason | None:
    try:
        read(data)
    except RefusedError as error:
        return error.reason
    return None


def some_body(**changed: Any) -> bytes:
    """A good body of two samples, with some fields of its column `lat_deg` set to something else."""
    body = pb.Body.FromString(
        encode_body(Body(1, tuple(Sample(n, n, TimeQuality.GNSS, 31.0, 121.0 + n) for n in range(2))))
    )
    for name, value in changed.items():
        field = body.samples.lat_deg
        if name == "deltas":
            del field.deltas[:]
            field.deltas.extend(value)
        else:
            setattr(field, name, value)
    return body.SerializeToString()


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), st.binary(max_size=3), st.integers(0, 3), st.integers(0, 9)
)
@example([1, 2], b"", 1, 2)
@example([1], b"\x02", 1, 2)
@example([1], b"\x02\x00", 2, 2)
@example([1], b"\x04", 1, 2)
@example([MAX_STEPS, 1], b"", 1, 2)
@example([-(2**63), -(2**63)], b"", 1, 2)
@example([2**63 - 1, 2**63 - 1], b"", 2, 2)
def test_they_refuse_what_the_wire_refuses(deltas: list[int], present: bytes, order: int, count: int) -> None:
    body = pb.Body.FromString(some_body(deltas=deltas, present=present, order=order))
    body.sample_count = count
    data = body.SerializeToString()
    assert verdict(read_all, data) == verdict(decode_body, data)


@pytest.mark.parametrize(
    "data",
    [b"\xff", encode_body(Body(1, (), (), (Gap(b"1" * 16, 1, 2, 3, "x"),)))[:-3]],
)
def test_what_is_no_body_is_malformed(data: bytes) -> None:
    assert verdict(read_all, data) is verdict(decode_body, data) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("name", "value"), [("mono_s", None), ("time_quality", None), ("time_quality", 9), ("time_quality", 0)]
)
def test_every_sample_has_a_monotonic_time_and_a_quality(name: str, value: int | None) -> None:
    body = pb.Body.FromString(some_body())
    column = getattr(body.samples, name)
    if value is None:
        column.Clear()
    else:
        column.deltas[0] = value
    data = body.SerializeToString()
    assert verdict(read_all, data) is verdict(decode_body, data) is Reason.MALFORMED


@given(st.lists(bodies(), max_size=6))
def test_many_bodies_are_read_as_each_of_them(told: list[Body]) -> None:
    data = [encode_body(body) for body in told]
    together, counts = read_many(data, NAMES)
    assert counts.tolist() == [len(body.samples) for body in told]
    single = [read_columns(each, NAMES) for each in data]
    for name in NAMES:
        expected = [samples.value(name, n) for samples in single for n in range(samples.count)]
        assert [together.value(name, n) for n in range(together.count)] == expected
    assert together.implausible == sum(samples.implausible for samples in single)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4), st.binary(max_size=3), st.integers(0, 3), st.integers(0, 9)
)
@example([1], b"\x02", 1, 2)
@example([1], b"", 1, 2)
@example([1, 2], b"\x07", 1, 3)
def test_among_many_a_bad_one_is_refused_too(deltas: list[int], present: bytes, order: int, count: int) -> None:
    body = pb.Body.FromString(some_body(deltas=deltas, present=present, order=order))
    body.sample_count = count
    data = body.SerializeToString()

    def among_others(each: bytes) -> None:
        read_many([some_body(), each, some_body()], ("lat_deg",))

    def alone(each: bytes) -> None:
        read_columns(each, ("lat_deg",))

    assert verdict(among_others, data) == verdict(alone, data)


def test_only_the_named_columns_are_read() -> None:
    samples = read_columns(some_body(), ("lat_deg", "hdop"))
    assert set(samples.rows) == {"lat_deg"}
    assert samples["lat_deg"].tolist() == [31.0, 31.0]
    assert all(map(math.isnan, samples["hdop"]))
    with pytest.raises(KeyError):
        read_columns(some_body(), ("colour",))


@pytest.mark.parametrize("name", BOUNDS)
def test_what_no_car_can_have_is_read_as_not_told(name: str) -> None:
    column = next(each for each in COLUMNS if each.name == name)
    low, high = BOUNDS[name]
    step = 1 / column.steps_per_unit
    kind = int if column.whole else float
    values = [kind(low), kind(high), kind(low - step), kind(high + step)]
    rows = tuple(Sample(n, n, TimeQuality.GNSS, **{name: value}) for n, value in enumerate(values))
    samples = read_columns(encode_body(Body(1, rows)), (name,))
    assert [samples.value(name, n) for n in range(4)] == [low, high, None, None]
    assert samples.implausible == 2
