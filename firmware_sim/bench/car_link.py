"""What befalls the car, by the names of a story: the one place of the bench that knows the car's faults."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from firmware_sim.car import vehicle as car

# As agreed with the car; `CarFaults` itself decides once it is there.
_AGREED = (
    *("dtcs", "misfire", "alternator_dead", "battery_disconnected", "battery_health", "ambient_c"),
    *("odometer_rollback_km", "vin"),
)
_FAULTS: Any = getattr(car, "CarFaults", None)


def fault_names() -> tuple[str, ...]:
    """Each `car.NAME` that a story may use."""
    return _AGREED if _FAULTS is None else tuple(each.name for each in fields(_FAULTS))


def befall(vehicle: car.Vehicle, named: Mapping[str, Any]) -> None:
    """From now on the car has these faults and no others. Raises ValueError or TypeError for a value that is none."""
    if _FAULTS is not None:
        setattr(vehicle, "faults", _FAULTS(**named))  # noqa: B010
    elif named:
        raise ValueError(f"this car knows no faults: {', '.join(named)}")
