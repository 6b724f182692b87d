"""How far the place that is told lies from the true one. Pure: time is an argument.

Each error is a first-order Gauss-Markov process per axis, x(t + d) = x(t) e^(-d/τ) + noise, the usual model of receiver
errors (Brown and Hwang, Introduction to Random Signals, 4th edition, 9.3; Kaplan and Hegarty, 3rd edition, 10.2):

* wander, what atmosphere, orbits and filter leave: τ 45 s, 1.1 m times HDOP to the east and to the north, times VDOP
  upwards; with 0.15 m of white noise;
* multipath: of the given size, τ 60 s while the car stands and 4 s while it moves past the reflectors; upwards 1.5
  times as much. A canyon adds its own, mostly across the street: up to 14 m across, 5 m along it (medians of 10 to 20 m
  across the street are common in dense cities: Groves, Journal of Navigation 64 (2011) 417);
* after a gap the filter starts from rougher measurements: 6 m at first, gone with τ 4 s.
"""

import math
import random
from dataclasses import dataclass

_WANDER_S, _WANDER_M, _WHITE_M = 45.0, 1.1, 0.15
_STANDING_S, _MOVING_S, _MOVING_MPS = 60.0, 4.0, 1.0
_ACROSS_M, _ALONG_M = 14.0, 5.0
_MULTIPATH_UP = 1.5
_AGAIN_M, _AGAIN_TAU_S = 6.0, 4.0
SPEED_NOISE_MPS = 0.04


@dataclass(slots=True)
class GaussMarkov:
    """One process of unit variance."""

    rng: random.Random
    value: float

    def step(self, since_s: float, tau_s: float) -> float:
        keep = math.exp(-since_s / tau_s)
        self.value = self.value * keep + self.rng.gauss(0, 1) * math.sqrt(1 - keep * keep)
        return self.value


class PlaceErrors:
    """The errors of one receiver; `step` once an epoch."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"gnss errors {seed}")  # noqa: S311 - repeatable on purpose
        self._wander = [GaussMarkov(self._rng, self._rng.gauss(0, 1)) for _ in range(3)]
        self._multipath = [GaussMarkov(self._rng, self._rng.gauss(0, 1)) for _ in range(3)]
        self._again_m, self._again_s = [0.0, 0.0, 0.0], 0.0
        self._last_s: float | None = None

    def found_again(self, t_s: float) -> None:
        """There is a fix after a gap: the filter begins anew."""
        self._again_m, self._again_s = [self._rng.gauss(0, _AGAIN_M) for _ in range(3)], t_s

    def step(
        self,
        t_s: float,
        hdop: float,
        vdop: float,
        speed_mps: float,
        street_deg: float,
        canyon: float,
        multipath_m: float,
    ) -> tuple[float, float, float]:
        """Errors to the east, to the north and upwards at `t_s`, in metres."""
        since_s = 0.0 if self._last_s is None else max(0.0, t_s - self._last_s)
        self._last_s = t_s
        wander = [axis.step(since_s, _WANDER_S) for axis in self._wander]
        tau_s = _MOVING_S if speed_mps >= _MOVING_MPS else _STANDING_S
        first, second, third = (axis.step(since_s, tau_s) for axis in self._multipath)
        left = math.exp(-(t_s - self._again_s) / _AGAIN_TAU_S)
        across_m, along_m = first * _ACROSS_M * canyon, second * _ALONG_M * canyon
        sin, cos = math.sin(math.radians(street_deg)), math.cos(math.radians(street_deg))
        multipath = (
            first * multipath_m + across_m * cos + along_m * sin,
            second * multipath_m - across_m * sin + along_m * cos,
            third * _MULTIPATH_UP * (multipath_m + _ACROSS_M * canyon),
        )
        scales = (_WANDER_M * hdop, _WANDER_M * hdop, _WANDER_M * vdop)
        east, north, up = (
            scale * value + echo + left * again + self._rng.gauss(0, _WHITE_M)
            for scale, value, echo, again in zip(scales, wander, multipath, self._again_m, strict=True)
        )
        return east, north, up

    def doppler(self, hdop: float) -> tuple[float, float]:
        """Errors of the velocity to the east and to the north, m/s: Doppler shifts are hardly biased."""
        scale = SPEED_NOISE_MPS * max(1.0, hdop)
        return self._rng.gauss(0, scale), self._rng.gauss(0, scale)
