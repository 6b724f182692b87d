"""`pledgewatch-agent decode`: a log in, one line an epoch out, and the counts at the end."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.decode import DECODE_HELP, decode_file

LOGS = Path(__file__).resolve().parents[1] / "logs"
KEYS = "time_utc lat_deg lon_deg alt_m speed_mps course_deg fix_quality satellites_used hdop"
TOTALS = "accepted accepted_by_type unused refused noise_bytes epochs epochs_with_position"


def decode(path: Path, as_json: bool = True) -> tuple[int, list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    status = decode_file(path, out, err, as_json)
    return status, out.getvalue().splitlines(), err.getvalue().splitlines()


def decoded(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    status, out, err = decode(path)
    assert status == 0
    assert len(err) == 1
    return [json.loads(line) for line in out], json.loads(err[0])


@pytest.mark.parametrize("log", sorted(LOGS.glob("nmea_*.log")), ids=lambda log: log.stem)
def test_golden_answers(log: Path) -> None:
    *epochs, totals = map(json.loads, log.with_suffix(".jsonl").read_text().splitlines())
    assert decoded(log) == (epochs, totals)


def test_the_keys_are_exactly_these() -> None:
    epochs, totals = decoded(LOGS / "nmea_cold_start_beidou.log")
    assert {" ".join(epoch) for epoch in epochs} == {KEYS}
    assert " ".join(totals) == TOTALS
    assert all(key in DECODE_HELP for key in KEYS.split())


def test_a_time_without_a_date_is_a_time_of_day() -> None:
    epochs, _ = decoded(LOGS / "nmea_cold_start_beidou.log")
    assert [epoch["time_utc"] for epoch in epochs[1:4]] == [None, "T08:15:00.000Z", "2026-11-23T08:15:01.000Z"]


def test_totals_add_up() -> None:
    epochs, totals = decoded(LOGS / "nmea_dirty_line.log")
    assert totals["accepted"] == sum(totals["accepted_by_type"].values()) + totals["unused"]
    assert totals["epochs"] == len(epochs)
    assert totals["epochs_with_position"] == sum(epoch["lat_deg"] is not None for epoch in epochs)


def test_gzip_and_standard_input_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LOGS / "nmea_ten_hertz.log"
    packed = tmp_path / "log.gz"
    packed.write_bytes(gzip.compress(log.read_bytes()))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(log.read_bytes())))
    assert decoded(log) == decoded(packed) == decoded(Path("-"))


def test_the_table_is_for_people() -> None:
    status, out, err = decode(LOGS / "nmea_dirty_line.log", as_json=False)
    assert status == 0
    assert " ".join(out[0].split()) == "time (UTC) latitude longitude alt m m/s course fix sats hdop"
    assert out[1].split() == ["T10:00:00.000Z", "22.5", "114.066666667", "12.0", "-", "-", "1", "10", "0.8"]
    assert len({len(line) for line in out}) == 1
    refused = (
        "checksum 1, interrupted 1, malformed 2, no_checksum 2, not_ascii 1, too_long 1, value_out_of_range 3, "
        "zero_position 1"
    )
    sentences = f"7 accepted (2 of types that are not read), 12 refused ({refused})"
    assert err == [f"5 epochs, 4 with a position; sentences: {sentences}; 165 bytes of other data"]


def test_an_empty_log_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty.log").touch()
    epochs, totals = decoded(tmp_path / "empty.log")
    assert (epochs, totals["accepted"], totals["refused"]) == ([], 0, {})


@pytest.mark.parametrize("as_json", [True, False])
def test_what_cannot_be_read_is_said_in_one_line(tmp_path: Path, as_json: bool) -> None:
    whole = gzip.compress(b"$GPGSV,1,1,00*79\r\n" * 1000)
    (tmp_path / "cut.gz").write_bytes(whole[:-20])
    (tmp_path / "text.gz").write_bytes(b"$GPGSV,1,1,00*79\r\n")
    (tmp_path / "garbled.gz").write_bytes(whole[:20] + b"\xff" * 20 + whole[40:])
    for path, problem in (
        (tmp_path / "none.log", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (tmp_path / "cut.gz", "damaged gzip file"),
        (tmp_path / "text.gz", "damaged gzip file"),
        (tmp_path / "garbled.gz", "damaged gzip file"),
    ):
        status, _, err = decode(path, as_json)
        assert status == 2
        assert len(err) == 1
        assert err[0].startswith(f"pledgewatch-agent decode: {path}: {problem}")
