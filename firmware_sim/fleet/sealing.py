"""Records → sealed batches, a chain for each unit, in the order in which they leave. Pure: keys come with the fleet.

`wire.seal.seal_batch` seals a body once; for the other vehicles of the track its envelope is filled with their own
unit, boot, sequence and link, and signed with their own key. The bytes are those that `seal_batch` gives for each of
them (a test holds the two together), at a small part of the cost.

A vehicle leaves its batches a little after its track (0 to 60 s, its own), so that those of one track do not come at
the same instant. A vehicle with a backlog had no network until it comes back at some time of the play: then all that it
has sealed since the track began is due at once, and the rest in its time.
"""

import hashlib
import heapq
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.fleet.days import BATCH_S, Told, track
from firmware_sim.fleet.identities import Fleet
from wire import telemetry_pb2 as pb
from wire.records import BOOT_BYTES
from wire.seal import BATCH_PURPOSE, Identity, link_to, seal_batch

_BOOTS_SINCE_MS = 1_577_836_800_000  # 2020: a boot number of seconds since then is newer than that of any play before

_FEWER_LONG_TRACKS = 4


class Entry(NamedTuple):
    """One sealed batch and when it is due, ms after the play's begin."""

    due_ms: int
    vehicle: int
    sequence: int
    samples: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What traffic to make. `start_utc_ms` is the play's begin: what is told before it is backlog."""

    start_utc_ms: int
    length_s: float
    tracks: int = 16
    driving_share: float = 0.3
    backlog_share: float = 0.0
    backlog_s: float = 6 * 3600.0

    @property
    def boot_number(self) -> int:
        """The unit's boot: a later play is a newer one, as after a new outbox."""
        return (self.start_utc_ms - _BOOTS_SINCE_MS) // 1000


class Mould:
    """A body that was sealed once, to be sealed for others."""

    def __init__(self, told: Told, key: Ed25519PrivateKey) -> None:
        """`key` seals the pattern, which is sent nowhere. Raises ValueError: a body too large for a batch."""
        pattern = pb.Sealed.FromString(seal_batch(key, Identity("pattern", bytes(BOOT_BYTES), 1, 1), b"", told.body))
        self.at_s = told.at_s
        self.samples = len(told.body.samples)
        self._version = pattern.version
        self._body_lzma = pb.BatchContent.FromString(pattern.content).body_lzma

    def seal(self, key: Ed25519PrivateKey, identity: Identity, link: bytes) -> bytes:
        """The bytes that `seal_batch` gives for this unit."""
        content = pb.BatchContent(
            unit=identity.unit,
            boot=identity.boot,
            boot_number=identity.boot_number,
            sequence=identity.sequence,
            link=link,
            body_lzma=self._body_lzma,
        ).SerializeToString(deterministic=True)
        signature = key.sign(BATCH_PURPOSE + content)
        return pb.Sealed(version=self._version, content=content, signature=signature).SerializeToString()


class SharedTrack:
    """One track's moulds, made when the first vehicle comes to them; some hundred bytes each."""

    def __init__(self, seed: int, number: int, plan: Plan, before_s: float) -> None:
        begin_ms = plan.start_utc_ms - round(before_s * 1000)
        self._told = track(seed, number, begin_ms, before_s + plan.length_s, plan.driving_share)
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(32))
        self._moulds: list[Mould] = []

    def at(self, place: int) -> Mould | None:
        """The mould at a place of the track, from 0; None behind its end."""
        while len(self._moulds) <= place:
            told = next(self._told, None)
            if told is None:
                return None
            self._moulds.append(Mould(told, self._key))
        return self._moulds[place]


def boot_of(sealed: bytes) -> bytes:
    """The boot that a batch of ours names."""
    return pb.BatchContent.FromString(pb.Sealed.FromString(sealed).content).boot


def traffic(fleet: Fleet, plan: Plan, vehicles: Sequence[int]) -> Iterator[Entry]:
    """The sealed batches of these vehicles, by the time at which they are due."""
    fresh = [SharedTrack(fleet.seed, number, plan, 0.0) for number in range(plan.tracks)]
    # Vehicles with a backlog have tracks of their own that begin earlier; they are long, so there are fewer.
    few = max(1, plan.tracks // _FEWER_LONG_TRACKS)
    longer = [SharedTrack(fleet.seed, plan.tracks + number, plan, plan.backlog_s) for number in range(few)]
    streams = (_vehicle(fleet, plan, vehicle, fresh, longer) for vehicle in vehicles)
    return heapq.merge(*streams, key=lambda entry: entry.due_ms)


def _vehicle(
    fleet: Fleet, plan: Plan, vehicle: int, fresh: Sequence[SharedTrack], longer: Sequence[SharedTrack]
) -> Iterator[Entry]:
    dice = random.Random(f"fleet vehicle {fleet.seed} {vehicle}")  # noqa: S311 - repeatable on purpose
    unit, key = fleet.name(vehicle), fleet.key(vehicle)
    boot = hashlib.sha256(f"{fleet.seed} {unit} {plan.boot_number}".encode()).digest()[:BOOT_BYTES]
    has_backlog = dice.random() < plan.backlog_share
    begin_s = -plan.backlog_s if has_backlog else 0.0
    back_s = dice.uniform(0, plan.length_s) if has_backlog else 0.0
    lag_s = dice.uniform(0, BATCH_S)
    shared = dice.choice(longer if has_backlog else fresh)
    link, place = b"", 0
    while (mould := shared.at(place)) is not None:
        due_s = max(begin_s + mould.at_s + lag_s, back_s)
        if due_s > plan.length_s:
            return
        place += 1
        identity = Identity(unit, boot, plan.boot_number, place)
        data = mould.seal(key, identity, link)
        link = link_to(data)
        yield Entry(round(due_s * 1000), vehicle, place, mould.samples, data)
