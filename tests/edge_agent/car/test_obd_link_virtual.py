"""What the worker asks, when, and what it makes of odd adapters: played in virtual time, hours in milliseconds.

`tests/fuzz/virtual_elm.py` runs the real worker as a program of its own, on an adapter that is a table of replies. That
the worker does the same on a real port is shown in test_worker.py.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
VIN = "1HGCM82633A004352"
GOOD = {
    "ATZ": "\r\rELM327 v1.5\r\r>",
    "ATE0": "ATE0\rOK\r\r>",
    "ATH1": "OK\r\r>",
    "ATL0": "OK\r\r>",
    "ATTP6": "OK\r\r>",
    "ATSP0": "OK\r\r>",
    "ATDPN": "A6\r\r>",
    "ATI": "ELM327 v1.5\r\r>",
    "ATRV": "13.9V\r\r>",
    "0100": "7E8 06 41 00 98 18 00 01 \r\r>",  # 01, 04, 05, 0C, 0D, 20
    "0120": "7E8 06 41 20 00 00 00 01 \r\r>",
    "0140": "7E8 06 41 40 40 00 00 00 \r\r>",  # 42
    "0101": "7E8 06 41 01 00 07 E5 00 \r\r>",
    "0104": "7E8 03 41 04 80 \r\r>",
    "0105": "7E8 03 41 05 7B \r\r>",
    "010C": "7E8 04 41 0C 17 70 \r\r>",
    "010D": "7E8 03 41 0D 2A \r\r>",
    "0142": "7E8 04 41 42 36 4C \r\r>",  # 13.9 V
    "03": "7E8 02 43 00 \r\r>",
    "07": "7E8 02 47 00 \r\r>",
    "0A": "7E8 02 4A 00 \r\r>",
    "0902": "7E8 10 14 49 02 01 31 48 47 \r7E8 21 43 4D 38 32 36 33 33 \r7E8 22 41 30 30 34 33 35 32 \r\r>",
}
STANDING = {"010D": "7E8 03 41 0D 00 \r\r>", "010C": "7E8 04 41 0C 00 00 \r\r>"}
KEY_OFF = {**STANDING, "0142": "7E8 04 41 42 30 70 \r\r>", "ATRV": "12.4V\r\r>"}
ASLEEP: dict[str, str | None] = {command: "CAN ERROR\r\r>" for command in GOOD if not command.startswith("AT")}


class Played:
    def __init__(self, said: dict[str, Any]) -> None:
        self.lines: list[tuple[float, dict[str, Any]]] = said["lines"]
        self.asked: list[tuple[float, str]] = said["asked"]
        self.ended: str | None = said["ended"]

    def values(self, name: str) -> list[Any]:
        return [line["value"] for _, line in self.lines if line.get("name") == name]

    def hellos(self) -> list[dict[str, Any]]:
        return [line["hello"] for _, line in self.lines if "hello" in line]

    def silent(self, name: str) -> bool:
        return any(line == {"silent": name} for _, line in self.lines)

    def doings(self) -> list[str]:
        said = [line["doing"] for _, line in self.lines if "doing" in line]
        return [each for at, each in enumerate(said) if at == 0 or said[at - 1] != each]

    def asked_between(self, begin_s: float, end_s: float) -> Counter[str]:
        return Counter(command for at_s, command in self.asked if begin_s <= at_s < end_s)

    def longest_quiet_s(self) -> float:
        """Beyond what was announced."""
        times = [0.0, *(at_s for at_s, _ in self.lines)]
        announced = [20.0, *(line.get("next_line_s", 0.0) for _, line in self.lines)]
        return max(later - earlier - more for earlier, later, more in zip(times, times[1:], announced, strict=False))


def play(seconds: float, replies: dict[str, str | None] | None = None, **case: Any) -> Played:
    case = {"protocol": "6", **case, "seconds": seconds, "replies": {**GOOD, **(replies or {})}}
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests/fuzz/virtual_elm.py")],
        input=json.dumps(case),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return Played(json.loads(run.stdout))


# When it asks


def test_a_driving_minute_by_schedule() -> None:
    asked = play(121).asked_between(60, 120)
    assert 59 <= asked["010D"] <= 61
    assert 59 <= asked["010C"] <= 61
    assert 19 <= asked["0104"] <= 21
    assert 11 <= asked["0142"] <= 13
    assert asked["ATRV"] == asked["0142"]
    assert 5 <= asked["0105"] <= 7
    assert asked["0101"] == 1
    assert asked["03"] == asked["0902"] == asked["07"] == asked["0A"] == 0


def test_lamp_codes_and_vin_are_asked_when_the_ignition_comes_on_and_rarely_after_that() -> None:
    played = play(3_700, changes=[[1_000, ASLEEP], [2_000, GOOD]])
    assert len(played.hellos()) >= 2
    first = played.asked_between(0, 20)
    again = played.asked_between(1_990, 3_700)
    for command in ("0101", "03", "07", "0A", "0902"):
        assert first[command] == 1, command
    assert 1 <= again["0902"] <= 4
    assert len(played.values("vin")) >= 3


def test_codes_are_asked_again_when_their_number_changes() -> None:
    played = play(200, changes=[[20, {"0101": "7E8 06 41 01 81 07 E5 00 \r\r>", "03": "7E8 04 43 01 03 01 \r\r>"}]])
    assert played.values("dtc_codes") == [[], ["P0301"]]
    assert played.values("mil_on")[:2] == [0.0, 1.0]


def test_a_car_with_its_engine_off_is_left_in_peace_though_it_answers() -> None:
    """Its computers sleep only when nobody asks; in the first parked hour at most a dozen questions reach them."""
    played = play(2 * 3_600 + 300, changes=[[100, KEY_OFF]])
    assert [each for each in played.doings() if each != "querying"] == ["meeting the car", "engine off"]
    hour = played.asked_between(300, 3_900)
    to_the_car = {command: count for command, count in hour.items() if not command.startswith("AT")}
    assert set(to_the_car) == {"010C", "010D"}
    assert sum(to_the_car.values()) <= 12
    second = played.asked_between(3_900, 7_500)
    assert sum(count for command, count in second.items() if not command.startswith("AT")) <= 4
    assert played.longest_quiet_s() < 8


@pytest.mark.parametrize(
    "start",
    [{"ATRV": "13.9V\r\r>"}, {"010C": GOOD["010C"]}, {"010D": GOOD["010D"]}],
    ids=["voltage", "engine speed", "wheel speed"],
)
def test_a_start_is_noticed(start: dict[str, str]) -> None:
    played = play(1_400, changes=[[50, KEY_OFF], [300, start]])
    assert len(played.hellos()) == 2
    assert played.asked_between(900, 1_000)["010D"] > 90 or "ATRV" in start
    if "ATRV" in start:
        assert played.asked_between(310, 320)["010D"] >= 9


def test_an_idling_engine_a_hybrid_at_rest_and_an_electric_car_are_asked_on() -> None:
    idling = play(900, {"010D": STANDING["010D"], "0142": KEY_OFF["0142"], "ATRV": "12.4V\r\r>"})
    hybrid = play(900, STANDING)
    electric = play(900, {"010D": STANDING["010D"], "0100": "7E8 06 41 00 00 08 00 01 \r\r>"})
    for played in (idling, hybrid, electric):
        assert "engine off" not in played.doings()
        assert played.asked_between(800, 900)["010D"] >= 99
    assert electric.hellos()[0]["supported"] == ["speed_kmh", "module_voltage_v"]


def test_a_voltmeter_that_reads_too_much_cannot_keep_the_car_awake_for_ever() -> None:
    assert "engine off" in play(2_500, {**STANDING, "0140": "NO DATA\r\r>"}).doings()


def test_a_car_that_falls_asleep_is_left_in_peace() -> None:
    played = play(1_000, changes=[[50, ASLEEP], [60, {"ATRV": "12.4V\r\r>"}], [800, GOOD]])
    assert played.doings()[:2] == ["meeting the car", "car silent"]
    asleep = played.asked_between(80, 800)
    assert sum(count for command, count in asleep.items() if not command.startswith("AT")) <= 5
    assert asleep["ATRV"] > 100
    assert played.asked_between(806, 1_000)["010D"] > 150  # the voltage gave it away


def test_at_rest_no_question_reaches_the_car() -> None:
    played = play(3_700, {"ATRV": "12.4V\r\r>"}, wishes=[[60, 60], [3_665, None]])
    resting = played.asked_between(62, 3_660)
    assert set(resting) == {"ATRV"}
    assert 59 <= resting["ATRV"] <= 61
    assert played.asked_between(3_666, 3_700)["010D"] > 30
    assert played.longest_quiet_s() < 8


def test_a_worker_that_begins_at_rest_does_not_wake_the_car_until_the_voltage_rises() -> None:
    played = play(300, {"ATRV": "12.4V\r\r>"}, rest=30, changes=[[200, {"ATRV": "13.9V\r\r>"}]])
    assert set(played.asked_between(0, 200)) == {"ATZ", "ATE0", "ATH1", "ATL0", "ATI", "ATRV"}
    assert [hello["car"] for hello in played.hellos()] == [False, True]
    assert played.doings() == ["resting", "voltage rose", "meeting the car"]
    assert played.asked_between(250, 300)["010D"] > 45


def test_on_a_k_line_the_adapter_is_told_to_let_go_of_the_bus() -> None:
    """It would go on to send its wake-up message every few seconds by itself."""
    k_line = {"ATTP5": "OK\r\r>", "0100": "86 F1 10 41 00 98 18 00 00 78 \r\r>", "010D": "83 F1 10 41 0D 2A FC \r\r>"}
    played = play(200, k_line, protocol="5", wishes=[[60, 30]])
    assert played.values("speed_kmh")[0] == 42.0
    at_s = [second for second, command in played.asked if command == "ATPC"]
    assert len(at_s) == 1
    assert 60 <= at_s[0] < 62


# What it makes of odd adapters


def test_a_command_that_gets_no_reply_at_all_is_asked_rarely_and_costs_nothing_else() -> None:
    """python-OBD alone waits 23 s, and the worker would be killed every 8 s."""
    played = play(300, {"0902": None})
    assert played.ended is None
    assert played.silent("vin")
    assert played.asked_between(0, 300)["0902"] <= 3
    assert len(played.values("speed_kmh")) > 250
    assert played.longest_quiet_s() < 8


def test_an_adapter_that_hangs_up_at_a_command_ends_the_worker_which_said_what_it_asked() -> None:
    hung: dict[str, str | None] = dict.fromkeys(GOOD)
    played = play(300, changes=[[20, hung]])
    assert played.ended == "the adapter fell silent"
    assert played.lines[-1][0] < 30
    first = play(300, {"0105": None, "ATI": None})
    assert first.ended == "the adapter fell silent"
    asked = [line["asking"] for _, line in first.lines if "asking" in line]
    assert asked[-1] == "coolant_temp_c"
    spared = play(100, {"0105": None}, without=["coolant_temp_c"])
    assert spared.asked_between(0, 100)["0105"] == 0
    assert len(spared.values("speed_kmh")) > 95


def test_a_mute_adapter_is_given_up_before_it_is_killed() -> None:
    played = play(60, dict.fromkeys(GOOD))
    assert played.ended == "the adapter does not answer"


def test_an_adapter_that_never_stops_talking() -> None:
    played = play(60, {"010C": "41 0C 17 70 " * 1_000})
    assert played.ended == "the adapter vanished"


def test_frames_that_come_twice_count_once() -> None:
    """python-OBD#134: one computer's answer twice; python-OBD drops both."""
    twice = {
        command: reply.removesuffix("\r>") + reply for command, reply in GOOD.items() if not command.startswith("AT")
    }
    played = play(5, twice)
    assert played.values("speed_kmh")[0] == 42.0
    assert played.values("vin") == [VIN]


