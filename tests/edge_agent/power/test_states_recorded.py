"""199,857 recorded rows of one car: nothing that a running engine's voltage does may look like a battery at its end."""

from pathlib import Path

import pytest

from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import Power, State

pq = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.shared

# The most nervous that [power] allows.
NERVOUS = PowerSettings(
    sleep="command", wakes_on_ignition=True, cutoff_v=12.6, saver_below_v=12.7, recovered_v=12.85, cutoff_after_s=120.0
)


def test_no_cut_off_while_the_engine_runs_and_no_halt_before_it_starts(telemetry: Path) -> None:
    columns = ["file", "rpm", "speed_kmh", "module_voltage_v"]
    table = pq.read_table(telemetry / "carobd" / "sessions.parquet", columns=columns).to_pydict()
    naive_alarms, sessions, power, now_s = 0, set[str](), Power(NERVOUS), 0.0
    for name, rpm, speed_kmh, volts in zip(*(table[column] for column in columns), strict=True):
        if name not in sessions:
            sessions.add(name)
            power, now_s = Power(NERVOUS), 0.0
        runs = bool(rpm) and rpm > 0
        naive_alarms += runs and volts < 11.8
        power.on_engine("unknown")  # the voltage alone must tell
        power.on_motion(speed_kmh > 0, now_s)
        power.on_volts(volts, now_s, "module")
        power.on_tick(now_s)
        assert power.state in (State.DRIVING, State.IDLE), (name, now_s, power.reason)
        assert not power.memory(now_s).cut_off
        assert not runs or power.battery.low_for_s(11.8, now_s) == 0
        now_s += 0.5
    assert len(sessions) == 86
    assert naive_alarms == 139
