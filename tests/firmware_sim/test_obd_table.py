"""Recorded OBD tables: columns by name, gaps filled, one trip at a time."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firmware_sim.j1979 import PID_BY_FIELD, answer
from firmware_sim.obd_table import OTHER_NAMES, TIME_COLUMNS, TableError, read_obd_table

VIN = "LSVPW5000T2000001"


def write(path: Path, **columns: list[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_units_and_gaps(tmp_path: Path) -> None:
    table = read_obd_table(
        write(
            tmp_path / "t.parquet",
            t_ms=[1000, 1500, 1400, 2500],
            speed_kmh=[None, 10, None, 30],
            rpm=[800.0, float("nan"), 0.0, 900.0],
            engine_load=[0.5, 0.5, 0.25, 0.25],
            lat=[1.0, 2.0, 3.0, 4.0],
            coolant_c=pa.array([None] * 4, pa.float32()),
            throttle=["a", "b", "c", "d"],
        ),
        None,
        VIN,
    )
    assert [event.t_s for event in table.events] == [0, 0.5, 0.5, 1.5]
    assert [event.car.speed_kmh for event in table.events] == [10, 10, 10, 30]
    assert [event.car.rpm for event in table.events] == [800, 800, 0, 900]
    assert [event.car.engine_load_pct for event in table.events] == [50, 50, 25, 25]
    assert [event.car.battery_v for event in table.events] == [13.8, 13.8, 12.4, 13.8]
    assert table.events[0].car.vin == VIN
    assert table.used == {"speed_kmh": "speed_kmh", "rpm": "rpm", "engine_load": "engine_load_pct"}
    assert table.unused == ("lat", "coolant_c", "throttle")
    assert (table.time_column, table.trip, table.trips, table.duration_s) == ("t_ms", None, 1, 1.5)


def test_trips(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", trip=[7, 7, 9, 9], t_s=[5.0, 6.0, 1.0, 4.0], rpm=[1.0, 2.0, 3.0, 4.0])
    first, second = read_obd_table(path, None, VIN), read_obd_table(path, "9", VIN)
    assert (first.trip, first.trips, first.duration_s) == ("7", 2, 1)
    assert [event.car.rpm for event in second.events] == [3, 4]
    with pytest.raises(TableError, match=r"no trip '8'; it has 7, 9"):
        read_obd_table(path, "8", VIN)


def test_recorded_voltage_is_the_adapters_too(tmp_path: Path) -> None:
    table = read_obd_table(write(tmp_path / "t.parquet", row=[0, 1], module_voltage_v=[12.1, 13.9]), None, VIN)
    assert [event.car.battery_v for event in table.events] == [12.1, 13.9]
    assert [event.t_s for event in table.events] == [0, 0.5]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"rpm": [1.0]}, "no time column"),
        ({"t_s": [1.0], "lat": [2.0]}, "none of its columns"),
        ({"t_s": pa.array([], pa.float64()), "rpm": pa.array([], pa.float64())}, "none of its columns"),
        ({"t_s": [None, 1.0], "rpm": [1.0, 1.0]}, "has gaps"),
    ],
)
def test_refused(tmp_path: Path, columns: dict[str, Any], reason: str) -> None:
    with pytest.raises(TableError, match=reason):
        read_obd_table(write(tmp_path / "t.parquet", **columns), None, VIN)


def test_a_trip_asked_of_a_table_without_trips(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="leave --trip out"):
        read_obd_table(write(tmp_path / "t.parquet", t_s=[0.0], rpm=[1.0]), "x", VIN)


def test_the_column_tables_name_real_fields() -> None:
    assert {field for field, _ in OTHER_NAMES.values()} <= PID_BY_FIELD.keys()
    assert not OTHER_NAMES.keys() & PID_BY_FIELD.keys()
    assert all(factor > 0 for _, factor in TIME_COLUMNS)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("table", "used", "duration_s"),
    [
        ("obd_gps_19drivers/samples", 11, 2152),
        ("ved_sample/dynamic", 4, 1296),
        ("kit_obd2/trips", 10, 3945),
        ("carobd/sessions", 27, 1354),
    ],
)
def test_real_tables(telemetry: Path, table: str, used: int, duration_s: float) -> None:
    found = read_obd_table(telemetry / f"{table}.parquet", None, VIN)
    assert len(found.used) == used
    assert found.duration_s == pytest.approx(duration_s, abs=1)
    assert found.trips > 10
    assert answer(b"\x01\x0d", found.events[-1].car)
