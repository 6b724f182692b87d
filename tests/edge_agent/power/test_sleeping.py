"""Halting and waking through files, a clock's folder and real commands."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from edge_agent.power.settings import SLEEP_BACKENDS, PowerSettings
from edge_agent.power.sleeping import (
    CommandSleeper,
    HaltFailedError,
    NoSleeper,
    RtcSleeper,
    SimulatedSleeper,
    Sleeper,
    filled,
    make_sleeper,
)
from edge_agent.power.states import Halt, Memory

HALT = Halt("saving", 21_600.0, ("voltage", "motion"), 13.0)
MEMORY = Memory(low=True, cut_off=False, parked_s=90_000.0)


def python(code: str, *words: str) -> str:
    """A command line that runs `code`."""
    return shlex.join([sys.executable, "-c", code, *words])


@pytest.fixture
def rtc(tmp_path: Path) -> Path:
    """A clock's folder as the kernel shows it, but that it does not tick."""
    folder = tmp_path / "rtc0"
    folder.mkdir()
    (folder / "since_epoch").write_text("1000\n")
    (folder / "wakealarm").write_text("")
    return folder


def ticks(rtc: Path, seconds: int) -> None:
    (rtc / "since_epoch").write_text(f"{1000 + seconds}\n")


def test_every_backend_can_be_chosen(tmp_path: Path) -> None:
    made = {name: type(make_sleeper(PowerSettings(sleep=name), tmp_path)) for name in SLEEP_BACKENDS}
    assert made == {"none": NoSleeper, "rtc": RtcSleeper, "command": CommandSleeper, "simulated": SimulatedSleeper}


def test_a_unit_that_comes_from_no_halt_was_not_woken(tmp_path: Path, rtc: Path) -> None:
    sleepers: list[Sleeper] = [
        NoSleeper(),
        RtcSleeper(tmp_path, rtc, "true"),
        CommandSleeper(tmp_path, rtc, "true", python("print('timer')")),
        SimulatedSleeper(tmp_path),
    ]
    assert [each.woken() for each in sleepers] == [None] * 4


def test_a_unit_without_a_way_to_wake_refuses_to_halt() -> None:
    with pytest.raises(HaltFailedError, match="nothing would wake"):
        NoSleeper().halt(HALT, MEMORY)


def test_the_clock_is_set_before_the_power_goes(tmp_path: Path, rtc: Path) -> None:
    poweroff = python(f"import shutil; shutil.copy({str(rtc / 'wakealarm')!r}, {str(tmp_path / 'seen')!r})")
    RtcSleeper(tmp_path, rtc, poweroff).halt(HALT, MEMORY)
    assert (tmp_path / "seen").read_text() == "22600"


@pytest.mark.parametrize(("slept_s", "by"), [(21_600, "timer"), (21_640, "timer"), (21_000, None), (40_000, None)])
def test_the_clock_tells_whether_it_was_time(tmp_path: Path, rtc: Path, slept_s: int, by: str | None) -> None:
    sleeper = RtcSleeper(tmp_path, rtc, "true")
    sleeper.halt(HALT, MEMORY)
    ticks(rtc, slept_s)
    woken = sleeper.woken()
    assert woken is not None
    assert (woken.by, woken.slept_s, woken.halted_for, woken.memory) == (by, slept_s, "saving", MEMORY)
    assert sleeper.woken() is None  # told once


def test_a_clock_that_lost_its_battery_measured_nothing(tmp_path: Path, rtc: Path) -> None:
    sleeper = RtcSleeper(tmp_path, rtc, "true")
    sleeper.halt(HALT, MEMORY)
    ticks(rtc, -900)
    woken = sleeper.woken()
    assert woken is not None
    assert (woken.by, woken.slept_s) == (None, None)


def test_a_clock_that_does_not_hold_its_alarm_does_not_power_off(tmp_path: Path, rtc: Path) -> None:
    (rtc / "wakealarm").unlink()
    (rtc / "wakealarm").symlink_to("/dev/null")
    with pytest.raises(HaltFailedError, match="holds ''"):
        RtcSleeper(tmp_path, rtc, python(f"open({str(tmp_path / 'off')!r}, 'w')")).halt(HALT, MEMORY)
    assert not (tmp_path / "off").exists()


def test_a_clock_that_is_not_there_does_not_power_off(tmp_path: Path) -> None:
    with pytest.raises(HaltFailedError, match="tells no time"):
        RtcSleeper(tmp_path, tmp_path / "rtc7", "true").halt(HALT, MEMORY)


