"""Slows down guessing of passwords. Kept in memory and bounded; the clock is an argument."""

from collections import OrderedDict
from dataclasses import dataclass, field

MOST_FAILURES = 5
WINDOW_S = 15 * 60
MOST_KEYS = 10_000


@dataclass(slots=True)
class LoginThrottle:
    """Counts failed logins of (login, address). After MOST_FAILURES within WINDOW_S that pair has to wait.

    When more than MOST_KEYS pairs are remembered, the one that failed longest ago is forgotten first.
    """

    _failures: OrderedDict[tuple[str, str], list[float]] = field(default_factory=OrderedDict)

    def wait_s(self, login: str, address: str, now_s: float) -> float:
        """For how long this pair has to wait; 0 where it may try."""
        recent = self._recent((login.casefold(), address), now_s)
        return 0.0 if len(recent) < MOST_FAILURES else recent[0] + WINDOW_S - now_s

    def failed(self, login: str, address: str, now_s: float) -> None:
        """Note a wrong password."""
        key = (login.casefold(), address)
        self._failures[key] = [*self._recent(key, now_s), now_s][-MOST_FAILURES:]
        self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, login: str, address: str) -> None:
        """The right password clears the slate."""
        self._failures.pop((login.casefold(), address), None)

    def _recent(self, key: tuple[str, str], now_s: float) -> list[float]:
        return [at for at in self._failures.get(key, []) if at > now_s - WINDOW_S]
