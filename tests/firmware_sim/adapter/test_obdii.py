"""py-obdii, an OBD client that shares no code with python-OBD, reads the simulated adapters through a pty.

Two things of py-obdii 0.10.5b0 shape these tests: it refuses a long CAN message whose last frame is padded, which
ISO 15765-4 demands, so there are only two trouble codes here (they fit one frame); and on a K-line it reads none.
"""

from dataclasses import replace
from typing import Any

import pytest

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.j1979 import GEARBOX, CarSnapshot
from tests.firmware_sim.adapter.on_a_port import on_a_port, said_by

CAR = CarSnapshot(
    vin="LSVPW5000T2000001",
    battery_v=13.8,
    rpm=2150.5,
    speed_kmh=87,
    coolant_c=91,
    module_voltage_v=13.764,
    fuel_level_pct=40,
    engine_run_time_s=1234,
    throttle_pct=20,
    stft1_pct=-6.25,
    calibration_id="PWSIM15AT6",
    mil_on=True,
    stored_dtcs=("P0301", "U0100"),
)
PROGRAM = """
import json, sys
import obdii
from obdii.modes import ModeAT
car = obdii.Connection(sys.argv[1], obdii.Protocol(int(sys.argv[2])), baudrate=38400)
ask = lambda name: car.query(obdii.commands[name])
said = {"protocol": car.protocol.name, "voltage": car.query(ModeAT.READ_VOLTAGE).raw.decode("latin-1")}
names = "VEHICLE_SPEED ENGINE_SPEED ENGINE_COOLANT_TEMP VEHICLE_VOLTAGE FUEL_LEVEL ENGINE_RUN_TIME"
for name in [*names.split(), "SHORT_FUEL_TRIM_BANK_1"]:
    said[name] = ask(name).value
try:
    said["maf"] = ask("MAF_RATE").value
except obdii.errors.MissingDataError as error:
    said["maf"] = str(error)
said["supported"] = str(ask("SUPPORTED_PIDS_A").value)
said["dtcs"] = str(ask("GET_DTC").value)
said["vin"] = {ecu.decode(): bytes(data).hex() for ecu, data in ask("VIN").messages.items()}
said["calibration"] = {ecu.decode(): bytes(data).hex() for ecu, data in ask("CALIBRATION_ID").messages.items()}
said["speed_of"] = sorted(ecu.decode() for ecu in ask("VEHICLE_SPEED").messages)
car.close()
print(json.dumps(said))
"""


def ask(profile: str, car: CarSnapshot, protocol: str) -> dict[str, Any]:
    with on_a_port(Adapter(PROFILES[profile]), car) as path:
        return said_by(PROGRAM, path, protocol)


def agrees(said: dict[str, Any]) -> None:
    """What any client must read of this car on any bus."""
    assert said["voltage"] == "13.8V\r\r>"
    assert said["VEHICLE_SPEED"] == 87
    assert said["ENGINE_SPEED"] == 2150.5
    assert said["ENGINE_COOLANT_TEMP"] == 91
    assert said["VEHICLE_VOLTAGE"] == pytest.approx(13.764)
    assert said["FUEL_LEVEL"] == 40
    assert said["ENGINE_RUN_TIME"] == 1234
    assert said["SHORT_FUEL_TRIM_BANK_1"] == -6.25
    assert "NO DATA" in said["maf"]
    assert said["supported"] == "[1, 5, 6, 12, 13, 17, 28, 31, 32]"


def test_can_11_bit_found_by_trying() -> None:
    said = ask("elm327_v15", CAR, "0")
    agrees(said)
    assert said["protocol"] == "ISO_15765_4_CAN"
    assert said["dtcs"] == "[<DTC P0301>, <DTC U0100>]"
    assert bytes.fromhex(said["vin"]["7E8"]) == b"\x01" + str(CAR.vin).encode()
    assert said["speed_of"] == ["7E8"]


def test_can_29_bit_with_two_computers_on_an_stn1110() -> None:
    said = ask("stn1110", replace(CAR, protocol="7", other_ecus=(GEARBOX,)), "7")
    agrees(said)
    assert said["protocol"] == "ISO_15765_4_CAN_B"
    assert bytes.fromhex(said["vin"]["18DAF110"]) == b"\x01" + str(CAR.vin).encode()
    assert said["speed_of"] == ["18DAF110", "18DAF118"]


def test_kwp_in_five_messages() -> None:
    said = ask("elm327_v14b", replace(CAR, protocol="5"), "5")
    agrees(said)
    assert said["protocol"] == "ISO_14230_4_KWP_FAST"
    assert bytes.fromhex(said["vin"]["10"]) == b"\0\0\0" + str(CAR.vin).encode()
    assert bytes.fromhex(said["calibration"]["10"]) == b"PWSIM15AT6".ljust(16, b"\0")
