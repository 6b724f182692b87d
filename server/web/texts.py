"""gettext with types; the only file besides `i18n` that imports Flask-Babel."""

from typing import Protocol

import flask_babel  # type: ignore[import-untyped]


class LazyText(Protocol):
    """A text that is translated where it is shown (`str(text)`), not where its module is loaded."""

    def __str__(self) -> str: ...


def gettext(text: str, **values: object) -> str:
    """The text in the reader's language, with %(name)s filled in."""
    return str(flask_babel.gettext(text, **values))


def ngettext(one: str, many: str, count: int) -> str:
    """The text for this count; %(num)d is the count."""
    return str(flask_babel.ngettext(one, many, count))


def lazy_gettext(text: str) -> LazyText:
    """For tables of texts."""
    lazy: LazyText = flask_babel.lazy_gettext(text)
    return lazy
