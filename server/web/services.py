"""What a page's handler may use, in one typed place."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from flask import Flask, current_app

from server.config import WebSettings
from server.store.db import Store
from server.web.login_throttle import LoginThrottle
from server.web.sessions import Sessions

_KEY = "pledgewatch"
# Each password check takes 64 MiB for a moment (Argon2id); this many at once, the others wait.
_CHECKS_AT_ONCE = 2


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(slots=True)
class Services:
    """The store, the settings, and the little that is kept in memory."""

    store: Store
    settings: WebSettings
    throttle: LoginThrottle = field(default_factory=LoginThrottle)
    sessions: Sessions = field(default_factory=Sessions)
    password_checks: threading.Semaphore = field(default_factory=lambda: threading.BoundedSemaphore(_CHECKS_AT_ONCE))
    streams: threading.Semaphore = field(init=False)
    is_stopping: Callable[[], bool] = lambda: False
    now_ms: Callable[[], int] = _now_ms

    @property
    def map_datum(self) -> str:
        """In which datum pages draw: the tiles', or WGS-84 on our own grid."""
        return self.settings.tile_datum if self.settings.tile_url else "wgs84"

    def __post_init__(self) -> None:
        # Each live page holds a thread; an eighth of them stays free for ordinary pages.
        self.streams = threading.BoundedSemaphore(max(1, self.settings.threads - max(2, self.settings.threads // 8)))


def install(app: Flask, services: Services) -> None:
    """Give the application its services."""
    app.extensions[_KEY] = services


def services(app: Flask | None = None) -> Services:
    """The services of this application, or of the one that is handling a request."""
    found = (app or current_app).extensions[_KEY]
    assert isinstance(found, Services)
    return found


def program_version() -> str:
    """The installed version, for /healthz."""
    try:
        return version("pledgewatch")
    except PackageNotFoundError:
        return "unknown"
