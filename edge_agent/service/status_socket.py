"""`pledgewatch-agent status`: the running agent is asked through a socket in its folder, so nothing is written for it.

One connection is one answer: JSON, then the end. The agent's own loop makes the answer, so one that hangs is told from
one that works.
"""

import contextlib
import json
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SOCKET = "status.sock"
_PATIENCE_S = 3.0
Ask = Callable[[Callable[[dict[str, Any]], None]], None]  # puts a request into the agent's inbox


class NoAgentError(Exception):
    """Nobody answers in that folder; the text says why."""


class StatusSocket:
    """Answers with what the agent says of itself."""

    def __init__(self, folder: Path, ask: Ask) -> None:
        """`ask(reply)` must soon call `reply` with the status, from any thread."""
        self._folder, self._ask = folder, ask
        self._listener: socket.socket | None = None

    def start(self) -> None:
        """Listen; a folder that takes no socket (a file system without them) leaves the agent without status."""
        with contextlib.suppress(OSError), _reachable(self._folder) as path:
            with contextlib.suppress(FileNotFoundError):
                Path(path).unlink()  # of an agent that was killed; the folder's lock is ours
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            listener.bind(path)
            os.chmod(path, 0o660)  # noqa: PTH101 - the path is only valid while its folder is open
            listener.listen(4)
            self._listener = listener
            threading.Thread(target=self._serve, args=(listener,), name="status", daemon=True).start()

    def stop(self) -> None:
        """Close; a thread that waits in accept ends with it."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            (self._folder / SOCKET).unlink(missing_ok=True)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_PATIENCE_S)
                answers: queue.Queue[dict[str, Any]] = queue.Queue()
                self._ask(answers.put)
                try:
                    told = answers.get(timeout=_PATIENCE_S)
                except queue.Empty:
                    told = {"stuck": f"the agent's loop did not answer within {_PATIENCE_S:g} s"}
                connection.sendall(json.dumps(told, ensure_ascii=False).encode())


def ask_agent(folder: Path) -> dict[str, Any]:
    """What the agent that runs in `folder` says of itself.

    Raises:
        NoAgentError: none runs there, or it does not answer.
    """
    try:
        with _reachable(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as way:
            way.settimeout(2 * _PATIENCE_S)
            way.connect(path)
            data = b"".join(iter(lambda: way.recv(65536), b""))
        told = json.loads(data)
    except FileNotFoundError:
        raise NoAgentError(f"no agent runs in {folder}") from None
    except (OSError, ValueError) as error:
        raise NoAgentError(f"the agent in {folder} does not answer: {error}") from None
    if not isinstance(told, dict):
        raise NoAgentError(f"the agent in {folder} answers oddly")
    return told


@contextlib.contextmanager
def _reachable(folder: Path) -> Iterator[str]:
    """A socket's path may have 107 bytes (unix(7)); through the open folder it is short however deep that lies."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
