"""Engine and gearbox of a car with fuel: speed, load, air, fuel and heat from its motion. Pure.

Road load is m a + m g Crr + 0.5 rho Cd A v^2 (the usual longitudinal model, e.g. Guzzella and Sciarretta, Vehicle
Propulsion Systems, chapter 2). Air flow follows from displacement, speed and load of a four-stroke engine; a petrol
engine burns it at 14.7 : 1, a diesel burns as much fuel as the load asks for. What pushes the car on cuts the fuel off.
"""

import math
import random
from dataclasses import dataclass

from firmware_sim.car.builds import DIESEL, Build, Engine
from firmware_sim.roads.motion import Motion

GRAVITY_MPS2, AIR_KG_M3 = 9.81, 1.2
GEARING_EFFICIENCY = 0.92
_AIR_G_PER_L = 1.18
_SHIFT_DOWN_BY_KMH = 5.0  # hysteresis
_LEAST_LOAD = 0.08
_CUT_OFF_RPM = 1.5  # times the idling speed: below it fuel is given again
_RUNS_DOWN_RPM_PER_S = 900.0
WARM_C = 90.0
_OIL_LAGS_S = 180.0
_COOLING_S = 5400.0


@dataclass(frozen=True, slots=True)
class Turning:
    """What the engine does at one instant."""

    rpm: float = 0.0
    load: float = 0.0  # 0 ... 1 of full torque
    air_gps: float = 0.0
    fuel_gps: float = 0.0
    cut_off: bool = False


def road_force_n(build: Build, motion: Motion) -> float:
    """At the wheels; negative where the car has to be held back."""
    v = motion.speed_mps
    force = build.mass_kg * motion.accel_mps2 + 0.5 * AIR_KG_M3 * build.drag_area_m2 * v * v
    return force + (build.mass_kg * GRAVITY_MPS2 * build.rolling if v > 0 else 0.0)


class Drivetrain:
    """Gear, engine speed and temperatures; `step` in order of time."""

    def __init__(self, build: Build, engine: Engine, rng: random.Random, coolant_c: float) -> None:
        self._build, self._engine, self._rng = build, engine, rng
        self._gear = 0
        self.coolant_c = coolant_c
        self.oil_c = coolant_c
        self.rpm = 0.0

    def step(self, motion: Motion, dt_s: float, firing: bool, alternator_w: float, misfire: float) -> Turning:
        """`misfire`: share of all combustions that fail: the others work harder, and the engine shakes."""
        if not firing:
            self.rpm = max(0.0, self.rpm - _RUNS_DOWN_RPM_PER_S * dt_s)
            return Turning(self.rpm)
        self._shift(motion.speed_mps * 3.6)
        wanted = self._wanted_rpm(motion, misfire)
        self.rpm = wanted + (self.rpm - wanted) * math.exp(-dt_s / 0.25)
        return self._burning(motion, alternator_w, misfire)

    def warm(self, firing: bool, load: float, ambient_c: float, dt_s: float) -> None:
        """Coolant towards its thermostat, oil after it; both towards the air when the engine rests."""
        if firing:
            towards, time_s = WARM_C, self._engine.warming_s / (0.6 + load)
        else:
            towards, time_s = ambient_c, _COOLING_S
        self.coolant_c += (towards - self.coolant_c) * (1 - math.exp(-dt_s / time_s))
        lags_s = _OIL_LAGS_S if firing else _COOLING_S
        target = self.coolant_c if firing else ambient_c
        self.oil_c += (target - self.oil_c) * (1 - math.exp(-dt_s / lags_s))

    def _shift(self, kmh: float) -> None:
        up = self._engine.shift_up_kmh
        while self._gear < len(up) and kmh > up[self._gear]:
            self._gear += 1
        while self._gear > 0 and kmh < up[self._gear - 1] - _SHIFT_DOWN_BY_KMH:
            self._gear -= 1

    def _wanted_rpm(self, motion: Motion, misfire: float) -> float:
        engine = self._engine
        turns = motion.speed_mps / self._build.tyre_m * 60 if motion.wheels_turn else 0.0
        geared = turns * engine.gears[self._gear] * engine.final_drive
        idle = engine.idle_rpm + max(0.0, 60 - self.coolant_c) * engine.cold_idle_per_c
        slip = engine.slip_rpm[self._gear > 0] * max(0.0, motion.accel_mps2)
        return max(idle, geared + slip) + self._rng.gauss(0, 4 + 220 * misfire)

    def _burning(self, motion: Motion, alternator_w: float, misfire: float) -> Turning:
        engine = self._engine
        wheel_nm = road_force_n(self._build, motion) * self._build.tyre_m / math.tau
        ratio = engine.gears[self._gear] * engine.final_drive
        shaft_nm = wheel_nm / ratio * (1 / GEARING_EFFICIENCY if wheel_nm > 0 else GEARING_EFFICIENCY)
        alternator_nm = alternator_w / max(self.rpm * math.tau / 60, 1.0)
        needed_nm = (shaft_nm + engine.friction_nm + alternator_nm) / (1 - misfire)
        full_gps = self.rpm / 120 * engine.displacement_l * _AIR_G_PER_L * engine.volumetric
        if needed_nm <= 0 and self.rpm > engine.idle_rpm * _CUT_OFF_RPM:
            return Turning(self.rpm, _LEAST_LOAD, full_gps * _LEAST_LOAD, 0.0, cut_off=True)
        load = min(1.0, max(_LEAST_LOAD, needed_nm / engine.torque_nm))
        air_gps = full_gps * (0.55 + 0.45 * load if engine.fuel_type == DIESEL else load)
        return Turning(self.rpm, load, air_gps, full_gps * load / engine.air_fuel)
