"""What the unit draws from a parked car's battery: `python -m benchmarks.energy [--json] [--quiescent MA]`.

The agent's own power rooms (`edge_agent/power/watch.py`) run on an injected clock against a battery model, as three
kinds of unit: one whose hardware cuts its power and wakes it on ignition, one that only a clock can wake, and one that
cannot be powered off. Peer: the same hardware with an agent that always does what ours does while driving, as a simple
publisher does. All currents are those of [power] in unit.toml, most of them assumptions: see `power/settings.py`.

The battery: 60 Ah, full at the start; rest voltage over charge from the Battery Council's table (`power/battery.py`);
10 mΩ inside (assumption); 4 % a month lost to itself (assumption). Beside the unit the car draws 20 mA of its own
(assumption; buses asleep). While driving the alternator holds 13.9 V and puts back 10 A (assumption).
"""

import argparse
import json
import sys
from dataclasses import dataclass, replace

from edge_agent.power.battery import charge_at_rest, rest_v
from edge_agent.power.energy import currents_ma
from edge_agent.power.settings import PowerSettings
from edge_agent.power.states import State, Woken
from edge_agent.power.watch import PowerWatch

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
_STEP_S = 10.0
_VOLTS_EVERY_S = 30.0
_FIX_AND_NEWS_S = 90.0  # of a scheduled wake-up: boot, cold start and attach (assumption)
_LONGEST_DAYS = 400.0

KINDS = {
    "hardware wakes it": PowerSettings(sleep="command", wakes_on_ignition=True),
    "a clock wakes it": PowerSettings(sleep="rtc"),
    "stays on": PowerSettings(sleep="none"),
}


@dataclass
class Car:
    """A 12 V battery, its alternator, and what the car draws by itself."""

    capacity_ah: float = 60.0
    charge: float = 1.0
    quiescent_ma: float = 20.0
    resistance_ohm: float = 0.010
    self_discharge_per_s: float = 0.04 / (30 * DAY_S)

    def spend(self, seconds: float, unit_ma: float, driving: bool) -> None:
        """Let time pass."""
        current_a = 10.0 if driving else -(unit_ma + self.quiescent_ma) / 1000
        change = current_a * seconds / HOUR_S / self.capacity_ah - self.self_discharge_per_s * seconds
        self.charge = min(1.0, max(0.0, self.charge + change))

    def volts(self, unit_ma: float, driving: bool) -> float:
        """At the battery's poles."""
        load_a = (unit_ma + self.quiescent_ma) / 1000
        return 13.9 if driving else rest_v(self.charge) - load_a * self.resistance_ohm


@dataclass
class Played:
    """What came of it."""

    mah: float = 0.0
    halts: int = 0
    cut_off_s: float | None = None  # when the unit gave up for the starter's sake
    cut_off_charge: float | None = None
    lowest_v: float = 99.0
    end_s: float = 0.0
    end_v: float = 0.0


def play(settings: PowerSettings, car: Car, driven_s: float, length_s: float, until_cut_off: bool = False) -> Played:
    """Drive for `driven_s`, then stay parked until `length_s`, or until the cut-off."""
    currents = currents_ma(settings)
    played, watch = Played(), PowerWatch(settings, None, None, 0.0)
    now_s, visit_began_s = 0.0, 0.0
    while now_s < length_s:
        driving = now_s < driven_s
        unit_ma = currents["visit" if watch.plan(now_s).visit else str(watch.state)]
        volts = car.volts(unit_ma, driving)
        if now_s % _VOLTS_EVERY_S == 0:
            watch.on_supply_volts(volts, now_s)
        watch.on_engine("running" if driving else "off")
        watch.on_motion(driving, now_s)
        told = watch.on_tick(now_s)
        if any(each.details.get("state") == State.SAVER for each in told):
            visit_began_s = now_s
        plan = watch.plan(now_s)
        if plan.visit and now_s - visit_began_s >= _FIX_AND_NEWS_S:
            watch.on_visit_done(now_s)
        cut_off = watch.memory(now_s).cut_off
        if cut_off and played.cut_off_s is None:
            played.cut_off_s, played.cut_off_charge = now_s, car.charge
            if until_cut_off:
                break
        if plan.halt is not None:
            slept_s = min(plan.halt.wake_after_s or length_s, length_s - now_s)
            played.halts += 1
            played.mah += slept_s * currents["halted"] / HOUR_S
            car.spend(slept_s, currents["halted"], False)
            now_s = (now_s + slept_s) // _STEP_S * _STEP_S
            watch = PowerWatch(settings, Woken("timer", slept_s, "", watch.memory(now_s - slept_s)), None, now_s)
            visit_began_s = now_s
            continue
        played.mah += _STEP_S * unit_ma / HOUR_S
        car.spend(_STEP_S, unit_ma, driving)
        played.lowest_v = min(played.lowest_v, volts)
        now_s += _STEP_S
    played.end_s, played.end_v = now_s, rest_v(car.charge)
    return played


