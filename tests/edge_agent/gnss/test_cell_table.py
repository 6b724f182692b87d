"""Lists of cells, and what modems and commands answer."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_agent.gnss.cell_table as cell_table
from edge_agent.gnss.cell_table import Cell, CellListError, CellTable, Place, read_answer
from edge_agent.gnss.nmea import FixSource
from edge_agent.gnss.position import distance_m

HEADED = ["mcc,net,area,cell,lat,lon,range", "460,0,6161,12345,31.82,117.23,3000", "460,1,6161,12345,31.90,117.30,200"]
BARE = "LTE,460,0,6161,12345,0,117.23,31.82,3000,7,1,1459813819,1459813819,0"
CELL = Cell(460, 0, 6161, 12345)


@pytest.mark.parametrize(
    "lines",
    [
        HEADED,
        [BARE],
        ["cell,tac,mnc,mcc,lon,lat,range", "12345,6161,0,460,117.23,31.82,3000"],
        ["LAT,Lon,MCC,MNC,LAC,CID,Range", "31.82,117.23,460,0,6161,12345,3000"],
    ],
)
def test_lists_as_they_are_published(lines: list[str]) -> None:
    found = CellTable(lines).find(CELL)
    assert found == Place(pytest.approx(31.82, abs=1e-5), pytest.approx(117.23, abs=1e-5), 1500.0, FixSource.CELL)


def test_the_neighbours_of_a_cell_are_other_cells() -> None:
    table = CellTable(HEADED)
    assert len(table) == 2
    for other in (Cell(460, 0, 6161, 12344), Cell(460, 0, 6161, 12346), Cell(460, 0, 6162, 12345), Cell(461, 0, 0, 1)):
        assert table.find(other) is None
    assert table.find(Cell(1, 0, 0, 0)) is None
    assert table.find(Cell(460, 0, 6161, 1 << 28)) is None


@pytest.mark.parametrize(
    ("range_m", "accuracy_m"), [("3000", 1500), ("200", 500), ("0", 1500), ("", 1500), ("-5", 1500), ("900000", 50_000)]
)
def test_accuracy_follows_the_range_within_bounds(range_m: str, accuracy_m: float) -> None:
    found = CellTable([HEADED[0], f"460,0,6161,12345,31.82,117.23,{range_m}"]).find(CELL)
    assert found is not None
    assert found.accuracy_m == accuracy_m


def test_rows_that_cannot_be_read_are_skipped_and_the_last_of_a_cell_counts() -> None:
    table = CellTable(
        [
            *HEADED,
            "460,0,6161",
            "x,0,6161,1,31,117,1",
            "460,0,70000,1,31,117,1",
            "460,0,1,1,91,117,1",
            "460,0,1,1,nan,117,1",
            "460,0,1,1,31,117,inf",
            "460,0,1,1,0,0,1",
            "460,0,6161,12345,31.5,117.5,3000",
        ]
    )
    assert (len(table), table.skipped) == (3, 7)
    found = table.find(CELL)
    assert found is not None
    assert found.lat_deg == 31.5


def test_a_list_without_range_is_a_list() -> None:
    found = CellTable(["mcc,mnc,lac,cid,lat,lon", "460,0,6161,12345,31.82,117.23"]).find(CELL)
    assert found is not None
    assert found.accuracy_m == 1500


@pytest.mark.parametrize("lines", [[], HEADED[:1], ["lat,lon,mcc", "1,2,3"], ["a,b\x00", "c"]])
def test_a_file_that_is_no_list_is_refused(lines: list[str]) -> None:
    with pytest.raises(CellListError):
        CellTable(lines)


def test_too_many_cells_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_table, "MAX_CELLS", 2)
    assert len(CellTable(HEADED)) == 2
    with pytest.raises(CellListError, match="region"):
        CellTable([*HEADED, "460,3,1,1,31,117,1"])


def mmcli(**told: str) -> str:
    return json.dumps({"modem": {"location": {"3gpp": told, "gps": {"latitude": "--"}, "cdma-bs": {}}}})


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (mmcli(mcc="460", mnc="00", lac="1811", tac="--", cid="00003039"), CELL),
        (mmcli(mcc="460", mnc="00", lac="FFFE", tac="001811", cid="3039"), CELL),
        (mmcli(mcc="460", mnc="00", lac="0000", tac="1811", cid="3039"), CELL),
        (mmcli(mcc="460", mnc="00", lac="1811", tac="2222", cid="3039"), CELL),
        (mmcli(mcc="--", mnc="--", lac="--", tac="--", cid="--"), None),
        (mmcli(mcc="460", mnc="00", cid="3039"), None),
        (mmcli(mcc="460", mnc="00", lac="FFFE", cid="3039"), None),
        (mmcli(mcc="460", mnc="00", lac="1811", cid="FFFFFFFFFF"), None),
        ('{"modem": {"location": []}}', None),
        ('{"modem": 3}', None),
        ('{"mcc": 460, "mnc": 0, "lac": 6161, "cid": 12345}', CELL),
        ('{"mcc": 460, "mnc": 0, "tac": 6161, "cid": 12345}', CELL),
        ('{"mcc": 460, "mnc": 0, "lac": "6161", "cid": 12345}', None),
        ('{"lat": 31.8, "lon": 117, "accuracy_m": 40, "source": "wifi"}', Place(31.8, 117.0, 40.0, FixSource.WIFI)),
        ('{"lat": 31.8, "lon": 117, "accuracy_m": 900}', Place(31.8, 117.0, 900.0, FixSource.CELL)),
        ('{"lat": 31.8, "lon": 117}', None),
        ('{"lat": 31.8, "accuracy_m": 900}', None),
        ('{"lat": 91, "lon": 117, "accuracy_m": 900}', None),
        ('{"lat": 0, "lon": 0, "accuracy_m": 900}', None),
        ('{"lat": 31.8, "lon": 117, "accuracy_m": 50001}', None),
        ('{"lat": 31.8, "lon": 117, "accuracy_m": 0}', None),
        ('{"lat": true, "lon": 117, "accuracy_m": 900}', None),
        ('{"lat": NaN, "lon": 117, "accuracy_m": 900}', None),
        ('{"lat": 1e999, "lon": 117, "accuracy_m": 900}', None),
        ("[]", None),
        ("error: couldn't find modem", None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_answers(text: str, answer: Cell | Place | None) -> None:
    assert read_answer(text) == answer


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.dictionaries(
        st.sampled_from(["modem", "location", "3gpp", "mcc", "mnc", "lac", "tac", "cid", "lat", "lon", "accuracy_m"]),
        inner,
    ),
    max_leaves=12,
)


@given(st.one_of(json_values.map(json.dumps), st.text()))
def test_no_answer_raises_and_what_it_names_can_exist(text: str) -> None:
    said = read_answer(text)
    if isinstance(said, Cell):
        assert said.key is not None
    elif said is not None:
        assert abs(said.lat_deg) <= 90
        assert abs(said.lon_deg) <= 180


@pytest.mark.shared
def test_against_true_positions_of_real_drives(telemetry: Path) -> None:
    """Six drives in Qatar, the serving cell looked up in a published list: error in the median, and what we promise."""
    pq = pytest.importorskip("pyarrow.parquet")
    folder = telemetry / "gps_cellular_drives"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    columns = ("mcc", "net", "area", "cell", "lat", "lon", "range")
    rows = zip(*(pq.read_table(folder / "cells_qatar.parquet")[name].to_pylist() for name in columns), strict=True)
    table = CellTable([",".join(columns), *(",".join(map(str, row)) for row in rows)])
    errors, within = [], []
    times = set()
    for seen in pq.read_table(folder / "traces.parquet").to_pylist():
        if seen["Registered"] and (seen["trace"], seen["Time"]) not in times:
            times.add((seen["trace"], seen["Time"]))
            place = table.find(Cell(seen["MCC"], seen["MNC"], seen["LAC"], seen["CID"]))
            assert place is not None
            errors.append(distance_m(seen["GPS_lat"], seen["GPS_long"], place.lat_deg, place.lon_deg))
            within.append(errors[-1] <= place.accuracy_m)
    assert len(errors) > 1000
    assert statistics.median(errors) < 500
    assert 0.6 < statistics.mean(within) < 0.9
    print(f"median {statistics.median(errors):.0f} m, within the stated accuracy {statistics.mean(within):.3f}")
