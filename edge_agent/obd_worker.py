# SPDX-License-Identifier: GPL-2.0-or-later
# This file alone links with python-OBD, whose files are GPL-2.0-or-later, so it carries the same licence and runs as a
# process of its own: it imports nothing of the project, nothing of the project imports it, and they share only text.
"""One connection to an ELM327 adapter: asks the car by schedule, prints one JSON object a line, ends with its parent.

    python -m edge_agent.obd_worker --port /dev/ttyUSB1 --baud 38400 --protocol 6

    {"hello": {"adapter": "ELM327 v1.5", "protocol": "6", "supported": ["speed_kmh", ...]}}   [] where no car answers
    {"mono_s": 1234.567, "name": "speed_kmh", "value": 42.0}    answered then, on CLOCK_MONOTONIC, which processes share
    {"silent": "speed_kmh"}                                     asked, and no usable answer came
    {"error": "..."}                                            the last line: why this process ends

It has no deadlines of its own: python-OBD can block for two minutes on a silent adapter, so whoever started this
process kills it. It ends by itself when its standard input closes or its parent dies.

What is guarded here, because python-OBD 0.7.3 does not: it pads a cut answer with zeros (a cut speed reads 0 km/h), it
takes a late answer to the previous question for the answer to this one, it reads NO DATA to service 03 as "no fault
codes", and it strips the characters \\, x, 0, 1, 2 from both ends of a VIN (`1HG...` loses its first).
"""

import argparse
import contextlib
import ctypes
import json
import logging
import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import obd
import obd.elm327

RETRY_S = 20.0  # a question that went unanswered is asked again after its own pace or this, whichever is sooner,
UNANSWERED = 5  # and after so many in a row at most every
RARELY_S = 120.0
SILENT_IS_ASLEEP = 15  # questions in a row without an answer from the car: it sleeps, or the key is off. Then
ASLEEP_PAUSE_S = 4.0  # only the adapter is asked, for its voltage, which wakes no computer in the car,
ASLEEP_PROBE_S = (5.0, 300.0)  # and the car itself at doubling intervals from..to, or at once when the voltage
START_RISE_V = 0.4  # rises by this much: 12.4 V at rest, above 13 V with the alternator or the DC-DC converter

Messages = Sequence[Any]  # obd.protocols.Message, one a computer; data begins with the echo of the request
Answer = Mapping[str, float | str | list[str]]  # readings by name, empty when nothing usable came
Read = Callable[[Messages], Answer]


@dataclass(slots=True)
class Question:
    name: str
    command: Any  # obd.OBDCommand
    pace_s: float
    read: Read
    due_s: float = -math.inf
    unanswered: int = 0  # times in a row


def whole_answers(messages: Messages, request: bytes, at_least: int) -> list[Any]:
    """Those that echo `request` (hex digits) and have `at_least` bytes, the engine's computer first."""
    echo = bytes([int(request[:2], 16) | 0x40]) + bytes.fromhex(request[2:].decode())
    whole = [m for m in messages if m.data.startswith(echo) and len(m.data) >= at_least]
    return sorted(whole, key=lambda m: m.ecu != obd.ECU.ENGINE)


def number(name: str, command: Any, unit: str) -> Read:
    def read(messages: Messages) -> Answer:
        for message in whole_answers(messages, command.command, command.bytes):
            message.data = message.data[: command.bytes]
            return {name: float(command.decode([message]).to(unit).magnitude)}
        return {}

    return read


def odometer(messages: Messages) -> Answer:
    for message in whole_answers(messages, b"01A6", 6):
        return {"odometer_km": int.from_bytes(message.data[2:6], "big") / 10}
    return {}


def status(messages: Messages) -> Answer:
    states = [obd.commands.STATUS.decode([m]) for m in whole_answers(messages, b"0101", 6)]
    if not states:
        return {}
    return {"mil_on": float(any(s.MIL for s in states)), "dtc_count": float(sum(s.DTC_count for s in states))}


def codes(messages: Messages) -> Answer:
    """On CAN the second byte counts the codes; python-OBD puts a 0 there for the older protocols."""
    whole = [m for m in whole_answers(messages, b"03", 2) if len(m.data) >= 2 + 2 * m.data[1]]
    found = [code for message in whole for code, _text in obd.commands.GET_DTC.decode([message])]
    return {"dtc_codes": list(dict.fromkeys(found))} if whole else {}


def vin(messages: Messages) -> Answer:
    """Seventeen characters; before them CAN puts a count of 1, the older protocols NULs."""
    for message in whole_answers(messages, b"0902", 19):
        text = bytes(byte for byte in message.data[2:] if byte > 0x20).decode("ascii", "replace")
        if len(text) == 17:
            return {"vin": text}
    return {}


