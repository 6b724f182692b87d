"""`pledgewatch demo`: a whole Pledgewatch on this machine, loopback only.

A broker (Mosquitto with mutual TLS where it is installed, else the embedded one without), the server, and three
vehicles: each a simulated receiver and adapter on ptys with a real agent between them. Agents and simulator are started
as the programs that they are; nothing of them is imported here.
"""

import contextlib
import datetime as dt
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from server.config import ConfigError, ServerSettings
from server.demo.children import Children
from server.demo.tally import Tally, tally
from server.fleet.authority import Authority
from server.fleet.enrolment import Enrolment, enrol
from server.fleet.mosquitto import write_mosquitto
from server.setting_up import authority_folder, initialise
from server.store import people_rows
from server.store.db import Store

LENDER = "示例汽车金融"
LOGIN = "demo"
_READY_S = 30.0
_DRAIN_S = 30.0
# Samples are sealed sooner than in a car, so that the map moves while one looks.
_BATCH_TOML = "[batch]\nafter_s = 2.0"
_CLOCK_TOML = "[clock]\nplays_recording = true"  # the simulated hours pass faster than the unit's own


@dataclass(frozen=True, slots=True)
class DemoVehicle:
    """One simulated car; the VINs carry a right check digit (GB 16735) and belong to nobody."""

    unit: str
    vin: str
    plate: str
    label: str
    city: str
    seed: int


VEHICLES = (
    DemoVehicle("DEMO-0001", "LSVAA4183E2100017", "川A·D0001", "成都 朗逸", "chengdu", 11),
    DemoVehicle("DEMO-0002", "LFV2A21K4G3000022", "沪A·D0002", "上海 速腾", "shanghai", 22),
    DemoVehicle("DEMO-0003", "LGBH52E07JY000033", "京A·D0003", "北京 轩逸", "beijing", 33),
)


def run_demo(
    *,
    seconds: float | None,
    as_json: bool,
    nmea: Path | None,
    speed: float,
    folder: Path | None,
    web_port: int,
    embedded: bool,
) -> int:
    """Run until Ctrl-C, or for `seconds`. Returns 0, or 1 where a sealed sample did not reach the server.

    Raises:
        ConfigError: a part is not installed, a port is taken, a file is missing.
    """
    _require(nmea, web_port)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    started = time.monotonic()
    with _folder(folder) as home:
        demo = _Demo(home, web_port, nmea, speed, None if embedded else _mosquitto())
        try:
            demo.start(stopping)
            if not stopping.is_set():
                demo.welcome(seconds)
                demo.watch(stopping, None if seconds is None else time.monotonic() + seconds)
            result = demo.finish()
        finally:
            demo.end()
        _print_result(result, time.monotonic() - started, as_json)
        return 0 if result.lost == 0 and result.duplicates == 0 else 1


