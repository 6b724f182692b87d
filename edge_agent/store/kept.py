"""What the agent must not forget between two runs, besides its batches: `kept.json` in the unit's folder.

The rules' state (so that nothing is told twice), the texts that the car has told, and the energy meter. It is written
when one of the first two changes, once an hour for the third, and at the end. If it is lost the rules begin anew.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from edge_agent.store.durable_file import replace_durably

log = logging.getLogger(__name__)

_ENERGY_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """The file's content; every part may be missing."""

    rules: Mapping[str, object] = field(default_factory=dict)
    told: Mapping[str, object] = field(default_factory=dict)
    energy: str | None = None


class KeptFile:
    """Reads once, writes when something changed."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "kept.json"
        self._written = self.read = _read(self._path)
        self._energy_s: float | None = None

    def keep(self, kept: Kept, mono_s: float, *, for_good: bool = False) -> None:
        """What is known now; `for_good`: the agent ends, and the energy meter counts too."""
        if self._energy_s is None:
            self._energy_s = mono_s
        energy_is_due = for_good or mono_s - self._energy_s >= _ENERGY_EVERY_S
        if (kept.rules, kept.told) == (self._written.rules, self._written.told) and not energy_is_due:
            return
        text = json.dumps(asdict(kept), ensure_ascii=False)
        try:
            replace_durably(self._path, text)
        except OSError as error:
            log.error("%s cannot be written: %s; after a restart an event may be told twice", self._path, error)
            return
        self._written, self._energy_s = _parsed(text), mono_s


def _read(path: Path) -> Kept:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read (%s): the local rules begin anew", path, error)
        return Kept()


def _parsed(text: str) -> Kept:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    rules, told, energy = found.get("rules"), found.get("told"), found.get("energy")
    return Kept(
        rules if isinstance(rules, dict) else {},
        told if isinstance(told, dict) else {},
        energy if isinstance(energy, str) else None,
    )
