"""`pledgewatch command` and `pledgewatch commands`: giving orders to units, and what came of them."""

import argparse
import getpass
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from server.bench_clock import clock_of
from server.commanding import DEFAULT_LIFE_MS, Flaw, OrderRefusedError, State, checked_order, state_of
from server.store import command_rows
from server.store.command_rows import CommandRow, Issuer
from server.store.db import Store
from wire.commands import COMMAND_ID_BYTES, COMMANDS

_HOUR_MS = 3_600_000


def add_commands(parsers: "argparse._SubParsersAction[Any]", store_of: Callable[[argparse.Namespace], Store]) -> None:
    """Add both commands; `store_of` opens the store that the arguments name."""
    kinds = "\n".join(
        f"  {' '.join([kind, *(_usage(each.name, each.default) for each in row.parameters)])}\n      {row.about}"
        for kind, row in COMMANDS.items()
    )
    give = parsers.add_parser(
        "command",
        help="ask something of a unit: a fix now, its status, another setting",
        description="The unit answers when it is next awake; 'pledgewatch commands' shows what came of it.",
        epilog=f"kinds and their parameters:\n{kinds}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    give.add_argument("unit", metavar="UNIT")
    give.add_argument("kind", metavar="KIND", choices=list(COMMANDS), help=", ".join(COMMANDS))
    give.add_argument("parameters", metavar="NAME=VALUE", nargs="*")
    give.add_argument("--lender", required=True, help="whose unit it is")
    give.add_argument("--reason", default="", help="why; needed where the answer tells where a person is")
    hours = DEFAULT_LIFE_MS // _HOUR_MS
    give.add_argument("--hours", type=float, default=hours, help=f"how long it is good (default {hours}, at most 168)")
    give.set_defaults(command=lambda arguments: _give(arguments, store_of))

    told = parsers.add_parser("commands", help="what was asked of units, by whom and why, and what came of it")
    told.add_argument("--unit", default=None, help="only this unit's")
    told.add_argument("--limit", type=int, default=50, help="the newest so many (default 50)")
    told.set_defaults(command=lambda arguments: _list(arguments, store_of))


def _usage(name: str, default: str | None) -> str:
    return f"{name}=…" if default is None else f"[{name}={default}]"


def _give(arguments: argparse.Namespace, store_of: Callable[[argparse.Namespace], Store]) -> int:
    now_ms = clock_of(arguments.bench_clock)()
    command_id = secrets.token_bytes(COMMAND_ID_BYTES)
    try:
        order = checked_order(
            arguments.kind, _parameters(arguments.parameters), arguments.reason, round(arguments.hours * _HOUR_MS)
        )
        with store_of(arguments).write() as connection:
            lender_id = command_rows.lender_named(connection, arguments.lender)
            if lender_id is None:
                raise OrderRefusedError(Flaw.UNIT, f"no lender is called {arguments.lender!r}")
            issuer = Issuer(f"console:{getpass.getuser()}")
            command_rows.issue(connection, lender_id, arguments.unit, order, issuer, command_id, now_ms)
    except (ValueError, OverflowError) as error:  # OrderRefusedError is one; hours may be "nan" or "inf"
        print(f"pledgewatch: {error}", file=sys.stderr)
        return 2
    print(f"{command_id.hex()}: {order.kind} for {arguments.unit}, good until {_time(now_ms + order.life_ms)}")
    return 0


def _parameters(given: list[str]) -> dict[str, str]:
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or name in found:
            raise OrderRefusedError(Flaw.PARAMETERS, f"{each!r} is not a parameter: each is NAME=VALUE, once")
        found[name] = value
    return found


def _list(arguments: argparse.Namespace, store_of: Callable[[argparse.Namespace], Store]) -> int:
    now_ms = clock_of(arguments.bench_clock)()
    with store_of(arguments).read() as connection:
        for row in command_rows.all_commands(connection, unit=arguments.unit, limit=max(1, arguments.limit)):
            print(_line(row, now_ms))
    return 0


def _line(row: CommandRow, now_ms: int) -> str:
    parameters = " ".join(f"{name}={value}" for name, value in row.parameters.items())
    order = f"{row.kind} {parameters}".strip()
    return f"{_time(row.issued_ms)}  {row.unit:12} {order:28} {_state(row, now_ms):28} {row.lender}  {_who(row)}"


def _state(row: CommandRow, now_ms: int) -> str:
    state = state_of(row.outcome, row.sends, row.expires_ms, now_ms)
    if state is State.ANSWERED:
        return f"{row.outcome}{f' ({row.answer})' if row.answer else ''}"
    return f"sent {row.sends} times" if state is State.SENT else str(state)


def _who(row: CommandRow) -> str:
    return f"{row.issued_by}: {row.reason}" if row.reason else row.issued_by


def _time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
