"""What travels between adapter and car: a request on the chosen protocol in, the ECUs' frames in order of time out.

Sources: ISO 15765-2 (frames of long messages), ISO 15765-4 (addresses 7DF, 7E0-7EF, 18DB33F1, 18DAxxF1), ISO 9141-2
(68 6A F1 / 48 6B), ISO 14230-2 (format byte, checksum as sum of all bytes), ISO 14230-4 (33 as functional address).
"""

from dataclasses import dataclass

from firmware_sim.adapter.settings import Settings
from firmware_sim.j1979 import ENGINE_ADDRESS, CarSnapshot, Ecu, answer, kline_answers, seen_by

CAN = frozenset("6789")
K_LINE = frozenset("345")
_LONG_ID = frozenset("79")  # CAN with 29 bit
_TESTER = 0xF1
_FUNCTIONAL = {"3": 0x686AF1, "4": 0xC233F1, "5": 0xC233F1, "6": 0x7DF, "8": 0x7DF, "7": 0x18DB33F1, "9": 0x18DB33F1}
_FRAME_S = 0.0003  # one CAN frame of eight bytes at 500 kbit/s, with the gap that ECUs leave
_CONSECUTIVE_S = 0.002  # from one consecutive frame to the next, flow control answered
_K_LINE_BYTE_S = 10 / 10_400
_K_LINE_P2_S = 0.025  # ISO 9141-2, ISO 14230-4: an ECU waits at least so long before a message


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of an ECU, `after_s` after the request was sent. `data` is without header, padding and checksum."""

    after_s: float
    header: bytes
    data: bytes
    first_of: int | None = None  # a long message's first frame: how many bytes the message has
    number: int | None = None  # of a long message's consecutive frame, 0 to 15; 0 for the first frame as well
    checksum: int | None = None  # on a K-line

    @property
    def is_long(self) -> bool:
        return self.number is not None

    @property
    def can_id(self) -> int:
        return int.from_bytes(self.header, "big")


def iso_tp_frames(message: bytes) -> list[bytes]:
    """ISO 15765-2: one single frame, or a first frame (12-bit length) and consecutive ones numbered 1..F, 0, 1..."""
    if len(message) <= 7:
        return [bytes((len(message),)) + message]
    first = (0x1000 | len(message)).to_bytes(2, "big") + message[:6]
    rest = [message[i : i + 7] for i in range(6, len(message), 7)]
    return [first, *(bytes((0x20 | (n & 0xF),)) + part.ljust(7, b"\0") for n, part in enumerate(rest, 1))]


def exchange(request: bytes, settings: Settings, car: CarSnapshot) -> list[Frame]:
    """Everything that reaches the adapter after `request` (service byte first) on the car's own protocol."""
    engine = Ecu(0, ENGINE_ADDRESS, answer_s=car.answer_s)
    frames: list[Frame] = []
    for ecu in (engine, *car.other_ecus):
        if _is_addressed(ecu, settings, car.protocol):
            view = car if ecu is engine else seen_by(ecu, car)
            frames += _k_line(request, ecu, view, car) if car.protocol in K_LINE else _can(request, ecu, view, car)
    if car.protocol in CAN:
        frames = [each for each in frames if not (each.can_id ^ settings.wanted_id) & settings.wanted_mask]
        if not settings.flow_control:
            frames = [each for each in frames if not each.number]
    return sorted(frames, key=lambda each: each.after_s)


def _is_addressed(ecu: Ecu, settings: Settings, protocol: str) -> bool:
    if settings.header is None or settings.header == _FUNCTIONAL[protocol]:
        return True
    if protocol in K_LINE:
        return (settings.header >> 8) & 0xFF in (0x33, 0x6A, ecu.address)
    if protocol not in _LONG_ID:
        return settings.header == 0x7E0 + ecu.number
    whole = settings.header if settings.header > 0xFFFFFF else settings.priority << 24 | settings.header
    return whole in (_FUNCTIONAL[protocol], 0x18DA00F1 | ecu.address << 8)


def _can(request: bytes, ecu: Ecu, view: CarSnapshot, car: CarSnapshot) -> list[Frame]:
    message = None if ecu.refuses_with is not None else answer(request, view)
    if message is None:
        return []
    long_id = 0x18DA0000 | _TESTER << 8 | ecu.address
    header = long_id.to_bytes(4, "big") if car.protocol in _LONG_ID else (0x7E8 + ecu.number).to_bytes(2, "big")
    parts = iso_tp_frames(message)
    if len(parts) == 1:
        return [Frame(ecu.answer_s, header, parts[0])]
    return [
        Frame(ecu.answer_s + n * (_FRAME_S + _CONSECUTIVE_S), header, part, None if n else len(message), n & 0xF)
        for n, part in enumerate(parts)
    ]


def _k_line(request: bytes, ecu: Ecu, view: CarSnapshot, car: CarSnapshot) -> list[Frame]:
    messages = kline_answers(request, view)
    if ecu.refuses_with is not None:
        messages = [bytes((0x7F, request[0], ecu.refuses_with))]
    frames: list[Frame] = []
    at_s = ecu.answer_s + ecu.number * 0.03  # one after the other: a K-line has one wire
    for message in messages:
        start = b"\x48\x6b" if car.protocol == "3" else bytes((0x80 | len(message), _TESTER))
        header = start + bytes((ecu.address,))
        at_s += _K_LINE_P2_S + (len(message) + 4) * _K_LINE_BYTE_S
        frames.append(Frame(at_s, header, message, checksum=sum(header + message) & 0xFF))
    return frames
