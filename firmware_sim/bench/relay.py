"""The unit's network: a relay of bytes on a port of its own, which can be cut and mended while it runs."""

import contextlib
import socket
import threading

_READ_BYTES = 16384
_LOOK_S = 0.2


class Relay:
    """Connections to `port` end at `target`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._is_up = threading.Event()
        self._is_up.set()
        self._over = threading.Event()
        self._ways: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_LOOK_S)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def cut(self) -> None:
        """What is connected is reset, and nobody gets through until `mend`."""
        self._is_up.clear()
        self._reset()

    def mend(self) -> None:
        """All is well again."""
        self._is_up.set()

    def close(self) -> None:
        """For good."""
        self._over.set()
        self._reset()
        self._listener.close()

    def _reset(self) -> None:
        with self._guard:
            ways, self._ways = self._ways, set()
        for each in ways:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._is_up.is_set():
                near.close()
                continue
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        for each in (near, far):
            each.settimeout(None)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._guard:
            self._ways |= {near, far}
        back = threading.Thread(target=self._pass, args=(far, near), daemon=True)
        back.start()
        self._pass(near, far)
        back.join()
        with self._guard:
            self._ways -= {near, far}
        near.close()
        far.close()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
