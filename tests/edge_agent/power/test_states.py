"""The 12 V budget, transition by transition."""

import pytest

from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import Halt, Memory, Obd, Power, State, Woken
from edge_agent.settings import ConfigError, read_section

HOUR_S = 3600.0
HAT = PowerSettings(sleep="command", wakes_on_ignition=True)
CLOCK = PowerSettings(sleep="rtc")
ON = PowerSettings()


class Unit:
    """A Power with a clock: each call lets time pass with everything held."""

    def __init__(self, settings: PowerSettings = ON) -> None:
        self.power = Power(settings)
        self.now_s = 100.0
        self.told: list[tuple[State, State, str]] = []

    def passes(
        self,
        seconds: float,
        *,
        volts: float | None = None,
        engine: str = "unknown",
        moving: bool | None = None,
        step_s: float = 1.0,
    ) -> "Unit":
        end_s = self.now_s + seconds
        self.power.on_engine(engine)
        while self.now_s < end_s:
            self.power.on_motion(moving, self.now_s)
            if volts is not None and self.now_s % 10 == 0:
                self.power.on_volts(volts, self.now_s)
            change = self.power.on_tick(self.now_s)
            if change is not None:
                self.told.append((change.before, change.after, change.reason))
            self.now_s += step_s
        return self

    def parks(self, volts: float | None = 12.6) -> "Unit":
        return self.passes(300, volts=volts, engine="off", moving=False)

    @property
    def state(self) -> State:
        return self.power.state

    @property
    def halt(self) -> Halt | None:
        return self.power.plan(self.now_s).halt


def test_a_unit_starts_with_everything_on() -> None:
    plan = Unit().power.plan(0.0)
    assert (plan.obd, plan.send_every_s, plan.heartbeat) == (Obd.ALL, 0.0, False)


def test_three_seconds_of_motion_are_driving_and_two_are_a_jump_of_the_position() -> None:
    unit = Unit().parks().passes(3, engine="off", moving=True)
    assert unit.state is State.PARKED
    unit.passes(1, engine="off", moving=True)
    assert unit.state is State.DRIVING
    assert unit.told[-1] == (State.PARKED, State.DRIVING, "moving, engine off")


def test_motion_in_pieces_shorter_than_three_seconds_is_no_driving() -> None:
    unit = Unit().parks()
    for _ in range(20):
        unit.passes(3, engine="off", moving=True).passes(1, engine="off", moving=False)
    assert unit.state is State.PARKED


def test_a_traffic_light_is_still_driving_and_a_minute_is_standing() -> None:
    unit = Unit().passes(10, engine="running", moving=True).passes(59, engine="running", moving=False)
    assert unit.state is State.DRIVING
    unit.passes(2, engine="running", moving=False)
    assert unit.told[-1] == (State.DRIVING, State.IDLE, "standing for 60 s")
    unit.passes(10 * HOUR_S, engine="running", moving=False, step_s=10)
    assert unit.state is State.IDLE


def test_engine_off_for_three_minutes_is_parked() -> None:
    unit = Unit().passes(100, engine="running", moving=False).passes(180, engine="off", moving=False)
    assert unit.state is State.IDLE
    unit.passes(2, engine="off", moving=False)
    assert unit.state is State.PARKED
    plan = unit.power.plan(unit.now_s)
    assert (plan.obd, plan.send_every_s, plan.heartbeat) == (Obd.RESTING, 0.0, True)


def test_a_stop_start_system_does_not_park_the_car() -> None:
    unit = Unit()
    for _ in range(10):
        unit.passes(170, engine="off", moving=False).passes(10, engine="running", moving=False)
    assert unit.told == []


def test_without_obd_and_voltage_a_unit_that_stands_for_a_quarter_of_an_hour_is_parked() -> None:
    unit = Unit().passes(10, moving=True).passes(890, moving=False)
    assert unit.state is State.IDLE
    unit.passes(15, moving=False)
    assert unit.told[-1] == (State.IDLE, State.PARKED, "standing, engine unknown, for 900 s")
    unit.passes(10, moving=None).passes(5, moving=True)
    assert unit.state is State.DRIVING


def test_a_charging_voltage_is_a_running_engine_where_nothing_else_tells() -> None:
    unit = Unit().passes(2000, volts=13.8, moving=False)
    assert unit.state is State.IDLE
    unit.passes(1200, volts=12.6, moving=False)
    assert unit.state is State.PARKED
    unit.passes(60, volts=13.8, moving=False)
    assert unit.told[-1][1:] == (State.IDLE, "charging at 13.80 V (100% charged if rested), standing")


