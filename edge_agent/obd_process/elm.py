# SPDX-License-Identifier: GPL-2.0-or-later
# Part of the program obd_process/worker.py, under its licence; see there. This file alone links with python-OBD.
"""python-OBD's adapter and protocols, guarded.

What python-OBD 0.7.3 does and this file prevents: it waits 23 s for an adapter that says nothing to one command; gives
up at an echo that stays on or at a harmless AT command that is refused; drops both of two frames that one computer
sent; and can raise on a malformed frame. Its table of commands is not loaded: that brings pint, 28 MiB for units.
"""

import importlib.util
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

if "obd" not in sys.modules and (_spec := importlib.util.find_spec("obd")):
    sys.modules["obd"] = importlib.util.module_from_spec(_spec)  # the package without running its __init__
import obd.elm327
from obd.utils import OBDStatus

LONGEST_REPLY = 8_192  # bytes; more without a prompt is a flood


def cleaned(reply: bytes, command: bytes) -> bytes:
    """What python-OBD may see of `reply`: no echo, noise, stray prompt or progress text; and never nothing."""
    text = bytes(byte for byte in reply if 0x20 <= byte < 0x7F or byte in b"\r\n").lstrip(b">").split(b">")[0]
    typed = command.replace(b" ", b"").upper()
    echoes = (typed, bytes(byte for each in typed for byte in (each, each)))  # doubled: ELMduino issue 36
    lines = (re.sub(rb"^(SEARCHING|BUS INIT)[:. ]*(OK)?", b"", line.strip()) for line in re.split(rb"[\r\n]+", text))
    said = [line for line in lines if line and line.replace(b" ", b"").upper() not in echoes]
    if said == [b"?"] and typed in (b"ATE0", b"ATL0"):  # refused, and harmless: both are taken care of here
        said = [b"OK"]
    if typed in (b"ATH1", b"ATE0", b"ATL0") and b"OK" in said:
        said = [b"OK"]
    return b"\r".join(said or [b"NO DATA"]) + b"\r>"


class Line:
    """The serial port under python-OBD: never shared, one whole cleaned reply a read, and it notes when bytes came.

    An adapter that has said something and then is quiet has dropped its prompt: on CAN nothing more can come; a K-line
    and the search for a protocol pause for seconds. One that says nothing at all is late, hung, or mute to a command.
    """

    def __init__(self) -> None:
        self.bytes_came_s = 0.0
        self.mute = False  # nothing at all came as reply to the last command
        self.first_s = 5.0  # to wait for the first byte
        self.quiet_s = 10.0  # from byte to byte of the car's answer
        self._command = b""
        self._asked_s = 0.0
        self._open = obd.elm327.serial.serial_for_url
        self._port: Any = None
        obd.elm327.serial.serial_for_url = self._opened

    def _opened(self, url: str, **settings: Any) -> Any:
        self._port = self._open(url, exclusive=True, **(settings | {"timeout": 0.25, "write_timeout": 3.0}))
        self._read, self._write = self._port.read, self._port.write
        self._port.read, self._port.write = self._whole_reply, self._noting_write
        return self._port

    def _noting_write(self, data: bytes) -> object:
        self._command, self._asked_s = data.strip(), time.monotonic()
        return self._write(data)

    def _whole_reply(self, _size: int = 1) -> bytes:
        reply = said = b""
        came_s, quiet_s = self._asked_s, self.first_s
        while b">" not in said and time.monotonic() - came_s < quiet_s:
            data = self._read(self._port.in_waiting or 1)
            if data:
                reply += data
                said = reply.lstrip(b">\0")  # prompts before it belong to the command before
                came_s = self.bytes_came_s = time.monotonic()
                quiet_s = self.quiet_s if said and self._command[:2].upper() != b"AT" else 1.5
            if len(reply) > LONGEST_REPLY:
                raise OSError("the adapter does not stop talking")
        self.mute = not reply
        return cleaned(reply, self._command)


class Patient:
    """Before a protocol of python-OBD: frames that came twice count once, and two single frames are two answers."""

    def __call__(self, lines: list[str]) -> list[Any]:
        once = list(dict.fromkeys(lines))
        parse: Callable[[list[str]], list[Any]] = super().__call__  # type: ignore[misc]
        messages = parse(once)
        if len(once) > 1 and not any(m.parsed() for m in messages):
            messages = [message for line in once for message in parse([line])]
        return messages


class Adapter(obd.elm327.ELM327):  # type: ignore[misc] # python-OBD has no types
    """python-OBD's adapter, which meets the car when told to and not while it is made."""

    _SUPPORTED_PROTOCOLS: Mapping[str, Any] = {
        name: type(kind.__name__, (Patient, kind), {}) for name, kind in obd.elm327.ELM327._SUPPORTED_PROTOCOLS.items()
    }

    def set_protocol(self, protocol_: str | None) -> bool:
        return False

    def meet(self, protocol: str | None) -> bool:
        """Whether a protocol could be set up; the car may still be silent.

        What python-OBD says once after its reset is said each time: an adapter that browned out has forgotten it, and
        without headers no answer can be taken apart.
        """
        for command in (b"ATE0", b"ATH1", b"ATL0"):
            self.ask(command)
        try:
            return bool(super().set_protocol(protocol))
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError):  # of a malformed frame
            return False

    @property
    def is_there(self) -> bool:
        return bool(self.status() != OBDStatus.NOT_CONNECTED)

    def ask(self, request: bytes) -> Sequence[Any]:
        try:
            return self.send_and_parse(request) or ()
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError):  # of a malformed frame
            return ()


class LastError(logging.Handler):
    """python-OBD tells only its log why it could not connect."""

    text = "the adapter does not answer"

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def last_error() -> LastError:
    """Takes python-OBD's log over."""
    told = LastError(logging.ERROR)
    obd.elm327.logger.handlers, obd.elm327.logger.propagate = [told], False
    return told
