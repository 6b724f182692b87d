"""The unit's settings: one frozen dataclass from one TOML file. Unknown keys are errors with a hint."""

import difflib
import tomllib
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from wire.topics import UNIT_NAME

T = TypeVar("T")
_TYPE_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", Path: "a path"}


class ConfigError(ValueError):
    """A settings file that cannot be used; the text says which key and what to do."""


@dataclass(frozen=True, slots=True)
class PortConfig:
    """A serial port by path; baud in bits per second."""

    port: str
    baud: int


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """Where batches go. With `tls` the unit shows the certificate that it was given at enrolment."""

    host: str
    port: int = 8883
    tls: bool = True
    keepalive_s: int = 900  # a ping costs 180 bytes at IP level: at 60 s they would cost more than the data


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """When samples are sealed, and how often the ones not yet sealed are put on disk."""

    samples: int = 60
    after_s: float = 60.0
    journal_every_s: float = 5.0  # what a power cut may cost


@dataclass(frozen=True, slots=True)
class OutboxConfig:
    """How much the unit keeps."""

    max_mib: int = 512  # months of driving
    keep_days: int = 7  # receipted batches too, so that a restored server can ask again


@dataclass(frozen=True, slots=True)
class UnitConfig:
    """All of it. Without [obd] the unit is GNSS-only. `state_dir` holds key, certificates and outbox."""

    unit: str
    state_dir: Path
    gnss: PortConfig
    broker: BrokerConfig
    obd: PortConfig | None
    batch: BatchConfig
    outbox: OutboxConfig


def read_config(path: Path) -> UnitConfig:
    """Read unit.toml.

    Raises:
        ConfigError: not there, not TOML, an unknown or missing key, a value of the wrong type or out of bounds.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there; 'pledgewatch-agent provision --help' tells how to make one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    known = [each.name for each in fields(UnitConfig)]
    for key in table:
        if key not in known:
            raise ConfigError(f"{path}: {_unknown(key, known)}")
    unit, state_dir = table.get("unit"), table.get("state_dir", ".")
    if not isinstance(unit, str) or not UNIT_NAME.fullmatch(unit):
        raise ConfigError(f"{path}: unit must be a name of 3 to 32 letters, digits, '-' or '_'")
    if not isinstance(state_dir, str):
        raise ConfigError(f"{path}: state_dir must be a path")
    config = UnitConfig(
        unit=unit,
        state_dir=(path.parent / state_dir).absolute(),
        gnss=_section(PortConfig, table.get("gnss"), f"{path}, [gnss]"),
        broker=_section(BrokerConfig, table.get("broker"), f"{path}, [broker]"),
        obd=_section(PortConfig, table["obd"], f"{path}, [obd]") if "obd" in table else None,
        batch=_section(BatchConfig, table.get("batch", {}), f"{path}, [batch]"),
        outbox=_section(OutboxConfig, table.get("outbox", {}), f"{path}, [outbox]"),
    )
    _check_bounds(config, path)
    return config


def _check_bounds(config: UnitConfig, path: Path) -> None:
    for name, value, low, high in (
        ("[gnss] baud", config.gnss.baud, 300, 4_000_000),
        ("[obd] baud", config.obd.baud if config.obd else 9600, 300, 4_000_000),
        ("[batch] samples", config.batch.samples, 1, 600),
        ("[batch] after_s", config.batch.after_s, 1, 600),
        ("[batch] journal_every_s", config.batch.journal_every_s, 1, 10),
        ("[outbox] max_mib", config.outbox.max_mib, 1, 65536),
        ("[outbox] keep_days", config.outbox.keep_days, 0, 365),
        ("[broker] port", config.broker.port, 1, 65535),
        ("[broker] keepalive_s", config.broker.keepalive_s, 5, 65535),
    ):
        if not low <= value <= high:
            raise ConfigError(f"{path}: {name} is {value:g}; it must be from {low} to {high}")


def _section(kind: type[T], table: Any, where: str) -> T:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is missing" if table is None else f"{where} must be a table")
    hints = get_type_hints(kind)
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{where}: {_unknown(key, list(known))}")
        wanted = hints[key]
        fits = type(value) in (int, float) if wanted is float else type(value) is wanted
        if not fits:
            raise ConfigError(f"{where}: {key} must be {_TYPE_NAMES[wanted]}, not {value!r}")
        values[key] = wanted(value)
    for name, each in known.items():
        if each.default is MISSING and name not in values:
            raise ConfigError(f"{where}: {name} is missing")
    return kind(**values)


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    return f"no setting is called {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