def test_a_charger_in_the_garage_is_no_running_engine() -> None:
    unit = Unit().passes(2 * HOUR_S, volts=13.8, engine="off", moving=False)
    assert unit.state is State.PARKED


def test_on_a_switched_supply_the_unit_never_saves() -> None:
    settings = PowerSettings(supply="switched", sleep="command", wakes_on_ignition=True)
    unit = Unit(settings).passes(50 * HOUR_S, engine="off", moving=False, step_s=10)
    assert (unit.state, unit.told) == (State.IDLE, [])


def test_a_battery_that_rests_low_for_ten_minutes_saves() -> None:
    unit = Unit().parks().passes(600, volts=12.3, engine="off", moving=False)
    assert unit.state is State.PARKED
    unit.passes(180, volts=12.3, engine="off", moving=False)
    assert unit.told[-1] == (State.PARKED, State.SAVER, "battery rests at 12.30 V (57% charged if rested)")


def test_a_day_parked_saves() -> None:
    unit = Unit().parks().passes(24 * HOUR_S - 200, volts=12.6, engine="off", moving=False, step_s=5)
    assert unit.state is State.PARKED
    unit.passes(200, volts=12.6, engine="off", moving=False, step_s=5)
    assert unit.told[-1] == (State.PARKED, State.SAVER, "parked for 24 h")


def test_the_voltage_that_rises_when_the_unit_saves_moves_nothing() -> None:
    unit = Unit().parks().passes(900, volts=12.3, engine="off", moving=False)
    told = len(unit.told)
    unit.passes(4 * HOUR_S, volts=12.5, engine="off", moving=False, step_s=5)
    assert (unit.state, len(unit.told)) == (State.SAVER, told)


def test_a_battery_well_above_the_threshold_for_ten_minutes_has_recovered() -> None:
    unit = Unit().parks().passes(900, volts=12.3, engine="off", moving=False)
    unit.passes(900, volts=12.6, engine="off", moving=False)
    assert unit.told[-1][:2] == (State.SAVER, State.PARKED)


def test_without_a_way_to_halt_the_unit_looks_hourly_and_at_the_cut_off_daily() -> None:
    unit = Unit().parks().passes(1200, volts=12.3, engine="off", moving=False)
    plan = unit.power.plan(unit.now_s)
    assert (unit.state, plan.send_every_s, plan.obd) == (State.SAVER, 3600, Obd.RESTING)
    unit.passes(HOUR_S, volts=11.9, engine="off", moving=False)
    plan = unit.power.plan(unit.now_s)
    assert (unit.state, plan.send_every_s, plan.halt) == (State.SAVER, 24 * HOUR_S, None)


def test_saving_begins_with_a_visit_in_which_everything_is_sent() -> None:
    unit = Unit(HAT).parks().passes(780, volts=12.3, engine="off", moving=False)
    assert unit.power.plan(unit.now_s).visit
    assert unit.power.spends(unit.now_s) == "visit"
    unit.power.on_visit_done(unit.now_s)
    unit.passes(1, volts=12.3, engine="off", moving=False)
    assert unit.halt == Halt("saving, until the next fix", 6 * HOUR_S, ("voltage", "motion"), 13.0)
    assert unit.power.spends(unit.now_s) == "halted"


def test_a_visit_ends_by_itself() -> None:
    unit = Unit(HAT).parks().passes(780 + 300, volts=12.3, engine="off", moving=False)
    assert unit.state is State.HALTED


def test_the_cut_off_halts_even_a_unit_that_only_a_clock_wakes() -> None:
    unit = Unit(CLOCK).parks().passes(HOUR_S, volts=12.21, engine="off", moving=False)
    assert unit.state is State.SAVER
    unit.passes(420, volts=12.19, engine="off", moving=False)
    assert unit.state is State.HALTED
    assert unit.halt == Halt(
        "battery rests at 12.19 V (43% charged if rested), cut-off at 12.2 V", 24 * HOUR_S, ("voltage", "motion"), 13.0
    )
    assert unit.power.memory(unit.now_s).cut_off


def test_a_unit_that_only_a_clock_wakes_is_not_halted_just_to_save() -> None:
    unit = Unit(CLOCK).parks().passes(72 * HOUR_S, volts=12.4, engine="off", moving=False, step_s=5)
    assert unit.state is State.SAVER
    assert State.HALTED not in [after for _, after, _ in unit.told]


