"""Network rooms: each unit in a namespace of its own, joined by a veth pair on which its bytes are counted.

The benchmark runs itself again inside new namespaces (`unshare -nm`, or `-rn` without root), so that it changes nothing
of the machine; ip(8), unshare(1) and nsenter(1) do the rest. Both ends know each other's hardware address, so
that no ARP is counted, IPv6 is off, and large sends are cut into real packets before they are counted.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SERVER = "10.77.0.1"
_ETHERNET_HEADER = 14
_INSIDE = "PLEDGEWATCH_EDGE_NAMESPACE"
_TOOLS = ("unshare", "nsenter", "ip")


@dataclass(frozen=True, slots=True)
class Counted:
    """IP-level bytes and packets that passed, as the unit sees them."""

    up_bytes: int
    up_packets: int
    down_bytes: int
    down_packets: int

    def since(self, before: "Counted") -> "Counted":
        """What passed in between."""
        return Counted(
            self.up_bytes - before.up_bytes,
            self.up_packets - before.up_packets,
            self.down_bytes - before.down_bytes,
            self.down_packets - before.down_packets,
        )

    @property
    def bytes(self) -> int:
        """In both directions."""
        return self.up_bytes + self.down_bytes

    @property
    def packets(self) -> int:
        """In both directions."""
        return self.up_packets + self.down_packets


def enter_or_say_why(arguments: Sequence[str]) -> str | None:
    """Run this benchmark again inside a namespace of its own; returns only inside, or with why that cannot be."""
    if os.environ.get(_INSIDE):
        _ip("link", "set", "lo", "up")
        _ip("address", "add", f"{SERVER}/32", "dev", "lo")
        return None
    missing = [each for each in _TOOLS if shutil.which(each) is None]
    if missing:
        return f"{', '.join(missing)} not found (packages util-linux, iproute2)"
    flags = "-nm" if os.geteuid() == 0 else "-rn"
    tried = subprocess.run(["unshare", flags, "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    if tried.returncode:
        return f"no network namespace may be made here: {tried.stderr.strip()}"
    names = {"USER": "root", "LOGNAME": "root"} if flags == "-rn" else {}  # what Mosquitto is told to run as
    again = ["unshare", flags, sys.executable, "-m", "benchmarks.edge", *arguments]
    os.execvpe("unshare", again, os.environ | names | {_INSIDE: "1"})
    raise AssertionError("execvpe returns only by raising")


class Room:
    """One namespace. Ends with `close`; commands started in it end by their own owner."""

    def __init__(self, number: int) -> None:
        """`number`, 1 to 250, makes its addresses 10.77.number.1 (here) and .2 (inside)."""
        self._device = f"pw{number}"
        self._holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"], start_new_session=True)
        self._wait_for_namespace()
        here, inside = f"10.77.{number}.1", f"10.77.{number}.2"
        addresses = f"02:00:00:00:{number:02x}:01", f"02:00:00:00:{number:02x}:02"
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        _run(*self.enter("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"))
        _ip("link", "add", self._device, "address", addresses[0], "type", "veth", "peer", "name", "up0")
        _ip("link", "set", "up0", "netns", str(self._holder.pid))
        _ip("address", "add", f"{here}/30", "dev", self._device)
        _ip("link", "set", self._device, "gso_max_segs", "1", "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("link", "set", "up0", "address", addresses[1]),
            ("address", "add", f"{inside}/30", "dev", "up0"),
            ("link", "set", "up0", "gso_max_segs", "1", "up"),
            ("neighbour", "replace", here, "lladdr", addresses[0], "dev", "up0", "nud", "permanent"),
            ("route", "add", "default", "via", here),
        ):
            _run(*self.enter("ip", *command))
        _ip("neighbour", "replace", inside, "lladdr", addresses[1], "dev", self._device, "nud", "permanent")

    def enter(self, *command: str) -> list[str]:
        """`command` so that it runs inside; it keeps its process id."""
        return ["nsenter", f"--target={self._holder.pid}", "--net", "--", *command]

    def counted(self) -> Counted:
        """Since the room was made."""
        return counted_of(Path("/proc/self/net/dev").read_text(), self._device)

    def close(self) -> None:
        """The namespace goes with its last process, and the veth pair with it."""
        self._holder.kill()
        self._holder.wait()

    def _wait_for_namespace(self) -> None:
        ours = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self._holder.pid}/ns/net").readlink() == ours:
            if self._holder.poll() is not None:
                raise OSError("a network namespace inside ours could not be made")


def counted_of(table: str, device: str) -> Counted:
    """The row of /proc/net/dev of the near end of a pair: what it receives, the unit has sent.

    Raises:
        ValueError: no such device.
    """
    for line in table.splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() == device:
            fields = [int(each) for each in numbers.split()]
            received, came, sent, went = fields[0], fields[1], fields[8], fields[9]
            return Counted(received - _ETHERNET_HEADER * came, came, sent - _ETHERNET_HEADER * went, went)
    raise ValueError(f"no device {device}")


def _ip(*command: str) -> None:
    _run("ip", *command)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
