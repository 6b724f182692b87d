"""A standing car on two ptys, played by the benchmark itself, so that it knows when each last byte was written.

The receiver says a burst of seven sentences a second, a metre or so around one place; the adapter is the simulator's
ELM327 in front of a car that the benchmark sets (`Standing.car`).
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from firmware_sim.elm327 import Elm327
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort, wait_for_bytes

_HOME_DEG = (30.6570, 104.0650)
_WANDER_DEG = 8e-6  # about a metre
_TROUBLE = {"03": "trouble_codes", "07": "pending_codes", "0A": "permanent_codes"}  # SAE J1979 service → event

IDLING = CarSnapshot(
    battery_v=13.9,
    module_voltage_v=13.85,
    rpm=760.0,
    speed_kmh=0.0,
    coolant_c=88.0,
    engine_load_pct=22.0,
    throttle_pct=14.0,
    maf_gps=2.6,
    iat_c=31.0,
    engine_run_time_s=900.0,
    fuel_level_pct=61.0,
    odometer_km=48210.0,
)
ASLEEP = CarSnapshot(ecu_awake=False, battery_v=12.6)


@dataclass(frozen=True, slots=True)
class Written:
    """Something that makes an event, and when its last byte was written, on CLOCK_MONOTONIC."""

    kind: str
    key: str  # what the event's details will say
    mono_s: float


@dataclass
class Standing:
    """Plays until `stop`. `car` may be replaced at any time; with `troubled` its codes change after each reading."""

    gnss_link: Path
    obd_link: Path
    car: CarSnapshot
    troubled: bool = False
    written: list[Written] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._gnss, self._obd = PtyPort(self.gnss_link), PtyPort(self.obd_link)
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._receiver, self._adapter)]
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """End both threads and their ptys."""
        self._stopping.set()
        for each in self._threads:
            each.join(5.0)
        self._gnss.close()
        self._obd.close()

    def _receiver(self) -> None:
        dice = random.Random(7)
        begin, begin_s = datetime.now(UTC).replace(microsecond=0), time.monotonic()
        second = 0
        while not self._stopping.is_set():
            second += 1
            self._stopping.wait(max(0.0, begin_s + second - time.monotonic()))
            utc = begin + timedelta(seconds=second)
            self._gnss.receive()
            if self._gnss.is_listening and self._gnss.write(burst(utc, dice)):
                at_s = time.monotonic()
                self.written.append(Written("model_told", str(round(utc.timestamp() * 1000)), at_s))

    def _adapter(self) -> None:
        adapter, began_s, turn = Elm327(), time.monotonic(), 1
        typed = b""
        while not self._stopping.is_set():
            if not self._obd.is_open:
                self._stopping.wait(0.05)
            wait_for_bytes([self._obd], 0.25)
            data = self._obd.receive()
            if not data:
                continue
            typed = (typed + data)[-64:]
            reply = adapter.feed(data, self.car, time.monotonic() - began_s)
            while reply and self._obd.is_open and not self._stopping.is_set():
                reply = reply[self._obd.write(reply) :]
            at_s = time.monotonic()
            asked, _, rest = typed.rpartition(b"\r")
            asked = asked.rpartition(b"\r")[2].replace(b" ", b"")
            if not self.troubled or rest or asked.decode("latin-1") not in _TROUBLE:
                continue
            service = asked.decode("latin-1")
            codes = trouble(turn, service)
            self.written.append(Written(_TROUBLE[service], " ".join(codes), at_s))
            if service == "0A":
                turn += 1
                self.car = with_trouble(self.car, turn)

    @staticmethod
    def troubled_car() -> CarSnapshot:
        """An idling car with the first codes."""
        return with_trouble(IDLING, 1)


def trouble(turn: int, service: str) -> tuple[str, ...]:
    """The codes that a service tells in this turn: others each time, and one or two of them."""
    letter = {"03": "P0", "07": "P1", "0A": "P2"}[service]
    first = f"{letter}{turn % 0xFFF:03X}"
    return (first,) if turn % 2 else (first, "P3FFF")


def with_trouble(car: CarSnapshot, turn: int) -> CarSnapshot:
    """The same car in another turn."""
    return replace(
        car,
        mil_on=True,
        stored_dtcs=trouble(turn, "03"),
        pending_dtcs=trouble(turn, "07"),
        permanent_dtcs=trouble(turn, "0A"),
    )


def burst(utc: datetime, dice: random.Random) -> bytes:
    """One second of a receiver that stands: RMC, GGA, GSA, three GSV, GLL (NMEA 0183 4.11)."""
    lat, lon = (each + dice.gauss(0, _WANDER_DEG) for each in _HOME_DEG)
    clock, date = utc.strftime("%H%M%S.00"), utc.strftime("%d%m%y")
    place = f"{int(lat):02d}{lat % 1 * 60:08.5f},N,{int(lon):03d}{lon % 1 * 60:08.5f},E"
    seen = [",".join(f"{4 * n + k:02d},45,{90 * k:03d},{38 + k}" for k in range(4)) for n in (1, 2, 3)]
    return b"".join(
        sentence(text)
        for text in (
            f"GNRMC,{clock},A,{place},0.0{dice.randrange(1, 9)},,{date},,,A",
            f"GNGGA,{clock},{place},1,12,0.7{dice.randrange(9)},505.{dice.randrange(9)},M,-38.0,M,,",
            "GNGSA,A,3,05,06,07,08,09,10,11,12,13,14,15,16,1.4,0.7,1.2",
            *(f"GPGSV,3,{n},12,{four}" for n, four in enumerate(seen, 1)),
            f"GNGLL,{place},{clock},A,A",
        )
    )


def sentence(text: str) -> bytes:
    """With its checksum, the exclusive or of what is between $ and *."""
    checksum = 0
    for byte in text.encode():
        checksum ^= byte
    return f"${text}*{checksum:02X}\r\n".encode()


def wait(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it came true in time."""
    end_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.2)
    return True
