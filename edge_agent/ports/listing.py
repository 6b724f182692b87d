"""Which serial ports there are now: what the system lists and what the settings name, each device once."""

import contextlib
import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edge_agent.ports.kinds import Candidate, Listing
from edge_agent.settings import setting

_TTYS = Path("/sys/class/tty")


@dataclass(frozen=True, slots=True)
class PortsSettings:
    """[ports]: where to look for devices whose port is "auto"."""

    # A Raspberry Pi's serial0 is whichever UART is on its pins; the others are UARTs that pyserial does not list.
    look_in: str = setting(
        "more ports to look at, as paths with * and ?, separated by spaces; what is named here may also be asked",
        "/dev/serial0 /dev/ttySC* /dev/ttymxc*",
    )
    leave_alone: str = setting(
        "ports never to be opened, as paths with * and ?, separated by spaces; links count too", ""
    )
    longest_pause_s: float = setting("how long to wait at most between two looks in vain, in s", 60.0, low=5, high=3600)


def list_all(settings: PortsSettings, comports: Callable[[], Iterable[ListPortInfo]] = list_ports.comports) -> Listing:
    """Every port by its device's own path: a link and its target are one port."""
    infos: dict[str, ListPortInfo] = {}
    with contextlib.suppress(OSError, TypeError, ValueError):  # pyserial trips over a device that goes meanwhile
        infos = {os.path.realpath(info.device): info for info in comports()}
    listed = set(expand(settings.look_in))
    ports = tuple(each for path in sorted(infos.keys() | listed) for each in _candidate(path, infos.get(path), listed))
    patterns, excluded = settings.leave_alone.split(), set(expand(settings.leave_alone))
    left_alone = {
        port.path for port in ports if port.path in excluded or any(fnmatchcase(port.path, each) for each in patterns)
    }
    return Listing(ports, consoles(), frozenset(left_alone))


def expand(patterns: str) -> Iterator[str]:
    """The devices behind what matches any of the patterns."""
    for pattern in patterns.split():
        for path in glob.iglob(pattern):  # noqa: PTH207 - pathlib has no glob for absolute patterns
            yield os.path.realpath(path)


def consoles() -> frozenset[str]:
    """Paths of the ports on which the kernel writes its messages."""
    with contextlib.suppress(OSError):
        names = (_TTYS / "console" / "active").read_text(encoding="ascii").split()
        return frozenset(f"/dev/{name}" for name in names)
    return frozenset()


def _candidate(path: str, info: ListPortInfo | None, listed: set[str]) -> Iterator[Candidate]:
    """One, or none where there is no device behind the name."""
    name = Path(path).name
    with contextlib.suppress(OSError):
        node = Path(path).stat()
        if not stat.S_ISCHR(node.st_mode) or _is_empty_socket(name):
            return
        driver = os.path.realpath(_TTYS / name / "device" / "driver") if info else ""
        yield Candidate(
            path,
            vendor=info.vid if info else None,
            product=info.pid if info else None,
            driver=Path(driver).name if driver and Path(driver).exists() else "",
            location=(info.location if info else None) or "",
            listed=path in listed,
            stamp=(node.st_ino, node.st_ctime_ns),
        )


def _is_empty_socket(name: str) -> bool:
    """A PC has names for 4 or 32 UARTs, whatever is built in; type 0 is PORT_UNKNOWN (linux/serial_core.h)."""
    with contextlib.suppress(OSError):
        return name.startswith("ttyS") and (_TTYS / name / "type").read_text(encoding="ascii").strip() == "0"
    return False
