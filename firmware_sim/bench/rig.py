"""What a story is played to: an agent on this machine, with a broker, a server and a clock of its own."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from firmware_sim.bench.devices import Port, Ports, bound_vin
from firmware_sim.bench.evidence import Evidence
from firmware_sim.bench.observer import Observer
from firmware_sim.bench.processes import TERM_LIMIT_S, BenchError, Processes
from firmware_sim.bench.relay import Relay
from firmware_sim.bench.server_side import ServerSide
from firmware_sim.bench.tracebacks import tracebacks
from firmware_sim.bench.unit import UNIT, Unit
from firmware_sim.bench.wheel import StoryClock, Wheel
from firmware_sim.story.schema import Fault, Order, Story

_UPTIME_S = 12.0  # what a kernel has run when the agent starts
_DELIVERY_S = 20.0


class Rig(Protocol):
    """What the player needs; `now_s` is always story seconds."""

    observer: Observer
    answers: bool  # whether `ask` and `state` can tell anything

    @property
    def gnss(self) -> Port | None:
        """The receiver's port."""

    @property
    def obd(self) -> Port | None:
        """The adapter's port."""

    @property
    def is_off(self) -> bool:
        """The unit has no power, or no process."""

    def is_ready(self) -> bool:
        """The unit runs and reads: the story may begin."""

    def begin(self, fault: Fault) -> None:
        """A fault of the bench's own begins."""

    def end(self, fault: Fault) -> None:
        """It ends."""

    def power(self, on: bool) -> None:
        """The unit's whole power."""

    def carry(self, away: bool) -> None:
        """The unit leaves the car's supply, or is back at it."""

    def halted(self) -> Mapping[str, Any] | None:
        """The unit asked to be halted, and is now off; what it asked for."""

    def wake(self, by: str, slept_s: float) -> None:
        """End a halt."""

    def order(self, order: Order) -> None:
        """Give the unit an order."""

    def skip(self, seconds: float) -> None:
        """Time passes at once, for everybody."""

    def ask(self) -> Mapping[str, Any] | None:
        """The unit's status."""

    def state(self) -> Mapping[str, Any] | None:
        """What the server knows of the vehicle."""

    def happened_at_s(self, kernel_boot: int, mono_ms: int, time_utc_ms: int | None) -> float | None:
        """When an event happened."""

    def tend(self) -> None:
        """Once in a while: start what is to run, look what has ended."""

    def finish(self, evidence: Evidence) -> None:
        """The story is over: end the unit and look how it takes it."""

    def close(self) -> None:
        """Everything ends."""