def voltage(messages: Messages) -> Answer:
    texts = [match[1] for m in messages if (match := re.fullmatch(r"(\d{1,2}\.\d{1,2})V?", m.raw()))]
    return {"adapter_voltage_v": float(texts[0])} if texts else {}


def any_pids(messages: Messages) -> Answer:
    """Whether the car answered 01 00; read from the text, because without a protocol nothing is taken apart."""
    return {"car": 1.0} if any("4100" in m.raw().replace(" ", "") for m in messages) else {}


# reading, python-OBD's command (it knows service, PID, length and formula of SAE J1979), unit, s between two questions
NUMBERS = (
    ("speed_kmh", "SPEED", "kph", 1.0),
    ("engine_rpm", "RPM", "rpm", 1.0),
    ("throttle_pct", "THROTTLE_POS", "percent", 3.0),
    ("engine_load_pct", "ENGINE_LOAD", "percent", 3.0),
    ("maf_gps", "MAF", "gps", 3.0),
    ("module_voltage_v", "CONTROL_MODULE_VOLTAGE", "volt", 5.0),
    ("coolant_temp_c", "COOLANT_TEMP", "celsius", 10.0),
    ("intake_temp_c", "INTAKE_TEMP", "celsius", 15.0),
    ("run_time_s", "RUN_TIME", "second", 15.0),
    ("fuel_level_pct", "FUEL_LEVEL", "percent", 60.0),
)
# reading, request, s between two questions, how its answer is read
ADAPTER: tuple[str, bytes, float, Read] = ("adapter_voltage_v", b"ATRV", 5.0, voltage)
OTHERS: tuple[tuple[str, bytes, float, Read], ...] = (
    ("vin", b"0902", 600.0, vin),
    ("mil_on", b"0101", 10.0, status),
    ("dtc_codes", b"03", 600.0, codes),  # and at once when the lamp or the number of codes changes
    ("odometer_km", b"01A6", 60.0, odometer),
)


def ask(name: str, request: bytes, pace_s: float, read: Read) -> Question:
    """Length 0 keeps python-OBD from padding; its `value` is then the messages themselves."""
    return Question(name, obd.OBDCommand(name, "", request, 0, lambda m: m, obd.ECU.ALL, False), pace_s, read)


class Line:
    """The serial port under python-OBD: never shared, patient by protocol, and it notes when bytes came.

    python-OBD waits 10 s wherever a clone drops its prompt. On CAN an adapter that has been quiet for 1.5 s has nothing
    more to say; K-line protocols and the search for a protocol pause for seconds, so they keep longer limits. After a
    prompt with nothing before it python-OBD waits eleven times more (its issue 184), so that is read as NO DATA.
    """

    def __init__(self, protocol: str | None) -> None:
        self.bytes_came_s = 0.0
        self._can = protocol in ("6", "7", "8", "9")
        self._open = obd.elm327.serial.serial_for_url
        self._port: Any = None
        self._reply = b""  # since the last prompt
        obd.elm327.serial.serial_for_url = self._opened

    def be_quick(self) -> None:
        """From connecting to asking."""
        if self._port:
            self._port.timeout = 2.0 if self._can else 5.0

    def _opened(self, url: str, **settings: Any) -> Any:
        settings["timeout"] = 1.5 if self._can else 10.0
        self._port = self._open(url, exclusive=True, **settings)
        read = self._port.read

        def stamped_read(size: int = 1) -> bytes:
            data: bytes = read(size)
            self._reply = self._reply + data if data else b""
            if data:
                self.bytes_came_s = time.monotonic()
            if b">" in data:
                empty, self._reply = not self._reply.strip(b"\r\n\0 >"), b""
                return b"NO DATA\r>" if empty else data
            return data

        self._port.read = stamped_read
        return self._port


