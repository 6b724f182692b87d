"""The car behind the adapter: engine, gearbox, battery, fuel and odometer, all from the motion. Pure.

A 1.5 l petrol saloon with an automatic gearbox. Road load is m a + m g Crr + 0.5 rho Cd A v^2 (the usual longitudinal
model, e.g. Guzzella and Sciarretta, Vehicle Propulsion Systems, chapter 2); air flow follows from displacement, speed
and load of a four-stroke engine, fuel from air at 14.7 : 1. Voltages follow recorded cars: 12.4 V key on, 13.75 V +-
0.15 running, a dip below 10 V while the starter turns.
"""

import math
import random
from dataclasses import dataclass

from firmware_sim.j1979 import CarSnapshot
from firmware_sim.trip import Motion, Phase
from firmware_sim.vin import DEFAULT_VIN

_MASS_KG = 1330.0
_ROLLING = 0.011
_DRAG_AREA_M2 = 0.66  # Cd A
_AIR_KG_M3 = 1.2
_GRAVITY_MPS2 = 9.81
_TYRE_M = 1.95  # circumference
_FINAL_DRIVE = 4.06
_GEARS = (3.55, 1.95, 1.30, 0.95, 0.76, 0.62)
_SHIFT_UP_KMH = (16.0, 30.0, 44.0, 58.0, 76.0)
_SHIFT_DOWN_BY_KMH = 5.0  # hysteresis
_IDLE_RPM = 720.0
_MAX_TORQUE_NM = 145.0
_FRICTION_NM = 22.0
_DISPLACEMENT_L = 1.5
_AIR_G_PER_L = 1.18
_VOLUMETRIC = 0.92
_AIR_FUEL = 14.7
_PETROL_G_PER_L = 745.0
_TANK_L = 50.0
_WARM_C = 90.0
_WARMING_S = 260.0  # time constant at full heat
_COOLING_S = 5400.0


@dataclass(frozen=True, slots=True)
class CarStart:
    """What the car brings along from before the drive."""

    vin: str = DEFAULT_VIN
    odometer_km: float = 48210.0
    fuel_l: float = 31.0
    coolant_c: float = 18.0
    ambient_c: float = 18.0
    stored_dtcs: tuple[str, ...] = ()


