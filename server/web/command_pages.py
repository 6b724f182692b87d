"""Commands to the units of a vehicle: who asked what and why, what came of it, and a form for the next one."""

import secrets
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from server.commanding import LONGEST_REASON, Flaw, OrderRefusedError, State, checked_order, state_of
from server.store import command_rows
from server.store.command_rows import CommandRow, Issuer
from server.store.vehicle_rows import VehicleRow, vehicle
from server.web.command_texts import FLAW_TEXTS, KIND_TEXTS, STATE_TEXTS, order_text, outcome_text
from server.web.display import Shown, iso_utc, shown_time, time_zone_of
from server.web.facts import name_of
from server.web.login import the_user
from server.web.services import services
from wire.commands import COMMAND_ID_BYTES

# What the form offers; windows and settings are for the console.
OFFERED = ("locate", "follow", "cancel_follow", "status")
_TONES = {State.WAITING: "dim", State.SENT: "", State.EXPIRED: "warn"}


def page(vehicle_id: int) -> ResponseReturnValue:
    """The vehicle's commands, newest first, and the form."""
    return _page(_vehicle(vehicle_id), "", {}, 200)


def twin(vehicle_id: int) -> ResponseReturnValue:
    """The same as data."""
    now_ms = services().now_ms()
    return jsonify(commands=[_json(each, now_ms) for each in _commands(_vehicle(vehicle_id).id)])


def submit(vehicle_id: int) -> ResponseReturnValue:
    """Give an order to a unit that sits in the vehicle now."""
    having, row, form = services(), _vehicle(vehicle_id), request.form
    kind, unit = form.get("kind", ""), form.get("unit", "")
    if kind not in OFFERED:
        raise BadRequest("kind")
    parameters = {"minutes": form.get("minutes", "").strip()} if kind == "follow" else {}
    user = the_user()
    try:
        order = checked_order(kind, parameters, form.get("reason", ""))
        if unit not in _units(row):
            raise OrderRefusedError(Flaw.UNIT, unit)
        with having.store.write() as connection:
            issuer, command_id = Issuer(user.login, user.id), secrets.token_bytes(COMMAND_ID_BYTES)
            command_rows.issue(connection, user.lender_id, unit, order, issuer, command_id, having.now_ms())
    except OrderRefusedError as error:
        return _page(row, str(FLAW_TEXTS[error.flaw]), form.to_dict(), 400)
    return redirect(f"/vehicles/{row.id}/commands", 303)


def _page(row: VehicleRow, problem: str, filled: dict[str, str], status: int) -> Response:
    zone, now_ms = time_zone_of(the_user().time_zone), services().now_ms()
    lines = [
        (order_text(each.kind, dict(each.parameters)), _state(each, now_ms), each, shown_time(each.issued_ms, zone))
        for each in _commands(row.id)
    ]
    html = render_template(
        "commands.html",
        row=row,
        name=name_of(row),
        lines=lines,
        units=_units(row),
        kinds=[(kind, KIND_TEXTS[kind]) for kind in OFFERED],
        problem=problem,
        filled=filled,
        longest_reason=LONGEST_REASON,
    )
    return Response(html, status)


def _state(row: CommandRow, now_ms: int) -> Shown:
    state = state_of(row.outcome, row.sends, row.expires_ms, now_ms)
    if row.outcome is None:
        return Shown(str(STATE_TEXTS[state]), tone=_TONES[state])
    return Shown(outcome_text(row.outcome, row.answer), tone="good" if row.outcome == "done" else "warn")


def _json(row: CommandRow, now_ms: int) -> dict[str, Any]:
    times = {name: getattr(row, name) for name in ("issued_ms", "expires_ms", "sent_ms", "answered_ms")}
    return {
        "id": row.command_id.hex(),
        "unit": row.unit,
        "kind": row.kind,
        "parameters": dict(row.parameters),
        "issued_by": row.issued_by,
        "reason": row.reason,
        "state": state_of(row.outcome, row.sends, row.expires_ms, now_ms),
        "outcome": row.outcome,
        "answer": row.answer,
        "sends": row.sends,
        **times,
        "issued_utc": iso_utc(row.issued_ms),
    }


def _commands(vehicle_id: int) -> list[CommandRow]:
    with services().store.read() as connection:
        return command_rows.commands_of(connection, the_user().lender_id, vehicle_id=vehicle_id)


def _vehicle(vehicle_id: int) -> VehicleRow:
    """This lender's vehicle; for any other the page does not exist."""
    if vehicle_id >= 2**63:  # beyond what a database can look up
        abort(404)
    with services().store.read() as connection:
        row = vehicle(connection, the_user().lender_id, vehicle_id)
    return row if row is not None else abort(404)


def _units(row: VehicleRow) -> list[str]:
    return row.unit.split(", ") if row.unit else []


blueprint = Blueprint("commands", __name__)
for _rule, _view, _methods in (
    ("/vehicles/<int:vehicle_id>/commands", page, ["GET"]),
    ("/vehicles/<int:vehicle_id>/commands", submit, ["POST"]),
    ("/vehicles/<int:vehicle_id>/commands.json", twin, ["GET"]),
):
    blueprint.add_url_rule(_rule, view_func=_view, methods=_methods)
