"""What the benchmark plays: the cut drive, the car beside it, the standing car, and the model that judges."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import onnxruntime
import pynmeagps
import pytest

from benchmarks.edge_parts.drive import Speed, car_columns, cut
from benchmarks.edge_parts.model import FEATURES, SECONDS, model_bytes
from benchmarks.edge_parts.stand import ASLEEP, IDLING, burst, sentence, trouble, with_trouble
from edge_agent.gnss.nmea import NmeaReader
from firmware_sim.elm327 import Elm327
from firmware_sim.j1979 import answer

BEGIN = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
VIN = "LSVPW5000T2000001"


def recording(knots: list[float]) -> bytes:
    def lines() -> Iterator[bytes]:
        for second, speed in enumerate(knots):
            clock = (BEGIN + timedelta(seconds=second)).strftime("%H%M%S.00")
            yield sentence(f"GNRMC,{clock},A,3100.0000,N,12100.0000,E,{speed:.2f},90.0,231126,,,A")
            yield sentence(f"GNGGA,{clock},3100.0000,N,12100.0000,E,1,09,0.80,37.5,M,-1.2,M,,")

    return b"".join(lines())


def test_a_drive_is_cut_from_shortly_before_its_first_motion() -> None:
    piece = cut(recording([0.0] * 60 + [20.0] * 60), 50.0)
    assert piece.length_s == 50.0
    assert piece.nmea.startswith(b"$GNRMC,081540.00,")
    assert piece.nmea.count(b"$GNGGA") == 51
    assert [each.t_s for each in piece.speeds] == list(range(51))
    assert piece.stopped_share == pytest.approx(20 / 51)
    assert piece.km == pytest.approx(30 * 20 * 1852 / 3600 / 1000)


def test_a_drive_that_never_moves_is_played_from_its_beginning_and_one_without_speed_refused() -> None:
    assert cut(recording([0.0] * 30), 600.0).length_s == 29.0
    with pytest.raises(ValueError, match="RMC"):
        cut(
            b"".join(sentence(f"GNGGA,08150{n}.00,3100.0000,N,12100.0000,E,1,09,0.8,37.5,M,,M,,") for n in range(3)),
            9.0,
        )


def test_the_car_drives_as_fast_as_the_receiver_says() -> None:
    columns = car_columns([Speed(0.0, 10.0), Speed(1.0, 10.0), Speed(2.0, 15.0), Speed(3.0, 15.0)], VIN)
    by_time = dict(zip(columns["t_s"], columns["speed_kmh"], strict=True))
    assert by_time[0.5] == pytest.approx(36.0)
    assert by_time[1.5] == pytest.approx(45.0)
    assert by_time[3.0] == pytest.approx(54.0)
    assert {len(values) for values in columns.values()} == {31}
    assert {"rpm", "coolant_c", "engine_load_pct", "throttle_pct", "module_voltage_v", "odometer_km"} <= columns.keys()
    assert columns["odometer_km"][-1] - columns["odometer_km"][0] == pytest.approx(0.0375, abs=1e-3)


def test_a_standing_receivers_burst_is_one_epoch_for_an_independent_reader_and_for_ours() -> None:
    data = burst(BEGIN, random.Random(1))
    lines = data.splitlines(keepends=True)
    parsed = [pynmeagps.NMEAReader.parse(line, validate=pynmeagps.VALCKSUM) for line in lines]
    assert [each.msgID for each in parsed] == ["RMC", "GGA", "GSA", "GSV", "GSV", "GSV", "GLL"]
    assert {(round(each.lat, 3), round(each.lon, 3)) for each in parsed if hasattr(each, "lat")} == {(30.657, 104.065)}
    reader = NmeaReader()
    fixes = reader.feed(data + burst(BEGIN + timedelta(seconds=1), random.Random(2))) + reader.flush()
    assert [fix.time_utc for fix in fixes] == [BEGIN, BEGIN + timedelta(seconds=1)]


def test_each_turn_tells_other_codes_and_another_number_of_them() -> None:
    cars = [with_trouble(IDLING, turn) for turn in range(1, 6)]
    assert len({car.stored_dtcs for car in cars}) == 5
    status = [answer(b"\x01\x01", car) for car in cars]
    assert all(a != b for a, b in pairwise(status))
    assert all(
        text != "P0000" for turn in range(1, 6) for service in ("03", "07", "0A") for text in trouble(turn, service)
    )


def test_a_car_that_sleeps_still_shows_its_voltage() -> None:
    adapter = Elm327()
    assert b"CAN ERROR" in adapter.feed(b"ATSP6\r010C\r", ASLEEP, 0.0)
    assert b"12.6V" in adapter.feed(b"ATRV\r", ASLEEP, 0.0)


def test_the_model_runs_and_weighs_about_400_kb() -> None:
    model = model_bytes()
    assert 380_000 < len(model) < 420_000
    assert model == model_bytes()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    window = np.random.default_rng(1).normal(size=(1, SECONDS, FEATURES)).astype(np.float32)
    (score,) = session.run(None, {"window": window})
    (zero,) = session.run(None, {"window": np.zeros_like(window)})
    assert score.shape == (1, 1)
    assert zero[0, 0] == 0.5
    assert 0 < score[0, 0] < 1
    assert score[0, 0] != 0.5
