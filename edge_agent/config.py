"""The unit's settings: one frozen dataclass from one TOML file. Unknown keys are errors with a hint.

`SECTIONS` is the schema: reading, `pledgewatch-agent settings`, the unit.toml that provisioning writes and
docs/unit-settings.md all come from it.
"""

import json
import logging
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edge_agent.car.engine import EngineSettings
from edge_agent.commands.remote_settings import overridden
from edge_agent.gnss.position import PositionSettings
from edge_agent.gnss.position_source import FallbackSettings
from edge_agent.gnss.receiver_setup import ReceiverSettings
from edge_agent.ports.listing import PortsSettings
from edge_agent.power.settings import PowerSettings
from edge_agent.rules import EventSettings
from edge_agent.sampling import SamplingSettings
from edge_agent.settings import ConfigError, about, read_section, setting, unknown
from edge_agent.store.outbox_file import OutboxConfig
from edge_agent.timing.clock import ClockConfig
from wire.topics import UNIT_NAME

log = logging.getLogger(__name__)

__all__ = ["SECTIONS", "ConfigError", "UnitConfig", "read_config", "settings_table", "unit_toml"]


@dataclass(frozen=True, slots=True)
class GnssConfig:
    """The receiver."""

    port: str = setting("the receiver's port; auto: found by what it says", "auto")
    baud: int = setting("bits per second; 0: found by listening", 0, low=0, high=4_000_000)


@dataclass(frozen=True, slots=True)
class ObdConfig:
    """The ELM327 adapter."""

    port: str = setting("the adapter's port; auto: found by what it says", "auto")
    baud: int = setting("bits per second; 0: found by asking", 0, low=0, high=4_000_000)


@dataclass(frozen=True, slots=True)
class VehicleConfig:
    """The vehicle that the unit is bound to."""

    vin: str = setting("VIN (ISO 3779) that the car is to tell; empty: not compared", "")


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where batches go. With `tls` the unit shows the certificate that it was given at enrolment."""

    host: str = setting("the broker's name or address")
    port: int = setting("its port", 8883, low=1, high=65535)
    tls: bool = setting("mutual TLS; false only on loopback", True)
    # A ping costs 250 bytes at IP level, and paho 2.1 sends one whatever else it has sent meanwhile. A parked unit's
    # heartbeat shows four times as often whether the connection lives.
    keepalive_s: int = setting(
        "s between pings; a dead connection is found by its unacknowledged data", 3600, low=5, high=65535
    )


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """When samples are sealed, and how often the ones not yet sealed are put on disk."""

    samples: int = setting("sealed at so many samples,", 60, low=1, high=600, remote=True)
    after_s: float = setting("or after so many seconds, or at once for an event", 60.0, low=1, high=600, remote=True)
    journal_every_s: float = setting(
        "what is not sealed goes to disk so often, s: the cost of a power cut", 5.0, low=1, high=10
    )


# Each section of unit.toml; [obd] left out makes the unit GNSS-only.
SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "gnss": GnssConfig,
        "receiver": ReceiverSettings,
        "position": PositionSettings,
        "fallback": FallbackSettings,
        "obd": ObdConfig,
        "engine": EngineSettings,
        "ports": PortsSettings,
        "vehicle": VehicleConfig,
        "broker": BrokerConfig,
        "batch": BatchConfig,
        "sampling": SamplingSettings,
        "events": EventSettings,
        "power": PowerSettings,
        "clock": ClockConfig,
        "outbox": OutboxConfig,
    }
)
OPTIONAL = frozenset({"obd"})


@dataclass(frozen=True, slots=True)
class UnitConfig:
    """All of it. Without [obd] the unit is GNSS-only. `state_dir` holds key, certificates and outbox."""

    unit: str
    state_dir: Path
    gnss: GnssConfig
    receiver: ReceiverSettings
    position: PositionSettings
    fallback: FallbackSettings
    obd: ObdConfig | None
    engine: EngineSettings
    ports: PortsSettings
    vehicle: VehicleConfig
    broker: BrokerConfig
    batch: BatchConfig
    sampling: SamplingSettings
    events: EventSettings
    power: PowerSettings
    clock: ClockConfig
    outbox: OutboxConfig


def read_config(path: Path, overrides: Mapping[str, Mapping[str, str]] | None = None) -> UnitConfig:
    """Read unit.toml, with what the server has changed (`commands/overrides.py`) laid over it.

    A change that does not fit any more is left out and logged; changes can never keep the agent from starting.

    Raises:
        ConfigError: not there, not TOML, an unknown or missing key, a value of the wrong type or out of bounds.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there; 'pledgewatch-agent provision --help' tells how to make one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    if overrides:
        changed, left_out = overridden(table, overrides, SECTIONS)
        for text in left_out:
            log.warning("a setting that the server changed is left out: %s", text)
        try:
            return _read_table(path, changed)
        except ConfigError:
            log.exception("the settings that the server changed do not go together; unit.toml alone counts")
    return _read_table(path, table)


def _read_table(path: Path, table: dict[str, Any]) -> UnitConfig:
    known = [each.name for each in fields(UnitConfig)]
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: {unknown(key, known)}")
    unit, state_dir = table.get("unit"), table.get("state_dir", ".")
    if not isinstance(unit, str) or not UNIT_NAME.fullmatch(unit):
        raise ConfigError(f"{path}: unit must be a name of 3 to 32 letters, digits, '-' or '_'")
    if not isinstance(state_dir, str):
        raise ConfigError(f"{path}: state_dir must be a path")
    state = (path.parent / state_dir).absolute()
    sections: dict[str, Any] = {
        name: None
        if name in OPTIONAL and name not in table
        else read_section(kind, table.get(name, {}), f"{path}, [{name}]")
        for name, kind in SECTIONS.items()
    }
    return UnitConfig(unit=unit, state_dir=state, **sections)


def unit_toml(unit: str, values: Mapping[str, Mapping[str, Any]]) -> str:
    """The text of a new unit.toml: `values` by section as they are to be, every other setting commented out."""
    lines = [
        "# Settings of this unit. What is commented out shows the default.",
        f"unit = {json.dumps(unit)}",
        '# state_dir = "."  # key, certificates, outbox; relative to this file',
    ]
    for section, kind in SECTIONS.items():
        off = section in OPTIONAL and section not in values
        lines += ["", f"{'# ' if off else ''}[{section}]" + ("  # left out: the unit is GNSS-only" if off else "")]
        for each in fields(kind):
            given = values.get(section, {})
            if each.name in given:
                lines.append(f"{each.name} = {json.dumps(given[each.name])}  # {about(each).text}")
            else:
                default = "..." if each.default is MISSING else json.dumps(each.default)
                lines.append(f"# {each.name} = {default}  # {about(each).text}")
    return "\n".join(lines) + "\n"


def settings_table() -> Iterator[tuple[str, str, str, str, bool, str]]:
    """Every setting as (section, name, default, bounds, whether the server may change it, meaning)."""
    for section, kind in SECTIONS.items():
        for each in fields(kind):
            told = about(each)
            default = "must be set" if each.default is MISSING else json.dumps(each.default)
            bounds = ", ".join(told.choices)
            if told.low is not None and told.high is not None:
                bounds = f"{told.low:g} to {told.high:g}"
            yield section, each.name, default, bounds, told.remote, told.text
