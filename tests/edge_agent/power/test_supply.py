"""The supply's files, watched for real: no timing is asserted, only that the news comes, once, and the thread ends."""

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.power import supply
from edge_agent.power.cut import Supply
from edge_agent.power.settings import PowerSettings
from edge_agent.power.supply import SupplyWatch, online_file

_LONG_S = 20.0


class Watched:
    """A running watch and what it called back with."""

    def __init__(self, settings: PowerSettings) -> None:
        self.supplies: queue.Queue[Supply] = queue.Queue()
        self.volts: queue.Queue[float] = queue.Queue()
        self.currents: queue.Queue[float] = queue.Queue()
        self.watch = SupplyWatch(
            settings,
            self.supplies.put,
            lambda volts, _mono_s: self.volts.put(volts),
            lambda current_ma, _mono_s: self.currents.put(current_ma),
        )
        self.watch.start()


@pytest.fixture
def watched() -> Iterator[Callable[[PowerSettings], Watched]]:
    made: list[Watched] = []

    def make(settings: PowerSettings) -> Watched:
        made.append(Watched(settings))
        return made[-1]

    yield make
    for each in made:
        each.watch.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "supply"]


@pytest.fixture
def online(tmp_path: Path) -> Path:
    path = tmp_path / "online"
    path.write_text("1\n")
    return path


