"""A small world for the pages: two lenders, their people, vehicles and units, and batches as a unit seals them."""

import contextlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import cos, pi, sin
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.live import Arrival, take
from server.store import fleet_rows, people_rows, vehicle_rows
from server.store.db import Store
from wire.records import Body, Event, Sample, TimeQuality
from wire.seal import Identity, link_to, seal_batch
from wire.topics import BATCH

PASSWORD = "correct horse"
BOOT = b"\x07" * 16
_template: list[bytes] = []


@dataclass
class Unit:
    """A unit that seals one batch after the other."""

    name: str
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    sequence: int = 0
    link: bytes = b""

    def seal(self, samples: Iterable[Sample] = (), events: Iterable[Event] = ()) -> Arrival:
        self.sequence += 1
        identity = Identity(self.name, BOOT, 1, self.sequence)
        sealed = seal_batch(self.key, identity, self.link, Body(1, tuple(samples), tuple(events)))
        self.link = link_to(sealed)
        return Arrival(BATCH.of(self.name), sealed)


@dataclass
class World:
    """The store, and what is in it."""

    store: Store
    lenders: dict[str, int] = field(default_factory=dict)
    vehicles: dict[str, int] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)

    def add_lender(self, name: str, login: str, *, is_new: bool = True) -> None:
        with self.store.write() as connection:
            self.lenders[name] = people_rows.lender_id_of(connection, name)
            if is_new:
                people_rows.put_user(connection, self.lenders[name], login, PASSWORD)

    def add_vehicle(
        self, lender: str, vin: str, plate: str | None = None, label: str | None = None, unit: str | None = None
    ) -> int:
        lender_id = self.lenders[lender]
        with self.store.write() as connection:
            vehicle_id = vehicle_rows.vehicle_id_of(connection, lender_id, vin, plate, label)
            self.vehicles[vin] = vehicle_id
            if unit is not None:
                made = self.units[unit] = Unit(unit)
                unit_id = fleet_rows.put_unit(connection, lender_id, unit, made.key.public_key(), 0)
                fleet_rows.assign(connection, lender_id, unit_id, vehicle_id, 0)
        return vehicle_id

    def hear(self, unit: str, samples: Iterable[Sample], now_ms: int, events: Iterable[Event] = ()) -> None:
        """The server takes in one batch of this unit."""
        take(self.store, [self.units[unit].seal(samples, events)], now_ms)


def sample(time_ms: int, lat_deg: float = 39.9087, lon_deg: float = 116.3975, **values: float | int | None) -> Sample:
    """A sample with a position, OBD values and good time."""
    given: dict[str, float | int | None] = {
        "alt_m": 50.0,
        "speed_mps": 17.22,
        "course_deg": 45.0,
        "fix_quality": 1,
        "satellites_used": 14,
        "hdop": 0.8,
        "obd_speed_kmh": 62.0,
        "engine_rpm": 1830.0,
        "coolant_temp_c": 88.0,
        "module_voltage_v": 14.12,
        "fuel_level_pct": 57.0,
        "odometer_km": 48211.4,
        "mil_on": 0,
        "dtc_count": 0,
        **values,
    }
    return Sample(time_ms / 1000, time_ms, TimeQuality.GNSS, lat_deg, lon_deg, **given)  # type: ignore[arg-type]


def loop(start_ms: int, seconds: int, lat_deg: float = 39.9087, lon_deg: float = 116.3975) -> list[Sample]:
    """A drive of this many seconds along a bent line."""
    samples = []
    for i in range(seconds):
        turn = 2 * pi * i / 900
        lat = lat_deg + 0.012 * sin(turn) + i * 1.5e-6
        lon = lon_deg + 0.016 * sin(turn / 2) + 0.004 * cos(3 * turn)
        speed_mps, course_deg = 10 + 7 * sin(turn * 2), turn * 57 % 360
        samples.append(sample(start_ms + 1000 * i, lat, lon, speed_mps=speed_mps, course_deg=course_deg))
    return samples


@contextlib.contextmanager
def small_world(folder: Path) -> Iterator[World]:
    """Lenders 甲 and 乙, one login each, nothing else. Migrating and hashing is done once, then copied."""
    path = folder / "pledgewatch.db"
    if _template:
        path.write_bytes(_template[0])
    store = Store(f"sqlite:///{path}")
    if not _template:
        store.migrate()
    world = World(store)
    for name, login in (("甲汽车金融", "jia"), ("乙汽车金融", "yi")):
        world.add_lender(name, login, is_new=not _template)
    if not _template:
        store.close()  # the last connection folds the write-ahead log into the file
        _template.append(path.read_bytes())
    yield world
    store.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