def test_a_truck_has_twice_the_thresholds() -> None:
    unit = Unit(CLOCK).passes(1200, volts=24.42, engine="off", moving=False)
    assert unit.state is State.SAVER
    unit.passes(430, volts=24.3, engine="off", moving=False)
    assert unit.state is State.HALTED
    assert unit.halt is not None
    assert unit.halt.reason.endswith("cut-off at 24.4 V")
    assert unit.halt.wake_from_v == 26.0


def test_lights_that_are_left_on_during_a_start_do_not_cut_off() -> None:
    unit = Unit(HAT).parks().passes(240, volts=11.5, engine="off", moving=False)
    unit.passes(60, volts=13.9, engine="running", moving=False).passes(600, volts=12.6, engine="off", moving=False)
    assert State.SAVER not in [after for _, after, _ in unit.told]


@pytest.mark.parametrize("what", ["running", "moving", "charging"])
def test_nothing_halts_a_unit_whose_car_is_in_use(what: str) -> None:
    unit = Unit(HAT).parks().passes(900, volts=12.0, engine="off", moving=False)
    assert unit.state in (State.SAVER, State.HALTED)
    engine = "running" if what == "running" else "unknown"
    unit.passes(300, volts=13.9 if what == "charging" else 11.5, engine=engine, moving=what == "moving")
    assert unit.state in (State.DRIVING, State.IDLE)
    assert unit.halt is None


def test_a_move_in_the_last_second_takes_the_halt_back() -> None:
    unit = Unit(HAT).parks().passes(700, volts=12.0, engine="off", moving=False)
    assert unit.halt is not None
    unit.power.on_motion(True, unit.now_s)
    assert unit.halt is None
    unit.power.on_motion(False, unit.now_s)
    assert unit.halt is not None


def test_no_halt_is_planned_in_a_second_of_motion() -> None:
    unit = Unit(HAT).parks().passes(500, volts=12.0, engine="off", moving=False)
    assert unit.power.plan(unit.now_s).visit
    unit.power.on_visit_done(unit.now_s)
    unit.passes(2, volts=12.0, engine="off", moving=True)
    assert unit.state is State.SAVER
    unit.passes(1, volts=12.0, engine="off", moving=False)
    assert unit.state is State.HALTED


def test_a_battery_on_a_charger_needs_no_halt() -> None:
    unit = Unit(HAT).passes(26 * HOUR_S, volts=13.5, engine="off", moving=False, step_s=5)
    assert unit.state is State.SAVER
    unit.passes(120, volts=12.7, engine="off", moving=False)
    assert unit.state is State.HALTED


def test_a_halt_that_fails_is_tried_again_after_growing_pauses() -> None:
    unit = Unit(HAT).parks().passes(700, volts=12.0, engine="off", moving=False)
    assert unit.state is State.HALTED
    for pause_s in (600, 1200, 2400):
        unit.power.on_halt_failed(unit.now_s)
        assert (unit.state, unit.power.reason) == (State.SAVER, "the unit could not be halted")
        unit.passes(pause_s, volts=12.0, engine="off", moving=False)
        assert unit.state is State.SAVER
        unit.passes(1, volts=12.0, engine="off", moving=False)
        assert unit.state is State.HALTED


def test_a_unit_that_is_still_there_three_minutes_after_its_halt_was_not_halted() -> None:
    unit = Unit(HAT).parks().passes(700, volts=12.0, engine="off", moving=False)
    unit.passes(200, volts=12.0, engine="off", moving=False)
    assert unit.told[-1] == (State.HALTED, State.SAVER, "the unit could not be halted")


def test_a_failure_that_comes_after_the_engine_started_changes_nothing() -> None:
    unit = Unit(HAT).passes(10, engine="running", moving=False)
    unit.power.on_halt_failed(unit.now_s)
    assert unit.state is State.IDLE


def woken(by: str | None, *, low: bool = False, cut_off: bool = False, parked_h: float = 30.0) -> Woken:
    return Woken(by, 6 * HOUR_S, "saving", Memory(low, cut_off, parked_h * HOUR_S))


