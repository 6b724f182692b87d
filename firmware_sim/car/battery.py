"""A 12 V starter battery: charge, voltage under load, cold, age. Pure.

- Rest voltage over charge: flooded lead-acid, specific gravity 1.265 (Battery Council International, whose
  11.89 V "or lower" ends at 11.4 V here); linear between.
- Internal resistance: the cold cranking current I_cc of EN 50342-1 leaves 7.5 V after 10 s at -18 °C, so a new one
  has R(-18 °C) = (12.7 V - 7.5 V) / I_cc: 9.6 milliohms at 540 A. It halves towards 25 °C, as electrolyte conducts
  (Linden, Handbook of Batteries, chapter 23), and rises as the acid thins with discharge.
- Age: sulphation and corrosion take capacity and raise the resistance together; `health` is the share of the rated
  cold cranking current, as testers of conductance show it (IEEE 1188, annex C), and also of the capacity.
- Surface charge: after charging the terminals show up to 0.6 V more than at rest, gone within minutes, the last of it
  within hours.
- Self-discharge 3 % a month at 20 °C, doubled every 10 °C.
- Standing below 80 % sulphates: `_SULPHATION` of the health a day at half charge (an assumption in the range of
  Ruetschi, J. Power Sources 127 (2004) 33: a year half charged ruins a starter battery).
"""

import itertools
import math
from dataclasses import dataclass

# Charge, volts at rest.
_REST = ((0.0, 11.4), (0.05, 11.89), (0.25, 12.06), (0.5, 12.24), (0.75, 12.45), (1.0, 12.65))
_RATED_V, _CRANKED_V, _CRANKED_C = 12.7, 7.5, -18.0
_PER_C = math.log(1.92) / 43  # from -18 to 25 °C
_THIN_ACID = 0.8  # more resistance when empty
_FAST_V, _FAST_S = 0.45, 25.0
_SLOW_V, _SLOW_S = 0.15, 3600.0
_RISING_S = 60.0  # surface charge builds up
_SELF_PER_DAY = 0.03 / 30
_SULPHATION = 0.002
_CHARGED_TO = 0.8
_ACCEPTS_OHM = 0.03  # of a charging battery, besides its resistance
_FULL_V, _TRICKLE_A = 0.9, 0.4  # what a full one holds against the charger, and takes nevertheless
_LEAST_HEALTH = 0.02
_DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class BatteryKind:
    """`capacity_ah` at the 20 h rate; `cold_a` by EN 50342-1."""

    capacity_ah: float = 60.0
    cold_a: float = 540.0


class Battery:
    """One battery; currents that leave it are positive."""

    def __init__(self, kind: BatteryKind, charge: float, health: float, temperature_c: float) -> None:
        self._kind = kind
        self._fast_v = self._slow_v = 0.0
        self.charge = charge
        self.health = health
        self.temperature_c = temperature_c

    @property
    def capacity_ah(self) -> float:
        return self._kind.capacity_ah * max(self.health, _LEAST_HEALTH)

    @property
    def resistance_ohm(self) -> float:
        """Ohmic and activation part, as a starter sees it after some seconds."""
        new = (_RATED_V - _CRANKED_V) / self._kind.cold_a
        cold = math.exp(-_PER_C * (self.temperature_c - _CRANKED_C))
        return new * cold * (1 + _THIN_ACID * (1 - self.charge) ** 2) / max(self.health, _LEAST_HEALTH)

    @property
    def open_v(self) -> float:
        """Without load, surface charge included."""
        return rest_v(self.charge) + self._fast_v + self._slow_v

    def volts(self, current_a: float) -> float:
        """At the terminals while `current_a` leave it."""
        return self.open_v - current_a * self.resistance_ohm

    def accepts_a(self, volts: float) -> float:
        """What it takes from a source that holds its terminals at `volts`; less the fuller it is."""
        gap_v = volts - rest_v(self.charge) - _FULL_V * self.charge
        return max(0.0, gap_v / (_ACCEPTS_OHM + self.resistance_ohm)) + _TRICKLE_A

    def charging_v(self, current_a: float) -> float:
        """At the terminals while a source with too little strength drives `current_a` into it."""
        driven_a = max(0.0, current_a - _TRICKLE_A)
        return rest_v(self.charge) + _FULL_V * self.charge + driven_a * (_ACCEPTS_OHM + self.resistance_ohm)

    def step(self, current_a: float, dt_s: float) -> None:
        """`dt_s` seconds, however many, of a steady current."""
        self.charge = min(1.0, max(0.0, self.charge - current_a * dt_s / 3600 / self.capacity_ah))
        charging = current_a < 0
        for name, full_v, time_s in (("_fast_v", _FAST_V, _FAST_S), ("_slow_v", _SLOW_V, _SLOW_S)):
            towards, within_s = (full_v, _RISING_S) if charging else (0.0, time_s)
            kept = math.exp(-dt_s / within_s)
            setattr(self, name, towards + (getattr(self, name) - towards) * kept)
        if not charging:
            warmth = 2 ** ((self.temperature_c - 20) / 10)
            days = dt_s / _DAY_S
            self.charge *= math.exp(-_SELF_PER_DAY * warmth * days)
            lacking = max(0.0, _CHARGED_TO - self.charge) / (_CHARGED_TO - 0.5)
            self.health *= math.exp(-_SULPHATION * lacking * days)


def rest_v(charge: float) -> float:
    """After hours without load, 0 ... 1 charged."""
    for (low, low_v), (high, high_v) in itertools.pairwise(_REST):
        if charge <= high:
            return low_v + (high_v - low_v) * (charge - low) / (high - low)
    return _REST[-1][1]
