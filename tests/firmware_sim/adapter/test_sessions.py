"""Recorded sessions of real adapters: what was typed then is typed to the profile that plays such an adapter.

Compared is the shape of each answer: its lines, with the digits of versions, voltages and data masked. Left out, each
with its reason, is what no adapter sent or what came of another attempt.
"""

import json
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.adapter.profile import NO_FAULTS, AdapterFaults
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.j1979 import CarSnapshot, Ecu

CAR = CarSnapshot(
    battery_v=13.4,
    rpm=0,
    throttle_pct=18,
    engine_load_pct=0,
    coolant_c=85,
    module_voltage_v=12.675,
    dist_mil_on_km=0,
    raw_pids=((0x62, b"\0"), (0x7A, bytes(7))),
)
OTHER = Ecu(2, 0x18, frozenset({"rpm", "module_voltage_v"}), answer_s=0.004)  # answers before the engine's
REFUSES = Ecu(1, 0x18, refuses_with=0x12)
ASLEEP = replace(CAR, ecu_awake=False)


@dataclass(frozen=True)
class Case:
    profile: str
    car: CarSnapshot = CAR
    before: tuple[str, ...] = ("ATE0",)  # typed before the record begins
    lossy: bool = False  # bytes of data lines were lost in the record
    stopped: dict[int, float] = field(default_factory=dict)  # exchanges in which a byte was typed so many s after
    errors: dict[int, str] = field(default_factory=dict)
    left_out: dict[int, str] = field(default_factory=dict)


CAN = ("ATE0", "ATSP6")
CASES = {
    "python-OBD/issues/200": Case("v15_quiet_reset", replace(CAR, other_ecus=(OTHER,))),
    "python-OBD/issues/167": Case("v15_late_prompt"),
    "python-OBD/issues/164": Case("v15_noise_lead", replace(ASLEEP, protocol="5")),
    "python-OBD/issues/184": Case(
        "v15_late_prompt",
        left_out={7: "the late end of the answer before", 8: "the client had given up"},  # test_adapter.py plays both
    ),
    "python-OBD/issues/22": Case("v21_fake", ASLEEP, ()),
    "python-OBD/issues/81": Case("elm327_v14b", replace(CAR, protocol="5")),
    "python-OBD/issues/134": Case("v15_frames_twice"),
    "python-OBD/issues/190": Case("elm327_v15", before=("ATE0", "ATH1", "ATSP6")),
    "python-OBD/issues/187": Case(
        "v15_noise_lead", replace(ASLEEP, protocol="3"), ("ATE0", "ATSP3"), left_out={5: "of another attempt"}
    ),
    "python-OBD/issues/206": Case("v15_noise_lead", replace(CAR, protocol="7", other_ecus=(OTHER,)), ()),
    "PiOBDII/issues/4": Case("v21_fake", replace(CAR, other_ecus=(OTHER,))),
    "Freematics/issues/7": Case("v15_bt_slow", replace(CAR, protocol="5", other_ecus=(REFUSES,)), (), lossy=True),
    "ddt4all/issues/652": Case("elm327_v15", before=()),
    "obd2lib/issues/15": Case("elm327_v15", before=("ATSP6",), stopped={0: 0.006}, errors={1: "ERR93"}),
    "CANiBUS/issues/6": Case("elm327_v14b", ASLEEP, CAN),
    "ELMduino/issues/36": Case("v15_echo_twice", stopped={4: 0.05}),
    "ELMduino/issues/279": Case("v15_bt_slow", before=("ATE0", "ATS0", "ATSP6")),
    "OBDdatasets": Case("elm327_v15", left_out=dict.fromkeys(range(3), "joined by the app that stored it")),
}


