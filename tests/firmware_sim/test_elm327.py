"""The adapter, character by character; where noted, expected lines are quoted from sessions of real adapters."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.adapter.bus import iso_tp_frames
from firmware_sim.elm327 import Elm327, Quirks
from firmware_sim.j1979 import CarSnapshot

CAR = CarSnapshot(
    vin="LSVPW5000T2000001",
    battery_v=13.44,
    throttle_pct=100 * 0x2D / 255,
    engine_load_pct=0,
    coolant_c=85,
    module_voltage_v=12.675,
    rpm=800,
    speed_kmh=0,
)
ASLEEP = replace(CAR, ecu_awake=False)


def typed(adapter: Elm327, command: str, car: CarSnapshot = CAR, now_s: float = 0.0) -> str:
    return adapter.feed(command.encode("latin-1") + b"\r", car, now_s).decode("latin-1")


def after(*commands: str) -> Elm327:
    adapter = Elm327()
    for command in commands:
        typed(adapter, command)
    return adapter


CONNECTED = ("ATZ", "ATE0", "ATH1", "ATL0", "ATSP6")


def test_the_opening_of_a_session() -> None:
    """As python-OBD#81 and #200 recorded it from ELM327 v1.4 and v1.5 adapters (echo is on after a reset)."""
    adapter = Elm327()
    assert typed(adapter, "ATZ") == "ATZ\r\r\rELM327 v1.5\r\r>"
    assert typed(adapter, "ATE0") == "ATE0\rOK\r\r>"
    assert typed(adapter, "ATH1") == "OK\r\r>"
    assert typed(adapter, "AT RV") == "13.4V\r\r>"
    assert typed(adapter, "ATSP0") == "OK\r\r>"
    assert typed(adapter, "0100") == "SEARCHING...\r7E8 06 41 00 98 18 80 11 \r\r>"
    assert typed(adapter, "ATDPN") == "A6\r\r>"
    assert typed(adapter, "ATDP") == "AUTO, ISO 15765-4 (CAN 11/500)\r\r>"
    assert typed(adapter, "ATZ") == "\r\rELM327 v1.5\r\r>"


def test_polling_with_a_count() -> None:
    """The exchanges of python-OBD#190, byte for byte."""
    adapter = after(*CONNECTED)
    assert typed(adapter, "01111") == "7E8 03 41 11 2D \r\r>"
    assert typed(adapter, "01041") == "7E8 03 41 04 00 \r\r>"
    assert typed(adapter, "01051") == "7E8 03 41 05 7D \r\r>"
    assert typed(adapter, "01421") == "7E8 04 41 42 31 83 \r\r>"


def test_long_answers() -> None:
    """Layout of the data sheet's multiline responses; the VIN comes as ISO 15765-2 frames."""
    adapter = after(*CONNECTED)
    first, second, third = "10 14 49 02 01 4C 53 56 ", "21 50 57 35 30 30 30 54 ", "22 32 30 30 30 30 30 31 "
    assert typed(adapter, "0902") == f"7E8 {first}\r7E8 {second}\r7E8 {third}\r\r>"
    assert typed(adapter, "09023") == f"7E8 {first}\r7E8 {second}\r7E8 {third}\r\r>"
    assert typed(adapter, "09021") == f"7E8 {first}\r\r>"
    typed(adapter, "ATH0")
    assert typed(adapter, "0902") == f"014 \r0: {first[6:]}\r1: {second[3:]}\r2: {third[3:]}\r\r>"
    typed(adapter, "ATS0")
    assert typed(adapter, "0902") == "014\r0:4902014C5356\r1:50573530303054\r2:32303030303031\r\r>"
    assert typed(adapter, "0105") == "41057D\r\r>"


@given(st.binary(min_size=1, max_size=300))
def test_frames_join_to_the_message(message: bytes) -> None:
    frames = iso_tp_frames(message)
    assert all(len(frame) <= 8 for frame in frames)
    assert (len(frames) == 1) == (len(message) <= 7)
    if len(frames) == 1:
        assert frames[0] == bytes((len(message),)) + message
        return
    assert int.from_bytes(frames[0][:2], "big") == 0x1000 | len(message)
    assert [frame[0] for frame in frames[1:]] == [0x20 | n % 16 for n in range(1, len(frames))]
    assert (frames[0][2:] + b"".join(frame[1:] for frame in frames[1:]))[: len(message)] == message


def test_switches() -> None:
    adapter = after("ATE0", "ATSP6", "ATL1")
    assert typed(adapter, "ATI") == "ELM327 v1.5\r\n\r\n>"
    typed(adapter, "AT E1")
    assert typed(adapter, "at@1") == "at@1\r\nOBDII to RS232 Interpreter\r\n\r\n>"
    assert typed(adapter, "ATD") == "ATD\r\nOK\r\r>"  # defaults: linefeeds off from the answer on, echo on
    assert typed(adapter, "ATE0") == "ATE0\rOK\r\r>"


@pytest.mark.parametrize(
    "command", ["ATM0", "ATAT1", "ATAT 2", "ATST 32", "ATAL", "ATCAF1", "ATSH 7E0", "ATTP6", "ATPC"]
)
def test_commands_that_only_say_ok(command: str) -> None:
    assert typed(after("ATE0"), command) == "OK\r\r>"


