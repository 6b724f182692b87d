"""The real worker process against an adapter that misbehaves in ways recorded from real ones.

The worker is only ever run, never imported: it is a program of its own (see its first lines). Reply layouts are those
of the ELM327 data sheet and of the recorded sessions named beside them (python-OBD issues).
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

VIN = "1HGCM82633A004352"
GOOD: Mapping[str, str] = {
    "ATZ": "\r\rELM327 v1.5\r\r>",
    "ATE0": "ATE0\rOK\r\r>",
    "ATH1": "OK\r\r>",
    "ATL0": "OK\r\r>",
    "ATTP6": "OK\r\r>",
    "ATSP0": "OK\r\r>",
    "ATDPN": "A6\r\r>",
    "ATI": "ELM327 v1.5\r\r>",
    "ATRV": "12.4V\r\r>",
    "0100": "7E8 06 41 00 98 18 00 01 \r\r>",  # 01, 04, 05, 0C, 0D, 20
    "0120": "7E8 06 41 20 00 00 00 01 \r\r>",
    "0140": "7E8 06 41 40 40 00 00 00 \r\r>",  # 42
    "0101": "7E8 06 41 01 00 07 E5 00 \r\r>",
    "0104": "7E8 03 41 04 80 \r\r>",
    "0105": "7E8 03 41 05 7B \r\r>",
    "010C": "7E8 04 41 0C 17 70 \r\r>",
    "010D": "7E8 03 41 0D 2A \r\r>",
    "0142": "7E8 04 41 42 36 4C \r\r>",
    "03": "7E8 02 43 00 \r\r>",
    "0902": "7E8 10 14 49 02 01 31 48 47 \r7E8 21 43 4D 38 32 36 33 33 \r7E8 22 41 30 30 34 33 35 32 \r\r>",  # VIN
}


class Adapter:
    """Answers each command from a table; what is not in it gets NO DATA."""

    def __init__(self, **changes: str) -> None:
        self.replies = {**GOOD, **{name.lstrip("_"): reply for name, reply in changes.items()}}
        self.asked: list[str] = []
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave: int | None = slave  # held open, so that the master never hangs up
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        typed = b""
        while True:
            try:
                typed += os.read(self._master, 1000)
                *commands, typed = typed.split(b"\r")
                for command in commands:
                    self.asked.append(command.decode())
                    os.write(self._master, self.replies.get(self.asked[-1], "NO DATA\r\r>").encode("latin-1"))
            except OSError:
                return

    def vanish(self) -> None:
        for fd in (self._slave, self._master):
            if fd is not None:
                os.close(fd)
        self._slave = None


class BrownedOut(dict[str, str]):
    """Replies of an adapter that leaves the headers out until it is told to show them."""

    shows_headers = False

    def get(self, command: str, otherwise: str = "") -> str:  # type: ignore[override]
        self.shows_headers = self.shows_headers or command == "ATH1"
        reply = super().get(command, otherwise)
        return reply if self.shows_headers else re.sub("7E8 [0-9A-F]{2} ", "", reply)


class Worker:
    def __init__(self, port: str, protocol: str | None = "6") -> None:
        command = [sys.executable, "-m", "edge_agent.obd_process.worker", "--port", port, "--baud", "38400"]
        command += ["--protocol", protocol] if protocol else []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
        )
        self.lines: list[dict[str, object]] = []
        self.raw: list[bytes] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.raw.append(line)
            self.lines.append(json.loads(line))

    def values(self, name: str) -> list[object]:
        return [line["value"] for line in self.lines if line.get("name") == name]

    def silent(self, name: str) -> bool:
        return {"silent": name} in self.lines

    @property
    def hello(self) -> dict[str, object] | None:
        hello = next((line["hello"] for line in self.lines if "hello" in line), None)
        assert hello is None or isinstance(hello, dict)
        return hello


def until(condition: Callable[[], object], within_s: float = 30.0) -> float:
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < within_s, "waited in vain"
        time.sleep(0.01)
    return time.monotonic() - began_s


@pytest.fixture
def run() -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def run(adapter: Adapter | str, protocol: str | None = "6") -> Worker:
        workers.append(Worker(adapter if isinstance(adapter, str) else adapter.path, protocol))
        return workers[-1]

    yield run
    for worker in workers:
        worker.process.kill()
        worker.process.wait()


Run = Callable[..., Worker]


def test_every_value_has_its_unit_and_its_own_time(run: Run) -> None:
    began_s = time.monotonic()
    adapter = Adapter()
    worker = run(adapter)
    until(lambda: len(worker.values("speed_kmh")) >= 3)
    assert worker.hello == {
        "adapter": "ELM327 v1.5",
        "protocol": "6",
        "car": True,
        "supported": ["speed_kmh", "engine_rpm", "engine_load_pct", "module_voltage_v", "coolant_temp_c", "mil_on"],
    }
    first = {str(line["name"]): line["value"] for line in reversed(worker.lines) if "name" in line}
    assert first == {
        "speed_kmh": 42.0,
        "engine_rpm": 1500.0,
        "engine_load_pct": pytest.approx(50.2, abs=0.01),
        "module_voltage_v": pytest.approx(13.9),
        "coolant_temp_c": 83.0,
        "adapter_voltage_v": 12.4,
        "vin": VIN,  # python-OBD alone says HGCM82633A00435
        "mil_on": 0.0,
        "dtc_count": 0.0,
        "dtc_codes": [],
    }
    times = [line["mono_s"] for line in worker.lines if line.get("name") == "speed_kmh"]
    assert all(isinstance(t, float) and began_s < t < time.monotonic() for t in times)
    assert len(set(times)) == len(times)
    assert not {"0111", "012F", "01A6"} & set(adapter.asked)  # what the car does not offer is not asked


def test_what_is_not_a_whole_answer_to_this_question_is_no_value(run: Run) -> None:
    """A cut line, the late answer to another question, a negative answer, a truncated text, NO DATA to service 03."""
    worker = run(
        Adapter(
            _010D="7E8 03 41 0D \r\r>",
            _010C="7E8 03 41 0D 2A \r\r>",
            _0104="7E8 03 41 05 7B \r\r>",
            _0105="7E8 03 41 05 7\r\r>",
            _0142="7E8 03 7F 01 12 \r\r>",
            _03="NO DATA\r\r>",
            _0120="7E8 06 41 20 00 02 00 01 \r\r>",  # 2F
            _012F="\r\r>",  # issue 184: python-OBD alone waits 23 s and more
            _0902="7E8 10 14 49 02 01 31 48 47 \r7E8 22 41 30 30 34 33 35 32 \r\r>",
            ATRV="?\r\r>",
        )
    )
    until(lambda: worker.silent("adapter_voltage_v"))
    unanswered = (
        "fuel_level_pct",
        "speed_kmh",
        "engine_rpm",
        "engine_load_pct",
        "coolant_temp_c",
        "module_voltage_v",
        "dtc_codes",
        "vin",
    )
    for name in unanswered:
        assert worker.silent(name), name
        assert worker.values(name) == [], name


def test_several_computers(run: Run) -> None:
    """Issue 200: the gearbox (7EA) answers first. The engine's speed counts; lamps and codes are those of all."""
    worker = run(
        Adapter(
            _0100="7EA 06 41 00 98 18 80 01 \r7E8 06 41 00 98 18 00 01 \r\r>",
            _010D="7EA 03 41 0D 63 \r7E8 03 41 0D 2A \r\r>",
            _0101="7E8 06 41 01 01 07 E5 00 \r7EA 06 41 01 82 04 00 00 \r\r>",
            _03="7EA 06 43 02 C1 00 07 01 \r7E8 04 43 01 03 01 \r\r>",
        )
    )
    until(lambda: worker.values("dtc_codes"))
    assert worker.values("speed_kmh")[0] == 42.0
    assert worker.values("mil_on") == [1.0]
    assert worker.values("dtc_count") == [3.0]
    assert sorted(worker.values("dtc_codes")[0]) == ["P0301", "P0701", "U0100"]  # type: ignore[call-overload]


