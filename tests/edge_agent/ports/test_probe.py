"""Devices played by hand: the probe is told what it would hear, in invented time."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.ports.probe import (
    ADAPTER_BAUDS,
    LISTENINGS,
    RECEIVER_BAUDS,
    Heard,
    Pace,
    Plan,
    Role,
    Verdict,
    Wish,
    pause_s,
    probe,
)

BOTH = Plan(RECEIVER_BAUDS, ADAPTER_BAUDS)
GNSS = Plan(RECEIVER_BAUDS)
OBD = Plan(ask_at=ADAPTER_BAUDS)
START_S = 1000.0


def sentence(body: str) -> bytes:
    digits = 0
    for character in body.encode():
        digits ^= character
    return f"${body}*{digits:02X}\r\n".encode()


RMC = sentence("BDRMC,021503.00,A,3114.5000,N,12128.6000,E,0.0,,241126,,,A")
GGA = sentence("GNGGA,021503.00,3114.5000,N,12128.6000,E,1,09,1.0,10.0,M,8.0,M,,")
UBX = bytes.fromhex("b5620107") + bytes(range(0x20, 0x60)) + b"\x24\x0d\x0a"


def garbled(data: bytes) -> bytes:
    """What a wrong speed makes of it: other bytes, and fewer."""
    return bytes(0x80 | byte >> 1 for byte in data[::3])


@dataclass
class Device:
    """Speaks every `every_s` and answers; `asked` is all that was written to it, with the speed."""

    baud: int
    burst: bytes = b""
    every_s: float = 1.0
    answer: Callable[[bytes], bytes] = lambda _said: b""
    first_s: float = 0.3
    until_s: float = math.inf
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    _coming: list[tuple[float, bytes]] = field(default_factory=list)
    _bursts: int = 0

    def write(self, wish: Wish, now_s: float) -> None:
        self.asked.append((wish.baud, wish.say))
        said = self.answer(wish.say) if wish.baud == self.baud else b""
        if said:
            self._coming.append((now_s + 0.05, said))

    def next(self, wish: Wish) -> tuple[float, bytes] | None:
        """When it is next heard, and what; None where that is after the wish's end."""
        if self._coming:
            return self._coming.pop(0)
        if not self.burst:
            return None
        at_s = START_S + self.first_s + self._bursts * self.every_s
        if at_s > wish.until_s or at_s - START_S > self.until_s:
            return None
        self._bursts += 1
        return at_s, self.burst if wish.baud == self.baud else garbled(self.burst)


def run(plan: Plan, device: Device) -> tuple[Verdict, float]:
    """The verdict and how long it took, in s of the device's time."""
    now_s = START_S
    course = probe(plan, now_s)
    wish = next(course)
    while True:
        if wish.say:
            device.write(wish, now_s)
        heard = device.next(wish)
        now_s, data = heard or (wish.until_s, b"")
        try:
            wish = course.send(Heard(data, now_s))
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict, now_s - START_S


def elm(version: str = "ELM327 v1.5", *, echo: bool = True, prompt: bool = True) -> Callable[[bytes], bytes]:
    def answer(said: bytes) -> bytes:
        return (said if echo else b"") + version.encode("latin-1") + b"\r\r" + (b">" if prompt else b"")

    return answer


@pytest.mark.parametrize("baud", RECEIVER_BAUDS)
@pytest.mark.parametrize("plan", [BOTH, GNSS])
def test_a_receiver_is_recognised_at_each_speed_and_never_written_to(baud: int, plan: Plan) -> None:
    device = Device(baud, RMC + GGA)
    verdict, took_s = run(plan, device)
    assert (verdict.role, verdict.baud) == (Role.GNSS, baud)
    assert took_s <= 1.5 * len(RECEIVER_BAUDS)
    assert device.asked == []


def test_the_second_sentence_may_come_with_the_next_second() -> None:
    verdict, took_s = run(GNSS, Device(9600, RMC, first_s=1.2))
    assert (verdict.role, verdict.baud) == (Role.GNSS, 9600)
    assert took_s == pytest.approx(2.2)


def test_one_sentence_alone_is_no_receiver() -> None:
    verdict, _ = run(GNSS, Device(9600, RMC, every_s=1000))
    assert verdict.role is None
    assert verdict.text == "speaks, but no NMEA at 7 speeds"


