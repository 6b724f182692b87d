# SPDX-License-Identifier: GPL-2.0-or-later
# This program (the folder obd_process) links with python-OBD, whose files are GPL-2.0-or-later, so
# it carries the same licence and runs as a process of its own: it imports nothing else of the project, nothing of the
# project imports it, and they share only text.
"""One connection to an ELM327 adapter: asks the car by schedule, prints one JSON object a line, ends with its parent.

    python -m edge_agent.obd_process.worker --port /dev/ttyUSB1 --baud 38400 --protocol 6

    {"hello": {"adapter": "ELM327 v1.5", "protocol": "6", "car": true, "supported": ["speed_kmh", ...]}}
                                                                each time that the car is met; false: it does not answer
    {"asking": "vin"}                                           before a question is asked for the first time
    {"mono_s": 1234.567, "name": "speed_kmh", "value": 42.0}    answered then, on CLOCK_MONOTONIC, which processes share
    {"silent": "speed_kmh"}                                     asked, and no usable answer came
    {"doing": "car silent", "next_line_s": 4.0}                 the next line may take so long; see DOINGS
    {"error": "..."}                                            the last line: why this process ends

Its standard input takes `rest 60` (only the adapter's voltage, once in 60 s, and no question to the car until the
voltage rises) and `all`, one a line; it ends by itself when that closes or its parent dies. What an adapter does is
waited for with a limit, but a driver may still block: whoever started this process kills it when no line comes.

answers.py has the questions, elm.py the adapter; the three are one program and under one licence.
"""

import argparse
import contextlib
import ctypes
import json
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from edge_agent.obd_process.answers import BITMAPS, NUMBERS, Answer, Question, schedule, voltage, whole_answers
from edge_agent.obd_process.elm import Adapter, Line, last_error

QUIETLY_S = 2.0  # shorter pauses are not announced
DOINGS = ("querying", "meeting the car", "car silent", "engine off", "resting", "voltage rose")
MEETING_S = 20.0  # searching all protocols takes 10 s and more
RETRY_S = 20.0  # a question that went unanswered is asked again after its own pace or this, whichever is sooner,
UNANSWERED = 5  # and after so many in a row at most every
RARELY_S = 120.0
SILENT_IS_ASLEEP = 15  # questions in a row without an answer from the car: it sleeps, or the key is off. Then
ASLEEP_PAUSE_S = 4.0  # only the adapter is asked, for its voltage, which wakes no computer in the car,
PROBE_S = (60.0, 1800.0)  # and the car itself at doubling intervals from..to, or at once when the voltage
START_RISE_V = 0.4  # rises by this much: 12.4 V at rest, above 13 V with the alternator or the DC-DC converter
CHARGING_V = 13.0  # of 199,857 recorded rows 99 % of those with the engine running are above, at rest 12.4 V
STILL_S = 120.0  # no turning and no rolling for so long below CHARGING_V: the engine is off. Above it this takes
STILL_AND_CHARGED_S = 1800.0  # so long: a hybrid waiting, or a clone whose voltmeter reads too much

Say = Callable[[dict[str, object]], None]


class GoneError(Exception):
    """Why there is nobody left to ask."""


class Wishes:
    """What the parent wants, read from standard input; its end is ours, kill -9 of the parent included."""

    def __init__(self, rest_s: float | None) -> None:
        self.rest_s = rest_s  # None: ask everything
        self.changed = threading.Event()

    def listen(self) -> None:
        typed = b""
        while data := os.read(sys.stdin.fileno(), 4096):
            *lines, typed = (typed + data)[-4096:].split(b"\n")
            for line in lines:
                if match := re.fullmatch(rb"all|rest (\d{1,4})", line):
                    self.rest_s = float(match[1]) if match[1] else None
                    self.changed.set()
        os._exit(0)