def test_two_single_frames_of_one_computer_are_two_answers() -> None:
    """The first is the late answer to another question."""
    played = play(5, {"010D": "7E8 04 41 0C 17 70 \r7E8 03 41 0D 2A \r\r>"})
    assert played.values("speed_kmh")[0] == 42.0


@pytest.mark.parametrize("quirk", ["echo", "doubled echo", "refused", "glued", "late prompt", "no prompt"])
def test_layouts_that_python_obd_gives_up_at(quirk: str) -> None:
    replies: dict[str, str | None] = {
        "echo": {command: f"{command}\r{reply}" for command, reply in GOOD.items()},
        "doubled echo": {"ATE0": "AATTEE00\r\nOK\r\n>", "ATH1": "AATTHH11\rOK\r\r>"},
        "refused": {"ATE0": "?\r\r>", "ATL0": "?\r\r>"},
        "glued": {"0100": "SEARCHING..." + GOOD["0100"], "010D": "BUS INIT: ...OK\r" + GOOD["010D"]},
        "late prompt": {"ATE0": ">OK\r\r>", "ATH1": "\0>OK\r\r>"},
        "no prompt": {"ATE0": "OK\r", "ATH1": "OK", "ATL0": "OK\r"},
    }[quirk]  # type: ignore[assignment]
    assert play(20, replies).values("speed_kmh")[0] == 42.0


