"""What the pages say that a vehicle does."""

from server.store.vehicle_rows import VehicleRow
from server.watch.vehicle_state import VehicleState
from server.web.vehicle_status import QUIET_AFTER_MS, STATUS_TEXTS, STATUS_TONES, Status, status_of

NOW = 10_000_000_000


def row(heard_ms: int | None = NOW, unit: str | None = "PW000001", **state: float | int | None) -> VehicleRow:
    return VehicleRow(1, "VIN", None, None, unit, heard_ms, None if heard_ms is None else VehicleState(**state))  # type: ignore[arg-type]


def test_every_status_has_its_words() -> None:
    assert set(STATUS_TEXTS) == set(STATUS_TONES) == set(Status)


def test_without_data() -> None:
    assert status_of(row(None, unit=None), NOW) == Status.NO_UNIT
    assert status_of(row(None), NOW) == Status.NEVER_HEARD
    assert status_of(row(), NOW) == Status.NO_POSITION


def test_now() -> None:
    assert status_of(row(fix_time_ms=NOW, speed_mps=1.5), NOW) == Status.MOVING
    assert status_of(row(fix_time_ms=NOW, speed_mps=1.4, engine_rpm=800.0), NOW) == Status.IDLING
    assert status_of(row(fix_time_ms=NOW, speed_mps=1.4, engine_rpm=0.0), NOW) == Status.STANDING
    assert status_of(row(fix_time_ms=NOW), NOW) == Status.STANDING


def test_silence_is_about_what_was_last_known() -> None:
    later = NOW + QUIET_AFTER_MS
    assert status_of(row(fix_time_ms=NOW, speed_mps=20.0), later) == Status.MOVING
    assert status_of(row(fix_time_ms=NOW, speed_mps=20.0), later + 1) == Status.QUIET_MOVING
    assert status_of(row(fix_time_ms=NOW, speed_mps=0.0, engine_rpm=800.0), later + 1) == Status.QUIET_STANDING


def test_a_backlog_that_arrives_now_is_not_a_drive_now() -> None:
    assert status_of(row(fix_time_ms=NOW - 86_400_000, speed_mps=20.0), NOW) == Status.QUIET_MOVING
