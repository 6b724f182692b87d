"""An ONNX model of about 400 KB, written by hand: what a judge of each second will cost. Pure.

Input `window`: 1 x 60 x 12 float32, the last minute in twelve features; output `score`: 1 x 1. Three dense layers
(720 → 128 → 64 → 1) with seeded random weights: it judges nothing, and costs what such a model costs.

The fields and their numbers are those of onnx.proto (ONNX IR version 8, operator set 13); protobuf's wire format is
tag, length, bytes. The package `onnx` is not needed for seven nodes.
"""

import random
import struct
from collections.abc import Iterable
from itertools import pairwise

SECONDS, FEATURES = 60, 12
_LAYERS = (SECONDS * FEATURES, 128, 64, 1)
_FLOAT = 1  # TensorProto.DataType


def model_bytes(seed: int = 1) -> bytes:
    """A serialised ModelProto; the same seed gives the same bytes."""
    dice = random.Random(seed)
    nodes, weights, before = [_node("Flatten", ("window",), "flat")], [], "flat"
    for number, (wide, narrow) in enumerate(pairwise(_LAYERS), 1):
        last = number == len(_LAYERS) - 1
        spread = (2.0 / wide) ** 0.5
        weights.append(_tensor(f"w{number}", (wide, narrow), (dice.gauss(0, spread) for _ in range(wide * narrow))))
        weights.append(_tensor(f"b{number}", (narrow,), (0.0 for _ in range(narrow))))
        nodes.append(_node("Gemm", (before, f"w{number}", f"b{number}"), f"sum{number}"))
        before = "score" if last else f"out{number}"
        nodes.append(_node("Sigmoid" if last else "Relu", (f"sum{number}",), before))
    graph = b"".join(_field(1, each) for each in nodes)
    graph += _field(2, b"cost") + b"".join(_field(5, each) for each in weights)
    graph += _field(11, _value("window", (1, SECONDS, FEATURES))) + _field(12, _value("score", (1, 1)))
    operators = _number(2, 13)
    return _number(1, 8) + _field(2, b"pledgewatch benchmark") + _field(7, graph) + _field(8, operators)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _node(operator: str, inputs: Iterable[str], output: str) -> bytes:
    named = b"".join(_field(1, each.encode()) for each in inputs)
    return named + _field(2, output.encode()) + _field(4, operator.encode())


def _tensor(name: str, shape: tuple[int, ...], values: Iterable[float]) -> bytes:
    numbers = list(values)
    dims = b"".join(_number(1, each) for each in shape)
    return dims + _number(2, _FLOAT) + _field(8, name.encode()) + _field(9, struct.pack(f"<{len(numbers)}f", *numbers))


def _value(name: str, shape: tuple[int, ...]) -> bytes:
    dims = b"".join(_field(1, _number(1, each)) for each in shape)
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, _FLOAT) + _field(2, dims)))
