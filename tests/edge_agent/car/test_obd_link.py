"""The supervisor with workers that misbehave on purpose, and with the real worker on the simulated adapter."""

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.car.lifeline import Deadlines
from edge_agent.car.obd_link import Ask, ObdLink
from edge_agent.car.readings import READINGS, Reading
from edge_agent.ports.place import Find, Place, fixed

ROOT = Path(__file__).parents[3]
VIN = "1HGCM82633A004352"
SIMPLY = ("--no-gnss", "--realtime", "--json")
SHORT = Deadlines(connect_s=1.5, deadline_s=0.6, pause_s=0.2, longest_pause_s=1.0)

# Workers that misbehave: each is a program after this beginning.
BEGINNING = """
import json, os, subprocess, sys, time
def say(**line): print(json.dumps(line), flush=True)
def hello(car=True): say(hello={"adapter": "fake", "protocol": "6", "car": car, "supported": ["speed_kmh"]})
def speed(value=42.0): say(mono_s=time.monotonic(), name="speed_kmh", value=value)
"""
GOES_SILENT = "hello()\nfor _ in range(5): speed(); time.sleep(0.05)\ntime.sleep(60)"
NEVER_SAYS_HELLO = "time.sleep(60)"
LASTING = "hello()\nwhile True: speed(); time.sleep(0.05)"


def until(condition: Callable[[], object], within_s: float = 60.0) -> float:
    """Seconds until `condition`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, "waited in vain"
        time.sleep(0.005)
    return time.monotonic() - began_s


def is_gone(pid: int) -> bool:
    """A zombie that nobody collects has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Heard:
    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def __call__(self, reading: Reading) -> None:
        self.readings.append(reading)

    def values(self, name: str) -> list[object]:
        return [reading.value for reading in self.readings if reading.name == name]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def link(heard: Heard, tmp_path: Path) -> Iterator[Callable[..., ObdLink]]:
    """Makes ObdLinks with a misbehaving worker; the port is a file that exists."""
    made: list[ObdLink] = []
    port = tmp_path / "port"
    port.touch()

    def make(
        program: str,
        limits: Deadlines = SHORT,
        on_reading: Callable[[Reading], None] = heard,
        find: Find = fixed(str(port), 38_400),  # noqa: B008 - the same for all
    ) -> ObdLink:
        command = [sys.executable, "-c", BEGINNING + program]
        made.append(ObdLink(find, on_reading, limits=limits, worker=command))
        return made[-1]

    yield make
    for one in made:
        one.stop()


Make = Callable[..., ObdLink]


def test_a_worker_that_falls_silent_is_killed_and_started_again(link: Make, heard: Heard) -> None:
    obd = link(GOES_SILENT)
    obd.start()
    until(lambda: len(heard.readings) == 5)
    first = obd.worker_pid
    assert first
    took_s = until(lambda: obd.state == "waiting: the adapter fell silent")
    assert took_s < SHORT.deadline_s + 0.5
    assert is_gone(first)
    assert obd.worker_pid is None
    assert obd.hello is None
    until(lambda: len(heard.readings) == 10)
    assert obd.worker_pid != first
    assert obd.counts.killed_silent == 1
    assert obd.counts.spawned == 2
    times = [reading.mono_s for reading in heard.readings]
    assert times == sorted(set(times))  # nothing is repeated


def test_connecting_has_a_deadline(link: Make) -> None:
    obd = link(NEVER_SAYS_HELLO)
    obd.start()
    until(lambda: obd.state == "connecting")
    assert 1.2 < until(lambda: obd.state == "waiting: the adapter does not answer") < 10
    assert obd.counts.killed_silent == 1


def test_the_whole_group_is_killed(link: Make, tmp_path: Path) -> None:
    note = tmp_path / "child"
    obd = link(
        f"child = subprocess.Popen(['sleep', '60'])\nopen({str(note)!r}, 'w').write(str(child.pid))\ntime.sleep(60)"
    )
    obd.start()
    until(lambda: note.exists() and note.read_text())
    obd.stop()
    until(lambda: is_gone(int(note.read_text())), 15)


def test_garbage_is_counted_and_is_no_sign_of_life(link: Make, heard: Heard) -> None:
    obd = link("hello(); speed()\nwhile True: sys.stdout.write('41 0D \\xff{]\\n'); time.sleep(0.001)")
    obd.start()
    until(lambda: obd.counts.killed_silent == 1)
    assert obd.counts.refused_lines > 50
    assert heard.values("speed_kmh") == [42.0]


