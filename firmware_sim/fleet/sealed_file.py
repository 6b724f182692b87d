"""Batches sealed beforehand, in one file.

A line `pledgewatch sealed fleet 1`, a line of JSON (what the traffic was made from, for people and for checking that it
belongs to the fleet that plays it), then each batch in the order in which it is due: due_ms (8 bytes), vehicle (4),
sequence (4), samples (2), length (2), all little-endian, and the sealed bytes.
"""

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware_sim.fleet.identities import Fleet, FleetError
from firmware_sim.fleet.sealing import Entry, Plan

_FIRST_LINE = b"pledgewatch sealed fleet 1\n"
_HEAD = struct.Struct("<QIIHH")
_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    """What was written."""

    batches: int
    samples: int
    sealed_bytes: int


def write(path: Path, fleet: Fleet, plan: Plan, entries: Iterable[Entry]) -> Written:
    """Write the file whole, or leave the one that was there. Raises OSError."""
    batches = samples = sealed_bytes = 0
    half = path.with_name(f".{path.name}.half")
    with half.open("wb", buffering=_BUFFER) as file:
        file.write(_FIRST_LINE)
        file.write(json.dumps({"fleet": asdict(fleet), "plan": asdict(plan)}).encode() + b"\n")
        for entry in entries:
            file.write(_HEAD.pack(entry.due_ms, entry.vehicle, entry.sequence, entry.samples, len(entry.data)))
            file.write(entry.data)
            batches, samples, sealed_bytes = batches + 1, samples + entry.samples, sealed_bytes + len(entry.data)
    half.replace(path)
    return Written(batches, samples, sealed_bytes)


def read(path: Path, fleet: Fleet) -> Iterator[Entry]:
    """The batches, read as they are needed.

    Raises:
        FleetError: another fleet's file, another kind of file, or one that is cut short.
    """
    try:
        with path.open("rb", buffering=_BUFFER) as file:
            if file.readline(len(_FIRST_LINE)) != _FIRST_LINE:
                raise FleetError(f"{path} is no file of 'pledgewatch-sim fleet seal'")
            if json.loads(file.readline())["fleet"] != asdict(fleet):
                raise FleetError(f"{path} was sealed for another fleet")
            while head := file.read(_HEAD.size):
                data = b""
                if len(head) == _HEAD.size:
                    due_ms, vehicle, sequence, samples, length = _HEAD.unpack(head)
                    data = file.read(length)
                if not data or len(data) < length:
                    raise FleetError(f"{path} is cut short; seal it again")
                yield Entry(due_ms, vehicle, sequence, samples, data)
    except OSError as error:
        raise FleetError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FleetError(f"{path} cannot be read: {error!r}") from None