@pytest.mark.parametrize(
    "command", ["ATXYZ", "ATSP", "ATSPG", "ATE2", "HELLO", "1", "010", "01 0G", "\x7f\x7f", "AT", "\xff"]
)
def test_what_it_does_not_understand(command: str) -> None:
    if command == "010":  # one byte and a count of nought: valid, but nothing is waited for
        assert typed(after(*CONNECTED), command) == "NO DATA\r\r>"
    else:
        assert typed(after(*CONNECTED), command) == "?\r\r>"


def test_a_lone_carriage_return_repeats() -> None:
    adapter = after(*CONNECTED)
    once = typed(adapter, "010C")
    assert typed(adapter, "") == once
    assert typed(adapter, "") == once
    assert typed(after("ATE0", "ATRV"), "") == "13.4V\r\r>"


def test_a_command_longer_than_the_buffer() -> None:
    adapter = after(*CONNECTED)
    assert typed(adapter, "01" * 5000) == "?\r\r>"
    assert typed(adapter, "0105") == "7E8 03 41 05 7D \r\r>"


def test_unsupported_and_unreachable() -> None:
    adapter = after(*CONNECTED)
    assert typed(adapter, "012F") == "NO DATA\r\r>"
    assert typed(adapter, "06") == "NO DATA\r\r>"
    typed(adapter, "ATSH 7E1")
    assert typed(adapter, "010C") == "NO DATA\r\r>"
    typed(adapter, "ATSH 7E0")
    assert typed(adapter, "010C") == "7E8 04 41 0C 0C 80 \r\r>"
    typed(adapter, "ATCRA 7E9")
    assert typed(adapter, "010C") == "NO DATA\r\r>"
    typed(adapter, "ATCRA")
    assert typed(adapter, "010C", ASLEEP) == "CAN ERROR\r\r>"
    assert typed(adapter, "ATRV", ASLEEP) == "13.4V\r\r>"  # the adapter has its own supply
    assert typed(adapter, "ATIGN", ASLEEP) == "OFF\r\r>"


def test_wrong_protocols_and_the_search() -> None:
    adapter = after(*CONNECTED)
    for protocol, says in (("3", "BUS INIT: ...ERROR"), ("5", "BUS INIT: ERROR"), ("8", "CAN ERROR"), ("1", "NO DATA")):
        typed(adapter, f"ATSP{protocol}")
        assert typed(adapter, "0100") == f"{says}\r\r>"
        assert typed(adapter, "ATDPN") == f"{protocol}\r\r>"
    typed(adapter, "ATSP0")
    assert typed(adapter, "0100", ASLEEP) == "SEARCHING...\rUNABLE TO CONNECT\r\r>"
    assert typed(adapter, "ATDPN") == "A0\r\r>"
    assert typed(adapter, "0105") == "SEARCHING...\r7E8 03 41 05 7D \r\r>"
    assert typed(adapter, "0105") == "7E8 03 41 05 7D \r\r>"


def test_a_hung_adapter() -> None:
    adapter = Elm327(Quirks(silent_after_s=4.0))
    assert typed(adapter, "ATI", now_s=3.9)
    assert not typed(adapter, "ATI", now_s=4.0)
    assert adapter.feed(b"\x00", CAR, 99.0) == b""


SWITCHES = ("ATZ", "ATE0", "ATE1", "ATL1", "ATL0", "ATS0", "ATH1", "ATH0", "at sp 0", "ATSP3", "ATSP6")
OTHERS = ("ATDPN", "AT@1", "0100", "010C1", "0902", "03", "", "bad", "01 0C 0D", "\x00\x7f")
COMMANDS = st.sampled_from(SWITCHES + OTHERS)


@given(st.lists(COMMANDS, max_size=12), st.data())
def test_any_chunking_gives_the_same_output(commands: list[str], data: st.DataObject) -> None:
    stream = "".join(f"{command}\r" for command in commands).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    whole, cut = Elm327(), Elm327()
    in_one = whole.feed(stream, CAR, 0.0)
    in_parts = b"".join(cut.feed(stream[a:b], CAR, 0.0) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    assert in_one == in_parts
    assert whole.settings == cut.settings


@given(st.binary(max_size=600))
def test_random_bytes_break_nothing(noise: bytes) -> None:
    adapter = Elm327()
    adapter.feed(noise, CAR, 0.0)
    adapter.feed(b"\r", CAR, 0.0)
    assert adapter.feed(b"ATI\r", CAR, 0.0).endswith(
        b"ELM327 v1.5" + (b"\r\n" if adapter.settings.linefeeds else b"\r") * 2 + b">"
    )


@pytest.mark.shared
def test_lines_look_as_recorded(telemetry: Path) -> None:
    """Every AT exchange of recorded good v1.5 adapters whose logger kept the control characters."""
    compared = 0
    for line in (telemetry / "elm327_transcripts" / "sessions.jsonl").read_text().splitlines():
        session = json.loads(line)
        if "v1.5" not in str(session["exchanges"]) or not session.get("rx_has_control_chars", True):
            continue
        adapter = Elm327()
        for exchange in session["exchanges"]:
            ours = typed(adapter, exchange["tx"], replace(CAR, battery_v=13.4))
            theirs = exchange["rx"]
            if exchange["tx"] in ("ATE0", "ATH1", "ATL0", "ATSP0", "ATS0", "ATDPN") and theirs.endswith("\r\r>"):
                assert ours == theirs, (session["source"], exchange)
                compared += 1
    assert compared >= 4
