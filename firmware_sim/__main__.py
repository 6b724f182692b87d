"""pledgewatch-sim: plays a GNSS receiver and an ELM327 adapter with a car behind it, on simulated serial ports."""

import argparse
import contextlib
import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_sim.arguments import parser
from firmware_sim.car.vehicle import CarStart
from firmware_sim.elm327 import Elm327, Quirks
from firmware_sim.play import Manners, Player
from firmware_sim.ports import PortError, PtyPort
from firmware_sim.progress import Progress
from firmware_sim.recording import Recording, RecordingError, read_recording
from firmware_sim.roads.cities import CITIES
from firmware_sim.signals import until_signalled
from firmware_sim.story.schema import StoryError
from firmware_sim.synthetic import drive_events
from firmware_sim.timeline import Event, GnssBytes, in_order, repeated

# obd_table is imported where it is used: Parquet costs 0.2 s and 45 MB, and several simulators run at once.
if TYPE_CHECKING:
    from firmware_sim.obd_table import ObdTable

_REFUSED = 2
Command = Callable[[argparse.Namespace], int | None]


class RefusedError(Exception):
    """What was asked cannot be done; the message is a sentence for a person."""


def main(argv: list[str] | None = None) -> int:
    """Console script. 0: played to the end or stopped by a signal; 2: refused, with the reason on stderr."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else "").parse_args(words)
    commands: dict[str, Command] = {
        "replay": _replay,
        "drive": _drive,
        "list": _list,
        "describe": _describe,
        "run": _run,
    }
    command = getattr(arguments, "run", None) or commands[arguments.command]
    try:
        return command(arguments) or 0
    except (RefusedError, PortError, StoryError) as refused:
        print(f"pledgewatch-sim: {refused}", file=sys.stderr)
        return _REFUSED
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever started this has stopped reading it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _replay(arguments: argparse.Namespace) -> None:
    if arguments.nmea is None and arguments.obd is None:
        raise RefusedError("nothing to replay: give --nmea FILE, --obd TABLE.parquet, or both.")
    recording = _recording(arguments.nmea) if arguments.nmea else None
    table = _table(arguments.obd, arguments.trip, arguments.vin) if arguments.obd else None
    length_s = recording.duration_s if recording else table.duration_s if table else 0.0
    car = takewhile(lambda event: event.t_s <= length_s, table.events if table else ())
    events: Iterator[Event] = in_order(car, recording.events if recording else ())
    if arguments.loop:
        events = repeated(tuple(events))
    _play(arguments, events, None if arguments.loop else length_s, with_gnss=bool(recording), with_obd=bool(table))


def _drive(arguments: argparse.Namespace) -> None:
    if arguments.no_gnss and arguments.no_obd:
        raise RefusedError("--no-gnss and --no-obd together leave nothing to play.")
    events = drive_events(
        CITIES[arguments.city],
        arguments.seed,
        arguments.duration,
        datetime.now(UTC).replace(microsecond=0) if arguments.start == "now" else arguments.start,
        CarStart(vin=arguments.vin),
        ("GN", arguments.beidou_talker),
    )
    if arguments.nmea_out:
        _write_nmea(arguments.nmea_out, events)
    else:
        with_gnss, with_obd = not arguments.no_gnss, not arguments.no_obd
        _play(arguments, events, arguments.duration, with_gnss=with_gnss, with_obd=with_obd)


def _list(arguments: argparse.Namespace) -> int:
    from firmware_sim.bench.listing import check, list_all

    return check() if arguments.check else list_all(as_json=arguments.json, tag=arguments.tag)


def _describe(arguments: argparse.Namespace) -> None:
    from firmware_sim.bench.catalogue import chosen
    from firmware_sim.story.describe import describe

    print("\n\n".join(describe(story, arguments.language) for story in chosen(arguments.stories)))


def _run(arguments: argparse.Namespace) -> int:
    from firmware_sim.bench.running import run  # loads MQTT; a replay needs none

    return run(arguments)


def _play(
    arguments: argparse.Namespace, events: Iterator[Event], total_s: float | None, *, with_gnss: bool, with_obd: bool
) -> None:
    """Open the ports, say where they are, play, and take everything away again whatever happens."""
    if not arguments.wait and not arguments.realtime:
        raise RefusedError("--no-wait needs --realtime: a patient play never sends while nobody listens.")
    with until_signalled() as stop, contextlib.ExitStack() as ports:
        gnss = _open(ports, arguments.gnss_link) if with_gnss else None
        obd = _open(ports, arguments.obd_link) if with_obd else None
        _announce(arguments, gnss, obd)
        leader = gnss or obd
        player = Player(
            events,
            gnss,
            obd,
            Elm327(Quirks(silent_after_s=arguments.obd_silent_after)),
            Manners(arguments.speed, realtime=arguments.realtime, wait=arguments.wait),
        )
        summary = player.run(stop, Progress(total_s, leader.path if leader else ""))
    rounded = {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(summary).items()}
    print(json.dumps(rounded), flush=True)


def _open(ports: contextlib.ExitStack, link: Path | None) -> PtyPort:
    port = PtyPort(link)
    ports.callback(port.close)
    return port


def _announce(arguments: argparse.Namespace, gnss: PtyPort | None, obd: PtyPort | None) -> None:
    if arguments.json:
        print(json.dumps({"gnss": gnss.path if gnss else None, "obd": obd.path if obd else None}), flush=True)
        return
    for name, port in (("GNSS receiver", gnss), ("OBD adapter", obd)):
        if port is not None:
            print(f"{name}: {port.path}" + (f" ({port.link})" if port.link else ""), flush=True)


def _recording(path: Path) -> Recording:
    try:
        data = path.read_bytes()
        recording = read_recording(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror or error}.") from error
    except EOFError as error:
        raise RefusedError(f"cannot read {path}: the compressed file is cut short.") from error
    except RecordingError as error:
        raise RefusedError(f"cannot play {path}: {error}.") from error
    if not recording.is_timed:
        _note(f"{path.name} holds no time of day: it is played as 9600 baud.")
    if recording.clock_jumps:
        _note(f"{path.name}: {recording.clock_jumps} steps of the receiver's clock over 2 minutes are played as 1 s.")
    return recording


def _table(path: Path, trip: str | None, vin: str) -> "ObdTable":
    from firmware_sim.obd_table import TableError, read_obd_table

    if not path.is_file():
        raise RefusedError(f"cannot read {path}: there is no such file.")
    try:
        table = read_obd_table(path, trip, vin)
    except TableError as error:
        raise RefusedError(f"cannot play {path}: {error}.") from error
    if table.trips > 1:
        _note(f"{path.name}: trip {table.trip} of {table.trips}" + ("" if trip else " (the first; choose with --trip)"))
    _note(f"{path.name}: time from {table.time_column}; used {', '.join(table.used)}")
    if table.unused:
        _note(f"{path.name}: not used {', '.join(table.unused)}")
    return table


def _write_nmea(path: Path, events: Iterator[Event]) -> None:
    sentences = [event.data for event in events if isinstance(event, GnssBytes)]
    try:
        path.write_bytes(b"".join(sentences))
    except OSError as error:
        raise RefusedError(f"cannot write {path}: {error.strerror}.") from error
    print(json.dumps({"file": str(path), "bytes": sum(map(len, sentences)), "sentences": len(sentences)}))


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
