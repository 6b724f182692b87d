"""Power off, and what ends it: the door to a clock, a HAT or a simulation. A Raspberry Pi cannot suspend.

Every backend leaves a note in the unit's folder before the machine goes off, and reads it when the unit is back: that
tells a halt from a crash, keeps what the unit knew, and says whether the timer woke it.
"""

import contextlib
import json
import logging
import math
import shlex
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import Halt, Memory, Woken
from edge_agent.store.durable_file import replace_durably

log = logging.getLogger(__name__)

_NOTE = "asleep.json"
_COMMAND_S = 20.0
_TIMER_EARLY_S, _TIMER_LATE_S = 30.0, 600.0  # booting, and a HAT's clock that drifts over days
_CAUSES = ("timer", "voltage", "motion", "power", "button")


class HaltFailedError(Exception):
    """The machine cannot be powered off so that it wakes again; it stays on."""


class Sleeper(Protocol):
    """A way to be off and come back."""

    def halt(self, halt: Halt, memory: Memory) -> None:
        """Ask for the power to go; returns at once, the machine ends the agent. Raises HaltFailedError."""

    def woken(self) -> Woken | None:
        """What ended the halt that the unit comes from; None if it comes from none. Tells it once."""


def make_sleeper(settings: PowerSettings, folder: Path) -> Sleeper:
    """The backend that `sleep` in [power] names; `folder` is the unit's own."""
    if settings.sleep == "simulated":
        return SimulatedSleeper(folder)
    if settings.sleep == "rtc":
        return RtcSleeper(folder, Path(settings.rtc), settings.halt_command)
    if settings.sleep == "command":
        return CommandSleeper(folder, Path(settings.rtc), settings.halt_command, settings.woken_command)
    return NoSleeper()


class NoSleeper:
    """A unit that stays on."""

    def halt(self, halt: Halt, memory: Memory) -> None:
        """Refused."""
        raise HaltFailedError("nothing would wake the unit: sleep is 'none'")

    def woken(self) -> Woken | None:
        """It comes from no halt."""
        return None


class RtcSleeper:
    """The kernel's real-time clock powers the machine on (Raspberry Pi 5, or a clock wired to the power switch)."""

    def __init__(self, folder: Path, rtc: Path, poweroff: str) -> None:
        self._note, self._rtc, self._poweroff = folder / _NOTE, rtc, poweroff

    def halt(self, halt: Halt, memory: Memory) -> None:
        """Set the alarm in the clock's own time, whatever the system's clock says; see that it holds; power off."""
        alarm = self._rtc / "wakealarm"
        now_s = rtc_s(self._rtc)
        if now_s is None:
            raise HaltFailedError(f"{self._rtc} tells no time")
        if halt.wake_after_s is None:
            raise HaltFailedError("a clock wakes by time only, and this halt has no time")
        try:
            alarm.write_text("0")  # a pending alarm must be cleared first: Documentation/admin-guide/rtc.rst
            alarm.write_text(str(now_s + round(halt.wake_after_s)))
            held = alarm.read_text().strip()
        except OSError as error:
            raise HaltFailedError(f"{alarm}: {error}") from None
        if held != str(now_s + round(halt.wake_after_s)):
            raise HaltFailedError(f"{alarm} holds {held!r}, not the wake-up that was set")
        command = filled(self._poweroff, halt)
        _leave_note(self._note, halt, memory, now_s)
        _run_or_forget(self._note, command)

    def woken(self) -> Woken | None:
        """By the timer where the clock says that it was time."""
        return _woken(self._note, None, rtc_s(self._rtc))


class CommandSleeper:
    """A HAT with a tool of its own, started without a shell; {seconds} and {volts} are filled in."""

    def __init__(self, folder: Path, rtc: Path, halt_command: str, woken_command: str = "") -> None:
        self._note, self._rtc = folder / _NOTE, rtc
        self._halt_command, self._woken_command = halt_command, woken_command

    def halt(self, halt: Halt, memory: Memory) -> None:
        """Run the tool; it sets the wake-up and powers off."""
        command = filled(self._halt_command, halt)
        _leave_note(self._note, halt, memory, rtc_s(self._rtc))
        _run_or_forget(self._note, command)

    def woken(self) -> Woken | None:
        """What the HAT's tool says, else what the clock suggests."""
        if not self._note.exists():
            return None
        by = None
        if self._woken_command:
            with contextlib.suppress(HaltFailedError):
                words = _run(_words(self._woken_command)).lower().split()
                by = next((word for word in words if word in _CAUSES), None)
        return _woken(self._note, by, rtc_s(self._rtc))