@pytest.mark.parametrize(
    "program",
    [
        "hello()\nwhile True: sys.stdout.write('x' * 100000)",  # one endless line
        "hello()\nwhile True: sys.stdout.write('x\\n' * 50000)",
    ],
)
def test_a_flood_neither_fills_the_memory_nor_escapes_the_deadline(link: Make, program: str) -> None:
    obd = link(program)
    obd.start()
    until(lambda: obd.counts.killed_silent == 1)
    assert len(obd._unfinished) < 10_000


def test_values_that_cannot_be_true_are_refused(link: Make, heard: Heard) -> None:
    obd = link(
        "hello(); speed(255.0); speed(); now = time.monotonic()\n"
        "say(mono_s=now - 100, name='speed_kmh', value=1.0)\n"  # older than the one before
        "say(mono_s=now + 100, name='speed_kmh', value=2.0)\n"
        "say(mono_s=now, name='boost_kpa', value=3.0)\n"
        "say(mono_s=float('nan'), name='engine_rpm', value=800.0)\n"
        "say(mono_s=now, name='engine_rpm', value=float('nan'))\n"
        "say(mono_s=now, name='vin', value=4.0)\n"
        "say(silent='vin')\ntime.sleep(60)"
    )
    obd.start()
    until(lambda: obd.counts.silent_answers == 1)
    assert [reading.value for reading in heard.readings] == [42.0]
    assert obd.counts.refused_values == 7
    assert obd.counts.refused_lines == 0


def test_a_worker_that_gives_up_leaves_its_reason(link: Make) -> None:
    obd = link("say(error='[Errno 13] could not open port')")
    obd.start()
    until(lambda: obd.state.endswith("no permission for " + obd._port + ": add the user to group dialout"))
    silent = link("pass")
    silent.start()
    until(lambda: silent.state == "waiting: the worker ended without a word")
    assert silent.counts.killed_silent == 0


def test_a_worker_that_cannot_be_started_is_tried_again(heard: Heard, tmp_path: Path) -> None:
    obd = ObdLink(fixed(str(tmp_path), 38_400), heard, limits=SHORT, worker=["/no/such/program"])
    obd.start()
    until(lambda: obd.state.startswith("waiting: [Errno 2]"))
    time.sleep(0.5)
    obd.stop()
    assert obd.counts.spawned == 0


def test_no_worker_is_started_while_the_port_is_missing(link: Make, heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "port").unlink()
    obd = link(LASTING)
    obd.start()
    until(lambda: obd.state == f"waiting: no such port {tmp_path / 'port'}")
    time.sleep(0.7)
    assert obd.counts.spawned == 0
    (tmp_path / "port").touch()
    assert until(lambda: heard.readings) < 15


def test_the_port_is_looked_for_at_each_start_and_never_in_a_busy_loop(
    link: Make, heard: Heard, tmp_path: Path
) -> None:
    answers: list[Place | Exception | None] = [None, RuntimeError("a port went away"), None]
    looked: list[float] = []

    def find() -> Place | None:
        looked.append(time.monotonic())
        answer = answers.pop(0) if answers else Place(str(tmp_path / "port"), 9_600)
        if isinstance(answer, Exception):
            raise answer
        return answer

    obd = link("hello(); speed()", find=find)
    obd.start()
    until(lambda: obd.state == "waiting: no adapter found")
    until(lambda: obd.state == "waiting: RuntimeError while looking for the adapter")
    until(lambda: len(heard.readings) >= 2)  # two workers
    assert len(looked) >= 5
    assert all(later - earlier > 0.19 for earlier, later in itertools.pairwise(looked))


def test_the_worker_is_told_what_to_ask(link: Make, tmp_path: Path) -> None:
    note = tmp_path / "told"
    obd = link(
        f"hello()\nfor line in sys.stdin:\n open({str(note)!r}, 'a').write(line)\n"
        " say(doing='resting', next_line_s=60) if 'rest' in line else hello()"
    )
    obd.start()
    until(lambda: obd.state == "querying")
    obd.ask(Ask.RESTING, rest_every_s=30.4)
    until(lambda: obd.state == "resting")
    time.sleep(SHORT.deadline_s * 2)  # it has promised to be quiet, so it is not killed
    assert obd.asked_for is Ask.RESTING
    obd.ask(Ask.ALL)
    until(lambda: obd.state == "querying")
    assert note.read_text() == "rest 30\nall\n"
    assert obd.counts.killed_silent == 0
    pid = obd.worker_pid
    assert pid
    obd.ask(Ask.OFF)
    until(lambda: obd.state == "off")
    assert is_gone(pid)
    assert obd.worker_pid is None
    obd.ask(Ask.RESTING)
    until(lambda: obd.worker_pid is not None)


