"""The traction battery of an electric car: energy out, energy back, state of charge. Pure.

Motor and inverter 88 %, braking gives 65 % back up to a power limit, auxiliaries 300 W, and a heater where it is cold
(2 kW at -10 °C, as fleet data of cold weather show); a cold pack gives back less.
"""

from firmware_sim.car.builds import Build
from firmware_sim.car.drivetrain import road_force_n
from firmware_sim.roads.motion import Motion

_DRIVE_EFFICIENCY, _REGENERATION = 0.88, 0.65
_REGENERATION_W = 60_000.0
_AUXILIARY_W = 300.0
_HEATS_BELOW_C, _HEATER_W_PER_C, _HEATER_W = 18.0, 70.0, 4000.0
_CHARGER_EFFICIENCY = 0.92


class Pack:
    """`charge` 0 ... 1."""

    def __init__(self, build: Build, charge: float) -> None:
        self._build = build
        self.charge = charge

    def step(
        self, motion: Motion, dt_s: float, ready: bool, converter_w: float, ambient_c: float, grid_w: float
    ) -> None:
        """`converter_w`: what the DC-DC converter takes; `grid_w`: what comes from a charger."""
        out_w = converter_w - grid_w * _CHARGER_EFFICIENCY
        if ready:
            wheel_w = road_force_n(self._build, motion) * motion.speed_mps
            heater_w = min(_HEATER_W, max(0.0, _HEATS_BELOW_C - ambient_c) * _HEATER_W_PER_C)
            if wheel_w >= 0:
                out_w += wheel_w / _DRIVE_EFFICIENCY
            else:
                out_w -= min(-wheel_w * _REGENERATION, _REGENERATION_W)
            out_w += _AUXILIARY_W + heater_w
        self.charge = min(1.0, max(0.0, self.charge - out_w * dt_s / 3.6e6 / self._build.pack_kwh))
