"""`pledgewatch-sim fleet`: prepare, seal, play."""

import argparse
import contextlib
import json
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from firmware_sim.fleet import sealed_file
from firmware_sim.fleet.identities import DEFAULT_PREFIX, Fleet, FleetError, prepare, read_fleet
from firmware_sim.fleet.playing import Manners, play
from firmware_sim.fleet.sealing import Plan, traffic
from firmware_sim.signals import until_signalled

_REFUSED, _UNSETTLED = 2, 1
_EXAMPLES = """\
A load test in five lines; the second one on the server, with the folder copied there and its bundles copied back:
  pledgewatch-sim fleet prepare --vehicles 1000 --out load
  pledgewatch fleet add-many --lender LOADTEST --list load/units.csv --out load/bundles
  pledgewatch-sim fleet seal load --minutes 30 --backlog 0.1 --out load/half-hour.sealed
  pledgewatch-sim fleet play load --sealed load/half-hour.sealed --rate 200
  pledgewatch-sim fleet play load --live --minutes 60 --storm-every 300 --duplicates 0.01 --swaps 0.01

The same batches can be played again: the server then finds each of them redelivered. For new ones, seal again.
Units of a load test belong on a server for tests: whoever knows the seed has their keys.
"""
_PLAY = """\
A batch is due at its time whether or not the server keeps up; receipts are timed from then (since_due_ms) and from the
first sending (since_sent_ms). late_ms tells how late batches were first sent: where it grows while since_sent_ms does
not, this side is the slow one, and --processes helps.

stdout ends with one line of JSON. exit status: 0 every batch has its receipt, 1 some have none, 2 refused.
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`fleet` and its three commands; each sets `run`."""
    formatter = argparse.RawDescriptionHelpFormatter
    fleet = commands.add_parser(
        "fleet",
        help="load tests: the signed traffic of many vehicles",
        epilog=_EXAMPLES,
        formatter_class=formatter,
        allow_abbrev=False,
    ).add_subparsers(dest="fleet_command", required=True, metavar="{prepare,seal,play}")

    one = fleet.add_parser("prepare", help="keys, certificate requests and the list for the server", allow_abbrev=False)
    one.add_argument("--vehicles", type=_count, required=True, metavar="N")
    one.add_argument("--out", type=Path, required=True, metavar="DIR", help="the fleet's folder")
    one.add_argument("--seed", type=int, default=1, help="the same seed gives the same keys (default: 1)")
    one.add_argument("--prefix", default=DEFAULT_PREFIX, help="of the units' names (default: %(default)s)")
    one.set_defaults(run=lambda arguments: _guarded(_prepare, arguments))

    two = fleet.add_parser(
        "seal", help="seal batches beforehand, so that a test measures the server", allow_abbrev=False
    )
    two.add_argument("folder", type=Path, metavar="DIR", help="the fleet's folder")
    two.add_argument("--out", type=Path, required=True, metavar="FILE")
    two.add_argument("--start", type=_start, default="now", metavar="TIME", help="UTC as 2026-09-01T00:30:00, or now")
    _add_plan(two)
    two.set_defaults(run=lambda arguments: _guarded(_seal, arguments))

    three = fleet.add_parser("play", help="send them", epilog=_PLAY, formatter_class=formatter, allow_abbrev=False)
    three.add_argument("folder", type=Path, metavar="DIR", help="the fleet's folder, with the server's bundles")
    what = three.add_mutually_exclusive_group(required=True)
    what.add_argument("--sealed", type=Path, metavar="FILE", help="batches that were sealed beforehand")
    what.add_argument("--live", action="store_true", help="seal now, for this time, and send each when it is due")
    pace = three.add_mutually_exclusive_group()
    pace.add_argument("--rate", type=_positive, metavar="R", help="batches a second, evenly (default: at their times)")
    pace.add_argument("--speed", type=_positive, default=1.0, metavar="X", help="times as fast as life (default: 1)")
    three.add_argument("--vehicles", type=_count, metavar="N", help="only the first N (default: all)")
    three.add_argument("--duplicates", type=_share, default=0.0, metavar="SHARE", help="of the batches, sent twice")
    three.add_argument(
        "--swaps", type=_share, default=0.0, metavar="SHARE", help="of the batches, overtaken by the next"
    )
    three.add_argument("--storm-every", type=_positive, metavar="S", help="all connections end every S seconds")
    three.add_argument(
        "--storm-share", type=_share, default=1.0, metavar="SHARE", help="of the connections (default: 1)"
    )
    three.add_argument("--processes", type=_count, default=1, metavar="N", help="share the vehicles out (default: 1)")
    three.add_argument(
        "--connect-within", type=_positive, default=120.0, metavar="S", help="before the play (default: 120)"
    )
    three.add_argument(
        "--drain", type=_positive, default=60.0, metavar="S", help="wait for receipts at the end (default: 60)"
    )
    three.add_argument(
        "--no-receipts", action="store_true", help="the broker's acknowledgement is enough: measures the broker, or us"
    )
    _add_plan(three)
    three.set_defaults(run=lambda arguments: _guarded(_play, arguments))


