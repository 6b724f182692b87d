"""Live pages by server-sent events (WHATWG HTML, section 9.2).

A stream looks at the store once a second, in a short read transaction, and sends what changed since its last look. Each
message's id is where it got to; a browser that reconnects names the last one it had (Last-Event-ID) and is sent what it
missed. A stream ends when its login ends, after an hour (the browser comes back by itself), or with the server.
"""

import logging
import time
from collections.abc import Callable, Iterator
from wsgiref.types import WSGIEnvironment

from flask import Blueprint, Flask, Response, abort, current_app, json, request
from flask_login import current_user
from sqlalchemy.exc import InterfaceError, OperationalError

from server.store.history_rows import events_of, track
from server.store.vehicle_rows import vehicle, vehicles_of
from server.watch.vehicle_state import FUTURE_TOLERANCE_MS
from server.web.display import time_zone_of
from server.web.facts import facts, list_facts, name_of
from server.web.live_cursor import FleetLooks, Message, VehicleCursor
from server.web.login import the_user
from server.web.services import Services, services
from server.web.told import told_events
from server.web.track_drawing import drawn
from server.web.twins import track_json, vehicle_json
from server.web.vehicle_status import status_of

LOOK_EVERY_S = 1.0
HEARTBEAT_S = 15.0
LONGEST_S = 3600.0
RECONNECT_MS = 3000
# The newest arrivals are looked at every second; all vehicles (for those that fell quiet, or are new) this often.
LOOK_AT_ALL_S = 30.0
NEWEST, MOST = 100, 5000
MOST_CATCH_UP_MS = 3_600_000

log = logging.getLogger(__name__)
Look = Callable[[int], Message | None]


def vehicles_stream() -> Response:
    """Changed states of all the lender's vehicles."""
    having, lender_id = services(), the_user().lender_id
    zone, datum = time_zone_of(the_user().time_zone), having.map_datum
    looks = FleetLooks.after(request.headers.get("Last-Event-ID") or request.args.get("since", ""))
    next_full_s = 0.0

    def look(now_ms: int) -> Message | None:
        nonlocal next_full_s
        is_full = time.monotonic() >= next_full_s
        with having.store.read() as connection:
            rows = vehicles_of(connection, lender_id, limit=MOST if is_full else NEWEST)
            if not is_full and len(rows) == NEWEST and looks.is_news(rows[-1], now_ms):
                rows = vehicles_of(connection, lender_id, limit=MOST)
        if is_full:
            next_full_s = time.monotonic() + LOOK_AT_ALL_S
        changed = looks.changed(rows, now_ms)
        if changed is None:
            return None
        found = [
            {
                **vehicle_json(row, datum, now_ms),
                "name": name_of(row),
                "facts": {key: fact.as_json() for key, fact in list_facts(row, zone, now_ms).items()},
            }
            for row in changed
        ]
        return Message("vehicles", looks.cursor, {"map_datum": datum, "vehicles": found})

    return _stream(having, look)


def vehicle_stream(vehicle_id: int) -> Response:
    """State, new track points and events of one vehicle."""
    having, lender_id = services(), the_user().lender_id
    zone, datum = time_zone_of(the_user().time_zone), having.map_datum
    with having.store.read() as connection:
        if vehicle_id >= 2**63 or vehicle(connection, lender_id, vehicle_id) is None:
            abort(404)
    cursor = VehicleCursor.parse(request.headers.get("Last-Event-ID") or request.args.get("after", ""))
    known: object = None

    def look(now_ms: int) -> Message | None:
        nonlocal cursor, known
        with having.store.read() as connection:
            row = vehicle(connection, lender_id, vehicle_id)
            if row is None:
                return None
            now_known = (row.arrived_ms, row.unit, row.state, status_of(row, now_ms))
            if now_known == known:
                return None
            known = now_known
            from_ms = max(cursor.next_point_ms(row), now_ms - MOST_CATCH_UP_MS)
            points = track(connection, lender_id, vehicle_id, from_ms, now_ms + FUTURE_TOLERANCE_MS)
            events = events_of(connection, lender_id, vehicle_id)
        grew = cursor.history_grew(row, len(points), now_ms - MOST_CATCH_UP_MS)
        cursor = cursor.moved(row, int(points.time_ms[-1]) if len(points) else None)
        data = {
            "vehicle": vehicle_json(row, datum, now_ms),
            "facts": {key: fact.as_json() for key, fact in facts(row, zone, now_ms).items()},
            "track": track_json(drawn(points), datum),
            "history_grew": grew,
            "events": told_events(events, zone),
        }
        return Message("vehicle", str(cursor), data)

    return _stream(having, look)


def _stream(having: Services, look: Look) -> Response:
    if not having.streams.acquire(blocking=False):
        # An EventSource gives up on this; the page's script then asks for the JSON twin now and again.
        return Response("too many live pages\n", 503, {"Retry-After": "15"}, mimetype="text/plain")
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    answer = Response(_frames(app, request.environ, having, look), mimetype="text/event-stream")
    answer.headers["X-Accel-Buffering"] = "no"
    answer.call_on_close(having.streams.release)
    return answer


def _frames(app: Flask, environ: WSGIEnvironment, having: Services, look: Look) -> Iterator[str]:
    yield f"retry: {RECONNECT_MS}\n\n"
    started = heard = time.monotonic()
    while time.monotonic() - started < LONGEST_S and not having.is_stopping():
        # Each look is a request of its own by the same browser: whether the login still holds is asked anew.
        with app.request_context(environ):
            if not current_user.is_authenticated:
                return
            try:
                message = look(having.now_ms())
            except (OperationalError, InterfaceError) as error:
                log.warning("a live page ends, the store does not answer: %s", error)
                return
        if message is not None:
            heard = time.monotonic()
            yield f"id: {message.id}\nevent: {message.event}\ndata: {json.dumps(message.data)}\n\n"
        elif time.monotonic() - heard >= HEARTBEAT_S:
            heard = time.monotonic()
            yield ":\n\n"  # a comment: keeps proxies awake, and notices a browser that has gone
        _pause(having)


def _pause(having: Services) -> None:
    """Until the next look, or until the server is to end."""
    until = time.monotonic() + LOOK_EVERY_S
    while (left := until - time.monotonic()) > 0 and not having.is_stopping():
        time.sleep(min(left, 0.2))


blueprint = Blueprint("live", __name__)
for _rule, _view in (
    ("/live/vehicles", vehicles_stream),
    ("/live/vehicles/<int:vehicle_id>", vehicle_stream),
):
    blueprint.add_url_rule(_rule, view_func=_view)
