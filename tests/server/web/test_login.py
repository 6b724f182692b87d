"""Logging in and out, CSRF, and the language switch."""

from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from server.store import people_rows
from server.web.login_throttle import MOST_FAILURES, WINDOW_S
from server.web.services import services
from server.web.sessions import LIFETIME_S
from tests.server.web.conftest import NOW_MS, choose, log_in, token
from tests.server.web.world import PASSWORD, World


def test_in_and_out(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/vehicles").headers["Location"] == "/login?next=%2Fvehicles"
    assert log_in(client, "jia") == 303
    page = client.get("/vehicles")
    assert page.status_code == 200
    assert "甲汽车金融" in page.text
    assert client.get("/login").status_code == 303
    answer = client.post("/logout", data={"csrf_token": token(client, "/vehicles")})
    assert answer.headers["Location"] == "/login"
    assert client.get("/vehicles").status_code == 303


def test_the_login_leads_to_the_page_that_was_asked_for_and_never_away(app: Flask) -> None:
    client = app.test_client()
    form = {"login": "jia", "password": PASSWORD}
    page = client.get("/login?next=/vehicles/1%3Fhours%3D6")
    assert 'name="next" value="/vehicles/1?hours=6"' in page.text
    answer = client.post("/login", data={**form, "csrf_token": token(client), "next": "/vehicles/1?hours=6"})
    assert answer.headers["Location"] == "/vehicles/1?hours=6"
    other = app.test_client()
    answer = other.post("/login", data={**form, "csrf_token": token(other), "next": "//evil.example/"})
    assert answer.headers["Location"] == "/"


def test_wrong_login_and_wrong_password_look_the_same(app: Flask) -> None:
    client = app.test_client()
    for login, password in (("jia", "wrong"), ("nobody", PASSWORD), ("", ""), ("jia", "x" * 5000), ("j" * 500, "x")):
        answer = client.post("/login", data={"csrf_token": token(client), "login": login, "password": password})
        assert answer.status_code == 401
        assert "账号或密码错误。" in answer.text
    assert client.get("/vehicles").status_code == 303


def test_after_some_wrong_passwords_the_right_one_has_to_wait_too(app: Flask) -> None:
    client, now_ms = app.test_client(), NOW_MS
    services(app).now_ms = lambda: now_ms
    for _ in range(MOST_FAILURES):
        assert log_in(client, "jia", "wrong") == 401
    answer = client.post("/login", data={"csrf_token": token(client), "login": "jia", "password": PASSWORD})
    assert answer.status_code == 429
    assert "请 15 分钟后再试" in answer.text
    assert log_in(client, "yi") == 303
    now_ms += WINDOW_S * 1000
    assert log_in(app.test_client(), "jia") == 303


def test_a_form_without_its_token_is_refused(app: Flask, jia: FlaskClient) -> None:
    for path in ("/login", "/logout", "/language"):
        answer = jia.post(path, data={"login": "jia", "password": PASSWORD, "locale": "en", "csrf_token": "made up"})
        assert answer.status_code == 400
        assert "表单已过期" in answer.text
    assert jia.get("/vehicles").status_code == 200


def test_a_copied_cookie_is_worth_nothing_after_logout(app: Flask, jia: FlaskClient) -> None:
    cookie = jia.get_cookie("pledgewatch")
    assert cookie is not None
    jia.post("/logout", data={"csrf_token": token(jia, "/vehicles")})
    thief = app.test_client()
    thief.set_cookie("pledgewatch", cookie.value)
    assert thief.get("/vehicles").status_code == 303


def test_a_login_ends_after_its_lifetime(app: Flask, jia: FlaskClient) -> None:
    services(app).now_ms = lambda: NOW_MS + LIFETIME_S * 1000
    assert jia.get("/vehicles").status_code == 303


def test_a_person_who_is_switched_off_is_out(world: World, jia: FlaskClient) -> None:
    with world.store.write() as connection:
        connection.execute(text("UPDATE users SET active = 0 WHERE login = 'jia'"))
    assert jia.get("/vehicles").status_code == 303


def test_the_cookie_keeps_to_itself(app: Flask) -> None:
    client = app.test_client()
    form = {"csrf_token": token(client), "login": "jia", "password": PASSWORD}
    told = client.post("/login", data=form).headers["Set-Cookie"]
    assert "HttpOnly" in told
    assert "SameSite=Lax" in told
    assert "Secure" not in told
    safe = app.test_client().get("/login", base_url="https://localhost/").headers["Set-Cookie"]
    assert "Secure" in safe


def test_the_language_is_the_users_and_follows_them(as_user: Callable[[str], FlaskClient], world: World) -> None:
    first = as_user("jia")
    assert '<html lang="zh-Hans-CN"' in first.get("/vehicles").text
    choose(first, "en")
    assert '<html lang="en"' in first.get("/vehicles").text
    assert '<html lang="en"' in as_user("jia").get("/vehicles").text
    assert '<html lang="zh-Hans-CN"' in as_user("yi").get("/vehicles").text
    with world.store.read() as connection:
        found = people_rows.user_by_password(connection, "jia", PASSWORD)
    assert found is not None
    assert found.locale == "en"


def test_a_language_chosen_before_the_login_becomes_the_users(app: Flask) -> None:
    client = app.test_client()
    answer = client.post("/language", data={"csrf_token": token(client), "locale": "en", "next": "/login"})
    assert answer.headers["Location"] == "/login"
    assert "Log in" in client.get("/login").text
    assert log_in(client, "jia") == 303
    assert '<html lang="en"' in client.get("/vehicles").text


def test_an_unknown_language_is_refused(jia: FlaskClient) -> None:
    form = {"csrf_token": token(jia, "/vehicles"), "locale": "tlh"}
    assert jia.post("/language", data=form).status_code == 400