def test_a_resting_worker_that_sees_the_voltage_rise_asks_everything_again(link: Make) -> None:
    obd = link("hello(car=False); say(doing='voltage rose', next_line_s=20); hello(); time.sleep(60)")
    obd.ask(Ask.RESTING)
    obd.start()
    until(lambda: obd.state == "querying")
    assert obd.asked_for is Ask.ALL


def test_a_question_that_hangs_the_adapter_twice_is_left_out(link: Make) -> None:
    obd = link("hello(); speed(); say(asking='vin'); time.sleep(60)")
    obd.start()
    until(lambda: obd.counts.killed_silent == 1)
    assert obd.left_out == ()
    until(lambda: obd.counts.killed_silent == 2)
    until(lambda: obd.left_out == ("vin",))
    assert "--without=vin" in obd._command(Place("/dev/null", 38_400))


def test_a_worker_that_finds_the_adapter_mute_says_at_which_question(link: Make) -> None:
    obd = link("hello(); speed(); say(asking='odometer_km'); say(error='the adapter fell silent')")
    obd.start()
    until(lambda: obd.left_out == ("odometer_km",))
    vanished = link("hello(); speed(); say(asking='vin'); say(error='the adapter vanished')")
    vanished.start()
    until(lambda: vanished.counts.spawned >= 3)
    assert vanished.left_out == ()


def test_a_failing_callback_is_counted_and_the_listening_goes_on(link: Make) -> None:
    def fails(_reading: Reading) -> None:
        raise RuntimeError("a fault further on")

    obd = link(LASTING, on_reading=fails)
    obd.start()
    until(lambda: obd.counts.callback_errors >= 3)


def test_a_slow_callback_does_not_kill_a_healthy_worker(link: Make) -> None:
    slow_for_s = [1.5]  # longer than the deadline

    def slow(_reading: Reading) -> None:
        time.sleep(slow_for_s.pop() if slow_for_s else 0)

    obd = link(LASTING, on_reading=slow)
    obd.start()
    until(lambda: obd.counts.readings > 40)
    assert obd.counts.killed_silent == 0


@pytest.mark.parametrize(
    ("program", "state"),
    [
        (NEVER_SAYS_HELLO, "connecting"),
        (LASTING, "querying"),
        (f"hello(){LASTING[7:]}".replace("speed()", 'say(silent="speed_kmh")'), "querying"),
        ("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); hello(); time.sleep(60)", "querying"),
        ("pass", "waiting: the worker ended without a word"),
        (GOES_SILENT, "waiting: the adapter fell silent"),
    ],
)
def test_stop_returns_soon_in_every_state(link: Make, program: str, state: str) -> None:
    obd = link(program, Deadlines(1.5, 0.6, 30.0, 60.0))
    obd.start()
    until(lambda: obd.state == state)
    pid = obd.worker_pid
    began_s = time.monotonic()
    obd.stop()
    assert time.monotonic() - began_s < 2.0
    assert pid is None or is_gone(pid)
    assert obd.state == "stopped"
    obd.stop()  # and once more


def test_stop_before_start_and_from_the_callback(link: Make) -> None:
    link(LASTING).stop()
    done: list[float] = []

    def stops(_reading: Reading) -> None:
        began_s = time.monotonic()
        obd.stop()
        done.append(time.monotonic() - began_s)

    obd = link(LASTING, on_reading=stops)
    obd.start()
    until(lambda: done)
    assert done[0] < 2.0
    until(lambda: not obd._thread.is_alive())


def test_stop_kills_the_worker_even_when_the_callback_hangs(link: Make) -> None:
    release, inside = threading.Event(), threading.Event()

    def hangs(_reading: Reading) -> None:
        inside.set()
        release.wait(20)

    obd = link(LASTING, on_reading=hangs)
    obd.start()
    assert inside.wait(5)
    pid = obd.worker_pid
    assert pid
    began_s = time.monotonic()
    obd.stop()
    assert time.monotonic() - began_s < 2.0
    assert is_gone(pid)
    release.set()
    until(lambda: not obd._thread.is_alive())


def test_no_descriptor_is_left_behind(link: Make) -> None:
    def count() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    for program in (LASTING, "pass", GOES_SILENT):
        obd = link(program)
        obd.start()
        until(lambda obd=obd: obd.counts.spawned >= 2 or obd.counts.readings)  # type: ignore[misc]
        obd.stop()
    assert count() <= before


# With the simulator, as a program of its own


