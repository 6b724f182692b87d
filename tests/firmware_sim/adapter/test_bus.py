"""What the adapter prints of each bus; frames written out by hand from the standards and the data sheet."""

from dataclasses import replace

import pytest

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.j1979 import GEARBOX, CarSnapshot, Ecu, answer, kline_answers

CAR = CarSnapshot(
    vin="LSVPW5000T2000001",
    coolant_c=85,
    speed_kmh=60,
    rpm=0,
    stored_dtcs=("P0301", "P0420", "U0100", "B1342"),
    freeze_dtc="P0301",
    freeze=CarSnapshot(coolant_c=20, rpm=900),
)


def asked(car: CarSnapshot, *commands: str) -> str:
    """The last command's answer; the clock goes on by a minute for each."""
    adapter, said = Adapter(PROFILES["elm327_v22"]), ""
    for minute, command in enumerate(("ATE0", *commands)):
        adapter.feed(command.encode() + b"\r", car, minute * 60.0)
        said = adapter.due(minute * 60.0 + 59).decode()
    return said.removesuffix("\r\r>")


def test_kwp_prints_header_data_and_checksum() -> None:
    """The header and checksum of python-OBD issue 81: 86 F1 7A 41 00 00 00 00 00 32."""
    old = replace(CAR, protocol="5")
    assert asked(old, "ATSP5", "0105") == "BUS INIT: OK\r41 05 7D "
    assert asked(old, "ATSP5", "0105", "0105") == "41 05 7D "
    checksum = 0x83 + 0xF1 + 0x10 + 0x41 + 0x05 + 0x7D & 0xFF
    assert asked(old, "ATH1", "ATSP5", "0105", "0105") == f"83 F1 10 41 05 7D {checksum:02X} "
    assert asked(replace(old, protocol="4"), "ATSP4", "0105") == "BUS INIT: ...OK\r41 05 7D "
    assert asked(replace(old, ecu_awake=False), "ATSP5", "0105") == "BUS INIT: ERROR"
    assert asked(replace(old, ecu_awake=False), "ATSP3", "0105") == "BUS INIT: ...ERROR"
    assert asked(old, "ATSP6", "0105") == "CAN ERROR"


def test_iso_9141_and_a_computer_that_refuses() -> None:
    old = replace(CAR, protocol="3", other_ecus=(Ecu(1, 0x18, refuses_with=0x12),))
    said = asked(old, "ATH1", "ATSP0", "0105")
    checksum = 0x48 + 0x6B + 0x10 + 0x41 + 0x05 + 0x7D & 0xFF
    refused = 0x48 + 0x6B + 0x18 + 0x7F + 0x01 + 0x12 & 0xFF
    assert said == f"SEARCHING...\r48 6B 10 41 05 7D {checksum:02X} \r48 6B 18 7F 01 12 {refused:02X} "


def test_long_answers_on_a_k_line_are_counted_messages() -> None:
    assert kline_answers(b"\x09\x02", CAR) == [
        bytes.fromhex("490201") + b"\0\0\0L",
        bytes.fromhex("490202") + b"SVPW",
        bytes.fromhex("490203") + b"5000",
        bytes.fromhex("490204") + b"T200",
        bytes.fromhex("490205") + b"0001",
    ]
    assert kline_answers(b"\x03", CAR) == [bytes.fromhex("43 0301 0420 C100"), bytes.fromhex("43 9342 0000 0000")]
    assert kline_answers(b"\x07", CAR) == [bytes.fromhex("47 0000 0000 0000")]
    assert kline_answers(b"\x09\x00", CAR) == [bytes.fromhex("4900 01 40000000")]
    assert kline_answers(b"\x01\x05\x0d", CAR) == []  # one PID a request
    assert kline_answers(b"\x01\x05", replace(CAR, ecu_awake=False)) == []