def test_binary_between_the_sentences_is_tolerated() -> None:
    verdict, _ = run(GNSS, Device(9600, UBX + RMC + UBX + GGA + UBX))
    assert verdict.role is Role.GNSS


@pytest.mark.parametrize(
    "burst", [b"$BDRMC,1*00\r\n" * 5, UBX * 9, sentence("x,1") * 9, sentence("ABC") * 9, RMC[:-4] * 9]
)
def test_bad_checksums_binary_and_other_addresses_are_no_receiver(burst: bytes) -> None:
    verdict, _ = run(GNSS, Device(9600, burst))
    assert verdict.role is None


def test_a_receiver_of_a_single_proprietary_sentence_is_one() -> None:
    verdict, _ = run(GNSS, Device(9600, sentence("PUBX,00,1,2")))
    assert verdict.role is Role.GNSS


@pytest.mark.parametrize("baud", ADAPTER_BAUDS)
@pytest.mark.parametrize("plan", [BOTH, OBD])
def test_an_adapter_is_recognised_at_each_speed(baud: int, plan: Plan) -> None:
    device = Device(baud, answer=elm())
    verdict, took_s = run(plan, device)
    assert (verdict.role, verdict.baud, verdict.text) == (Role.OBD, baud, "answers ATI")
    assert took_s <= 1.5 + 0.6 * len(ADAPTER_BAUDS)
    assert {said for _, said in device.asked} == {b"ATI\r"}
    assert [speed for speed, _ in device.asked] == list(ADAPTER_BAUDS[: ADAPTER_BAUDS.index(baud) + 1])


@pytest.mark.parametrize(
    "answer",
    [
        elm(echo=False),
        elm(prompt=False),
        elm("\xfc\r\rELM327 v1.5"),  # a recorded clone says 0xFC first
        elm("\x00E\x00LM3\x7f27 v2.1"),
        elm("LM327 v1.5"),  # its first byte was lost
        elm("OBDII to RS232 Interpreter"),
        elm("OBDLink SX"),
        elm("STN1110 v4.0.4"),
        elm("ELM327/ELM-USB v1.0 (c) SECONS Ltd."),
        lambda said: said + b"\nELM327 v1.5\n\n>",
    ],
)
def test_clones_answer_in_their_own_ways(answer: Callable[[bytes], bytes]) -> None:
    verdict, _ = run(OBD, Device(38400, answer=answer))
    assert (verdict.role, verdict.baud) == (Role.OBD, 38400)


def test_what_a_wrong_speed_left_in_the_line_buffer_costs_one_more_question() -> None:
    asked: list[bytes] = []

    def answer(said: bytes) -> bytes:
        asked.append(said)
        return b"?\r\r>" if len(asked) == 1 else b"ELM327 v1.5\r\r>"

    verdict, _ = run(OBD, Device(9600, answer=answer))
    assert (verdict.role, verdict.baud) == (Role.OBD, 9600)
    assert asked == [b"ATI\r", b"ATI\r"]


def test_who_always_answers_with_a_question_mark_is_asked_twice_at_a_speed() -> None:
    device = Device(38400, answer=lambda _said: b"?\r\r>")
    verdict, _ = run(OBD, device)
    assert verdict.role is None
    assert [speed for speed, _ in device.asked].count(38400) == 2


def test_a_loop_and_another_device_are_no_adapter() -> None:
    loop, _ = run(OBD, Device(38400, answer=lambda said: said))
    assert (loop.role, loop.text) == (None, "no answer to ATI at 7 speeds")
    modem, _ = run(OBD, Device(115200, answer=lambda said: said + b"\r\nQuectel\r\nEC25\r\n\r\nOK\r\n"))
    assert (modem.role, modem.text) == (None, "answers ATI with 'Quectel': no ELM327")


@pytest.mark.parametrize("plan", [BOTH, OBD])
def test_who_speaks_unasked_is_not_asked(plan: Plan) -> None:
    device = Device(12345, b"measured 21.5 C\r\n", answer=elm())
    verdict, _ = run(plan, device)
    assert verdict.role is None
    assert verdict.text.endswith("so it was not asked")
    assert device.asked == []


def test_noise_after_plugging_in_delays_the_question_only() -> None:
    device = Device(38400, b"\xfc\x00", every_s=0.4, until_s=1.0, answer=elm())
    verdict, took_s = run(OBD, device)
    assert verdict.role is Role.OBD
    assert took_s == pytest.approx(2 * 1.5 + 0.05)