class Simulator:
    """A car that drives for ten minutes, with an adapter at `link`."""

    def __init__(self, link: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firmware_sim", "drive", f"--obd-link={link}", f"--vin={VIN}", *SIMPLY, *options],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
        until(link.exists)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Callable[..., Simulator]]:
    running: list[Simulator] = []

    def start(*options: str) -> Simulator:
        running.append(Simulator(tmp_path / "obd", *options))
        return running[-1]

    yield start
    for one in running:
        one.kill()


@pytest.fixture
def on_simulator(heard: Heard, tmp_path: Path) -> Iterator[ObdLink]:
    limits = Deadlines(connect_s=20.0, deadline_s=3.0)
    obd = ObdLink(fixed(str(tmp_path / "obd"), 38_400), heard, protocol="6", limits=limits)
    yield obd
    obd.stop()


Start = Callable[..., Simulator]


def test_the_real_worker_reads_the_simulated_car(simulator: Start, on_simulator: ObdLink, heard: Heard) -> None:
    simulator()
    on_simulator.start()
    wanted = {"speed_kmh", "engine_rpm", "coolant_temp_c", "module_voltage_v", "adapter_voltage_v", "fuel_level_pct"}
    wanted |= {"mil_on", "dtc_count", "dtc_codes", "vin"}
    until(lambda: wanted <= {reading.name for reading in heard.readings}, 60)
    until(lambda: len(heard.values("speed_kmh")) >= 4)
    assert set(heard.values("vin")) == {VIN}
    assert all(6 < float(str(volts)) < 15 for volts in heard.values("module_voltage_v"))  # cranking included
    assert on_simulator.state == "querying"
    assert on_simulator.hello
    assert set(on_simulator.hello.supported) <= READINGS.keys()
    assert on_simulator.counts.refused_lines == 0
    assert on_simulator.counts.refused_values == 0
    speeds_s = [reading.mono_s for reading in heard.readings if reading.name == "speed_kmh"]
    assert all(0.3 < later - earlier < 2.0 for earlier, later in itertools.pairwise(speeds_s))


def test_an_adapter_that_hangs_costs_a_worker_and_no_stale_value(
    simulator: Start, on_simulator: ObdLink, heard: Heard
) -> None:
    simulator("--obd-silent-after", "4")
    on_simulator.start()
    until(lambda: heard.readings)
    until(lambda: on_simulator.counts.killed_silent == 1, 60)
    killed_s = time.monotonic()
    assert killed_s - heard.readings[-1].mono_s < 3.0 + 1.0
    count = len(heard.readings)
    until(lambda: on_simulator.counts.spawned == 2, 30)
    time.sleep(2)
    assert len(heard.readings) == count
    unique = {(reading.name, reading.mono_s) for reading in heard.readings}
    assert len(unique) == count


def test_an_adapter_that_vanishes_and_returns_is_read_again(
    simulator: Start, on_simulator: ObdLink, heard: Heard
) -> None:
    first = simulator()
    on_simulator.start()
    until(lambda: heard.values("vin"))
    first.kill()
    until(lambda: on_simulator.state.startswith("waiting: "), 30)
    assert on_simulator.counts.killed_silent == 0  # the worker noticed by itself
    count = len(heard.readings)
    simulator()
    until(lambda: len(heard.readings) > count)
    assert on_simulator.counts.spawned >= 2


def test_a_parent_that_is_killed_leaves_no_worker(simulator: Start, tmp_path: Path) -> None:
    simulator()
    program = (
        "import sys, time\nfrom edge_agent.car.obd_link import ObdLink\nfrom edge_agent.ports.place import fixed\n"
        "obd = ObdLink(fixed(sys.argv[1], 38400), lambda reading: print(obd.worker_pid, flush=True), protocol='6')\n"
        "obd.start(); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "obd")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    worker = int(parent.stdout.readline())
    assert not is_gone(worker)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    until(lambda: is_gone(worker), 15)


def test_the_worker_reports_in_json_only(simulator: Start, tmp_path: Path) -> None:
    simulator()
    command = [sys.executable, "-m", "edge_agent.obd_process.worker", f"--port={tmp_path / 'obd'}", "--baud=38400"]
    with subprocess.Popen(
        [*command, "--protocol=6"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout
        lines = [json.loads(worker.stdout.readline()) for _ in range(20)]
        worker.kill()
    assert lines[0] == {"doing": "meeting the car", "next_line_s": 20.0}
    assert "hello" in lines[1]
    kinds = ({"mono_s", "name", "value"}, {"silent"}, {"asking"}, {"doing", "next_line_s"})
    assert all(set(line) in kinds for line in lines[2:])
