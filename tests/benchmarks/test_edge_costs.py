"""What processes and wires cost: read from the texts that the kernel gives."""

import os
from pathlib import Path

import pytest

from benchmarks.edge_parts.card import Blocks, changed_bytes
from benchmarks.edge_parts.costs import Cost, cpu_percent, memory_mib, thread_percent
from benchmarks.edge_parts.namespaces import Counted, counted_of
from benchmarks.edge_parts.processes import alone_mib, cpu_s, file_system_of, pss_mib, tree
from benchmarks.edge_parts.watching import Wires

MAPPING = """{where} r-xp 00000000 fe:00 1 {name}
Size:               4096 kB
Rss:                3072 kB
Pss:                1024 kB
Shared_Clean:       {shared} kB
Shared_Dirty:          0 kB
Private_Clean:         0 kB
Private_Dirty:      {private} kB
VmFlags: rd ex mr mw me
"""

NET_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier compressed
    lo: 1000   10      0    0    0    0     0          0         1000   10     0    0    0    0     0       0
   pw1: 2114   7       0    0    0    0     0          0         756    4      0    0    0    0     0       0
"""


def mapping(name: str, shared: int, private: int) -> str:
    return MAPPING.format(where="7f0000000000-7f0000400000", name=name, shared=shared, private=private)


def test_what_two_processes_share_counts_once_and_what_is_theirs_alone_in_full() -> None:
    agent = mapping("/lib/libc.so", 2048, 100) + mapping("[heap]", 0, 1024)
    worker = mapping("/lib/libc.so", 1024, 50) + mapping("/lib/other.so", 512, 0)
    assert alone_mib([agent]) == (2048 + 100 + 1024) / 1024
    assert alone_mib([agent, worker]) == (2048 + 100 + 1024 + 50 + 512) / 1024


def test_a_mapping_without_a_name_is_counted() -> None:
    assert alone_mib(["7f00-7f01 rw-p 00000000 00:00 0 \nShared_Clean: 512 kB\nPrivate_Dirty: 512 kB\n"]) == 1.0


def test_this_process_takes_more_alone_than_its_share() -> None:
    pid = os.getpid()
    assert tree(pid)[0] == pid
    assert memory_mib([pid], pid)["all"] >= pss_mib(pid) - 1 > 1
    assert cpu_s(pid) > 0


def test_the_file_system_with_the_longest_mount_point_holds_a_folder() -> None:
    assert file_system_of(Path("/proc/self")) == "proc"
    assert file_system_of(Path("/")) not in ("", "proc")


def test_what_the_near_end_receives_the_unit_has_sent_without_ethernet_headers() -> None:
    counted = counted_of(NET_DEV, "pw1")
    assert counted == Counted(2114 - 7 * 14, 7, 756 - 4 * 14, 4)
    assert (counted.bytes, counted.packets) == (2016 + 700, 11)
    with pytest.raises(ValueError, match="pw2"):
        counted_of(NET_DEV, "pw2")


def test_a_wire_is_read_between_the_looks_before_two_instants() -> None:
    wires = Wires({})
    wires.stop()
    wires.seen["a"] = [(float(n), Counted(100 * n, n, 10 * n, n)) for n in range(5)]
    assert wires.between("a", 1.5, 3.9) == Counted(200, 2, 20, 2)
    assert wires.between("a", -1.0, 0.5).bytes == 0


def test_cpu_is_told_by_process_and_by_thread() -> None:
    before = Cost(100.0, {"agent": 1.0}, {11: 0.5, 12: 0.25})
    after = Cost(200.0, {"agent": 1.5, "OBD worker": 0.25}, {11: 0.75, 12: 0.25, 13: 0.1, 14: 0.05})
    assert cpu_percent(before, after) == {"agent": 0.5, "OBD worker": 0.25}
    assert thread_percent(before, after, {"11": "MainThread", "12": "obd"}) == {
        "MainThread": 0.25,
        "not Python's": 0.15,
    }


@pytest.mark.parametrize(
    ("before", "after", "blocks"),
    [
        (b"", b"a", 1),
        (b"a" * 8192, b"a" * 8192, 0),
        (b"a" * 8192, b"a" * 4095 + b"b" + b"a" * 4096, 1),
        (b"a" * 8192, b"a" * 4095 + b"bb" + b"a" * 4095, 2),
        (b"a" * 4096, b"a" * 4096 + b"b", 1),
        (b"a" * 8192, b"a" * 4096, 0),
    ],
)
def test_blocks_that_changed_are_counted_whole(before: bytes, after: bytes, blocks: int) -> None:
    assert changed_bytes(before, after) == blocks * 4096


def test_a_folder_is_counted_from_the_first_look_on_without_shared_memory(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"a" * 10_000)
    (tmp_path / "outbox.db-shm").write_bytes(b"a" * 10_000)
    blocks = Blocks(tmp_path)
    blocks.look()
    assert blocks.written_bytes == 0
    (tmp_path / "outbox.db").write_bytes(b"a" * 9_999 + b"b")
    (tmp_path / "outbox.db-shm").write_bytes(b"b" * 10_000)
    (tmp_path / "outbox.db-wal").write_bytes(b"c")
    blocks.look()
    assert blocks.written_bytes == 2 * 4096