def test_a_clock_does_not_halt_for_ever(tmp_path: Path, rtc: Path) -> None:
    with pytest.raises(HaltFailedError, match="by time only"):
        RtcSleeper(tmp_path, rtc, "true").halt(Halt("cut", None, ("power",), 13.0), MEMORY)


def test_a_hats_tool_is_told_when_and_at_which_voltage_to_wake(tmp_path: Path, rtc: Path) -> None:
    tool = python(f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(' '.join(sys.argv[1:]))", "--in={seconds}")
    CommandSleeper(tmp_path, rtc, tool + " {volts} '$(id); x'").halt(HALT, MEMORY)
    assert (tmp_path / "told").read_text() == "--in=21600 13.0 $(id); x"  # no shell


def test_no_timer_is_zero_seconds() -> None:
    assert filled("hat {seconds}", Halt("cut", None, ("power",), 26.0)) == ["hat", "0"]


@pytest.mark.parametrize(
    ("said", "by"),
    [("print('Woken by: MOTION')", "motion"), ("print('alarm clock')", None), ("raise SystemExit(3)", None)],
)
def test_a_hats_tool_tells_what_woke_the_unit(tmp_path: Path, said: str, by: str | None) -> None:
    sleeper = CommandSleeper(tmp_path, tmp_path / "none", "true", python(said))
    sleeper.halt(HALT, MEMORY)
    woken = sleeper.woken()
    assert woken is not None
    assert (woken.by, woken.slept_s, woken.memory) == (by, None, MEMORY)


def test_a_timer_without_a_clock_slept_as_long_as_planned(tmp_path: Path) -> None:
    sleeper = CommandSleeper(tmp_path, tmp_path / "none", "true", python("print('timer')"))
    sleeper.halt(HALT, MEMORY)
    woken = sleeper.woken()
    assert woken is not None
    assert woken.slept_s == 21_600.0


@pytest.mark.parametrize(
    "command",
    [python("import sys; sys.stderr.write('no such bus'); sys.exit(1)"), "/no/such/tool", "", "'unbalanced"],
)
def test_a_tool_that_fails_leaves_the_unit_on_and_no_note(tmp_path: Path, command: str) -> None:
    sleeper = CommandSleeper(tmp_path, tmp_path / "none", command)
    with pytest.raises(HaltFailedError):
        sleeper.halt(HALT, MEMORY)
    assert list(tmp_path.iterdir()) == []
    assert sleeper.woken() is None


def test_what_the_tool_complained_of_is_told(tmp_path: Path) -> None:
    command = python("import sys; sys.stderr.write('no such bus'); sys.exit(1)")
    with pytest.raises(HaltFailedError, match="ended with 1: no such bus"):
        CommandSleeper(tmp_path, tmp_path / "none", command).halt(HALT, MEMORY)


def test_a_folder_that_takes_no_note_is_not_halted(tmp_path: Path) -> None:
    sleeper = CommandSleeper(tmp_path / "gone", tmp_path, python(f"open({str(tmp_path / 'off')!r}, 'w')"))
    with pytest.raises(HaltFailedError, match="asleep"):
        sleeper.halt(HALT, MEMORY)
    assert not (tmp_path / "off").exists()


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"halt": 1, "memory": 2}', "\x00\xff", '{"halt": {"reason": "x"}}'])
def test_a_note_that_cannot_be_read_is_no_halt_and_is_taken_away(tmp_path: Path, note: str) -> None:
    (tmp_path / "asleep.json").write_text(note)
    assert CommandSleeper(tmp_path, tmp_path / "none", "true").woken() is None
    assert not (tmp_path / "asleep.json").exists()


def test_the_simulated_unit_writes_what_was_asked_and_wakes_as_told(tmp_path: Path) -> None:
    SimulatedSleeper(tmp_path).halt(HALT, MEMORY)
    asked = json.loads((tmp_path / "halt.json").read_text())
    assert asked == {
        "reason": "saving",
        "wake_after_s": 21_600.0,
        "wake_on": ["voltage", "motion"],
        "wake_from_v": 13.0,
    }
    (tmp_path / "woken.json").write_text('{"by": "voltage", "slept_s": 333}')
    woken = SimulatedSleeper(tmp_path).woken()
    assert woken is not None
    assert (woken.by, woken.slept_s, woken.memory) == ("voltage", 333.0, MEMORY)
    assert not (tmp_path / "woken.json").exists()
    assert SimulatedSleeper(tmp_path).woken() is None


def test_a_simulated_wake_up_that_nobody_explains_is_unknown(tmp_path: Path) -> None:
    SimulatedSleeper(tmp_path).halt(HALT, MEMORY)
    woken = SimulatedSleeper(tmp_path).woken()
    assert woken is not None
    assert (woken.by, woken.slept_s) == (None, None)
