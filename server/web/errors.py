"""Error pages in both languages: what happened, and what to do now. JSON addresses get JSON."""

import logging

from flask import Flask, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException

from server.web.texts import LazyText, gettext, lazy_gettext

log = logging.getLogger(__name__)

# Status → (what happened, what to do now).
ERROR_TEXTS: dict[int, tuple[LazyText, LazyText]] = {
    400: (
        lazy_gettext("This request cannot be understood"),
        lazy_gettext("Something in the address or the form is not what this page expects."),
    ),
    403: (lazy_gettext("Not allowed"), lazy_gettext("Your login may not do this.")),
    404: (
        lazy_gettext("Not found"),
        lazy_gettext("There is no such page, or it belongs to another lender."),
    ),
    405: (lazy_gettext("Not possible here"), lazy_gettext("This address does not take such a request.")),
    413: (lazy_gettext("Too much data"), lazy_gettext("What was sent is larger than any form of this site.")),
    500: (
        lazy_gettext("Something went wrong here"),
        lazy_gettext("The fault is ours and has been written to the server's log."),
    ),
    503: (
        lazy_gettext("The database does not answer"),
        lazy_gettext("Nothing is lost: units keep their data until the server has it. Try again in a moment."),
    ),
}


def init_errors(app: Flask) -> None:
    """Put a page behind every error."""
    app.register_error_handler(CSRFError, _on_expired_form)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(OperationalError, _on_store_error)
    app.register_error_handler(InterfaceError, _on_store_error)
    app.register_error_handler(Exception, _on_fault)


def _on_expired_form(_error: CSRFError) -> ResponseReturnValue:
    advice = gettext("The form was open for too long, or did not come from this site. Go back, reload, and try again.")
    return _answer(400, gettext("The form has expired"), advice)


def _on_http_error(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status < 400:
        return error
    title, advice = ERROR_TEXTS.get(status, ERROR_TEXTS[500 if status >= 500 else 400])
    return _answer(status, str(title), str(advice))


def _on_store_error(error: Exception) -> ResponseReturnValue:
    log.error("the store does not answer: %s", error)
    return _answer(503, *(str(text) for text in ERROR_TEXTS[503]))


def _on_fault(_error: Exception) -> ResponseReturnValue:
    log.exception("%s %s failed", request.method, request.path)
    return _answer(500, *(str(text) for text in ERROR_TEXTS[500]))


def _answer(status: int, title: str, advice: str) -> Response:
    if request.path.endswith(".json") or request.path.startswith("/live/"):
        answer = jsonify(error=title, advice=advice)
        answer.status_code = status
        return answer
    return Response(render_template("error.html", title=title, advice=advice), status)
