"""The unit's network: bytes pass, are cut, and pass again."""

import socket
import threading

import pytest

from firmware_sim.bench.relay import Relay


@pytest.fixture
def echo() -> tuple[str, int]:
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            way, _ = server.accept()
            threading.Thread(target=_answer, args=(way,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()


def _answer(way: socket.socket) -> None:
    with way:
        while data := way.recv(4096):
            way.sendall(data.upper())


def call(relay: Relay) -> socket.socket:
    way = socket.create_connection(("127.0.0.1", relay.port), timeout=5)
    way.sendall(b"hello")
    return way


def test_cut_and_mended(echo: tuple[str, int]) -> None:
    relay = Relay(echo)
    try:
        way = call(relay)
        assert way.recv(16) == b"HELLO"
        relay.cut()
        assert way.recv(16) == b""
        way.close()
        with socket.create_connection(("127.0.0.1", relay.port), timeout=5) as refused:
            assert refused.recv(16) == b""
        relay.mend()
        with call(relay) as again:
            assert again.recv(16) == b"HELLO"
    finally:
        relay.close()
