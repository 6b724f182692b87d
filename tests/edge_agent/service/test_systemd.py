"""What the service manager is told, and how a crash loop is noticed."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_agent.service.systemd import CRASHES_TO_SAFE, LASTED_S, CrashGuard, Service


class Manager:
    """The service manager's end of the notification socket."""

    def __init__(self, address: str) -> None:
        self._way = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._way.bind("\0" + address[1:] if address.startswith("@") else address)
        self._way.setblocking(False)

    def heard(self) -> list[str]:
        told = []
        while True:
            try:
                told.append(self._way.recv(4096).decode())
            except BlockingIOError:
                return told

    def close(self) -> None:
        self._way.close()


@pytest.fixture(params=["file", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "notify") if request.param == "file" else f"@pledgewatch-test-{os.getpid()}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    manager = Manager(address)
    yield manager
    manager.close()


def test_the_manager_hears_of_start_work_and_end(manager: Manager, address: str) -> None:
    service = Service({"NOTIFY_SOCKET": address})
    service.ready()
    service.status("gnss open\nobd querying")
    service.alive(1.0)  # no watchdog was asked for
    service.stopping()
    assert manager.heard() == ["READY=1", "STATUS=gnss open obd querying", "STOPPING=1"]


def test_the_watchdog_is_fed_three_times_a_period(manager: Manager, address: str) -> None:
    service = Service({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    for second in range(31):
        service.alive(100.0 + second)
    assert manager.heard() == ["WATCHDOG=1"] * 4  # at 0, 10, 20 and 30 s


@pytest.mark.parametrize(
    "environment",
    [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": ""}],
)
def test_a_watchdog_of_somebody_else_or_none_is_not_fed(
    manager: Manager, address: str, environment: dict[str, str]
) -> None:
    service = Service({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"} | environment)
    service.alive(1.0)
    assert manager.heard() == []


def test_without_a_manager_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "1000000"}):
        service = Service(environment)
        service.ready()
        service.alive(1.0)
        service.status("fine")


def test_a_manager_that_does_not_listen_blocks_nobody(manager: Manager, address: str) -> None:
    service = Service({"NOTIFY_SOCKET": address})
    for _ in range(2_000):  # the queue of a datagram socket holds a few dozen
        service.status("x" * 200)
    assert manager.heard()


def test_starts_that_do_not_last_are_counted_until_one_begins_safely(tmp_path: Path) -> None:
    told = [CrashGuard(tmp_path).begin(0.0) for _ in range(CRASHES_TO_SAFE + 2)]
    assert [each.in_a_row for each in told] == list(range(CRASHES_TO_SAFE + 2))
    assert [each.is_safe for each in told] == [False] * CRASHES_TO_SAFE + [True] * 2


def test_a_start_that_lasts_or_ends_as_asked_is_no_crash(tmp_path: Path) -> None:
    for _ in range(3):
        CrashGuard(tmp_path).begin(0.0)
    guard = CrashGuard(tmp_path)
    assert guard.begin(1_000.0).in_a_row == 3
    guard.works(1_000.0 + LASTED_S - 0.1)
    assert CrashGuard(tmp_path).begin(0.0).in_a_row == 4
    guard.works(1_000.0 + LASTED_S)
    assert CrashGuard(tmp_path).begin(0.0).in_a_row == 0
    asked = CrashGuard(tmp_path)
    assert asked.begin(0.0).in_a_row == 1
    asked.ended()
    assert CrashGuard(tmp_path).begin(0.0).in_a_row == 0


def test_lasting_is_written_once(tmp_path: Path) -> None:
    guard = CrashGuard(tmp_path)
    guard.begin(0.0)
    guard.works(LASTED_S)
    (tmp_path / "starts.json").unlink()
    guard.works(LASTED_S + 1)
    guard.ended()
    assert not (tmp_path / "starts.json").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"in_a_row": "many"}', '{"in_a_row": -5}', '{"other": 1}', "null"])
def test_a_damaged_file_begins_a_new_row(tmp_path: Path, content: str) -> None:
    (tmp_path / "starts.json").write_text(content)
    assert CrashGuard(tmp_path).begin(0.0).in_a_row == 0
    assert CrashGuard(tmp_path).begin(0.0).in_a_row == 1


def test_a_folder_that_takes_no_file_stops_no_agent(tmp_path: Path) -> None:
    guard = CrashGuard(tmp_path / "nowhere")
    assert guard.begin(0.0) == CrashGuard(tmp_path / "nowhere").begin(0.0)
    guard.ended()
