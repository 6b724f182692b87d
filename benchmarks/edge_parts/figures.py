"""From what was counted to the figures of the JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.edge_parts import day
from benchmarks.edge_parts.columns import bytes_by_column
from benchmarks.edge_parts.namespaces import Counted
from benchmarks.edge_parts.stand import Written
from benchmarks.edge_parts.watching import Row
from edge_agent.sampling import SamplingSettings


@dataclass(frozen=True, slots=True)
class Arrived:
    """A batch on the server."""

    at_s: float  # monotonic
    samples: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Parked:
    """The parked unit's wire."""

    batches: Sequence[Arrived]  # of whole cycles, without the one that began the counting
    cycles: Counted
    arrival: Counted
    connect: Counted


def latencies(written: Sequence[Written], seen: Mapping[tuple[str, str], Row], from_s: float) -> dict[str, Any]:
    """From the last serial byte to the row, of all that was written after `from_s` and has a row; ms."""
    by_kind: dict[str, list[float]] = {}
    to_server_ms: list[float] = []
    unseen = 0
    for each in written:
        row = seen.get((each.kind, each.key))
        if each.mono_s < from_s:
            continue
        if row is None:
            unseen += 1
        else:
            by_kind.setdefault(each.kind, []).append(1000 * (row.visible_s - each.mono_s))
            to_server_ms.append(1000 * (row.arrived_s - each.mono_s))
    all_ms = [ms for several in by_kind.values() for ms in several]
    return {
        "event_latency_ms_p50": _rounded(day.percentile(all_ms, 0.5)),
        "event_latency_ms_p99": _rounded(day.percentile(all_ms, 0.99)),
        "event_latency_by_kind": {
            kind: {
                "events": len(ms),
                "p50": _rounded(day.percentile(ms, 0.5)),
                "p99": _rounded(day.percentile(ms, 0.99)),
                "max": _rounded(max(ms)),
            }
            for kind, ms in sorted(by_kind.items())
        },
        "event_latency_ms_p50_until_the_servers_commit": _rounded(day.percentile(to_server_ms, 0.5)),
        "events_timed": len(all_ms),
        "events_written_without_row": unseen,  # the last second's, and epochs that made no sample
        "obd_poll_wait_ms": {"mean": 30_000, "max": 60_000, "why": "the fault lamp is asked each 60 s while driving"},
    }


def driven(unit: str, batches: Sequence[Arrived], counted: Counted | None) -> dict[str, Any]:
    """Bytes a sample of the batches, and on the interface where there is one."""
    samples = sum(each.samples for each in batches)
    if not samples:
        return {"wire_bytes_per_sample": None, "wire_reason": "fewer than two batches arrived; ask for more --minutes"}
    published = sum(day.published_bytes(unit, len(each.sealed)) for each in batches)
    figures: dict[str, Any] = {
        "wire_bytes_per_sample": round(published / samples, 2),
        "wire_bytes_per_sample_by_batch": [
            round(day.published_bytes(unit, len(each.sealed)) / each.samples, 2) for each in batches if each.samples
        ],
        "wire_batches": len(batches),
        "wire_samples": samples,
        "wire_bytes_per_sample_by_column": bytes_by_column([each.sealed for each in batches]),
    }
    if counted is not None:
        figures["interface_bytes_per_sample"] = round(counted.bytes / samples, 2)
        figures["interface_driving"] = split(counted, published)
    return figures


def split(counted: Counted, published: int) -> dict[str, int]:
    """Of what passed on the interface: the batches with their MQTT header, TCP and IP, and the rest."""
    below = day.below_tls(counted.packets)
    return {
        **asdict(counted),
        "published_bytes": published,
        "tcp_ip_bytes": below,
        "receipts_acknowledgements_pings_tls_bytes": counted.bytes - published - below,
    }


def whole_day(unit: str, driving: Mapping[str, Any], parked: Parked) -> dict[str, Any]:
    """One sample a second while driving, so that bytes a sample are bytes a second."""
    if "interface_bytes_per_sample" not in driving:
        return {"wire_kb_per_day": None}
    measured = day.Measured(
        driving_bytes_per_s=driving["interface_bytes_per_sample"],
        parked_bytes_per_cycle=parked.cycles.bytes / len(parked.batches),
        parked_cycle_s=SamplingSettings().heartbeat_s,
        arrival_bytes=parked.arrival.bytes,
        connect_bytes=parked.connect.bytes,
    )
    made = day.day_of(measured)
    published = sum(day.published_bytes(unit, len(each.sealed)) for each in parked.batches)
    return {
        "wire_kb_per_day": round(made.kb, 1),
        "wire_kb_per_day_by_part": {name: round(kb, 1) for name, kb in asdict(made).items()},
        "wire_day_composition": day.COMPOSITION,
        "wire_day_measured": {name: round(value, 1) for name, value in asdict(measured).items()},
        "parked_cycles": len(parked.batches),
        "parked_samples": sum(each.samples for each in parked.batches),
        "interface_parked": split(parked.cycles, published),
        "interface_arrival": asdict(parked.arrival),
        "interface_connect": asdict(parked.connect),
    }


def peer(
    percent: Mapping[str, float], ours: float, held: Mapping[str, float], fixes: int, counted: Counted | None
) -> dict[str, Any]:
    """gpsd and its publisher; `ours` is our CPU percent."""
    theirs = sum(percent.values())
    return {
        "cpu_ratio_vs_peer": round(ours / theirs, 2) if theirs else None,
        "peer_cpu_percent": {name: round(each, 3) for name, each in percent.items()},
        "peer_pss_mib": round(held["all"], 1),
        "peer_pss_mib_by_process": {name: round(mib, 1) for name, mib in held.items() if name != "all"},
        "peer_fixes": fixes,
        "peer_wire_bytes_per_fix": round(counted.bytes / fixes, 1) if counted and fixes else None,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
