"""The application over a small world, and browsers of its people."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from server.config import WebSettings
from server.web.app import create_app
from server.web.services import services
from tests.server.web.world import PASSWORD, World, sample, small_world
from wire.records import Event, TimeQuality

NOW_MS = 1_795_000_000_000
SECRET = b"a secret key of the tests, 32 B!"
VIN, OTHER_VIN = "LSVAA4188E2100018", "LGBH52E03KY012345"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """甲 has a vehicle that drives and one without a unit, 乙 has one that stands."""
    with small_world(tmp_path) as made:
        made.add_vehicle("甲汽车金融", VIN, "京A·12345", "朗逸", "PW000001")
        made.add_vehicle("甲汽车金融", "LHGCM56745A000888")
        made.add_vehicle("乙汽车金融", OTHER_VIN, "沪B·6K8Q2", None, "PW000002")
        drive = [sample(NOW_MS - 60_000 + 1000 * i, 39.9 + i * 1e-4, 116.4) for i in range(60)]
        told = [Event("trouble_codes", 1, NOW_MS - 30_000, TimeQuality.GNSS, {"codes": "P0420 <b>"})]
        made.hear("PW000001", drive, NOW_MS, told)
        made.hear("PW000002", [sample(NOW_MS - 5000, 31.23, 121.47, speed_mps=0.1, engine_rpm=0.0)], NOW_MS)
        yield made


@pytest.fixture
def app(world: World) -> Flask:
    """The application, with its clock stopped at NOW_MS."""
    made = create_app(world.store, WebSettings(), SECRET)
    services(made).now_ms = lambda: NOW_MS
    return made


def token(client: FlaskClient, path: str = "/login") -> str:
    """A CSRF token, as a browser finds it in a page."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def log_in(client: FlaskClient, login: str, password: str = PASSWORD, **more: str) -> int:
    """Fill in the form; returns the status."""
    form = {"csrf_token": token(client), "login": login, "password": password, **more}
    return client.post("/login", data=form).status_code


@pytest.fixture
def as_user(app: Flask) -> Callable[[str], FlaskClient]:
    """A browser in which this person has logged in."""

    def make(login: str) -> FlaskClient:
        client = app.test_client()
        assert log_in(client, login) == 303
        return client

    return make


@pytest.fixture
def jia(as_user: Callable[[str], FlaskClient]) -> FlaskClient:
    """A browser of lender 甲."""
    return as_user("jia")


def choose(client: FlaskClient, locale: str) -> None:
    """Press the language switch."""
    assert client.post("/language", data={"csrf_token": token(client, "/map"), "locale": locale}).status_code == 303
