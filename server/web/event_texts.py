"""What units tell, in words: kind → text, and the names of the details that come with it."""

import json

from server.web import command_texts
from server.web.texts import LazyText, lazy_gettext

EVENT_TEXTS: dict[str, LazyText] = {
    "unit_started": lazy_gettext("Unit started"),
    "outbox_replaced": lazy_gettext("Outbox replaced after damage"),
    "vehicle_identified": lazy_gettext("Vehicle told its VIN"),
    "trouble_codes": lazy_gettext("Trouble codes read"),
    "pending_codes": lazy_gettext("Trouble codes not confirmed yet"),
    "permanent_codes": lazy_gettext("Permanent trouble codes"),
    "power_state": lazy_gettext("Power budget"),
    "command_answer": lazy_gettext("Answer to a command"),
    "car_abilities": lazy_gettext("What the car can tell"),
    "unit_halting": lazy_gettext("Unit halts to spare the battery"),
    "unit_woke": lazy_gettext("Unit was woken"),
    "status": lazy_gettext("Status of the unit"),
    "ignition_on": lazy_gettext("Ignition on"),
    "ignition_off": lazy_gettext("Ignition off"),
    "power_cut": lazy_gettext("Power cut"),
    "power_restored": lazy_gettext("Power is back"),
    "obd_unplugged": lazy_gettext("OBD adapter unplugged"),
    "obd_plugged_in": lazy_gettext("OBD adapter plugged in again"),
    "low_battery": lazy_gettext("Battery low"),
    "battery_recovered": lazy_gettext("Battery recovered"),
    "mil_on": lazy_gettext("Engine fault lamp lit"),
    "mil_off": lazy_gettext("Engine fault lamp dark again"),
    "tow": lazy_gettext("Moves with the engine off: towed?"),
    "wrong_vin": lazy_gettext("In another car: wrong VIN"),
    "gnss_lost": lazy_gettext("Position lost while driving"),
    "gnss_regained": lazy_gettext("Position regained"),
    "position_disagrees": lazy_gettext("Position disagrees with the wheels: spoofed?"),
    "collision": lazy_gettext("Loss of speed like a collision"),
}