class LocalRig:
    """The real agent on ptys."""

    answers = True

    def __init__(self, story: Story, home: Path, agent: list[str], clock: StoryClock) -> None:
        """Bring everything up but the agent; raises BenchError where that fails."""
        self._story, self._clock = story, clock
        self._processes = Processes(home / "logs")
        start_s = story.start.timestamp()
        self._world = Wheel(home / "world.clock", clock, start_s)
        self._wheel = Wheel(home / "unit.clock", clock, start_s)
        self._trouble: list[str] = []
        self._relay: Relay | None = None
        self._down: set[str] = set()  # why the unit has no process
        self._boots_anew = True
        self._ports: Ports | None = None
        try:
            self._bring_up(home, agent)
        except BaseException:
            self.close()
            raise

    def _bring_up(self, home: Path, agent: list[str]) -> None:
        self._world.boot(0.0)
        # Certificates must hold by the machine's clock, which the broker goes by, and by the story's.
        self._world.clock_error_s = min(0.0, time.time() - self._story.start.timestamp())
        self._world.turn()
        self._server = ServerSide(home / "server", self._processes, self._world.path)
        self._server.set_up()
        self._server.start_broker()
        self._relay = Relay(("127.0.0.1", self._server.broker_port))
        ports = Ports(home / "ports", with_gnss=self._story.receiver is not None, with_obd=self._has_obd)
        self._ports = ports
        (home / "unit").mkdir()
        self._unit = Unit(self._story, home / "unit", agent, self._processes, self._wheel.path)
        self._unit.provision(self._server, bound_vin(self._story), self._relay.port, ports.names)
        self._server.write_observer(home / "observer")
        self._world.clock_error_s = 0.0
        self._world.turn()
        self._server.start_server()
        self.observer = Observer(home / "observer", UNIT)
        self.observer.wait(_DELIVERY_S)
        self._server.wait_for_pages()

    @property
    def _has_obd(self) -> bool:
        return self._story.adapter is not None

    @property
    def gnss(self) -> Port | None:
        return self._ports.gnss if self._ports else None

    @property
    def obd(self) -> Port | None:
        return self._ports.obd if self._ports else None

    @property
    def is_off(self) -> bool:
        return bool(self._down)

    def is_ready(self) -> bool:
        """The receiver's port (the adapter's, where there is none) is read, and the agent answers and is connected."""
        port = self.gnss or self.obd
        if port is None:
            return True
        port.receive()
        return port.is_listening and (self._unit.ask() or {}).get("line.state") == "up"

    def begin(self, fault: Fault) -> None:
        what = fault.what
        if what in ("unit.kill", "unit.power_cut"):
            self._down.add(what)
            self._boots_anew = self._boots_anew or what == "unit.power_cut"
            self._unit.kill()
        elif what == "unit.backup_supply":
            self._unit.online.write_text("0\n")
        elif what == "unit.disk_full":
            self._unit.disk_full(True)
        elif what == "network.down" and self._relay:
            self._relay.cut()
        elif what == "broker.down":
            self._server.stop_broker()
        elif what == "server.down":
            self._server.stop_server()
        elif what == "ports.renumbered" and self._ports:
            self._ports.renumber()
        elif what == "clock.jump_s":
            self._wheel.clock_error_s += float(fault.value)
        elif what == "clock.undisciplined":
            self._wheel.is_disciplined = False
        self.turn()

    def end(self, fault: Fault) -> None:
        what = fault.what
        if what in ("unit.kill", "unit.power_cut"):
            self._down.discard(what)
        elif what == "unit.backup_supply":
            self._unit.online.write_text("1\n")
        elif what == "unit.disk_full":
            self._unit.disk_full(False)
        elif what == "network.down" and self._relay:
            self._relay.mend()
        elif what == "broker.down":
            self._server.start_broker()
        elif what == "server.down":
            self._server.start_server()
        elif what == "clock.undisciplined":
            self._wheel.is_disciplined = True
        self.turn()

    def power(self, on: bool) -> None:
        if on:
            self._down.discard("off")
        else:
            self._down.add("off")
            self._boots_anew = True
            self._unit.kill()

    def carry(self, away: bool) -> None:
        self._unit.online.write_text("0\n" if away else "1\n")

    def halted(self) -> Mapping[str, Any] | None:
        asked = self._unit.halt_asked()
        if asked is not None:
            self._down.add("halt")
            self._boots_anew = True
            self._note_end(self._unit.terminate())
        return asked

    def wake(self, by: str, slept_s: float) -> None:
        self._unit.wake(by, slept_s)
        self._down.discard("halt")

    def order(self, order: Order) -> None:
        self._server.order(UNIT, order.command, dict(order.arguments))

    def skip(self, seconds: float) -> None:
        self._clock.skip(seconds)
        self.turn()

    def turn(self) -> None:
        """Tell both clocks where the story is; after every change of its clock."""
        self._wheel.turn()
        self._world.turn()

    def ask(self) -> Mapping[str, Any] | None:
        return self._unit.ask()

    def state(self) -> Mapping[str, Any] | None:
        try:
            return self._server.vehicle()
        except BenchError:
            return None

    def happened_at_s(self, kernel_boot: int, mono_ms: int, time_utc_ms: int | None) -> float | None:
        booted_s = self._wheel.booted_at_s.get(kernel_boot)
        return None if booted_s is None else booted_s + mono_ms / 1000

    def tend(self) -> None:
        if self._down or self._unit.runs:
            return
        if (code := self._unit.code) is not None:
            self._trouble.append(f"the agent ended by itself with status {code}")
        if self._boots_anew:
            self._wheel.boot(_UPTIME_S)
            self._boots_anew = False
        self._unit.start()

    def finish(self, evidence: Evidence) -> None:
        self._down.add("over")
        if self._unit.runs:
            self._note_end(self._unit.terminate())
        evidence.trouble += self._trouble
        if self._unit.log.exists():
            evidence.tracebacks = tracebacks(self._unit.log.read_text(errors="replace").splitlines())

    def _note_end(self, code: int | None) -> None:
        if code is None:
            self._trouble.append(f"SIGTERM did not end the agent within {TERM_LIMIT_S:g} s")
        elif code != 0:
            self._trouble.append(f"SIGTERM ended the agent with status {code}")

    def close(self) -> None:
        if hasattr(self, "observer"):
            self.observer.close()
        if self._relay is not None:
            self._relay.close()
        self._processes.end()
        if self._ports is not None:
            self._ports.close()
        self._wheel.close()
        self._world.close()
