"""Frames as the adapter prints them, one line each.

Source: ELM327 data sheet, "Multiline Responses", "CAN Message Formats", AT H, AT S, AT CAF, AT D; held against recorded
sessions (python-OBD issues 81, 190 and 200, ELMduino issue 279).
"""

from collections.abc import Sequence

from firmware_sim.adapter.bus import Frame
from firmware_sim.adapter.settings import Settings


def printed(frames: Sequence[Frame], settings: Settings) -> list[tuple[float, str]]:
    """Lines without their ends, and when each is known (s after the request)."""
    lines: list[tuple[float, str]] = []
    for frame in frames:
        lines += [(frame.after_s, line) for line in _lines(frame, settings)]
    return lines


def hexed(data: bytes, settings: Settings) -> str:
    gap = " " if settings.spaces else ""
    return "".join(f"{byte:02X}{gap}" for byte in data)


def _lines(frame: Frame, settings: Settings) -> list[str]:
    gap = " " if settings.spaces else ""
    if frame.checksum is not None:  # a K-line: header, data and checksum, or the data alone
        whole = frame.header + frame.data + bytes((frame.checksum,))
        return [hexed(whole if settings.headers else frame.data, settings)]
    data = frame.data if settings.formatting else frame.data.ljust(8, b"\0")
    if settings.headers:
        can_id = f"{frame.can_id:03X}{gap}" if len(frame.header) == 2 else hexed(frame.header, settings)
        dlc = f"{len(data):X}{gap}" if settings.dlc else ""
        return [can_id + dlc + hexed(data, settings)]
    if not settings.formatting:
        return [hexed(data, settings)]
    if not frame.is_long:
        return [hexed(data[1:], settings)]
    if frame.first_of is not None:
        return [f"{frame.first_of:03X}{gap}", f"0:{gap}{hexed(data[2:], settings)}"]
    return [f"{frame.number:X}:{gap}{hexed(data[1:], settings)}"]
