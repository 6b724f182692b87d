"""Recorded drives as motion."""

import gzip
import math
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from firmware_sim.roads.geometry import Plane
from firmware_sim.roads.motion import STEP_S, Phase
from firmware_sim.roads.recorded import Look, RecordingError, looks_of_columns, looks_of_nmea, recorded


def line(body: str) -> bytes:
    total = 0
    for byte in body.encode():
        total ^= byte
    return f"${body}*{total:02X}\r\n".encode()


def test_sentences_become_looks_and_bad_ones_do_not() -> None:
    lines = [
        line("GNRMC,235959.00,A,3030.0000,N,10403.0000,E,19.438,90.0,231126,,,A,V"),
        line("GNRMC,000000.00,V,3031.0000,N,10403.0000,E,19.438,90.0,241126,,,N,V"),
        line("GNRMC,000000.50,A,3030.0000,N,10403.0060,E,19.438,90.0,241126,,,A,V").replace(b"3030", b"3031"),
        line("GNGGA,000001.00,3030.0000,N,10403.0120,E,1,10,0.8,500,M,,M,,"),
        line("GNRMC,000001.00,A,3030.0000,S,10403.0120,W,19.438,90.0,241126,,,A,V"),
        b"$GNRMC,nonsense\r\n",
        line("GNRMC,120000.00,A,,,,,,,241126,,,A,V"),
    ]
    looks = list(looks_of_nmea(lines))
    assert [look.t_s for look in looks] == [0.0, 2.0]
    assert looks[0].lat_deg == 30.5
    assert looks[1].lat_deg == -30.5
    assert looks[1].lon_deg == pytest.approx(-104.0502)
    assert looks[0].speed_mps == pytest.approx(10.0, abs=0.001)


def test_between_two_looks_all_is_linear_and_the_key_follows() -> None:
    degrees = math.degrees(100 / 6335439.0)  # about 100 m
    looks = [Look(0, 0.0, 104.0, 0.0), Look(30, 0.0, 104.0, 0.0), Look(40, degrees, 104.0, 10.0)]
    looks += [Look(70, 3 * degrees, 104.0, 0.0), Look(120, 3 * degrees, 104.0, 0.0)]
    told = list(recorded(looks, start_s=500.0))
    assert [told[0].t_s, told[-1].t_s] == [500.0, 620.0]
    assert told[350].speed_mps == pytest.approx(5.0)
    assert told[350].lat_deg == pytest.approx(degrees / 2)
    assert told[350].accel_mps2 == pytest.approx(1.0)
    assert told[350].course_deg == 0
    assert (told[0].phase, told[310].phase, told[-1].phase) == (Phase.OFF, Phase.RUNNING, Phase.OFF)


def test_engine_speed_is_the_better_key() -> None:
    columns = {"t_s": [0.0, 10.0, 11.0, 20.0], "lat": [30.0] * 4, "lon": [104.0, 104.0, 104.0, 104.001]}
    columns |= {"rpm": [0.0, 0.0, 250.0, 900.0], "speed_kmh": [0.0, 0.0, 0.0, 36.0]}
    told = list(recorded(looks_of_columns({name: list(values) for name, values in columns.items()})))
    assert [told[0].phase, told[109].phase, told[-1].phase] == [Phase.OFF, Phase.CRANKING, Phase.RUNNING]


def test_a_recording_without_a_way_is_refused() -> None:
    with pytest.raises(RecordingError, match="fewer than two places"):
        list(recorded([Look(0.0, 30.0, 104.0), Look(1.0)]))


def test_a_real_receiver_log_keeps_its_length(telemetry: Path) -> None:
    """ublox F9K: 28 minutes, 8.6 km, at most 62 km/h (data's own notes)."""
    log = next((telemetry / "ublox_f9k_drive").glob("*F9K*.nmea.gz"))
    told = list(recorded(looks_of_nmea(gzip.decompress(log.read_bytes()).splitlines())))
    assert 1500 < told[-1].t_s < 1800
    assert 8_000 < sum(motion.speed_mps for motion in told) * STEP_S < 9_200
    assert 60 < max(motion.speed_mps for motion in told) * 3.6 < 64


def test_real_trips_move_as_far_as_their_wheels(telemetry: Path) -> None:
    """VED: path by position over distance by wheels is 0.98 to 1.14 (data's own notes)."""
    table = pq.read_table(telemetry / "ved_sample" / "dynamic.parquet").to_pydict()
    trips: dict[tuple[int, int], dict[str, list[float | None]]] = {}
    for veh, trip, t_ms, lat, lon, kmh, rpm in zip(
        *(table[name] for name in ("veh_id", "trip", "t_ms", "lat", "lon", "speed_kmh", "rpm")), strict=True
    ):
        rows = trips.setdefault((veh, trip), {name: [] for name in ("t_s", "lat", "lon", "speed_kmh", "rpm")})
        for name, value in zip(rows, (t_ms / 1000, lat, lon, kmh, rpm), strict=True):
            rows[name].append(value)
    for rows in list(trips.values())[:4]:
        told = list(recorded(looks_of_columns({**rows})))[:: round(5 / STEP_S)]
        by_wheels = sum((a.speed_mps + b.speed_mps) / 2 * (b.t_s - a.t_s) for a, b in pairwise(told))
        by_place = sum(math.hypot(*Plane(a.lat_deg, a.lon_deg).flat(b.lat_deg, b.lon_deg)) for a, b in pairwise(told))
        assert 0.93 < by_place / by_wheels < 1.16
