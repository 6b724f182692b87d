"""`pledgewatch-sim answer`: the adapter of a recording, on a pty."""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from firmware_sim.dialogue import Dialogue
from firmware_sim.ports import PortError, PtyPort, wait_for_bytes
from firmware_sim.recording import RecordingError
from firmware_sim.signals import until_signalled

_REFUSED = 2
_IDLE_S, _LOOK_S, _SHORTEST_S = 0.2, 0.05, 0.001
_MOST_WAITING = 4096  # bytes for a client that types and never reads


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`answer`; it sets `run`."""
    answer = commands.add_parser(
        "answer",
        help="be the adapter of a recording",
        description="Asked what it was asked in the recording, it says what it said then, as fast as then.",
        allow_abbrev=False,
    )
    answer.add_argument("capture", type=Path, metavar="FILE", help="made by 'record --through', plain or gzip")
    answer.add_argument("--obd-link", type=Path, metavar="PATH", help="a lasting name for the adapter's port")
    answer.add_argument("--json", action="store_true", help="say where the port is in one line of JSON")
    answer.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer until a signal comes; the last line is a summary."""
    try:
        data = arguments.capture.read_bytes()
        dialogue = Dialogue.read(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        port = PtyPort(arguments.obd_link)
    except (OSError, EOFError) as error:
        print(f"pledgewatch-sim: cannot read {arguments.capture}: {error}", file=sys.stderr)
        return _REFUSED
    except (RecordingError, PortError) as refused:
        print(f"pledgewatch-sim: {arguments.capture}: {refused}", file=sys.stderr)
        return _REFUSED
    try:
        print(json.dumps({"obd": port.path}) if arguments.json else f"OBD adapter: {port.path}", flush=True)
        with until_signalled() as stopping:
            answer(port, dialogue, stopping)
    finally:
        port.close()
    print(json.dumps({"obd_requests": dialogue.requests, "unknown": dialogue.unknown}), flush=True)
    return 0


def answer(port: PtyPort, dialogue: Dialogue, stopping: Callable[[], bool]) -> None:
    """THE LOOP: requests in, the recorded answers out when they are due."""
    waiting = bytearray()
    while not stopping():
        asked, now_s = port.receive(), time.monotonic()
        if asked or port.is_listening:
            dialogue.feed(asked, None, now_s)
        waiting += dialogue.due(now_s)
        del waiting[:-_MOST_WAITING]
        if port.is_open:
            del waiting[: port.write(waiting)]
        else:
            waiting.clear()  # a serial line keeps nothing for a listener who is not there
        next_s = dialogue.next_s()
        wait_s = _IDLE_S if port.is_open else _LOOK_S
        if next_s is not None:
            wait_s = min(wait_s, next_s - time.monotonic())
        wait_for_bytes([port], max(_SHORTEST_S, wait_s if not waiting else _SHORTEST_S))
