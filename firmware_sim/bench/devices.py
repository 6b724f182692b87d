"""Receiver, adapter and car of a story on their two ports, moved on by story time; what befalls them is laid over."""

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.adapter.profile import AdapterFaults
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.bench.evidence import Moment
from firmware_sim.bench.stage import Stage
from firmware_sim.car.state import CarFaults
from firmware_sim.car.vehicle import CarStart, Vehicle
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort
from firmware_sim.receiver.receiver import Receiver
from firmware_sim.receiver.settings import ReceiverFaults, ReceiverSettings
from firmware_sim.roads.motion import Motion, Phase
from firmware_sim.story.schema import Fault, Story, StoryError

DEFAULT_PROFILE = "elm327_v15"
_DELAY_S = 0.03  # from the instant that an epoch speaks of until its first byte
_MOMENT_S = 1.0
_MOVES_MPS = 1.0
_BITS_PER_BYTE = 10
_BAUD, _FAST_BAUD = 9600, 115200


class Port(Protocol):
    """What a pty and a real serial port have in common."""

    @property
    def is_listening(self) -> bool:
        """Somebody reads it, as far as that can be known."""

    def receive(self) -> bytes:
        """What the unit has written."""

    def write(self, data: bytes | bytearray) -> int:
        """Bytes taken; never blocks."""

    def close(self) -> None:
        """Give it back."""


