"""The car behind the adapter: what its sensors say, all from the motion and what befalls it. Pure.

The parts are in files of their own: `drivetrain.py` (engine, gearbox, heat), `pack.py` (an electric car instead),
`electrics.py` and `battery.py` (12 or 24 V), `diagnosis.py` (codes and lamp), `builds.py` (the numbers). Motion is the
truth: where it says that the engine runs although the starter could not turn it, the car has been jump-started.
"""

import math
import random
from typing import Any

from firmware_sim.car.battery import Battery
from firmware_sim.car.builds import BUILDS, ELECTRIC, Engine
from firmware_sim.car.diagnosis import Diagnosis
from firmware_sim.car.drivetrain import Drivetrain, Turning
from firmware_sim.car.electrics import Electrics
from firmware_sim.car.pack import Pack
from firmware_sim.car.state import NO_FAULTS, CarFaults, CarStart
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.roads.motion import Motion, Phase

__all__ = ["NO_FAULTS", "CarFaults", "CarStart", "Vehicle"]

_ECU_NEEDS_V = 6.0
_CONVERTER_RPM = 3000.0  # a DC-DC converter gives as much as an alternator at this engine speed
_MISFIRE_SEEN_TURNS = 200.0  # the blocks in which misfire is counted: 1968.2 (e)(3)
_MISFIRE_CONFIRMED_TURNS = 1000.0
_MISFIRE_HURTS = 0.1  # share of all combustions from which the catalyst overheats: the lamp does not wait for a trip
_STOP_AFTER_S, _STOPS_FROM_C, _RESTART_S = 1.5, 60.0, 0.4
_WARMED_UP_C, _WARMED_BY_C = 71.0, 22.0  # a warm-up cycle, SAE J1979: to 71 °C and by 22 °C


