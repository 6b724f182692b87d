"""The web process: the pages under gunicorn, one worker process with many threads (each open live page holds one)."""

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from server.config import WebSettings
from server.store.db import Store
from server.web import javascript
from server.web.app import create_app
from server.web.security import content_security_policy
from server.web.services import services

EXIT_UNUSABLE = 2
_GRACE_S = 1  # for requests under way; live streams end by themselves
_KILL_AFTER_S = 10  # a worker that has not ended by then, however busy the machine
_BACKLOG = 512


class CannotServeError(RuntimeError):
    """Why the pages cannot be served; the text says what to do."""


def serve_web(store_url: str, settings: WebSettings, secret_key: bytes) -> int:
    """Serve the pages until a signal ends it.

    Args:
        store_url: the migrated database.
        settings: address, threads, base map.
        secret_key: signs sessions; at least 16 bytes, the same after a restart.

    Returns:
        0 after a signal, 2 where serving cannot begin: the reason is one sentence on stderr.
    """
    try:
        _check(store_url, settings, secret_key)
        listener = _listen(settings)
    except CannotServeError as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE
    print(f"pages at http://{_shown_host(settings.host)}:{listener.getsockname()[1]}/", flush=True)
    us = os.getpid()
    try:
        # gunicorn takes the socket over and closes it.
        _Gunicorn(lambda: create_app(Store(store_url), settings, secret_key), listener.detach(), settings.threads).run()
    except SystemExit as end:  # gunicorn's way to return
        if os.getpid() != us:
            raise  # its worker, a fork of ours, ends here too
        return end.code if isinstance(end.code, int) else 0
    return 0


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    """gunicorn without its command line and settings file. The worker makes the application, after the fork."""

    def __init__(self, make_app: Callable[[], Flask], listener: int, threads: int) -> None:
        self._make_app = make_app
        self._options: dict[str, Any] = {
            "bind": f"fd://{listener}",
            "workers": 1,
            "worker_class": "gthread",
            "threads": threads,
            "worker_connections": max(1000, 2 * threads),
            "graceful_timeout": _KILL_AFTER_S,
            "loglevel": "warning",
            "proc_name": "pledgewatch-web",
            "control_socket_disable": True,  # since gunicorn 25.1: nothing of ours is steered through a socket
            "post_worker_init": _prepare_to_end,
        }
        super().__init__()

    def load_config(self) -> None:
        """Called by gunicorn: our options, as far as this version knows them."""
        for name, value in self._options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        """Called by gunicorn, in the worker."""
        return self._make_app()


def _prepare_to_end(worker: Any) -> None:
    """Called in the worker. Live streams end by themselves when it is to end, also where its parent was killed.

    gunicorn gives parent and worker the same time, and a worker that waits for idle connections uses all of it: on a
    busy machine its parent then killed it now and then, just before its end.
    """
    worker.cfg.set("graceful_timeout", _GRACE_S)
    parent = os.getppid()
    services(worker.wsgi).is_stopping = lambda: not worker.alive or os.getppid() != parent


def _check(store_url: str, settings: WebSettings, secret_key: bytes) -> None:
    """Find out now what would otherwise be a blank map or a traceback later."""
    if missing := javascript.missing():
        names = ", ".join(missing)
        raise CannotServeError(f"page libraries are missing ({names}); 'python -m server.web.javascript' fetches them")
    if len(secret_key) < 16:
        raise CannotServeError("the secret key that signs sessions must have at least 16 bytes")
    if settings.threads < 4:
        raise CannotServeError("[web] threads must be at least 4: each open live page holds one")
    try:
        content_security_policy(settings.tile_url)
    except ValueError as error:
        raise CannotServeError(str(error)) from None
    store = Store(store_url)
    try:
        with store.read() as connection:
            connection.execute(text("SELECT 1 FROM users"))
    except (SQLAlchemyError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise CannotServeError(f"the database cannot be used: {reason}") from None
    finally:
        store.close()


def _listen(settings: WebSettings) -> socket.socket:
    where = f"{_shown_host(settings.host)}:{settings.port}"
    if not 0 <= settings.port < 65536:  # getaddrinfo would wrap it round
        raise CannotServeError(f"cannot listen on {where}: a port is a number from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CannotServeError(f"cannot listen on {where}: {reason}; [web] host and port set another") from None
    return listener


def _shown_host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
