"""Settings that the server has changed, in `overrides.json` beside unit.toml's state: kept across restarts."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from edge_agent.store.durable_file import replace_durably

log = logging.getLogger(__name__)

MOST = 200  # more than there are settings that may be changed


class Overrides:
    """The changes, each as the text that the command brought; `remote_settings.overridden` lays them over unit.toml.

    Attributes:
        damaged: the file was there and could not be read: the unit runs with unit.toml alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damaged = False
        self._values: dict[str, dict[str, str]] = {}
        try:
            self._values = _read(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            self.damaged = True
            log.error("%s cannot be used (%s): the settings that the server changed are as in unit.toml", path, error)

    @property
    def values(self) -> Mapping[str, Mapping[str, str]]:
        """Section → name → text."""
        return MappingProxyType(self._values)

    def with_one(self, section: str, name: str, text: str) -> dict[str, dict[str, str]]:
        """What `values` would be after this change: to be tried out before it is kept."""
        tried = {each: dict(values) for each, values in self._values.items()}
        tried.setdefault(section, {})[name] = text
        return tried

    def put(self, section: str, name: str, text: str) -> None:
        """Keep a change; it is on the card when this returns. Raises OSError (and then nothing is changed)."""
        changed = self.with_one(section, name, text)
        if sum(map(len, changed.values())) > MOST:
            raise OSError(f"more than {MOST} changed settings")
        replace_durably(self._path, json.dumps(changed, ensure_ascii=False, indent=1, sort_keys=True))
        self._values, self.damaged = changed, False


def _read(text: str) -> dict[str, dict[str, str]]:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    for values in found.values():
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError("not an object of objects of texts")
    return found
