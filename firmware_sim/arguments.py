"""The command line of pledgewatch-sim: every option and what it means. The help text is the user's manual."""

import argparse
import importlib
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firmware_sim.car.vin import DEFAULT_VIN, vin_problem
from firmware_sim.roads.cities import CITIES
from firmware_sim.roads.trip import MIN_DURATION_S

_INTRO = """\
Plays a GNSS receiver (NMEA 0183) and an ELM327 adapter with a car behind it, each on a pty that the agent opens like
a serial port. Playing starts when somebody opens the receiver's port (the adapter's, where there is no receiver).
"""
_EXAMPLES = """\
examples:
  A drive through Chengdu on lasting names, ten times as fast as life:
    pledgewatch-sim drive --city chengdu --seed 7 --speed 10 --gnss-link /tmp/gnss --obd-link /tmp/obd
  The same drive as a file of NMEA sentences:
    pledgewatch-sim drive --city chengdu --seed 7 --nmea-out chengdu-7.nmea
  A recorded receiver log at its own pace, byte for byte, no adapter:
    pledgewatch-sim replay --nmea receiver.log.gz --gnss-link /tmp/gnss
  A recorded car on the adapter, going silent after a minute:
    pledgewatch-sim replay --obd trips.parquet --trip s11 --obd-silent-after 60
  For a program that starts the simulator: the first line says where the ports are, the last what happened:
    pledgewatch-sim drive --json

stdout carries the ports first and a JSON summary last; stderr carries progress.
exit status: 0 played to the end or stopped by a signal, 1 a story failed, 2 refused (the reason is on stderr).
"""
_READERS = """\
A reader that is slow or gone stops the time of the whole simulated world: nothing is lost but what a killed reader had
not yet taken out of the kernel (about 2 KiB at most). With --realtime time goes on, and what nobody heard is counted.
"""


_STORIES = "a story's name, a file, tag:WORD, or all"
_RUN = """\
Each story gets a broker, a server and an agent of its own in a temporary folder, with its receiver and adapter on ptys.
The agent's clock is steered: parked hours are skipped after two minutes, and the report says so. With --gnss and --obd
a physical unit is played to through USB serial adapters, in real time.
"""
_RUN_EXAMPLES = """\
examples:
  One story:                  pledgewatch-sim run first_drive --html report.html
  The everyday ones:          pledgewatch-sim run tag:fast --jobs 2
  Everything, for a machine:  pledgewatch-sim run all --jobs 8 --junit report.xml
  A unit on the desk:         pledgewatch-sim run first_drive --gnss /dev/ttyUSB0 --obd /dev/ttyUSB1 --unit PW000001 \\
                                --broker mqtts://192.0.2.7:8883 --observer ./observer
exit status: 0 every story passed, 1 one failed, 2 refused (the reason is on stderr).
"""


# Commands whose packages load what the others do not need: only the one that is typed is read in.
_APART = {
    "fleet": ("firmware_sim.fleet.command", "load tests: the signed traffic of many vehicles"),
    "record": ("firmware_sim.capture", "record a real port into a file that can be played again"),
    "answer": ("firmware_sim.answering", "be the adapter of a recording"),
}


