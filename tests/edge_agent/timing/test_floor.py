"""The floor survives restarts, power cuts and damage, and never goes back."""

import logging
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.timing import floor as floor_module
from edge_agent.timing.floor import AHEAD_MS, BUILT_MS, WRITE_EVERY_MS, Floor
from edge_agent.timing.receipt_time import TimeBounds

NOW_MS = BUILT_MS + 100 * 86_400_000
BOOT, NEXT_BOOT = 7, 8


def told(folder: Path, server_time_ms: int, mono_s: float, kernel_boot: int = BOOT) -> Floor:
    floor = Floor(folder, kernel_boot, mono_s)
    assert floor.told(server_time_ms, mono_s, None)
    return floor


def copies(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_the_software_was_not_built_in_the_future() -> None:
    assert time.time() * 1000 > BUILT_MS > 1_767_225_600_000  # 2026


def test_without_a_receipt_it_is_the_day_of_building(tmp_path: Path) -> None:
    floor = Floor(tmp_path, BOOT, 1000.0)
    assert (floor.is_told, floor.at_ms(1000.0), floor.at_ms(1001.0)) == (False, BUILT_MS, BUILT_MS + 1000)
    assert floor.bounds == TimeBounds(BUILT_MS - 1_000_000)
    assert copies(tmp_path) == {}


def test_a_receipt_raises_it_and_the_clock_runs_on(tmp_path: Path) -> None:
    floor = told(tmp_path, NOW_MS, 50.0)
    assert (floor.is_told, floor.at_ms(50.0), floor.at_ms(60.0)) == (True, NOW_MS, NOW_MS + 10_000)


def test_an_older_receipt_does_not_lower_it(tmp_path: Path) -> None:
    floor = told(tmp_path, NOW_MS, 50.0)
    assert floor.told(NOW_MS - 10**9, 51.0, None)
    assert floor.at_ms(51.0) == NOW_MS + 1000


def test_a_receipt_from_before_the_building_does_not_lower_it(tmp_path: Path) -> None:
    assert told(tmp_path, 0, 50.0).at_ms(50.0) == BUILT_MS


def test_an_agent_that_starts_again_goes_on_from_it(tmp_path: Path) -> None:
    told(tmp_path, NOW_MS, 50.0)
    again = Floor(tmp_path, BOOT, 90.0)
    assert (again.is_told, again.at_ms(90.0)) == (True, NOW_MS + 40_000)


def test_after_the_machine_started_again_only_its_new_run_is_added(tmp_path: Path) -> None:
    told(tmp_path, NOW_MS, 50.0)
    again = Floor(tmp_path, NEXT_BOOT, 20.0)
    assert (again.is_told, again.at_ms(20.0)) == (True, NOW_MS + 20_000)


def test_newer_software_raises_an_older_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told(tmp_path, NOW_MS, 50.0)
    monkeypatch.setattr(floor_module, "BUILT_MS", NOW_MS + 10**9)
    assert Floor(tmp_path, NEXT_BOOT, 20.0).at_ms(20.0) == NOW_MS + 10**9


def test_it_is_written_when_it_has_moved_by_an_hour_and_in_turn(tmp_path: Path) -> None:
    floor = told(tmp_path, NOW_MS, 0.0)
    first = copies(tmp_path)
    assert list(first) == ["floor.a"]
    last_s = WRITE_EVERY_MS // 1000
    for mono_s in range(0, last_s, 60):
        floor.told(NOW_MS + mono_s * 1000, mono_s, None)
    assert copies(tmp_path) == first
    floor.told(NOW_MS + WRITE_EVERY_MS, last_s, None)
    assert copies(tmp_path).keys() == {"floor.a", "floor.b"}
    assert copies(tmp_path)["floor.a"] == first["floor.a"]
    floor.told(NOW_MS + 2 * WRITE_EVERY_MS, 2 * last_s, None)
    assert copies(tmp_path)["floor.a"] > first["floor.a"]
    assert max(map(len, copies(tmp_path).values())) < 64


def test_a_new_run_does_not_overwrite_the_newest_copy(tmp_path: Path) -> None:
    told(tmp_path, NOW_MS, 0.0)
    told(tmp_path, NOW_MS + 2 * WRITE_EVERY_MS, 0.0, NEXT_BOOT)
    written = copies(tmp_path)
    told(tmp_path, NOW_MS + 4 * WRITE_EVERY_MS, 0.0, NEXT_BOOT + 1)
    assert copies(tmp_path)["floor.b"] == written["floor.b"]
    assert copies(tmp_path)["floor.a"] != written["floor.a"]


@pytest.mark.parametrize("damage", ["", "1", "x y z q w\n", "1 2 3 4 5\n", "1 99999999999999 7 50 00000000\n", "\xff"])
def test_damage_to_one_copy_costs_an_hour(tmp_path: Path, damage: str) -> None:
    floor = told(tmp_path, NOW_MS, 0.0)
    floor.told(NOW_MS + WRITE_EVERY_MS, 1.0, None)
    (tmp_path / "floor.b").write_bytes(damage.encode("latin-1"))
    assert Floor(tmp_path, NEXT_BOOT, 0.0).at_ms(0.0) == NOW_MS
    (tmp_path / "floor.a").write_bytes(damage.encode("latin-1"))
    lost = Floor(tmp_path, NEXT_BOOT, 0.0)
    assert (lost.is_told, lost.at_ms(0.0)) == (False, BUILT_MS)
    assert lost.told(NOW_MS, 1.0, None)
    assert Floor(tmp_path, NEXT_BOOT, 1.0).at_ms(1.0) == NOW_MS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    told(tmp_path, NOW_MS, 50.0)
    path = tmp_path / "floor.a"
    if not path.exists():
        path = tmp_path / "floor.b"
    good = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
    try:
        assert not Floor(tmp_path, NEXT_BOOT, 0.0).is_told
    finally:
        path.write_bytes(good)


def test_a_server_far_ahead_of_this_clock_does_not_move_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    floor = Floor(tmp_path, BOOT, 0.0)
    assert not floor.told(NOW_MS + AHEAD_MS + 1, 0.0, NOW_MS)
    assert not floor.told(NOW_MS + AHEAD_MS + 1, 0.0, NOW_MS)
    assert (floor.is_told, floor.at_ms(0.0), floor.refused_ahead) == (False, BUILT_MS, 2)
    assert caplog.text.count("ahead of this unit's") == 1
    assert floor.told(NOW_MS + AHEAD_MS, 0.0, NOW_MS)
    assert floor.at_ms(0.0) == NOW_MS + AHEAD_MS


def test_a_disk_that_does_not_take_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    floor = Floor(tmp_path, BOOT, 0.0)

    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(floor_module, "replace_durably", full)
        assert floor.told(NOW_MS, 0.0, None)
    assert (floor.at_ms(0.0), copies(tmp_path)) == (NOW_MS, {})
    assert "cannot be written" in caplog.text
    floor.told(NOW_MS, 1.0, None)
    assert Floor(tmp_path, NEXT_BOOT, 0.0).at_ms(0.0) == NOW_MS + 1000


receipts = st.lists(st.tuples(st.integers(0, 2 * 10**12), st.integers(1, 10**7)), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(receipts)
def test_it_never_goes_back_within_a_run(tmp_path: Path, told: list[tuple[int, int]]) -> None:
    floor, mono_s, known = Floor(tmp_path, BOOT, 0.0), 0.0, 0
    for server_time_ms, later_ms in told:
        mono_s += later_ms / 1000
        floor.told(server_time_ms, mono_s, None)
        assert floor.at_ms(mono_s) >= max(known, server_time_ms)
        known = floor.at_ms(mono_s)
