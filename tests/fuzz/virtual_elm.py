# SPDX-License-Identifier: GPL-2.0-or-later
# Loads the worker (edge_agent/obd_process), so it is under the worker's licence and is only ever run: the tests read
# what it prints.
"""The OBD worker on an adapter that is a function, in time that passes only while the worker waits.

    python tests/fuzz/virtual_elm.py < case.json

A case: `protocol` (null searches), `seconds` to play, `replies` by command (a list: one after the other, the last
stays; none: NO DATA; null: silence), `changes` [[second, replies]...], `wishes` [[second, seconds between voltages or
null for everything]...], `rest`, `without`. Prints one JSON object: `lines` [[second, line]...], `asked` [[second,
command]...], `bytes` typed, and `ended`.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import serial

from edge_agent.obd_process import elm as obd_elm
from edge_agent.obd_process import worker as obd_worker

Reply = Callable[[bytes, float], bytes]  # command, virtual second → all that the adapter says


class OverError(BaseException):
    """The time of the play is over; no handler of the worker may stop this."""


class Play:
    """One run of the worker; also the serial port, the clock and the wishes that it sees."""

    def __init__(self, reply: Reply, seconds: float, wishes: list[tuple[float, float | None]] | None = None) -> None:
        self.now_s = 0.0
        self.lines: list[tuple[float, dict[str, Any]]] = []
        self.asked: list[tuple[float, str]] = []
        self.typed_bytes = 0
        self.ended: str | None = None
        self.in_waiting = 0
        self.baudrate, self.portstr = 38_400, "virtual"
        self._reply, self._until_s, self._said = reply, seconds, b""
        self._wishes = sorted(wishes or [], key=lambda wish: wish[0])

    def run(self, protocol: str | None, rest_s: float | None = None, without: tuple[str, ...] = ()) -> "Play":
        clock = SimpleNamespace(monotonic=lambda: self.now_s, sleep=self.pass_by)
        obd_worker.time = obd_elm.time = obd_elm.obd.elm327.time = clock  # type: ignore[assignment]
        serial.serial_for_url = lambda *_a, **_k: self
        self.wanted = obd_worker.Wishes(rest_s)
        self.wanted.changed = SimpleNamespace(wait=self._wait, clear=lambda: None)  # type: ignore[assignment]
        with contextlib.suppress(OverError):
            self.ended = obd_worker.work("virtual", 38_400, protocol, without, self.wanted, self._say)
        return self

    def pass_by(self, seconds: float) -> None:
        self.now_s += max(seconds, 0.001)
        while self._wishes and self._wishes[0][0] <= self.now_s:
            self.wanted.rest_s = self._wishes.pop(0)[1]
        if self.now_s >= self._until_s:
            raise OverError

    def _wait(self, seconds: float) -> None:
        wake_s = min([self.now_s + seconds, *(wish[0] for wish in self._wishes[:1])])
        self.pass_by(wake_s - self.now_s)

    def _say(self, line: dict[str, object]) -> None:
        self.lines.append((self.now_s, json.loads(json.dumps(line, allow_nan=False))))

    # the serial port

    def write(self, data: bytes) -> int:
        command = data.strip().replace(b" ", b"")
        self.asked.append((self.now_s, command.decode()))
        self.typed_bytes += len(data)
        self._said += self._reply(command, self.now_s)
        self.in_waiting = len(self._said)
        return len(data)

    def read(self, size: int = 1) -> bytes:
        data, self._said = self._said[:size], self._said[size:]
        self.in_waiting = len(self._said)
        self.pass_by(0.01 if data else 0.25)
        return data

    def flushInput(self) -> None:
        self._said, self.in_waiting = b"", 0

    def flush(self) -> None: ...

    def flushOutput(self) -> None: ...

    def close(self) -> None: ...


def main() -> None:
    case = json.load(sys.stdin)
    replies: dict[str, str | list[str] | None] = case["replies"]
    changes: list[list[Any]] = case.get("changes", [])

    def reply(command: bytes, now_s: float) -> bytes:
        while changes and changes[0][0] <= now_s:
            replies.update(changes.pop(0)[1])
        said = replies.get(command.decode(), "NO DATA\r\r>")
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        return (said or "").encode("latin-1")

    wishes = [(at_s, rest_s) for at_s, rest_s in case.get("wishes", [])]
    play = Play(reply, case["seconds"], wishes)
    play.run(case.get("protocol"), case.get("rest"), tuple(case.get("without", ())))
    print(json.dumps({"lines": play.lines, "asked": play.asked, "bytes": play.typed_bytes, "ended": play.ended}))


if __name__ == "__main__":
    main()
