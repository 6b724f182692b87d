"""Policies and addresses, as values."""

import pytest

from server.web.login_throttle import MOST_FAILURES, MOST_KEYS, WINDOW_S, LoginThrottle
from server.web.security import content_security_policy, local_path, tile_source
from server.web.sessions import LIFETIME_S, MOST_ENDED, Sessions


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "vehicles",
        "",
        "/a\r\nSet-Cookie: b=c",
    ],
)
def test_a_login_leads_nowhere_else(target: str) -> None:
    assert local_path(target) == "/"


def test_a_login_leads_back() -> None:
    assert local_path("/vehicles/3?hours=6&q=京A") == "/vehicles/3?hours=6&q=京A"


def test_the_policy_knows_the_tile_host_only_where_there_is_one() -> None:
    assert "img-src 'self' data:;" in content_security_policy("")
    told = content_security_policy("https://{s}.tiles.example.org:8443/{z}/{x}/{y}.png")
    assert "img-src 'self' data: https://*.tiles.example.org:8443;" in told
    assert "unsafe" not in told
    assert tile_source("/tiles/{z}/{x}/{y}.png") == "'self'"


@pytest.mark.parametrize(
    "url", ["ftp://a/b", "https://a b/{z}", "https://a;script-src *", "tiles/{z}", "https:///x", "//h/x"]
)
def test_a_tile_url_that_fits_no_policy_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="tile_url"):
        content_security_policy(url)


def test_the_throttle_counts_each_pair_for_itself_and_forgets() -> None:
    throttle = LoginThrottle()
    for i in range(MOST_FAILURES):
        assert throttle.wait_s("jia", "a", i) == 0
        throttle.failed("JIA", "a", i)
    assert throttle.wait_s("jia", "a", MOST_FAILURES) == WINDOW_S - MOST_FAILURES
    assert throttle.wait_s("jia", "b", MOST_FAILURES) == 0
    assert throttle.wait_s("yi", "a", MOST_FAILURES) == 0
    assert throttle.wait_s("jia", "a", WINDOW_S) == 0


def test_the_throttle_is_bounded_and_a_success_clears_it() -> None:
    throttle = LoginThrottle()
    for i in range(MOST_KEYS + 10):
        throttle.failed(str(i), "a", 0)
    assert len(throttle._failures) == MOST_KEYS
    for _ in range(MOST_FAILURES):
        throttle.failed("jia", "a", 0)
    throttle.succeeded("Jia", "a")
    assert throttle.wait_s("jia", "a", 1) == 0


def test_a_session_ends_by_logout_by_age_and_never_begins_in_the_future() -> None:
    sessions = Sessions()
    assert sessions.is_alive("t", 0.0, 1.0)
    assert not sessions.is_alive("t", 0.0, LIFETIME_S)
    assert not sessions.is_alive("t", 100.0, 0.0)
    assert not sessions.is_alive(None, 0.0, 1.0)
    sessions.end("t", 1.0)
    assert not sessions.is_alive("t", 0.0, 2.0)
    for i in range(MOST_ENDED + 5):
        sessions.end(str(i), 2.0)
    assert len(sessions._ended) == MOST_ENDED
