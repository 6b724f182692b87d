"""A vehicle's state as the pages show it: facts in words and numbers, made once for all pages."""

from datetime import tzinfo

from server.store.vehicle_rows import VehicleRow
from server.watch.vehicle_state import VehicleState
from server.web.display import NOTHING, Shown, number, position, shown_time, speed
from server.web.texts import LazyText, gettext, lazy_gettext
from server.web.vehicle_status import STATUS_TEXTS, STATUS_TONES, Status, status_of
from wire.records import PositionSource

# NMEA 0183 GGA, quality indicator.
FIX_QUALITIES: dict[int, LazyText] = {
    0: lazy_gettext("No fix"),
    1: lazy_gettext("Satellite fix"),
    2: lazy_gettext("Differential fix"),
    3: lazy_gettext("Precise (PPS) fix"),
    4: lazy_gettext("RTK, fixed"),
    5: lazy_gettext("RTK, float"),
    6: lazy_gettext("Dead reckoning"),
    7: lazy_gettext("Entered by hand"),
    8: lazy_gettext("Simulated"),
}

# Positions that are not a receiver's: hundreds of metres off.
ROUGH_SOURCES: dict[int, LazyText] = {
    PositionSource.CELL: lazy_gettext("Mobile network cell"),
    PositionSource.WIFI: lazy_gettext("Wi-Fi stations"),
}

# The vehicle page's panel: heading → (fact, label), in the order people read them.
PANEL: tuple[tuple[LazyText, tuple[tuple[str, LazyText], ...]], ...] = (
    (
        lazy_gettext("Position"),
        (
            ("speed", lazy_gettext("Speed")),
            ("fix_time", lazy_gettext("Last fix")),
            ("position", lazy_gettext("Coordinates")),
            ("fix_quality", lazy_gettext("Fix quality")),
            ("satellites", lazy_gettext("Satellites")),
            ("hdop", lazy_gettext("HDOP")),
        ),
    ),
    (
        lazy_gettext("Condition"),
        (
            ("obd_time", lazy_gettext("Read from the car")),
            ("voltage", lazy_gettext("Voltage")),
            ("rpm", lazy_gettext("Engine speed")),
            ("coolant", lazy_gettext("Coolant")),
            ("fuel", lazy_gettext("Fuel")),
            ("odometer", lazy_gettext("Odometer")),
            ("mil", lazy_gettext("Fault lamp (MIL)")),
            ("dtc_count", lazy_gettext("Trouble codes")),
        ),
    ),
    (
        lazy_gettext("Unit"),
        (
            ("unit", lazy_gettext("Unit")),
            ("heard", lazy_gettext("Last heard")),
            ("samples", lazy_gettext("Samples stored")),
            ("future_samples", lazy_gettext("Of these, clock ahead")),
        ),
    ),
)


def facts(row: VehicleRow, zone: tzinfo, now_ms: int) -> dict[str, Shown]:
    """Everything that the panel names, for this vehicle at `now_ms`."""
    state = row.state or VehicleState()
    return {
        **list_facts(row, zone, now_ms),
        "fix_time": shown_time(state.fix_time_ms, zone),
        "position": position(state.lat_deg, state.lon_deg),
        "fix_quality": _fix_quality(state),
        "satellites": number(state.satellites_used, 0),
        "hdop": number(state.hdop, 1),
        "obd_time": shown_time(state.obd_time_ms, zone),
        "voltage": number(state.module_voltage_v, 2, "V"),
        "rpm": number(state.engine_rpm, 0, gettext("rpm")),
        "coolant": number(state.coolant_temp_c, 0, "°C"),
        "fuel": number(state.fuel_level_pct, 0, "%"),
        "odometer": number(state.odometer_km, 1, "km"),
        "mil": _lamp(state.mil_on),
        "dtc_count": number(state.dtc_count, 0, tone="warn" if state.dtc_count else ""),
        "unit": Shown(row.unit or NOTHING),
        "samples": number(state.samples, 0),
        "future_samples": number(state.future_samples, 0, tone="warn" if state.future_samples else ""),
    }


def list_facts(row: VehicleRow, zone: tzinfo, now_ms: int) -> dict[str, Shown]:
    """What a line of the list and a marker's label show."""
    status = status_of(row, now_ms)
    is_old = status in (Status.QUIET_MOVING, Status.QUIET_STANDING)
    return {
        "status": Shown(str(STATUS_TEXTS[status]), tone=STATUS_TONES[status]),
        "speed": speed(row.state.speed_mps if row.state else None, "dim" if is_old else ""),
        "heard": shown_time(row.arrived_ms, zone),
    }


def name_of(row: VehicleRow) -> str:
    """What people call the vehicle: its plate, else its label, else its VIN."""
    return row.plate or row.label or row.vin


def _fix_quality(state: VehicleState) -> Shown:
    quality = state.fix_quality
    rough = ROUGH_SOURCES.get(state.position_source or 0)
    if rough is not None:
        around = "" if state.position_accuracy_m is None else f"± {state.position_accuracy_m:,.0f} m"
        return Shown(str(rough), around, tone="warn")
    if quality is None:
        return Shown(NOTHING)
    known = FIX_QUALITIES.get(quality)
    return Shown(str(quality) if known is None else str(known), tone="warn" if quality in (0, 6, 7, 8) else "")


def _lamp(mil_on: int | None) -> Shown:
    if mil_on is None:
        return Shown(NOTHING)
    return Shown(gettext("Lit"), tone="bad") if mil_on else Shown(gettext("Dark"), tone="good")
