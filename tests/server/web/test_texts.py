"""No text without its translation, and none that is written into a page in one language only."""

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import Environment

import server.web
from server.store import quarantine_rows
from server.store.vehicle_rows import vehicle
from server.watch.vehicle_state import VehicleState
from server.web.display import time_zone_of
from server.web.errors import ERROR_TEXTS
from server.web.event_texts import DETAIL_TEXTS, EVENT_TEXTS, event_details, event_text
from server.web.facts import FIX_QUALITIES, PANEL, facts
from server.web.i18n import collect, is_translated, main, read_catalogue
from server.web.refusal_texts import REFUSAL_TEXTS, refusal_text
from tests.server.web.conftest import NOW_MS, VIN, choose
from tests.server.web.world import World
from wire.records import EVENT_KINDS, PositionSource
from wire.refused import Reason, RefusedError

HERE = Path(server.web.__file__).parent
SPOKEN_ATTRIBUTES = ("title", "placeholder", "aria-label", "alt")
CHINESE = re.compile(r"[\u3400-\u9fff]")
# What stays as it is in Chinese text: names, units, abbreviations.
SAME_EVERYWHERE = {
    "Pledgewatch", "English", "HDOP", "UTC", "WGS-84", "GCJ-02", "BD-09", "VIN", "RTK", "PPS", "Asia/Shanghai",
    "km/h", "km", "pledgewatch", "fleet", "add", "--lender", "--vin", "--unit", "--csr", "--out", "unit.csr",
    "bundle.json",
}  # fmt: skip


def test_the_chinese_catalogue_is_complete_and_holds_nothing_else() -> None:
    catalogue = read_catalogue("zh_Hans_CN")
    asked = {message.id for message in collect() if message.id}
    assert asked == {message.id for message in catalogue if message.id}, "run: python -m server.web.i18n update"
    assert [message.id for message in catalogue if message.id and not is_translated(message)] == []
    assert len(asked) > 100


def test_placeholders_survive_the_translation() -> None:
    for message in read_catalogue("zh_Hans_CN"):
        if message.id:
            told = message.id[-1] if isinstance(message.id, tuple) else message.id
            forms = message.string if isinstance(message.string, tuple) else (message.string,)
            for form in forms:
                assert sorted(re.findall(r"%\(\w+\)[sd]", told)) == sorted(re.findall(r"%\(\w+\)[sd]", form))


def test_the_command_finds_the_catalogue_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile"]) == 0
    assert "0 without a translation" in capsys.readouterr().out
    assert main(["shout"]) == 2


def test_every_kind_and_reason_has_its_text() -> None:
    assert set(EVENT_TEXTS) == set(EVENT_KINDS)
    assert set(REFUSAL_TEXTS) == set(Reason)
    assert set(FIX_QUALITIES) == set(range(9))
    assert set(DETAIL_TEXTS) >= {"version", "outbox", "vin", "codes"}


def test_every_fact_of_the_panel_is_made(app: Flask, world: World) -> None:
    from server.web.display import time_zone_of

    with world.store.read() as connection:
        row = vehicle(connection, world.lenders["甲汽车金融"], world.vehicles[VIN])
    assert row is not None
    with app.test_request_context():
        made = facts(row, time_zone_of("Asia/Shanghai"), NOW_MS)
    named = {key for _, members in PANEL for key, _ in members}
    assert named == set(made) - {"status"}


def test_a_cells_place_says_so_and_how_rough_it_is(app: Flask, world: World) -> None:
    with world.store.read() as connection:
        row = vehicle(connection, world.lenders["甲汽车金融"], world.vehicles[VIN])
    assert row is not None
    rough = replace(row, state=VehicleState(position_source=PositionSource.CELL, position_accuracy_m=407.0))
    with app.test_request_context():
        shown = facts(rough, time_zone_of("Asia/Shanghai"), NOW_MS)["fix_quality"]
    assert (shown.text, shown.unit, shown.tone) == ("基站定位", "± 407 m", "warn")


def test_what_nobody_knows_is_shown_as_it_came(app: Flask) -> None:
    with app.test_request_context():
        assert event_text("grew_wings") == "grew_wings"
        told = event_details("unit_started", '{"wings": "2", "outbox": "kept", "reason": ""}')
        assert told == ([("wings", "2"), ("待发数据", "沿用")], [])
        assert event_details("x", "[1]") == event_details("x", "not JSON") == ([], [])


