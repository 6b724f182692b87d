"""Receivers and adapters on ptys that mind the speed: at a wrong one they are heard as garbage, and hear nothing.

A pty carries bytes at any speed but keeps what was set, so the device looks at it before it speaks or listens.
"""

import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from firmware_sim.elm327 import Elm327
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort


def sentence(body: str) -> bytes:
    digits = 0
    for character in body.encode():
        digits ^= character
    return f"${body}*{digits:02X}\r\n".encode()


BURST = sentence("BDRMC,021503.00,A,3114.5000,N,12128.6000,E,0.0,,241126,,,A") + sentence(
    "GNGGA,021503.00,3114.5000,N,12128.6000,E,1,09,1.0,10.0,M,8.0,M,,"
)


@dataclass
class Device:
    """One device on one pty. `written` is all that anybody wrote to it; `opened` says whether anybody ever came."""

    link: Path
    baud: int = 9600
    burst: bytes = b""  # a receiver: said every `every_s`
    every_s: float = 0.05
    adapter: Elm327 | None = None
    written: bytes = b""
    opened: bool = False
    speeds: set[int] = field(default_factory=set)
    _next_s: float = 0.0

    def __post_init__(self) -> None:
        self.port = PtyPort(self.link)
        self.path = self.port.path

    def turn(self, now_s: float) -> None:
        received = self.port.receive()
        self.written += received
        self.opened = self.opened or self.port.is_open
        speed = termios.tcgetattr(self.port.fileno())[4]
        if self.port.is_open:
            self.speeds.add(speed)
        fits = speed == getattr(termios, f"B{self.baud}")
        if self.adapter and received:
            answer = self.adapter.feed(received, CarSnapshot(), now_s) if fits else b"\xf0\x00"
            self.port.write(answer)
        if self.burst and self.port.is_listening and now_s >= self._next_s:
            self._next_s = now_s + self.every_s
            self.port.write(self.burst if fits else bytes(0x80 | byte >> 1 for byte in self.burst[::3]))


class Bench:
    """All devices of a test, driven by one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._devices: list[Device] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def receiver(self, name: str, baud: int = 9600, every_s: float = 0.05) -> Device:
        return self._plug(Device(self._folder / name, baud, BURST, every_s))

    def adapter(self, name: str, baud: int = 38400) -> Device:
        return self._plug(Device(self._folder / name, baud, adapter=Elm327()))

    def silent(self, name: str) -> Device:
        return self._plug(Device(self._folder / name))

    def unplug(self, device: Device) -> None:
        with self._lock:
            self._devices.remove(device)
            device.port.close()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        for device in self._devices:
            device.port.close()

    def _plug(self, device: Device) -> Device:
        with self._lock:
            self._devices.append(device)
        return device

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            with self._lock:
                for device in self._devices:
                    device.turn(time.monotonic())


@contextmanager
def bench_in(folder: Path) -> Iterator[Bench]:
    bench = Bench(folder)
    try:
        yield bench
    finally:
        bench.close()
