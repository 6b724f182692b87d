"""What a story is played to when the unit lies on the desk: two serial cables, a broker that is there, real time."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware_sim.bench.devices import Port, receiver_baud
from firmware_sim.bench.evidence import Evidence
from firmware_sim.bench.observer import Observer
from firmware_sim.bench.pacing import pace_of
from firmware_sim.bench.processes import BenchError
from firmware_sim.cables import SerialPort
from firmware_sim.ports import PortError
from firmware_sim.story.describe import span
from firmware_sim.story.schema import Fault, Order, Story, StoryError
from firmware_sim.story.vocabulary import BENCH_FAULTS

_ADAPTER_BAUD = 38400
_CONNECT_S = 20.0


@dataclass(frozen=True, slots=True)
class Desk:
    """Where everything is."""

    gnss: str | None
    obd: str | None
    unit: str
    broker: str | None
    observer: Path


def require_playable(story: Story) -> None:
    """Raises StoryError, with the reason, for what cannot be done to a unit whose clock and power are its own."""
    for act in story.acts:
        if pace_of(story, act) is not None:
            raise StoryError(
                f"{story.name}: the act {act.name!r} takes {span(act.seconds)}, and the clock of a physical unit"
                " cannot be steered; play a story that is lived whole"
            )
        if act.do == "off":
            raise StoryError(f"{story.name}: the act {act.name!r} cuts the unit's power, which only your hand can do")
    for fault in story.faults:
        if fault.what in BENCH_FAULTS:
            raise StoryError(
                f"{story.name}: {fault.what} cannot be done to a physical unit: {BENCH_FAULTS[fault.what]}"
            )
    if story.orders:
        raise StoryError(f"{story.name}: its orders need a server of the bench's own")


class DeskRig:
    """A physical unit. Facts of the unit and the server's pages are out of reach and count as not answered."""

    is_off = False
    answers = False

    def __init__(self, desk: Desk, story: Story) -> None:
        """Open ports and broker. Raises BenchError."""
        self._start_ms = round(story.start.timestamp() * 1000)
        self._gnss: SerialPort | None = None
        self._obd: SerialPort | None = None
        self.observer = Observer(desk.observer, desk.unit, desk.broker)
        try:
            self._gnss = SerialPort(desk.gnss, receiver_baud(story)) if desk.gnss else None
            self._obd = SerialPort(desk.obd, _ADAPTER_BAUD) if desk.obd else None
            self.observer.wait(_CONNECT_S)
        except PortError as error:
            self.close()
            raise BenchError(str(error)) from None
        except BaseException:
            self.close()
            raise

    @property
    def gnss(self) -> Port | None:
        return self._gnss

    @property
    def obd(self) -> Port | None:
        return self._obd

    def is_ready(self) -> bool:
        return True

    def begin(self, fault: Fault) -> None:
        raise BenchError(f"{fault.what} cannot be done to a physical unit")

    def end(self, fault: Fault) -> None:
        raise BenchError(f"{fault.what} cannot be done to a physical unit")

    def power(self, on: bool) -> None:
        raise BenchError("the power of a physical unit is in your hand")

    def carry(self, away: bool) -> None:
        """The adapter falls silent by itself; the supply stays."""

    def halted(self) -> Mapping[str, Any] | None:
        return None

    def wake(self, by: str, slept_s: float) -> None:
        raise BenchError("a physical unit wakes by itself")

    def order(self, order: Order) -> None:
        raise BenchError("orders need a server of the bench's own")

    def skip(self, seconds: float) -> None:
        """Time passes by itself."""

    def ask(self) -> Mapping[str, Any] | None:
        return None

    def state(self) -> Mapping[str, Any] | None:
        return None

    def happened_at_s(self, kernel_boot: int, mono_ms: int, time_utc_ms: int | None) -> float | None:
        return None if time_utc_ms is None else (time_utc_ms - self._start_ms) / 1000

    def tend(self) -> None:
        """Nothing to start."""

    def finish(self, evidence: Evidence) -> None:
        evidence.is_physical = True
        evidence.notes.append("physical unit: its status, its log and the server's pages were not looked at")

    def close(self) -> None:
        self.observer.close()
        for port in (self._gnss, self._obd):
            if port is not None:
                port.close()