def test_the_timer_begins_a_visit_and_the_unit_halts_again() -> None:
    unit = Unit(HAT)
    unit.power.on_woken(woken("timer"), unit.now_s)
    unit.passes(60, volts=12.5, engine="off", moving=False)
    plan = unit.power.plan(unit.now_s)
    assert (plan.visit, plan.send_every_s, unit.told) == (True, 0.0, [])
    unit.power.on_visit_done(unit.now_s)
    unit.passes(25, volts=12.5, engine="off", moving=False)
    assert unit.state is State.SAVER  # the battery's minute is not over yet
    unit.passes(10, volts=12.5, engine="off", moving=False)
    assert unit.state is State.HALTED
    assert unit.power.memory(unit.now_s).parked_s == pytest.approx(36 * HOUR_S, abs=120)


def test_a_visit_finds_a_battery_at_the_cut_off() -> None:
    unit = Unit(HAT)
    unit.power.on_woken(woken("timer"), unit.now_s)
    unit.passes(310, volts=12.1, engine="off", moving=False)
    assert unit.halt is not None
    assert unit.halt.wake_after_s == 24 * HOUR_S


def test_a_visit_without_any_voltage_halts_again_for_what_was_known() -> None:
    unit = Unit(CLOCK)
    unit.power.on_woken(woken("timer", cut_off=True, parked_h=1), unit.now_s)
    unit.passes(310, engine="unknown", moving=None)
    assert unit.halt is not None
    assert unit.halt.reason.startswith("battery rests at an unknown voltage")


def test_a_visit_finds_that_somebody_charged_the_battery() -> None:
    unit = Unit(CLOCK)
    unit.power.on_woken(woken("timer", cut_off=True, parked_h=1), unit.now_s)
    unit.passes(120, volts=12.6, engine="off", moving=False)
    assert unit.told == [
        (State.SAVER, State.PARKED, "no need to save any more: 12.60 V (94% charged if rested)")
    ]  # fmt: skip


def test_a_battery_that_recovered_over_a_halt_is_judged_slowly_again() -> None:
    unit = Unit(HAT)
    unit.power.on_woken(woken("timer", cut_off=True, parked_h=1), unit.now_s)
    unit.passes(120, volts=12.6, engine="off", moving=False).passes(240, volts=11.9, engine="off", moving=False)
    assert unit.state is State.PARKED


@pytest.mark.parametrize("by", ["voltage", "motion", "power", "button"])
def test_what_wakes_the_unit_for_good_leaves_everything_on(by: str) -> None:
    unit = Unit(HAT)
    unit.power.on_woken(woken(by, cut_off=True), unit.now_s)
    unit.passes(100, engine="off", moving=False)
    assert (unit.state, unit.power.reason) == (State.IDLE, f"woken by {by}")


def test_an_unknown_cause_is_a_visit_that_a_running_engine_ends() -> None:
    unit = Unit(HAT)
    unit.power.on_woken(woken(None), unit.now_s)
    assert unit.state is State.SAVER
    unit.passes(5, engine="running", moving=False)
    assert unit.told == [(State.SAVER, State.IDLE, "engine on, standing")]


def test_after_a_cut_the_unit_spends_its_backup_and_then_halts() -> None:
    unit = Unit(HAT).parks()
    unit.power.on_external(False, unit.now_s)
    plan = unit.power.plan(unit.now_s)
    assert (plan.obd, plan.send_every_s, plan.heartbeat) == (Obd.OFF, 0.0, False)
    unit.passes(1800, volts=4.0, engine="unknown", moving=False)
    assert unit.state is not State.HALTED
    unit.passes(2, engine="unknown", moving=False)
    assert unit.halt == Halt("no external power for 1800 s", None, ("power",), 13.0)
    told = len(unit.told)
    unit.passes(60, engine="unknown", moving=False)
    assert len(unit.told) == told


def test_the_backups_own_voltage_is_not_the_vehicles_battery() -> None:
    unit = Unit(HAT).parks()
    unit.power.on_external(False, unit.now_s)
    unit.passes(1000, volts=11.0, engine="unknown", moving=False)
    assert unit.state is State.PARKED
    unit.power.on_external(True, unit.now_s)
    assert unit.power.plan(unit.now_s).obd is Obd.RESTING


def test_on_its_backup_a_unit_that_moves_stays_awake() -> None:
    unit = Unit(HAT).parks()
    unit.power.on_external(False, unit.now_s)
    unit.passes(3 * HOUR_S, engine="unknown", moving=True, step_s=5)
    assert unit.state is State.DRIVING


def test_thresholds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="must ascend"):
        read_section(PowerSettings, {"cutoff_v": 12.4}, "unit.toml, [power]")
    assert read_section(PowerSettings, {"cutoff_v": 12.0}, "unit.toml, [power]").cutoff_v == 12.0