def parser(typed: str = "") -> argparse.ArgumentParser:
    """The parser for a command line whose first word is `typed`; a namespace it returns always has `command`.

    A command with a package of its own has set `run`, too: the function that carries it out.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(
        prog="pledgewatch-sim", description=_INTRO, epilog=_EXAMPLES, formatter_class=formatter, allow_abbrev=False
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    replay = commands.add_parser(
        "replay",
        help="play recordings of a receiver and of a car",
        epilog=_READERS,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    replay.add_argument(
        "--nmea",
        type=Path,
        metavar="FILE",
        help="NMEA log, plain or gzip; sent byte for byte but for # lines at its top",
    )
    replay.add_argument("--obd", type=Path, metavar="TABLE", help="Parquet table of recorded OBD values")
    replay.add_argument("--trip", metavar="NAME", help="which trip of the table (default: its first)")
    replay.add_argument("--loop", action="store_true", help="start again at the end, for ever")
    _add_port_options(replay)

    drive = commands.add_parser(
        "drive",
        help="play one seeded drive in a Chinese city",
        epilog=_READERS,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    drive.add_argument("--city", choices=sorted(CITIES), default="beijing", help="where (default: %(default)s)")
    drive.add_argument("--seed", type=int, default=1, help="the same seed gives the same bytes (default: %(default)s)")
    drive.add_argument(
        "--duration", type=_duration, default=600.0, metavar="S", help="seconds from key on to key off (default: 600)"
    )
    drive.add_argument(
        "--start",
        type=_start,
        default=datetime(2026, 9, 1, 0, 30, tzinfo=UTC),
        metavar="TIME",
        help="what the receiver's clock shows at the beginning: UTC as 2026-09-01T00:30:00 (the default), or now",
    )
    drive.add_argument("--beidou-talker", choices=("GB", "BD"), default="GB", help="talker of BeiDou sentences")
    drive.add_argument("--no-gnss", action="store_true", help="no receiver")
    drive.add_argument("--no-obd", action="store_true", help="no adapter")
    drive.add_argument(
        "--nmea-out", type=Path, metavar="FILE", help="write the receiver's bytes there and play nothing"
    )
    _add_port_options(drive)

    listing = commands.add_parser("list", help="what there is: stories, cities, columns of recorded tables")
    listing.add_argument("--json", action="store_true", help="for programs")
    listing.add_argument("--check", action="store_true", help="only read the stories, and say what is wrong in them")
    listing.add_argument("--tag", metavar="WORD", help="only stories with this tag")

    describing = commands.add_parser("describe", help="a story in words")
    describing.add_argument("stories", nargs="+", metavar="STORY", help=_STORIES)
    describing.add_argument("--language", choices=("zh", "en"), default="zh", help="default: %(default)s")

    _add_run(commands, formatter)
    for name, (module, about) in _APART.items():
        if name == typed:
            importlib.import_module(module).add_parser(commands)
        else:
            commands.add_parser(name, help=about)
    return top


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", formatter: Any) -> None:
    run = commands.add_parser(
        "run",
        help="play stories to the agent or to a unit on serial cables, and judge what it makes of them",
        description=_RUN,
        epilog=_RUN_EXAMPLES,
        formatter_class=formatter,
        allow_abbrev=False,
    )
    run.add_argument("stories", nargs="+", metavar="SCENARIO", help=_STORIES)
    run.add_argument("--agent", metavar="PATH", help="the pledgewatch-agent to test (default: this installation's)")
    run.add_argument("--gnss", metavar="TTY", help="a serial port wired to a physical unit's receiver input")
    run.add_argument("--obd", metavar="TTY", help="a serial port wired to its adapter input")
    run.add_argument("--unit", metavar="NAME", help="that unit's name, as enrolled")
    run.add_argument("--broker", metavar="URL", help="mqtts://HOST:PORT of a broker that runs already")
    run.add_argument("--observer", type=Path, metavar="DIR", help="what 'pledgewatch observer --out DIR' wrote")
    run.add_argument(
        "--speed", type=_speed, metavar="X", help="at most so much faster than life (default: the story's)"
    )
    run.add_argument("--seed", type=int, metavar="N", help="instead of the story's own")
    run.add_argument("--jobs", type=int, default=1, metavar="N", help="so many stories at a time (default: 1)")
    run.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    run.add_argument("--html", type=Path, metavar="FILE", help="write a report with pictures, one file")
    run.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and everything else of each story here")


def _add_port_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="times as fast as life (default: 1)")
    command.add_argument("--gnss-link", type=Path, metavar="PATH", help="a lasting name for the receiver's port")
    command.add_argument("--obd-link", type=Path, metavar="PATH", help="a lasting name for the adapter's port")
    command.add_argument("--vin", type=_vin, default=DEFAULT_VIN, help="what the car says it is (default: %(default)s)")
    command.add_argument(
        "--obd-silent-after", type=_seconds, metavar="S", help="the adapter hangs after S seconds of play, for good"
    )
    command.add_argument("--realtime", action="store_true", help="do not wait for a reader that is slow or gone")
    command.add_argument(
        "--wait",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="start when the first reader listens (the default); --no-wait, with --realtime, starts at once",
    )
    command.add_argument("--json", action="store_true", help="say where the ports are in one line of JSON")


def _number(text: str, least: float, greatest: float, meaning: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= greatest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {meaning} from {least:g} to {greatest:g}")
    return number


def _speed(text: str) -> float:
    return _number(text, 0.01, 100_000, "a speed")


def _duration(text: str) -> float:
    return _number(text, MIN_DURATION_S, 7 * 86400, "a number of seconds")


def _seconds(text: str) -> float:
    return _number(text, 0, 7 * 86400, "a number of seconds")


def _start(text: str) -> datetime | str:
    if text == "now":
        return text
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a time such as 2026-09-01T00:30:00 nor now") from None
    return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)


def _vin(text: str) -> str:
    if problem := vin_problem(text.upper()):
        raise argparse.ArgumentTypeError(f"{text!r} is no VIN: {problem}")
    return text.upper()
