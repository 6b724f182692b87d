"""What a car brings along, and what may befall it while it is simulated. Pure values."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.car.builds import BUILDS, Kind
from firmware_sim.car.vin import DEFAULT_VIN

_CODE = re.compile(r"[PCBU][0-3][0-9A-F]{3}")


@dataclass(frozen=True, slots=True)
class CarStart:
    """What the car brings along from before the drive. `charge` values are 0 ... 1.

    `unit_ma` is what a tracking unit and its adapter draw from a parked car on an average; `start_stop` stops the warm
    engine at lights. `stored_dtcs` were confirmed before, with the lamp.
    """

    vin: str = DEFAULT_VIN
    odometer_km: float = 48210.0
    fuel_l: float = 31.0
    coolant_c: float | None = None  # None: as cold as the air
    ambient_c: float = 18.0
    stored_dtcs: Sequence[str] = ()
    kind: Kind = "petrol"
    battery_charge: float = 0.9
    battery_health: float = 0.75
    unit_ma: float = 40.0
    pack_charge: float = 0.64  # electric cars
    start_stop: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError: a kind or a charge that there is not."""
        if self.kind not in BUILDS:
            raise ValueError(f"a car is one of {', '.join(BUILDS)}, not {self.kind!r}")
        _check_shares(self, "battery_charge", "battery_health", "pack_charge")


@dataclass(frozen=True, slots=True)
class CarFaults:
    """What is wrong or done to the car from now on; the defaults are nothing.

    Codes are five characters (SAE J2012). `charging_kw` is no fault: an electric car hangs at a charger.
    """

    dtcs: Sequence[str] = ()  # defects that light the lamp at once
    two_trip_dtcs: Sequence[str] = ()  # defects that are pending in this trip and confirmed in the next one
    misfire: float = 0.0  # share of the combustions of one cylinder that fail; 1 (or true): it is dead
    misfire_cylinder: int = 1
    stalled: bool = False  # the engine has died; the car may still roll
    alternator_dead: bool = False  # or the DC-DC converter
    battery_disconnected: bool = False
    battery_health: float | None = None  # share of the rated cold cranking current that is left
    drain_ma: float = 0.0  # further current, also with the key off: a lamp left on
    ambient_c: float | None = None
    odometer_rollback_km: float = 0.0  # by so much the instrument cluster has been set back
    vin: str = ""  # the unit sits in this other car now
    charging_kw: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError: something that is no code, no share or no cylinder."""
        for code in (*self.dtcs, *self.two_trip_dtcs):
            if not _CODE.fullmatch(code):
                raise ValueError(f"not a trouble code: {code!r}")
        _check_shares(self, "misfire", "battery_health")
        if self.misfire_cylinder not in range(1, 13):
            raise ValueError(f"there is no cylinder {self.misfire_cylinder}")


def _check_shares(values: CarStart | CarFaults, *names: str) -> None:
    for name in names:
        share = getattr(values, name)
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"{name} is a share from 0 to 1, not {share}")


NO_FAULTS = CarFaults()
