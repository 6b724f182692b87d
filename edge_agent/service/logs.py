"""Logs that people and machines read, and that cannot fill the card.

Lines go to stderr, where journald keeps them (deploy/systemd/journald-pledgewatch.conf: in memory, 16 MiB). The same
sentence of the same place passes five times a minute, then it is only counted; the count is told when the minute is
over.
"""

import json
import logging
import time
from collections.abc import Callable

_PASSES = 5
_WINDOW_S = 60.0
_MOST_KINDS = 500
# What a LogRecord always has; the rest was given as `extra` and is told too.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Sparing(logging.Filter):
    """Lets each sentence (its template, not its values) pass `_PASSES` times in a window, then counts it."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now_s = now_s
        self._seen: dict[tuple[str, int, str], tuple[float, int]] = {}  # (logger, level, template) → (since, times)

    def filter(self, record: logging.LogRecord) -> bool:
        """False: swallowed. The first after a window in which some were swallowed says how many."""
        kind, now_s = (record.name, record.levelno, str(record.msg)), self._now_s()
        since_s, times = self._seen.get(kind, (now_s, 0))
        if now_s - since_s >= _WINDOW_S:
            swallowed = times - _PASSES
            if swallowed > 0:
                record.msg = f"{record.getMessage()} ({swallowed} more like this were not logged)"
                record.args = None
            since_s, times = now_s, 0
        if len(self._seen) >= _MOST_KINDS and kind not in self._seen:
            self._seen.clear()
        self._seen[kind] = (since_s, times + 1)
        return times < _PASSES


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, text, exception, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        told: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            told["exception"] = self.formatException(record.exc_info)
        told |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        return json.dumps(told, ensure_ascii=False, default=str)


def set_up(verbose: bool, as_json: bool) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler()
    handler.addFilter(Sparing())
    handler.setFormatter(
        JsonLines() if as_json else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler])
