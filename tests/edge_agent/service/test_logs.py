"""Logs that cannot fill the card."""

import json
import logging
import sys

import pytest

from edge_agent.service.logs import JsonLines, Sparing


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def lines(now: list[float]) -> Lines:
    handler = Lines()
    handler.addFilter(Sparing(lambda: now[0]))
    return handler


def say(lines: Lines, text: str, *values: object, name: str = "edge_agent.x", level: int = logging.INFO) -> None:
    lines.handle(logging.LogRecord(name, level, __file__, 1, text, values, None))


def test_the_same_sentence_passes_five_times_a_minute(lines: Lines, now: list[float]) -> None:
    for n in range(100):
        say(lines, "port %d", n)
    assert lines.lines == [f"port {n}" for n in range(5)]
    now[0] += 60
    say(lines, "port %d", 100)
    assert lines.lines[5:] == ["port 100 (95 more like this were not logged)"]
    now[0] += 60
    say(lines, "port %d", 101)
    assert lines.lines[6:] == ["port 101"]


def test_other_sentences_places_and_levels_have_a_minute_of_their_own(lines: Lines) -> None:
    for _ in range(6):
        say(lines, "a")
    say(lines, "b")
    say(lines, "a", name="edge_agent.y")
    say(lines, "a", level=logging.ERROR)
    assert lines.lines == ["a"] * 5 + ["b", "a", "a"]


def test_what_is_remembered_is_bounded(lines: Lines) -> None:
    for n in range(5_000):
        say(lines, f"sentence {n}")
    (sparing,) = lines.filters
    assert isinstance(sparing, Sparing)
    assert len(sparing._seen) <= 500
    assert len(lines.lines) == 5_000


def test_a_line_is_one_json_object() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        record = logging.LogRecord("edge_agent.x", logging.WARNING, __file__, 1, "端口 %s", ("关\n",), sys.exc_info())
    record.port = "/dev/ttyUSB0"
    line = JsonLines().format(record)
    told = json.loads(line)
    assert "\n" not in line
    assert told.keys() == {"time", "level", "logger", "text", "exception", "port"}
    assert (told["level"], told["logger"], told["text"]) == ("warning", "edge_agent.x", "端口 关\n")
    assert told["exception"].endswith("ValueError: a\nb")
    assert told["port"] == "/dev/ttyUSB0"
