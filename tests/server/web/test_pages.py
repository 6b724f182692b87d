"""Every page: who may see it, what it holds, and its JSON twin."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from server.config import WebSettings
from server.store import quarantine_rows
from server.store.db import Store
from server.web.app import create_app
from server.web.i18n import LOCALES
from server.web.login import OPEN_ENDPOINTS
from server.web.services import services
from server.web.vehicle_pages import PERIODS
from tests.server.web.conftest import NOW_MS, OTHER_VIN, SECRET, VIN, choose, log_in, token
from tests.server.web.world import PASSWORD, World, loop, sample
from wire.refused import Reason, RefusedError
from wire.topics import BATCH

AsUser = Callable[[str], FlaskClient]


def rules(app: Flask, argument: str = "") -> list[Rule]:
    """The GET routes that are not open to everybody; with an argument only those that take it."""
    closed = [rule for rule in app.url_map.iter_rules() if rule.endpoint not in OPEN_ENDPOINTS]
    return [rule for rule in closed if "GET" in (rule.methods or ()) and (not argument or argument in rule.arguments)]


def address(rule: Rule, vehicle_id: int) -> str:
    return rule.rule.replace("<int:vehicle_id>", str(vehicle_id))


def test_nothing_is_shown_without_a_login(app: Flask) -> None:
    assert len(rules(app)) >= 12
    for rule in rules(app):
        answer = app.test_client().get(address(rule, 1))
        if rule.rule.endswith(".json") or rule.rule.startswith("/live/"):
            assert answer.status_code == 401, rule
            assert answer.json == {"error": "login_required"}
        else:
            assert answer.status_code == 303, rule
            assert answer.headers["Location"].startswith("/login")


def test_nobody_sees_another_lenders_vehicle(app: Flask, world: World, as_user: AsUser) -> None:
    mine, other = world.vehicles[VIN], world.vehicles[OTHER_VIN]
    assert len(rules(app, "vehicle_id")) == 6
    cases = (("jia", mine, 200), ("yi", mine, 404), ("jia", other, 404), ("yi", other, 200))
    for rule in rules(app, "vehicle_id"):
        for login, vehicle_id, status in cases:
            with as_user(login).get(address(rule, vehicle_id)) as answer:
                assert answer.status_code == status, (rule, login)


def test_nothing_of_another_lender_is_on_any_page(app: Flask, as_user: AsUser) -> None:
    jia, yi = as_user("jia"), as_user("yi")
    for rule in rules(app):
        if "vehicle_id" in rule.arguments or rule.rule.startswith("/live/"):
            continue
        path = rule.rule
        assert OTHER_VIN not in jia.get(path, follow_redirects=True).text
        assert VIN not in yi.get(path, follow_redirects=True).text
    assert VIN in jia.get("/vehicles").text
    assert "没有与" in yi.get(f"/vehicles?q={VIN}").text
    assert yi.get(f"/vehicles.json?q={VIN}").json["vehicles"] == []


def test_every_page_in_both_languages(app: Flask, world: World, jia: FlaskClient) -> None:
    pages = ["/vehicles", "/vehicles?q=nothing", "/map", "/quarantine", f"/vehicles/{world.vehicles[VIN]}"]
    pages += [f"/vehicles/{world.vehicles[VIN]}?hours={hours}" for hours, _ in PERIODS]
    pages += [f"/vehicles/{world.vehicles[VIN]}/commands"]
    for locale, (_, tag) in LOCALES.items():
        choose(jia, locale)
        for path in pages:
            answer = jia.get(path)
            assert answer.status_code == 200
            assert f'<html lang="{tag}"' in answer.text
            assert " · Pledgewatch</title>" in answer.text
        assert jia.get("/nowhere").status_code == 404


def test_every_answer_carries_the_policy(app: Flask, jia: FlaskClient) -> None:
    for path in ("/vehicles", "/map.json", "/nowhere", "/healthz", "/static/mark.svg"):
        with jia.get(path) as answer:
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
    assert jia.get("/vehicles").headers["Cache-Control"] == "no-store"


def test_no_page_needs_what_the_policy_forbids(jia: FlaskClient, world: World) -> None:
    for path in ("/vehicles", "/map", "/quarantine", f"/vehicles/{world.vehicles[VIN]}"):
        text = jia.get(path).text
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick" not in text
        assert text.count("<script") == text.count('src="/static/') - text.count('<img src="/static/')


def test_the_list_and_its_twin(jia: FlaskClient, world: World) -> None:
    text = jia.get("/vehicles").text
    assert "京A·12345" in text
    assert "行驶" in text
    twin = jia.get("/vehicles.json").json
    assert [each["vin"] for each in twin["vehicles"]] == [VIN, "LHGCM56745A000888"]
    first = twin["vehicles"][0]
    assert first["status"] == "moving"
    assert first["unit"] == "PW000001"
    assert first["state"]["fix_time_ms"] == NOW_MS - 1000
    assert first["arrived_utc"] == "2026-11-18T11:06:40.000Z"
    assert twin["more"] is False
    assert jia.get("/vehicles.json?q=000888").json["vehicles"][0]["state"] is None


def test_the_vehicle_and_its_twin(jia: FlaskClient, world: World) -> None:
    path = f"/vehicles/{world.vehicles[VIN]}"
    text = jia.get(path).text
    for shown in ("62", "km/h", "卫星定位", "1,830", "48,211.4", "14.12"):
        assert f">{shown}<" in text
    assert 'title="2026-11-18 11:06:39 UTC"><span class="value">2026-11-18 19:06:39</span>' in text
    assert "读取到故障码" in text
    assert "P0420 &lt;b&gt;" in text
    twin = jia.get(path + ".json").json
    assert twin["state"]["speed_mps"] == 17.22
    assert (twin["map_lat"], twin["map_lon"]) == (twin["state"]["lat_deg"], twin["state"]["lon_deg"])
    assert [event["kind"] for event in twin["events"]] == ["trouble_codes"]


def test_the_track_twin(jia: FlaskClient, world: World) -> None:
    path = f"/vehicles/{world.vehicles[VIN]}/track.json"
    track = jia.get(path + "?hours=1").json
    assert track["stored"] == track["drawn"] == len(track["time_ms"]) == 60
    assert track["time_ms"][0] == NOW_MS - 60_000
    assert track["lat_deg"][1] == 39.9001
    assert track["speed_mps"][0] == 17.22
    assert track["gaps"] == []
    services(jia.application).now_ms = lambda: NOW_MS + 3 * 3_600_000
    assert jia.get(path + "?hours=1").json["stored"] == 0
    assert jia.get(path + "?hours=6").json["stored"] == 60


def test_a_long_track_says_how_much_of_it_is_drawn(jia: FlaskClient, world: World) -> None:
    drive = loop(NOW_MS - 9_000_000, 6000)
    for start in range(0, len(drive), 300):
        world.hear("PW000001", drive[start : start + 300], NOW_MS)
    track = jia.get(f"/vehicles/{world.vehicles[VIN]}/track.json").json
    assert track["stored"] == 6060
    assert track["drawn"] == len(track["map_lat"]) <= 5000
    assert len(track["gaps"]) == 1


@pytest.mark.parametrize("hours", ["0", "169", "-1", "1.5", "x", "", "٣", "9" * 5000])
def test_an_impossible_period_is_a_bad_request(jia: FlaskClient, world: World, hours: str) -> None:
    for path in ("", "/track.json"):
        assert jia.get(f"/vehicles/{world.vehicles[VIN]}{path}", query_string={"hours": hours}).status_code == 400


def test_numbers_that_no_vehicle_has(jia: FlaskClient) -> None:
    for path in ("/vehicles/0", f"/vehicles/{2**63}", f"/vehicles/{10**30}.json", f"/live/vehicles/{2**64}"):
        assert jia.get(path).status_code == 404


def test_the_map_and_its_twin(jia: FlaskClient) -> None:
    assert 'id="map"' in jia.get("/map").text
    twin = jia.get("/map.json").json
    assert twin["map_datum"] == "wgs84"
    assert [each["name"] for each in twin["vehicles"]] == ["京A·12345", "LHGCM56745A000888"]
    assert twin["vehicles"][0]["facts"]["speed"] == {"text": "62", "unit": "km/h"}
    assert twin["vehicles"][1]["map_lat"] is None


def test_a_gcj02_base_map_moves_what_is_drawn_and_nothing_else(world: World) -> None:
    url = "https://tiles.example.org/{z}/{x}/{y}.png"
    settings = WebSettings(tile_url=url, tile_datum="gcj02", tile_attribution="<i>")
    client = create_app(world.store, settings, SECRET).test_client()
    assert log_in(client, "jia") == 303
    page = client.get(f"/vehicles/{world.vehicles[VIN]}")
    assert "GCJ-02" in page.text
    assert "https://tiles.example.org" in page.headers["Content-Security-Policy"]
    assert 'data-tile-attribution="&lt;i&gt;"' in page.text
    twin = client.get("/vehicles.json").json
    first = twin["vehicles"][0]
    assert twin["map_datum"] == "gcj02"
    assert first["state"]["lat_deg"] == 39.9059
    assert 'data-datum="gcj02"' in page.text
    assert 0.001 < first["map_lat"] - 39.9059 < 0.002
    assert 0.005 < first["map_lon"] - 116.4 < 0.007


def test_a_datum_without_a_base_map_moves_nothing(world: World) -> None:
    client = create_app(world.store, WebSettings(tile_datum="bd09"), SECRET).test_client()
    assert log_in(client, "jia") == 303
    assert client.get("/map.json").json["vehicles"][0]["map_lat"] == 39.9059
    assert 'data-datum="wgs84"' in client.get("/map").text


def test_refusals(jia: FlaskClient, as_user: AsUser, world: World) -> None:
    assert "没有拒收的数据" in jia.get("/quarantine").text
    with world.store.write() as connection:
        for _ in range(3):
            refused = RefusedError(Reason.SIGNATURE)
            quarantine_rows.refuse(connection, world.lenders["甲汽车金融"], "t", b"x", refused, NOW_MS)
    text = jia.get("/quarantine").text
    assert "签名无效" in text
    assert 'role="alert"' not in text
    at = {"last_ms": NOW_MS, "last_utc": "2026-11-18T11:06:40.000Z"}
    told = jia.get("/quarantine.json").json
    assert told["refusals"] == [{"reason": "signature", "is_alarm": False, "times": 3, "units": 1, **at}]
    [payload] = told["newest"]
    assert (payload["topic"], payload["unit"], payload["size"], payload["times"]) == ("t", None, 1, 3)
    assert (payload["settled_ms"], payload["outcome"]) == (None, None)
    assert as_user("yi").get("/quarantine.json").json == {"refusals": [], "newest": []}


def test_one_identity_in_two_places_is_an_alarm(jia: FlaskClient, as_user: AsUser, world: World) -> None:
    topic = BATCH.of("PW000001")
    with world.store.write() as connection:
        for payload in (b"x", b"y"):
            refused = RefusedError(Reason.OLD_BOOT, "boot 1, the unit is at boot 2")
            quarantine_rows.refuse(connection, world.lenders["甲汽车金融"], topic, payload, refused, NOW_MS)
        [first, _] = quarantine_rows.waiting(connection, after_id=0, limit=9)
        quarantine_rows.settle(connection, [first.id], "stored", NOW_MS + 1000)
    text = jia.get("/quarantine").text
    assert "有 2 条数据的身份同时出现在两处" in text
    assert "boot 1, the unit is at boot 2" in text
    assert text.count("已重新接收") == 1
    told = jia.get("/quarantine.json").json
    assert told["refusals"][0]["is_alarm"] is True
    assert [(each["unit"], each["outcome"]) for each in told["newest"]] == [("PW000001", None), ("PW000001", "stored")]
    assert "PW000001" not in as_user("yi").get("/quarantine").text


def test_empty_pages_teach(world: World, app: Flask) -> None:
    world.add_lender("丙汽车金融", "bing")
    client = app.test_client()
    assert log_in(client, "bing") == 303
    for path in ("/vehicles", "/map"):
        text = client.get(path).text
        assert "还没有车辆" in text
        assert 'pledgewatch fleet add --lender "丙汽车金融"' in text
    assert "没有与" in client.get("/vehicles?q=<script>").text
    assert "<script>" not in client.get("/vehicles?q=<script>").text


def test_what_vehicles_are_called_is_escaped(world: World, jia: FlaskClient) -> None:
    bad = '"><script>alert(1)</script>'
    vehicle_id = world.add_vehicle("甲汽车金融", "LZWADAGA4F4123456", None, bad, "PW000009")
    world.hear("PW000009", [sample(NOW_MS)], NOW_MS)
    for path in ("/vehicles", f"/vehicles/{vehicle_id}", "/map"):
        assert "<script>alert" not in jia.get(path).text


def test_health(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["status"], answer.json["store"]) == ("ok", "ok")


def test_a_database_that_does_not_answer_is_said_so(app: Flask, world: World, jia: FlaskClient) -> None:
    services(app).store = Store("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    assert app.test_client().get("/healthz").status_code == 503
    page = jia.get("/vehicles")
    assert page.status_code == 503
    assert "数据库无响应" in page.text
    assert jia.get("/vehicles.json").status_code == 503
    assert app.test_client().get("/login").status_code == 200


def test_our_own_fault_is_a_page_too(jia: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault of the test")

    monkeypatch.setattr("server.web.vehicle_pages.vehicles_of", broken)
    answer = jia.get("/vehicles")
    assert answer.status_code == 500
    assert "服务器出错" in answer.text
    assert "a fault" not in answer.text


def test_large_and_odd_requests(app: Flask, jia: FlaskClient) -> None:
    form = {"csrf_token": token(jia, "/vehicles"), "login": "jia", "password": PASSWORD, "next": "x" * 100_000}
    assert jia.post("/login", data=form).status_code == 413
    assert jia.post("/vehicles", data={"csrf_token": token(jia, "/vehicles")}).status_code == 405
