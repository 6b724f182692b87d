"""A fleet that drives: enrolled units, and batches of sixty samples with all that a car tells, sealed beforehand."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_sim.fleet import sealed_file
from firmware_sim.fleet.days import track
from firmware_sim.fleet.identities import Fleet, prepare
from firmware_sim.fleet.sealing import Entry, Mould, Plan
from server.config import ServerSettings
from server.fleet.authority import Authority
from server.fleet.enrol_many import enrol_many, read_list
from server.setting_up import authority_folder
from server.store.db import Store
from wire.seal import Identity, link_to

SAMPLES = 60
_TRACKS = 8
_DRIVING_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class Load:
    """Sealed batches in a file, of units that are enrolled; `boot_number` tells one load from the next."""

    folder: Path
    fleet: Fleet
    sealed: Path
    batches: int
    sealed_bytes: int


def enrol(folder: Path, fleet: Fleet, settings: ServerSettings) -> None:
    """Keys, certificates and rows for every unit of the fleet; `folder` is what the player reads."""
    wanted = read_list(prepare(folder, fleet), "LOADTEST")
    store, authority = Store(settings.store_url), Authority(authority_folder(settings))
    enrol_many(store, authority, settings.broker, wanted, folder / "bundles", datetime.now(UTC))
    store.close()


def seal(folder: Path, fleet: Fleet, batches: int, number: int) -> Load:
    """`batches` batches, as many of each unit, one after the other. A new `number` is a new boot of every unit."""
    each = batches // fleet.vehicles
    # Driven minutes of the last days: what units send that come back after a while without network.
    begin_ms = int(datetime.now(UTC).timestamp() * 1000) - 3 * 86_400_000
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    moulds = [list(_driven(key, begin_ms, n, each)) for n in range(_TRACKS)]
    plan = Plan(begin_ms + number * 1000, SAMPLES * each, _TRACKS, _DRIVING_SHARE)
    vehicles = (_vehicle(fleet, plan, n, moulds[n % _TRACKS]) for n in range(fleet.vehicles))
    path = folder / f"{number}.sealed"
    written = sealed_file.write(path, fleet, plan, heapq.merge(*vehicles, key=lambda entry: entry.due_ms))
    return Load(folder, fleet, path, written.batches, written.sealed_bytes)


def payloads(load: Load) -> list[bytes]:
    """The sealed bytes."""
    return [entry.data for entry in sealed_file.read(load.sealed, load.fleet)]


def _driven(key: Ed25519PrivateKey, begin_ms: int, number: int, count: int) -> Iterator[Mould]:
    """The first `count` whole minutes of driving of a track."""
    length_s, found = 2.0 * SAMPLES * count + 3600, 0
    for told in track(1, number, begin_ms, length_s, _DRIVING_SHARE):
        if len(told.body.samples) == SAMPLES:
            yield Mould(told, key)
            found += 1
            if found == count:
                return
    raise ValueError(f"a track of {length_s:.0f} s has only {found} driven minutes")


def _vehicle(fleet: Fleet, plan: Plan, vehicle: int, moulds: list[Mould]) -> Iterator[Entry]:
    unit, key, link = fleet.name(vehicle), fleet.key(vehicle), b""
    boot = plan.boot_number.to_bytes(16, "big")
    for sequence, mould in enumerate(moulds, 1):
        data = mould.seal(key, Identity(unit, boot, plan.boot_number, sequence), link)
        link = link_to(data)
        yield Entry(sequence * 1000 + vehicle % 1000, vehicle, sequence, SAMPLES, data)