def test_no_headers_no_values() -> None:
    """Without them the computers cannot be told apart; the reason is said."""
    assert play(20, {"ATH1": "?\r\r>"}).ended == "ATH1 did not return 'OK', or echoing is still ON"


@pytest.mark.parametrize(
    "text", ["STOPPED", "ERR93", "BUS INIT: ERROR", "CAN ERROR", "41 0C 000", "\xfc\x7f", "7F 01 12"]
)
def test_a_text_is_no_value(text: str) -> None:
    played = play(5, {"010C": f"{text}\r\r>"})
    assert played.silent("engine_rpm")
    assert not played.values("engine_rpm")
    assert played.values("speed_kmh")


def test_a_car_without_any_pid_is_asked_for_codes_and_vin_only() -> None:
    """python-OBD#81: a bitmap of zeros."""
    played = play(5, {"0100": "7E8 06 41 00 00 00 00 00 \r\r>"})
    assert played.hellos()[0] | {"adapter": ""} == {"adapter": "", "protocol": "6", "car": True, "supported": []}
    assert played.values("vin") == [VIN]
    assert "010D" not in played.asked_between(0, 5)


def test_a_car_that_only_lists_its_pids_is_not_asked_for_ever() -> None:
    """A gateway may answer for computers that sleep. Without any voltage, either."""
    mute = {command: "NO DATA\r\r>" for command in GOOD if command not in ("0100", "0120") and command[:2] != "AT"}
    played = play(4_000, {**mute, "ATRV": "?\r\r>"})
    assert sum(count for command, count in played.asked_between(120, 3_720).items() if command[:2] != "AT") < 150
    assert played.longest_quiet_s() < 8


