"""What the fleet simulator can send, and what the ingest takes: `python -m benchmarks.fleet_load [--json]`.

Mosquitto and, where it says so, the real ingest with SQLite run on this machine, over mutual TLS, with batches that
were sealed beforehand. One process plays; processor time is its own, without broker and server.

    seal_per_s                batches sealed in a second, drives included
    connect_per_s             mutual TLS connections made in a second, subscribed; rss_kb_per_connection
    broker_per_s, _per_cpu_s  batches a second, and a second of processor time, to a broker that acknowledges them
    plain_paho_...            peer: the same batches through one plain paho client (`loop_start`, one connection)
    steady_...                the ingest at --rate batches a second: receipts in ms since the batch was due
    flood_settled_per_s       as many as the ingest takes when all are due at once
    storm_...                 half of a steady play with every connection ended each 5 s
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from firmware_sim.fleet import sealed_file
from firmware_sim.fleet.identities import Fleet, prepare, unpack_bundles
from firmware_sim.fleet.playing import Manners, Player, play
from firmware_sim.fleet.sealing import Plan, traffic
from firmware_sim.fleet.tally import Tally, added
from server.config import ServerSettings
from server.fleet.authority import Authority
from server.fleet.enrol_many import enrol_many, read_list
from server.fleet.mosquitto import write_mosquitto
from server.setting_up import authority_folder, initialise
from server.store.db import Store
from wire.topics import BATCH

_AT_ONCE = 1e6  # batches a second: all are due when the play begins
_STORM_S = 5.0
_TIMES = 5  # the same batches so often to the broker alone, which a thousand keep busy for a tenth of a second


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100.0, help="batches a second of the steady play")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long the steady play is")
    parser.add_argument("--data", type=Path, help="not used: nothing here depends on recordings")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if mosquitto is None:
        print("Mosquitto is not installed", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as home:
        result = measure(Path(home), mosquitto, arguments.vehicles, arguments.rate, arguments.seconds)
    if arguments.json:
        print(json.dumps(result))
    else:
        print("\n".join(f"{name:32} {value}" for name, value in result.items()))
    return 0


def measure(home: Path, mosquitto: str, vehicles: int, rate: float, seconds: float) -> dict[str, float]:
    """All figures."""
    fleet, settings = Fleet(1, "LOAD-", vehicles), initialise(home / "server", port=_free_port(), web_port=_free_port())
    _enrol(home / "load", fleet, settings)
    config = write_mosquitto(
        settings.data_dir / "mosquitto", authority_folder(settings), "127.0.0.1", settings.broker.port
    )
    result: dict[str, float] = {"vehicles": vehicles}
    now = int(datetime.now(UTC).timestamp()) * 1000
    # A vehicle tells about 0.0105 batches a second when half of them drive; each play has boots of its own.
    plan = Plan(now, seconds * rate / vehicles / 0.0105, tracks=4, driving_share=0.5)
    files = [home / f"{number}.sealed" for number in range(4)]
    began_s, batches = time.perf_counter(), 0
    for number, path in enumerate(files):
        later = replace(plan, start_utc_ms=now + number * 1000)
        batches += sealed_file.write(path, fleet, later, traffic(fleet, later, range(vehicles))).batches
    result["seal_per_s"] = round(batches / (time.perf_counter() - began_s))
    steady = Manners(home / "load", vehicles, 1, files[1], rate_per_s=rate)
    with _running([mosquitto, "-c", str(config)]):
        result |= _connecting(steady, fleet)
        at_once = replace(steady, sealed=files[0], rate_per_s=_AT_ONCE, receipts=False)
        broker = _one_after_the_other([play(at_once, lambda: False) for _ in range(_TIMES)])
        result["broker_per_s"] = round(broker.settled / (broker.seconds + broker.drain_s))
        result["broker_per_cpu_s"] = round(broker.settled / broker.cpu_s)
        result |= _plain_paho(home, fleet, settings, files[0])
    # Another start of the broker, without what waits in it for an ingest that has not been there.
    shutil.rmtree(settings.data_dir / "mosquitto" / "persistence")
    (settings.data_dir / "mosquitto" / "persistence").mkdir()
    ingest = [sys.executable, "-m", "server", "--config", str(settings.data_dir / "server.toml"), "ingest"]
    with _running([mosquitto, "-c", str(config)]), _running(ingest):
        result |= _told("steady", play(steady, lambda: False).summary())
        flood = play(replace(steady, sealed=files[2], rate_per_s=_AT_ONCE), lambda: False)
        result["flood_settled_per_s"] = round(flood.settled / (flood.seconds + flood.drain_s))
        stormy = replace(steady, sealed=files[3], rate_per_s=rate / 2, storm_every_s=_STORM_S)
        result |= _told("storm", play(stormy, lambda: False).summary())
    return result


def _one_after_the_other(plays: list[Tally]) -> Tally:
    """Plays one after the other: times add up, too."""
    total = added(plays)
    total.seconds, total.drain_s = sum(each.seconds for each in plays), sum(each.drain_s for each in plays)
    return total


def _enrol(folder: Path, fleet: Fleet, settings: ServerSettings) -> None:
    wanted = read_list(prepare(folder, fleet), "LOADTEST")
    store, authority = Store(settings.store_url), Authority(authority_folder(settings))
    enrol_many(store, authority, settings.broker, wanted, folder / "bundles", datetime.now(UTC))
    store.close()


def _connecting(manners: Manners, fleet: Fleet) -> dict[str, float]:
    enrolled = unpack_bundles(manners.folder, fleet, range(fleet.vehicles))
    before_kb = _rss_kb()
    player = Player(manners, fleet, enrolled, range(fleet.vehicles))
    player.connect(lambda: False)
    after_kb = _rss_kb()
    player.close()
    return {
        "connect_per_s": round(player.tally.connected / player.tally.connect_s),
        "rss_kb_per_connection": round((after_kb - before_kb) / fleet.vehicles),
    }


def _plain_paho(home: Path, fleet: Fleet, settings: ServerSettings, sealed: Path) -> dict[str, float]:
    """The same bytes as one unit's; the broker does not look into them."""
    payloads = [entry.data for entry in sealed_file.read(sealed, fleet)] * _TIMES
    keys, unit = home / "load" / "keys", fleet.name(0)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=unit, protocol=mqtt.MQTTv311)
    client.tls_set(str(keys / "authority.crt"), str(keys / f"{unit}.crt"), str(keys / f"{unit}.key"))
    connected, done, acknowledged = threading.Event(), threading.Event(), 0

    def published(*_: object) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged == len(payloads):
            done.set()

    client.on_connect = lambda *_: connected.set()
    client.on_publish = published
    client.connect("127.0.0.1", settings.broker.port)
    client.loop_start()
    if not connected.wait(30):
        raise SystemExit("the broker does not take the plain client in")
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    topic = BATCH.of(unit)
    for payload in payloads:
        client.publish(topic, payload, qos=1)
    if not done.wait(120):
        raise SystemExit("the broker did not acknowledge everything")
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    client.disconnect()
    client.loop_stop()
    return {
        "plain_paho_per_s": round(len(payloads) / took_s),
        "plain_paho_per_cpu_s": round(len(payloads) / cpu_s),
    }


def _told(name: str, summary: dict[str, Any]) -> dict[str, float]:
    receipts, late = summary["since_due_ms"], summary["late_ms"]
    return {
        f"{name}_sent_per_s": summary["sent_per_s"],
        f"{name}_unsettled": summary["unsettled"],
        f"{name}_receipt_p50_ms": receipts["p50"],
        f"{name}_receipt_p99_ms": receipts["p99"],
        f"{name}_late_p99_ms": late["p99"],
        f"{name}_cpu_s": summary["cpu_s"],
        f"{name}_connected": summary["connected"],
        f"{name}_again": summary["again"],
    }


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _rss_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
