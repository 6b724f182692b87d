"""Is the engine on, judged from whatever this car tells: engine speed, wheel speed, voltage. Pure.

"Running" means ready to drive: an electric car has no engine speed, and a hybrid drives at 0 rpm (4 of 18 recorded
trips), but their DC-DC converter charges the 12 V battery as an alternator does. Voltages: 199,857 recorded rows of one
car lie at 13.07 to 14.28 V running (1 to 99 %) and at 12.38 V (median) off. A 24 V truck has twice that, and is halved.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from edge_agent.car.readings import TWO_BATTERIES_V, Reading, is_stale
from edge_agent.settings import ConfigError, setting

_SHOWN_BY_THE_CAR = ("rpm", "wheels", "moves_awake")


class Engine(Enum):
    UNKNOWN = "unknown"
    RUNNING = "running"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Section [engine] of unit.toml."""

    turning_rpm: float = setting(
        "above this the engine turns by itself; a starter turns it more slowly", 400.0, low=200, high=900
    )
    rolling_kmh: float = setting("wheel or GNSS speed above which a car is taken to drive", 3.0, low=1, high=20)
    charging_v: float = setting("from this voltage on a 12 V battery is being charged", 13.2, low=12.6, high=14.4)
    resting_v: float = setting("below this voltage nothing charges a 12 V battery", 12.9, low=12.0, high=14.0)
    charging_for_s: float = setting(
        "how long it must look charged, s, before that counts as running", 10.0, low=0, high=300
    )
    off_after_s: float = setting(
        "0 rpm at rest and not charging for so long, s, is off (a stop-start system stops at lights)",
        90.0,
        low=5,
        high=900,
    )
    silent_off_after_s: float = setting(
        "a car that answers nothing and does not charge is off after s", 15.0, low=5, high=900
    )
    unknown_after_s: float = setting(
        "without any voltage or answer for so long, s, nothing is known", 600.0, low=30, high=3600
    )

    def __post_init__(self) -> None:
        """Raises ConfigError where the two voltages contradict each other."""
        if not self.resting_v < self.charging_v:
            raise ConfigError("[engine]: resting_v must be below charging_v")


@dataclass(frozen=True, slots=True)
class EngineJudge:
    """Each step takes what is known at `mono_s` and returns the next state; `reason` is a key for machines."""

    settings: EngineSettings = EngineSettings()
    state: Engine = Engine.UNKNOWN
    reason: str = "nothing_heard"
    since_s: float = float("-inf")  # of the state
    wish: Engine = Engine.UNKNOWN  # what the evidence says now,
    wish_since_s: float = float("-inf")  # and since when without a break

    def judged(self, readings: Mapping[str, Reading], gnss_speed_mps: float | None, mono_s: float) -> "EngineJudge":
        """`readings`: the newest of each name, stale ones are passed over; `gnss_speed_mps`: of this second."""
        wish, hold_s, reason = self._evidence(readings, gnss_speed_mps, mono_s)
        since_s = self.wish_since_s if wish is self.wish else mono_s
        held = replace(self, wish=wish, wish_since_s=since_s)
        if wish is self.state or mono_s - since_s < hold_s:
            return held
        return replace(held, state=wish, reason=reason, since_s=mono_s)

    def _evidence(
        self, readings: Mapping[str, Reading], gnss_mps: float | None, mono_s: float
    ) -> tuple[Engine, float, str]:
        limits = self.settings
        fresh = {
            name: float(each.value)
            for name, each in readings.items()
            if isinstance(each.value, float) and not is_stale(each, mono_s)
        }
        rpm, wheels_kmh = fresh.get("engine_rpm"), fresh.get("speed_kmh")
        volts = fresh.get("module_voltage_v", fresh.get("adapter_voltage_v"))
        volts = volts / 2 if volts is not None and volts > TWO_BATTERIES_V else volts
        awake = rpm is not None or wheels_kmh is not None
        if rpm is not None and rpm >= limits.turning_rpm:
            return Engine.RUNNING, 0.0, "rpm"
        charging = volts is not None and volts >= limits.charging_v
        resting = volts is None or volts < limits.resting_v
        if wheels_kmh is not None and wheels_kmh >= limits.rolling_kmh:
            return Engine.RUNNING, 0.0, "wheels"
        moving = gnss_mps is not None and gnss_mps * 3.6 >= limits.rolling_kmh
        if awake and wheels_kmh is None and moving and not (volts is not None and resting):
            return Engine.RUNNING, limits.charging_for_s, "moves_awake"
        if charging:
            return Engine.RUNNING, limits.charging_for_s, "charging"
        if awake and resting and (rpm == 0.0 or (rpm is None and volts is not None)):
            return Engine.OFF, limits.off_after_s, "not_charging"
        # a car that has answered and falls silent has its key off, while its battery still shows the charge
        silent_below_v = limits.charging_v if self.reason in _SHOWN_BY_THE_CAR else limits.resting_v
        if not awake and volts is not None and volts < silent_below_v:
            return Engine.OFF, limits.silent_off_after_s, "car_silent"
        if not awake and volts is None:
            return Engine.UNKNOWN, limits.unknown_after_s, "nothing_heard"
        return self.state, 0.0, self.reason  # between resting and charging: as it was
