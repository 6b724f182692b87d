"""Cars for the tests of the server: a unit that seals as the agent does, and what the store holds of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, Table, select

from server.columns import Told, read_all
from server.live import Arrival
from server.store import fleet_rows, people_rows, state_rows, vehicle_rows
from server.store.db import Store
from server.store.tables import metadata
from server.watch.retiming import Tie, times_of
from server.watch.vehicle_state import VehicleState, fold
from wire import telemetry_pb2 as pb
from wire.codec import encode_body
from wire.records import Body, Event, Gap, Sample, TimeQuality
from wire.seal import BATCH_PURPOSE, Identity, link_to, seal_batch
from wire.topics import BATCH

NOW_MS = 1_795_000_000_000
_numbers = count(1)


@dataclass
class Car:
    """A unit that seals one batch after the other, and the vehicle it sits in (None: in none)."""

    store: Store
    lender_id: int
    unit_id: int
    vehicle_id: int | None
    name: str
    key: Ed25519PrivateKey
    boot: bytes = b"\x01" * 16
    boot_number: int = 1
    sequence: int = 0
    link: bytes = b""
    sealed: list[bytes] = field(default_factory=list)

    def seal(
        self,
        *samples: Sample,
        events: Sequence[Event] = (),
        gaps: Sequence[Gap] = (),
        counts: Mapping[str, int] | None = None,
    ) -> Arrival:
        """The next batch, on its topic."""
        self.sequence += 1
        arrival = self.forge(self.sequence, self.link, Body(1, samples, tuple(events), tuple(gaps), counts or {}))
        self.link = link_to(arrival.payload)
        self.sealed.append(arrival.payload)
        return arrival

    def forge(self, sequence: int, link: bytes, body: Body, boot: bytes = b"", names: str = "") -> Arrival:
        """Any batch under this unit's key and on its topic, without continuing its chain; it may name another unit."""
        identity = Identity(names or self.name, boot or self.boot, self.boot_number, sequence)
        return Arrival(BATCH.of(self.name), seal_batch(self.key, identity, link, body))

    def forge_folded(self, body_zlib: bytes) -> Arrival:
        """The next batch as units of the first version made it, around any bytes instead of a folded body."""
        good = pb.Sealed.FromString(self.forge(self.sequence + 1, self.link, Body(1)).payload)
        content = pb.BatchContent.FromString(good.content)
        content.body_zlib = body_zlib
        content.ClearField("body_lzma")
        good.version = 1
        good.content = content.SerializeToString()
        good.signature = self.key.sign(BATCH_PURPOSE + good.content)
        return Arrival(BATCH.of(self.name), good.SerializeToString())

    def replace_outbox(self) -> None:
        """A new boot begins."""
        self.boot_number += 1
        self.boot, self.sequence, self.link = bytes([self.boot_number]) * 16, 0, b""

    def state(self) -> VehicleState | None:
        """What the server knows of the vehicle now."""
        assert self.vehicle_id is not None
        with self.store.read() as connection:
            return state_rows.state_of(connection, self.vehicle_id)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """The unit's rows of a table, oldest first; of a table that does not name units, its lender's."""
        where = table.c.unit_id == self.unit_id if "unit_id" in table.c else table.c.lender_id == self.lender_id
        query = select(table).where(where).order_by(*table.primary_key)
        with self.store.read() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]


def add_car(store: Store, lender: str | None = None, vin: str | None = "", name: str | None = None) -> Car:
    """Enrol a unit; without names it is the only one of its lender, in a vehicle of its own (None: in none)."""
    number = next(_numbers)
    name, key = name or f"CAR{number:05}", Ed25519PrivateKey.generate()
    with store.write() as connection:
        lender_id = people_rows.lender_id_of(connection, lender or f"贷款{number}")
        unit_id = fleet_rows.put_unit(connection, lender_id, name, key.public_key(), NOW_MS)
        vehicle_id = None if vin is None else put_into(connection, lender_id, unit_id, vin or f"LSVAA4188E2{number:06}")
    return Car(store, lender_id, unit_id, vehicle_id, name, key)


def put_into(connection: Connection, lender_id: int, unit_id: int, vin: str) -> int:
    """The unit sits in this vehicle from now on."""
    vehicle_id = vehicle_rows.vehicle_id_of(connection, lender_id, vin, None, None)
    fleet_rows.assign(connection, lender_id, unit_id, vehicle_id, NOW_MS)
    return vehicle_id


def sample(at_s: float, **values: float) -> Sample:
    """A sample of an hour ago and `at_s`, with a good time and a position that tells it from all others."""
    time_ms = NOW_MS - 3_600_000 + round(at_s * 1000)
    place: dict[str, Any] = {"lat_deg": 31.0 + at_s / 1e5, "lon_deg": 121.0, **values}
    return Sample(at_s, time_ms, TimeQuality.GNSS, **place)


def told(*samples: Sample, events: Sequence[Event] = (), kernel_boot: int = 1) -> Told:
    """What the server reads of a body with these."""
    return read_all(encode_body(Body(kernel_boot, samples, tuple(events))))


def fold_samples(
    state: VehicleState, samples: Iterable[Sample], now_ms: int = NOW_MS, tie: Tie | None = None
) -> VehicleState:
    """The state after these samples came in one batch."""
    columns = told(*samples).samples
    return fold(state, columns, times_of(columns, tie), now_ms)


def everything(store: Store) -> dict[str, list[Any]]:
    """Every row of every table."""
    with store.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }
