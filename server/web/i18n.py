"""Languages: Chinese first, English one click away. Every text on a page goes through gettext, its msgid is English.

The catalogue is read from `translations/*/LC_MESSAGES/messages.po` and compiled in memory when the application starts
(some 20 ms), so there is no compiled file that could be missing from a wheel or older than its source.

    python -m server.web.i18n update     collect the texts of code and templates into messages.po
    python -m server.web.i18n compile    try out what the start does: fails on a catalogue that is broken or incomplete
"""

import io
import sys
from pathlib import Path

from babel.messages import Catalog
from babel.messages.catalog import Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from babel.support import Translations
from flask import Blueprint, Flask, Response, redirect, request, session
from flask_babel import Babel, get_babel, get_locale  # type: ignore[import-untyped]
from flask_login import current_user
from werkzeug.exceptions import BadRequest

from server.store.people_rows import set_locale
from server.web.security import local_path
from server.web.services import services

# Locale → (what the switch calls it, HTML's name for it).
LOCALES: dict[str, tuple[str, str]] = {"zh_Hans_CN": ("中文", "zh-Hans-CN"), "en": ("English", "en")}
DEFAULT_LOCALE = "zh_Hans_CN"
SOURCE_LOCALE = "en"  # the msgids are the texts

_HERE = Path(__file__).parent
_TRANSLATIONS = _HERE / "translations"
_EXTRACT = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
# Headers that would change with every run, or that nobody fills in.
_DATES_AND_NAMES = (b'"POT-', b'"PO-', b'"Report-', b'"Last-', b'"Language-Team', b'"Generated-', b'"Project-')
_KEYWORDS = {"_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}


def init_languages(app: Flask) -> None:
    """Give the application its languages, and templates the names of them."""
    app.config["BABEL_DEFAULT_LOCALE"] = DEFAULT_LOCALE
    Babel(app, locale_selector=chosen_locale)
    with app.app_context():
        # Flask-Babel would look for compiled files; it finds the catalogues here first.
        get_babel().instance.domain_instance.cache.update(
            {(locale, "messages"): translations(locale) for locale in LOCALES}
        )
    app.context_processor(lambda: {"locales": LOCALES, "locale": str(get_locale()), "html_lang": html_lang()})
    app.register_blueprint(blueprint)


def translations(locale: str) -> Translations:
    """The compiled catalogue of a locale; of the source language an empty one."""
    if locale == SOURCE_LOCALE:
        return Translations()
    compiled = io.BytesIO()
    write_mo(compiled, read_catalogue(locale))
    compiled.seek(0)
    return Translations(compiled)


def read_catalogue(locale: str) -> Catalog:
    """messages.po of a locale."""
    with po_path(locale).open("rb") as file:
        return read_po(file, locale=locale)


def po_path(locale: str) -> Path:
    """Where the texts of a locale are."""
    return _TRANSLATIONS / locale / "LC_MESSAGES" / "messages.po"


def collect() -> Catalog:
    """All texts that code and templates ask for, with where they stand."""
    found = Catalog(project="pledgewatch", charset="utf-8")
    for path, line, message, comments, context in extract_from_dir(_HERE, _EXTRACT, keywords=_KEYWORDS):
        found.add(message, None, [(path, line)], auto_comments=comments, context=context)
    return found


def update(locale: str) -> Catalog:
    """Bring messages.po up to date: new texts come in empty, texts that nobody asks for go."""
    catalogue = read_catalogue(locale) if po_path(locale).exists() else Catalog(locale=locale, project="pledgewatch")
    catalogue.update(collect(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.header_comment = (
        "# Texts of the back office. `python -m server.web.i18n update` brings in new ones, empty."
    )
    written = io.BytesIO()
    write_po(written, catalogue, width=120, sort_by_file=True, ignore_obsolete=True, include_lineno=False)
    kept = [line for line in written.getvalue().splitlines(keepends=True) if not line.startswith(_DATES_AND_NAMES)]
    po_path(locale).write_bytes(b"".join(kept))
    return catalogue


def is_translated(message: Message) -> bool:
    """Whether every form of a text has its translation, and a person has looked at it."""
    forms = message.string if isinstance(message.string, list | tuple) else (message.string,)
    return all(forms) and not message.fuzzy


def chosen_locale() -> str:
    """The logged-in user's language, before that the one chosen in this browser, else Chinese."""
    wanted = current_user.person.locale if current_user.is_authenticated else session.get("locale")
    return wanted if wanted in LOCALES else DEFAULT_LOCALE


def html_lang() -> str:
    """The `lang` attribute of this page."""
    return LOCALES.get(str(get_locale()), LOCALES[DEFAULT_LOCALE])[1]


def choose() -> Response:
    """The language switch: kept for the user, and in this browser for the next login."""
    locale = request.form.get("locale", "")
    if locale not in LOCALES:
        raise BadRequest
    session["locale"] = locale
    if current_user.is_authenticated:
        with services().store.write() as connection:
            set_locale(connection, current_user.person.id, locale)
    answer = redirect(local_path(request.form.get("next", "/")), 303)
    assert isinstance(answer, Response)
    return answer


blueprint = Blueprint("i18n", __name__)
blueprint.add_url_rule("/language", view_func=choose, methods=["POST"])


def main(arguments: list[str]) -> int:
    """The command line of this module."""
    if arguments not in (["update"], ["compile"]):
        print(__doc__, file=sys.stderr)
        return 2
    empty = 0
    for locale in (each for each in LOCALES if each != SOURCE_LOCALE):
        catalogue = update(locale) if arguments == ["update"] else read_catalogue(locale)
        texts = [each for each in catalogue if each.id]
        missing = [each.id for each in texts if not is_translated(each)]
        translations(locale)
        print(f"{locale}: {len(texts)} texts, {len(missing)} without a translation", *missing, sep="\n  ")
        empty += len(missing)
    return 1 if empty and arguments == ["compile"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
