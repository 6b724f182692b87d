"""The unit's devices behind one face: what reaches the agent and when, what the plan changes, what is doubted."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.car.abilities import WITHOUT_OBD, CarAbilities
from edge_agent.car.lifeline import Hello
from edge_agent.car.obd_link import Ask, ObdCounts
from edge_agent.car.readings import Reading
from edge_agent.config import UnitConfig, read_config
from edge_agent.devices import Devices, Hands
from edge_agent.ports.place import Place
from edge_agent.ports.serial_port import PortCounts
from edge_agent.power.cut import Supply
from edge_agent.power.states import Obd, Plan
from tests.edge_agent.scripted_devices import BURST, sentence
from tests.edge_agent.whole_agent import Receiver, until

AHEAD_S = 10_000.0  # how far the agent's clock is ahead of the machine's
DRIVING, PARKED, ON_BACKUP = (Plan(obd, 0.0) for obd in (Obd.ALL, Obd.RESTING, Obd.OFF))


class Port:
    """Of SerialSource's shape."""

    def __init__(self, find: Callable[[], Place | None], on_bytes: Any, on_silence: Any, name: str) -> None:
        self.find, self.state, self.counts = find, "open", PortCounts(opened=1)
        self.on_bytes, self.on_silence = on_bytes, on_silence
        self.written: list[bytes] = []
        self.reopened = 0
        self.stopped = False

    def says(self, count: int) -> None:
        self.counts = PortCounts(self.counts.opened, self.counts.lost, self.counts.bytes_in + count)

    def is_opened_again(self) -> None:
        self.counts = PortCounts(self.counts.opened + 1, self.counts.lost, self.counts.bytes_in)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped = True

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def reopen(self) -> None:
        self.reopened += 1


class Adapter:
    """Of ObdLink's shape."""

    def __init__(self, find: Callable[[], Place | None], on_reading: Callable[[Reading], None]) -> None:
        self.find, self.on_reading = find, on_reading
        self.state, self.hello = "not started", None
        self.counts, self.abilities, self.asked_for = ObdCounts(), CarAbilities(), Ask.ALL
        self.asked: list[Ask] = []
        self.hangs = threading.Event()
        self.hangs.set()

    def start(self) -> None:
        pass

    def stop(self) -> None:
        self.hangs.wait()

    def ask(self, how: Ask, rest_every_s: float) -> None:
        self.asked.append(how)
        self.asked_for = how


@dataclass
class Heard:
    """Everything that the devices said, with the agent's instants."""

    gnss: list[tuple[bytes, float]] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    supplies: list[tuple[Supply, float]] = field(default_factory=list)
    measured: list[tuple[float, float | None, float | None]] = field(default_factory=list)

    @property
    def hands(self) -> Hands:
        return Hands(
            on_gnss=lambda data, mono_s: self.gnss.append((data, mono_s)),
            on_gnss_silence=self.silences.append,
            on_reading=self.readings.append,
            on_supply=lambda supply, mono_s: self.supplies.append((supply, mono_s)),
            on_supply_measured=lambda mono_s, volts, current_ma: self.measured.append((mono_s, volts, current_ma)),
        )


def config_of(folder: Path, gnss: str = "/dev/nowhere", rest: str = "") -> UnitConfig:
    path = folder / "unit.toml"
    path.write_text(f'unit = "PW000001"\n[gnss]\nport = "{gnss}"\nbaud = 9600\n[broker]\nhost = "localhost"\n{rest}\n')
    return read_config(path)


WITH_OBD = '[obd]\nport = "/dev/ttyUSB7"\nbaud = 38400\n'


def devices_of(config: UnitConfig, heard: Heard | None = None, *, is_safe: bool = False) -> Devices:
    return Devices(config, ahead, (heard or Heard()).hands, lambda: False, is_safe)


def ahead() -> float:
    return time.monotonic() + AHEAD_S


@dataclass
class Bench:
    """Devices whose ports are of paper."""

    devices: Devices
    port: Port
    adapter: Adapter
    heard: Heard

    def tend(self, *seconds: float, plan: Plan = DRIVING, good: int = 0) -> None:
        for mono_s in seconds:
            self.devices.tend(plan, good, mono_s)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    made: dict[str, Any] = {}

    def port(*arguments: Any, **named: Any) -> Port:
        return made.setdefault("port", Port(*arguments, **named))

    def adapter(*arguments: Any, **named: Any) -> Adapter:
        return made.setdefault("adapter", Adapter(*arguments, **named))

    monkeypatch.setattr("edge_agent.devices.SerialSource", port)
    monkeypatch.setattr("edge_agent.devices.ObdLink", adapter)
    heard = Heard()
    config = config_of(tmp_path, rest=WITH_OBD + '[receiver]\nconfigure = "auto"')
    return Bench(devices_of(config, heard), made["port"], made["adapter"], heard)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


