"""The vehicle list, a vehicle's page, the map of all of them, and their JSON twins. Every query names the lender."""

from datetime import tzinfo

from flask import Blueprint, abort, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from server.store.history_rows import events_of, track
from server.store.vehicle_rows import VehicleRow, vehicle, vehicles_of
from server.watch.vehicle_state import FUTURE_TOLERANCE_MS
from server.web.display import time_zone_of
from server.web.facts import PANEL, facts, list_facts, name_of
from server.web.login import the_user
from server.web.services import services
from server.web.texts import LazyText, lazy_gettext
from server.web.told import told_events
from server.web.track_drawing import drawn
from server.web.twins import event_json, track_json, vehicle_json, vehicles_json

MOST_LISTED = 200
MOST_ON_MAP = 5000
HOUR_MS = 3_600_000
# What the vehicle page offers; any whole number of hours up to the longest is accepted.
PERIODS: tuple[tuple[int, LazyText], ...] = (
    (1, lazy_gettext("1 hour")),
    (6, lazy_gettext("6 hours")),
    (24, lazy_gettext("24 hours")),
    (168, lazy_gettext("7 days")),
)
DEFAULT_HOURS = 24


def front() -> ResponseReturnValue:
    """/ leads to the list."""
    return redirect("/vehicles", 302)


def list_page() -> ResponseReturnValue:
    """The lender's vehicles, last heard of first."""
    search, having, zone = _search(), services(), _zone()
    rows, more = _rows(search, MOST_LISTED)
    lines = [(row, list_facts(row, zone, having.now_ms())) for row in rows]
    return render_template("vehicles.html", lines=lines, search=search, more=more, most=MOST_LISTED)


def list_json() -> ResponseReturnValue:
    """The list as data."""
    rows, more = _rows(_search(), MOST_LISTED)
    return jsonify(vehicles_json(rows, services().map_datum, services().now_ms(), more=more))


def vehicle_page(vehicle_id: int) -> ResponseReturnValue:
    """One vehicle: map, facts, events."""
    having, zone, hours, row = services(), _zone(), _hours(), _vehicle(vehicle_id)
    with having.store.read() as connection:
        events = events_of(connection, the_user().lender_id, vehicle_id)
    return render_template(
        "vehicle.html",
        row=row,
        name=name_of(row),
        facts=facts(row, zone, having.now_ms()),
        panel=PANEL,
        events=told_events(events, zone),
        hours=hours,
        periods=PERIODS,
    )


def vehicle_twin(vehicle_id: int) -> ResponseReturnValue:
    """A vehicle's state and newest events as data."""
    having, row = services(), _vehicle(vehicle_id)
    with having.store.read() as connection:
        events = events_of(connection, the_user().lender_id, vehicle_id)
    state = vehicle_json(row, having.map_datum, having.now_ms())
    return jsonify({**state, "map_datum": having.map_datum, "events": [event_json(each) for each in events]})


def track_twin(vehicle_id: int) -> ResponseReturnValue:
    """A vehicle's track of the last hours, thinned for drawing."""
    having, hours, row = services(), _hours(), _vehicle(vehicle_id)
    now_ms = having.now_ms()
    from_ms, to_ms = now_ms - hours * HOUR_MS, now_ms + FUTURE_TOLERANCE_MS
    with having.store.read() as connection:
        points = track(connection, the_user().lender_id, row.id, from_ms, to_ms)
    found = track_json(drawn(points), having.map_datum)
    return jsonify({"vehicle_id": row.id, "hours": hours, "from_ms": from_ms, "to_ms": to_ms, **found})


def map_page() -> ResponseReturnValue:
    """All vehicles on one map; its script asks for the twin and then listens."""
    rows, _ = _rows("", 1)
    return render_template("map.html", any_vehicles=bool(rows))


def map_twin() -> ResponseReturnValue:
    """All vehicles as data, with the texts that the map shows."""
    having, zone = services(), _zone()
    rows, more = _rows("", MOST_ON_MAP)
    data = vehicles_json(rows, having.map_datum, having.now_ms(), more=more)
    for row, each in zip(rows, data["vehicles"], strict=True):
        each["name"] = name_of(row)
        each["facts"] = {key: fact.as_json() for key, fact in list_facts(row, zone, having.now_ms()).items()}
    return jsonify(data)


def _rows(search: str, most: int) -> tuple[list[VehicleRow], bool]:
    with services().store.read() as connection:
        rows = vehicles_of(connection, the_user().lender_id, search, limit=most + 1)
    return rows[:most], len(rows) > most


def _vehicle(vehicle_id: int) -> VehicleRow:
    """This lender's vehicle; for any other the page does not exist."""
    if vehicle_id >= 2**63:  # beyond what a database can look up
        abort(404)
    with services().store.read() as connection:
        row = vehicle(connection, the_user().lender_id, vehicle_id)
    return row if row is not None else abort(404)


def _search() -> str:
    return request.args.get("q", "").strip()[:80]


def _hours() -> int:
    text = request.args.get("hours", str(DEFAULT_HOURS))
    longest = PERIODS[-1][0]
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= longest:
        raise BadRequest(f"hours: a whole number from 1 to {longest}")
    return int(text)


def _zone() -> tzinfo:
    return time_zone_of(the_user().time_zone)


blueprint = Blueprint("vehicles", __name__)
for _rule, _view in (
    ("/", front),
    ("/vehicles", list_page),
    ("/vehicles.json", list_json),
    ("/vehicles/<int:vehicle_id>", vehicle_page),
    ("/vehicles/<int:vehicle_id>.json", vehicle_twin),
    ("/vehicles/<int:vehicle_id>/track.json", track_twin),
    ("/map", map_page),
    ("/map.json", map_twin),
):
    blueprint.add_url_rule(_rule, view_func=_view)