def peer(settings: PowerSettings, car: Car, stop_v: float) -> float:
    """Days until a unit that is always in the driving state has the parked battery down to `stop_v` at rest."""
    per_day = (settings.driving_ma + car.quiescent_ma) / 1000 * 24 / car.capacity_ah + car.self_discharge_per_s * DAY_S
    return (1 - charge_at_rest(stop_v)) / per_day


def measure(quiescent_ma: float) -> dict[str, dict[str, float | None]]:
    """Every kind of unit through a day, a week, a month, and until the cut-off."""
    results: dict[str, dict[str, float | None]] = {}
    for name, settings in KINDS.items():
        row: dict[str, float | None] = {}
        day = play(settings, Car(quiescent_ma=quiescent_ma), 2 * HOUR_S, DAY_S)
        row["day_2h_driven_mah"] = round(day.mah)
        for length, days in (("week", 7), ("month", 30)):
            parked = play(settings, Car(quiescent_ma=quiescent_ma), 60.0, days * DAY_S)
            row[f"{length}_parked_mah_per_day"] = round(parked.mah / (parked.end_s / DAY_S))
            row[f"{length}_parked_end_v"] = round(parked.end_v, 2)
        row |= _until_cut_off(settings, Car(quiescent_ma=quiescent_ma), "")
        row |= _until_cut_off(settings, Car(quiescent_ma=0.0, self_discharge_per_s=0.0), "unit_alone_")
        results[name] = row
    any_settings = KINDS["stays on"]
    alone = replace(Car(), quiescent_ma=0.0, self_discharge_per_s=0.0)
    always = any_settings.driving_ma * 24
    results["peer: always driving"] = {
        "day_2h_driven_mah": round(always),
        "week_parked_mah_per_day": round(always),
        "month_parked_mah_per_day": round(always),
        "days_to_cut_off": round(peer(any_settings, Car(quiescent_ma=quiescent_ma), any_settings.cutoff_v), 1),
        "unit_alone_days_to_cut_off": round(peer(any_settings, alone, any_settings.cutoff_v), 1),
    }
    return results


def _until_cut_off(settings: PowerSettings, car: Car, prefix: str) -> dict[str, float | None]:
    played = play(settings, car, 60.0, _LONGEST_DAYS * DAY_S, until_cut_off=True)
    if played.cut_off_s is None or played.cut_off_charge is None:
        return {f"{prefix}days_to_cut_off": None}
    return {
        f"{prefix}days_to_cut_off": round(played.cut_off_s / DAY_S, 1),
        f"{prefix}charge_at_cut_off": round(played.cut_off_charge, 3),
    }


def main(argv: list[str] | None = None) -> int:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quiescent", type=float, default=20.0, help="what the parked car draws by itself, mA")
    parser.add_argument("--json", action="store_true", help="last line: one JSON object")
    arguments = parser.parse_args(argv)
    results = measure(arguments.quiescent)
    if arguments.json:
        print(json.dumps(results))
        return 0
    for name, row in results.items():
        print(name)
        for key, value in row.items():
            print(f"    {key:32} {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
