"""How many samples a second the server stores for good: `python -m benchmarks.ingest [--json]`.

Real processes: Mosquitto with mutual TLS, the real ingest, SQLite with `synchronous=FULL` and PostgreSQL with its
defaults; units send batches of sixty samples that were sealed beforehand. All that the ingest does is switched on.

    sqlite.samples_per_s        what one worker stores of what waits in the broker, signature checks to ledger leaf
    sqlite.ratio_to_floor       beside the time that the two floors take together:
    floor_subscriber_per_s      batches through a plain paho client that throws them away, from the same queue
    sqlite.floor_insert_per_s   rows of the same bytes into a table with nothing else, in commits of as many
    sqlite.receipt_ms_p99       from when a batch was due to its receipt, at 30,000 samples a second, units connected
    sqlite.half_measured_...    the same at half of what was stored; here the units' player is a third of the load
    sqlite.bytes_per_sample     the database with its indexes, less the empty one
    sqlite.rss_mib              the worker's, at its highest
    postgres...                 the same with two workers
"""

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text

from benchmarks import databases
from benchmarks.ingest_parts import floors, workload
from benchmarks.ingest_parts.workload import SAMPLES, Load
from firmware_sim.fleet.identities import Fleet
from firmware_sim.fleet.playing import Manners, play
from server.config import ServerSettings, read_settings
from server.fleet.mosquitto import write_mosquitto
from server.leases import RENEW_S
from server.setting_up import authority_folder, initialise
from server.store import lease_rows
from server.store.db import Store
from server.store.tables import batches, vehicle_states
from wire.topics import BUCKETS

_IN_A_COMMIT = 500  # as in server/mqtt_in.py
_AT_ONCE = 1e6  # batches a second: all are due when the play begins
_WITHIN_S = 300.0
_POSTGRES_WORKERS = 2
_HALF_TARGET_PER_S = 500.0  # batches, half of 60,000 samples a second


@dataclass(frozen=True, slots=True)
class World:
    """A server's folder with an enrolled fleet."""

    home: Path
    settings: ServerSettings
    fleet: Fleet

    @property
    def config(self) -> Path:
        """Its settings file."""
        return self.home / "server" / "server.toml"

    @contextmanager
    def broker(self) -> Iterator[None]:
        """A Mosquitto that remembers nothing."""
        folder = self.settings.data_dir / "mosquitto"
        shutil.rmtree(folder / "persistence", ignore_errors=True)
        config = write_mosquitto(folder, authority_folder(self.settings), "127.0.0.1", self.settings.broker.port)
        with running([_mosquitto(), "-c", str(config)]):
            _wait_for_port(self.settings.broker.port)
            yield

    @contextmanager
    def workers(self, store: Store, count: int) -> "Iterator[list[subprocess.Popen[bytes]]]":
        """So many ingest workers that have shared out the units."""
        command = [sys.executable, "-m", "server", "--config", str(self.config), "ingest", "--worker"]
        with ExitStack() as stack:
            started = [stack.enter_context(running([*command, str(number)])) for number in range(1, count + 1)]
            until_s = time.monotonic() + _WITHIN_S
            shares: Counter[str | None] = Counter()
            while sorted(shares.values()) != [BUCKETS // count] * count or None in shares:
                if time.monotonic() > until_s:
                    raise SystemExit(f"the workers do not share out the units: {shares}")
                time.sleep(0.3)
                with store.write() as connection:
                    shares = Counter(each.worker for each in lease_rows.leases(connection))
            time.sleep(2 * RENEW_S)  # until each hears what it holds
            yield started

    def fill_broker(self, load: Load) -> None:
        """Units send all of it."""
        manners = Manners(load.folder, self.fleet.vehicles, 1, load.sealed, rate_per_s=_AT_ONCE, receipts=False)
        told = play(manners, lambda: False)
        if told.unsettled:
            raise SystemExit(f"the broker did not take {told.unsettled} of {load.batches} batches")


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=200)
    parser.add_argument("--batches", type=int, default=10_000, help="of sixty samples, in each of three parts")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long the play at half load is")
    parser.add_argument("--data", type=Path, help="not used: nothing here depends on recordings")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="pledgewatch-ingest-") as home:
        result = measure(Path(home), arguments.vehicles, arguments.batches, arguments.seconds)
    print(json.dumps(result) if arguments.json else "\n".join(f"{k:36} {v}" for k, v in result.items()))
    return 0


