"""The receivers and adapters of all units, on ptys: they can be unplugged, fall silent, talk rubbish, or be clones.

Each minds the speed, as `tests/edge_agent/scripted_devices.py` does: at a wrong one it is heard as garbage. One thread
plays them all.
"""

import math
import random
import termios
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path

from firmware_sim.elm327 import Elm327
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort
from tests.edge_agent.scripted_devices import sentence

_TURN_S = 0.02
_NORTH_DEG, _EAST_DEG, _RADIUS_M, _SPEED_MPS = 31.2, 117.3, 1500.0, 15.0
_M_PER_DEG = 111_200.0
_DRIVE_BEGINS = datetime(2025, 3, 3, 1, 0, tzinfo=UTC)
_PROMPT = b"\r\r>"

# How clones answer: the reply of a good adapter → what is said instead.
Quirk = Callable[[bytes, random.Random], bytes]
QUIRKS: Mapping[str, Quirk] = {
    "no prompt": lambda reply, _dice: reply.replace(b">", b""),
    "understands nothing": lambda _reply, _dice: b"?" + _PROMPT,
    "stopped": lambda _reply, _dice: b"STOPPED" + _PROMPT,
    "buffer full": lambda reply, _dice: reply[: len(reply) // 2] + b"\rBUFFER FULL" + _PROMPT,
    "bus error": lambda _reply, _dice: b"CAN ERROR" + _PROMPT,
    "no car": lambda _reply, _dice: b"UNABLE TO CONNECT" + _PROMPT,
    "low voltage": lambda reply, _dice: reply.replace(b">", b"LV RESET\r\r>"),
    "NULs": lambda reply, _dice: b"\0".join(reply[n : n + 1] for n in range(len(reply))),
    "cut short": lambda reply, dice: reply[: dice.randrange(len(reply) + 1)],
    "says it twice": lambda reply, _dice: reply + reply,
    "flipped bits": lambda reply, dice: bytes(
        each ^ (1 << dice.randrange(8)) * (dice.random() < 0.1) for each in reply
    ),
    "all sevens": lambda reply, _dice: bytes(0x37 if chr(each) in "0123456789ABCDEF" else each for each in reply),
    "long line": lambda reply, _dice: b"41 0C " * 2000 + reply,
}


class Mode(Enum):
    """What is the matter with a device."""

    WELL = "well"
    SILENT = "silent"
    GARBAGE = "garbage"


class Car:
    """What both devices of a unit look at: it drives in a circle, or stands with its engine off."""

    def __init__(self, utc_shift_s: Callable[[], float]) -> None:
        """`utc_shift_s`: how much later it is, really, than the machine's clock says."""
        self._utc_shift_s = utc_shift_s
        self._driven_s, self._before_s = 0.0, time.monotonic()
        self.drives = True

    def pass_by(self, now_s: float) -> None:
        """Time goes on."""
        if self.drives:
            self._driven_s += now_s - self._before_s
        self._before_s = now_s

    def utc(self) -> datetime:
        """What time it really is."""
        return datetime.now(UTC) + timedelta(seconds=self._utc_shift_s())

    def snapshot(self) -> CarSnapshot:
        """For the adapter."""
        if not self.drives:
            return CarSnapshot(ecu_awake=False, battery_v=12.6)
        sway = math.sin(self._driven_s / 7)
        return CarSnapshot(
            battery_v=14.1,
            vin="LSVPW5000T2000001",
            rpm=2000 + 600 * sway,
            speed_kmh=54 + 5 * sway,
            coolant_c=90,
            engine_load_pct=40 + 10 * sway,
            throttle_pct=20 + 5 * sway,
            module_voltage_v=14.1,
            fuel_level_pct=50,
            odometer_km=12_000 + self._driven_s * _SPEED_MPS / 1000,
        )

    def epoch(self, at: datetime) -> bytes:
        """One burst of a receiver (NMEA 0183, RMC and GGA)."""
        angle = self._driven_s * _SPEED_MPS / _RADIUS_M
        north_deg = _NORTH_DEG + _RADIUS_M * math.sin(angle) / _M_PER_DEG
        east_deg = _EAST_DEG + _RADIUS_M * math.cos(angle) / _M_PER_DEG / math.cos(math.radians(_NORTH_DEG))
        place = f"{_nmea(north_deg, 2)},N,{_nmea(east_deg, 3)},E"
        knots = _SPEED_MPS / 0.514444 if self.drives else 0.0
        course = -math.degrees(angle) % 360
        clock, date = at.strftime("%H%M%S.") + f"{at.microsecond // 10_000:02}", at.strftime("%d%m%y")
        return sentence(f"GNRMC,{clock},A,{place},{knots:.2f},{course:.1f},{date},,,A") + sentence(
            f"GNGGA,{clock},{place},1,11,0.80,20.0,M,-1.0,M,,"
        )


def _nmea(degrees: float, digits: int) -> str:
    whole = int(degrees)
    return f"{whole:0{digits}}{(degrees - whole) * 60:08.5f}"


class Device:
    """One end of a serial line."""

    def __init__(self, folder: Path, name: str, baud: int, *, renames: bool = False) -> None:
        """`renames`: each time that it is plugged in it has another name, `nameN`; else always `name`."""
        self._folder, self._name, self._renames = folder, name, renames
        self._speed = getattr(termios, f"B{baud}")
        self._plugged = 0
        self._port: PtyPort | None = None
        self._lock = threading.Lock()
        self.mode = Mode.WELL
        self._dice = random.Random(name)
        self.plug()

    def plug(self) -> None:
        """It is there, as another pty than before."""
        with self._lock:
            if self._port is None:
                self._plugged += 1
                self._port = PtyPort(self._folder / (f"{self._name}{self._plugged}" if self._renames else self._name))

    def unplug(self) -> None:
        """It is gone, and with it its name."""
        with self._lock:
            if self._port is not None:
                self._port.close()
            self._port = None

    def turn(self, now_s: float) -> None:
        """Look at the line, and say what there is to say."""
        with self._lock:
            if self._port is None:
                return
            heard = self._port.receive()
            if self.mode is Mode.SILENT:
                return
            fits = termios.tcgetattr(self._port.fileno())[4] == self._speed
            said = self.say(heard if fits else b"", now_s)
            if self.mode is Mode.GARBAGE:
                said += self._dice.randbytes(self._dice.randrange(200))
            if not fits:
                said = bytes(0x80 | each >> 1 for each in said[::3])
            if said and self._port.is_listening:
                self._port.write(said)

    def say(self, heard: bytes, now_s: float) -> bytes:
        """What it says in this turn, to what it has heard."""
        raise NotImplementedError


class Receiver(Device):
    """A GNSS receiver. An honest one tells the time of day once a second; else a drive of 2025 is played faster."""

    def __init__(
        self, car: Car, folder: Path, name: str, baud: int, *, epochs_per_s: int = 1, renames: bool = False
    ) -> None:
        self._car, self._rate = car, epochs_per_s
        self._said_s = 0.0
        self._played_s = 0
        self.date_error = timedelta()
        super().__init__(folder, name, baud, renames=renames)

    def say(self, heard: bytes, now_s: float) -> bytes:
        if now_s - self._said_s < 1 / self._rate:
            return b""
        self._said_s = max(self._said_s + 1 / self._rate, now_s - 1 / self._rate)
        if self._rate == 1:
            return self._car.epoch(self._car.utc().replace(microsecond=0) + self.date_error)
        self._played_s += 1
        return self._car.epoch(_DRIVE_BEGINS + timedelta(seconds=self._played_s) + self.date_error)


class Adapter(Device):
    """An ELM327, good or with a quirk of `QUIRKS`."""

    def __init__(self, car: Car, folder: Path, name: str, baud: int, *, renames: bool = False) -> None:
        self._car, self._chip = car, Elm327()
        self.quirk: Quirk | None = None
        super().__init__(folder, name, baud, renames=renames)

    def plug(self) -> None:
        self._chip = Elm327()  # without power it forgets its settings
        super().plug()

    def say(self, heard: bytes, now_s: float) -> bytes:
        if not heard:
            return b""
        reply = self._chip.feed(heard, self._car.snapshot(), now_s)
        return self.quirk(reply, self._dice) if self.quirk else reply


class Bench:
    """Plays cars and devices until closed."""

    def __init__(self) -> None:
        self.cars: list[Car] = []
        self.devices: list[Device] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="devices", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the devices still play: a harness that broke must not look like an agent that did."""
        return self._thread.is_alive()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        for each in self.devices:
            each.unplug()

    def _run(self) -> None:
        while not self._stopping.wait(_TURN_S):
            now_s = time.monotonic()
            for car in self.cars:
                car.pass_by(now_s)
            for device in self.devices:
                device.turn(now_s)
