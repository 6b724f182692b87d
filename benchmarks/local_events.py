"""Local events on real drives: false alarms an hour, and what of injected incidents is found, and how soon.

    python -m benchmarks.local_events --data DIR [--part test] [--json]

False alarms: every recorded drive of the chosen part, untouched (`recorded_drives.py` says how each is seen and
split; the thresholds were chosen on "tune"). An hour counts for a rule where its inputs are known. The interval is the
exact 95 % one of a Poisson count.

Incidents: seeded, put into drives of the same part (`incidents.py`). Found is what the right rule tells after it began
and before the seconds end. Two 95 % intervals: Wilson's, as if incidents were independent, and one by resampling
drives.

Beside each stands the naive single threshold (`naive_events.py`); what it "finds" is to be read beside its false
alarms: who always cries finds all. Ignition, VIN and plug events are findings of other rooms, held only for a while: no
rate is claimed for them here.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import incidents as inject
from benchmarks.naive_events import NAIVE, naive_events
from benchmarks.recorded_drives import Drive, drives
from edge_agent.rules import EventSettings, Seen, Watch

DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
KINDS = tuple(NAIVE)
TIMES = 60  # incidents of each type and source of drives
Injector = Callable[[Drive, Random], inject.Incident | None]

POSITIONS = ("ved_sample", "rsk_twizy_ev", "obd_gps_19drivers")
WAYS = (*POSITIONS, "ublox_f9k_drive", "gps_cellular_drives")
WHEELS = (*POSITIONS, "kit_obd2", "carobd")
INJECTED: Mapping[str, tuple[tuple[str, ...], Injector]] = {
    "tow, car asleep": (WAYS, partial(inject.tow, stretch=1, wheels_answer=False)),
    "tow, ignition on": (WAYS, partial(inject.tow, stretch=1, wheels_answer=True)),
    "tow, three times as slow": (WAYS, partial(inject.tow, stretch=3, wheels_answer=False)),
    "jam": ((*POSITIONS, "ublox_f9k_drive"), partial(inject.jam, fading_s=0)),
    "fading": (("ublox_f9k_drive",), partial(inject.jam, fading_s=12)),
    "spoof: jump 3 km": (POSITIONS, partial(inject.spoof_jump, jump_m=3000.0)),
    "spoof: jump 1 km": (POSITIONS, partial(inject.spoof_jump, jump_m=1000.0)),
    "spoof: jump 0.4 km": (POSITIONS, partial(inject.spoof_jump, jump_m=400.0)),
    "spoof: drift 20 m/s": (POSITIONS, partial(inject.spoof_drift, drift_mps=20.0)),
    "spoof: drift 10 m/s": (POSITIONS, partial(inject.spoof_drift, drift_mps=10.0)),
    "spoof: drift 3 m/s": (POSITIONS, partial(inject.spoof_drift, drift_mps=3.0)),
    "spoof: frozen": (POSITIONS, inject.spoof_frozen),
    "collision at 60 km/h and more": (WHEELS, partial(inject.collision, low_kmh=60, high_kmh=250)),
    "collision at 45 to 60 km/h": (WHEELS, partial(inject.collision, low_kmh=45, high_kmh=60)),
    "collision at 25 to 45 km/h": (WHEELS, partial(inject.collision, low_kmh=25, high_kmh=45)),
    "collision, receiver only, 45 km/h and more": (
        ("ublox_f9k_drive",),
        partial(inject.collision, low_kmh=45, high_kmh=250),
    ),
    "battery runs down": (("carobd",), inject.low_battery),
    "power cut": (("carobd", "ved_sample"), inject.power_cut),
    "fault lamp": (("carobd", "kit_obd2"), inject.lamp),
}


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder with telemetry/")
    parser.add_argument("--part", choices=("tune", "test"), default="test")
    parser.add_argument("--times", type=int, default=TIMES, help="incidents of each type and source")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    if not (arguments.data / "telemetry").is_dir():
        print(f"no recorded data in {arguments.data}", file=sys.stderr)
        return 1
    untouched = Untouched()
    injected = Injected(arguments.times)
    for source, chosen in _by_source(arguments.data, arguments.part):
        for drive in chosen:
            untouched.add(drive)
        injected.add(source, chosen)
    result = {"part": arguments.part, "untouched": untouched.result(), "injected": injected.result()}
    print(json.dumps(result) if arguments.json else json.dumps(result, indent=1))
    return 0


def _by_source(data: Path, part: str) -> list[tuple[str, list[Drive]]]:
    found: dict[str, list[Drive]] = defaultdict(list)
    for drive in drives(data):
        if drive.part == part:
            found[drive.source].append(drive)
    return list(found.items())


class Untouched:
    """False alarms of untouched drives, by kind and source."""

    def __init__(self) -> None:
        self.hours: Counter[tuple[str, str]] = Counter()
        self.told: Counter[tuple[str, str]] = Counter()
        self.naive: Counter[tuple[str, str]] = Counter()
        self.where: list[dict[str, Any]] = []

    def add(self, drive: Drive) -> None:
        """One drive through all rules and all naive thresholds."""
        for kind in KINDS:
            known = sum(map(KNOWN[kind], drive.seconds)) / 3600
            self.hours[kind, drive.source] += known  # type: ignore[assignment]
        for event in _events(drive.seconds):
            if event.kind in KINDS:
                self.told[event.kind, drive.source] += 1
                at_s = round(event.mono_s - drive.seconds[0].mono_s)
                told = {"kind": event.kind, "drive": f"{drive.source}/{drive.name}", "at_s": at_s}
                self.where.append(told | dict(event.details))
        for naive in naive_events(drive.seconds, KINDS):
            self.naive[naive.kind, drive.source] += 1

    def result(self) -> dict[str, Any]:
        """Per kind: hours, alarms and alarms an hour with interval, ours and naive; and where ours were."""
        return {"by_kind": {kind: self._of(kind) for kind in KINDS}, "alarms": self.where}

    def _of(self, kind: str) -> dict[str, Any]:
        sources = sorted(source for each, source in self.hours if each == kind and self.hours[kind, source])
        hours = sum(self.hours[kind, source] for source in sources)
        alarms, naive = (sum(counts[kind, source] for source in sources) for counts in (self.told, self.naive))
        return {
            "hours": round(hours, 2),
            "alarms": alarms,
            "per_hour": _rate(alarms, hours),
            "naive_alarms": naive,
            "naive_per_hour": _rate(naive, hours),
            "by_source": {
                source: [round(self.hours[kind, source], 2), self.told[kind, source], self.naive[kind, source]]
                for source in sources
            },
        }


KNOWN: Mapping[str, Callable[[Seen], bool]] = {
    "tow": lambda seen: seen.raw_position is not None and seen.engine != "unknown",
    "position_disagrees": lambda seen: seen.raw_position is not None and seen.wheel_kmh is not None,
    "collision": lambda seen: seen.wheel_kmh is not None or seen.gnss_kmh is not None,
    "gnss_lost": lambda seen: (
        seen.sample is not None
        and seen.sample.fix_quality is not None
        and (seen.wheel_kmh is not None or seen.sample.speed_mps is not None)
    ),
    "low_battery": lambda seen: seen.volts is not None,
    "power_cut": lambda seen: seen.external_power is not None,
    "mil_on": lambda seen: seen.sample is not None and seen.sample.mil_on is not None,
}


class Injected:
    """What of the injected incidents was found, by type and source."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._delays: dict[str, dict[str, list[float | None]]] = defaultdict(dict)
        self._naive: dict[str, dict[str, list[float | None]]] = defaultdict(dict)
        self._reasons: dict[str, Counter[str]] = defaultdict(Counter)
        self._drives: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))

    def add(self, source: str, chosen: list[Drive]) -> None:
        """Incidents of all types that fit this source."""
        for name, (sources, injector) in INJECTED.items():
            if source not in sources:
                continue
            random = Random(f"{name}/{source}")
            ours, naive = self._delays[name].setdefault(source, []), self._naive[name].setdefault(source, [])
            for _ in range(self._times):
                drive = random.choice(chosen)
                incident = injector(drive, random)
                if incident is not None:
                    self._try(name, incident, ours, naive)
                    self._drives[name][f"{source}/{drive.name}"].append(ours[-1] is not None)

    def _try(self, name: str, incident: inject.Incident, ours: list[Any], naive: list[Any]) -> None:
        plain = naive_events(incident.seconds, (incident.kind,))
        for told, delays in ((_events(incident.seconds), ours), (plain, naive)):
            right = [each for each in told if each.kind == incident.kind and each.mono_s >= incident.at_mono_s]
            delays.append(right[0].mono_s - incident.at_mono_s if right else None)
            if right and delays is ours:
                self._reasons[name][right[0].details.get("reason", "")] += 1

    def result(self) -> dict[str, Any]:
        """Per type: recall with interval and delays, ours and naive, and recall by source."""
        return {name: self._of(name) for name in INJECTED}

    def _of(self, name: str) -> dict[str, Any]:
        ours = [delay for delays in self._delays[name].values() for delay in delays]
        naive = [delay for delays in self._naive[name].values() for delay in delays]
        return {
            "incidents": len(ours),
            "found": _share(ours),
            "found_by_drive": _resampled(list(self._drives[name].values()), Random(name)),
            "drives": len(self._drives[name]),
            "delay_s": _delays(ours),
            "naive_found": _share(naive),
            "naive_delay_s": _delays(naive),
            "by_source": {
                source: [sum(delay is not None for delay in delays), len(delays)]
                for source, delays in self._delays[name].items()
            },
            "reasons": dict(self._reasons[name]),
        }