class _Demo:
    def __init__(self, home: Path, web_port: int, nmea: Path | None, speed: float, mosquitto: str | None) -> None:
        self.home, self.web_port, self.nmea, self.speed = home, web_port, nmea, speed
        self.password = secrets.token_urlsafe(6)
        self.mosquitto = mosquitto
        (home / "logs").mkdir(parents=True, exist_ok=True)
        self.children = Children(home / "logs")
        self.settings: ServerSettings
        self.store: Store

    def start(self, stopping: threading.Event) -> None:
        """Bring everything up in order, saying what is being done."""
        _say(f"Setting up in {self.home} ...")
        self.settings = initialise(
            self.home / "server", port=_free_port(), web_port=self.web_port, tls=self.mosquitto is not None
        )
        self.store = Store(self.settings.store_url)
        with self.store.write() as connection:
            people_rows.put_user(connection, people_rows.lender_id_of(connection, LENDER), LOGIN, self.password)
        self._start_broker()
        config = self.settings.data_dir / "server.toml"
        self.children.start("server", [sys.executable, "-m", "server", "--config", config, "serve"])
        until = time.monotonic() + _READY_S
        while not self._answers() and not stopping.wait(0.2):
            self._require_alive()
            if time.monotonic() > until:
                raise ConfigError(f"the pages did not come up within {_READY_S:g} s; see {self.home}/logs/server.log")
        for vehicle in VEHICLES:
            if not stopping.is_set():
                self._start_vehicle(vehicle, self.nmea if vehicle is VEHICLES[0] else None)

    def welcome(self, seconds: float | None) -> None:
        """What a person needs now."""
        broker = "Mosquitto, mutual TLS" if self.mosquitto else "embedded, without TLS"
        ending = "Ctrl-C ends everything." if seconds is None else f"Ends by itself after {seconds:g} s."
        _say(f"""
  Pledgewatch is running on this machine only.

    Open       http://127.0.0.1:{self.web_port}/
    Log in     {LOGIN}  /  {self.password}
    Look at    车辆 Vehicles: three cars; open one, and its track grows as it drives
               地图 Map: all of them; 中文 / English: top right
    Broker     {broker}
    Logs       {self.home}/logs

  {ending}
""")

    def watch(self, stopping: threading.Event, until: float | None) -> None:
        """Wait for the end, with a line now and then; a child that dies is an error."""
        shown = time.monotonic()
        while not stopping.wait(0.3) and (until is None or time.monotonic() < until):
            self._require_alive()
            if time.monotonic() - shown >= 10:
                shown = time.monotonic()
                now = tally(self.store, self._agent_folders())
                _say(f"  {now.vehicles} vehicles heard of, {now.samples_stored} samples stored, {now.refused} refused")

    def finish(self) -> Tally:
        """Stop the cars, then the agents (they seal what they have), and wait until the server has it all."""
        _say("Stopping: the cars first, then what they still have to say ...")
        self.children.stop("sim")
        time.sleep(0.4)  # the receivers' last line falls silent, and its epoch is complete
        self.children.stop("agent")
        until = time.monotonic() + _DRAIN_S
        resumed = False
        while (result := tally(self.store, self._agent_folders())).lost > 0 and time.monotonic() < until:
            if not resumed and time.monotonic() > until - _DRAIN_S + 3:
                resumed = True  # a last batch was cut off: the agents send it again, as they would after a power cut
                for vehicle in VEHICLES:
                    self._start_agent(vehicle)
            time.sleep(0.2)
        return result

    def end(self) -> None:
        """Nothing stays."""
        for names in ("sim", "agent", "server", "broker"):
            self.children.stop(names)

    def _start_broker(self) -> None:
        port = self.settings.broker.port
        if self.mosquitto is None:
            command: list[str | Path] = [sys.executable, "-m", "iotcore", "--listen", "127.0.0.1", "--port", str(port)]
        else:
            authority = authority_folder(self.settings)
            config = write_mosquitto(self.settings.data_dir / "mosquitto", authority, "127.0.0.1", port)
            command = [self.mosquitto, "-c", config]
        self.children.start("broker", command)

    def _start_vehicle(self, vehicle: DemoVehicle, nmea: Path | None) -> None:
        folder = self.home / vehicle.unit
        self._agent(vehicle, "provision", "--dir", folder, "--unit", vehicle.unit)
        wanted = Enrolment(
            LENDER, vehicle.vin, vehicle.unit, (folder / "unit.csr").read_bytes(), vehicle.plate, vehicle.label
        )
        authority = Authority(authority_folder(self.settings))
        bundle = enrol(self.store, authority, self.settings.broker, wanted, dt.datetime.now(dt.UTC))
        (folder / "bundle.json").write_text(json.dumps(bundle), encoding="utf-8")
        ports: list[str | Path] = ["--gnss", folder / "gnss", "--gnss-baud", "9600"]
        if nmea is None:
            ports += ["--obd", folder / "obd", "--obd-baud", "38400"]
        fresh = not (folder / "unit.toml").exists()
        self._agent(vehicle, "provision", "--dir", folder, "--accept", folder / "bundle.json", *ports)
        if fresh:
            settings = (folder / "unit.toml").read_text(encoding="utf-8")
            settings = settings.replace("[batch]", _BATCH_TOML).replace("[clock]", _CLOCK_TOML)
            (folder / "unit.toml").write_text(settings, encoding="utf-8")
        play: list[str | Path] = ["--speed", str(self.speed), "--gnss-link", folder / "gnss"]
        if nmea:
            play = ["replay", "--nmea", nmea, *play]
        else:
            journey: list[str | Path] = ["--city", vehicle.city, "--seed", str(vehicle.seed), "--vin", vehicle.vin]
            play = ["drive", *journey, *play, "--obd-link", folder / "obd", "--duration", "7200", "--start", "now"]
        self.children.start(f"sim-{vehicle.unit}", [sys.executable, "-m", "firmware_sim", *play])
        self._start_agent(vehicle)

    def _start_agent(self, vehicle: DemoVehicle) -> None:
        config = self.home / vehicle.unit / "unit.toml"
        self.children.start(f"agent-{vehicle.unit}", [sys.executable, "-m", "edge_agent", "run", "--config", config])

    def _agent(self, vehicle: DemoVehicle, *arguments: str | Path) -> None:
        """Run one command of the agent to its end."""
        child = self.children.start(f"provision-{vehicle.unit}", [sys.executable, "-m", "edge_agent", *arguments])
        if child.process.wait(60) != 0:
            raise ConfigError(f"the agent could not be provisioned:\n{child.last_words()}")

    def _require_alive(self) -> None:
        for names in ("broker", "server", "agent"):
            child = self.children.ended(names)
            if child is not None:
                raise ConfigError(f"{child.name} ended with status {child.process.returncode}:\n{child.last_words()}")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}/healthz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _agent_folders(self) -> list[Path]:
        return [self.home / vehicle.unit for vehicle in VEHICLES]


def _require(nmea: Path | None, web_port: int) -> None:
    """What can be known before anything is started."""
    for module, extra in (("edge_agent.agent", "agent"), ("firmware_sim.__main__", "sim"), ("serial", "agent")):
        if importlib.util.find_spec(module) is None:
            raise ConfigError(f"the demo needs the {extra}: pip install 'pledgewatch[agent,server,sim]'")
    if nmea is not None and not nmea.is_file():
        raise ConfigError(f"{nmea} is not a file")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", web_port))
        except PermissionError:
            raise ConfigError(f"port {web_port} needs more rights; choose one above 1023 with --port") from None
        except OSError:
            raise ConfigError(
                f"port {web_port} is taken, perhaps by another demo; end that one or choose another with --port"
            ) from None


@contextlib.contextmanager
def _folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="pledgewatch-demo-") as made:
        yield Path(made)


def _mosquitto() -> str | None:
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_result(result: Tally, seconds: float, as_json: bool) -> None:
    told = {
        "vehicles": result.vehicles,
        "samples_sealed": result.samples_sealed,
        "samples_stored": result.samples_stored,
        "lost": result.lost,
        "duplicates": result.duplicates,
        "refused": result.refused,
        "seconds": round(seconds, 1),
    }
    if as_json:
        print(json.dumps(told), flush=True)
    else:
        print("\n".join(f"  {name.replace('_', ' '):16} {value}" for name, value in told.items()), flush=True)
