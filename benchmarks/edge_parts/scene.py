"""Everything that runs: server, broker, agents in their rooms, drives on ptys, and the peer. Ends with the block."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.edge_parts.card import Card
from benchmarks.edge_parts.drive import Piece, car_columns
from benchmarks.edge_parts.model import model_bytes
from benchmarks.edge_parts.namespaces import SERVER, Room
from benchmarks.edge_parts.stand import wait
from tests.journey.world import VIN, World

_START_S = 60.0
_PEER = "PEER0001"
_HASTY = ("benchmarks.edge_parts.hasty_worker", "--baud=38400")


class SceneError(Exception):
    """Something did not start; the text says what and what it said last."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One agent that runs."""

    name: str
    folder: Path
    pid: int
    room: Room | None
    startup_s: float  # from exec to the first sample
    first_sample_s: float  # monotonic

    def notes(self) -> list[dict[str, Any]]:
        """What its process noted of itself (`unit.py`)."""
        return _notes(self.folder)


@dataclass(frozen=True, slots=True)
class Peer:
    """gpsd and its publisher."""

    pids: dict[str, int]  # "gpsd", "publisher"
    room: Room | None
    log: Path

    def fixes_between(self, begin_s: float, end_s: float) -> int:
        """How many it published."""
        return sum(begin_s <= float(line) < end_s for line in self.log.read_text().split() if line[-1:].isdigit())


