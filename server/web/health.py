"""/healthz: for load balancers and people at the console, without a login."""

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from server.web.services import program_version, services


def healthz() -> ResponseReturnValue:
    """200 where the store answers, 503 where it does not."""
    try:
        with services().store.read() as connection:
            connection.execute(text("SELECT 1"))
    except SQLAlchemyError:
        return jsonify(status="unavailable", store="unreachable", version=program_version()), 503
    return jsonify(status="ok", store="ok", version=program_version())


blueprint = Blueprint("health", __name__)
blueprint.add_url_rule("/healthz", view_func=healthz)