class Ports:
    """Two ptys under names like USB bridges; they can go away and come back under each other's names."""

    def __init__(self, folder: Path, *, with_gnss: bool, with_obd: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.names = {"gnss": folder / "ttyUSB0", "obd": folder / "ttyUSB1"}
        self._wanted = [name for name, there in (("gnss", with_gnss), ("obd", with_obd)) if there]
        self.gnss: PtyPort | None = None
        self.obd: PtyPort | None = None
        self._open()

    def renumber(self) -> None:
        """Both bridges were pulled and plugged in again, in the other order."""
        self.close()
        self.names = {"gnss": self.names["obd"], "obd": self.names["gnss"]}
        self._open()

    def close(self) -> None:
        """Both go away."""
        for port in (self.gnss, self.obd):
            if port is not None:
                port.close()
        self.gnss = self.obd = None

    def _open(self) -> None:
        if "gnss" in self._wanted:
            self.gnss = PtyPort(self.names["gnss"])
        if "obd" in self._wanted:
            self.obd = PtyPort(self.names["obd"])


class Devices:
    """Played by `step`; what they told and how the car moved is kept for the judge."""

    def __init__(self, story: Story, start: datetime, begin_s: float = 0.0) -> None:
        """Raises StoryError where [car], [receiver] or [adapter] say something that there is not."""
        self._story, self._start_s = story, start.timestamp()
        self.stage = Stage(story, begin_s)
        self.told_s: list[int] = []
        self.moments: list[Moment] = []
        where = f"{story.name}.toml"
        try:
            self.receiver = Receiver(_receiver_settings(story, start)) if story.receiver is not None else None
            self.vehicle = Vehicle(story.seed, _car_start(story))
        except (TypeError, ValueError) as error:
            raise StoryError(f"{where}: {error}") from None
        except Exception as error:  # noqa: BLE001 - each package has its own error for settings; all are sentences
            raise StoryError(f"{where}: {error}") from None
        profile = PROFILES[(story.adapter or {}).get("profile", DEFAULT_PROFILE)]
        self.adapter = Adapter(profile, seed=story.seed) if story.adapter is not None else None
        self.car: CarSnapshot | None = None
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._line_free_s = float("-inf")
        self._faults: dict[str, dict[str, Any]] = {"receiver": {}, "adapter": {}, "car": {}}

    def befall(self, active: Mapping[str, Fault], t_s: float, *, carried: bool) -> None:
        """What is wrong from now on: `what` → the fault. `carried`: the unit is out of the car."""
        named: dict[str, dict[str, Any]] = {"receiver": {}, "adapter": {}, "car": {}}
        for fault in active.values():
            if fault.part in named:
                named[fault.part][fault.name] = tuple(fault.value) if isinstance(fault.value, list) else fault.value
        if carried:
            named["adapter"]["unplugged"] = True
        self._faults = named
        try:
            self.vehicle.faults = CarFaults(**named["car"])
            if self.adapter is not None:
                self.adapter.faults = AdapterFaults(**named["adapter"])
            ReceiverFaults(**named["receiver"])
        except Exception as error:  # noqa: BLE001 - as above
            raise StoryError(f"{self._story.name}.toml, at {t_s:.0f} s: {error}") from None

    def step(self, t_s: float, gnss: Port | None, obd: Port | None) -> None:
        """Everything up to `t_s`: motion, car, epochs, answers. Ports as of now; None where there is none."""
        act = self.stage.act_at(t_s)
        for motion in self.stage.at(t_s):
            self.car = self.vehicle.step(motion)
            self._remember(motion)
            if self.receiver is not None:
                self._epoch(motion, driving=act.do in ("drive", "replay"))
        self._play_receiver(t_s, gnss)
        if self.adapter is not None and obd is not None and self.car is not None:
            clears = self.adapter.clears
            self.adapter.feed(obd.receive(), self.car, t_s)  # also without a byte: it notices its supply
            if self.adapter.clears > clears:
                self.vehicle.clear_codes()
            said = self.adapter.due(t_s)
            if said and obd.is_listening:
                obd.write(said)

    def forget_waiting(self) -> None:
        """Time was skipped: what was on the line is long over."""
        self._waiting.clear()

    def _epoch(self, motion: Motion, *, driving: bool) -> None:
        assert self.receiver is not None
        faults = self._faults["receiver"]
        if self.stage.is_covered(motion):
            faults = {**faults, "tunnel": True}
        lines = self.receiver.epoch(motion, ReceiverFaults(**faults))
        at_s = max(motion.t_s + _DELAY_S, self._line_free_s)
        for line in lines:
            at_s += len(line) * _BITS_PER_BYTE / self.receiver.baud
            self._waiting.append((at_s, line))
        self._line_free_s = at_s
        if lines and driving and not faults and motion.speed_mps > _MOVES_MPS and _tells_a_position(lines):
            self.told_s.append(int(self._start_s + motion.t_s + 1e-6))

    def _play_receiver(self, t_s: float, port: Port | None) -> None:
        if port is None or self.receiver is None:
            self._waiting.clear()
            return
        asked = port.receive()
        if asked and (answer := self.receiver.heard(asked, t_s)):
            self._waiting.append((t_s, answer))
        due = bytearray()
        while self._waiting and self._waiting[0][0] <= t_s:
            due += self._waiting.popleft()[1]
        if due and port.is_listening:
            port.write(due)

    def _remember(self, motion: Motion) -> None:
        if self.moments and motion.t_s - self.moments[-1].at_s < _MOMENT_S:
            return
        volts = self.car.battery_v if self.car else 0.0
        is_on = motion.phase is Phase.RUNNING
        self.moments.append(Moment(motion.t_s, round(motion.speed_mps * 3.6, 1), round(volts, 2), is_on))


def receiver_baud(story: Story) -> int:
    """Of its port, unless the story says otherwise: a fast receiver needs a fast line."""
    given = story.receiver or {}
    return int(given.get("baud", _FAST_BAUD if float(given.get("rate_hz", 1.0)) > 1 else _BAUD))


def _receiver_settings(story: Story, start: datetime) -> ReceiverSettings:
    given: dict[str, Any] = {"seed": story.seed, "start_utc": start, "start": "running"}
    given |= {name: tuple(each) if isinstance(each, list) else each for name, each in _given(story.receiver)}
    return ReceiverSettings(**given | {"baud": receiver_baud(story)})


def bound_vin(story: Story) -> str:
    """The VIN that the unit is bound to: the car's own, unless the story says otherwise."""
    return str(story.car.get("bound_vin") or _car_start(story).vin)


def _car_start(story: Story) -> CarStart:
    return replace(CarStart(), **{name: value for name, value in _given(story.car) if name != "bound_vin"})


def _given(table: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return list((table or {}).items())


def _tells_a_position(lines: list[bytes]) -> bool:
    with contextlib.suppress(IndexError):
        return any(b"RMC," in line and line.split(b",")[2] == b"A" for line in lines)
    return False
