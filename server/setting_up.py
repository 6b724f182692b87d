"""`pledgewatch init`: a folder with settings, authority, database and web secret, ready to serve."""

import contextlib
import datetime as dt
import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from server.config import ConfigError, ServerSettings, read_settings
from server.fleet.authority import Authority
from server.fleet.mosquitto import write_mosquitto
from server.store.db import Store

_SETTINGS = """# Pledgewatch server. Every setting with its default; 'pledgewatch --help' lists what can be done.
data_dir = "."          # authority, database (SQLite), secrets; relative to this file
database_url = ""       # empty: SQLite in data_dir; or postgresql+psycopg://user:password@host/database

[broker]
host = "127.0.0.1"      # where the server finds the broker
port = {port}
tls = {tls}
public_host = "{public_host}" # where units find it; the broker's certificate carries this name

[ingest]
workers = 1             # processes that share the units; more than one wants PostgreSQL
unit_per_s = 20         # batches of one unit that are taken in a second; the rest is put off
unit_burst = 5000       # and at once, as after weeks without network

[web]
host = "127.0.0.1"
port = {web_port}
threads = 128           # every open live page holds one
tile_url = ""           # a base map for those who have one: https://tiles.example.org/{{z}}/{{x}}/{{y}}.png
tile_datum = "wgs84"    # the datum of its tiles: wgs84, gcj02 or bd09
tile_attribution = ""
"""


def initialise(
    folder: Path,
    *,
    public_host: str = "127.0.0.1",
    port: int = 8883,
    web_port: int = 8080,
    tls: bool = True,
    now: dt.datetime | None = None,
) -> ServerSettings:
    """Make the folder, or complete one: nothing that is there is changed. Certificates begin at `now` (default: now).

    Raises:
        ConfigError: a host that is none, or settings that are there and cannot be used.
    """
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", public_host):
        raise ConfigError(f"{public_host!r} is not the name or address of a host")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # keys and people's whereabouts
    path = folder / "server.toml"
    if not path.exists():
        text = _SETTINGS.format(port=port, public_host=public_host, web_port=web_port, tls=str(tls).lower())
        path.write_text(text, encoding="utf-8")
    settings = read_settings(path)
    names = sorted({settings.broker.host, settings.broker.public_host, "localhost", "127.0.0.1"})
    Authority.make(authority_folder(settings), names, now or dt.datetime.now(dt.UTC))
    write_mosquitto(settings.data_dir / "mosquitto", authority_folder(settings), "0.0.0.0", settings.broker.port)  # noqa: S104
    web_secret(settings)
    store = Store(settings.store_url)
    store.migrate()
    store.close()
    return settings


def authority_folder(settings: ServerSettings) -> Path:
    """Where the authority's keys are."""
    return settings.data_dir / "authority"


def web_secret(settings: ServerSettings) -> bytes:
    """The key that signs sessions, made on first use."""
    path = settings.data_dir / "web.secret"
    try:
        path.touch(0o600, exist_ok=False)
    except FileExistsError:
        found = path.read_bytes()
        if len(found) < 32:
            raise ConfigError(f"{path} is damaged; delete it (everybody logs in again)") from None
        return found
    made = secrets.token_bytes(32)
    path.write_bytes(made)
    return made


@contextlib.contextmanager
def only_one(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file while the block runs; it goes with the process. Two would throw each other off the broker.

    Raises:
        ConfigError: another process holds it.
    """
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(f"{what} is already running in {lock.parent} (process {file.read().strip()})") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