def _add_plan(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--minutes", type=_positive, default=30.0, metavar="M", help="of the vehicles' time (default: 30)"
    )
    command.add_argument(
        "--driving", type=_driving, default=0.3, metavar="SHARE", help="of the vehicles on the road (default: 0.3)"
    )
    command.add_argument(
        "--backlog", type=_share, default=0.0, metavar="SHARE", help="of the vehicles that come back from no network"
    )
    command.add_argument(
        "--backlog-hours", type=_positive, default=6.0, metavar="H", help="they were away (default: 6)"
    )
    command.add_argument(
        "--tracks", type=_count, default=16, metavar="N", help="different days that the vehicles share (default: 16)"
    )


def _guarded(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        return command(arguments)
    except FleetError as error:
        print(f"pledgewatch-sim: {error}", file=sys.stderr)
    except OSError as error:
        print(f"pledgewatch-sim: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    return _REFUSED


def _prepare(arguments: argparse.Namespace) -> int:
    listed = prepare(arguments.out, Fleet(arguments.seed, arguments.prefix, arguments.vehicles))
    print(json.dumps({"vehicles": arguments.vehicles, "list": str(listed), "bundles": str(arguments.out / "bundles")}))
    return 0


def _seal(arguments: argparse.Namespace) -> int:
    fleet = read_fleet(arguments.folder)
    began_s = time.perf_counter()
    plan = _plan(arguments, arguments.start)
    written = sealed_file.write(arguments.out, fleet, plan, traffic(fleet, plan, range(fleet.vehicles)))
    print(json.dumps({**asdict(written), "seconds": round(time.perf_counter() - began_s, 2)}))
    return 0


def _play(arguments: argparse.Namespace) -> int:
    manners = Manners(
        folder=arguments.folder,
        vehicles=arguments.vehicles or read_fleet(arguments.folder).vehicles,
        seed=read_fleet(arguments.folder).seed,
        sealed=arguments.sealed,
        plan=_plan(arguments, "now") if arguments.live else None,
        rate_per_s=arguments.rate,
        speed=arguments.speed,
        duplicate_share=arguments.duplicates,
        swap_share=arguments.swaps,
        storm_every_s=arguments.storm_every,
        storm_share=arguments.storm_share,
        connect_s=arguments.connect_within,
        drain_s=arguments.drain,
        receipts=not arguments.no_receipts,
        processes=arguments.processes,
    )
    with until_signalled() as stopping:
        tally = play(manners, stopping)
    print(json.dumps(tally.summary()), flush=True)
    return 0 if tally.unsettled == 0 else _UNSETTLED


def _plan(arguments: argparse.Namespace, start: datetime | str) -> Plan:
    begin = datetime.now(UTC) if isinstance(start, str) else start
    return Plan(
        start_utc_ms=int(begin.timestamp()) * 1000,
        length_s=arguments.minutes * 60,
        tracks=arguments.tracks,
        driving_share=arguments.driving,
        backlog_share=arguments.backlog,
        backlog_s=arguments.backlog_hours * 3600,
    )


def _within(text: str, least: float, most: float, meaning: str) -> float:
    with contextlib.suppress(ValueError):
        if least <= (number := float(text)) <= most:
            return number
    raise argparse.ArgumentTypeError(f"{text!r} is not {meaning}")


def _positive(text: str) -> float:
    return _within(text, 0.001, 1e6, "a number over 0")


def _share(text: str) -> float:
    return _within(text, 0.0, 1.0, "a share from 0 to 1")


def _driving(text: str) -> float:
    return _within(text, 0.01, 0.99, "a share from 0.01 to 0.99")


def _count(text: str) -> int:
    number = _within(text, 1, 99_999, "a whole number from 1 to 99999")
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(number)


def _start(text: str) -> datetime | str:
    if text == "now":
        return text
    try:
        start = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time as 2026-09-01T00:30:00") from None
    return start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
