"""A recorded adapter: asked what it was asked then, it says what it said then, as fast as then. Pure.

A request is what a client sends up to its carriage return (ELM327 data sheet, "Communicating with the ELM327"). It is
looked for from the last one on, so that the same question gets the answers of the recording one after the other, and
from the begin again behind the last. What nobody asked in the recording gets `?`, the adapter's own answer to what it
does not know.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from firmware_sim.j1979 import CarSnapshot
from firmware_sim.recording import Piece, RecordingError, read_capture

_UNKNOWN = b"?\r\r>"
_LONGEST_REQUEST = 1024  # bytes without a carriage return: a client that has lost its way


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, and the answer's pieces with their seconds since it."""

    request: bytes
    answer: tuple[tuple[float, bytes], ...]


def exchanges(pieces: Sequence[Piece]) -> tuple[tuple[tuple[float, bytes], ...], tuple[Exchange, ...]]:
    """What the adapter said before anybody asked (seconds since the begin), and the exchanges in order."""
    greeting: list[tuple[float, bytes]] = []
    found: list[tuple[bytes, float, list[tuple[float, bytes]]]] = []
    typed = b""
    for piece in pieces:
        if not piece.from_device:
            *complete, typed = (typed + piece.data).split(b"\r")
            found += [(_plain(request), piece.t_s, []) for request in complete]
        elif found:
            _, asked_s, answer = found[-1]
            answer.append((piece.t_s - asked_s, piece.data))
        else:
            greeting.append((piece.t_s, piece.data))
    return tuple(greeting), tuple(Exchange(request, tuple(answer)) for request, _, answer in found)


class Dialogue:
    """Plays one capture; the shape is that of `adapter.Adapter`. Times are seconds of play."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        """Raises RecordingError where nobody asked anything."""
        self._greeting, self._exchanges = exchanges(pieces)
        if not self._exchanges:
            raise RecordingError("nobody asks anything in it, so it is no adapter's capture")
        self._place = 0
        self._typed = b""
        self._leaving: deque[tuple[float, bytes]] = deque()
        self._has_greeted = False
        self.requests = 0
        self.unknown = 0

    @classmethod
    def read(cls, data: bytes) -> "Dialogue":
        """From a capture file, unzipped. Raises RecordingError."""
        return cls(read_capture(data).pieces)

    def feed(self, data: bytes, _car: CarSnapshot | None, t_s: float) -> None:
        """What the client has sent by now; the car is the recorded one."""
        if not self._has_greeted:
            self._has_greeted = True
            self._say(self._greeting, t_s)
        *complete, typed = (self._typed + data).split(b"\r")
        self._typed = typed[-_LONGEST_REQUEST:]
        for request in complete:
            self.requests += 1
            self._say(self._answer(_plain(request)), t_s)

    def due(self, t_s: float) -> bytes:
        """What has left the adapter by then."""
        said = b""
        while self._leaving and self._leaving[0][0] <= t_s:
            said += self._leaving.popleft()[1]
        return said

    def next_s(self) -> float | None:
        """When the next bytes leave; None: not before it is asked."""
        return self._leaving[0][0] if self._leaving else None

    def _answer(self, request: bytes) -> tuple[tuple[float, bytes], ...]:
        count = len(self._exchanges)
        for place in chain(range(self._place, count), range(self._place)):
            if self._exchanges[place].request == request:
                self._place = place + 1
                return self._exchanges[place].answer
        self.unknown += 1
        return ((0.0, _UNKNOWN),)

    def _say(self, pieces: Sequence[tuple[float, bytes]], t_s: float) -> None:
        """Behind what still leaves: an adapter has one line."""
        for after_s, data in pieces:
            earliest_s = self._leaving[-1][0] if self._leaving else t_s
            self._leaving.append((max(t_s + after_s, earliest_s), data))


def _plain(request: bytes) -> bytes:
    """Case and spaces mean nothing to an ELM327, nor does the line feed that some clients add."""
    return bytes(byte for byte in request.upper() if byte > 0x20)
