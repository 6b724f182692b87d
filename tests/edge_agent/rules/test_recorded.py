"""Untouched real drives, positions and wheels as they were recorded: nothing is told of them."""

from pathlib import Path

import pytest

from benchmarks.incidents import spoof_frozen
from benchmarks.naive_events import NAIVE, naive_events
from benchmarks.recorded_drives import drives
from tests.edge_agent.rules.play import kinds, new_watch, played


@pytest.mark.shared
@pytest.mark.parametrize("source", ["ved_sample", "obd_gps_19drivers", "ublox_f9k_drive"])
def test_real_drives_tell_of_ignition_only(telemetry: Path, source: str) -> None:
    pytest.importorskip("pyarrow")
    count = naive = 0
    for drive in drives(telemetry.parent, (source,)):
        told = kinds(played(new_watch(), drive.seconds))
        assert set(told) <= {"ignition_on", "ignition_off"}, drive.name
        count += 1
        naive += len(naive_events(drive.seconds, NAIVE))
    assert count > 1
    assert naive > 0 or source == "ublox_f9k_drive", "single thresholds tell what is not there"


@pytest.mark.shared
def test_a_real_drive_with_a_frozen_position_is_told(telemetry: Path) -> None:
    from random import Random

    pytest.importorskip("pyarrow")
    found = 0
    for drive in drives(telemetry.parent, ("ved_sample",)):
        incident = spoof_frozen(drive, Random(1))
        if incident is not None:
            found += "position_disagrees" in kinds(played(new_watch(), incident.seconds))
    assert found >= 3
