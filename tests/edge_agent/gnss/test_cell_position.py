"""Asking a command for the position: real processes, since that is the point. Nothing here waits for a clock."""

from __future__ import annotations

import gzip
import sys
import threading
from pathlib import Path

import pytest

from edge_agent.gnss.cell_position import MMCLI, CellPosition, read_cells
from edge_agent.gnss.cell_table import CellListError, CellTable
from edge_agent.gnss.nmea import FixSource
from edge_agent.gnss.position_source import FallbackSettings
from edge_agent.settings import ConfigError

CELLS = "mcc,net,area,cell,lat,lon,range\n460,0,6161,12345,31.82,117.23,3000\n"
MODEM = '{"modem":{"location":{"3gpp":{"cid":"00003039","lac":"1811","mcc":"460","mnc":"00","tac":"--"}}}}'


def printing(text: str, then: str = "") -> list[str]:
    return [sys.executable, "-c", f"print({text!r}, flush=True)\n{then}"]


def asked(command: list[str], cells: CellTable | None = None, timeout_s: float = 20.0) -> CellPosition:
    source = CellPosition(command, cells, lambda: True, timeout_s=timeout_s)
    source.ask()
    return source


def test_a_modems_cell_becomes_a_position() -> None:
    source = asked(printing(MODEM), CellTable(CELLS.splitlines()))
    newest = source.latest()
    assert newest is not None
    assert (round(newest.lat_deg, 3), round(newest.lon_deg, 3), newest.source) == (31.82, 117.23, FixSource.CELL)
    assert source.counts == {"asked": 1, "found": 1}


def test_a_commands_place_is_taken_as_it_is() -> None:
    newest = asked(printing('{"lat": 31.8, "lon": 117.2, "accuracy_m": 40, "source": "wifi"}')).latest()
    assert newest is not None
    assert (newest.accuracy_m, newest.source) == (40.0, FixSource.WIFI)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (printing("no modem"), "no_place"),
        (printing(MODEM.replace("3039", "3038")), "unknown_cell"),
        (printing(MODEM, "raise SystemExit(1)"), "failed"),
        (["/nonexistent/mmcli"], "failed"),
        ([sys.executable, "-c", "print('x' * 1_000_000)"], "failed"),
    ],
)
def test_whatever_goes_wrong_is_counted_and_no_error(command: list[str], reason: str) -> None:
    source = asked(command, CellTable(CELLS.splitlines()))
    assert source.counts == {"asked": 1, reason: 1}
    assert source.latest() is None


@pytest.mark.parametrize("then", ["import time; time.sleep(600)", "import os, time; os.close(1); time.sleep(600)"])
def test_a_command_that_does_not_end_is_ended(then: str) -> None:
    assert asked(printing(MODEM, then), timeout_s=0.2).counts == {"asked": 1, "timed_out": 1}


def test_stop_ends_thread_and_command(tmp_path: Path) -> None:
    started = tmp_path / "started"
    running = threading.Event()
    command = [sys.executable, "-c", f"open({str(started)!r}, 'w').close(); import time; time.sleep(600)"]
    source = CellPosition(command, None, lambda: running.set() or True, timeout_s=500)  # type: ignore[func-returns-value]
    source.start()
    assert running.wait(20)
    source.stop()
    assert not source._thread.is_alive()
    assert source.counts["found"] == 0


def test_nothing_is_asked_while_gnss_has_a_position() -> None:
    looked = threading.Event()
    source = CellPosition(["/nonexistent"], None, lambda: bool(looked.set()), every_s=0.01)
    source.start()
    assert looked.wait(20)
    source.stop()
    assert source.counts["asked"] == 0


def test_lists_plain_and_packed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "c.csv", tmp_path / "c.csv.gz"
    plain.write_text(CELLS)
    packed.write_bytes(gzip.compress(CELLS.encode()))
    assert len(read_cells(plain)) == len(read_cells(packed)) == 1


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00", b"mcc\n1\n"])
def test_a_list_that_cannot_be_read_says_which_and_why(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "cells.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CellListError, match=r"cells\.csv"):
        read_cells(path)
    cut = tmp_path / "cells.csv.gz"
    cut.write_bytes(gzip.compress(CELLS.encode())[:-9])
    with pytest.raises(CellListError, match=r"cells\.csv\.gz"):
        read_cells(cut)


def test_settings_make_the_source(tmp_path: Path) -> None:
    cells = tmp_path / "cells.csv"
    cells.write_text(CELLS)

    def made(**settings: str) -> CellPosition | None:
        return CellPosition.from_settings(FallbackSettings(**settings), lambda: True)

    assert made() is None
    modem = made(source="modem", cells=str(cells))
    assert modem is not None
    assert modem._command == list(MMCLI)
    command = made(source="command", command="wifi-position --json 'a b'")
    assert command is not None
    assert command._command == ["wifi-position", "--json", "a b"]
    for wrong, says in [
        ({"source": "modem"}, "cells"),
        ({"source": "modem", "cells": str(tmp_path / "none.csv")}, "none.csv"),
        ({"source": "command"}, "command"),
        ({"source": "command", "command": "'"}, "quotation"),
    ]:
        with pytest.raises(ConfigError, match=says):
            made(**wrong)