def test_an_adapter_that_drops_prompts_is_slow_but_heard(run: Run) -> None:
    """Issues 150 and 167. The time is that of the bytes, not of the end of the waiting for a prompt."""
    worker = run(Adapter(ATH1="OK\r", _0100="7E8 06 41 00 98 18 00 01 \r", _010D="7E8 03 41 0D 2A \r"))
    until(lambda: worker.values("speed_kmh"))
    line = next(line for line in worker.lines if line.get("name") == "speed_kmh")
    assert 1.5 < time.monotonic() - float(str(line["mono_s"])) < 5


def test_bytes_of_noise_around_the_replies_do_no_harm(run: Run) -> None:
    """Issues 164 and 187: 0xFC before the version; NULs inside a reply are the data sheet's own warning."""
    worker = run(Adapter(ATZ="\xfc\r\rELM327 v1.5\r\r>", _010D="7E8 0\x003 41 0D 2A \r\r>", _0104="7F 01 12\r\r>"))
    until(lambda: worker.values("dtc_codes"))
    assert worker.values("speed_kmh")[0] == 42.0
    assert worker.silent("engine_load_pct")


def test_a_list_of_codes_that_was_cut_is_no_list(run: Run) -> None:
    worker = run(Adapter(_03="7E8 04 43 02 03 01 \r\r>"))  # announces two codes, brings one
    until(lambda: worker.silent("dtc_codes"))
    assert worker.values("dtc_codes") == []


def test_the_adapter_may_search_for_the_protocol(run: Run) -> None:
    worker = run(Adapter(_0100="SEARCHING...\r7E8 06 41 00 98 18 00 01 \r\r>"), protocol=None)
    until(lambda: worker.values("speed_kmh"))
    assert worker.hello
    assert worker.hello["protocol"] == "6"


