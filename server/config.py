"""The server's settings: one frozen dataclass from one TOML file. Unknown keys are errors with a hint."""

import difflib
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
_TYPE_NAMES = {str: "a text", int: "a whole number", bool: "true or false", Path: "a path"}
DATUMS = ("wgs84", "gcj02", "bd09")
MOST_WORKERS = 16  # for so many the broker has access rules
DATABASES = ("sqlite:///", "postgresql+psycopg://")


class ConfigError(ValueError):
    """A settings file that cannot be used; the text says which key and what to do."""


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the MQTT broker is. With `tls`, both sides show certificates of our own authority."""

    host: str = "127.0.0.1"
    port: int = 8883
    tls: bool = True
    public_host: str = "127.0.0.1"  # the name under which units reach the same broker


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """Taking in. Workers share the units; of one unit so much is taken in, and the rest is put off (fairness.py)."""

    workers: int = 1  # processes that 'pledgewatch serve' starts, from 1 to 16
    unit_per_s: int = 20  # batches
    unit_burst: int = 5000  # batches at once, as after weeks without network


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The back office. `tile_url` is a base map for those who have one, with the datum of its tiles."""

    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = 128  # each open live page holds one
    tile_url: str = ""  # https://tiles.example.org/{z}/{x}/{y}.png
    tile_datum: str = "wgs84"  # wgs84, gcj02 or bd09
    tile_attribution: str = ""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """All of it. Relative paths are meant from the settings file's folder."""

    data_dir: Path
    database_url: str = ""  # empty: SQLite in data_dir
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    ingest: IngestSettings = field(default_factory=IngestSettings)
    web: WebSettings = field(default_factory=WebSettings)

    @property
    def store_url(self) -> str:
        """The database to open."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'pledgewatch.db').absolute()}"


def read_settings(path: Path) -> ServerSettings:
    """Read server.toml.

    Raises:
        ConfigError: not there, not TOML, an unknown key, a value of the wrong type or outside what it may be.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there; 'pledgewatch init --dir {path.parent}' makes one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None
    broker = _section(BrokerSettings, table.pop("broker", {}), f"{path}, [broker]")
    ingest = _section(IngestSettings, table.pop("ingest", {}), f"{path}, [ingest]")
    web = _section(WebSettings, table.pop("web", {}), f"{path}, [web]")
    if web.tile_datum not in DATUMS:
        raise ConfigError(f"{path}, [web]: tile_datum is one of {', '.join(DATUMS)}")
    for name, port in (("broker", broker.port), ("web", web.port)):
        if not 0 < port < 65_536:
            raise ConfigError(f"{path}, [{name}]: port is from 1 to 65535, not {port}")
    if not 1 <= ingest.workers <= MOST_WORKERS:
        raise ConfigError(f"{path}, [ingest]: workers is from 1 to {MOST_WORKERS}, not {ingest.workers}")
    for name in ("unit_per_s", "unit_burst"):
        if getattr(ingest, name) < 1:
            raise ConfigError(f"{path}, [ingest]: {name} is at least 1, not {getattr(ingest, name)}")
    table.setdefault("data_dir", ".")
    top = {key: value for key, value in table.items() if key not in ("broker", "ingest", "web")}
    settings = _section(ServerSettings, top, str(path))
    if settings.database_url and not settings.database_url.startswith(DATABASES):
        raise ConfigError(f"{path}: database_url begins with {' or '.join(DATABASES)}")
    return ServerSettings((path.parent / settings.data_dir).absolute(), settings.database_url, broker, ingest, web)


def default_settings_path() -> Path:
    """PLEDGEWATCH_CONFIG, else server.toml in this folder."""
    return Path(os.environ.get("PLEDGEWATCH_CONFIG", "server.toml"))


def _section(kind: type[T], table: Any, where: str) -> T:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table")
    hints = get_type_hints(kind)
    known = [each.name for each in fields(kind)]  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise ConfigError(
                f"{where}: no setting is called {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        wanted = hints[key]
        if type(value) is not (str if wanted is Path else wanted):
            raise ConfigError(f"{where}: {key} must be {_TYPE_NAMES[wanted]}, not {value!r}")
        values[key] = wanted(value)
    return kind(**values)
