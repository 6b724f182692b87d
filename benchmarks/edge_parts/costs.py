"""What a set of processes has cost so far, and the difference of two looks."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.edge_parts import processes


@dataclass(frozen=True, slots=True)
class Cost:
    """One look at a unit: CPU since it started, by role ("agent", "OBD worker") and by thread id."""

    at_s: float
    cpu_s: dict[str, float]
    by_thread_s: dict[int, float]


def look(pid: int, at_s: float) -> Cost:
    """At an agent and the processes that it started."""
    tree = processes.tree(pid)
    cpu: dict[str, float] = {}
    for each in tree:
        cpu[role_of(each, pid)] = cpu.get(role_of(each, pid), 0.0) + processes.cpu_s(each)
    return Cost(at_s, cpu, processes.cpu_by_thread_s(pid))


def role_of(pid: int, agent: int) -> str:
    """The agent itself, or what it started."""
    return "agent" if pid == agent else "OBD worker" if "worker" in processes.command_of(pid) else "other"


def cpu_percent(before: Cost, after: Cost) -> dict[str, float]:
    """Of one core, by role."""
    lasted_s = after.at_s - before.at_s
    return {name: 100 * (spent - before.cpu_s.get(name, 0.0)) / lasted_s for name, spent in after.cpu_s.items()}


def thread_percent(before: Cost, after: Cost, names: dict[str, str]) -> dict[str, float]:
    """Of one core, by thread of the agent, above 0.005; `names` maps thread ids, as text, to names."""
    lasted_s = after.at_s - before.at_s
    found: dict[str, float] = {}
    for thread, spent in after.by_thread_s.items():
        name = names.get(str(thread), "not Python's")
        found[name] = found.get(name, 0.0) + 100 * (spent - before.by_thread_s.get(thread, 0.0)) / lasted_s
    return {name: round(percent, 3) for name, percent in found.items() if percent >= 0.005}


def memory_mib(pids: Sequence[int], agent: int) -> dict[str, float]:
    """As if alone on the machine: all of them, then each by itself (what they share counts in each)."""
    texts = [processes.smaps_of(each) for each in pids]
    found = {"all": processes.alone_mib(texts)}
    for pid, text in zip(pids, texts, strict=True):
        name = role_of(pid, agent)
        found[name] = found.get(name, 0.0) + processes.alone_mib([text])
    return found