class Scene:
    """Made and torn down by `scene`."""

    def __init__(self, home: Path, with_rooms: bool) -> None:
        self.home, self._with_rooms = home, with_rooms
        self.world = World(home, public_host=SERVER if with_rooms else "127.0.0.1")
        self.model = home / "judge.onnx"
        self.model.write_bytes(model_bytes())
        self._rooms: list[Room] = []
        self._cards: list[Card] = []
        access = self.world.settings.data_dir / "mosquitto" / "access.acl"
        access.write_text(access.read_text() + "\n# the benchmark's peer\npattern write peer/%u/fix\n")
        self.world.start("broker", "ingest")

    def room(self) -> Room | None:
        """A new namespace, None where there are none."""
        if self._with_rooms:
            self._rooms.append(Room(len(self._rooms) + 1))
            return self._rooms[-1]
        return None

    def card(self, name: str) -> Card | str:
        """A file system of its own for a unit that is to be added; or why there is none."""
        if not self._with_rooms:
            return "no mount namespace: nothing is mounted on the machine itself"
        try:
            self._cards.append(Card(self.home / name, self.home / f"{name}.img"))
        except OSError as error:
            with contextlib.suppress(OSError):
                (self.home / name).rmdir()
            return f"no file system of its own for the unit: {error}"
        return self._cards[-1]

    def add(self, name: str, settings: dict[str, dict[str, object]]) -> Path:
        """Provision a unit with an adapter; returns its folder."""
        folder = self.world.add_unit(name, obd=True)
        path = folder / "unit.toml"
        text = path.read_text().replace("[position]\nhold = false", "[position]")  # as the product has it
        for section, values in settings.items():
            lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            text = text.replace(f"[{section}]\n", f"[{section}]\n{lines}", 1)
        path.write_text(text)
        return folder

    def start(self, name: str, *, tells: bool = False, hasty: bool = False) -> Unit:
        """Start an agent whose ports are there; returns once its first sample is.

        Raises:
            SceneError: no sample came.
        """
        folder, room = self.home / name, self.room()
        command = [sys.executable, "-m", "benchmarks.edge_parts.unit", "--config", str(folder / "unit.toml")]
        command += ["--model", str(self.model), "--notes", str(folder / "notes.jsonl")]
        command += ["--tell"] if tells else []
        command += ["--worker", sys.executable, "-m", *_HASTY, f"--port={folder / 'obd'}"] if hasty else []
        began_s = time.monotonic()
        pid = self._run(f"agent {name}", command, room)
        if not wait(lambda: bool(_notes(folder)), _START_S):
            raise SceneError(f"{name} made no sample within {_START_S:g} s: {self.world.log(f'agent {name}')[-2000:]}")
        first = _notes(folder)[0]
        return Unit(name, folder, pid, room, first["mono_s"] - began_s, first["mono_s"])

    def play(self, name: str, piece: Piece, folder: Path, *, obd: bool) -> None:
        """Replay a piece of a drive at 1x on ptys named in `folder`."""
        folder.mkdir(exist_ok=True)
        log = self.home / f"{name}.nmea"
        log.write_bytes(piece.nmea)
        arguments: list[str | Path] = ["replay", "--nmea", log, "--gnss-link", folder / "gnss"]
        if obd:
            table = self.home / f"{name}.parquet"
            pq.write_table(pa.table(car_columns(piece.speeds, VIN)), table)
            arguments += ["--obd", table, "--obd-link", folder / "obd", "--vin", VIN]
        self.world.play(name, *arguments)
        if not wait((folder / "gnss").is_symlink, _START_S):
            raise SceneError(f"{name} opened no port: {self.world.log(name)[-500:]}")

    def peer(self, piece: Piece) -> Peer | str:
        """Start gpsd and a publisher on the same drive; or why there is none."""
        gpsd = shutil.which("gpsd") or shutil.which("gpsd", path="/usr/sbin")
        if gpsd is None:
            return "gpsd is not installed (apt-get install gpsd)"
        folder = self.world.add_unit(_PEER)
        self.play("peer-drive", piece, folder, obd=False)
        port = (folder / "gnss").resolve()
        with contextlib.suppress(OSError):
            port.chmod(0o666)  # gpsd gives its rights up
        room = self.room()
        daemon = self._run("gpsd", [gpsd, "-N", "-n", "-S", "2947", str(port)], room)
        script = Path(__file__).with_name("publisher.py")
        broker = f"{SERVER if self._with_rooms else '127.0.0.1'}:{self.world.settings.broker.port}"
        publisher = [sys.executable, str(script), "--broker", broker, "--certificates", str(folder), "--name", _PEER]
        pid = self._run("publisher", [*publisher, "--topic", f"peer/{_PEER}/fix"], room)
        log = self.home / "publisher.log"
        if not wait(lambda: log.stat().st_size > 0, _START_S):
            said = (self.world.log("gpsd") + self.world.log("publisher"))[-500:]
            return f"no fix came out of gpsd within {_START_S:g} s: {said}"
        return Peer({"gpsd": daemon, "publisher": pid}, room, log)

    def lose_connections(self) -> None:
        """The broker dies and comes back: every unit connects anew."""
        self.world.kill("broker")
        self.world.start("broker")

    def _run(self, name: str, command: list[str], room: Room | None) -> int:
        self.world.commands[name] = room.enter(*command) if room else command
        self.world.start(name)
        return self.world.processes[name].pid

    def close(self) -> None:
        """Kill everything that was started here."""
        self.world.end()
        for card in self._cards:
            card.close()
        for each in self._rooms:
            each.close()


@contextlib.contextmanager
def scene(home: Path, with_rooms: bool) -> Iterator[Scene]:
    """Within, broker and ingest run."""
    made = Scene(home, with_rooms)
    try:
        yield made
    finally:
        made.close()


def simulated_nmea(folder: Path, length_s: float) -> bytes:
    """A seeded drive of the simulator, for machines without recorded data."""
    path = folder / "simulated.nmea"
    command = [sys.executable, "-m", "firmware_sim", "drive", "--city", "chengdu", "--seed", "5"]
    subprocess.run([*command, f"--duration={length_s:.0f}", "--nmea-out", str(path)], check=True, capture_output=True)
    return path.read_bytes()


def _notes(folder: Path) -> list[dict[str, Any]]:
    path = folder / "notes.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
