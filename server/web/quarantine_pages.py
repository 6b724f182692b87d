"""Refused data of this lender's units: how often, why, and what to do."""

from flask import Blueprint, jsonify, render_template
from flask.typing import ResponseReturnValue

from server.store.quarantine_rows import QuarantineCount, Refused, counts, newest
from server.web.display import shown_time, time_zone_of
from server.web.login import the_user
from server.web.refusal_texts import is_alarm, refusal_text
from server.web.services import services
from server.web.twins import refusals_json
from wire.topics import unit_of


def page() -> ResponseReturnValue:
    """Refusals by reason, most frequent first, and single payloads, newest first."""
    zone = time_zone_of(the_user().time_zone)
    known, last = _known()
    lines = [
        (each, *refusal_text(each.reason), is_alarm(each.reason), shown_time(each.last_ms, zone)) for each in known
    ]
    payloads = [
        (
            each,
            unit_of(each.topic) or each.topic,
            refusal_text(each.reason)[0],
            is_alarm(each.reason),
            shown_time(each.last_ms, zone),
            None if each.settled_ms is None else shown_time(each.settled_ms, zone),
        )
        for each in last
    ]
    alarms = sum(each.times for each in known if is_alarm(each.reason))
    return render_template("quarantine.html", lines=lines, payloads=payloads, alarms=alarms)


def twin() -> ResponseReturnValue:
    """The same as data."""
    return jsonify(refusals_json(*_known()))


def _known() -> tuple[list[QuarantineCount], list[Refused]]:
    with services().store.read() as connection:
        lender_id = the_user().lender_id
        return counts(connection, lender_id), newest(connection, lender_id)


blueprint = Blueprint("quarantine", __name__)
for _rule, _view in (("/quarantine", page), ("/quarantine.json", twin)):
    blueprint.add_url_rule(_rule, view_func=_view)