# What reaches the agent


def test_what_the_receiver_says_arrives_at_the_agents_own_time(tmp_path: Path, receiver: Receiver) -> None:
    heard = Heard()
    devices = devices_of(config_of(tmp_path, receiver.port), heard)
    receiver.put_a_mark()
    before_s = ahead()
    devices.start()
    try:
        receiver.wait_until_opened()
        until(lambda: devices.gnss_state == "open")
        os.write(receiver._master, BURST)
        until(lambda: heard.silences)
    finally:
        devices.stop()
    assert BURST.endswith(b"".join(data for data, _ in heard.gnss)[-40:])
    instants = [mono_s for _, mono_s in heard.gnss] + heard.silences
    assert instants == sorted(instants)
    assert before_s <= instants[0]
    assert instants[-1] <= ahead()
    assert devices.gnss_state.startswith("stopped")
    assert devices.counts == {"gnss.port_opened": 1, "gnss.port_lost": 0}


def test_a_value_of_the_car_keeps_its_age_on_the_agents_clock(bench: Bench) -> None:
    asked_s = time.monotonic() - 3.0
    bench.adapter.on_reading(Reading("speed_kmh", 50.0, asked_s))
    (reading,) = bench.heard.readings
    assert reading.mono_s == pytest.approx(asked_s + AHEAD_S, abs=0.5)
    assert (reading.name, reading.value) == ("speed_kmh", 50.0)


def test_a_cut_and_a_voltage_arrive_at_the_agents_own_time(tmp_path: Path) -> None:
    (tmp_path / "online").write_text("0")
    (tmp_path / "volts").write_text("12400000")
    (tmp_path / "current").write_text("150000")
    files = "\n".join(f'{name}_file = "{tmp_path / name}"' for name in ("online", "volts", "current"))
    heard = Heard()
    devices = devices_of(config_of(tmp_path, rest=f"[power]\n{files}"), heard)
    (tmp_path / "volts").write_text("0")  # a monitor that sees a battery is believed for 20 s
    before_s = ahead()
    devices.start()
    try:
        until(lambda: heard.supplies and len(heard.measured) >= 2)
    finally:
        devices.stop()
    ((supply, mono_s),) = heard.supplies
    assert not supply.present
    assert before_s <= supply.since_s < mono_s <= ahead()
    assert [(volts, current_ma) for _, volts, current_ma in heard.measured[:2]] == [(0.0, None), (None, 150.0)]
    assert all(before_s <= mono_s <= ahead() for mono_s, *_ in heard.measured)


# What the plan changes


def test_the_adapter_is_told_of_another_plan_once(bench: Bench) -> None:
    for plan in (DRIVING, DRIVING, PARKED, PARKED, PARKED, ON_BACKUP, ON_BACKUP, DRIVING):
        bench.tend(0.0, plan=plan)
    assert bench.adapter.asked == [Ask.RESTING, Ask.OFF, Ask.ALL]


def test_a_unit_without_an_adapter_says_what_it_cannot_tell(tmp_path: Path) -> None:
    devices = devices_of(config_of(tmp_path))
    devices.tend(PARKED, 0, 0.0)
    assert (devices.obd_state, devices.obd_port) == ("none configured", "none configured")
    assert devices.abilities == dict(WITHOUT_OBD)
    assert "obd.spawned" not in devices.counts


def test_after_a_crash_loop_nothing_but_the_receiver_is_used(tmp_path: Path, bench: Bench) -> None:
    config = config_of(tmp_path, rest=WITH_OBD + '[receiver]\nconfigure = "auto"')
    safe = devices_of(config, is_safe=True)
    assert (safe.obd_state, safe.obd_port, safe.fallback) == ("none configured", "none configured", None)
    chatty = BURST + sentence("GNGSA,A,3,01,02,03,04,,,,,,,,,1.5,0.8,1.2")
    for devices, talks_to_it in ((safe, False), (bench.devices, True)):  # the set-up may be what ended them
        for n in range(20):
            devices.on_gnss_heard(chatty.replace(b"021503", b"0215%02d" % n), float(n))
            devices.tend(DRIVING, n, float(n))
        assert bool(bench.port.written) is talks_to_it


def test_the_rules_are_told_how_the_adapter_is(bench: Bench) -> None:
    hello = Hello("ELM327 v1.5", "6", (), True)
    for state, says, port in (
        ("connecting", None, "no adapter"),
        ("waiting: no adapter found", None, "no adapter"),
        ("querying", hello, "answering"),
        ("engine off", hello, "car silent"),
        ("resting", hello, "car silent"),
        ("meeting the car", hello, "car silent"),
    ):
        bench.adapter.state, bench.adapter.hello = state, says  # type: ignore[assignment]
        assert bench.devices.obd_port == port, state


