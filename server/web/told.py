"""A vehicle's events as a page shows them."""

from collections.abc import Iterable
from datetime import tzinfo
from typing import Any

from server.store.history_rows import EventRow
from server.web.display import shown_time
from server.web.event_texts import event_details, event_text


def told_events(events: Iterable[EventRow], zone: tzinfo) -> list[dict[str, Any]]:
    """Each event's text, its time (of arrival where the unit knew none), its details as (name, value), and the rest."""
    return [_told(event, zone) for event in events]


def _told(event: EventRow, zone: tzinfo) -> dict[str, Any]:
    details, more = event_details(event.kind, event.details)
    return {
        "text": event_text(event.kind),
        "time": shown_time(event.arrived_ms if event.time_ms is None else event.time_ms, zone).as_json(),
        "details": details,
        "more": more,
    }