def test_a_long_status_shows_first_what_people_look_for(app: Flask) -> None:
    with app.test_request_context():
        first, more = event_details("status", '{"counts.x": "1", "unit.version": "2", "gnss.state": "open"}')
        assert first == [("接收机", "已打开"), ("版本", "2")]
        assert more == [("counts.x", "1")]


def test_what_a_car_can_tell_is_sorted_by_the_answer(app: Flask) -> None:
    with app.test_request_context():
        told, _ = event_details("car_abilities", '{"vin": "yes", "speed": "no", "odometer": "yes", "wings": "no"}')
        assert told == [("可提供", "车架号, 里程表"), ("不可提供", "车速, wings")]
        assert refusal_text("grew_wings") == ("grew_wings", "")


class Words(HTMLParser):
    """The words of a page that a person can read or hear, without what is data."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("script", "style")
        spoken = [value for name, value in attrs if name in SPOKEN_ATTRIBUTES or name.startswith("data-text")]
        self.found += [value for value in spoken if value]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.found.append(data)


def words(html: str) -> list[str]:
    parser = Words()
    parser.feed(html)
    return [text.strip() for text in parser.found if text.strip()]


def test_no_template_writes_a_text_of_its_own() -> None:
    for path in (HERE / "templates").glob("*.html"):
        source = re.sub(r"{% block body_class %}\w*{% endblock %}", "", path.read_text(encoding="utf-8"))
        tokens = Environment(autoescape=True).lex(source)
        html = "".join(value if kind == "data" else "" for _, kind, value in tokens)
        for text in words(html):
            bare = re.findall(r"[A-Za-z\u3400-\u9fff.\-]{2,}", text.replace("…", ""))
            assert not set(bare) - SAME_EVERYWHERE, (path.name, text)


def test_no_script_writes_a_text_of_its_own() -> None:
    for path in (HERE / "static" / "js").glob("*.js"):
        code = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        assert not CHINESE.search(code), path.name
        assert not re.search(r"""(textContent|title|innerHTML)\s*=\s*["'`][^"'`$]*[A-Za-z]""", code), path.name


def all_pages(client: FlaskClient, world: World) -> Iterator[tuple[str, str]]:
    vehicle_ids = (world.vehicles[VIN], world.vehicles["LHGCM56745A000888"])
    paths = ["/vehicles", "/vehicles?q=0", "/map", "/quarantine", *(f"/vehicles/{each}" for each in vehicle_ids)]
    paths += [f"/vehicles/{each}/commands" for each in vehicle_ids]
    for path in [*paths, "/nowhere", "/vehicles/1?hours=x"]:
        yield path, client.get(path).text


def test_chinese_pages_are_chinese_and_english_ones_english(app: Flask, world: World, jia: FlaskClient) -> None:
    with world.store.write() as connection:
        for reason in Reason:
            refused = RefusedError(reason)
            quarantine_rows.refuse(connection, world.lenders["甲汽车金融"], "t", reason.encode(), refused, NOW_MS)
    data = {"jia", VIN, "LHGCM56745A000888", "PW000001", "京A·12345", "朗逸", "甲汽车金融", "P0420", "<b>"}
    for path, html in [("/login", app.test_client().get("/login").text), *all_pages(jia, world)]:
        for text in words(html):
            left = set(re.findall(r"[A-Za-z][A-Za-z/\-0-9.]+", without(text, data))) - SAME_EVERYWHERE
            assert not left, (path, text)
    choose(jia, "en")
    for path, html in all_pages(jia, world):
        for text in words(html):
            assert not CHINESE.search(without(text, data | {"中文"})), (path, text)


def test_every_error_has_words_in_both_languages() -> None:
    catalogue = read_catalogue("zh_Hans_CN")
    for title, advice in ERROR_TEXTS.values():
        for text in (title, advice):
            assert CHINESE.search(str(catalogue.get(text._args[0]).string))  # type: ignore[attr-defined, union-attr]


def without(text: str, data: set[str]) -> str:
    for each in sorted(data, key=len, reverse=True):
        text = text.replace(each, " ")
    return re.sub(r"\{\w+\}", " ", text)