def test_can_29_bit() -> None:
    car = replace(CAR, protocol="7", other_ecus=(GEARBOX,))
    assert asked(car, "ATH1", "ATSP7", "010D") == "18 DA F1 10 03 41 0D 3C \r18 DA F1 18 03 41 0D 3C "
    assert asked(car, "ATH1", "ATSP7", "ATSH DA18F1", "010D") == "18 DA F1 18 03 41 0D 3C "
    assert asked(car, "ATH1", "ATSP7", "ATSH 18DA10F1", "010D") == "18 DA F1 10 03 41 0D 3C "
    assert asked(car, "ATSP7", "ATCP 17", "ATSH DA18F1", "010D") == "NO DATA"
    assert asked(car, "ATSP7", "ATCRA 18DAF118", "0105") == "NO DATA"
    assert asked(car, "ATSP6", "0105") == "NO DATA"
    assert asked(car, "ATSP8", "0105") == "CAN ERROR"


def test_several_computers_filters_and_masks() -> None:
    car = replace(CAR, other_ecus=(GEARBOX,))
    both = ("ATH1", "ATS0", "ATSP6")
    assert asked(car, *both, "010D") == "7E803410D3C\r7E903410D3C"
    assert asked(car, *both, "010D1") == "7E803410D3C"
    assert asked(car, *both, "ATCRA7E9", "010D") == "7E903410D3C"
    assert asked(car, *both, "ATCF7E8", "ATCM7FF", "010D") == "7E803410D3C"
    assert asked(car, *both, "ATSH7E1", "010D") == "7E903410D3C"
    assert asked(car, *both, "0105") == "7E80341057D"  # the gearbox does not know the coolant
    assert asked(car, *both, "ATD1", "0105") == "7E840341057D"
    assert asked(replace(car, other_ecus=(replace(GEARBOX, answer_s=0.001),)), *both, "010D").startswith("7E9")


def test_without_formatting_and_flow_control() -> None:
    assert asked(CAR, "ATSP6", "ATCAF0", "020105") == "03 41 05 7D 00 00 00 00 "
    assert asked(CAR, "ATSP6", "ATCAF0", "0105") == "NO DATA"  # length byte 01: service 05 alone
    whole = asked(CAR, "ATSP6", "ATH1", "0902")
    assert whole.count("\r") == 2
    assert asked(CAR, "ATSP6", "ATH1", "ATCFC0", "0902") == whole.split("\r")[0]
    assert asked(CAR, "ATSP6", "ATR0", "0105") == "\r>"


def test_freeze_frame() -> None:
    assert answer(bytes.fromhex("020500"), CAR) == bytes.fromhex("4205003C")
    assert answer(bytes.fromhex("020200"), CAR) == bytes.fromhex("4202000301")
    assert answer(bytes.fromhex("020501"), CAR) is None
    assert answer(bytes.fromhex("020500"), replace(CAR, freeze_dtc=None)) is None
    assert answer(bytes.fromhex("020D00"), CAR) is None


def test_a_pid_as_it_stands_on_the_bus() -> None:
    car = CarSnapshot(raw_pids=((0x7A, b"\1\2\3"),))
    assert answer(b"\x01\x7a", car) == b"\x41\x7a\1\2\3"
    bitmap = answer(b"\x01\x60", car)
    assert bitmap is not None
    assert int.from_bytes(bitmap[2:], "big") == 1 << (0x80 - 0x7A)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("ATKW", "1:8F 2:E9"),
        ("ATBD", "02 01 05 00 00 00 00 00 00 00 00 00 00 "),
        ("ATFI", "BUS INIT: OK"),
        ("ATDP", "ISO 14230-4 (KWP FAST)"),
    ],
)
def test_what_can_be_asked_about_a_k_line(command: str, says: str) -> None:
    assert asked(replace(CAR, protocol="5"), "ATSP5", "0105", command) == says
    assert asked(CAR, "ATSP6", "ATFI") == "?"


def test_stored_things() -> None:
    assert asked(CAR, "ATSD5A", "ATRD") == "5A"
    assert asked(CAR, "AT@3 NO-7", "AT@2") == "NO-7"
    assert asked(CAR, "AT@2") == "?"
    assert asked(CAR, "ATPPS").startswith("00:FF F  01:FF F  02:FF F  03:32 F\r")