def test_an_older_car_on_a_k_line(run: Run) -> None:
    """ISO 14230-4: three bytes of header, a checksum, texts in numbered frames of four (layout: issue 81)."""
    vin_in_fours = ("00 00 00 31", "48 47 43 4D", "38 32 36 33", "33 41 30 30", "34 33 35 32")
    worker = run(
        Adapter(
            ATDPN="A5\r\r>",
            _0100="BUS INIT: OK\r86 F1 10 41 00 98 18 00 00 78 \r\r>",
            _010D="83 F1 10 41 0D 2A FC \r\r>",
            _010C="84 F1 10 41 0C 17 70 59 \r\r>",
            _0101="86 F1 10 41 01 81 07 E5 00 36 \r\r>",
            _03="87 F1 10 43 03 01 00 00 00 00 CF \r\r>",
            _0902="".join(f"87 F1 10 49 02 0{n} {four} 00 \r" for n, four in enumerate(vin_in_fours, 1)) + "\r>",
        ),
        protocol=None,
    )
    until(lambda: worker.values("dtc_codes"))
    assert worker.hello
    assert worker.hello["protocol"] == "5"
    assert worker.values("speed_kmh")[0] == 42.0
    assert worker.values("engine_rpm")[0] == 1500.0
    assert worker.values("vin") == [VIN]
    assert worker.values("mil_on") == [1.0]
    assert worker.values("dtc_codes") == [["P0301"]]


@pytest.mark.parametrize("refusal", ["UNABLE TO CONNECT\r\r>", "CAN ERROR\r\r>", "NO DATA\r\r>"])
def test_with_the_key_off_there_is_still_the_battery(run: Run, refusal: str) -> None:
    """The car is asked at most at doubling intervals; when it answers, it is met anew."""
    adapter = Adapter(_0100=refusal)
    worker = run(adapter)
    until(lambda: worker.values("adapter_voltage_v"))
    assert worker.hello
    assert worker.hello["supported"] == []
    assert set(worker.values("adapter_voltage_v")) == {12.4}
    assert not any("speed" in str(line) for line in worker.lines)
    if refusal.startswith("UNABLE"):
        adapter.replies |= {"0100": GOOD["0100"], "ATRV": "13.9V\r\r>"}  # the engine starts
        until(lambda: worker.values("speed_kmh"))


def test_an_adapter_that_browned_out_is_set_up_again(run: Run) -> None:
    """Data sheet, "ATZ": after a reset headers are off; then no answer tells which computer gave it."""
    adapter = Adapter()
    worker = run(adapter)
    until(lambda: worker.values("speed_kmh"))
    adapter.replies = BrownedOut(adapter.replies)
    asked = len(adapter.asked)
    until(lambda: "ATH1" in adapter.asked[asked:], 60)
    speeds = len(worker.values("speed_kmh"))
    until(lambda: len(worker.values("speed_kmh")) > speeds)
    assert worker.process.poll() is None


def test_a_vanishing_adapter_ends_the_worker_with_a_reason(run: Run) -> None:
    adapter = Adapter()
    worker = run(adapter)
    until(lambda: worker.values("vin"))
    adapter.vanish()
    worker.process.wait(5)
    until(lambda: "error" in worker.lines[-1])


def test_a_missing_port_ends_the_worker_with_a_reason(run: Run, tmp_path: Path) -> None:
    worker = run(str(tmp_path / "none"))
    worker.process.wait(10)
    until(lambda: worker.lines)
    assert "No such file" in str(worker.lines[-1]["error"])


def test_closing_its_input_ends_the_worker_even_inside_a_query(run: Run) -> None:
    adapter = Adapter()
    worker = run(adapter)
    until(lambda: worker.values("vin"))
    adapter.replies = dict.fromkeys(GOOD, "")  # hangs: python-OBD would wait for minutes
    time.sleep(1.5)
    assert worker.process.stdin
    worker.process.stdin.close()
    began_s = time.monotonic()
    worker.process.wait(15)  # by itself, it would have taken minutes
    assert time.monotonic() - began_s < 15


def test_a_line_on_its_input_sends_it_to_rest_and_back(run: Run) -> None:
    adapter = Adapter()
    worker = run(adapter)
    until(lambda: worker.values("vin"))
    assert worker.process.stdin
    worker.process.stdin.write(b"nonsense\nrest 3\n")
    worker.process.stdin.flush()
    until(lambda: worker.lines[-1] == {"doing": "resting", "next_line_s": 3.0})
    asked = len(adapter.asked)
    until(lambda: adapter.asked[asked:].count("ATRV") > 1)
    assert set(adapter.asked[asked:]) == {"ATRV"}
    speeds = len(worker.values("speed_kmh"))
    worker.process.stdin.write(b"all\n")
    worker.process.stdin.flush()
    until(lambda: len(worker.values("speed_kmh")) > speeds)


def test_a_port_in_use_is_refused(run: Run) -> None:
    adapter = Adapter()
    first = run(adapter)
    until(lambda: first.hello)
    second = run(adapter)
    until(lambda: second.lines)
    assert "Could not exclusively lock port" in str(second.lines[-1]["error"])
