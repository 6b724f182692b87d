"""Where a device was found: the one word that port finding, serial sources and the OBD link share. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """A serial port and its speed in bits per second."""

    port: str  # a path, or a URL of pyserial
    baud: int


Find = Callable[[], Place | None]  # called each time the port is to be opened; None: nothing found yet


def fixed(port: str, baud: int) -> Find:
    """A place that a person chose, never questioned: a path, made absolute now, or a URL of pyserial.

    Raises:
        ValueError: `baud` is not positive.
    """
    if baud <= 0:
        raise ValueError(f"baud must be positive, not {baud}")
    place = Place(port if "://" in port else str(Path(port).absolute()), baud)
    return lambda: place
