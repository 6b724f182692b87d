"""The 12 V (or 24 V) side: battery, alternator or DC-DC converter, starter, and all that draws. Pure.

All sums are done for one battery; a 24 V vehicle has two in series, so its currents are the same and its voltages
double. The starter is a direct-current machine: V = 1.5 V (brushes) + I R + k w, torque = k I; the engine's friction
rises with the oil's viscosity by half from 20 to -20 °C (an assumption: a good battery then turns a petrol engine
with 220 rpm in spring and 100 rpm in a hard frost). The regulator holds 13.95 V at 20 °C and
10 mV less for each degree above, as lead-acid batteries ask for; recorded cars run at 13.07 to 14.28 V.
"""

import math

from firmware_sim.car.battery import Battery
from firmware_sim.car.builds import Build
from firmware_sim.roads.motion import Phase

_BRUSHES_V = 1.5
_VISCOSITY_PER_C = math.log(1.5) / 40
_WARM_FRICTION = 0.75  # of that at 20 °C: oil does not get thinner without end
_SPIN_UP_S = 0.12
_FIRST_LOOK_S = 0.02  # the first look at a starter comes while it still hardly turns
_COMPRESSION = 0.12  # the current swings by as much at each compression
_SET_V, _SET_C, _SET_V_PER_C = 13.95, 20.0, -0.010
_SET_RANGE_V = (13.4, 14.7)
_OUTPUT_FROM_RPM, _OUTPUT_RISE_RPM = 300.0, 600.0  # of the engine; the alternator turns three times as fast
_BONNET_C, _BONNET_S = 22.0, 4000.0  # a running engine warms the battery by so much
_ALTERNATOR_EFFICIENCY = 0.6
_LONGEST_STEP_S = 3600.0


class Electrics:
    """Voltage and currents; `step` in order of time."""

    def __init__(self, build: Build, battery: Battery) -> None:
        self.battery = battery
        self._build = build
        self._spin = 0.0  # of the starter, rad/s at the crank
        self._ripple_phase = 0.0
        self.volts = battery.open_v  # at the battery, one of 12 V
        self.alternator_w = 0.0  # taken from the engine, or from the traction battery

    @property
    def supply_v(self) -> float:
        """At the connector."""
        return self.volts * self._build.batteries

    @property
    def starter_rpm(self) -> float:
        return self._spin * 60 / math.tau

    def starts(self, oil_c: float) -> bool:
        """Whether the starter would turn the engine fast enough for it to fire."""
        engine = self._build.engine
        return engine is None or self._steady(oil_c) * 60 / math.tau >= engine.starts_rpm

    def step(self, phase: Phase, dt_s: float, rpm: float, ambient_c: float, oil_c: float, extra_a: float) -> None:
        """`rpm`: engine speed, which drives the alternator (any above idling for a converter; 0: it rests)."""
        generating = rpm > _OUTPUT_FROM_RPM
        self._warm(generating, ambient_c, dt_s)
        load_a = self._load_a(phase) + extra_a
        self.alternator_w = 0.0
        if phase is Phase.CRANKING and self._build.engine:
            self._crank(dt_s, oil_c, load_a)
            return
        self._spin = 0.0
        if generating:
            current_a = self._charge(rpm, load_a)
            self.battery.step(current_a, dt_s)
            return
        left_s = dt_s
        while left_s > 0:  # hours of parking at once: charge and voltage change slowly, but they do
            part_s = min(left_s, _LONGEST_STEP_S)
            self.battery.step(load_a, part_s)
            left_s -= part_s
        self.volts = self.battery.volts(load_a)

    def _load_a(self, phase: Phase) -> float:
        if phase is Phase.OFF:
            return self._build.parasitic_ma / 1000
        return self._build.running_a if phase is Phase.RUNNING else self._build.on_a

    def _charge(self, rpm: float, load_a: float) -> float:
        """The current that leaves the battery (negative: charges it), with its voltage set accordingly."""
        most_a = self._build.alternator_a * (1 - math.exp(-(rpm - _OUTPUT_FROM_RPM) / _OUTPUT_RISE_RPM))
        battery = self.battery
        wanted_v = min(max(_SET_V + _SET_V_PER_C * (battery.temperature_c - _SET_C), _SET_RANGE_V[0]), _SET_RANGE_V[1])
        takes_a = battery.accepts_a(wanted_v)
        if most_a >= load_a + takes_a:
            self.volts, current_a = wanted_v, -takes_a
        elif most_a > load_a:
            current_a = load_a - most_a
            self.volts = battery.charging_v(-current_a)
        else:
            current_a = load_a - most_a
            self.volts = battery.volts(current_a)
        self.alternator_w = self._build.batteries * self.volts * (load_a - current_a) / _ALTERNATOR_EFFICIENCY
        return current_a

    def _crank(self, dt_s: float, oil_c: float, load_a: float) -> None:
        """The first instant is a stalled motor's: the deepest dip; then it spins up."""
        build, battery = self._build, self.battery
        spun_s = dt_s if self._spin else min(dt_s, _FIRST_LOOK_S)
        self._spin += (self._steady(oil_c) - self._spin) * (1 - math.exp(-spun_s / _SPIN_UP_S))
        self._ripple_phase += dt_s * self._spin * 2  # two compressions a turn
        open_v = battery.open_v - load_a * battery.resistance_ohm
        motor_v = open_v - _BRUSHES_V - build.starter_v_per_rads * self._spin
        current_a = max(0.0, motor_v / (battery.resistance_ohm + build.starter_ohm))
        current_a *= 1 + _COMPRESSION * math.sin(self._ripple_phase)
        self.volts = max(0.0, battery.volts(current_a + load_a))
        battery.step(current_a + load_a, dt_s)

    def _steady(self, oil_c: float) -> float:
        """rad/s at which starter and friction balance; 0: it cannot turn the engine."""
        build, battery = self._build, self.battery
        thick = max(_WARM_FRICTION, math.exp(-_VISCOSITY_PER_C * (oil_c - 20)))
        needed_a = build.starter_friction_nm * thick / (build.batteries * build.starter_v_per_rads)
        left_v = battery.open_v - _BRUSHES_V - needed_a * (battery.resistance_ohm + build.starter_ohm)
        return max(0.0, left_v / build.starter_v_per_rads)

    def _warm(self, running: bool, ambient_c: float, dt_s: float) -> None:
        towards = ambient_c + (_BONNET_C if running else 0.0)
        battery = self.battery
        battery.temperature_c = towards + (battery.temperature_c - towards) * math.exp(-dt_s / _BONNET_S)
