"""The ECU's answers, decoded with the formulas of SAE J1979 written out here by hand."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.j1979 import PIDS, CarSnapshot, Pid, answer, dtc_bytes

CAR = CarSnapshot(
    vin="LSVPW5000T2000001",
    rpm=1726.25,
    speed_kmh=60.4,
    coolant_c=83,
    stft1_pct=-6.25,
    module_voltage_v=13.812,
    odometer_km=48210.7,
    engine_load_pct=33.3,
    timing_adv_deg=-4.5,
    equiv_ratio=0.997,
    engine_run_time_s=70_000,
    stored_dtcs=("P0301", "U0100", "B1342"),
    pending_dtcs=("C0035",),
    mil_on=True,
)

Decode = Callable[[bytes], float]


def u(data: bytes) -> int:
    return int.from_bytes(data, "big")


@pytest.mark.parametrize(
    ("pid", "decode", "value", "step"),
    [
        (0x0C, lambda d: (256 * d[0] + d[1]) / 4, 1726.25, 0.25),
        (0x0D, lambda d: d[0], 60.4, 1),
        (0x05, lambda d: d[0] - 40, 83, 1),
        (0x06, lambda d: (d[0] - 128) * 100 / 128, -6.25, 100 / 128),
        (0x42, lambda d: (256 * d[0] + d[1]) / 1000, 13.812, 0.001),
        (0xA6, lambda d: u(d) / 10, 48210.7, 0.1),
        (0x04, lambda d: d[0] * 100 / 255, 33.3, 100 / 255),
        (0x0E, lambda d: d[0] / 2 - 64, -4.5, 0.5),
        (0x44, lambda d: (256 * d[0] + d[1]) * 2 / 65536, 0.997, 2 / 65536),
        (0x1F, lambda d: 256 * d[0] + d[1], 65535, 1),  # the counter's end holds
    ],
)
def test_value_survives_its_code(pid: int, decode: Decode, value: float, step: float) -> None:
    reply = answer(bytes((0x01, pid)), CAR)
    assert reply is not None
    assert reply[:2] == bytes((0x41, pid))
    assert abs(decode(reply[2:]) - value) <= step / 2 + 1e-9


@given(st.sampled_from(PIDS), st.floats(-1e9, 1e9))
def test_any_value_fits_its_bytes(pid: Pid, value: float) -> None:
    assert len(pid.encode(value)) == pid.size


def supported(car: CarSnapshot) -> set[int]:
    """What the bitmaps say, followed as a tester follows them."""
    found: set[int] = set()
    base = 0
    while reply := answer(bytes((0x01, base)), car):
        bits = u(reply[2:6])
        found |= {base + 1 + i for i in range(32) if bits >> (31 - i) & 1}
        base += 0x20
        if base not in found:
            break
    return found


def test_the_bitmaps_say_what_is_answered() -> None:
    said = {pid for pid in supported(CAR) if pid % 0x20}
    answered = {pid for pid in range(1, 0x100) if pid % 0x20 and answer(bytes((0x01, pid)), CAR)}
    assert said == answered
    assert {0x01, 0x0C, 0xA6} <= said
    assert 0x2F not in said


def test_a_car_with_little_has_one_bitmap() -> None:
    assert answer(b"\x01\x00", CarSnapshot(speed_kmh=3)) == bytes.fromhex("4100 80080010")
    assert answer(b"\x01\x20", CarSnapshot(speed_kmh=3)) is None


def test_lamp_and_number_of_codes() -> None:
    reply = answer(b"\x01\x01", CAR)
    assert reply is not None
    assert reply[2] == 0x83
    assert answer(b"\x01\x01", CarSnapshot()) == bytes.fromhex("4101 0007E500")


def test_trouble_codes() -> None:
    assert answer(b"\x03", CAR) == bytes.fromhex("43 03 0301 C100 9342")
    assert answer(b"\x07", CAR) == bytes.fromhex("47 01 4035")
    assert answer(b"\x0a", CAR) == bytes.fromhex("4A 00")
    for wrong in ("P4301", "X0301", "P030", "P03011"):
        with pytest.raises(ValueError):
            dtc_bytes(wrong)


def test_vehicle_information() -> None:
    assert answer(b"\x09\x02", CAR) == b"\x49\x02\x01LSVPW5000T2000001"
    assert answer(b"\x09\x00", CAR) == bytes.fromhex("4900 40000000")
    assert answer(b"\x09\x04", CAR) is None


def test_several_pids_in_one_request() -> None:
    assert answer(bytes.fromhex("01 0C 0D 2F 05"), CAR) == bytes.fromhex("41 0C 1AF9 0D 3C 05 7B")
    assert answer(bytes.fromhex("01 0C 0D 05 06 42 04 0E"), CAR) is None  # seven are too many


@pytest.mark.parametrize("request_hex", ["0199", "0400", "0600", "0202", "09", "0902 02", "22F190"])
def test_what_is_not_supported_is_not_answered(request_hex: str) -> None:
    assert answer(bytes.fromhex(request_hex), CAR) is None


def test_a_sleeping_ecu_says_nothing() -> None:
    assert answer(b"\x01\x00", CarSnapshot(ecu_awake=False, speed_kmh=0)) is None
