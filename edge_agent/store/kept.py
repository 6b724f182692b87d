"""What the agent must not forget between two runs, besides its batches. Pure: a text that the outbox keeps.

The rules' state (so that nothing is told twice), the texts that the car has told, whom the server wants to follow (a
flicker of the supply must not end that), and the energy meter. It goes into
the commit that takes the batch with the event, so power may go at any instant: the event and the memory of having told
it are both on the card, or neither is. The meter alone is kept once an hour, and at the end. If the text is lost the
rules begin anew.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

log = logging.getLogger(__name__)

_ENERGY_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Following:
    """Send where the vehicle is every `every_s`, until `until_ms` by the server's time (UTC ms)."""

    every_s: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The text's content; every part may be missing."""

    rules: Mapping[str, object] = field(default_factory=dict)
    told: Mapping[str, object] = field(default_factory=dict)
    energy: str | None = None
    following: Following | None = None


class Keeping:
    """Reads once, and says when there is something new to keep."""

    def __init__(self, text: str | None) -> None:
        """`text`: what an earlier run kept last, None where there is nothing."""
        self._written = self.read = _read(text)
        self._energy_s: float | None = None

    def due(self, kept: Kept, mono_s: float, *, for_good: bool = False) -> str | None:
        """The text to keep now, None where the last one still says it all.

        Args:
            kept: what is known now.
            mono_s: the instant, s.
            for_good: the agent ends, and the energy meter counts too.
        """
        if self._energy_s is None:
            self._energy_s = mono_s
        energy_is_due = for_good or mono_s - self._energy_s >= _ENERGY_EVERY_S
        if replace(kept, energy=None) == replace(self._written, energy=None) and not energy_is_due:
            return None
        return json.dumps(asdict(kept), ensure_ascii=False)

    def on_put(self, text: str | None, mono_s: float) -> None:
        """What `due` gave is on the card."""
        if text is not None:
            self._written, self._energy_s = _parsed(text), mono_s


def _read(text: str | None) -> Kept:
    try:
        return Kept() if text is None else _parsed(text)
    except (ValueError, TypeError) as error:
        log.warning("what an earlier run kept cannot be read (%s): the local rules begin anew", error)
        return Kept()


def _parsed(text: str) -> Kept:
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("not an object")
    rules, told, energy = found.get("rules"), found.get("told"), found.get("energy")
    following = found.get("following")
    told_until = following if isinstance(following, dict) and set(following) == {"every_s", "until_ms"} else None
    return Kept(
        rules if isinstance(rules, dict) else {},
        told if isinstance(told, dict) else {},
        energy if isinstance(energy, str) else None,
        Following(int(told_until["every_s"]), int(told_until["until_ms"])) if told_until else None,
    )