class Client:
    """Types a command, waits for the adapter's own time, reads everything."""

    def __init__(self, case: Case) -> None:
        chosen = PROFILES[case.profile]
        steady = replace(chosen, late_prompt_share=0.0, drop_prompt_share=0.0, drop_byte_share=0.0)
        self.adapter, self.car, self.now_s = Adapter(steady), case.car, 0.0

    def ask(self, command: str, error: str = "", stopped_s: float | None = None) -> str:
        self.adapter.faults = AdapterFaults(bus_error=error) if error else NO_FAULTS
        self.now_s += 1.0
        self.adapter.feed(command.encode() + b"\r", self.car, self.now_s)
        if stopped_s is not None:
            self.now_s += stopped_s
            said = self.adapter.due(self.now_s)
            self.adapter.feed(b" ", self.car, self.now_s)
        else:
            said = b""
        self.now_s += 20
        return (said + self.adapter.due(self.now_s)).decode("latin-1")


def shape(text: str) -> list[str]:
    """Lines without prompt; carriage returns that a terminal follows; masked digits."""
    lines = re.split(r"[\r\n]+| {2,}", text.replace("\xfc", "?").replace(">", ""))
    return [masked(line.strip()) for line in lines if line.strip()]


def masked(line: str) -> str:
    if re.fullmatch(r"(?:[0-9A-F]+:)?[0-9A-F ]+", line):
        return re.sub(r"[0-9A-F]", "x", line)
    return re.sub(r"v\d\.\d\w?", "v#", re.sub(r"^\d+\.\d+V", "#V", line)).replace("BUS INIT: ...", "BUS INIT: ")


def overwritten(lines: list[str]) -> list[str]:
    """As a terminal shows lines that end with a carriage return alone: the second over the first."""
    first, second = lines
    return [second + first[len(second) :]]


def is_part(short: str, long: str) -> bool:
    """Whether `short` is left when a few characters of `long` are lost."""
    rest = iter(long)
    return len(long) - len(short) <= 3 and all(character in rest for character in short)


def test_every_recorded_session_has_a_case(telemetry: Path) -> None:
    assert [next(name for name in CASES if name in session["source"]) for session in recorded(telemetry)] == list(CASES)


def recorded(telemetry: Path) -> list[dict[str, Any]]:
    lines = (telemetry / "elm327_transcripts" / "sessions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", CASES)
def test_the_profile_answers_as_recorded(telemetry: Path, name: str) -> None:
    case = CASES[name]
    session = next(each for each in recorded(telemetry) if name in each["source"])
    exchanges = session["exchanges"]
    client = Client(case)
    for command in case.before:
        client.ask(command)
    for number, exchange in enumerate(exchanges):
        typed = "\x7f\x7f" if exchange["tx"] == "(probe)" else exchange["tx"]
        ours = shape(client.ask(typed, case.errors.get(number, ""), case.stopped.get(number)))
        theirs = shape(exchange["rx"])
        if number in case.left_out:
            continue
        if theirs == ["STOPPEDNG..."]:
            ours = overwritten(ours)
        if exchange is exchanges[-1] and not exchange["rx"].endswith(">"):  # the record may end inside a line
            ours = ours[: len(theirs)]
            ours[-1] = ours[-1][: len(theirs[-1])]
        if case.lossy:
            assert len(ours) == len(theirs)
            assert all(is_part(a, b) for a, b in zip(theirs, ours, strict=True)), (exchange, ours)
        else:
            assert ours == theirs, (exchange, ours)


@pytest.mark.parametrize("name", CASES)
def test_answers_without_a_prompt_have_a_profile_that_can_lose_it(telemetry: Path, name: str) -> None:
    """Where the record keeps control characters and some answers have a prompt, those without one show a fault."""
    session = next(each for each in recorded(telemetry) if name in each["source"])
    exchanges = session["exchanges"]
    ends = [exchange["rx"].endswith(">") for exchange in exchanges]
    profile = PROFILES[CASES[name].profile]
    if session["rx_has_control_chars"] and any(ends) and not all(ends):
        assert profile.late_prompt_share or profile.drop_prompt_share