# Details are named by the unit; a name that is not here is shown as it came.
DETAIL_TEXTS: dict[str, LazyText] = {
    "version": lazy_gettext("version"),
    "outbox": lazy_gettext("outbox"),
    "reason": lazy_gettext("reason"),
    "vin": lazy_gettext("VIN"),
    "codes": lazy_gettext("codes"),
    "id": lazy_gettext("number"),
    "kind": lazy_gettext("command"),
    "outcome": lazy_gettext("outcome"),
    "repeated": lazy_gettext("asked again"),
    "volts": lazy_gettext("battery voltage (V)"),
    "engine": lazy_gettext("engine"),
    "adapter": lazy_gettext("adapter"),
    "gone_s": lazy_gettext("gone for (s)"),
    "lasted_s": lazy_gettext("for (s)"),
    "bound_vin": lazy_gettext("bound to VIN"),
    "dtc_count": lazy_gettext("trouble codes"),
    "moved_m": lazy_gettext("moved (m)"),
    "engine_off_s": lazy_gettext("engine off for (s)"),
    "speed_kmh": lazy_gettext("speed (km/h)"),
    "lost_s": lazy_gettext("without position for (s)"),
    "satellites_before": lazy_gettext("satellites used before"),
    "satellites_in_view": lazy_gettext("satellites in view"),
    "driven_m": lazy_gettext("driven by the wheels (m)"),
    "excess_m": lazy_gettext("beyond what the wheels explain (m)"),
    "path_to_wheels": lazy_gettext("path by wheels' distance"),
    "over_s": lazy_gettext("over the last (s)"),
    "receiver_speed": lazy_gettext("speed of the receiver"),
    "speed_before_kmh": lazy_gettext("speed before (km/h)"),
    "speed_after_kmh": lazy_gettext("speed after (km/h)"),
    "within_s": lazy_gettext("within (s)"),
    "ago_s": lazy_gettext("ago (s)"),
    "state": lazy_gettext("state"),
    "before": lazy_gettext("before"),
    "by": lazy_gettext("woken by"),
    "slept_s": lazy_gettext("slept (s)"),
    "halted_for": lazy_gettext("had halted for"),
    "wake_after_s": lazy_gettext("wakes after (s)"),
    "wake_on": lazy_gettext("wakes on"),
    "mah_per_day": lazy_gettext("mAh a day"),
    "gnss.state": lazy_gettext("receiver"),
    "obd.state": lazy_gettext("OBD adapter"),
    "power.state": lazy_gettext("power budget"),
    "power.volts": lazy_gettext("battery voltage (V)"),
    "time.from": lazy_gettext("time from"),
    "outbox.waiting": lazy_gettext("waiting to be sent"),
    "tls.own_days_left": lazy_gettext("certificate good for (days)"),
    "unit.version": lazy_gettext("version"),
}
# Of a long list, what people look for first; the rest can be unfolded.
FIRST_DETAILS: dict[str, tuple[str, ...]] = {
    "status": (
        "gnss.state",
        "obd.state",
        "power.state",
        "power.volts",
        "time.from",
        "outbox.waiting",
        "tls.own_days_left",
        "unit.version",
    ),
}
# What a car can tell: the details of `car_abilities`, each yes, no or unknown.
ABILITY_TEXTS: dict[str, LazyText] = {
    "obd": lazy_gettext("OBD"),
    "speed": lazy_gettext("speed"),
    "engine_rpm": lazy_gettext("engine speed"),
    "odometer": lazy_gettext("odometer"),
    "fuel_level": lazy_gettext("fuel"),
    "fault_lamp": lazy_gettext("fault lamp (MIL)"),
    "fault_codes": lazy_gettext("trouble codes"),
    "vin": lazy_gettext("VIN"),
    "module_voltage": lazy_gettext("voltage at the engine computer"),
    "adapter_voltage": lazy_gettext("voltage at the adapter"),
}
_ANSWERS: tuple[tuple[str, LazyText], ...] = (
    ("yes", lazy_gettext("can tell")),
    ("no", lazy_gettext("cannot tell")),
    ("unknown", lazy_gettext("not known yet")),
)
# Values that are words of the agent's own, by the detail they belong to.
VALUE_TEXTS: dict[tuple[str, str], LazyText] = {
    ("outbox", "kept"): lazy_gettext("kept"),
    ("outbox", "new"): lazy_gettext("new"),
    ("outbox", "replaced"): lazy_gettext("replaced"),
    ("repeated", "yes"): lazy_gettext("yes"),
    **{("kind", name): text for name, text in command_texts.KIND_TEXTS.items()},
    **{("outcome", name): text for name, text in command_texts.OUTCOME_TEXTS.items()},
    **{("reason", name): text for name, text in command_texts.REFUSAL_TEXTS.items()},
    ("power.state", "driving"): lazy_gettext("driving"),
    ("power.state", "idle"): lazy_gettext("idle"),
    ("power.state", "parked"): lazy_gettext("parked"),
    ("power.state", "saver"): lazy_gettext("saving"),
    ("state", "driving"): lazy_gettext("driving"),
    ("state", "idle"): lazy_gettext("idle"),
    ("state", "parked"): lazy_gettext("parked"),
    ("state", "saver"): lazy_gettext("saving"),
    ("state", "halted"): lazy_gettext("halted"),
    ("before", "driving"): lazy_gettext("driving"),
    ("before", "idle"): lazy_gettext("idle"),
    ("before", "parked"): lazy_gettext("parked"),
    ("before", "saver"): lazy_gettext("saving"),
    ("gnss.state", "open"): lazy_gettext("open"),
    ("obd.state", "querying"): lazy_gettext("answering"),
    ("engine", "running"): lazy_gettext("running"),
    ("engine", "off"): lazy_gettext("off"),
    ("engine", "unknown"): lazy_gettext("unknown"),
    ("adapter", "answering"): lazy_gettext("answering"),
    ("adapter", "car silent"): lazy_gettext("car silent"),
    ("adapter", "no adapter"): lazy_gettext("no adapter"),
    ("adapter", "none configured"): lazy_gettext("none configured"),
    ("receiver_speed", "confirmed"): lazy_gettext("confirms it"),
    ("receiver_speed", "unknown"): lazy_gettext("unknown"),
    ("reason", "wheels"): lazy_gettext("told by the wheels' speed"),
    ("reason", "receiver"): lazy_gettext("told by the receiver's speed"),
    ("reason", "moving_fast"): lazy_gettext("seen moving at speed"),
    ("reason", "moving_slowly"): lazy_gettext("farther away from minute to minute"),
    ("reason", "at_once"): lazy_gettext("all satellites gone at once: jammed?"),
    ("reason", "faded"): lazy_gettext("satellites faded: covered?"),
    ("reason", "receiver_silent"): lazy_gettext("the receiver says nothing"),
    ("reason", "farther_than_wheels"): lazy_gettext("farther away than the wheels could carry it"),
    ("reason", "frozen"): lazy_gettext("stands still while the wheels turn"),
    ("reason", "shorter_than_wheels"): lazy_gettext("a shorter way than the wheels'"),
    ("reason", "longer_than_wheels"): lazy_gettext("a longer way than the wheels'"),
}


def event_text(kind: str) -> str:
    """The event in words; a kind from a newer unit by its name."""
    return str(EVENT_TEXTS.get(kind, kind))


def event_details(kind: str, details: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The JSON object of texts → (name, value) to be shown at once, and the rest; nothing where it is none."""
    try:
        found = json.loads(details)
    except ValueError:
        return [], []
    if not isinstance(found, dict):
        return [], []
    if kind == "car_abilities":
        return _abilities(found), []
    first = FIRST_DETAILS.get(kind)
    told = {name: _in_words(name, str(value)) for name, value in found.items() if value != ""}
    if first is None:
        return list(told.values()), []
    return [told[name] for name in first if name in told], [told[name] for name in told if name not in first]


def _in_words(name: str, value: str) -> tuple[str, str]:
    return str(DETAIL_TEXTS.get(name, name)), str(VALUE_TEXTS.get((name, value), value))


def _abilities(found: dict[str, object]) -> list[tuple[str, str]]:
    by_answer = [
        (str(text), ", ".join(str(ABILITY_TEXTS.get(name, name)) for name, each in found.items() if each == answer))
        for answer, text in _ANSWERS
    ]
    return [(text, names) for text, names in by_answer if names]
