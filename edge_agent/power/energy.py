"""What the unit has drawn from the vehicle's battery: time in each state × its current, or the measured current. Pure.

Counted since the unit was installed, and by days of 24 counted hours, which need no clock. Halts count with the halted
current once it is known how long they were. Time that nobody can know (power was gone without a halt) is not made up:
it is missing from the day, which ends as much later.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_agent.power.settings import PowerSettings

STATES = ("driving", "idle", "parked", "saver", "visit", "halted")
_DAY_S = 86_400.0
_LONGEST_HALT_S = 400 * _DAY_S  # more is a clock that lies


def currents_ma(settings: PowerSettings) -> Mapping[str, float]:
    """What each of `STATES` draws, mA at 12 V."""
    return {state: getattr(settings, f"{state}_ma") for state in STATES}


@dataclass(slots=True)
class _Spent:
    """Counted time in s and charge in mAh, by state."""

    counted_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))
    mah: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))

    def add(self, state: str, seconds: float, current_ma: float) -> None:
        self.counted_s[state] += seconds
        self.mah[state] += seconds * current_ma / 3600


class EnergyMeter:
    """Fed once a second; whatever `on_tick` is told holds from the tick before to this one."""

    def __init__(self, currents: Mapping[str, float]) -> None:
        self._currents = dict(currents)
        self._total, self._today = _Spent(), _Spent()
        self._yesterday: _Spent | None = None
        self._last_s: float | None = None
        self._unknown_halts = 0

    def on_tick(self, state: str, mono_s: float, measured_ma: float | None = None) -> None:
        """`state` is one of `STATES`; `measured_ma`, where there is a meter, as if at 12 V."""
        if self._last_s is not None:
            current_ma = self._currents[state] if measured_ma is None else measured_ma
            self._add(state, max(0.0, mono_s - self._last_s), current_ma)
        self._last_s = mono_s

    def on_slept(self, slept_s: float | None) -> None:
        """The unit was halted for so long; None or an impossible time: nobody knows."""
        if slept_s is None or not 0 <= slept_s <= _LONGEST_HALT_S:
            self._unknown_halts += 1
            return
        self._add("halted", slept_s, self._currents["halted"])

    def facts(self) -> dict[str, str]:
        """For the status: mAh by state since installation and in the last whole day; halts of unknown length."""
        facts = {f"energy.total.{state}_mah": _whole(mah) for state, mah in self._total.mah.items() if mah}
        facts["energy.total_mah"] = _whole(sum(self._total.mah.values()))
        facts["energy.total_h"] = _whole(sum(self._total.counted_s.values()) / 3600)
        if self._yesterday is not None:
            facts |= {f"energy.day.{state}_mah": _whole(mah) for state, mah in self._yesterday.mah.items() if mah}
            facts["energy.day_mah"] = _whole(sum(self._yesterday.mah.values()))
        if self._unknown_halts:
            facts["energy.unknown_halts"] = str(self._unknown_halts)
        return facts

    def total_mah(self) -> dict[str, float]:
        """Drawn by state since installation."""
        return dict(self._total.mah)

    def mah_per_day(self) -> float | None:
        """Average over all counted time; None before anything was counted."""
        counted_s = sum(self._total.counted_s.values())
        return sum(self._total.mah.values()) * _DAY_S / counted_s if counted_s else None

    def to_json(self) -> str:
        """Everything that must outlive a restart."""
        days = {"total": self._total, "today": self._today, "yesterday": self._yesterday}
        kept = {name: day and {"s": day.counted_s, "mah": day.mah} for name, day in days.items()}
        return json.dumps(kept | {"unknown_halts": self._unknown_halts})

    @classmethod
    def from_json(cls, currents: Mapping[str, float], text: str) -> "EnergyMeter":
        """What `to_json` gave, now with these currents. Raises ValueError where it is anything else."""
        meter = cls(currents)
        try:
            kept = json.loads(text)
            total, today = _spent(kept["total"]), _spent(kept["today"])
            yesterday, unknown_halts = kept["yesterday"] and _spent(kept["yesterday"]), int(kept["unknown_halts"])
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not an energy meter: {error}") from None
        meter._total, meter._today, meter._yesterday, meter._unknown_halts = total, today, yesterday, unknown_halts
        return meter

    def _add(self, state: str, seconds: float, current_ma: float) -> None:
        self._total.add(state, seconds, current_ma)
        while seconds > 0:
            part_s = min(seconds, _DAY_S - sum(self._today.counted_s.values()))
            self._today.add(state, part_s, current_ma)
            seconds -= part_s
            if sum(self._today.counted_s.values()) >= _DAY_S - 1e-3:  # sums of floats: a millisecond ends the day too
                self._yesterday, self._today = self._today, _Spent()


def _spent(kept: object) -> _Spent:
    """From JSON, checked; a state that is not there yet begins at 0."""
    if not isinstance(kept, dict):
        raise ValueError("a day must be a table")
    spent = _Spent()
    for told, into in ((kept["s"], spent.counted_s), (kept["mah"], spent.mah)):
        if not isinstance(told, dict):
            raise ValueError("times and charges must be tables")
        for state in STATES:
            into[state] = float(told.get(state, 0.0))
            if not math.isfinite(into[state]) or into[state] < 0:
                raise ValueError(f"{state} is {into[state]}")
    return spent


def _whole(value: float) -> str:
    return f"{value:.0f}"
