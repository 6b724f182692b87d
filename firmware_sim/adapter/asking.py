"""One request to the car: the search for its protocol, the waking of a K-line, the frames, the waiting for more.

Source: ELM327 data sheet (AT SP, AT ST, AT AT, "Bus Initiation", "Error Messages"). What a failed attempt prints on a
protocol that the car does not speak follows recorded sessions (python-OBD 22, 164 and 187, CANiBUS 6, Freematics 7).
Times of the search add up what it tries before it comes to the car's protocol (the five bauds of a slow initialisation
take 2.6 s, ISO 9141-2 clause 6; a fast one 0.3 s, ISO 14230-2).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from firmware_sim.adapter.bus import CAN, K_LINE, Frame, exchange
from firmware_sim.adapter.printing import printed
from firmware_sim.adapter.profile import AdapterFaults, Profile
from firmware_sim.adapter.settings import Settings
from firmware_sim.j1979 import CarSnapshot

_SEARCH_S = {"3": 3.4, "4": 6.2, "5": 6.6, "6": 0.6, "7": 0.8, "8": 1.0, "9": 1.2}
_VAIN_SEARCH_S = 8.0
_INIT_S = {"3": 2.6, "4": 2.6, "5": 0.3}
_CAN_ERROR_S = 0.1  # attempts to send that nobody acknowledges
_TIMEOUT_STEP_S = 0.004  # AT ST


@dataclass(frozen=True, slots=True)
class Step:
    """`text` goes out `wait_s` after the step before; `\\n` in it stands for the adapter's line end."""

    wait_s: float
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a request."""

    steps: tuple[Step, ...]
    settings: Settings
    found_protocol: bool = False  # by searching
    cleared: bool = False  # service 04, and the car agreed


def ask(
    typed: bytes,
    limit: int | None,
    settings: Settings,
    car: CarSnapshot,
    profile: Profile,
    faults: AdapterFaults,
    rng: random.Random,
) -> Asked:
    """`typed`: the request's bytes as typed; `limit`: how many frames to wait for, None where nothing was said."""
    if faults.bus_error and rng.random() < faults.bus_error_share:
        return Asked((Step(car.answer_s, f"{faults.bus_error}\n"),), settings)
    answers = car.ecu_awake and not faults.silent_car
    searching = settings.automatic and not settings.found
    before: tuple[Step, ...] = ()
    if searching:
        before = (Step(0.0, "SEARCHING..."),)
        if not answers:
            return Asked((*before, Step(_VAIN_SEARCH_S, f"\n{profile.no_car}\n")), settings)
        before += (Step(_SEARCH_S[car.protocol], "\n"),)
        settings = replace(settings, protocol=car.protocol, found=True)
    elif settings.protocol in K_LINE and not settings.found:
        woken = answers and settings.protocol == car.protocol
        dots = "" if settings.protocol == "5" else profile.init_dots
        end = Step(_INIT_S[settings.protocol], "OK\n" if woken else "ERROR\n")
        before = (Step(0.0, f"BUS INIT: {dots}"), end)
        if not woken:
            return Asked(before, settings)
        settings = replace(settings, found=True)
    elif settings.protocol != car.protocol or not answers:
        return _in_vain(settings, car)
    request = _unwrapped(typed, settings)
    frames = exchange(request, settings, car)
    heard = _in_time(frames, settings.timeout * _TIMEOUT_STEP_S)
    if limit is not None:
        heard = _limited(heard, limit, messages=profile.counts_messages)
    cleared = request == b"\x04" and any(frame.data[-1:] == b"\x44" for frame in frames)
    after = _answer(heard, limit, settings, twice=profile.frames_twice)
    return Asked(before + after, settings, searching, cleared)


def cut_after(steps: Sequence[Step], chars: int) -> tuple[list[Step], bool]:
    """The steps as far as an adapter gets that freezes after so many characters, and whether it does."""
    kept: list[Step] = []
    for step in steps:
        if len(step.text) > chars:
            return [*kept, replace(step, text=step.text[:chars])], True
        kept.append(step)
        chars -= len(step.text)
    return kept, False


def _in_vain(settings: Settings, car: CarSnapshot) -> Asked:
    """Nobody answers on this protocol: not appropriate to the car, or the car sleeps or keeps quiet."""
    timeout_s = settings.timeout * _TIMEOUT_STEP_S
    if settings.protocol in K_LINE:  # it was awake once
        return Asked((Step(timeout_s, "NO DATA\n"),), replace(settings, found=False))
    same_bus = settings.protocol in CAN and car.protocol in CAN and (int(settings.protocol) ^ int(car.protocol)) < 2
    acknowledged = car.ecu_awake and same_bus  # 6 and 7, 8 and 9 share their bit rate
    if settings.protocol in "12" or acknowledged:
        return Asked((Step(timeout_s, "NO DATA\n"),), settings)
    return Asked((Step(_CAN_ERROR_S, "CAN ERROR\n"),), settings)


def _unwrapped(typed: bytes, settings: Settings) -> bytes:
    """Without automatic formatting the client types the length byte of the frame himself (ISO 15765-2)."""
    if settings.formatting or settings.protocol not in CAN:
        return typed
    return typed[1 : 1 + typed[0]] if typed and typed[0] <= 7 else b""


def _in_time(frames: Sequence[Frame], timeout_s: float) -> list[Frame]:
    """The frames that come before the adapter gives up waiting."""
    heard: list[Frame] = []
    last_s = 0.0
    for frame in frames:
        if frame.after_s - last_s > timeout_s:
            break
        heard.append(frame)
        last_s = frame.after_s
    return heard


def _limited(frames: Sequence[Frame], limit: int, *, messages: bool) -> list[Frame]:
    """The first `limit` frames; or, as some clones count, all frames of the first `limit` senders."""
    if not messages:
        return list(frames[:limit])
    senders = list(dict.fromkeys(frame.header for frame in frames))[:limit]
    return [frame for frame in frames if frame.header in senders]


def _answer(heard: Sequence[Frame], limit: int | None, settings: Settings, *, twice: bool) -> tuple[Step, ...]:
    timeout_s = settings.timeout * _TIMEOUT_STEP_S
    if not settings.responses:
        return (Step(0.0, ""),)
    if not heard:
        return (Step(0.0 if limit == 0 else timeout_s, "NO DATA\n"),)
    steps: list[Step] = []
    last_s = longest_s = 0.0
    for at_s, line in printed([frame for frame in heard for _ in range(1 + twice)], settings):
        steps.append(Step(at_s - last_s, f"{line}\n"))
        longest_s = max(longest_s, at_s - last_s)
        last_s = at_s
    complete = limit is not None and len(heard) >= limit
    return (*steps, Step(0.0 if complete else _patience_s(longest_s, settings), ""))


def _patience_s(longest_s: float, settings: Settings) -> float:
    """How long the adapter waits for more: AT ST; with adaptive timing as long as the car lately took, and a margin."""
    timeout_s = settings.timeout * _TIMEOUT_STEP_S
    margins = {0: timeout_s, 1: 2 * longest_s + 0.020, 2: 1.2 * longest_s + 0.008}
    return min(timeout_s, margins[settings.timing])
