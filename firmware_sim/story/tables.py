"""Reading one table of a scenario file: every key is known and of the right type, or the reason is told."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from firmware_sim.story.schema import StoryError

_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0}


class Table:
    """One TOML table that is being read. `where` is what a message begins with: file and table."""

    def __init__(self, where: str, values: Any) -> None:
        self.where = where
        if not isinstance(values, Mapping):
            raise StoryError(f"{where}: must be a table")
        self._values = dict(values)
        self._asked: list[str] = []

    def refuse(self, key: str, why: str) -> StoryError:
        """The error to raise for this key."""
        return StoryError(f"{self.where}, key {key!r}: {why}")

    def text(self, key: str, default: str | None = None, among: Iterable[str] | None = None) -> str:
        """A text; without `default` it must be there."""
        value = self._take(key, default)
        if not isinstance(value, str):
            raise self.refuse(key, f"must be a text, not {value!r}")
        if among is not None and value != default and value not in (known := list(among)):
            raise self.refuse(key, f"{value!r} is not known{hint(value, known)}")
        return value

    def number(
        self, key: str, default: float | None = None, low: float = float("-inf"), high: float = float("inf")
    ) -> float:
        """A number from `low` to `high`."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.refuse(key, f"must be a number from {low:g} to {high:g}, not {value!r}")
        return value

    def optional(self, key: str) -> float | None:
        """A number, or None where the key is absent."""
        self._asked.append(key)
        return self.number(key) if key in self._values else None

    def whole(self, key: str, default: int | None = None, low: int = 0) -> int:
        """A whole number from `low` on."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self.refuse(key, f"must be a whole number from {low} on, not {value!r}")
        return value

    def texts(self, key: str, default: Iterable[str] = ()) -> tuple[str, ...]:
        """A text or a list of texts."""
        value = self._take(key, list(default))
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.refuse(key, f"must be a list of texts, not {value!r}")
        return tuple(found)

    def any(self, key: str, default: Any = None) -> Any:
        """Whatever is there."""
        self._asked.append(key)
        return self._values.get(key, default)

    def table(self, key: str) -> "Table":
        """A table within; an absent one is empty."""
        return Table(f"{self.where}.{key}", self.any(key, {}))

    def mapping(self, key: str) -> dict[str, str]:
        """A table of texts; numbers and booleans are written as TOML writes them."""
        found = self.any(key, {})
        if not isinstance(found, Mapping):
            raise self.refuse(key, "must be a table")
        return {name: _written(value) for name, value in found.items()}

    def rows(self, key: str) -> list["Table"]:
        """An array of tables."""
        found = self.any(key, [])
        if not isinstance(found, list):
            raise self.refuse(key, f"write [[{key}]]")
        return [Table(f"{self.where}, [[{key}]] number {at}", each) for at, each in enumerate(found, 1)]

    def seconds(self) -> float:
        """A length as seconds, minutes, hours or days; exactly one of them."""
        given = [key for key in _SECONDS if key in self._values]
        if len(given) != 1:
            raise StoryError(f"{self.where}: needs its length as one of {', '.join(_SECONDS)}")
        self._asked += list(_SECONDS)
        return self.number(given[0], low=0.1, high=40 * 86400) * _SECONDS[given[0]]

    def has(self, key: str) -> bool:
        """Whether the key is given."""
        return key in self._values

    def end(self, further: Iterable[str] = ()) -> None:
        """Everything was asked for: a key that is left is an error."""
        known = [*self._asked, *further]
        for key in self._values:
            if key not in known:
                raise self.refuse(key, f"is not known here{hint(key, known)}")

    def _take(self, key: str, default: Any) -> Any:
        self._asked.append(key)
        value = self._values.get(key, default)
        if value is None:
            raise self.refuse(key, "is missing")
        return value


def hint(word: str, known: Iterable[str]) -> str:
    """The nearest known word, or all of them where they are few."""
    words = list(dict.fromkeys(known))
    if near := difflib.get_close_matches(word, words, 1, 0.6):
        return f"; did you mean {near[0]!r}?"
    return f"; known: {', '.join(words)}" if len(words) <= 40 else ""


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