def test_noise_that_does_not_end_is_reported() -> None:
    verdict, took_s = run(OBD, Device(38400, b"\xfc", answer=elm()))
    assert verdict.text == "speaks unasked, so it was not asked"
    assert took_s == pytest.approx(LISTENINGS * 1.5)


def test_an_adapter_that_introduces_itself_needs_no_question() -> None:
    device = Device(38400, b"\r\rELM327 v1.5\r\r>", every_s=1000)
    verdict, _ = run(OBD, device)
    assert (verdict.role, verdict.text) == (Role.OBD, "names itself")
    assert device.asked == []


def test_only_what_is_looked_for_is_found() -> None:
    verdict, _ = run(OBD, Device(38400, RMC + GGA))
    assert verdict.role is None
    verdict, _ = run(GNSS, Device(9600, b"\r\rELM327 v1.5\r\r>"))
    assert verdict.role is None


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (BOTH, "silent at 7 speeds, no answer to ATI at 7 speeds"),
        (GNSS, "silent at 7 speeds"),
        (OBD, "no answer to ATI at 7 speeds"),
        (Plan((9600,)), "silent at 9600 baud"),
        (Plan(ask_at=(38400,)), "no answer to ATI at 38400 baud"),
    ],
)
def test_a_silent_port_says_what_was_tried(plan: Plan, text: str) -> None:
    device = Device(9600)
    verdict, took_s = run(plan, device)
    assert (verdict.role, verdict.text) == (None, text)
    assert took_s == pytest.approx(1.5 * max(1, len(plan.listen_at)) + 0.6 * len(plan.ask_at))
    assert [speed for speed, _ in device.asked] == list(plan.ask_at)


@given(
    st.sampled_from([BOTH, GNSS, OBD, Plan((9600,), (38400,))]),
    st.lists(st.tuples(st.binary(max_size=300), st.floats(0.0, 5.0))),
)
def test_it_ends_whatever_comes(plan: Plan, coming: list[tuple[bytes, float]]) -> None:
    """Any bytes in any rhythm: no exception, a known speed, an end within bounded time."""
    now_s = START_S
    course = probe(plan, now_s)
    wish = next(course)
    events = iter(coming)
    limit_s = 2 * 1.5 * (len(plan.listen_at) + LISTENINGS) + 2 * 0.6 * len(plan.ask_at)
    verdict: Verdict | None = None
    while verdict is None:
        assert wish.baud in (*plan.listen_at, *plan.ask_at)
        assert now_s < wish.until_s
        assert not wish.say or wish.baud in plan.ask_at
        data, after_s = next(events, (b"", math.inf))
        arrives = data and now_s + after_s < wish.until_s
        now_s = now_s + after_s if arrives else wish.until_s
        assert now_s - START_S <= limit_s
        try:
            wish = course.send(Heard(data if arrives else b"", now_s))
        except StopIteration as end:
            verdict = end.value
    assert verdict.text


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_receiver_is_recognised_in_any_chunks(first: int, step: int) -> None:
    burst = UBX + RMC + GGA
    course = probe(GNSS, START_S)
    next(course)
    chunks = [burst[:first], *(burst[at : at + step] for at in range(first, len(burst), step))]
    roles = []
    for number, chunk in enumerate(filter(None, chunks)):
        try:
            course.send(Heard(chunk, START_S + number / 1000))
        except StopIteration as end:
            roles.append(end.value.role)
            break
    assert roles == [Role.GNSS]


def test_the_pace_is_kept() -> None:
    verdict, took_s = run(Plan((9600, 4800), (38400,), Pace(listen_s=0.2, answer_s=0.1)), Device(9600))
    assert verdict.role is None
    assert took_s == pytest.approx(0.2 * 2 + 0.1)


@given(st.integers(0, 10_000), st.floats(0, 1), st.floats(5, 3600))
def test_pauses_grow_to_their_bound_with_jitter(fruitless: int, jitter: float, longest_s: float) -> None:
    pause = pause_s(fruitless, jitter, longest_s)
    assert 1.5 <= pause <= longest_s
    assert pause <= pause_s(fruitless, 0, longest_s)
    assert pause_s(fruitless + 1, jitter, longest_s) >= pause


def test_pauses_begin_with_two_seconds() -> None:
    assert [pause_s(n, 0, 60) for n in (0, 1, 2, 3, 5, 6)] == [2, 2, 4, 8, 32, 60]
    assert pause_s(1, 1, 60) == 1.5
