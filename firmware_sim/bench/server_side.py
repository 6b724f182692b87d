"""Broker and server of one story, brought up by their command lines in a folder of its own; and what its pages tell."""

import contextlib
import http.cookiejar
import json
import os
import re
import secrets
import shutil
import socket
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

from firmware_sim.bench.processes import BenchError, Processes

LENDER, LOGIN = "测试汽车金融", "bench"
_READY_S = 40.0
_LOWEST_PORT, _PORTS = 20_000, 12_000  # net.ipv4.ip_local_port_range begins at 32768
_CSRF = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class ServerSide:
    """`start` brings everything up; each part can be stopped and started again."""

    def __init__(self, folder: Path, processes: Processes, clock: Path) -> None:
        """`clock`: what server and authority go by, see wheel.py."""
        self._folder, self._processes = folder, processes
        self._command: list[str | Path] = [sys.executable, "-m", "server", "--bench-clock", clock]
        self.broker_port, self._web_port = _free_port(), _free_port()
        self._password = secrets.token_urlsafe(9)
        self._open: urllib.request.OpenerDirector | None = None

    @property
    def _with_config(self) -> list[str | Path]:
        return [*self._command, "--config", self._folder / "server.toml"]

    def set_up(self) -> None:
        """Settings, authority, database, a user. Raises BenchError."""
        ports: list[str | Path] = ["--broker-port", str(self.broker_port), "--web-port", str(self._web_port)]
        self._processes.call("server-init", [*self._command, "init", "--dir", self._folder, *ports])
        user: list[str | Path] = [*self._with_config, "user", "add", "--lender", LENDER, "--login", LOGIN]
        self._processes.call("server-user", user, self._password + "\n")

    def add_unit(self, unit: str, vin: str, request: Path, bundle: Path) -> None:
        """Enrol a unit by its certificate request; its bundle is written."""
        words: list[str | Path] = ["--lender", LENDER, "--vin", vin, "--unit", unit, "--csr", request, "--out", bundle]
        self._processes.call("server-fleet", [*self._with_config, "fleet", "add", *words])

    def write_observer(self, folder: Path) -> None:
        """What the judge needs."""
        self._processes.call("server-observer", [*self._with_config, "observer", "--out", folder])

    def order(self, unit: str, command: str, arguments: dict[str, str]) -> None:
        """Give the unit an order."""
        words = [unit, command, *(f"{name}={value}" for name, value in arguments.items())]
        why = ["--lender", LENDER, "--reason", "测试台 test bench"]
        self._processes.call("server-command", [*self._with_config, "command", *words, *why])

    def start_broker(self) -> None:
        """Start it; returns once it accepts connections."""
        mosquitto = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if mosquitto is None:
            raise BenchError("Mosquitto is not installed: apt install mosquitto, or name a broker with --broker")
        self._processes.start("broker", [mosquitto, "-c", self._folder / "mosquitto" / "mosquitto.conf"])
        self._until("broker", self._broker_accepts, "the broker accepts connections")

    def start_server(self) -> None:
        """Ingest and pages; returns at once."""
        for part in ("ingest", "web"):
            self._processes.start(part, [*self._with_config, part])

    def stop_broker(self) -> None:
        """It is killed, and loses what it had not passed on, with the sessions of those who listened."""
        self._processes.kill("broker")
        (self._folder / "mosquitto" / "persistence" / "mosquitto.db").unlink(missing_ok=True)

    def stop_server(self) -> None:
        """As a person would."""
        for part in ("ingest", "web"):
            self._processes.terminate(part)
        self._open = None

    def wait_for_pages(self) -> None:
        """Until they answer. Raises BenchError."""
        self._until("web", lambda: self._get("/healthz", urllib.request.build_opener()) is not None, "the pages answer")

    def vehicle(self) -> dict[str, Any]:
        """The JSON twin of the vehicle's page. Raises BenchError where there is none."""
        opener = self._logged_in()
        listed = json.loads(self._get("/vehicles.json", opener) or "{}")
        if not listed.get("vehicles"):
            raise BenchError("the server's list shows no vehicle")
        found: dict[str, Any] = json.loads(self._get(f"/vehicles/{listed['vehicles'][0]['id']}.json", opener) or "{}")
        return found

    def _until(self, program: str, condition: Callable[[], bool], what: str) -> None:
        until_s = time.monotonic() + _READY_S
        while not condition():
            if (code := self._processes.code(program)) is not None:
                said = self._processes.log(program).read_text(errors="replace").strip()[-400:]
                raise BenchError(f"{program} ended with status {code}: {said}")
            if time.monotonic() > until_s:
                raise BenchError(f"not within {_READY_S:g} s: {what}")
            time.sleep(0.1)

    def _broker_accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.broker_port), timeout=1).close()
        except OSError:
            return False
        return True

    def _logged_in(self) -> urllib.request.OpenerDirector:
        if self._open is None:
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
            token = _CSRF.search(self._get("/login", opener) or "")
            if token is None:
                raise BenchError("the server's login page cannot be read")
            form = {"csrf_token": token[1], "login": LOGIN, "password": self._password}
            if self._get("/login", opener, urllib.parse.urlencode(form).encode()) is None:
                raise BenchError("the server lets nobody log in")
            self._open = opener
        return self._open

    def _get(self, path: str, opener: urllib.request.OpenerDirector, form: bytes | None = None) -> str | None:
        try:
            with opener.open(f"http://127.0.0.1:{self._web_port}{path}", form, timeout=10) as answer:
                return str(answer.read().decode())
        except (URLError, OSError):
            return None


def _free_port() -> int:
    """Below those that the kernel gives to outgoing connections, so that none takes it before its owner."""
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