def test_an_adapter_that_nobody_asks_is_not_gone(bench: Bench) -> None:
    bench.adapter.state, bench.adapter.hello = "resting", Hello("ELM327 v1.5", "6", (), True)  # type: ignore[assignment]
    bench.tend(0.0, plan=PARKED)
    bench.tend(1.0, plan=ON_BACKUP)
    bench.adapter.state, bench.adapter.hello = "off", None
    assert bench.devices.obd_port == "car silent"
    bench.tend(2.0, plan=PARKED)
    bench.adapter.state = "waiting: no adapter found"
    assert bench.devices.obd_port == "no adapter"


def test_a_link_that_the_voltage_woke_in_vain_is_told_to_rest_again(bench: Bench) -> None:
    bench.tend(0.0, plan=PARKED)
    for _ in range(2):
        bench.adapter.asked.clear()
        bench.adapter.asked_for = Ask.ALL  # by itself
        bench.tend(*map(float, range(1000, 1100)), plan=PARKED)
        assert bench.adapter.asked == [], "it may be a start: the plan follows when the engine runs"
        bench.tend(*map(float, range(1100, 1400)), plan=PARKED)
        assert bench.adapter.asked == [Ask.RESTING]


def test_a_link_that_the_voltage_woke_for_a_start_goes_on(bench: Bench) -> None:
    bench.tend(0.0, plan=PARKED)
    bench.adapter.asked_for = Ask.ALL
    bench.tend(1.0, 2.0, plan=PARKED)
    bench.tend(*map(float, range(3, 400)), plan=DRIVING)
    assert Ask.OFF not in bench.adapter.asked
    assert bench.adapter.asked.count(Ask.RESTING) == 1


def test_a_person_is_told_where_a_device_is_or_why_it_is_not(bench: Bench) -> None:
    bench.adapter.state = "waiting: no such port /dev/ttyUSB7"
    assert bench.devices.obd_state == "waiting: no such port /dev/ttyUSB7; at /dev/ttyUSB7, as set"
    bench.adapter.state = "querying"
    assert bench.devices.obd_state == "querying"
    bench.port.state = "waiting: /dev/nowhere vanished"
    assert bench.devices.gnss_state == "waiting: /dev/nowhere vanished; at /dev/nowhere, as set"


def test_what_was_refused_and_killed_is_counted_for_the_server(bench: Bench) -> None:
    bench.adapter.counts = ObdCounts(spawned=3, killed_silent=2, refused_lines=1, refused_values=4)
    bench.port.counts = PortCounts(opened=5, lost=4)
    told = {"gnss.port_opened": 5, "gnss.port_lost": 4, "obd.spawned": 3, "obd.killed_silent": 2, "obd.refused": 5}
    assert bench.devices.counts == told


# A receiver that is none


def test_a_receiver_that_has_just_been_opened_is_given_its_time(bench: Bench) -> None:
    bench.tend(*range(100_000, 100_029))
    bench.port.says(900)
    bench.tend(100_029)
    assert bench.port.reopened == 0


def test_bytes_without_a_sentence_are_doubted_after_half_a_minute_and_again(bench: Bench) -> None:
    for second in range(100):
        bench.port.says(50)
        bench.tend(float(second))
        assert bench.port.reopened == second // 30


def test_an_open_port_that_says_nothing_is_opened_again_after_two_minutes(bench: Bench) -> None:
    for second in range(250):
        bench.tend(float(second))
        assert bench.port.reopened == second // 120


def test_a_receiver_that_speaks_is_never_doubted_also_where_it_is_slow(bench: Bench) -> None:
    for second in range(300):
        bench.port.says(50)
        bench.tend(float(second), good=second // 25)
    assert bench.port.reopened == 0


def test_a_port_that_is_not_there_is_not_reopened(bench: Bench) -> None:
    bench.port.state = "waiting: no such port"
    bench.tend(*map(float, range(0, 1000, 10)))
    bench.port.state = "open"
    bench.tend(1000.0, 1029.0)
    assert bench.port.reopened == 0


def test_a_receiver_that_was_plugged_in_anew_is_set_up_anew(bench: Bench) -> None:
    seen: list[str] = []
    for second in range(40):
        if second == 20:
            bench.port.is_opened_again()
        said = BURST.replace(b"021503", b"0215%02d" % second)
        bench.devices.on_gnss_heard(said, float(second))
        bench.tend(float(second), good=second)
        seen.append(bench.devices.receiver_state)
    assert seen[0] == seen[20] == "listening"
    assert seen[19] == seen[39] != "listening"


# The end


def test_a_driver_that_hangs_keeps_no_other_from_ending(bench: Bench) -> None:
    bench.adapter.hangs.clear()
    try:
        bench.devices.stop()
        assert bench.port.stopped
    finally:
        bench.adapter.hangs.set()
