"""The targets, whether each is met, and what stands in the way of half of it. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from edge_agent.config import BatchConfig

Figures = Mapping[str, Any]

TARGETS: Mapping[str, float] = {
    "pss_mib": 112,
    "cpu_percent": 3,
    "wire_bytes_per_sample": 16,
    "wire_kb_per_day": 400,
    "event_latency_ms_p99": 500,
    "max_unsealed_s": 10,
}  # each at most

_RUNTIME = ("interpreter", "numpy", "onnxruntime", "model session, after inference")
_PLACE = ("lat_deg", "lon_deg", "speed_mps", "course_deg")


def judged(figures: Figures) -> dict[str, dict[str, Any]]:
    """By name: the most that is allowed, what was measured, whether it is met, and what keeps it from half.

    `met` is None where nothing was measured; `most_of_it` are parts of the figure, in its own unit.
    """
    told: dict[str, dict[str, Any]] = {}
    for name, most in TARGETS.items():
        measured = figures.get(name)
        told[name] = {"at_most": most, "measured": measured, "met": None if measured is None else measured <= most}
        if measured is not None:
            told[name] |= {"half_met": measured <= most / 2, "most_of_it": _PARTS[name](figures)}
    return told


def _memory(figures: Figures) -> dict[str, float]:
    agent = figures["memory_mib_by_import"]["agent"]
    runtime = {name: agent[name] for name in _RUNTIME}
    worker = figures["pss_mib_by_process"].get("OBD worker", 0.0)
    return {
        **runtime,
        "other libraries and our code": round(sum(agent.values()) - sum(runtime.values()), 1),
        "OBD worker": worker,
    }


def _cpu(figures: Figures) -> dict[str, float]:
    worker = {name: percent for name, percent in figures["cpu_percent_by_process"].items() if name != "agent"}
    return {**figures["cpu_percent_by_thread"], **worker}


def _sample(figures: Figures) -> dict[str, float]:
    columns = figures["wire_bytes_per_sample_by_column"]
    place = sum(columns.get(name, 0.0) for name in _PLACE)
    return {"position, speed and course": round(place, 2), "seal": columns["seal"]}


def _wire(figures: Figures) -> dict[str, float]:
    """kB a day; the driving part is split as its packets were."""
    driving, parts = figures["interface_driving"], figures["wire_kb_per_day_by_part"]
    whole = driving["up_bytes"] + driving["down_bytes"]
    share = parts["driving_kb"] / whole
    return {
        "driving: batches": round(driving["published_bytes"] * share, 1),
        "driving: TCP and IP": round(driving["tcp_ip_bytes"] * share, 1),
        "driving: receipts, acknowledgements, TLS": round(
            driving["receipts_acknowledgements_pings_tls_bytes"] * share, 1
        ),
        "parked": parts["parked_kb"],
        "trips": parts["trips_kb"],
        "connects": parts["connects_kb"],
    }


def _delay(figures: Figures) -> dict[str, float | None]:
    return {
        "median until the server's commit": figures["event_latency_ms_p50_until_the_servers_commit"],
        "median": figures["event_latency_ms_p50"],
    }


def _unsealed(_: Figures) -> dict[str, float]:
    return {"batch.journal_every_s": BatchConfig().journal_every_s}


_PARTS: Mapping[str, Callable[[Figures], Mapping[str, float | None]]] = {
    "pss_mib": _memory,
    "cpu_percent": _cpu,
    "wire_bytes_per_sample": _sample,
    "wire_kb_per_day": _wire,
    "event_latency_ms_p99": _delay,
    "max_unsealed_s": _unsealed,
}