class Worker:
    def __init__(self, link: Any, line: Line, say: Callable[[dict[str, object]], None]) -> None:
        self._link = link
        self._line = line
        self._say = say
        self._voltage = ask(*ADAPTER)

    def run(self) -> str:
        """Returns why there is nothing more to ask."""
        rows = [row for row in NUMBERS if self._link.supports(obd.commands[row[1]])]
        version = self._link.query(obd.commands.ELM_VERSION, force=True).messages
        self._say(
            {
                "hello": {
                    "adapter": version[0].raw() if version else "",
                    "protocol": self._link.protocol_id(),
                    "supported": [name for name, *_ in rows],
                }
            }
        )
        if not rows:
            return self._wait_for(ask("car", b"0100", 1.0, any_pids)) or "the car answers now"
        known = [(name, obd.commands[command], unit, pace_s) for name, command, unit, pace_s in rows]
        return self._poll(
            [
                *(
                    ask(name, command.command, pace_s, number(name, command, unit))
                    for name, command, unit, pace_s in known
                ),
                *(ask(*row) for row in OTHERS),
            ]
        )

    def _poll(self, car: list[Question]) -> str:
        """Asks until the adapter is gone."""
        faults: Answer = {}
        unheard = 0  # questions in a row without an answer from the car
        while self._link.status() != obd.OBDStatus.NOT_CONNECTED:
            now_s = time.monotonic()
            # the most overdue by its own pace comes first, so that a slow adapter slows every question alike
            q = max([*car, self._voltage], key=lambda q: (now_s - q.due_s) / q.pace_s)
            if q.due_s > now_s:
                time.sleep(min(q.due_s for q in [*car, self._voltage]) - now_s)
                continue
            answer = self._ask(q, now_s)
            if q is self._voltage:
                continue
            unheard = 0 if answer else unheard + 1
            if unheard >= SILENT_IS_ASLEEP:
                if gone := self._wait_for(car[0]):
                    return gone
                unheard = 0
                for each in car:
                    each.due_s, each.unanswered = -math.inf, 0
            elif q.name == "mil_on" and answer and answer != faults:
                faults = answer
                next(each for each in car if each.name == "dtc_codes").due_s = -math.inf
        return "the adapter vanished"

    def _wait_for(self, probe: Question) -> str:
        """Leaves the car in peace until it answers `probe` (then empty) or the adapter is gone (then why)."""
        pause_s, longest_s = ASLEEP_PROBE_S
        probe_at_s, lowest_v = -math.inf, math.inf
        while self._link.status() != obd.OBDStatus.NOT_CONNECTED:
            now_s = time.monotonic()
            volts = float(str(self._ask(self._voltage, now_s).get("adapter_voltage_v", lowest_v)))
            if now_s >= probe_at_s or volts >= lowest_v + START_RISE_V:
                if self._ask(probe, now_s):
                    return ""
                probe_at_s, pause_s, lowest_v = now_s + pause_s, min(pause_s * 2, longest_s), volts
            lowest_v = min(lowest_v, volts)
            time.sleep(ASLEEP_PAUSE_S)
        return "the adapter vanished"

    def _ask(self, q: Question, now_s: float) -> Answer:
        answer = q.read(self._link.query(q.command, force=True).value or ())
        for name, value in answer.items():
            self._say({"mono_s": self._line.bytes_came_s, "name": name, "value": value})
        if not answer:
            self._say({"silent": q.name})
        q.unanswered = 0 if answer else q.unanswered + 1
        pace_s = (
            q.pace_s if answer else min(q.pace_s, RETRY_S) if q.unanswered < UNANSWERED else max(q.pace_s, RARELY_S)
        )
        q.due_s = max(q.due_s + pace_s, now_s + pace_s / 2)  # an even beat, without catching up after a stall
        return answer


class LastError(logging.Handler):
    """python-OBD tells only its log why it could not connect."""

    text = "the adapter does not answer"

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def end_with_parent() -> None:
    """The parent holds the other end of standard input for as long as it lives; kill -9 closes it too."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description="one connection to an ELM327 adapter, as JSON lines")
    parser.add_argument("--port", required=True)
    parser.add_argument("--baud", type=int, required=True)
    parser.add_argument("--protocol", help="1 to A as in AT SP; without it the adapter searches")
    arguments = parser.parse_args()

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    threading.Thread(target=end_with_parent, daemon=True).start()
    out = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints must not reach the protocol
    last_error = LastError(logging.ERROR)
    obd.logger.handlers = [last_error]

    def say(line: dict[str, object]) -> None:
        os.write(out, json.dumps(line, allow_nan=False).encode() + b"\n")  # below PIPE_BUF, so never torn

    try:
        line = Line(arguments.protocol)
        link = obd.OBD(arguments.port, arguments.baud, arguments.protocol, fast=False, timeout=1, check_voltage=False)
        line.be_quick()
        gone = link.status() == obd.OBDStatus.NOT_CONNECTED
        reason = last_error.text if gone else Worker(link, line, say).run()
    except BrokenPipeError:
        reason = "nobody listens"
    except Exception as error:  # noqa: BLE001 - python-OBD raises TypeError and others when the port dies under it
        reason = f"{type(error).__name__}: {error}"
    with contextlib.suppress(BrokenPipeError):
        say({"error": reason})
    os._exit(1)  # python-OBD has nothing to tidy up that the next connection's reset does not


if __name__ == "__main__":
    main()
