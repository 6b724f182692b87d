"""The application: what it is made of, in order."""

from datetime import UTC

from flask import Flask, Response, request
from flask_login import current_user

from server.config import WebSettings
from server.store.db import Store
from server.web import command_pages, health, live, quarantine_pages, vehicle_pages
from server.web.display import iso_utc, time_zone_of, zone_name
from server.web.errors import init_errors
from server.web.i18n import init_languages
from server.web.login import init_login
from server.web.security import content_security_policy, security_headers
from server.web.services import Services, install, services
from server.web.texts import gettext

_LARGEST_FORM_BYTES = 64 * 1024
_DATUM_NAMES = {"wgs84": "WGS-84", "gcj02": "GCJ-02", "bd09": "BD-09"}


def create_app(store: Store, settings: WebSettings, secret_key: bytes) -> Flask:
    """The back office over this store.

    Raises:
        ValueError: a setting that cannot be used; the text says which.
    """
    headers = security_headers(content_security_policy(settings.tile_url))
    app = Flask(__name__)
    app.config.update(SECRET_KEY=secret_key, MAX_CONTENT_LENGTH=_LARGEST_FORM_BYTES)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    install(app, Services(store, settings))

    init_languages(app)
    init_login(app)
    init_errors(app)
    for part in (health, vehicle_pages, command_pages, quarantine_pages, live):
        app.register_blueprint(part.blueprint)

    @app.after_request
    def add_headers(answer: Response) -> Response:
        answer.headers.update(headers)
        if request.endpoint != "static":
            answer.headers["Cache-Control"] = "no-store"
        return answer

    @app.context_processor
    def for_every_page() -> dict[str, object]:
        now_ms = services(app).now_ms()
        zone = time_zone_of(current_user.person.time_zone) if current_user.is_authenticated else UTC
        return {
            "now_ms": now_ms,
            "zone": str(zone),
            "zone_name": zone_name(zone, now_ms),
            "map_settings": settings,
            "map_datum": services(app).map_datum,
            "datum_note": _datum_note(settings),
            "iso_utc": iso_utc,
        }

    return app


def _datum_note(settings: WebSettings) -> str:
    """What the page says of its base map."""
    if not settings.tile_url:
        return gettext("No base map is set up: grid and positions are WGS-84.")
    name = _DATUM_NAMES[settings.tile_datum]
    if settings.tile_datum == "wgs84":
        return gettext("Base map in %(datum)s, like the stored positions.", datum=name)
    return gettext(
        "Base map in %(datum)s: positions are stored in WGS-84 and converted for drawing only, to within a few metres.",
        datum=name,
    )