def measure(home: Path, vehicles: int, count: int, seconds: float) -> dict[str, float]:
    """All figures."""
    fleet = Fleet(1, "LOAD-", vehicles)
    settings = initialise(home / "server", port=_free_port(), web_port=_free_port())
    world = World(home, settings, fleet)
    workload.enrol(home / "load", fleet, settings)
    load = workload.seal(home / "load", fleet, count, 1)
    result: dict[str, float] = {
        "vehicles": vehicles,
        "batches": load.batches,
        "sealed_bytes_per_sample": round(load.sealed_bytes / load.batches / SAMPLES, 2),
    }
    with world.broker():
        floors.subscriber(settings, subscribe_only=True)
        world.fill_broker(load)
        result["floor_subscriber_per_s"] = round(floors.subscriber(settings, wanted=load.batches))
    result |= {f"sqlite.{name}": value for name, value in _of_database(world, load, result, seconds, 1).items()}
    with databases.postgres() as server:
        url = server.new_database()
        path = world.config
        path.write_text(path.read_text().replace('database_url = ""', f'database_url = "{url}"'))
        world = replace(world, settings=read_settings(path))
        store = Store(url)
        store.migrate()
        store.close()
        workload.enrol(home / "postgres", fleet, world.settings)
        load = replace(load, folder=home / "postgres")
        found = _of_database(world, load, result, seconds, _POSTGRES_WORKERS)
    result |= {f"postgres.{name}": value for name, value in found.items()}
    return result


def _of_database(world: World, load: Load, known: dict[str, float], seconds: float, workers: int) -> dict[str, float]:
    """What so many workers do with the settings' database."""
    store = Store(world.settings.store_url)
    found = {"floor_insert_per_s": float(round(floors.inserts(store, workload.payloads(load), _IN_A_COMMIT)))}
    empty = _size(store)
    with world.broker(), world.workers(store, workers) as running_workers:
        # They stand still while the broker is filled: units send from elsewhere, and cost this machine nothing.
        for each in running_workers:
            each.send_signal(signal.SIGSTOP)
        world.fill_broker(load)
        for each in running_workers:
            each.send_signal(signal.SIGCONT)
        _wait_until_stored(store, load.batches)
        rate = _stored_per_s(store)
        found |= {"workers": workers, "batches_per_s": round(rate), "samples_per_s": round(rate * SAMPLES)}
        floor_s = 1 / known["floor_subscriber_per_s"] + 1 / found["floor_insert_per_s"]
        found["ratio_to_floor"] = round(rate * floor_s, 3)
        found["bytes_per_sample"] = round((_size(store) - empty) / load.batches / SAMPLES, 2)
        for number, (name, per_s) in enumerate((("", _HALF_TARGET_PER_S), ("half_measured_", rate / 2)), 2):
            told = _at_rate(world, load.folder, number, per_s, seconds)
            found |= {f"{name}load_per_s": told["sent_per_s"], f"{name}unsettled": told["unsettled"]}
            found |= {f"{name}receipt_ms_{each}": told["since_due_ms"][each] for each in ("p50", "p99")}
        found["rss_mib"] = max(map(_highest_rss_mib, running_workers))
    store.close()
    return found


def _at_rate(world: World, folder: Path, number: int, per_s: float, seconds: float) -> dict[str, Any]:
    """Units send so many batches a second, each over its own connection, and wait for receipts."""
    each = round(per_s * seconds / world.fleet.vehicles)
    load = workload.seal(folder, world.fleet, world.fleet.vehicles * max(1, each), number)
    manners = Manners(folder, world.fleet.vehicles, 1, load.sealed, rate_per_s=per_s)
    return play(manners, lambda: False).summary()


def _stored_per_s(store: Store) -> float:
    """Batches a second between the first commit and the last, which is not counted."""
    with store.read() as connection:
        first, last, count = connection.execute(
            select(func.min(batches.c.arrived_ms), func.max(batches.c.arrived_ms), func.count())
        ).one()
        of_last = connection.scalar(select(func.count()).where(batches.c.arrived_ms == last)) or 0
    if first == last:
        raise SystemExit("one commit took everything; ask for more --batches")
    return float((count - of_last) / (last - first) * 1000)


def _wait_until_stored(store: Store, wanted: int) -> None:
    until_s = time.monotonic() + _WITHIN_S
    while time.monotonic() < until_s:
        with store.read() as connection:
            found = connection.scalar(select(func.count()).select_from(batches)) or 0
        if found >= wanted:
            return
        time.sleep(0.2)
    raise SystemExit(f"the ingest stored {found} of {wanted} batches in {_WITHIN_S:.0f} s")


def _size(store: Store) -> int:
    """Bytes of the database that hold something, indexes and all."""
    with store.read() as connection:
        if connection.dialect.name != "sqlite":
            # A vehicle's state is one row however much is stored; its dead versions are used again.
            sizes = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables WHERE relname <> :states"
            return int(connection.scalar(text(sizes), {"states": vehicle_states.name}) or 0)
        pragmas = ("page_count", "freelist_count", "page_size")
        pages, free, size = (int(connection.scalar(text(f"PRAGMA {name}")) or 0) for name in pragmas)
    return (pages - free) * size


def _highest_rss_mib(process: "subprocess.Popen[bytes]") -> float:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    [high] = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return round(high / 1024, 1)


@contextmanager
def running(command: list[str], **more: Any) -> "Iterator[subprocess.Popen[bytes]]":
    """A program that ends with the block; what it says goes nowhere."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more) as process:
        try:
            yield process
        finally:
            process.terminate()


def _mosquitto() -> str:
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if found is None:
        raise SystemExit("Mosquitto is not installed (Debian package mosquitto)")
    return found


def _wait_for_port(port: int) -> None:
    until_s = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > until_s:
                raise SystemExit("the broker does not start") from None
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
