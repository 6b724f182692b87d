"""A story in words names its acts, what goes wrong and what is expected, in both languages."""

import pytest

from firmware_sim.story.describe import describe, span
from firmware_sim.story.reading import read_story
from tests.firmware_sim.story.test_reading import ACTS, HEAD, WORLD

STORY = read_story(
    HEAD
    + ACTS
    + """[[fault]]
in = "theft"
what = "receiver.jammed"
value = 0.9
[[expect]]
event = "tow"
in = "theft"
count = 2
[[never]]
alert = "L1"
waits_for = "server alerts"
""",
    "night_tow",
    WORLD,
)


def test_in_chinese_and_english() -> None:
    zh, en = describe(STORY, "zh"), describe(STORY, "en")
    assert zh.startswith("拖走  (night_tow)")
    assert en.startswith("Towed  (night_tow)")
    assert "开车 → home" in zh
    assert "drive → home" in en
    assert "定位模块: jammed = 0.9" in zh
    assert "receiver: jammed = 0.9" in en
    assert "event tow × 2   9:02:00 … 9:06:00" in zh
    assert "等待: server alerts" in zh
    assert "waits for: server alerts" in en


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00"), (200_000, "2d 07:33:20")],
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
