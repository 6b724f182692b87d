"""Recorded drives within a story: from every kind of file, laid to where the car stands, with faults over them."""

import gzip
import math
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firmware_sim.bench.catalogue import read_file
from firmware_sim.bench.devices import Devices
from firmware_sim.bench.stage import Stage, apart_m
from firmware_sim.receiver.receiver import Receiver
from firmware_sim.receiver.settings import ReceiverSettings
from firmware_sim.recording import Piece, capture_head
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.motion import Motion, Phase
from firmware_sim.roads.trip import roam
from firmware_sim.story.schema import Story, StoryError

STORY = """
title = { zh = "录制", en = "Recorded" }
about = { zh = "按录制轨迹行驶。", en = "A recorded way." }
seed = 5
start = 2026-11-23T02:00:00Z
city = "shenyang"
[[act]]
name = "way"
do = "replay"
recording = "FILE"
seconds = 100
[[act]]
name = "stay"
do = "park"
seconds = 30
[[fault]]
in = "way"
at_s = 60
what = "receiver.jammed"
value = 1.0
[[never]]
event = "*"
"""


@pytest.fixture(scope="module")
def driven() -> list[Motion]:
    return list(roam(CITIES["guangzhou"], 3, 150.0))


@pytest.fixture(scope="module")
def log(driven: list[Motion]) -> bytes:
    receiver = Receiver(ReceiverSettings(seed=1, start_utc=datetime(2026, 11, 23, tzinfo=UTC), start="running"))
    return b"".join(line for motion in driven for line in receiver.epoch(motion))


def story(folder: Path, name: str, more: str = "") -> Story:
    path = folder / "recorded.toml"
    path.write_text(STORY.replace('"FILE"', f'"{name}"{more}'))
    return read_file(path, fitted=True)


def way(told: Story) -> list[Motion]:
    stage = Stage(told)
    return [motion for tenth in range(1300) for motion in stage.at(tenth / 10)]


def length_m(motions: list[Motion]) -> float:
    return sum(math.hypot(*apart_m((a.lat_deg, a.lon_deg), (b.lat_deg, b.lon_deg))) for a, b in pairwise(motions))


def test_a_log_a_gzipped_one_and_a_capture_are_the_same_way(tmp_path: Path, log: bytes) -> None:
    (tmp_path / "a.nmea").write_bytes(log)
    (tmp_path / "a.nmea.gz").write_bytes(gzip.compress(log))
    pieces = (Piece(n / 10, True, log[at : at + 500]).line() for n, at in enumerate(range(0, len(log), 500)))
    (tmp_path / "a.capture").write_bytes(capture_head({"port": "x"}) + b"".join(pieces))
    ways = [way(story(tmp_path, name)) for name in ("a.nmea", "a.nmea.gz", "a.capture")]
    assert ways[0] == ways[1] == ways[2]


def test_it_begins_where_the_car_stands_keeps_its_lengths_and_ends_with_the_act(
    tmp_path: Path, log: bytes, driven: list[Motion]
) -> None:
    (tmp_path / "a.nmea").write_bytes(log)
    told = story(tmp_path, "a.nmea")
    motions = way(told)
    home = Stage(told).places["home"]
    apart = apart_m((home.lat_deg, home.lon_deg), (motions[1].lat_deg, motions[1].lon_deg))
    assert apart == pytest.approx((0, 0), abs=5)
    assert max(math.hypot(*apart_m((a.lat_deg, a.lon_deg), (b.lat_deg, b.lon_deg))) for a, b in pairwise(motions)) < 5
    really_m = length_m([each for each in driven if each.t_s <= 100])
    assert length_m(motions) == pytest.approx(really_m, rel=0.05)  # Shenyang's degrees of longitude are shorter
    assert {each.phase for each in motions if each.t_s > 100} == {Phase.OFF}


def test_faults_go_on_over_it(tmp_path: Path, log: bytes) -> None:
    (tmp_path / "a.nmea").write_bytes(log)
    told = story(tmp_path, "a.nmea")
    devices = Devices(told, told.start)
    for tenth in range(1000):
        active = {each.what: each for each in told.faults if each.begin_s <= tenth / 10 < each.end_s}
        devices.befall(active, tenth / 10, carried=False)
        devices.step(tenth / 10, None, None)
    begin_s = int(told.start.timestamp())
    assert devices.told_s
    assert {at_s - begin_s < 60 for at_s in devices.told_s} == {True}


def test_a_table_and_a_later_begin(tmp_path: Path, driven: list[Motion]) -> None:
    rows = [each for each in driven if round(each.t_s * 10) % 10 == 0]
    columns = {
        "trip": ["a"] * 3 + ["b"] * len(rows),
        "t_ms": [0, 1000, 2000, *(round(each.t_s * 1000) + 1_700_000_000_000 for each in rows)],
        "lat": [1.0] * 3 + [each.lat_deg for each in rows],
        "lon": [2.0] * 3 + [each.lon_deg for each in rows],
        "speed_kmh": [0.0] * 3 + [each.speed_mps * 3.6 for each in rows],
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    motions = way(story(tmp_path, "a.parquet", '\ntrip = "b"\nfrom_s = 20'))
    by_time = {round(each.t_s, 1): each.speed_mps for each in driven}
    for motion in motions[1:900:50]:
        assert motion.speed_mps == pytest.approx(by_time[round(motion.t_s + 20, 1)], abs=0.5)


@pytest.mark.parametrize(
    ("content", "name", "told"),
    [
        (None, "none.nmea", "cannot be read: No such file"),
        (b"nothing\n", "a.nmea", "fewer than two places"),
        (b"# pledgewatch capture 1\nnonsense\n", "a.capture", "damaged capture"),
        (b"nothing\n", "a.parquet", "cannot be read as a Parquet table"),
        (b"\x1f\x8b nothing", "a.nmea.gz", "is no whole gzip file"),
    ],
)
def test_what_cannot_be_played_is_refused_with_its_reason(
    tmp_path: Path, content: bytes | None, name: str, told: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StoryError, match=told) as refused:
        story(tmp_path, name)
    assert str(refused.value).startswith("recorded.toml, act 'way'")


def test_a_table_without_positions_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t_s": [0.0, 1.0], "rpm": [0.0, 900.0]}), tmp_path / "a.parquet")
    with pytest.raises(StoryError, match="needs a time column and positions"):
        story(tmp_path, "a.parquet")


def test_drives_of_real_cars(telemetry: Path, tmp_path: Path) -> None:
    table = telemetry / "obd_gps_19drivers" / "samples.parquet"
    if not table.exists():
        pytest.skip(f"{table} is not there")
    motions = way(story(tmp_path, str(table)))
    assert max(each.speed_mps for each in motions) > 3
    assert length_m(motions) > 100
