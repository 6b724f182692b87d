"""A recorded adapter answers as it did: the same bytes, at the same times after the question."""

import pytest

from firmware_sim.dialogue import Dialogue, exchanges
from firmware_sim.recording import Piece, RecordingError, capture_head

PIECES = (
    Piece(0.25, True, b"\r\rELM327 v1.5\r\r>"),
    Piece(1.0, False, b"AT"),
    Piece(1.1, False, b"Z\r"),
    Piece(1.5, True, b"ATZ\r"),
    Piece(2.0, True, b"\r\rELM327 v1.5\r\r>"),
    Piece(3.0, False, b"01 0C\r"),
    Piece(3.25, True, b"41 0C 1A F8 \r\r>"),
    Piece(4.0, False, b"01 0c\r"),
    Piece(4.5, True, b"41 0C 1B 00 \r\r>"),
)


def told(dialogue: Dialogue, request: bytes, at_s: float) -> list[tuple[float, bytes]]:
    """Everything that follows a request: seconds since it, and bytes."""
    dialogue.feed(request, None, at_s)
    found = []
    while (next_s := dialogue.next_s()) is not None:
        assert dialogue.due(next_s - 1e-9) == b""
        found.append((round(next_s - at_s, 6), dialogue.due(next_s)))
    return found


@pytest.fixture
def dialogue() -> Dialogue:
    made = Dialogue(PIECES)
    made.feed(b"", None, 100.0)
    assert made.due(100.0) == b""
    assert made.due(100.25) == b"\r\rELM327 v1.5\r\r>"
    return made


def test_exchanges_begin_with_the_carriage_return() -> None:
    greeting, found = exchanges(PIECES)
    assert greeting == ((0.25, PIECES[0].data),)
    assert [each.request for each in found] == [b"ATZ", b"010C", b"010C"]
    assert [round(after_s, 6) for after_s, _ in found[0].answer] == [0.4, 0.9]


def test_the_same_question_gets_the_answers_in_turn_and_then_from_the_begin(dialogue: Dialogue) -> None:
    assert told(dialogue, b"010C\r", 200.0) == [(0.25, b"41 0C 1A F8 \r\r>")]
    assert told(dialogue, b"010C\r", 210.0) == [(0.5, b"41 0C 1B 00 \r\r>")]
    assert told(dialogue, b"010C\r", 220.0) == [(0.25, b"41 0C 1A F8 \r\r>")]
    assert told(dialogue, b"atz\r\n", 230.0) == [(0.4, b"ATZ\r"), (0.9, b"\r\rELM327 v1.5\r\r>")]
    assert (dialogue.requests, dialogue.unknown) == (4, 0)


def test_what_nobody_asked_then_is_not_understood_and_moves_nothing(dialogue: Dialogue) -> None:
    assert told(dialogue, b"0105\r", 200.0) == [(0.0, b"?\r\r>")]
    assert told(dialogue, b"010C\r", 201.0) == [(0.25, b"41 0C 1A F8 \r\r>")]
    assert dialogue.unknown == 1


def test_a_request_may_come_in_pieces(dialogue: Dialogue) -> None:
    for part in (b"0", b"10", b"C"):
        assert told(dialogue, part, 200.0) == []
    assert told(dialogue, b"\r", 201.0) == [(0.25, b"41 0C 1A F8 \r\r>")]


def test_two_requests_at_once_are_answered_one_after_the_other(dialogue: Dialogue) -> None:
    dialogue.feed(b"ATZ\r010C\r", None, 200.0)
    assert dialogue.due(200.5) == b"ATZ\r"
    assert dialogue.due(200.95) == b"\r\rELM327 v1.5\r\r>41 0C 1A F8 \r\r>"


def test_a_receivers_capture_is_no_dialogue() -> None:
    with pytest.raises(RecordingError, match="nobody asks"):
        Dialogue.read(capture_head({}) + Piece(0.0, True, b"$GNRMC,\r\n").line())
