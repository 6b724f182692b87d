"""Bytes that were made once and must be read the same for ever: units in the field send them, courts are shown them.

The files in `golden/` are never made again. A newer schema adds files beside them; where one of these tests fails,
the change that made it fail cannot be made.
"""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wire.codec import decode_body, decode_columns, encode_body
from wire.fold import inflate, unfold
from wire.records import Body, Event, Gap, Receipt, Sample, SequenceRange, TimeQuality
from wire.refused import Reason, RefusedError
from wire.seal import (
    Identity,
    link_to,
    open_receipt,
    open_seal,
    read_body,
    seal_batch,
    seal_receipt,
    stored_body,
    stored_link,
)

GOLDEN = Path(__file__).with_name("golden")
UNIT_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SERVER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
UNIT_PUBLIC = Ed25519PublicKey.from_public_bytes(
    bytes.fromhex("03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
)

UNIT = "PW000042"
BOOT = bytes.fromhex("8f14e45fceea167a5a36dedd4bea2543")
IDENTITY = Identity(UNIT, BOOT, boot_number=3, sequence=1234)
LINK = bytes.fromhex("c20ad4d76fe97759aa27a0c99bff6710")

BODY = Body(
    kernel_boot=0xDEADBEEF,
    samples=(
        Sample(  # moving, everything known
            mono_s=86_400.17,
            time_utc_ms=1_795_000_000_000,
            time_quality=TimeQuality.GNSS,
            lat_deg=39.9087202,
            lon_deg=116.3974799,
            alt_m=43.5,
            speed_mps=13.89,
            course_deg=271.3,
            fix_quality=1,
            satellites_used=17,
            hdop=0.84,
            obd_speed_kmh=50.0,
            engine_rpm=1816.25,
            coolant_temp_c=89.0,
            engine_load_pct=34.9,
            throttle_pct=17.3,
            module_voltage_v=13.874,
            fuel_level_pct=61.2,
            odometer_km=48_213.7,
            mil_on=0,
            dtc_count=0,
        ),
        Sample(  # the adapter lags: no OBD; south and west of the zeros
            mono_s=86_401.17,
            time_utc_ms=1_795_000_001_000,
            time_quality=TimeQuality.GNSS,
            lat_deg=-33.8567844,
            lon_deg=-70.6482685,
            alt_m=-12.4,
            speed_mps=0.0,
            course_deg=0.0,
            fix_quality=2,
            satellites_used=9,
            hdop=1.2,
        ),
        Sample(  # a tunnel: OBD alone
            mono_s=86_402.2,
            time_utc_ms=1_795_000_002_033,
            time_quality=TimeQuality.NTP,
            obd_speed_kmh=48.0,
            engine_rpm=0.0,
            coolant_temp_c=-7.0,
            mil_on=1,
            dtc_count=3,
        ),
        Sample(mono_s=0.0, time_utc_ms=None, time_quality=TimeQuality.NONE),
        Sample(mono_s=10.0, time_utc_ms=1_790_000_000_000, time_quality=TimeQuality.FLOOR, lat_deg=1e-7, lon_deg=-1e-7),
        Sample(mono_s=20.01, time_utc_ms=-1, time_quality=TimeQuality.RTC, module_voltage_v=11.8),
    ),
    events=(
        Event("unit_started", 12, None, TimeQuality.NONE, {"version": "0.1.0", "outbox": "found"}),
        Event(
            "trouble_codes", 86_400_170, 1_795_000_000_000, TimeQuality.GNSS, {"codes": "P0420 U0100", "说明": "三元"}
        ),
    ),
    gaps=(Gap(BOOT, 17, 23, 420, "full"),),
    counts={"gnss.refused.checksum": 144, "gnss.accepted": 35_611, "obd.timeout": 0},
)
RECEIPT = Receipt(
    UNIT,
    BOOT,
    committed=(SequenceRange(1, 16), SequenceRange(24, 1234), SequenceRange(2**40, 2**40)),
    server_time_ms=1_795_000_003_141,
    wanted=(SequenceRange(17, 23),),
)


def golden(name: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{name}.hex").read_text())


def test_the_body_is_written_in_the_golden_bytes() -> None:
    assert encode_body(BODY).hex() == golden("body").hex()


def test_the_body_is_read_from_the_golden_bytes() -> None:
    assert decode_body(golden("body")) == BODY
    assert decode_columns(golden("body"), ["lat_deg"]) == {"lat_deg": [row.lat_deg for row in BODY.samples]}


def test_the_batch_is_read_from_the_golden_bytes() -> None:
    opened = open_seal(golden("batch"), UNIT, UNIT_PUBLIC)
    assert (opened.identity, opened.link) == (IDENTITY, LINK)
    assert inflate(opened.body_zlib) == golden("body")
    assert read_body(opened) == BODY
    assert (stored_body(golden("batch")), stored_link(golden("batch"))) == (golden("body"), LINK)
    assert link_to(golden("batch")).hex() == "6c6d372bf7fe2f3e9da43d170650780d"


def test_the_batch_is_sealed_as_it_was() -> None:
    """But for the folding: its output may differ from version to version of the library."""
    before = open_seal(golden("batch"), UNIT, UNIT_PUBLIC)
    now = open_seal(seal_batch(UNIT_KEY, IDENTITY, LINK, BODY), UNIT, UNIT_PUBLIC)
    assert (now.identity, now.link, unfold(now.body_lzma)) == (IDENTITY, LINK, inflate(before.body_zlib))


def test_the_batch_of_the_second_version_is_read_from_the_golden_bytes() -> None:
    opened = open_seal(golden("batch2"), UNIT, UNIT_PUBLIC)
    assert (opened.identity, opened.link, read_body(opened)) == (IDENTITY, LINK, BODY)
    assert unfold(opened.body_lzma) == stored_body(golden("batch2")) == golden("body")


def test_the_receipt_is_sealed_and_opened_in_the_golden_bytes() -> None:
    assert seal_receipt(SERVER_KEY, RECEIPT).hex() == golden("receipt").hex()
    assert open_receipt(golden("receipt"), UNIT, [SERVER_KEY.public_key()]) == RECEIPT


def test_golden_bytes_are_still_checked() -> None:
    with pytest.raises(RefusedError) as refused:
        open_seal(golden("batch"), UNIT, SERVER_KEY.public_key())
    assert refused.value.reason is Reason.SIGNATURE
