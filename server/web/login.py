"""Logging in and out. Everything but the pages named in OPEN_ENDPOINTS needs a login."""

import math
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Flask, Response, g, jsonify, redirect, render_template, request, session
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, current_user, login_user, logout_user
from flask_wtf import CSRFProtect
from sqlalchemy.exc import InterfaceError, OperationalError

from server.store.people_rows import User, user_by_id, user_by_password
from server.store.people_rows import set_locale as store_locale
from server.web.i18n import LOCALES
from server.web.security import local_path
from server.web.services import Services, services
from server.web.sessions import LIFETIME_S
from server.web.texts import gettext, ngettext

OPEN_ENDPOINTS = frozenset({"static", "health.healthz", "login.page", "login.submit", "i18n.choose"})
_LONGEST_LOGIN, _LONGEST_PASSWORD = 80, 1024


@dataclass(frozen=True, slots=True)
class Visitor:
    """A logged-in person, in the shape that Flask-Login asks for."""

    person: User
    is_authenticated: bool = True
    is_active: bool = True
    is_anonymous: bool = False

    def get_id(self) -> str:
        """What the session keeps."""
        return str(self.person.id)


class CookieSessions(SecureCookieSessionInterface):
    """The cookie says Secure wherever the page came over HTTPS, as behind a proxy that says so."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether this answer goes over HTTPS."""
        return request.is_secure


def init_login(app: Flask) -> None:
    """Sessions, CSRF tokens on every form, and the guard in front of every page."""
    app.session_interface = CookieSessions()
    app.config.update(
        SESSION_COOKIE_NAME="pledgewatch",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,  # live pages would keep a login open for ever
        PERMANENT_SESSION_LIFETIME=LIFETIME_S,
        WTF_CSRF_TIME_LIMIT=LIFETIME_S,
    )
    manager = LoginManager(app)
    manager.user_loader(_visitor)
    CSRFProtect(app)
    app.before_request(_guard)
    app.register_blueprint(blueprint)


def the_user() -> User:
    """Who is logged in. Only for pages behind the guard."""
    person = current_user.person
    assert isinstance(person, User)
    return person


def _visitor(user_id: str) -> Visitor | None:
    having = services()
    if not having.sessions.is_alive(session.get("token"), session.get("since_s"), having.now_ms() / 1000):
        return None
    try:
        with having.store.read() as connection:
            person = user_by_id(connection, int(user_id))
    except (OperationalError, InterfaceError) as error:
        g.store_error = error  # raised by the guard, so that the error page itself needs no user
        return None
    return None if person is None else Visitor(person)


def _guard() -> ResponseReturnValue | None:
    if request.endpoint is None or request.endpoint in OPEN_ENDPOINTS or current_user.is_authenticated:
        return None
    if "store_error" in g:
        raise g.store_error
    if request.path.endswith(".json") or request.path.startswith("/live/"):
        return jsonify(error="login_required"), 401
    wanted = request.full_path.rstrip("?") if request.method == "GET" else "/"
    return redirect("/login?" + urlencode({"next": wanted}), 303)


def page() -> ResponseReturnValue:
    """The login form."""
    if current_user.is_authenticated:
        return redirect(local_path(request.args.get("next", "/")), 303)
    return _form("", "", 200)


def submit() -> ResponseReturnValue:
    """Check login and password."""
    having, login = services(), request.form.get("login", "").strip()[: _LONGEST_LOGIN + 1]
    password, address = request.form.get("password", ""), request.remote_addr or ""
    now_s = having.now_ms() / 1000
    wait_s = having.throttle.wait_s(login, address, now_s)
    if wait_s > 0:
        minutes = math.ceil(wait_s / 60)
        text = ngettext(
            "Too many wrong passwords. Try again in %(num)d minute.",
            "Too many wrong passwords. Try again in %(num)d minutes.",
            minutes,
        )
        return _form(login, text, 429)
    person = None
    if len(login) <= _LONGEST_LOGIN and len(password) <= _LONGEST_PASSWORD:
        with having.password_checks, having.store.read() as connection:
            person = user_by_password(connection, login, password)
    if person is None:
        having.throttle.failed(login, address, now_s)
        return _form(login, gettext("Login or password is wrong."), 401)
    having.throttle.succeeded(login, address)
    _begin(having, person, now_s)
    return redirect(local_path(request.form.get("next", "/")), 303)


def logout() -> ResponseReturnValue:
    """End this login, in every tab and for every copy of its cookie."""
    having = services()
    having.sessions.end(session.get("token", ""), having.now_ms() / 1000)
    locale = the_user().locale
    logout_user()
    session.clear()
    session["locale"] = locale
    return redirect("/login", 303)


def _begin(having: Services, person: User, now_s: float) -> None:
    """A session of its own for each login; a language chosen on the login page becomes the user's."""
    locale = session.get("locale")
    session.clear()
    session.permanent = True
    session.update(token=having.sessions.new_token(), since_s=now_s)
    login_user(Visitor(person))
    if locale in LOCALES:
        session["locale"] = locale
        if locale != person.locale:
            with having.store.write() as connection:
                store_locale(connection, person.id, locale)


def _form(login: str, problem: str, status: int) -> Response:
    wanted = local_path(request.values.get("next", "/"))
    return Response(render_template("login.html", login=login, problem=problem, wanted=wanted), status)


blueprint = Blueprint("login", __name__)
for _rule, _view, _methods in (
    ("/login", page, ["GET"]),
    ("/login", submit, ["POST"]),
    ("/logout", logout, ["POST"]),
):
    blueprint.add_url_rule(_rule, view_func=_view, methods=_methods)
