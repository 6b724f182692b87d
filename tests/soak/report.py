"""What a soak measured, as one flat object and as a table for a person."""

from collections.abc import Mapping
from statistics import linear_regression
from typing import Any

from tests.soak.ledger import EXCUSES
from tests.soak.soak import Soak


def as_json(soak: Soak) -> dict[str, Any]:
    """All figures."""
    outcome, units = soak.outcome, soak.units.values()
    ledger = soak.ledger.figures()
    declared = soak.ledger.declared()
    undeclared = soak.ledger.lost()
    spared = next((unit for unit in units if unit.plan.is_spared), None)
    pss_kib = spared.figures.pss_kib if spared else []
    terminated_s = [each for unit in units for each in unit.figures.terminated_s]
    wrongly = sum(len(names) for reason, names in declared.items() if reason not in EXCUSES)
    return {
        "seed": soak.wanted.seed,
        "faults": sum(outcome.done.values()),
        "faults_by_kind": dict(sorted(outcome.done.items())),
        **ledger,
        "lost": len(undeclared) + wrongly,
        "undeclared": len(undeclared),
        "damaged_files": sum(unit.damaged for unit in units),
        "stuck": outcome.stuck,
        "starts": sum(unit.figures.starts for unit in units),
        "own_ends": sum(len(unit.figures.own_ends) for unit in units),
        "sigterms": len(terminated_s),
        "sigterm_max_s": round(max(terminated_s, default=0.0), 2),
        "pss_mib": [round(kib / 1024, 1) for _, kib in pss_kib],
        "pss_first_mib": round(pss_kib[0][1] / 1024, 1) if pss_kib else None,
        "pss_last_mib": round(pss_kib[-1][1] / 1024, 1) if pss_kib else None,
        "pss_kib_per_hour": slope_per_hour(pss_kib),
        "descriptors_max": max((each for unit in units for each in unit.figures.descriptors), default=0),
        "threads_max": max((each for unit in units for each in unit.figures.threads), default=0),
        "longest_rest_s": round(outcome.longest_rest_s, 1),
        "disk": next(iter(units)).disk.kind,
        "minutes": round(soak.minutes, 1),
        "failures": outcome.failures[:20],
    }


def slope_per_hour(pss_kib: list[tuple[float, int]]) -> float | None:
    """KiB an hour by least squares, over the second half: the first warms up. None for fewer than four values."""
    half = pss_kib[len(pss_kib) // 2 :]
    if len(pss_kib) < 4:
        return None
    return round(linear_regression([at for at, _ in half], [kib for _, kib in half]).slope * 3600, 1)


def table(figures: Mapping[str, Any]) -> str:
    """Two columns; a table within is indented."""
    lines = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            lines += [f"{name}:", *(f"    {key:<20} {each}" for key, each in value.items())]
        else:
            lines.append(f"{name:<24} {value}")
    return "\n".join(lines)