class Vehicle:
    """The car's state; `step` takes the motion in order of time and gives what its sensors say then.

    `faults` may be set at any time. Steps of a standing car with the key off may be days long.
    """

    def __init__(self, seed: int, start: CarStart | None = None) -> None:
        self.faults = NO_FAULTS
        self._start = start = start or CarStart()
        self._build = build = BUILDS[start.kind]
        self._rng = random.Random(f"vehicle {seed}")  # noqa: S311 - repeatable on purpose
        coolant_c = start.ambient_c if start.coolant_c is None else start.coolant_c
        self._drivetrain = Drivetrain(build, build.engine, self._rng, coolant_c) if build.engine else None
        self._pack = Pack(build, start.pack_charge)
        battery = Battery(build.battery, start.battery_charge, start.battery_health, start.ambient_c)
        self._electrics = Electrics(build, battery)
        self._diagnosis = Diagnosis(tuple(start.stored_dtcs))
        self._turning = Turning()
        self._last: Motion | None = None
        self._latest: CarSnapshot | None = None
        self._freeze: tuple[CarSnapshot, str] | None = None
        self._run_s = self._stood_s = self._restarting_s = self._ripple_v = self._misfired_turns = 0.0
        self._driven_m = self._lamp_m = self._lamp_s = 0.0
        self._cleared_m, self._cleared_s, self._warm_ups = -3_120_000.0, -4815 * 60.0, 112
        self._coldest_c = coolant_c
        self._fuel_l = start.fuel_l
        self._is_stopped = self._was_disconnected = False

    @property
    def can_start(self) -> bool:
        """Whether its own battery would start it now."""
        return not self.faults.battery_disconnected and self._electrics.starts(self._oil_c)

    @property
    def battery(self) -> Battery:
        return self._electrics.battery

    def clear_codes(self) -> None:
        """Service 04: a tester has cleared the fault memory."""
        self._diagnosis.clear()
        self._freeze = None
        self._lamp_m = self._lamp_s = 0.0
        self._cleared_m, self._cleared_s, self._warm_ups = self._driven_m, self._run_s, 0

    def step(self, motion: Motion) -> CarSnapshot:
        last = self._last or motion
        dt_s = motion.t_s - last.t_s
        self._last = motion
        if self.faults.battery_health is not None:
            self.battery.health = min(self.battery.health, self.faults.battery_health)
        firing = self._fires(motion, dt_s)
        self._turn(motion, dt_s, firing)
        self._supply(motion, dt_s, firing)
        awake = motion.phase is not Phase.OFF and self._electrics.volts > _ECU_NEEDS_V and self._has_supply
        if awake and motion.wheels_turn:
            moved_m = (motion.speed_mps + last.speed_mps) / 2 * dt_s
            self._driven_m += moved_m
            self._lamp_m += moved_m if self._diagnosis.lamp else 0.0
        self._diagnose(motion, last, dt_s, awake, firing)
        self._latest = self._snapshot(motion, awake, firing)
        return self._latest

    @property
    def _oil_c(self) -> float:
        return self._drivetrain.oil_c if self._drivetrain else self._ambient_c

    @property
    def _ambient_c(self) -> float:
        return self._start.ambient_c if self.faults.ambient_c is None else self.faults.ambient_c

    @property
    def _has_supply(self) -> bool:
        """Without a battery a running alternator still feeds the car."""
        return not self.faults.battery_disconnected or self._electrics.alternator_w > 0

    @property
    def _misfire(self) -> float:
        """Share of all combustions that fail."""
        engine = self._build.engine
        return self.faults.misfire / engine.cylinders if engine else 0.0

    def _fires(self, motion: Motion, dt_s: float) -> bool:
        """Whether the engine runs, or an electric car is ready."""
        if motion.phase is not Phase.RUNNING or self.faults.stalled:
            self._is_stopped, self._stood_s = False, 0.0
            self._run_s = 0.0 if motion.phase is Phase.CRANKING else self._run_s
            return False
        self._stood_s = self._stood_s + dt_s if motion.speed_mps == 0 else 0.0
        warm = self._drivetrain is not None and self._drivetrain.coolant_c >= _STOPS_FROM_C
        should_stop = self._start.start_stop and warm and self._stood_s > _STOP_AFTER_S
        if self._is_stopped and not should_stop:
            self._restarting_s = _RESTART_S
        self._is_stopped = should_stop
        self._run_s += dt_s
        self._lamp_s += dt_s if self._diagnosis.lamp else 0.0
        return not should_stop

    def _turn(self, motion: Motion, dt_s: float, firing: bool) -> None:
        """Engine, fuel and heat; or the traction battery."""
        alternator_w = self._electrics.alternator_w
        if self._drivetrain is None:
            self._pack.step(motion, dt_s, firing, alternator_w, self._ambient_c, self.faults.charging_kw * 1000)
            return
        engine = self._engine
        self._turning = self._drivetrain.step(motion, dt_s, firing, alternator_w, self._misfire)
        self._fuel_l = max(0.0, self._fuel_l - self._turning.fuel_gps * dt_s / engine.fuel_g_per_l)
        self._drivetrain.warm(firing, self._turning.load, self._ambient_c, dt_s)
        if motion.phase is Phase.CRANKING:
            self._drivetrain.rpm = self._electrics.starter_rpm
        turns = self._turning.rpm / 60 * dt_s
        self._misfired_turns = self._misfired_turns + turns if self._misfire and firing else 0.0

    @property
    def _engine(self) -> Engine:
        assert self._build.engine is not None
        return self._build.engine

    def _supply(self, motion: Motion, dt_s: float, firing: bool) -> None:
        """The 12 or 24 V side; a disconnected battery only ages."""
        faults = self.faults
        self._restarting_s = max(0.0, self._restarting_s - dt_s)
        if self._drivetrain is None:
            generator_rpm = _CONVERTER_RPM if firing or faults.charging_kw else 0.0
        else:
            generator_rpm = self._turning.rpm if firing else 0.0
        generator_rpm = 0.0 if faults.alternator_dead else generator_rpm
        self._ripple_v += (-self._ripple_v / 5 + self._rng.gauss(0, 0.05)) * min(dt_s, 1.0)
        if faults.battery_disconnected and not generator_rpm:
            self.battery.step(0.0, dt_s)
            self._electrics.alternator_w = 0.0
            return
        phase = Phase.CRANKING if self._restarting_s and self._start.start_stop else motion.phase
        extra_a = (self._start.unit_ma + faults.drain_ma) / 1000
        self._electrics.step(phase, dt_s, generator_rpm, self._ambient_c, self._oil_c, extra_a)

    def _diagnose(self, motion: Motion, last: Motion, dt_s: float, awake: bool, firing: bool) -> None:
        if self.faults.battery_disconnected and not self._has_supply and not self._was_disconnected:
            self.clear_codes()
        self._was_disconnected = self.faults.battery_disconnected
        warmth_c = self._drivetrain.coolant_c if self._drivetrain else self._ambient_c
        if motion.phase is Phase.OFF:
            if last.phase is not Phase.OFF:
                warmed_up = warmth_c >= _WARMED_UP_C and warmth_c - self._coldest_c >= _WARMED_BY_C
                self._warm_ups += warmed_up
                self._diagnosis.end_trip(warmed_up=warmed_up)
            self._coldest_c = warmth_c
            return
        if not awake or motion.phase is Phase.CRANKING:
            return
        new = self._diagnosis.watch(self._failing(firing), dt_s, is_on=motion.phase is Phase.RUNNING)
        if new and self._freeze is None and self._latest is not None:
            self._freeze = self._latest, new[0]

    def _failing(self, firing: bool) -> dict[str, bool]:
        """The monitors that fail now; True where the lamp does not wait for the next trip."""
        faults = self.faults
        failing = dict.fromkeys(faults.two_trip_dtcs, False) | dict.fromkeys(faults.dtcs, True)
        if self._misfired_turns >= _MISFIRE_SEEN_TURNS:
            hurts = self._misfire >= _MISFIRE_HURTS and self._misfired_turns >= _MISFIRE_CONFIRMED_TURNS
            failing.setdefault(f"P03{faults.misfire_cylinder:02d}", hurts)
        if faults.alternator_dead and firing:
            failing.setdefault("P0622" if self._drivetrain else "P0A94", False)  # generator field; DC-DC converter
        return failing

    def _snapshot(self, motion: Motion, awake: bool, firing: bool) -> CarSnapshot:
        faults, build = self.faults, self._build
        ripple_v = self._ripple_v * build.batteries if self._electrics.alternator_w else 0.0
        volts = self._electrics.supply_v + ripple_v if self._has_supply else 0.0
        moves = motion.speed_mps if motion.wheels_turn else 0.0
        freeze, freeze_dtc = self._freeze or (None, None)
        told: dict[str, Any] = self._engine_part(motion, firing) if self._drivetrain else self._electric_part()
        return CarSnapshot(
            ecu_awake=awake,
            battery_v=volts,
            vin=faults.vin or self._start.vin,
            calibration_id=build.calibration_id,
            ecu_name=build.ecu_name,
            mil_on=self._diagnosis.lamp,
            stored_dtcs=self._diagnosis.stored,
            pending_dtcs=self._diagnosis.pending,
            permanent_dtcs=self._diagnosis.permanent,
            freeze=freeze,
            freeze_dtc=freeze_dtc,
            speed_kmh=moves * 3.6,
            dist_mil_on_km=self._lamp_m / 1000,
            time_mil_on_min=self._lamp_s / 60,
            warmups_since_clear=self._warm_ups,
            dist_since_clear_km=(self._driven_m - self._cleared_m) / 1000,
            time_since_dtc_clear_min=max(0.0, self._run_s - self._cleared_s) / 60,
            baro_kpa=101.3 * math.exp(-motion.altitude_m / 8400),
            module_voltage_v=max(0.0, volts - 0.05),
            ambient_c=self._ambient_c,
            odometer_km=self._odometer_km(),
            **told,
        )

    def _odometer_km(self) -> float:
        """The cluster's own count; another car has another one, always the same for the same VIN."""
        first_km = self._start.odometer_km
        if self.faults.vin and self.faults.vin != self._start.vin:
            other = random.Random(f"odometer {self.faults.vin}")  # noqa: S311 - repeatable on purpose
            first_km = float(other.randrange(8_000, 160_000))
        return max(0.0, first_km + self._driven_m / 1000 - self.faults.odometer_rollback_km)

    def _engine_part(self, motion: Motion, firing: bool) -> dict[str, Any]:
        engine, turning = self._engine, self._turning
        assert self._drivetrain is not None
        load = turning.load
        rpm = self._electrics.starter_rpm if motion.phase is Phase.CRANKING else turning.rpm
        throttle = 13.0 + 65 * max(0.0, load - 0.15) ** 1.2 if firing else 13.0
        pedal = 14.0 + max(0.0, throttle - 15) if firing else 14.0
        baro_kpa = 101.3 * math.exp(-motion.altitude_m / 8400)
        manifold_kpa = 22 + 76 * load if engine.volumetric < 1 else 100 + 120 * load
        return {
            "fuel_type": engine.fuel_type,
            "engine_load_pct": load * 100,
            "coolant_c": self._drivetrain.coolant_c,
            "stft1_pct": 20 * self._ripple_v + 60 * self._misfire if firing else 0.0,  # unburnt oxygen reads as lean
            "ltft1_pct": 1.6,
            "map_kpa": manifold_kpa if firing else baro_kpa,
            "rpm": rpm,
            "timing_adv_deg": (8 + 22 * (1 - load)) if firing else 0.0,
            "iat_c": self._ambient_c + 6,
            "maf_gps": turning.air_gps if firing else 0.0,
            "throttle_pct": throttle,
            "engine_run_time_s": self._run_s,
            "fuel_level_pct": min(100.0, 100 * self._fuel_l / engine.tank_l),
            "abs_load_pct": load * 100 * engine.volumetric,
            "equiv_ratio": 1.0 if firing and not turning.cut_off else 1.99,
            "rel_throttle_pct": throttle - 13,
            "pedal_d_pct": pedal,
            "pedal_e_pct": pedal / 2,
            "cmd_throttle_pct": throttle - 1,
            "oil_c": self._drivetrain.oil_c,
            "fuel_rate_lph": turning.fuel_gps / engine.fuel_g_per_l * 3600,
        }

    def _electric_part(self) -> dict[str, Any]:
        """No engine speed and no air; PID 5B tells the traction battery's charge (SAE J1979DA)."""
        return {"fuel_type": ELECTRIC, "raw_pids": ((0x5B, bytes((round(self._pack.charge * 255),))),)}
