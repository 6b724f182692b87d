"""What the store knows of the units of one commit: read in a few queries, changed in memory, written at once.

A statement costs what a dozen batches cost otherwise, so five hundred batches share them. Everything here lives inside
one transaction with the units' rows locked: nobody else changes what the desk has read, and where the transaction
fails, desk and all are thrown away.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection

from server.commanding import Told as Answer
from server.received import Range, Received
from server.store import batch_rows, command_rows, fleet_rows, retiming_rows, state_rows
from server.store.batch_rows import Row
from server.store.fleet_rows import Unit
from server.watch.retiming import Tie
from server.watch.vehicle_state import VehicleState
from wire.records import LINK_BYTES, SequenceRange
from wire.seal import Identity, stored_link


@dataclass(slots=True)
class Boot:
    """One outbox of a unit, and which of its batches are stored."""

    id: int
    boot: bytes
    number: int
    received: Received = field(default_factory=Received)


@dataclass(slots=True)
class _UnitFile:
    boots: dict[bytes, Boot] = field(default_factory=dict)
    newest_number: int = 0
    ends: dict[bytes, int] = field(default_factory=dict)  # declared in this commit, or asked of the store


class Desk:
    """Opened for the batches of one commit; `write` puts back what was changed."""

    def __init__(self, connection: Connection, identities: Collection[Identity], now_ms: int) -> None:
        self.connection, self.now_ms = connection, now_ms
        self.units = fleet_rows.active_units(connection, {each.unit for each in identities})
        self._files = {unit.id: _UnitFile() for unit in self.units.values()}
        self._ranges_read: dict[int, list[Range]] = {}
        self._read_boots({each.boot for each in identities})
        self._digests = batch_rows.digests_at(connection, self._known_already(identities))
        self._states_read = state_rows.states_of(connection, self._vehicle_ids())
        self._states = dict(self._states_read)
        self._ties: dict[tuple[int, int], Tie | None] = {}
        self._ids = iter(batch_rows.next_ids(connection, len(identities)))
        self._redelivered: Counter[int] = Counter()
        self._implausible: Counter[int] = Counter()
        self._batches: list[Row] = []
        self._events: list[Row] = []
        self._gaps: list[Row] = []
        self._leaves: list[Row] = []
        self._answers: list[tuple[Unit, int, list[Answer]]] = []
        self._counts: dict[tuple[int, str], Row] = {}
        self._heard: dict[int, Unit] = {}  # vehicles that a batch of this commit tells of
        self._dated: set[int] = set()

    # -- boots and sequences

    def boot(self, unit: Unit, boot: bytes) -> Boot | None:
        """The boot, where the store knows it."""
        return self._files[unit.id].boots.get(boot)

    def newest_number(self, unit: Unit) -> int:
        """The highest boot number of the unit, 0 before its first batch."""
        return self._files[unit.id].newest_number

    def end_of_boot(self, unit: Unit, boot: bytes) -> int:
        """The sequence from which on, as the unit has declared, nothing of this boot comes any more; 0 without that."""
        ends = self._files[unit.id].ends
        if boot not in ends:
            ends[boot] = batch_rows.end_of_boot(self.connection, unit.id, boot)
        return ends[boot]

    def begin_boot(self, unit: Unit, identity: Identity) -> Boot:
        """A new boot begins, with its first batch that came."""
        row = batch_rows.add_boot(
            self.connection, unit.lender_id, unit.id, identity.boot, identity.boot_number, self.now_ms
        )
        file = self._files[unit.id]
        file.newest_number = max(file.newest_number, row.number)
        file.boots[identity.boot] = made = Boot(row.id, identity.boot, row.number)
        return made

    def digest_at(self, boot: Boot, sequence: int) -> bytes | None:
        """SHA-256 of a batch that is stored; None where its bytes have been deleted since."""
        return self._digests.get((boot.id, sequence))

    def link_after(self, boot: Boot, known: Range) -> bytes | None:
        """What the batch after a range has to carry; None where nobody knows any more."""
        if known.last_link is not None:
            return known.last_link
        digest = batch_rows.digests_at(self.connection, [(boot.id, known.last)]).get((boot.id, known.last))
        return None if digest is None else digest[:LINK_BYTES]

    def link_of(self, boot: Boot, known: Range) -> bytes | None:
        """What the first batch of a range carries; None where nobody knows any more."""
        if known.first_link is not None:
            return known.first_link
        sealed = batch_rows.sealed_at(self.connection, boot.id, known.first)
        return None if sealed is None else stored_link(sealed)

    def count_redelivered(self, boot: Boot) -> None:
        """A batch came that is stored already."""
        self._redelivered[boot.id] += 1

    def count_implausible(self, boot: Boot, values: int) -> None:
        """So many values of a batch were none that a car can have."""
        if values:
            self._implausible[boot.id] += values

    def committed(self, boot: Boot, most: int) -> tuple[SequenceRange, ...]:
        """The newest stored ranges of a boot."""
        return boot.received.newest(most)

    # -- what batches bring

    def add_batch(self, unit: Unit, boot: Boot, sequence: int, links: tuple[bytes, bytes], **columns: object) -> int:
        """A new batch; `links` are the one it carries and the one that its successor must carry. Returns its id."""
        batch_id = next(self._ids)
        of = {"lender_id": unit.lender_id, "unit_id": unit.id, "vehicle_id": unit.vehicle_id, "boot_id": boot.id}
        self._batches.append({"id": batch_id, "sequence": sequence, "arrived_ms": self.now_ms, **of, **columns})
        digest = columns["digest"]
        assert isinstance(digest, bytes)
        self._digests[boot.id, sequence] = digest
        boot.received.add(sequence, *links)
        leaf = {"lender_id": unit.lender_id, "kind": "batch", "digest": digest, "written_ms": self.now_ms}
        self._leaves.append(leaf)
        return batch_id

    def add_told(self, unit: Unit, batch_id: int, events: Iterable[Row], gaps: Iterable[Row]) -> None:
        """The events and gap records of a batch; rows without the columns that say whose they are."""
        of = {"lender_id": unit.lender_id, "unit_id": unit.id, "batch_id": batch_id}
        told_in = {**of, "vehicle_id": unit.vehicle_id, "arrived_ms": self.now_ms}
        self._events.extend({**told_in, **row} for row in events)
        for row in gaps:
            self._gaps.append({**of, **row})
            if row["reason"] == batch_rows.END_UNKNOWN:
                ends = self._files[unit.id].ends
                ends[row["boot"]] = max(self.end_of_boot(unit, row["boot"]), row["first"])

    def add_answers(self, unit: Unit, batch_id: int, answers: list[Answer]) -> None:
        """What the unit answered to commands."""
        if answers:
            self._answers.append((unit, batch_id, answers))

    def put_counts(self, unit: Unit, told_by: Identity, counts: Iterable[tuple[str, int]]) -> None:
        """What the unit counted; of one name the batch that was sealed last counts, whichever comes last."""
        at = {"boot_number": told_by.boot_number, "sequence": told_by.sequence}
        for name, value in counts:
            key = (unit.id, name)
            known = self._counts.get(key)
            if known is None or (known["boot_number"], known["sequence"]) <= (told_by.boot_number, told_by.sequence):
                self._counts[key] = {
                    "unit_id": unit.id, "name": name, "lender_id": unit.lender_id, "value": value, **at
                }  # fmt: skip

    # -- time and state

    def tie(self, unit: Unit, kernel_boot: int) -> Tie | None:
        """The tie that holds for a kernel boot of the unit."""
        key = (unit.id, kernel_boot)
        if key not in self._ties:
            self._ties[key] = retiming_rows.tie_held(self.connection, unit.id, kernel_boot)
        return self._ties[key]

    def set_tie(self, unit: Unit, kernel_boot: int, tie: Tie) -> None:
        """Another one holds from now on."""
        self._ties[unit.id, kernel_boot] = tie

    def read_ties(self, wanted: Iterable[tuple[str, int]]) -> None:
        """Read at once what holds for these units and kernel boots."""
        keys = {(self.units[name].id, kernel_boot) for name, kernel_boot in wanted if name in self.units}
        self._ties |= dict.fromkeys(keys) | retiming_rows.ties_held(self.connection, keys)

    def state(self, vehicle_id: int) -> VehicleState | None:
        """The last known state of a vehicle, if there is one."""
        return self._states.get(vehicle_id)

    def move_state(self, unit: Unit, vehicle_id: int, state: VehicleState) -> None:
        """A batch of this commit has moved it."""
        self._states[vehicle_id] = state
        self._heard[vehicle_id] = unit

    def state_then(self, vehicle_id: int) -> VehicleState | None:
        """The state of a vehicle in which a unit of this commit sat once."""
        if vehicle_id not in self._states and (found := state_rows.state_of(self.connection, vehicle_id)) is not None:
            self._states[vehicle_id] = found
        return self._states.get(vehicle_id)

    def date_state(self, vehicle_id: int, state: VehicleState) -> None:
        """Batches that were stored before have moved it, now that their time is known."""
        self._states[vehicle_id] = state
        self._dated.add(vehicle_id)

    # -- writing

    def write_batches(self) -> None:
        """Batches and all that they brought but states and times, which may still change."""
        batch_rows.count_of_boots(self.connection, redelivered=self._redelivered, implausible=self._implausible)
        batch_rows.add_rows(
            self.connection,
            of_batches=self._batches,
            of_events=self._events,
            of_gaps=self._gaps,
            of_leaves=self._leaves,
        )
        for unit, batch_id, answers in self._answers:
            command_rows.store_answers(self.connection, unit, batch_id, answers, self.now_ms)
        self._write_ranges()
        self._write_counts()

    def write_states(self) -> None:
        """The states that were moved."""
        rows = [(vehicle_id, unit, self._states[vehicle_id]) for vehicle_id, unit in self._heard.items()]
        state_rows.put_states(
            self.connection,
            changed=[row for row in rows if row[0] in self._states_read],
            new=[row for row in rows if row[0] not in self._states_read],
            now_ms=self.now_ms,
        )
        for vehicle_id in self._dated - self._heard.keys():
            state_rows.put_dated(self.connection, vehicle_id, self._states[vehicle_id])

    def _write_ranges(self) -> None:
        gone: list[Row] = []
        changed: list[Row] = []
        new: list[Row] = []
        lenders = {unit.id: unit.lender_id for unit in self.units.values()}
        for unit_id, file in self._files.items():
            for boot in file.boots.values():
                was = {each.first: each for each in self._ranges_read.get(boot.id, ())}
                now = {each.first: each for each in boot.received.ranges}
                gone.extend({"boot_id": boot.id, "first": first} for first in was.keys() - now.keys())
                for first, each in now.items():
                    if was.get(first) == each:
                        continue
                    row = {
                        "boot_id": boot.id,
                        "first": first,
                        "last": each.last,
                        "lender_id": lenders[unit_id],
                        "first_link": each.first_link,
                        "last_link": each.last_link,
                    }
                    (changed if first in was else new).append(row)
        batch_rows.put_ranges(self.connection, gone, changed, new)

    def _write_counts(self) -> None:
        if not self._counts:
            return
        known = {
            (row.unit_id, row.name): row.told_by
            for row in batch_rows.counts_of(self.connection, {unit_id for unit_id, _ in self._counts})
        }
        new = [row for key, row in self._counts.items() if key not in known]
        changed = [
            row
            for key, row in self._counts.items()
            if key in known and known[key] < (row["boot_number"], row["sequence"])
        ]
        batch_rows.put_counts(self.connection, changed, new)

    # -- reading

    def _read_boots(self, wanted: Collection[bytes]) -> None:
        rows = batch_rows.boots_of(self.connection, self._files.keys())
        self._ranges_read = batch_rows.ranges_of(self.connection, [row.id for row in rows if row.boot in wanted])
        for row in rows:
            file = self._files[row.unit_id]
            file.newest_number = max(file.newest_number, row.number)
            received = Received.of(self._ranges_read.get(row.id, ()))
            file.boots[row.boot] = Boot(row.id, row.boot, row.number, received)

    def _known_already(self, identities: Iterable[Identity]) -> set[tuple[int, int]]:
        """Boot and sequence of those that are stored: their bytes have to be the same."""
        found = set()
        for each in identities:
            unit = self.units.get(each.unit)
            boot = None if unit is None else self.boot(unit, each.boot)
            if boot is not None and boot.received.has(each.sequence):
                found.add((boot.id, each.sequence))
        return found

    def _vehicle_ids(self) -> set[int]:
        return {unit.vehicle_id for unit in self.units.values() if unit.vehicle_id is not None}
