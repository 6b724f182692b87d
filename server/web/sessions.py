"""Which logins have ended. A session lives in the browser's signed cookie, so logging out must be remembered here."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

LIFETIME_S = 12 * 3600
MOST_ENDED = 10_000


@dataclass(slots=True)
class Sessions:
    """Logins that were ended before their time, until their cookie would have run out anyway."""

    _ended: OrderedDict[str, float] = field(default_factory=OrderedDict)

    @staticmethod
    def new_token() -> str:
        """Names one login."""
        return secrets.token_urlsafe(16)

    def end(self, token: str, now_s: float) -> None:
        """From now on the cookie of this login, and every copy of it, is worth nothing."""
        self._ended[token] = now_s
        while self._ended and (len(self._ended) > MOST_ENDED or next(iter(self._ended.values())) < now_s - LIFETIME_S):
            self._ended.popitem(last=False)

    def is_alive(self, token: str | None, since_s: float | None, now_s: float) -> bool:
        """Whether a login of `since_s` still holds."""
        if token is None or since_s is None or token in self._ended:
            return False
        return -60 < now_s - since_s < LIFETIME_S