class Vehicle:
    """The car's state; `step` takes the motion in order of time and gives what its sensors say then."""

    def __init__(self, seed: int, start: CarStart | None = None) -> None:
        self._start = start or CarStart()
        self._rng = random.Random(f"vehicle {seed}")  # noqa: S311 - repeatable on purpose
        self._last: Motion | None = None
        self._gear = 0
        self._run_s = 0.0
        self._phase_s = 0.0
        self._driven_m = 0.0
        self._fuel_l = self._start.fuel_l
        self._coolant_c = self._start.coolant_c
        self._ripple_v = 0.0
        self._rpm = 0.0

    def step(self, motion: Motion) -> CarSnapshot:
        last = self._last or motion
        dt_s = motion.t_s - last.t_s
        self._phase_s = self._phase_s + dt_s if motion.phase is last.phase else 0.0
        self._last = motion
        self._driven_m += (motion.speed_mps + last.speed_mps) / 2 * dt_s
        running = motion.phase is Phase.RUNNING
        self._run_s = self._run_s + dt_s if running else (0.0 if motion.phase is Phase.CRANKING else self._run_s)
        self._rpm = self._engine_rpm(motion, dt_s)
        load = self._load(motion) if running else 0.0
        maf_gps = self._rpm / 120 * _DISPLACEMENT_L * _AIR_G_PER_L * _VOLUMETRIC * load
        fuel_lph = maf_gps / _AIR_FUEL / _PETROL_G_PER_L * 3600 if running else 0.0
        self._fuel_l = max(0.0, self._fuel_l - fuel_lph / 3600 * dt_s)
        self._warm_up(running, load, dt_s)
        self._ripple_v += (-self._ripple_v / 5 + self._rng.gauss(0, 0.05)) * min(dt_s, 1.0)
        return self._snapshot(motion, load, maf_gps, fuel_lph)

    def _engine_rpm(self, motion: Motion, dt_s: float) -> float:
        if motion.phase is Phase.CRANKING:
            return 220.0 + 30 * math.sin(self._phase_s * 20)
        if motion.phase is not Phase.RUNNING:
            return max(0.0, self._rpm - 900 * dt_s)
        kmh = motion.speed_mps * 3.6
        while self._gear < len(_SHIFT_UP_KMH) and kmh > _SHIFT_UP_KMH[self._gear]:
            self._gear += 1
        while self._gear > 0 and kmh < _SHIFT_UP_KMH[self._gear - 1] - _SHIFT_DOWN_BY_KMH:
            self._gear -= 1
        geared = motion.speed_mps / _TYRE_M * 60 * _GEARS[self._gear] * _FINAL_DRIVE
        cold_idle = _IDLE_RPM + max(0.0, 60 - self._coolant_c) * 7
        slip = 350 * max(0.0, motion.accel_mps2) if self._gear == 0 else 120 * max(0.0, motion.accel_mps2)
        wanted = max(cold_idle, geared + slip) + self._rng.gauss(0, 4)
        return wanted + (self._rpm - wanted) * math.exp(-dt_s / 0.25)

    def _load(self, motion: Motion) -> float:
        """Share of the engine's full torque, 0..1; what the car pushes back when it rolls is fuel cut-off."""
        v = motion.speed_mps
        force = _MASS_KG * motion.accel_mps2 + 0.5 * _AIR_KG_M3 * _DRAG_AREA_M2 * v * v
        if v > 0:
            force += _MASS_KG * _GRAVITY_MPS2 * _ROLLING
        wheel_nm = force * _TYRE_M / (2 * math.pi)
        engine_nm = wheel_nm / (_GEARS[self._gear] * _FINAL_DRIVE * 0.92) + _FRICTION_NM
        return min(1.0, max(0.08, engine_nm / _MAX_TORQUE_NM))

    def _warm_up(self, running: bool, load: float, dt_s: float) -> None:
        towards, time_s = (_WARM_C, _WARMING_S / (0.6 + load)) if running else (self._start.ambient_c, _COOLING_S)
        self._coolant_c += (towards - self._coolant_c) * (1 - math.exp(-dt_s / time_s))

    def _voltage(self, motion: Motion) -> float:
        if motion.phase is Phase.CRANKING:
            return 10.6 - 1.2 * math.exp(-self._phase_s / 0.2)
        if motion.phase is Phase.RUNNING:
            return 13.75 + self._ripple_v - 0.9 * math.exp(-self._run_s / 2)
        resting = 12.4 if motion.phase is Phase.KEY_ON else 12.5
        after_run = 0.7 * math.exp(-self._phase_s / 20) if self._run_s > 0 else 0.0  # surface charge
        return resting + after_run

    def _snapshot(self, motion: Motion, load: float, maf_gps: float, fuel_lph: float) -> CarSnapshot:
        start = self._start
        volts = self._voltage(motion)
        running = motion.phase is Phase.RUNNING
        throttle = 13.0 + 65 * max(0.0, load - 0.15) ** 1.2 if running else 13.0
        pedal = 14.0 + max(0.0, throttle - 15) if running else 14.0
        driven_km = self._driven_m / 1000
        return CarSnapshot(
            ecu_awake=motion.phase is not Phase.OFF,
            battery_v=volts,
            vin=start.vin,
            calibration_id="PWSIM15AT6",
            ecu_name="ECM\0-EngineControl",
            mil_on=bool(start.stored_dtcs),
            stored_dtcs=start.stored_dtcs,
            fuel_type=1,
            engine_load_pct=load * 100,
            coolant_c=self._coolant_c,
            stft1_pct=20 * self._ripple_v if running else 0.0,
            ltft1_pct=1.6,
            map_kpa=22 + 76 * load if running else 100.0,
            rpm=self._rpm,
            speed_kmh=motion.speed_mps * 3.6,
            timing_adv_deg=(8 + 22 * (1 - load)) if running else 0.0,
            iat_c=start.ambient_c + 6,
            maf_gps=maf_gps,
            throttle_pct=throttle,
            engine_run_time_s=self._run_s,
            dist_mil_on_km=driven_km if start.stored_dtcs else 0.0,
            fuel_level_pct=100 * self._fuel_l / _TANK_L,
            warmups_since_clear=112,
            dist_since_clear_km=3120 + driven_km,
            baro_kpa=101.3 * math.exp(-motion.altitude_m / 8400),
            module_voltage_v=volts - 0.05,
            abs_load_pct=load * 100 * _VOLUMETRIC,
            equiv_ratio=1.0 if running else 1.99,
            rel_throttle_pct=throttle - 13,
            ambient_c=start.ambient_c,
            pedal_d_pct=pedal,
            pedal_e_pct=pedal / 2,
            cmd_throttle_pct=throttle - 1,
            time_mil_on_min=self._run_s / 60 if start.stored_dtcs else 0.0,
            time_since_dtc_clear_min=4815 + self._run_s / 60,
            oil_c=self._coolant_c - 4,
            fuel_rate_lph=fuel_lph,
            odometer_km=start.odometer_km + driven_km,
        )