class SimulatedSleeper:
    """Files instead of power: `halt.json` says what was asked for; `woken.json` is what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def halt(self, halt: Halt, memory: Memory) -> None:
        """Write what was asked for; whoever simulates ends the agent."""
        _leave_note(self._folder / _NOTE, halt, memory, None)
        replace_durably(self._folder / "halt.json", json.dumps(asdict(halt)))

    def woken(self) -> Woken | None:
        """`woken.json`: {"by": "timer", "slept_s": 21600}; both may be missing."""
        path = self._folder / "woken.json"
        told = _read(path) or {}
        path.unlink(missing_ok=True)
        woken = _woken(self._folder / _NOTE, told.get("by"), None)
        if woken is None or "slept_s" not in told:
            return woken
        return Woken(woken.by, float(told["slept_s"]), woken.halted_for, woken.memory)


def filled(command: str, halt: Halt) -> list[str]:
    """The command's words with their places filled in. Raises HaltFailedError where a quote is left open."""
    seconds = 0 if halt.wake_after_s is None else round(halt.wake_after_s)
    places = {"{seconds}": str(seconds), "{volts}": f"{halt.wake_from_v:.1f}"}
    words = _words(command)
    for place, value in places.items():
        words = [word.replace(place, value) for word in words]
    return words


def rtc_s(rtc: Path) -> int | None:
    """What the clock itself says, in its own seconds since 1970; it need not be right to measure a halt."""
    try:
        return int((rtc / "since_epoch").read_text())
    except (OSError, ValueError):
        return None


def _leave_note(note: Path, halt: Halt, memory: Memory, clock_s: int | None) -> None:
    try:
        kept = {"halt": asdict(halt), "memory": asdict(memory), "clock_s": clock_s}
        replace_durably(note, json.dumps(kept))  # the power may go in the next moment
    except OSError as error:
        raise HaltFailedError(f"{note}: {error}") from None


def _woken(note: Path, by: str | None, clock_s: int | None) -> Woken | None:
    """Read the note and take it away; a note that cannot be read is none."""
    kept = _read(note)
    with contextlib.suppress(OSError):
        note.unlink()
    try:
        halt, memory = kept["halt"], kept["memory"]  # type: ignore[index]
        reason, planned_s, halted_at_s = str(halt["reason"]), halt["wake_after_s"], kept["clock_s"]  # type: ignore[index]
        remembered = Memory(bool(memory["low"]), bool(memory["cut_off"]), float(memory["parked_s"]))
        slept_s = None if clock_s is None or halted_at_s is None else float(clock_s - halted_at_s)
        in_time = slept_s is not None and planned_s is not None
        if by is None and in_time and planned_s - _TIMER_EARLY_S <= slept_s <= planned_s + _TIMER_LATE_S:
            by = "timer"
        if slept_s is None and by == "timer" and planned_s is not None:
            slept_s = float(planned_s)
    except (KeyError, TypeError, ValueError):
        return None
    if slept_s is not None and not (math.isfinite(slept_s) and slept_s >= 0):
        slept_s = None  # the clock was set back, or lost its battery
    return Woken(by if by in _CAUSES else None, slept_s, reason, remembered)


def _run_or_forget(note: Path, command: list[str]) -> None:
    try:
        _run(command)
    except HaltFailedError:
        note.unlink(missing_ok=True)  # the next start will not come from a halt
        raise


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise HaltFailedError(f"{command}: {error}") from None


def _run(command: list[str]) -> str:
    """Standard output of a command that ends well in time. Raises HaltFailedError."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_COMMAND_S, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError) as error:
        raise HaltFailedError(f"{shlex.join(command)}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
        raise HaltFailedError(f"{shlex.join(command)} ended with {done.returncode}: {said}")
    return done.stdout.decode(errors="replace")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s cannot be read: %s", path, error)
        return None
    return value if isinstance(value, dict) else None
