"""Receiver and adapter on their ports: the same bytes however the machine's time falls, and what befalls them."""

from dataclasses import replace
from datetime import UTC, datetime

import pynmeagps
import pytest

from firmware_sim.bench.devices import Devices, bound_vin, receiver_baud
from firmware_sim.story.schema import Act, Fault, Story, StoryError, Text

START = datetime(2026, 11, 23, 4, 0, tzinfo=UTC)


class Line:
    """A port that keeps what is written into it."""

    is_listening = True

    def __init__(self) -> None:
        self.written, self.typed = bytearray(), b""

    def receive(self) -> bytes:
        typed, self.typed = self.typed, b""
        return typed

    def write(self, data: bytes | bytearray) -> int:
        self.written += data
        return len(data)

    def close(self) -> None:
        """Nothing to give back."""


def story() -> Story:
    text = Text("一", "one")
    return Story("one", text, text, (), 3, START, "chengdu", "home", 1.0, (Act("drive", "drive", 0.0, 60.0),))


def heard(told: Story, every_s: float, until_s: float = 40.0, faults: tuple[Fault, ...] = ()) -> tuple[bytes, Devices]:
    devices, line = Devices(told, START, -5.0), Line()
    devices.befall({fault.what: fault for fault in faults}, 0.0, carried=False)
    for turn in range(round((until_s + 5) / every_s) + 1):
        devices.step(-5.0 + turn * every_s, line, None)
    return bytes(line.written), devices


def test_the_same_seed_gives_the_same_bytes_at_any_pace() -> None:
    often, seldom = heard(story(), 0.01)[0], heard(story(), 0.25)[0]
    assert len(often) > 15_000
    assert often == seldom
    assert heard(replace(story(), seed=4), 0.25)[0] != seldom


def test_bytes_leave_no_faster_than_the_line() -> None:
    devices, line = Devices(story(), START, 0.0), Line()
    before = 0
    for turn in range(1000):
        devices.step(turn * 0.01, line, None)
        if turn % 10 == 0:
            assert len(line.written) - before <= 9600 / 10 * 0.1 + 90  # and one sentence
            before = len(line.written)


def test_positions_of_the_drive_are_kept_for_the_judge() -> None:
    data, devices = heard(story(), 0.1)
    told = [
        pynmeagps.NMEAReader.parse(line + b"\r\n")
        for line in data.split(b"\r\n")
        if line.startswith(b"$GNRMC") and line
    ]
    moving = {
        int(datetime.combine(each.date, each.time, UTC).timestamp()) for each in told if float(each.spd or 0) > 2.5
    }
    assert moving - set(devices.told_s) == set()
    assert len(devices.told_s) > 15
    assert [moment.at_s for moment in devices.moments[:3]] == [-5.0, -4.0, -3.0]


def test_what_befalls_the_receiver_explains_what_it_does_not_tell() -> None:
    data, devices = heard(story(), 0.1, faults=(Fault("drive", "receiver.silent", 0.0, 60.0, True),))
    assert data == b""
    assert devices.told_s == []


def test_the_adapter_answers_and_is_left_in_the_car() -> None:
    devices, line = Devices(story(), START, 0.0), Line()
    line.typed = b"ATI\r"
    for turn in range(40):
        devices.step(turn * 0.05, None, line)
    assert b"ELM327" in line.written
    devices.befall({}, 2.0, carried=True)
    line.written.clear()
    line.typed = b"ATI\r"
    for turn in range(40, 80):
        devices.step(turn * 0.05, None, line)
    assert line.written == b""


def test_a_setting_that_there_is_not_names_the_story() -> None:
    with pytest.raises(StoryError, match=r"one\.toml: .*colour"):
        Devices(replace(story(), car={"colour": "red"}), START)
    with pytest.raises(StoryError, match=r"one\.toml: .*make"):
        Devices(replace(story(), receiver={"make": "sirf"}), START)
    with pytest.raises(StoryError, match=r"one\.toml, at 0 s: "):
        heard(story(), 1.0, faults=(Fault("drive", "receiver.jammed", 0.0, 60.0, 7.0),))


def test_a_fast_receiver_has_a_fast_line() -> None:
    assert receiver_baud(story()) == 9600
    assert receiver_baud(replace(story(), receiver={"rate_hz": 10})) == 115200
    assert receiver_baud(replace(story(), receiver={"rate_hz": 10, "baud": 38400})) == 38400


def test_the_unit_is_bound_to_its_car_unless_told_otherwise() -> None:
    assert bound_vin(replace(story(), car={"vin": "LSVPW5000T2000001"})) == "LSVPW5000T2000001"
    assert bound_vin(replace(story(), car={"bound_vin": "LGBH52E07JY000033"})) == "LGBH52E07JY000033"
