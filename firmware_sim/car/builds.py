"""The three vehicles that can be simulated, as numbers. Pure.

A 1.5 l petrol saloon with an automatic gearbox, an electric one, and a diesel truck with 24 V. Plausible, of no make:
masses, ratios and areas as in data sheets of their classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from firmware_sim.car.battery import BatteryKind

Kind = Literal["petrol", "ev", "truck24"]
PETROL, DIESEL, ELECTRIC = 1, 4, 8  # SAE J1979DA, PID 51


@dataclass(frozen=True, slots=True)
class Engine:
    """A four-stroke engine and its gearbox. Fuel energy is the lower heating value."""

    fuel_type: int
    displacement_l: float
    torque_nm: float
    friction_nm: float
    idle_rpm: float
    cold_idle_per_c: float
    volumetric: float  # filling; a turbo's is above 1
    air_fuel: float
    fuel_g_per_l: float
    tank_l: float
    final_drive: float
    gears: tuple[float, ...]
    shift_up_kmh: tuple[float, ...]
    slip_rpm: tuple[float, float]  # of the clutch or converter per m/s2, in first gear and above
    warming_s: float
    cylinders: int
    starts_rpm: float  # least speed at which it fires: 60 to 90 (petrol), 80 to 200 (diesel), Bosch Automotive Handbook


@dataclass(frozen=True, slots=True)
class Build:
    """All that does not change about a vehicle."""

    mass_kg: float
    rolling: float
    drag_area_m2: float  # Cd A
    tyre_m: float  # circumference
    engine: Engine | None
    batteries: int  # of 12 V in series
    battery: BatteryKind
    alternator_a: float  # or the DC-DC converter's
    starter_friction_nm: float  # at 20 °C, at the crank
    starter_v_per_rads: float  # of one 12 V step, at the crank: its own gears included
    starter_ohm: float
    on_a: float  # what the vehicle draws with the key on, and running
    running_a: float
    parasitic_ma: float
    calibration_id: str
    ecu_name: str
    pack_kwh: float = 0.0  # traction battery


_PETROL_ENGINE = Engine(
    fuel_type=PETROL,
    displacement_l=1.5,
    torque_nm=145.0,
    friction_nm=22.0,
    idle_rpm=720.0,
    cold_idle_per_c=7.0,
    volumetric=0.92,
    air_fuel=14.7,
    fuel_g_per_l=745.0,
    tank_l=50.0,
    final_drive=4.06,
    gears=(3.55, 1.95, 1.30, 0.95, 0.76, 0.62),
    shift_up_kmh=(16.0, 30.0, 44.0, 58.0, 76.0),
    slip_rpm=(350.0, 120.0),
    warming_s=260.0,
    cylinders=4,
    starts_rpm=80.0,
)
_DIESEL_ENGINE = Engine(
    fuel_type=DIESEL,
    displacement_l=6.7,
    torque_nm=950.0,
    friction_nm=110.0,
    idle_rpm=620.0,
    cold_idle_per_c=2.0,
    volumetric=1.65,
    air_fuel=21.0,  # at full load; less fuel with the same air below it
    fuel_g_per_l=835.0,
    tank_l=300.0,
    final_drive=4.11,
    gears=(6.70, 4.00, 2.30, 1.40, 1.00, 0.73),
    shift_up_kmh=(11.0, 20.0, 34.0, 52.0, 70.0),
    slip_rpm=(300.0, 80.0),
    warming_s=600.0,
    cylinders=6,
    starts_rpm=80.0,
)
BUILDS: Mapping[Kind, Build] = MappingProxyType(
    {
        "petrol": Build(
            mass_kg=1330.0,
            rolling=0.011,
            drag_area_m2=0.66,
            tyre_m=1.95,
            engine=_PETROL_ENGINE,
            batteries=1,
            battery=BatteryKind(60.0, 540.0),
            alternator_a=110.0,
            starter_friction_nm=60.0,
            starter_v_per_rads=0.30,
            starter_ohm=0.013,
            on_a=9.0,
            running_a=28.0,
            parasitic_ma=25.0,
            calibration_id="PWSIM15AT6",
            ecu_name="ECM\0-EngineControl",
        ),
        "ev": Build(
            mass_kg=1680.0,
            rolling=0.010,
            drag_area_m2=0.62,
            tyre_m=2.05,
            engine=None,
            batteries=1,
            battery=BatteryKind(45.0, 380.0),
            alternator_a=130.0,
            starter_friction_nm=0.0,
            starter_v_per_rads=1.0,
            starter_ohm=1.0,
            on_a=12.0,
            running_a=30.0,
            parasitic_ma=35.0,
            calibration_id="PWSIMEV60",
            ecu_name="VCU\0-VehicleControl",
            pack_kwh=60.0,
        ),
        "truck24": Build(
            mass_kg=9500.0,
            rolling=0.0075,
            drag_area_m2=5.6,
            tyre_m=3.05,
            engine=_DIESEL_ENGINE,
            batteries=2,
            battery=BatteryKind(150.0, 850.0),
            alternator_a=100.0,
            starter_friction_nm=260.0,
            starter_v_per_rads=0.57,
            starter_ohm=0.006,
            on_a=8.0,
            running_a=30.0,
            parasitic_ma=40.0,
            calibration_id="PWSIM67D24",
            ecu_name="ECM\0-EngineControl",
        ),
    }
)
