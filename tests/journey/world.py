"""A whole Pledgewatch for the tests: real broker (mutual TLS), real server, real agents on ptys; killable at will."""

import contextlib
import gzip
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from server.fleet.authority import Authority
from server.fleet.enrolment import Enrolment, enrol
from server.fleet.mosquitto import write_mosquitto
from server.setting_up import authority_folder, initialise
from server.store import people_rows
from server.store.db import Store

ROOT = Path(__file__).parents[2]
LENDER = "甲汽车金融"
VIN = "LSVPW5000T2000001"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what}")
        time.sleep(0.1)


@dataclass
class World:
    """One server with its broker, and units that can be added; everything ends with the test."""

    home: Path
    public_host: str = "127.0.0.1"  # where units find the broker; its certificate says so
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = initialise(
            self.home / "server", public_host=self.public_host, port=free_port(), web_port=free_port()
        )
        self.store = Store(self.settings.store_url)
        mosquitto = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert mosquitto, "the test set-up installs Mosquitto"
        authority = authority_folder(self.settings)
        host = "127.0.0.1" if self.public_host == "127.0.0.1" else "0.0.0.0"
        config = write_mosquitto(self.settings.data_dir / "mosquitto", authority, host, self.settings.broker.port)
        server = [sys.executable, "-m", "server", "--config", str(self.settings.data_dir / "server.toml")]
        self.commands = {
            "broker": [mosquitto, "-c", str(config)],
            "ingest": [*server, "ingest"],
            "web": [*server, "web"],
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.settings.web.port}"

    def add_unit(self, unit: str, *, obd: bool = False, vin: str = VIN, batch: str = "", lender: str = LENDER) -> Path:
        """Provision a unit as an installer would; returns its folder."""
        folder = self.home / unit
        agent = [sys.executable, "-m", "edge_agent"]
        subprocess.run([*agent, "provision", "--dir", folder, "--unit", unit], check=True, cwd=ROOT)
        authority = Authority(authority_folder(self.settings))
        wanted = Enrolment(lender, vin, unit, (folder / "unit.csr").read_bytes(), "京A·T0001", "试验车")
        bundle = enrol(self.store, authority, self.settings.broker, wanted, datetime.now(UTC))
        (folder / "bundle.json").write_text(json.dumps(bundle))
        ports = ["--gnss", folder / "gnss", "--gnss-baud", "9600"]
        ports += ["--obd", folder / "obd", "--obd-baud", "38400"] if obd else []
        subprocess.run(
            [*agent, "provision", "--dir", folder, "--accept", folder / "bundle.json", *ports], check=True, cwd=ROOT
        )
        settings = (folder / "unit.toml").read_text()
        settings = settings.replace("[batch]", f"[batch]\n{batch}")
        # recordings of other years, and drives that are played faster than they were driven
        settings = settings.replace("[clock]", "[clock]\nplays_recording = true")
        (folder / "unit.toml").write_text(settings.replace("[position]", "[position]\nhold = false"))
        self.commands[f"agent {unit}"] = [*agent, "run", "--config", str(folder / "unit.toml")]
        return folder

    def add_user(self, login: str, password: str, lender: str = LENDER) -> None:
        with self.store.write() as connection:
            people_rows.put_user(connection, people_rows.lender_id_of(connection, lender), login, password)

    def start(self, *names: str) -> None:
        for name in names:
            with (self.home / f"{name.replace(' ', '-')}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.commands[name], stdout=log, stderr=log, cwd=ROOT, start_new_session=True
                )

    def play(self, name: str, *arguments: str | Path) -> None:
        """Start the simulator under a name."""
        self.commands[name] = [sys.executable, "-m", "firmware_sim", *map(str, arguments)]
        self.start(name)

    def kill(self, name: str) -> None:
        """kill -9, no farewell."""
        os.kill(self.processes[name].pid, signal.SIGKILL)
        self.processes[name].wait()

    def stop(self, name: str, within_s: float = 10) -> int:
        process = self.processes[name]
        process.terminate()
        return process.wait(within_s)

    def log(self, name: str) -> str:
        return (self.home / f"{name.replace(' ', '-')}.log").read_text(errors="replace")

    def rows(self, query: str) -> list[tuple]:
        path = self.settings.data_dir / "pledgewatch.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(query).fetchall()

    def outbox(self, unit: str, query: str) -> list[tuple]:
        path = self.home / unit / "outbox.db"
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as connection:
            return connection.execute(query).fetchall()

    def wait_for_web(self) -> None:
        def answers() -> bool:
            with contextlib.suppress(OSError):
                return bool(urllib.request.urlopen(f"{self.url}/healthz", timeout=2).status == 200)
            return False

        until(answers, 30, "the pages answer")

    def wait_for_drain(self, unit: str, within_s: float = 60) -> None:
        """Until every sealed batch has its receipt."""
        query = "select count(*) from batches where receipted_ms is null"
        until(lambda: self.outbox(unit, query) == [(0,)], within_s, f"{unit} has a receipt for every batch")

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.store.close()


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a recording, plain or gzip."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from file
