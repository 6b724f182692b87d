"""`pledgewatch quarantine`: what was refused, by reason; single payloads; trying them again; making room."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from server.bench_clock import clock_of
from server.replaying import replay
from server.store import quarantine_rows
from server.store.db import Store
from wire.refused import Reason
from wire.topics import BATCH, unit_of

MOST_MB, MOST_DAYS = 1024, 180
_DAY_MS = 86_400_000
_EPILOG = """examples:
  pledgewatch quarantine                                  how often what was refused
  pledgewatch quarantine list                             the newest payloads, with what was wrong
  pledgewatch quarantine replay --reason server_fault     after an update that mends the fault
  pledgewatch quarantine replay --unit PW000001           after a unit was enrolled that came too early
"""
StoreOf = Callable[[argparse.Namespace], Store]


def add_quarantine(parsers: "argparse._SubParsersAction[Any]", store_of: StoreOf) -> None:
    """Add the command; `store_of` opens the store that the arguments name."""
    quarantine = parsers.add_parser(
        "quarantine",
        help="what was refused: by reason, one by one, or tried again",
        description="Bytes that did not pass the checks are kept aside with their reason and count for nothing.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    quarantine.set_defaults(command=lambda arguments: _counts(store_of(arguments)))
    ways = quarantine.add_subparsers(metavar="WHAT")

    one_by_one = ways.add_parser("list", help="the payloads that were refused last")
    one_by_one.add_argument("--limit", type=int, default=50, help="so many (default 50)")
    one_by_one.set_defaults(command=lambda arguments: _list(store_of(arguments), arguments.limit))

    again = ways.add_parser(
        "replay", help="try again what was refused; what passes now is stored as if it had just come"
    )
    again.add_argument("--reason", choices=[str(reason) for reason in Reason], help="only what was refused for this")
    again.add_argument("--unit", help="only what came under this unit's name")
    again.set_defaults(command=lambda arguments: _replay(store_of(arguments), arguments))

    room = ways.add_parser("trim", help="delete old payloads; how often what was refused stays known")
    room.add_argument("--days", type=float, default=MOST_DAYS, help=f"older than this (default {MOST_DAYS})")
    room.add_argument("--mb", type=float, default=MOST_MB, help=f"the oldest beyond this many MB (default {MOST_MB})")
    room.set_defaults(command=lambda arguments: _trim(store_of(arguments), arguments))


def _counts(store: Store) -> int:
    with store.read() as connection:
        for count in quarantine_rows.counts(connection):
            print(f"{count.times:8} {count.reason:28} {count.units:5} units   last {_time(count.last_ms)}")
    return 0


def _list(store: Store, limit: int) -> int:
    with store.read() as connection:
        for each in quarantine_rows.newest(connection, None, limit):
            since = f", {each.outcome} {_time(each.settled_ms)}" if each.settled_ms is not None else ""
            name = unit_of(each.topic) or each.topic
            print(
                f"{_time(each.last_ms)} {name:32} {each.reason} x{each.times}, {each.size} bytes{since}: {each.detail}"
            )
    return 0


def _replay(store: Store, arguments: argparse.Namespace) -> int:
    try:
        topic = None if arguments.unit is None else BATCH.of(arguments.unit)
    except ValueError as error:
        print(f"pledgewatch: {error}", file=sys.stderr)
        return 2

    def progress(found: Counter[str]) -> None:
        if sys.stderr.isatty():
            print(f"\r{found.total():8} tried", end="", file=sys.stderr, flush=True)

    found = replay(store, clock_of(arguments.bench_clock), reason=arguments.reason, topic=topic, progress=progress)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(f"{found['stored']} stored, {found['redelivered']} were here already, {found['refused']} refused again")
    return 1 if found["refused"] else 0


def _trim(store: Store, arguments: argparse.Namespace) -> int:
    before_ms = clock_of(arguments.bench_clock)() - round(arguments.days * _DAY_MS)
    with store.write() as connection:
        gone = quarantine_rows.trim(connection, round(arguments.mb * 1_000_000), before_ms)
    print(f"{gone} payloads deleted")
    return 0


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