def test_the_odometer_is_asked_where_it_is_offered() -> None:
    chain = {f"01{base:02X}": f"7E8 06 41 {base:02X} 00 00 00 01 \r\r>" for base in range(0x20, 0xA0, 0x20)}
    played = play(5, {**chain, "01A0": "7E8 06 41 A0 04 00 00 00 \r\r>", "01A6": "7E8 06 41 A6 00 01 E2 40 \r\r>"})
    assert played.values("odometer_km") == [12_345.6]
    assert "odometer_km" in played.hellos()[0]["supported"]


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        ("01 33", "P0133"),  # the standard's own example of the bit layout: 00 00 | 0001 | 0011 0011
        ("12 34", "P1234"),
        ("2A BC", "P2ABC"),
        ("3F FF", "P3FFF"),
        ("43 00", "C0300"),
        ("92 34", "B1234"),
        ("C1 00", "U0100"),
        ("FF FF", "U3FFF"),
    ],
)
def test_codes_follow_sae_j2012(pair: str, code: str) -> None:
    """Two bits letter (P, C, B, U), two bits digit, three hexadecimal digits; in all three lists."""
    lists = {"03": f"7E8 04 43 01 {pair} \r\r>", "07": f"7E8 04 47 01 {pair} \r\r>", "0A": f"7E8 04 4A 01 {pair} \r\r>"}
    played = play(5, {**lists, "0101": "7E8 06 41 01 81 07 E5 00 \r\r>"})
    for name in ("dtc_codes", "dtc_pending", "dtc_permanent"):
        assert played.values(name)[0] == [code], name


def test_lists_of_codes_on_a_k_line() -> None:
    """No count; three codes a frame, filled up with zeros; service 0A does not exist there."""
    k_line = {
        "0100": "86 F1 10 41 00 98 18 00 00 78 \r\r>",
        "03": "87 F1 10 43 01 33 C1 00 92 34 CF \r87 F1 10 43 43 00 00 00 00 00 CF \r\r>",
        "07": "87 F1 10 47 03 01 00 00 00 00 CF \r\r>",
    }
    played = play(10, k_line, protocol="5")
    assert played.values("dtc_codes")[0] == ["P0133", "U0100", "B1234", "C0300"]
    assert played.values("dtc_pending")[0] == ["P0301"]
    assert "0A" not in played.asked_between(0, 10)


def test_what_a_clone_left_of_a_vin_is_told_as_a_part() -> None:
    lost_first = "7E8 10 13 49 02 01 48 47 43 \r7E8 21 4D 38 32 36 33 33 41 \r7E8 22 30 30 34 33 35 32 00 \r\r>"
    played = play(5, {"0902": lost_first})
    assert played.values("vin") == []
    assert played.values("vin_part") == [VIN[1:]]
