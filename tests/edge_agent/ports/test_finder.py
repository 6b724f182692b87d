"""The finder on real ptys, with devices that mind the speed (scripted_devices.py)."""

import fcntl
import json
import os
import termios
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from edge_agent.ports.finder import PortFinder
from edge_agent.ports.kinds import Listing
from edge_agent.ports.listing import PortsSettings, list_all
from edge_agent.ports.place import Find, Place
from edge_agent.ports.probe import Pace, Role
from edge_agent.ports.serial_port import SerialSource
from tests.edge_agent.scripted_devices import BURST, Bench, Device, bench_in

QUICK = Pace(listen_s=0.4, answer_s=0.25)
PATIENT = Pace()  # where a device that was late on a busy machine would be taken for a silent one


def until(condition: Callable[[], object], within_s: float = 60.0) -> float:
    """Seconds until `condition`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - began_s


class Car:
    """A folder that stands for /dev, devices in it, and the finder that looks there."""

    def __init__(self, folder: Path, bench: Bench) -> None:
        self.bench = bench
        self.memory = folder / "ports.json"
        self.look_in = f"{folder}/tty*"
        self.pace = QUICK
        self.leave_alone = ""
        self.usb: list[ListPortInfo] = []
        self.consoles: frozenset[str] = frozenset()
        self._finder: PortFinder | None = None

    def list(self, settings: PortsSettings) -> Listing:
        listing = list_all(settings, lambda: self.usb)
        return Listing(listing.ports, self.consoles, listing.left_alone)

    def finder(self, list_ports: Callable[[PortsSettings], Listing] | None = None) -> PortFinder:
        settings = PortsSettings(self.look_in, self.leave_alone, 5.0)
        self._finder = PortFinder(settings, self.memory, list_ports=list_ports or self.list, pace=self.pace)
        return self._finder

    def on_usb(self, device: Device, vid: int, pid: int, location: str) -> None:
        """The system lists it, so the settings need not."""
        info = ListPortInfo(device.path)
        info.vid, info.pid, info.location = vid, pid, location
        self.usb.append(info)

    def remember(self, **places: tuple[str, int]) -> None:
        table = {role: {"port": port, "baud": baud, "location": ""} for role, (port, baud) in places.items()}
        self.memory.write_text(json.dumps(table))

    def remembered(self) -> dict[str, dict[str, object]]:
        table: dict[str, dict[str, object]] = json.loads(self.memory.read_text()) if self.memory.exists() else {}
        return table

    def stop(self) -> None:
        if self._finder:
            self._finder.stop()


@pytest.fixture
def car(tmp_path: Path) -> Iterator[Car]:
    with bench_in(tmp_path) as bench:
        car = Car(tmp_path, bench)
        yield car
        car.stop()


def place_of(find: Find) -> Place:
    found: list[Place] = []
    until(lambda: [found.append(place) for place in [find()] if place] or found)
    return found[0]


@pytest.mark.parametrize(("receiver_baud", "adapter_baud"), [(9600, 38400), (115200, 9600), (460800, 500000)])
def test_both_devices_are_found_at_their_speeds(car: Car, receiver_baud: int, adapter_baud: int) -> None:
    adapter, receiver = car.bench.adapter("ttyUSB0", adapter_baud), car.bench.receiver("ttyUSB1", receiver_baud)
    finder = car.finder()
    gnss, obd = finder.seek(Role.GNSS), finder.seek(Role.OBD)
    finder.start()
    assert place_of(gnss) == Place(receiver.path, receiver_baud)
    assert place_of(obd) == Place(adapter.path, adapter_baud)
    assert finder.state(Role.GNSS) == f"found at {receiver.path}, {receiver_baud} baud"
    place = {"port": adapter.path, "baud": adapter_baud, "location": ""}
    until(lambda: car.remembered().get("obd") == place)  # a place is handed out first, then written down


def test_a_receiver_is_never_written_to_while_an_adapter_is_looked_for(car: Car) -> None:
    car.pace = PATIENT
    receiver = car.bench.receiver("ttyUSB0", 115200)
    finder = car.finder()
    obd = finder.seek(Role.OBD)
    finder.start()
    until(lambda: finder.state(Role.OBD) != "looking")
    assert finder.state(Role.OBD) == f"looked at {receiver.path} (speaks unasked, so it was not asked)"
    assert obd() is None
    assert receiver.opened
    assert receiver.written == b""


def test_two_equal_bridges_without_serial_numbers_are_told_apart(car: Car) -> None:
    car.look_in = ""
    adapter, receiver = car.bench.adapter("one"), car.bench.receiver("two")
    for number, device in enumerate((adapter, receiver)):
        car.on_usb(device, 0x1A86, 0x7523, f"1-1.{number}")
    finder = car.finder()
    gnss, obd = finder.seek(Role.GNSS), finder.seek(Role.OBD)
    finder.start()
    assert (place_of(gnss).port, place_of(obd).port) == (receiver.path, adapter.path)
    until(lambda: car.remembered().get("gnss", {}).get("location") == "1-1.1")


def test_devices_whose_numbers_changed_places_are_found(car: Car) -> None:
    adapter, receiver = car.bench.adapter("ttyUSB0"), car.bench.receiver("ttyUSB1")
    other = car.bench.silent("ttyUSB2")
    car.pace = PATIENT
    car.remember(gnss=(adapter.path, 9600), obd=(receiver.path, 38400))
    finder = car.finder()
    gnss, obd = finder.seek(Role.GNSS), finder.seek(Role.OBD)
    finder.start()
    assert (place_of(gnss).port, place_of(obd).port) == (receiver.path, adapter.path)
    assert receiver.written == b""
    assert not other.opened  # the short look at the remembered places was enough


def test_the_last_good_place_is_enough_and_others_stay_untouched(car: Car) -> None:
    receiver, other = car.bench.receiver("ttyUSB0", 57600), car.bench.silent("ttyUSB1")
    car.pace = PATIENT
    car.remember(gnss=(receiver.path, 57600))
    finder = car.finder()
    gnss = finder.seek(Role.GNSS)
    finder.start()
    assert place_of(gnss) == Place(receiver.path, 57600)
    assert receiver.speeds == {termios.B57600}
    assert not other.opened


def test_a_device_may_be_gone_for_long_and_come_back_under_another_name(car: Car) -> None:
    got: list[bytes] = []
    receiver = car.bench.receiver("ttyUSB0")
    finder = car.finder()
    source = SerialSource(finder.seek(Role.GNSS), lambda data, _mono_s: got.append(data), name="gnss")
    finder.start()
    source.start()
    until(lambda: BURST in b"".join(got))
    car.bench.unplug(receiver)
    until(lambda: finder.state(Role.GNSS) == "there is no port to look at")
    until(lambda: source.state == "waiting: no port found")
    keep_its_number = os.openpty()  # so that the next pty cannot get the same name
    got.clear()
    again = car.bench.receiver("ttyUSB7", 115200)
    until(lambda: BURST in b"".join(got))
    assert again.path != receiver.path
    assert source.counts.opened == 2
    assert finder.state(Role.GNSS) == f"found at {again.path}, 115200 baud"
    source.stop()
    for fd in keep_its_number:
        os.close(fd)


@pytest.mark.parametrize("how", ["flock", "TIOCEXCL"])
def test_a_port_held_by_another_program_is_skipped_and_named(car: Car, how: str) -> None:
    receiver, silent = car.bench.receiver("ttyUSB0"), car.bench.silent("ttyUSB1")
    user = os.open(receiver.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    if how == "flock":
        fcntl.flock(user, fcntl.LOCK_EX)
    else:
        fcntl.ioctl(user, termios.TIOCEXCL)
    finder = car.finder()
    gnss = finder.seek(Role.GNSS)
    finder.start()
    until(lambda: finder.state(Role.GNSS) != "looking")
    state = finder.state(Role.GNSS)
    assert f"{receiver.path} (is held by another program" in state
    assert f"{silent.path} (silent at 7 speeds)" in state
    assert (f"process {os.getpid()}" in state) == (how == "flock")
    fcntl.ioctl(user, termios.TIOCNXCL)
    os.close(user)
    assert place_of(gnss).port == receiver.path


def test_what_is_to_be_left_alone_is_never_opened(car: Car) -> None:
    excluded, console, modem = (car.bench.receiver(name) for name in ("ttyUSB0", "ttyUSB1", "modem"))
    car.leave_alone = str(excluded.link)
    car.consoles = frozenset({console.path})
    car.on_usb(modem, 0x2C7C, 0x0125, "1-1.3")
    finder = car.finder()
    finder.seek(Role.GNSS)
    finder.start()
    until(lambda: finder.state(Role.GNSS) != "looking")
    for device, reason in (
        (excluded, "left alone by [ports] leave_alone"),
        (console, "left alone: the system's console"),
        (modem, "left alone: a modem by Quectel"),
    ):
        assert f"{device.path} ({reason})" in finder.state(Role.GNSS)
        assert not device.opened


def test_a_board_of_unknown_make_is_listened_to_and_never_written_to(car: Car) -> None:
    board = car.bench.adapter("board")
    car.on_usb(board, 0x2341, 0x0043, "1-1.3")
    finder = car.finder()
    finder.seek(Role.GNSS)
    finder.seek(Role.OBD)
    finder.start()
    until(lambda: finder.state(Role.GNSS) != "looking")
    assert finder.state(Role.GNSS) == f"looked at {board.path} (silent at 7 speeds)"
    assert "not asked: 2341:0043 is no known bridge" in finder.state(Role.OBD)
    assert board.opened
    assert board.written == b""


def test_a_chosen_place_wins_and_is_kept_from_the_other_role(car: Car) -> None:
    chosen, receiver = car.bench.adapter("ttyOBD"), car.bench.receiver("ttyUSB1")
    finder = car.finder()
    obd, gnss = finder.seek(Role.OBD, str(chosen.link), 38400), finder.seek(Role.GNSS)
    assert obd() == obd() == Place(str(chosen.link), 38400)  # at once, before anything was looked at, and always
    assert finder.state(Role.OBD) == f"at {chosen.link}, as set"
    finder.start()
    assert place_of(gnss).port == receiver.path
    car.bench.unplug(receiver)
    assert gnss() is None
    until(lambda: finder.state(Role.GNSS) == f"looked at {chosen.path} (kept for obd)")
    assert not chosen.opened


def test_only_the_speed_of_a_chosen_path_is_found(car: Car) -> None:
    receiver, adapter = car.bench.receiver("gnss", 115200), car.bench.adapter("obd", 9600)
    other = car.bench.receiver("ttyUSB1")
    finder = car.finder()
    gnss, obd = finder.seek(Role.GNSS, str(receiver.link)), finder.seek(Role.OBD, str(adapter.link))
    finder.start()
    assert place_of(gnss) == Place(str(receiver.link), 115200)
    assert place_of(obd) == Place(str(adapter.link), 9600)
    assert not other.opened


def test_a_chosen_path_that_is_not_there_is_named(car: Car, tmp_path: Path) -> None:
    finder = car.finder()
    finder.seek(Role.GNSS, str(tmp_path / "gnss"))
    finder.start()
    path = tmp_path / "gnss"
    until(lambda: finder.state(Role.GNSS) == f"looked at {path} (no such port {path})")


def test_what_one_role_holds_the_other_does_not_touch(car: Car) -> None:
    adapter = car.bench.adapter("ttyUSB0")
    finder = car.finder()
    obd, _ = finder.seek(Role.OBD), finder.seek(Role.GNSS)
    finder.start()
    assert place_of(obd).port == adapter.path
    adapter.opened, adapter.speeds = False, set()
    car.bench.silent("ttyUSB1")  # a change: a new look
    until(lambda: f"{adapter.path} (in use for obd)" in finder.state(Role.GNSS))
    assert not adapter.opened


def test_a_doubted_place_is_the_last_to_be_taken_again(car: Car) -> None:
    first = car.bench.receiver("ttyUSB0")
    finder = car.finder()
    gnss = finder.seek(Role.GNSS)
    finder.doubt(Role.GNSS, "nothing is found yet, so nothing can be doubted")
    finder.start()
    assert place_of(gnss).port == first.path
    second = car.bench.receiver("ttyUSB1", 115200)
    finder.doubt(Role.GNSS, "no sentence for 15 s")
    assert place_of(gnss).port == second.path
    car.bench.unplug(second)
    assert place_of(gnss).port == first.path  # nothing else is left


def test_a_source_that_is_told_to_reopen_moves_to_another_receiver(car: Car) -> None:
    first = car.bench.receiver("ttyUSB0")
    finder = car.finder()
    source = SerialSource(finder.seek(Role.GNSS), lambda _data, _mono_s: None, name="gnss")
    finder.start()
    source.start()
    until(lambda: source.state == "open")
    assert finder.state(Role.GNSS) == f"found at {first.path}, 9600 baud"
    second = car.bench.receiver("ttyUSB1")
    finder.doubt(Role.GNSS, "no sentence for 15 s")
    source.reopen()
    until(lambda: source.counts.opened == 2)
    assert finder.state(Role.GNSS) == f"found at {second.path}, 9600 baud"
    source.stop()


def test_a_device_that_is_alone_is_taken_again_after_a_doubt(car: Car) -> None:
    only = car.bench.receiver("ttyUSB0")
    finder = car.finder()
    gnss = finder.seek(Role.GNSS)
    finder.start()
    for _ in range(2):
        assert place_of(gnss).port == only.path
        finder.doubt(Role.GNSS, "no sentence for 15 s")


@pytest.mark.parametrize("when", ["not started", "looking", "in a pause", "nothing is missing", "twice"])
def test_stop_returns_within_a_second(car: Car, when: str) -> None:
    car.bench.receiver("ttyUSB0") if when == "nothing is missing" else car.bench.silent("ttyUSB0")
    finder = car.finder()
    gnss = finder.seek(Role.GNSS)
    if when != "not started":
        finder.start()
    if when == "nothing is missing":
        place_of(gnss)
    elif when == "in a pause":
        until(lambda: finder.state(Role.GNSS) != "looking")
    elif when == "looking":
        time.sleep(0.1)
    for _ in range(2 if when == "twice" else 1):
        began_s = time.monotonic()
        finder.stop()
        assert time.monotonic() - began_s < 2.0
    assert not [thread for thread in threading.enumerate() if thread.name == "ports" and thread.is_alive()]
    assert gnss() is None  # whoever still asks gets an answer, not an exception


def test_looking_in_vain_costs_little(car: Car) -> None:
    calls: list[float] = []

    def counting(settings: PortsSettings) -> Listing:
        calls.append(time.monotonic())
        return car.list(settings)

    finder = car.finder(counting)
    gnss = finder.seek(Role.GNSS)
    finder.start()
    until(lambda: finder.state(Role.GNSS) == "there is no port to look at")
    calls.clear()
    for _ in range(100):
        assert gnss() is None  # a consumer that asks often wakes nobody
        time.sleep(0.01)
    assert len(calls) <= 3


def test_ports_that_come_and_go_all_the_time_keep_nobody_busy(car: Car) -> None:
    calls: list[float] = []

    def flapping(settings: PortsSettings) -> Listing:
        calls.append(time.monotonic())
        return Listing(consoles=frozenset({str(len(calls))}))

    finder = car.finder(flapping)
    finder.seek(Role.GNSS)
    finder.start()
    time.sleep(1.5)
    assert len(calls) < 10


def test_a_device_unplugged_while_it_is_looked_at_is_reported(car: Car, caplog: pytest.LogCaptureFixture) -> None:
    silent = car.bench.silent("ttyUSB0")
    finder = car.finder()
    finder.seek(Role.GNSS)
    finder.start()
    until(lambda: silent.opened)
    car.bench.unplug(silent)
    until(lambda: f"{silent.path} (vanished)" in caplog.text)


def test_a_fault_while_looking_does_not_end_the_looking(car: Car, caplog: pytest.LogCaptureFixture) -> None:
    receiver = car.bench.receiver("ttyUSB0")
    faults: Iterable[Exception] = iter([RuntimeError("a driver's joke")])

    def joking(settings: PortsSettings) -> Listing:
        for fault in faults:
            raise fault
        return car.list(settings)

    finder = car.finder(joking)
    gnss = finder.seek(Role.GNSS)
    finder.start()
    assert place_of(gnss).port == receiver.path
    assert "a look for ports failed" in caplog.text


def test_a_device_that_comes_during_a_long_look_is_not_kept_waiting(car: Car) -> None:
    """As when a car starts: the ports appear one after the other."""
    car.pace = Pace(listen_s=30.0)
    silent = car.bench.silent("ttyUSB0")
    finder = car.finder()
    gnss = finder.seek(Role.GNSS)
    finder.start()
    until(lambda: silent.opened)
    receiver = car.bench.receiver("ttyUSB1")
    until(lambda: (place := gnss()) and place.port == receiver.path, within_s=25)


def test_a_device_that_is_lost_during_a_long_look_for_the_other_is_looked_for_at_once(
    car: Car, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.ports.finder.SETTLED_S", 0.0)
    car.pace = Pace(listen_s=30.0)
    receiver, silent = car.bench.receiver("ttyUSB0"), car.bench.silent("ttyUSB1")
    car.remember(gnss=(receiver.path, 9600))
    finder = car.finder()
    gnss, _ = finder.seek(Role.GNSS), finder.seek(Role.OBD)
    finder.start()
    place_of(gnss)
    until(lambda: silent.opened)  # the adapter is looked for there, for minutes
    assert gnss() is None
    until(gnss, within_s=25)


def test_who_is_not_looked_for_has_a_state_too(car: Car) -> None:
    assert car.finder().state(Role.OBD) == "not looked for"
