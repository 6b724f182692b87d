"""What units tell, in words: kind → text, and the names of the details that come with it."""

import json

from server.web.texts import LazyText, lazy_gettext

EVENT_TEXTS: dict[str, LazyText] = {
    "unit_started": lazy_gettext("Unit started"),
    "outbox_replaced": lazy_gettext("Outbox replaced after damage"),
    "vehicle_identified": lazy_gettext("Vehicle told its VIN"),
    "trouble_codes": lazy_gettext("Trouble codes read"),
}

# Details are named by the unit; a name that is not here is shown as it came.
DETAIL_TEXTS: dict[str, LazyText] = {
    "version": lazy_gettext("version"),
    "outbox": lazy_gettext("outbox"),
    "reason": lazy_gettext("reason"),
    "vin": lazy_gettext("VIN"),
    "codes": lazy_gettext("codes"),
}
# Values that are words of the agent's own, by the detail they belong to.
VALUE_TEXTS: dict[tuple[str, str], LazyText] = {
    ("outbox", "kept"): lazy_gettext("kept"),
    ("outbox", "new"): lazy_gettext("new"),
    ("outbox", "replaced"): lazy_gettext("replaced"),
}


def event_text(kind: str) -> str:
    """The event in words; a kind from a newer unit by its name."""
    return str(EVENT_TEXTS.get(kind, kind))


def event_details(details: str) -> list[tuple[str, str]]:
    """The JSON object of texts → (name, value), in order; nothing where it is no such object."""
    try:
        found = json.loads(details)
    except ValueError:
        return []
    if not isinstance(found, dict):
        return []
    return [
        (str(DETAIL_TEXTS.get(name, name)), str(VALUE_TEXTS.get((name, str(value)), value)))
        for name, value in found.items()
    ]
