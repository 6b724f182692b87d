"""Engine on or off, from whatever a car tells."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.car.engine import Engine, EngineJudge, EngineSettings
from edge_agent.car.readings import Reading

RUNNING, OFF, UNKNOWN = Engine.RUNNING, Engine.OFF, Engine.UNKNOWN
NAMES = {"rpm": "engine_rpm", "kmh": "speed_kmh", "volts": "module_voltage_v", "adapter": "adapter_voltage_v"}
DRIVING = {"rpm": 2_000.0, "kmh": 50.0, "volts": 14.0}
KEY_ON = {"rpm": 0.0, "kmh": 0.0, "volts": 12.4}
ASLEEP = {"adapter": 12.4}


def lasting(
    judge: EngineJudge, values: Mapping[str, float], begin_s: float, for_s: float, gnss_mps: float | None = None
) -> EngineJudge:
    """`values` answered once a second for so long."""
    for second in range(int(for_s) + 1):
        now_s = begin_s + second
        readings = {NAMES[name]: Reading(NAMES[name], value, now_s) for name, value in values.items()}
        judge = judge.judged(readings, gnss_mps, now_s)
    return judge


@pytest.fixture
def driving() -> EngineJudge:
    return lasting(EngineJudge(), DRIVING, 1_000, 10)


@pytest.mark.parametrize(
    ("values", "gnss_mps", "state", "reason"),
    [
        ({"rpm": 800.0}, None, RUNNING, "rpm"),
        ({"rpm": 0.0, "kmh": 30.0, "volts": 12.4}, None, RUNNING, "wheels"),  # a hybrid on its battery
        ({"kmh": 30.0}, None, RUNNING, "wheels"),  # an electric car
        ({"kmh": 0.0, "volts": 14.1}, None, RUNNING, "charging"),  # the same, ready to go
        ({"adapter": 13.9}, None, RUNNING, "charging"),  # a car without OBD
        ({"rpm": 0.0}, 15.0, RUNNING, "moves_awake"),
        (KEY_ON, None, OFF, "not_charging"),
        (KEY_ON, 15.0, OFF, "not_charging"),  # on a truck, with the key on
        (ASLEEP, None, OFF, "car_silent"),
        (ASLEEP, 15.0, OFF, "car_silent"),  # on a truck
        ({}, None, UNKNOWN, "nothing_heard"),
        ({}, 15.0, UNKNOWN, "nothing_heard"),
        ({"rpm": 250.0, "volts": 9.0}, None, UNKNOWN, "nothing_heard"),  # the starter
        ({"adapter": 13.0}, None, UNKNOWN, "nothing_heard"),  # between resting and charging
    ],
)
def test_what_lasting_evidence_says(
    values: Mapping[str, float], gnss_mps: float | None, state: Engine, reason: str
) -> None:
    judge = lasting(EngineJudge(), values, 1_000, 120, gnss_mps)
    assert (judge.state, judge.reason) == (state, reason)


def test_a_stop_at_a_light_is_not_off(driving: EngineJudge) -> None:
    """A stop-start system stops the engine; the key is on and the battery not charged."""
    held_s = EngineSettings().off_after_s
    assert lasting(driving, KEY_ON, 1_011, held_s - 1).state is RUNNING
    off = lasting(driving, KEY_ON, 1_011, held_s)
    assert off.state is OFF
    assert off.since_s == 1_011 + held_s


def test_a_pull_away_begins_the_waiting_anew(driving: EngineJudge) -> None:
    judge = lasting(driving, KEY_ON, 1_011, 60)
    judge = lasting(judge, DRIVING, 1_072, 5)
    assert lasting(judge, KEY_ON, 1_078, 60).state is RUNNING


def test_a_car_that_falls_silent_after_a_drive_is_off_though_its_battery_is_still_charged(driving: EngineJudge) -> None:
    judge = lasting(driving, {"adapter": 13.1}, 1_020, 20)
    assert (judge.state, judge.reason) == (OFF, "car_silent")


def test_a_car_without_obd_keeps_its_state_between_the_two_voltages() -> None:
    running = lasting(EngineJudge(), {"adapter": 13.9}, 1_000, 20)
    assert lasting(running, {"adapter": 13.0}, 1_021, 600).state is RUNNING
    off = lasting(running, ASLEEP, 1_021, 20)
    assert off.state is OFF
    assert lasting(off, {"adapter": 13.0}, 1_042, 600).state is OFF


@pytest.mark.parametrize(
    ("volts", "reason", "state"), [(28.1, "charging", RUNNING), (25.2, "car_silent", OFF), (19.4, "car_silent", OFF)]
)
def test_a_truck_has_twice_the_voltage(volts: float, reason: str, state: Engine) -> None:
    judge = lasting(EngineJudge(), {"adapter": volts}, 1_000, 120)
    assert (judge.state, judge.reason) == (state, reason)


def test_stale_values_say_nothing(driving: EngineJudge) -> None:
    old = {NAMES[name]: Reading(NAMES[name], value, 1_010.0) for name, value in DRIVING.items()}
    judge = driving
    for second in range(1_011, 2_000):
        judge = judge.judged(old, None, float(second))
    assert judge.state is UNKNOWN


def test_a_voltage_once_a_minute_is_enough_to_stay_off() -> None:
    judge = lasting(EngineJudge(), ASLEEP, 1_000, 60)
    for minute in range(60):
        at_s = 1_060.0 + 60 * minute
        newest = {"adapter_voltage_v": Reading("adapter_voltage_v", 12.4, at_s)}
        for second in range(60):
            judge = judge.judged(newest, None, at_s + second)
            assert judge.state is OFF


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(list(NAMES)), st.floats(0, 100)),
            st.none() | st.floats(0, 60),
            st.floats(0, 30),
        ),
        max_size=60,
    )
)
def test_the_state_changes_only_after_its_evidence_lasted(
    steps: list[tuple[dict[str, float], float | None, float]],
) -> None:
    judge, now_s = EngineJudge(), 1_000.0
    for values, gnss_mps, pause_s in steps:
        now_s += pause_s
        before = judge
        readings = {NAMES[name]: Reading(NAMES[name], value, now_s) for name, value in values.items()}
        judge = judge.judged(readings, gnss_mps, now_s)
        if judge.state is not before.state:
            assert judge.state is judge.wish
            assert judge.since_s == now_s
            if judge.state is OFF:
                assert now_s - judge.wish_since_s >= EngineSettings().silent_off_after_s


# On recorded drives


def judged(drive: Iterable[tuple[float, Mapping[str, float | None]]]) -> list[EngineJudge]:
    judge, states = EngineJudge(), []
    for now_s, values in drive:
        known = {name: value for name, value in values.items() if value is not None}
        judge = judge.judged({name: Reading(name, float(v), now_s) for name, v in known.items()}, None, now_s)
        states.append(judge)
    return states


def test_hybrids_that_drive_at_0_rpm_are_running(telemetry: Path) -> None:
    rows = pq.read_table(telemetry / "ved_sample" / "dynamic.parquet").to_pylist()
    on_battery = 0
    for trip in {(row["veh_id"], row["trip"]) for row in rows}:
        drive = [row for row in rows if (row["veh_id"], row["trip"]) == trip]
        states = judged((r["t_ms"] / 1000, {"engine_rpm": r["rpm"], "speed_kmh": r["speed_kmh"]}) for r in drive)
        assert {judge.state for judge in states} == {RUNNING}
        on_battery += sum(row["rpm"] == 0 and row["speed_kmh"] >= 3 for row in drive)
    assert on_battery > 100


def test_an_electric_car_is_running_from_its_first_movement_on(telemetry: Path) -> None:
    rows = pq.read_table(telemetry / "rsk_twizy_ev" / "trips.parquet").to_pylist()
    for trip in {row["trip"] for row in rows}:
        drive = [row for row in rows if row["trip"] == trip]
        states = judged((1_000.0 + at, {"speed_kmh": row["Speed"]}) for at, row in enumerate(drive))
        assert all(judge.state is RUNNING for judge, row in zip(states, drive, strict=True) if row["Speed"] >= 3)
        assert sum(one.state is not other.state for one, other in pairwise(states)) <= 1


@pytest.mark.parametrize(("signal", "at_least"), [("engine_rpm", 1.0), ("module_voltage_v", 0.98)])
def test_a_car_with_voltage_by_engine_speed_and_by_voltage_alone(telemetry: Path, signal: str, at_least: float) -> None:
    """About two rows a second; the recordings begin seconds before the start of the engine."""
    file = next((telemetry / "carobd").glob("*.parquet"))
    rows = pq.read_table(file, columns=["file", "row", "rpm", "module_voltage_v"]).to_pylist()
    told = Counter[Engine]()
    for name in sorted({row["file"] for row in rows})[:15]:
        drive = sorted((row for row in rows if row["file"] == name), key=lambda row: row["row"])
        column = "rpm" if signal == "engine_rpm" else signal
        states = judged((1_000 + at / 2, {signal: row[column]}) for at, row in enumerate(drive))
        told.update(judge.state for judge, row in zip(states, drive, strict=True) if (row["rpm"] or 0) >= 400)
    assert told.total() > 10_000
    assert told[RUNNING] / told.total() >= at_least
    assert told[OFF] / told.total() < 0.001
