"""Runs one probe at each of several ports, side by side in one thread, and tells each verdict as it comes."""

import contextlib
import os
import select
import socket
import termios
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import serial

from edge_agent.ports.probe import Heard, Plan, Probe, Verdict, Wish, probe
from edge_agent.ports.serial_port import GATHER_S, open_line, why

LOOK_UP_S = 1.0  # how often, at least, to ask whether to stop
_READ_SIZE = 4096


@dataclass(slots=True)
class _Open:
    """A port that is being probed."""

    path: str
    line: serial.Serial
    closing: ExitStack
    probe: Probe
    wish: Wish


def survey(
    plans: Mapping[str, Plan],
    tell: Callable[[str, Verdict], bool],
    woken: socket.socket,
    stopped: Callable[[], bool],
) -> None:
    """Probe all of `plans`, path → plan, until each has its verdict, `tell` returns True (enough) or `stopped` is True.

    `tell` is called when the port is closed again. A byte to `woken`'s peer makes it ask `stopped` at once.
    """
    with ExitStack() as closing:
        lines: dict[int, _Open] = {}
        for path, plan in plans.items():
            try:
                each = _open(path, plan, closing)
            except (OSError, termios.error, ValueError) as error:
                if tell(path, _failed(error, path)):
                    return
            else:
                lines[each.line.fileno()] = each
        while lines and not stopped():
            for fd, verdict in _step(lines, woken):
                each = lines.pop(fd)
                each.closing.close()
                if tell(each.path, verdict):
                    return


def _open(path: str, plan: Plan, closing: ExitStack) -> _Open:
    now_s = time.monotonic()
    course = probe(plan, now_s)
    wish = next(course)
    with ExitStack() as own:
        line = own.enter_context(open_line(path, wish.baud))
        each = _Open(path, line, own.pop_all(), course, wish)
    closing.callback(each.closing.close)
    return each


def _step(lines: Mapping[int, _Open], woken: socket.socket) -> list[tuple[int, Verdict]]:
    """Wait for bytes, a deadline or a call, and let the probes go on; returns those that came to an end."""
    wait_s = min(each.wish.until_s for each in lines.values()) - time.monotonic()
    ready, _, _ = select.select([woken.fileno(), *lines], [], [], min(max(0.0, wait_s), LOOK_UP_S))
    if woken.fileno() in ready:
        with contextlib.suppress(BlockingIOError):
            woken.recv(_READ_SIZE)
    elif ready:
        select.select([woken], [], [], GATHER_S)  # a byte seldom comes alone
    ended = []
    for fd, each in lines.items():
        try:
            verdict = _go_on(each, fd in ready)
        except (OSError, termios.error, ValueError) as error:
            verdict = _failed(error, each.path)
        if verdict:
            ended.append((fd, verdict))
    return ended


def _go_on(each: _Open, has_bytes: bool) -> Verdict | None:
    data = b""
    if has_bytes:
        data = os.read(each.line.fileno(), _READ_SIZE)
        if not data:
            raise OSError("device reports readiness to read but returned no data")
    now_s = time.monotonic()
    if not data and now_s < each.wish.until_s:
        return None
    try:
        wish = each.probe.send(Heard(data, now_s))
    except StopIteration as end:
        return end.value if isinstance(end.value, Verdict) else None
    if wish.baud != each.wish.baud:
        each.line.baudrate = wish.baud
        each.line.reset_input_buffer()
    if wish.say:
        os.write(each.line.fileno(), wish.say)
    each.wish = wish
    return None


def _failed(error: Exception, path: str) -> Verdict:
    return Verdict(None, 0, why(error, path).removeprefix(f"{path} "))
