"""How each kind of fault is done to a unit, and undone."""

import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from tests.journey.world import World
from tests.soak.devices import QUIRKS, Device, Mode
from tests.soak.faults import Fault, Kind
from tests.soak.ledger import Ledger
from tests.soak.steering import SteeringWheel
from tests.soak.unit import Unit

_TEN_YEARS_S = 10 * 365.25 * 86_400
_BOOTED_S = 15.0  # of monotonic time when the agent starts after a power cut
_HOUR_S = 3600.0
Undo = Callable[[], None]


class Scene(Protocol):
    """What faults are done to."""

    world: World
    ledger: Ledger
    server_wheel: SteeringWheel

    @property
    def units(self) -> Mapping[str, Unit]:
        """By name."""


def skip(scene: Scene, seconds: float) -> None:
    """Hours pass: for every unit and for the server."""
    for wheel in (scene.server_wheel, *(unit.wheel for unit in scene.units.values())):
        wheel.skip(seconds)


def do(fault: Fault, scene: Scene) -> tuple[str, Undo]:
    """Do it; what exactly was done, and what undoes it."""
    dice = random.Random(fault.dice)
    if fault.kind in _EVERYWHERE:
        return _EVERYWHERE[fault.kind](scene, dice)
    unit = scene.units[fault.unit]
    if fault.kind is Kind.FILE_DAMAGED:
        return _damage(unit, dice, scene.ledger)
    return _AT_ONE[fault.kind](unit, dice)


def _nothing() -> None:
    """Nothing to undo."""


# Devices


def _unplug(device: Device | None) -> tuple[str, Undo]:
    assert device is not None
    device.unplug()
    return "", device.plug


def _mode(device: Device | None, mode: Mode) -> tuple[str, Undo]:
    assert device is not None
    device.mode = mode

    def mend() -> None:
        device.mode = Mode.WELL

    return "", mend


def _quirk(unit: Unit, dice: random.Random) -> tuple[str, Undo]:
    adapter = unit.adapter
    assert adapter is not None
    name = dice.choice(sorted(QUIRKS))
    adapter.quirk = QUIRKS[name]

    def mend() -> None:
        adapter.quirk = None

    return name, mend


def _date(unit: Unit, dice: random.Random) -> tuple[str, Undo]:
    weeks = dice.choice((-1024, 1024, -8192, dice.randrange(-520, 520)))
    unit.receiver.date_error = timedelta(weeks=weeks)

    def mend() -> None:
        unit.receiver.date_error = timedelta()

    return f"{weeks} weeks", mend


# The network


def _stall(unit: Unit, _dice: random.Random) -> tuple[str, Undo]:
    unit.line.stall()
    return "", unit.line.mend


def _refuse(unit: Unit, _dice: random.Random) -> tuple[str, Undo]:
    unit.line.refuse()
    return "", unit.line.mend


def _reset(unit: Unit, _dice: random.Random) -> tuple[str, Undo]:
    unit.line.reset()
    return "", _nothing


def _kill_job(scene: Scene, job: str) -> tuple[str, Undo]:
    if scene.world.processes[job].poll() is None:
        scene.world.kill(job)

    def start() -> None:
        if scene.world.processes[job].poll() is not None:
            scene.world.start(job)

    return "", start


# The agent's process and its disk


def _kill(unit: Unit, _dice: random.Random) -> tuple[str, Undo]:
    unit.kill()
    return "", _nothing  # the soak starts it again once nothing keeps it down


def _terminate(unit: Unit, _dice: random.Random) -> tuple[str, Undo]:
    unit.terminate()
    return "", _nothing


def _cut_power(unit: Unit, dice: random.Random) -> tuple[str, Undo]:
    unit.kill()
    error_s = dice.choice((0.0, -_TEN_YEARS_S, -86_400.0))
    unit.wheel.turn(
        monotonic_shift_s=_BOOTED_S - time.monotonic(),
        kernel_boot=dice.getrandbits(32),
        utc_shift_s=unit.wheel.now.utc_shift_s - unit.clock_error_s + error_s,
        is_disciplined=False,
        has_rtc=dice.random() < 0.5,
    )
    unit.clock_error_s = error_s
    return f"the clock is off by {error_s / 86_400:.0f} days", _nothing


