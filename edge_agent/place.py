"""Where a device was found: the one word that port finding, serial sources and the OBD link share. Pure."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """A serial port and its speed in bits per second."""

    port: str  # a path, or a URL of pyserial
    baud: int


Find = Callable[[], Place | None]  # called each time the port is to be opened; None: nothing found yet
