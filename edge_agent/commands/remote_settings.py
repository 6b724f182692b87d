"""Which settings the server may change, and what of a change is safe. Pure.

A setting may be changed from afar where its section declares it `remote` (see `settings.py`) and it cannot be set to
anything unforeseen: a number needs both bounds, a text its choices. `unit.toml` stays as the installer wrote it;
changes are kept beside it (`commands/overrides.py`) and laid over it at every start.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

from edge_agent.settings import About, ConfigError, about, checked, unknown

Sections = Mapping[str, type[Any]]  # section of unit.toml → the frozen dataclass that declares it
Value = bool | int | float | str
_TRUTHS: Mapping[str, bool] = {"true": True, "false": False}


def remote_value(sections: Sections, section: str, name: str, text: str) -> Value:
    """The value that `text` means for a setting that may be changed from afar.

    Raises:
        ConfigError: no such setting, one that is not for the server to change, or a value that it may not have.
    """
    where = f"[{section}]"
    if section not in sections or not is_dataclass(sections[section]):
        raise ConfigError(f"no section is called {section!r}")
    known = {each.name: each for each in fields(sections[section])}
    if name not in known:
        raise ConfigError(f"{where}: {unknown(name, known)}")
    hint = get_type_hints(sections[section])[name]
    if not _may_change(about(known[name]), hint):
        raise ConfigError(f"{where}: {name} may not be changed from afar")
    value: Value = checked(known[name], hint, _parsed(text, hint), where)
    return value


def remote_names(sections: Sections) -> list[tuple[str, str]]:
    """(section, name) of every setting that the server may change."""
    return [
        (section, each.name)
        for section, kind in sections.items()
        for each in fields(kind)
        if _may_change(about(each), get_type_hints(kind)[each.name])
    ]


def overridden(
    table: Mapping[str, Any], overrides: Mapping[str, Mapping[str, str]], sections: Sections
) -> tuple[dict[str, Any], list[str]]:
    """unit.toml's table with the changes laid over it, and what is wrong with those that were left out.

    A change is left out where the setting is gone or no longer the server's, where its bounds have been narrowed, and
    where its section is not in use: laying it over would bring in a section that lacks what must be set.
    """
    changed, left_out = copy.deepcopy(dict(table)), []
    for section, values in overrides.items():
        for name, text in values.items():
            try:
                value = remote_value(sections, section, name, text)
                if section not in changed and _must_be_set(sections[section]):
                    raise ConfigError(f"[{section}] is not in use")
            except ConfigError as error:
                left_out.append(str(error))
                continue
            changed.setdefault(section, {})[name] = value
    return changed, left_out


def _may_change(told: About, hint: Any) -> bool:
    bounded = told.low is not None and told.high is not None
    return told.remote and (hint is bool or (hint in (int, float) and bounded) or (hint is str and bool(told.choices)))


def _parsed(text: str, hint: Any) -> Value:
    """`text` as TOML would read it for this type; as it is where it cannot be, for `checked` to complain of."""
    if hint is bool:
        return _TRUTHS.get(text, text)
    if hint is str:
        return text
    try:
        number = int(text) if hint is int else float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _must_be_set(kind: type[Any]) -> bool:
    return any(each.default is MISSING and each.default_factory is MISSING for each in fields(kind))
