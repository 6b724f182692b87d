"""The web process: how it begins, what it refuses, and that it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.config import WebSettings
from server.web import javascript
from server.web.serving import serve_web
from tests.server.web.conftest import SECRET
from tests.server.web.world import PASSWORD, World, free_port, is_running

ROOT = Path(__file__).parents[3]
SERVE = """
import sys
from server.config import WebSettings
from server.web.serving import serve_web
sys.exit(serve_web(sys.argv[1], WebSettings(port=int(sys.argv[2]), threads=8), b"a secret key of the tests, 32 B!"))
"""


@contextmanager
def served(world: World, port: int) -> Iterator[subprocess.Popen[str]]:
    """The pages as a process of their own, ready to answer."""
    command = [sys.executable, "-c", SERVE, world.store.url, str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 30
        while not answers(port):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "ok")
    except OSError:
        return False


def open_stream(port: int) -> socket.socket:
    """A live page of a logged-in browser, by hand, with its first bytes read."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    page = opener.open(f"http://127.0.0.1:{port}/login").read().decode()
    csrf = page.split('name="csrf_token" value="')[1].split('"')[0]
    form = f"csrf_token={csrf}&login=jia&password={PASSWORD.replace(' ', '+')}&next=/healthz".encode()
    opener.open(f"http://127.0.0.1:{port}/login", data=form).read()
    jar = next(each.cookiejar for each in opener.handlers if isinstance(each, urllib.request.HTTPCookieProcessor))
    cookie = "; ".join(f"{each.name}={each.value}" for each in jar)
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.sendall(f"GET /live/vehicles HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
    got = b""
    while b"event: vehicles" not in got:
        got += connection.recv(4096)
    return connection


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_a_stream_open(world: World, number: signal.Signals) -> None:
    port = free_port()
    with served(world, port) as process:
        stream = open_stream(port)  # its client does not hang up, so gunicorn lingers 2 s for it
        worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        process.send_signal(number)
        assert process.wait(20) == 0
        assert not is_running(worker)
        assert process.communicate()[1] == ""  # nothing had to be killed
        stream.close()


def test_a_killed_parent_takes_its_worker_along(world: World) -> None:
    port = free_port()
    with served(world, port) as process:
        stream = open_stream(port)
        worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        process.kill()
        process.wait(10)
        deadline = time.monotonic() + 8
        while is_running(worker):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        stream.close()


def refused(capsys: pytest.CaptureFixture[str], url: str, settings: WebSettings, key: bytes = SECRET) -> str:
    assert serve_web(url, settings, key) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "Traceback" not in told
    return told


def test_a_busy_port_is_one_sentence(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = refused(capsys, world.store.url, WebSettings(port=port))
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in told


@pytest.mark.parametrize("settings", [WebSettings(host="no.such.host.invalid"), WebSettings(port=70_000)])
def test_an_impossible_address_is_one_sentence(
    world: World, capsys: pytest.CaptureFixture[str], settings: WebSettings
) -> None:
    assert "cannot listen on" in refused(capsys, world.store.url, settings)


def test_missing_page_libraries_are_one_sentence(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(javascript, "VENDOR", tmp_path)
    told = refused(capsys, world.store.url, WebSettings())
    assert "leaflet/leaflet.js" in told
    assert "python -m server.web.javascript" in told


def test_other_things_that_cannot_be_served(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such table: users" in refused(capsys, f"sqlite:///{tmp_path / 'empty.db'}", WebSettings())
    assert "tile_url" in refused(capsys, world.store.url, WebSettings(tile_url="nowhere"))
    assert "threads" in refused(capsys, world.store.url, WebSettings(threads=3))
    assert "secret key" in refused(capsys, world.store.url, WebSettings(), b"short")


def test_the_pages_load_no_mqtt() -> None:
    check = "import sys, server.web.serving; sys.exit(any(name.split('.')[0] == 'paho' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
