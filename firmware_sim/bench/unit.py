"""The unit under test on this machine: provisioned, started, killed and asked through its command line."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmware_sim.bench.devices import receiver_baud
from firmware_sim.bench.processes import BenchError, Processes
from firmware_sim.bench.server_side import ServerSide
from firmware_sim.story.schema import Story

UNIT = "BENCH-0001"
_AGENT = "agent"
# What the bench sets where the story says nothing: batches often enough that a judge need not wait for them.
_BENCH: Mapping[str, Mapping[str, Any]] = {"batch": {"after_s": 5.0}, "ports": {"longest_pause_s": 5}}


def default_agent() -> list[str]:
    """The agent of this installation."""
    return [sys.executable, "-m", "edge_agent"]


class Unit:
    """One agent in its folder."""

    def __init__(self, story: Story, folder: Path, command: list[str], processes: Processes, clock: Path) -> None:
        self.folder, self._story = folder, story
        self._command, self._processes, self._clock = command, processes, clock
        self.online = folder / "online"

    def provision(self, server: ServerSide, vin: str, relay_port: int, ports: Mapping[str, Path]) -> None:
        """As an installer would; then the settings of the story are laid over. Raises BenchError."""
        unit, request, bundle = self.folder, self.folder / "unit.csr", self.folder / "bundle.json"
        self._processes.call("provision", [*self._command, "provision", "--dir", unit, "--unit", UNIT])
        server.add_unit(UNIT, vin, request, bundle)
        self._processes.call("provision", [*self._command, "provision", "--dir", unit, "--accept", bundle])
        self.online.write_text("1\n")
        (unit / "unit.toml").write_text(self._settings(vin, relay_port, ports), encoding="utf-8")

    def start(self) -> None:
        """Start it, unless it runs."""
        run: list[str | Path] = ["run", "--config", self.folder / "unit.toml", "--bench-clock", self._clock]
        self._processes.start(_AGENT, [*self._command, *run])

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._processes.runs(_AGENT)

    @property
    def code(self) -> int | None:
        """The exit status of one that ended by itself."""
        return self._processes.code(_AGENT)

    @property
    def log(self) -> Path:
        """What it has said."""
        return self._processes.log(_AGENT)

    def kill(self) -> None:
        """kill -9."""
        self._processes.kill(_AGENT)

    def terminate(self) -> int | None:
        """SIGTERM; its exit status, None where it did not end in time."""
        return self._processes.terminate(_AGENT)

    def disk_full(self, yes: bool) -> None:
        """No file of the unit can grow."""
        self._processes.let_no_file_grow(_AGENT, yes)

    def ask(self) -> Mapping[str, Any] | None:
        """`pledgewatch-agent status --json`; None where nobody answers."""
        words = [*self._command, "status", "--config", str(self.folder / "unit.toml"), "--json"]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=15, check=False)
            told = json.loads(done.stdout) if done.returncode == 0 else None
        except (OSError, ValueError, subprocess.TimeoutExpired):
            return None
        return told if isinstance(told, dict) and "stuck" not in told else None

    def halt_asked(self) -> Mapping[str, Any] | None:
        """What a unit with `sleep = "simulated"` asked for, once; None: nothing."""
        path = self.folder / "halt.json"
        try:
            told = json.loads(path.read_text())
            path.unlink()
        except (OSError, ValueError):
            return None
        return told if isinstance(told, dict) else None

    def wake(self, by: str, slept_s: float) -> None:
        """Leave the note of what woke it; `start` comes after."""
        (self.folder / "woken.json").write_text(json.dumps({"by": by, "slept_s": round(slept_s)}))

    def _settings(self, vin: str, relay_port: int, ports: Mapping[str, Path]) -> str:
        story = self._story
        finds = any(fault.what == "ports.renumbered" for fault in story.faults)
        sections: dict[str, dict[str, Any]] = {
            "gnss": {"port": "auto" if finds or story.receiver is None else str(ports["gnss"])},
            "ports": {"look_in": f"{ports['gnss'].parent}/tty*", "leave_alone": "/dev/tty*"},
            "vehicle": {"vin": vin},
            "broker": {"host": "127.0.0.1", "port": relay_port, "keepalive_s": 30},
            "power": {"online_file": str(self.online)} if _has_supply(story) else {},
        }
        if not finds:
            sections["gnss"]["baud"] = receiver_baud(story)
        if story.adapter is not None:
            sections["obd"] = {"port": "auto"} if finds else {"port": str(ports["obd"]), "baud": 38400}
        for more in (_BENCH, story.unit):
            for name, values in more.items():
                sections[name] = {**sections.get(name, {}), **values}
        lines = [f'unit = "{UNIT}"']
        for name, values in sections.items():
            lines += [
                f"[{name}]",
                *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()),
            ]
        return "\n".join(lines) + "\n"


def _has_supply(story: Story) -> bool:
    """Whether anything looks at the unit's external power."""
    return any(fault.what == "unit.backup_supply" for fault in story.faults)


def require_agent(command: list[str], processes: Processes) -> None:
    """That it can be started and is steered. Raises BenchError."""
    if "--bench-clock" not in processes.call("agent-help", [*command, "run", "--help"]):
        raise BenchError(f"{command[0]} knows no --bench-clock: it is older than this bench")