class Worker:
    """Meets the car, asks it by schedule, and leaves it in peace when its engine is off or it does not answer."""

    def __init__(
        self, adapter: Any, line: Line, say: Say, wishes: Wishes, protocol: str | None, without: Sequence[str]
    ) -> None:
        self._adapter, self._line, self._say, self._wishes = adapter, line, say, wishes
        self._protocol, self._without = protocol, without
        self._voltage = Question("adapter_voltage_v", b"ATRV", 5.0, voltage)
        self._version = ""
        self._car: list[Question] = []
        self._pause_s = PROBE_S[0]  # before the car is asked again; doubles for as long as it says nothing of use
        self._last: dict[str, float] = {}  # numbers by name, gone when the last question went unanswered

    def run(self) -> str:
        """Returns why there is nothing more to ask."""
        try:
            self._line.quiet_s = 2.0
            self._version = next((m.raw() for m in self._adapter.ask(b"ATI")), "")
            if self._wishes.rest_s is not None:
                self._hello(False)
            while True:
                if self._wishes.rest_s is not None:
                    self._rest()
                elif not (self._meets() and self._poll()):
                    self._leave_alone("car silent", lambda _rose: self._answers())
        except GoneError as gone:
            return str(gone)

    def _meets(self) -> bool:
        """Whether the car answers; then `_car` has what it offers."""
        self._doing("meeting the car", MEETING_S)
        self._line.quiet_s = 10.0 if self._protocol is None else 2.0 if self._protocol in "6789" else 5.0
        self._adapter.meet(self._protocol)
        can = str(self._adapter.protocol_id()) in "6789"
        self._line.quiet_s = 2.0 if can else 5.0
        offered: set[int] = set()
        for base in BITMAPS:
            request = b"01%02X" % base
            bitmaps = [m.data[2:6] for m in whole_answers(self._adapter.ask(request), request, 6)]
            offered |= {
                base + 1 + bit for bitmap in bitmaps for bit in range(32) if bitmap[bit // 8] >> 7 - bit % 8 & 1
            }
            answers = bool(bitmaps) or base > 0
            if base + 0x20 not in offered:
                break
        self._car = [q for q in schedule(frozenset(offered), can) if q.name not in self._without] if answers else []
        self._last.clear()
        self._hello(answers)
        return answers

    def _hello(self, car: bool) -> None:
        self._still_there()
        self._line.first_s = 3.0
        offered = [q.name for q in self._car if q.name in {name for name, *_ in NUMBERS} | {"mil_on"}]
        protocol = str(self._adapter.protocol_id())
        self._say({"hello": {"adapter": self._version, "protocol": protocol, "car": car, "supported": offered}})

    def _answers(self) -> bool:
        """Read from the text, because without a protocol nothing is taken apart."""
        return any("4100" in m.raw().replace(" ", "") for m in self._adapter.ask(b"0100"))

    def _poll(self) -> bool:
        """Asks until the car is silent, its engine off, or it shall rest. False: the car said nothing at all."""
        faults: Answer = {}
        heard, unheard = False, 0  # anything from the car; questions in a row without an answer
        turned_s = time.monotonic()
        everything = [*self._car, *([self._voltage] if self._voltage.name not in self._without else [])]
        while self._wishes.rest_s is None and unheard < SILENT_IS_ASLEEP:
            now_s = time.monotonic()
            # the most overdue by its own pace comes first, so that a slow adapter slows every question alike
            q = max(everything, key=lambda q: (now_s - q.due_s) / q.pace_s)
            if q.due_s > now_s:
                self._sleep("querying", min(q.due_s for q in everything) - now_s)
                continue
            answer = self._ask(q, now_s)
            if q is not self._voltage:
                heard, unheard = heard or bool(answer), 0 if answer else unheard + 1
            if q.name == "mil_on" and answer and answer != faults:
                faults = answer
                for each in self._car:
                    each.due_s = -math.inf if each.name.startswith("dtc_") else each.due_s
            if self._last.get("engine_rpm") or self._last.get("speed_kmh"):
                turned_s = now_s
            volts = self._last.get("module_voltage_v", self._last.get("adapter_voltage_v", 0.0))
            if now_s - turned_s >= (STILL_AND_CHARGED_S if volts >= CHARGING_V else STILL_S):
                self._pause_s = PROBE_S[0]
                self._leave_alone("engine off", lambda rose: rose or self._turns())
                return True
        if heard:
            self._pause_s = PROBE_S[0]
        return heard or self._wishes.rest_s is not None

    def _turns(self) -> bool:
        """Whether engine or wheels turn; nothing else is asked."""
        moving = [q for q in self._car if q.name in ("engine_rpm", "speed_kmh")]
        return any(any(self._ask(q, time.monotonic()).values()) for q in moving)

    def _leave_alone(self, doing: str, wakes: Callable[[bool], bool]) -> None:
        """Asks the adapter only, until `wakes`; that is asked at doubling intervals and when the voltage rose."""
        self._doing(doing, MEETING_S)
        self._release_bus()
        probe_at_s, lowest_v = time.monotonic() + self._pause_s, math.inf
        while self._wishes.rest_s is None:
            volts = self._volts(lowest_v)
            rose = lowest_v + START_RISE_V <= volts < math.inf
            if rose or time.monotonic() >= probe_at_s:
                self._doing(doing, MEETING_S)
                self._pause_s = min(self._pause_s * 2, PROBE_S[1])
                if wakes(rose):
                    return
                self._release_bus()
                probe_at_s, lowest_v = time.monotonic() + self._pause_s, volts
            lowest_v = min(lowest_v, volts)
            self._sleep(doing, ASLEEP_PAUSE_S)

    def _rest(self) -> None:
        """As the parent wishes: the voltage at its pace, until it wishes otherwise or the voltage rises."""
        self._doing("resting", MEETING_S)
        self._release_bus()
        lowest_v = math.inf
        while (pace_s := self._wishes.rest_s) is not None:
            volts = self._volts(lowest_v)
            if lowest_v + START_RISE_V <= volts < math.inf:
                self._wishes.rest_s = None
                self._doing("voltage rose", MEETING_S)
                return
            lowest_v = min(lowest_v, volts)
            self._sleep("resting", pace_s)

    def _release_bus(self) -> None:
        """On a K-line the adapter would go on to wake the car every few seconds by itself (data sheet, AT SW)."""
        if str(self._adapter.protocol_id()) in ("3", "4", "5"):
            self._adapter.ask(b"ATPC")

    def _volts(self, otherwise: float) -> float:
        """What the adapter measures now, or `otherwise`."""
        if self._voltage.name in self._without:
            return otherwise
        return float(str(self._ask(self._voltage, time.monotonic()).get(self._voltage.name, otherwise)))

    def _doing(self, doing: str, next_line_s: float) -> None:
        self._say({"doing": doing, "next_line_s": next_line_s})

    def _sleep(self, doing: str, seconds: float) -> None:
        if seconds > QUIETLY_S:
            self._doing(doing, seconds)
        self._wishes.changed.wait(seconds)
        self._wishes.changed.clear()

    def _must_reply(self) -> None:
        self._adapter.ask(b"ATI")
        if self._line.mute:
            raise GoneError("the adapter fell silent")

    def _still_there(self) -> None:
        if not self._adapter.is_there:
            raise GoneError("the adapter vanished")

    def _ask(self, q: Question, now_s: float) -> Answer:
        if not q.asked:
            self._say({"asking": q.name})
            q.asked = True
        answer = q.read(self._adapter.ask(q.request))
        self._still_there()
        if self._line.mute:  # to this question alone, or to all?
            self._must_reply()
            q.unanswered = UNANSWERED
        for name, value in answer.items():
            self._say({"mono_s": self._line.bytes_came_s, "name": name, "value": value})
            if isinstance(value, float):
                self._last[name] = value
        if not answer:
            self._say({"silent": q.name})
            self._last.pop(q.name, None)
        q.unanswered = 0 if answer else q.unanswered + 1
        pace_s = (
            q.pace_s if answer else min(q.pace_s, RETRY_S) if q.unanswered < UNANSWERED else max(q.pace_s, RARELY_S)
        )
        q.due_s = max(q.due_s + pace_s, now_s + pace_s / 2)  # an even beat, without catching up after a stall
        return answer


def work(port: str, baud: int, protocol: str | None, without: Sequence[str], wishes: Wishes, say: Say) -> str:
    """One connection from opening the port to its end; returns why it ended."""
    told, line = last_error(), Line()
    try:
        adapter = Adapter(port, baud, None, 1, check_voltage=False)
        if not adapter.is_there:
            return "the adapter does not answer" if line.mute else told.text
        return Worker(adapter, line, say, wishes, protocol, without).run()
    except BrokenPipeError:
        return "nobody listens"
    except Exception as error:  # noqa: BLE001 - python-OBD raises TypeError and others when the port dies under it
        return f"{type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description="one connection to an ELM327 adapter, as JSON lines")
    parser.add_argument("--port", required=True)
    parser.add_argument("--baud", type=int, required=True)
    parser.add_argument("--protocol", help="1 to A as in AT SP; without it the adapter searches")
    parser.add_argument("--rest", type=float, metavar="S", help="begin as after the line `rest S`")
    parser.add_argument("--without", default="", metavar="NAMES", help="questions to leave out, with commas")
    arguments = parser.parse_args()

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    wishes = Wishes(arguments.rest)
    threading.Thread(target=wishes.listen, daemon=True).start()
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not reach the protocol

    def say(line: dict[str, object]) -> None:
        os.write(out, json.dumps(line, allow_nan=False).encode() + b"\n")  # below PIPE_BUF, so never torn

    without = arguments.without.split(",")
    reason = work(arguments.port, arguments.baud, arguments.protocol, without, wishes, say)
    with contextlib.suppress(BrokenPipeError):
        say({"error": reason})
    os._exit(1)  # python-OBD has nothing to tidy up that the next connection's reset does not


if __name__ == "__main__":
    main()
