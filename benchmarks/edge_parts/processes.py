"""What processes cost, from /proc (proc(5)): memory in MiB, CPU time in s."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_KIB = 1024


def tree(pid: int) -> tuple[int, ...]:
    """The process and its descendants that live now."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += tree(int(child))
    return tuple(found)


def command_of(pid: int) -> str:
    """Its arguments, in one line."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def pss_mib(pid: int) -> float:
    """Proportional set size as the kernel tells it: what is shared counts by its share, whoever shares it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / _KIB
    raise ValueError(f"process {pid} tells no Pss")


def alone_mib(smaps: Iterable[str]) -> float:
    """PSS of processes (each the text of its /proc/PID/smaps) as if nothing else ran on the machine.

    The kernel's PSS would divide the libraries by the server and the other agents of the benchmark too. Private pages
    count in full; of the shared ones of a file, the process that holds most of them.
    """
    private, shared = 0, Counter[str]()
    for text in smaps:
        its_shared, name = Counter[str](), ""
        for line in text.splitlines():
            first, _, rest = line.partition(" ")
            if first in ("Private_Clean:", "Private_Dirty:"):
                private += int(rest.split()[0])
            elif first in ("Shared_Clean:", "Shared_Dirty:"):
                its_shared[name] += int(rest.split()[0])
            elif not first.endswith(":"):
                name = line.split(maxsplit=5)[5] if len(line.split(maxsplit=5)) == 6 else "anonymous"
        shared |= its_shared
    return (private + sum(shared.values())) / _KIB


def smaps_of(pid: int) -> str:
    """For `alone_mib`."""
    return Path(f"/proc/{pid}/smaps").read_text()


def cpu_s(pid: int) -> float:
    """User and system time of a process, its living threads and the children that it has collected."""
    return sum(_stat(Path(f"/proc/{pid}/stat"))[:4]) * _TICK_S


def tree_cpu_s(pid: int) -> float:
    """The same of a process and its descendants: a child that ends is found again at its parent."""
    return sum(cpu_s(each) for each in tree(pid))


def cpu_by_thread_s(pid: int) -> dict[int, float]:
    """Thread id → CPU time so far, of those that live."""
    return {int(task.parent.name): sum(_stat(task)[:2]) * _TICK_S for task in Path(f"/proc/{pid}/task").glob("*/stat")}


def file_system_of(folder: Path) -> str:
    """The kind of file system that holds `folder`, by the longest mount point above it."""
    where, best, kind = str(folder.resolve()), "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, its_kind, *_ = line.split()
        inside = where == point or where.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, its_kind
    return kind


def _stat(path: Path) -> tuple[int, int, int, int]:
    """utime, stime, cutime, cstime in ticks: fields 14 to 17, counted behind the name, which may hold spaces."""
    fields = path.read_text().rpartition(")")[2].split()
    utime, stime, cutime, cstime = (int(each) for each in fields[11:15])
    return utime, stime, cutime, cstime
