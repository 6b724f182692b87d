"""What a person sees on stderr while a play runs: one line every few seconds, and a line when it stands still."""

import sys
import time
from datetime import timedelta

from firmware_sim.play import Player

_EVERY_S = 5.0
_STANDING_AFTER_S = 1.0


class Progress:
    """Called in every round of the play; `total_s` is the play's length, None where it never ends."""

    def __init__(self, total_s: float | None, waits_for: str) -> None:
        self._total_s = total_s
        self._waits_for = waits_for
        self._next_line = time.monotonic() + _EVERY_S
        self._standing_since: float | None = None
        self._said_standing = False

    def __call__(self, player: Player) -> None:
        now = time.monotonic()
        if player.waits_for_reader:
            self._stand(player, now)
        elif now >= self._next_line:
            self._standing_since, self._said_standing = None, False
            self._say(f"{self._share(player)}{_clock(player.summary.played_s)}{self._of()}  {_counts(player)}", now)
        else:
            self._standing_since, self._said_standing = None, False

    def _stand(self, player: Player, now: float) -> None:
        self._standing_since = self._standing_since or now
        if not self._said_standing and now - self._standing_since >= _STANDING_AFTER_S:
            self._said_standing = True
            self._say(f"standing at {_clock(player.summary.played_s)}: nobody has {self._waits_for} open", now)

    def _say(self, line: str, now: float) -> None:
        print(line, file=sys.stderr, flush=True)
        self._next_line = now + _EVERY_S

    def _share(self, player: Player) -> str:
        return f"{min(100, int(100 * player.summary.played_s / self._total_s)):3d} %  " if self._total_s else ""

    def _of(self) -> str:
        return f" of {_clock(self._total_s)}" if self._total_s else ""


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def _counts(player: Player) -> str:
    summary = player.summary
    unheard = f", {summary.bytes_unheard:,} bytes unheard" if summary.bytes_unheard else ""
    return f"{summary.bytes_sent:,} bytes, {summary.obd_requests:,} OBD requests{unheard}"
