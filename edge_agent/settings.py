"""How a setting is declared: default, meaning, bounds. One table for reading, `--help`, unit.toml and the docs. Pure.

Each section of unit.toml is a frozen dataclass whose fields are made by `setting`. Modules that own a section declare
it beside the code that uses it; `config.py` puts them together.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from types import UnionType
from typing import Any, TypeVar, get_args, get_type_hints

T = TypeVar("T")
_TYPE_NAMES: Mapping[type, str] = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class ConfigError(ValueError):
    """A settings file that cannot be used; the text says which key and what to do."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a setting besides its type and default."""

    text: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    remote: bool = False  # the server may change it, within the same bounds, by a signed command


def setting(
    about: str,
    default: Any = MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    remote: bool = False,
) -> Any:
    """A field of a section. Without a default it must be set; the unit (s, km/h, V) belongs into the name."""
    return field(default=default, metadata={"about": About(about, low, high, choices, remote)})


def about(each: "Field[Any]") -> About:
    """What `setting` was told of a field."""
    told = each.metadata.get("about")
    return told if isinstance(told, About) else About("")


def read_section(kind: type[T], table: object, where: str) -> T:
    """A section from its TOML table; `where` names file and section for the person who has to mend it.

    Raises:
        ConfigError: an unknown or missing key, a value of the wrong type or out of bounds.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is missing" if table is None else f"{where} must be a table")
    known: dict[str, Field[Any]] = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise ConfigError(f"{where}: {unknown(key, known)}")
    for name, each in known.items():
        if each.default is MISSING and name not in table:
            raise ConfigError(f"{where}: {name} is missing")
    hints = get_type_hints(kind)
    return kind(**{key: checked(known[key], hints[key], value, where) for key, value in table.items()})


def checked(each: "Field[Any]", hint: Any, value: object, where: str) -> Any:
    """One value, of the type and within the bounds that its field was declared with. Raises ConfigError."""
    wanted = next((one for one in get_args(hint) if one is not type(None)), hint) if _is_union(hint) else hint
    told = about(each)
    fits = type(value) in (int, float) if wanted is float else type(value) is wanted
    if not fits:
        raise ConfigError(f"{where}: {each.name} must be {_TYPE_NAMES[wanted]}, not {value!r}")
    if told.choices and value not in told.choices:
        raise ConfigError(f"{where}: {each.name} is {value!r}; it must be one of {', '.join(told.choices)}")
    if isinstance(value, int | float) and not _within(value, told):
        raise ConfigError(f"{where}: {each.name} is {value:g}; it must be from {told.low:g} to {told.high:g}")
    return wanted(value)


def unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that does not exist."""
    near = difflib.get_close_matches(key, list(known), 1)
    return f"no setting is called {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _within(value: float, told: About) -> bool:
    return (told.low is None or value >= told.low) and (told.high is None or value <= told.high)


def _is_union(hint: Any) -> bool:
    return isinstance(hint, UnionType)
