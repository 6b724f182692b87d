"""JUnit XML and the HTML page, made of one story that passed, one that failed and one that could not be played."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as Xml

import pytest

from firmware_sim.bench.drawing import Scale, timeline
from firmware_sim.bench.evidence import Evidence, Moment, SeenEvent
from firmware_sim.bench.html_report import html_report
from firmware_sim.bench.judge import Verdict, judge
from firmware_sim.bench.junit import junit_report
from firmware_sim.bench.result import Result
from firmware_sim.story.schema import Expect, Fault, Never, Text
from tests.firmware_sim.bench.test_judge import healthy, story

EXPECTS = (
    Expect(event="ignition_on", act="drive", to_s=60.0),
    Expect(event="tow", act="drive", to_s=60.0),
    Expect(alert="L1", act="drive", to_s=60.0, waits_for="server alerts"),
)


def results() -> list[Result]:
    passed = replace(story(EXPECTS[0]), name="fine")
    bad = replace(
        story(*EXPECTS, faults=(Fault("drive", "receiver.jammed", 10.0, 40.0, 0.9),)),
        title=Text("<拖走>", "<Towed> & more"),
        nevers=(Never(("ignition_on",), ((0.0, 60.0),)),),
    )
    evidence = healthy()
    evidence.skipped, evidence.off, evidence.wall_s = [(300.0, 900.0)], [(950.0, 960.0)], 12.0
    evidence.moments = [Moment(float(second), second % 60, 13.8, True) for second in range(200)]
    return [
        Result(passed, healthy(), judge(passed, healthy())),
        Result(bad, evidence, judge(bad, evidence)),
        Result(replace(passed, name="broken"), Evidence(), Verdict(()), "Traceback\nBenchError: no \x00 broker"),
    ]


def test_junit_counts_every_finding() -> None:
    suites = {suite.get("name"): suite for suite in Xml.fromstring(junit_report(results()))}
    assert list(suites) == ["fine", "one", "broken"]
    assert [suites["fine"].get(name) for name in ("tests", "failures", "skipped", "errors")] == ["7", "0", "0", "0"]
    assert [suites["one"].get(name) for name in ("tests", "failures", "skipped", "errors")] == ["10", "2", "1", "0"]
    assert len(suites["one"].findall("testcase")) == 10
    messages = [each.get("message") for each in suites["one"].iter("failure")]
    assert messages == ["did not come", "came: ignition_on at 0:20 {'volts': '14.1'}"]
    error = suites["broken"].find("testcase/error")
    assert error is not None
    assert error.get("message") == "BenchError: no ? broker"


class Page(HTMLParser):
    """Whether every element is closed, and what is linked."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """`<rect/>`: nothing to be closed."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_is_in_two_languages() -> None:
    text = html_report(results())
    page = Page()
    page.feed(text)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text)
    assert "&lt;拖走&gt;" in text
    assert "&lt;Towed&gt; &amp; more" in text
    assert "<拖走>" not in text
    assert "3 个场景，1 个通过" in text
    assert "1 of 3 stories passed" in text
    assert "10:00 of parking skipped" in text
    assert "BenchError" in text


def test_what_failed_comes_first() -> None:
    given = results()
    page = html_report(given)
    at = {each.story.name: page.index(f"<section id='{each.story.name}'>") for each in given}
    assert max(at[each.story.name] for each in given if not each.passed) < at[given[0].story.name]
    section = page[at[given[1].story.name] :]
    assert section.index("class='bad'>", section.index("<table>")) < section.index("<td class='good'>")


def test_the_picture_shows_acts_faults_expectations_and_what_came() -> None:
    bad = results()[1]
    picture = Xml.fromstring(timeline(bad))
    hints = [each.text or "" for each in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert any(hint.startswith("drive: 开车 / drive") for hint in hints)
    assert "receiver.jammed = 0.9  0:10 … 0:40" in hints
    assert any("event tow" in hint and "did not come" in hint for hint in hints)
    assert "ignition_on  0:20  (volts = 14.1)" in hints
    assert "» 10:00" in hints
    kinds = [each.get("class") for each in picture.iter("{http://www.w3.org/2000/svg}g")]
    assert "bad" in kinds  # it was forbidden


def test_skipped_hours_take_no_room() -> None:
    scale = Scale(100_000.0, ((1000.0, 99_000.0),))
    lived = scale.x(1000.0) - scale.x(0.0)
    assert scale.x(99_000.0) - scale.x(1000.0) == pytest.approx(26.0, abs=0.2)
    assert scale.x(100_000.0) - scale.x(99_000.0) == pytest.approx(lived, abs=0.2)
    assert scale.x(100_000.0) == pytest.approx(1080 - 12, abs=0.2)


def test_the_same_evidence_gives_the_same_bytes() -> None:
    assert html_report(results()) == html_report(results())
    assert junit_report(results()) == junit_report(results())


def test_an_event_after_the_end_is_not_drawn() -> None:
    evidence = healthy()
    evidence.events.append(SeenEvent(5000.0, "status", {}, 5000.0))
    end = story(EXPECTS[0])
    assert "status" not in timeline(Result(end, evidence, judge(end, evidence)))