def _events(seconds: list[Seen]) -> list[Any]:
    watch = Watch(EventSettings())
    return [event for seen in seconds for event in watch.step(seen)]


def _share(delays: list[float | None]) -> list[float] | None:
    """Share found, and Wilson's 95 % interval."""
    if not delays:
        return None
    n, z = len(delays), 1.96
    p = sum(delay is not None for delay in delays) / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low, high = ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    return [round(p, 3), round(max(0.0, low), 3), round(min(1.0, high), 3)]


def _resampled(drives: list[list[bool]], random: Random) -> list[float] | None:
    """95 % bootstrap interval of the share found; whole drives are resampled, because incidents of one are related."""
    if len(drives) < 2:
        return None
    shares = []
    for _ in range(1000):
        found = [each for drive in random.choices(drives, k=len(drives)) for each in drive]
        shares.append(sum(found) / len(found))
    shares.sort()
    return [round(shares[24], 3), round(shares[974], 3)]


def _delays(delays: list[float | None]) -> list[float] | None:
    """Median and 90th percentile of the delays of what was found, s."""
    found = sorted(delay for delay in delays if delay is not None)
    return [round(statistics.median(found), 1), round(found[int(0.9 * (len(found) - 1))], 1)] if found else None


def _rate(count: int, hours: float) -> list[float] | None:
    """Alarms an hour, and the exact (Garwood) 95 % interval of a Poisson count."""
    if not hours:
        return None
    low = 0.0 if count == 0 else _poisson_mean(count - 1, 0.975)
    return [round(value / hours, 4) for value in (count, low, _poisson_mean(count, 0.025))]


def _poisson_mean(count: int, at_most: float) -> float:
    """The mean at which a Poisson variable is `count` or less with probability `at_most`."""
    low, high = 0.0, 10.0 * (count + 5)
    for _ in range(80):
        mean = (low + high) / 2
        logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
        low, high = (mean, high) if sum(map(math.exp, logs)) > at_most else (low, mean)
    return low


if __name__ == "__main__":
    sys.exit(main())