def _fill(unit: Unit, dice: random.Random) -> tuple[str, Undo]:
    by_limit = dice.random() < 0.5
    unit.disk.fill(unit.pid, by_limit=by_limit)

    def empty() -> None:
        unit.disk.empty(unit.pid)
        unit.owes_an_answer()

    return "no write succeeds" if by_limit else unit.disk.kind, empty


def _damage(unit: Unit, dice: random.Random, ledger: Ledger) -> tuple[str, Undo]:
    unit.kill()
    unit.read_truth(ledger)
    unit.read_outbox(ledger)
    return unit.damage(dice), _nothing


# Time


def _jump(unit: Unit, dice: random.Random) -> tuple[str, Undo]:
    error_s = dice.uniform(-_TEN_YEARS_S, _TEN_YEARS_S) * dice.choice((1.0, 0.01, 0.0001))
    _set_clock(unit, error_s)
    unit.wheel.turn(is_disciplined=dice.random() < 0.7, has_rtc=dice.random() < 0.5)

    def mend() -> None:
        _set_clock(unit, 0.0)
        unit.wheel.turn(is_disciplined=True, has_rtc=False)

    return f"{error_s / 86_400:+.1f} days", mend


def _set_clock(unit: Unit, error_s: float) -> None:
    shift_s = unit.wheel.now.utc_shift_s - unit.clock_error_s + error_s
    unit.clock_error_s = error_s
    unit.wheel.turn(utc_shift_s=shift_s)


def _park(scene: Scene, dice: random.Random) -> tuple[str, Undo]:
    hours = dice.uniform(0.2, 8)
    for unit in scene.units.values():
        unit.car.drives = False
    skip(scene, hours * _HOUR_S)

    def drive() -> None:
        for unit in scene.units.values():
            unit.car.drives = True

    return f"{hours:.1f} h skipped", drive


_EVERYWHERE: Mapping[Kind, Callable[[Scene, random.Random], tuple[str, Undo]]] = {
    Kind.BROKER_KILLED: lambda scene, _dice: _kill_job(scene, "broker"),
    Kind.SERVER_KILLED: lambda scene, _dice: _kill_job(scene, "ingest"),
    Kind.PARKED: _park,
}
_AT_ONE: Mapping[Kind, Callable[[Unit, random.Random], tuple[str, Undo]]] = {
    Kind.GNSS_UNPLUGGED: lambda unit, _dice: _unplug(unit.receiver),
    Kind.OBD_UNPLUGGED: lambda unit, _dice: _unplug(unit.adapter),
    Kind.GNSS_SILENT: lambda unit, _dice: _mode(unit.receiver, Mode.SILENT),
    Kind.OBD_SILENT: lambda unit, _dice: _mode(unit.adapter, Mode.SILENT),
    Kind.GNSS_GARBAGE: lambda unit, _dice: _mode(unit.receiver, Mode.GARBAGE),
    Kind.OBD_GARBAGE: lambda unit, _dice: _mode(unit.adapter, Mode.GARBAGE),
    Kind.OBD_QUIRK: _quirk,
    Kind.GNSS_DATE: _date,
    Kind.LINE_STALLED: _stall,
    Kind.LINE_REFUSED: _refuse,
    Kind.LINE_RESET: _reset,
    Kind.AGENT_KILLED: _kill,
    Kind.AGENT_TERMINATED: _terminate,
    Kind.POWER_CUT: _cut_power,
    Kind.DISK_FULL: _fill,
    Kind.CLOCK_JUMP: _jump,
}


DONE = frozenset({*_EVERYWHERE, *_AT_ONE, Kind.FILE_DAMAGED})  # the kinds that there are hands for
