"""The account of every sealed batch: what the units sealed, what the server has, what was declared lost. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from wire.records import Sample

Name = tuple[str, str, int]  # unit, boot (hex), sequence
# Why a unit may lose what it has sealed: a damaged file, or a disk on which nothing more has room.
EXCUSES = frozenset({"damaged", "end_unknown", "outbox_full", "disk_full"})


@dataclass(frozen=True, slots=True)
class Noted:
    """A batch that an outbox has taken."""

    samples: int
    digest: str  # SHA-256 of its bytes, hex


class Ledger:
    """Both sides arrive in any order, piece by piece."""

    def __init__(self) -> None:
        self.sealed: dict[Name, Noted] = {}
        self.open: dict[str, set[Name]] = defaultdict(set)  # by unit: sealed, and neither stored nor declared yet
        self.violations: list[str] = []
        self.twice = 0  # samples or batches that are stored more than once
        self.with_obd = 0  # stored samples that carry a value of the car
        self._stored: dict[Name, str] = {}
        self._gaps: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
        self._samples: set[tuple[object, ...]] = set()

    def on_sealed(self, unit: str, boot: str, sequence: int, samples: int, digest: str) -> None:
        """An outbox has taken this batch."""
        name, noted = (unit, boot, sequence), Noted(samples, digest)
        if self.sealed.setdefault(name, noted) != noted:
            self.violations.append(f"{unit} {boot[:8]} {sequence}: the sequence was given away twice")
        if name in self._stored:
            self._compare(name)
        elif not self._reasons(name):
            self.open[unit].add(name)

    def on_stored(self, unit: str, boot: str, sequence: int, digest: str) -> None:
        """The server has a batch."""
        name = unit, boot, sequence
        if name in self._stored:
            self.twice += 1
            self.violations.append(f"{unit} {boot[:8]} {sequence}: the batch is stored twice")
        self._stored[name] = digest
        if name in self.sealed:
            self._compare(name)
            self.open[unit].discard(name)

    def on_samples(self, unit: str, kernel_boot: int, samples: Iterable[Sample]) -> None:
        """What a stored batch holds; the same record in another batch is one that counts twice."""
        for each in samples:
            record = (unit, kernel_boot, round(each.mono_s * 1000), each.time_utc_ms, each.lat_deg, each.lon_deg)
            if record in self._samples:
                self.twice += 1
                self.violations.append(f"{unit}: the sample at {each.mono_s:.3f} s is stored twice")
            self._samples.add(record)
            self.with_obd += each.engine_rpm is not None

    def on_gap(self, unit: str, boot: str, first: int, last: int, reason: str) -> None:
        """The server was told, under the unit's signature, that these are lost."""
        self._gaps[unit, boot].append((first, last, reason))
        if reason not in EXCUSES:
            self.violations.append(
                f"{unit} {boot[:8]} {first} to {last}: declared as {reason}, which no fault explains"
            )
        self.open[unit] -= {name for name in self.open[unit] if name[1] == boot and first <= name[2] <= last}

    def declared(self) -> dict[str, list[Name]]:
        """Sealed batches that were declared lost and did not arrive, by the first reason that was told."""
        found: dict[str, list[Name]] = defaultdict(list)
        for name in self.sealed:
            if name not in self._stored and (reasons := self._reasons(name)):
                found[reasons[0]].append(name)
        return found

    def lost(self) -> list[Name]:
        """Sealed, not stored, not declared: at the end of a soak there must be none."""
        return sorted(name for names in self.open.values() for name in names)

    def holes(self, unit: str) -> list[Name]:
        """Before the newest batch that arrived of each boot: sequences that were given away, or passed over, for
        nothing that is stored or declared.
        """
        newest: dict[str, int] = {}
        for name, boot, sequence in self._stored:
            if name == unit:
                newest[boot] = max(sequence, newest.get(boot, 0))
        names = ((unit, boot, sequence) for boot, last in newest.items() for sequence in range(1, last))
        return [name for name in names if name not in self._stored and not self._reasons(name)]

    def unnoted(self) -> int:
        """Stored batches that were never noted: the unit was killed between its commit and the note."""
        return len(self._stored.keys() - self.sealed.keys())

    def figures(self) -> dict[str, int | dict[str, int]]:
        """For the report."""
        return {
            "sealed_batches": len(self.sealed),
            "sealed_samples": sum(each.samples for each in self.sealed.values()),
            "stored_batches": len(self._stored),
            "stored_samples": len(self._samples),
            "stored_samples_with_obd": self.with_obd,
            "unnoted_batches": self.unnoted(),
            "lost": len(self.lost()),
            "twice": self.twice,
            "declared_batches": dict(Counter({reason: len(names) for reason, names in self.declared().items()})),
        }

    def _reasons(self, name: Name) -> list[str]:
        unit, boot, sequence = name
        return [reason for first, last, reason in self._gaps[unit, boot] if first <= sequence <= last]

    def _compare(self, name: Name) -> None:
        if self._stored[name] != self.sealed[name].digest:
            self.violations.append(f"{name[0]} {name[1][:8]} {name[2]}: the server has other bytes than were sealed")
