"""Refused data of this lender's units: how often, why, and what to do."""

from flask import Blueprint, jsonify, render_template
from flask.typing import ResponseReturnValue

from server.store.quarantine_rows import QuarantineCount, counts
from server.web.display import shown_time, time_zone_of
from server.web.login import the_user
from server.web.refusal_texts import refusal_text
from server.web.services import services
from server.web.twins import refusals_json


def page() -> ResponseReturnValue:
    """Refusals by reason, most frequent first."""
    zone = time_zone_of(the_user().time_zone)
    lines = [(each, *refusal_text(each.reason), shown_time(each.last_ms, zone)) for each in _counts()]
    return render_template("quarantine.html", lines=lines)


def twin() -> ResponseReturnValue:
    """The same as data."""
    return jsonify(refusals_json(_counts()))


def _counts() -> list[QuarantineCount]:
    with services().store.read() as connection:
        return counts(connection, the_user().lender_id)


blueprint = Blueprint("quarantine", __name__)
for _rule, _view in (("/quarantine", page), ("/quarantine.json", twin)):
    blueprint.add_url_rule(_rule, view_func=_view)
