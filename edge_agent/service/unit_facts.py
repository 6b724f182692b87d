"""Collects what the unit says of itself from those who know it: a flat table of texts (`status.py` shows it)."""

from datetime import UTC, datetime
from importlib.metadata import version

from edge_agent.config import UnitConfig
from edge_agent.devices import Devices
from edge_agent.network.sender import Sender
from edge_agent.pipeline import Pipeline
from edge_agent.power.watch import PowerWatch
from edge_agent.store.outbox import Outbox
from edge_agent.timing.floor import Floor

_MIB = 1024 * 1024


def unit_facts(
    config: UnitConfig,
    pipeline: Pipeline,
    devices: Devices,
    power: PowerWatch,
    outbox: Outbox,
    sender: Sender,
    floor: Floor,
    mono_s: float,
) -> dict[str, str]:
    """Names begin with the part that they speak of: `gnss.state`, `outbox.waiting`."""
    held, newest = outbox.held(), pipeline.newest
    facts = {
        "unit.name": config.unit,
        "unit.version": version("pledgewatch"),
        "gnss.state": devices.gnss_state,
        "gnss.set_up": devices.receiver_state,
        "obd.state": devices.obd_state,
        "car.vin_bound": config.vehicle.vin or "none",
    }
    facts |= {f"car.{name}": text for name, text in devices.abilities.items()}
    if newest is not None:
        facts["gnss.sample_age_s"] = f"{mono_s - newest.mono_s:.0f}"
        if newest.lat_deg is not None and newest.lon_deg is not None:
            facts["gnss.position"] = f"{newest.lat_deg:.5f} {newest.lon_deg:.5f}"
        if newest.satellites_used is not None:
            facts["gnss.satellites"] = str(newest.satellites_used)
    facts |= power.facts(mono_s)
    time_ms, quality = pipeline.clock.at(mono_s)
    facts["time.utc"] = "unknown" if time_ms is None else _text(time_ms)
    facts["time.from"] = quality.name.lower()
    facts["time.not_before"] = _text(floor.at_ms(mono_s))
    facts |= {
        "outbox.waiting": f"{held.waiting} batches, {held.waiting_samples} samples",
        "outbox.receipted": f"{held.receipted} batches",
        "outbox.size": f"{held.bytes / _MIB:.1f} MiB of {config.outbox.max_mib}",
        "outbox.not_sealed": f"{pipeline.open_samples} samples",
        "line.state": "up" if sender.is_up else "connecting" if sender.is_open else "closed to spare the battery",
        "line.server": f"{config.broker.host}:{config.broker.port}",
    }
    tls = sender.uplink.tls_facts
    if tls is not None:
        facts |= {
            "tls.own_days_left": f"{tls.own_days_left:.0f}",
            "tls.checked_against": tls.checked_against,
            "tls.refused": str(tls.refused),
        }
        if tls.last_refusal:
            facts["tls.last_refusal"] = tls.last_refusal
    return facts | {f"counts.{name}": str(count) for name, count in sorted((pipeline.counts | devices.counts).items())}


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