def replaced(path: Path, text: str) -> None:
    """As daemons do it: a new file under the old name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


@pytest.mark.parametrize("write", [Path.write_text, replaced], ids=["written", "replaced"])
def test_a_cut_and_its_end_are_told_once_each(
    online: Path, watched: Callable[[PowerSettings], Watched], write: Callable[[Path, str], object]
) -> None:
    unit = watched(PowerSettings(online_file=str(online)))
    write(online, "0\n")
    cut = unit.supplies.get(timeout=_LONG_S)
    write(online, "1\n")
    back = unit.supplies.get(timeout=_LONG_S)
    assert (cut.present, back.present) == (False, True)
    assert back.since_s > cut.since_s
    assert unit.supplies.empty()


def test_a_unit_that_starts_on_its_backup_says_so(online: Path, watched: Callable[[PowerSettings], Watched]) -> None:
    online.write_text("0\n")
    unit = watched(PowerSettings(online_file=str(online)))
    assert not unit.supplies.get(timeout=_LONG_S).present


def test_a_pin_that_is_low_while_there_is_power(online: Path, watched: Callable[[PowerSettings], Watched]) -> None:
    unit = watched(PowerSettings(online_file=str(online), online_value="0"))
    assert not unit.supplies.get(timeout=_LONG_S).present


def test_a_file_that_vanishes_is_no_cut_and_is_found_again(
    online: Path, watched: Callable[[PowerSettings], Watched]
) -> None:
    unit = watched(PowerSettings(online_file=str(online), volts_file=str(online), volts_scale=1.0))
    assert unit.volts.get(timeout=_LONG_S) == 1.0  # it has looked
    online.unlink()
    with pytest.raises(queue.Empty):
        unit.supplies.get(timeout=0.5)
    online.write_text("0\n")
    assert not unit.supplies.get(timeout=_LONG_S).present


def test_under_the_starter_the_voltage_speaks_against_a_cut(
    online: Path, tmp_path: Path, watched: Callable[[PowerSettings], Watched]
) -> None:
    volts = tmp_path / "voltage_now"
    volts.write_text("6500000\n")
    unit = watched(PowerSettings(online_file=str(online), volts_file=str(volts)))
    assert unit.volts.get(timeout=_LONG_S) == 6.5
    online.write_text("0\n")
    with pytest.raises(queue.Empty):
        unit.supplies.get(timeout=0.5)
    volts.write_text("0\n")
    assert not unit.supplies.get(timeout=_LONG_S).present


def test_voltage_and_current_are_scaled_and_nonsense_is_silence(
    tmp_path: Path, watched: Callable[[PowerSettings], Watched]
) -> None:
    (tmp_path / "v").write_text("12600\n")
    (tmp_path / "i").write_text("-95000\n")
    settings = PowerSettings(volts_file=str(tmp_path / "v"), volts_scale=1e-3, current_file=str(tmp_path / "i"))
    unit = watched(settings)
    assert unit.volts.get(timeout=_LONG_S) == pytest.approx(12.6)
    assert unit.currents.get(timeout=_LONG_S) == pytest.approx(95.0)
    for nonsense in ("", "twelve", "nan", "inf"):
        (tmp_path / "v").write_text(nonsense)
        again = watched(settings)
        assert again.currents.get(timeout=_LONG_S) == pytest.approx(95.0)
        assert again.volts.empty()


def test_without_anything_to_look_at_there_is_no_thread(watched: Callable[[PowerSettings], Watched]) -> None:
    unit = watched(PowerSettings())
    assert not unit.watch.watches
    assert "supply" not in [thread.name for thread in threading.enumerate()]


def test_without_uevents_it_looks_by_itself(
    online: Path, watched: Callable[[PowerSettings], Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supply, "_NETLINK_KOBJECT_UEVENT", 9999)
    unit = watched(PowerSettings(online_file=str(online)))
    online.write_text("0\n")
    assert not unit.supplies.get(timeout=_LONG_S).present


def test_the_kernels_uevents_bring_the_news_where_looking_does_not(
    online: Path, watched: Callable[[PowerSettings], Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.setblocking(False)
    monkeypatch.setattr(supply, "_uevents", lambda: heard)
    monkeypatch.setattr(supply, "_LOOK_S", 3600.0)
    with kernel:
        unit = watched(PowerSettings(online_file=str(online), cut_after_ms=50.0))
        online.write_text("0\n")
        for _ in range(400):
            kernel.send(b"change@/devices/x\0ACTION=change\0SUBSYSTEM=power_supply\0")
            with contextlib.suppress(queue.Empty):
                assert not unit.supplies.get(timeout=0.05).present
                return
    pytest.fail("the rings were not heard")


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([b"add@/x\0SUBSYSTEM=usb\0"], False),
        ([b"add@/x\0SUBSYSTEM=usb\0", b"change@/y\0SUBSYSTEM=power_supply\0"], True),
        ([b"add@/SUBSYSTEM=power_supply/z\0SUBSYSTEM=block\0"], False),
        ([], False),
    ],
)
def test_only_uevents_of_power_supplies_count(messages: list[bytes], found: bool) -> None:
    kernel, heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.setblocking(False)
    with kernel, heard:
        for message in messages:
            kernel.send(message)
        assert supply._of_power(heard) is found


def test_a_watch_that_waits_costs_no_processor_time(
    online: Path, watched: Callable[[PowerSettings], Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks, counted: one in 20 ms at most."""
    monkeypatch.setattr(supply, "_NETLINK_KOBJECT_UEVENT", 9999)  # those of this machine are no business of the test
    looks = 0
    read = os.pread

    def counting(descriptor: int, size: int, offset: int) -> bytes:
        nonlocal looks
        looks += 1
        return read(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", counting)
    unit = watched(PowerSettings(online_file=str(online), cut_after_ms=1000.0))
    online.write_text("0\n")
    assert not unit.supplies.get(timeout=_LONG_S).present
    assert looks <= 1000 / 20 + 5  # slower machines look less often, none more


def test_the_first_supply_that_is_no_battery_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supply, "POWER_SUPPLIES", tmp_path)
    assert online_file("auto") is None
    for name, kind, has_online in (("bat", "Battery", True), ("mains", "Mains", True), ("usb", "USB", False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(kind + "\n")
        if has_online:
            (tmp_path / name / "online").write_text("1\n")
    assert online_file("auto") == tmp_path / "mains" / "online"
    (tmp_path / "mains" / "online").unlink()
    assert online_file("auto") is None
    assert online_file("") is None
    assert online_file("/x/y") == Path("/x/y")


def test_a_watch_can_be_stopped_before_it_started(online: Path) -> None:
    watch = SupplyWatch(
        replace(PowerSettings(), online_file=str(online)), lambda _: None, lambda *_: None, lambda *_: None
    )
    watch.stop()
