"""`pledgewatch-agent`: the unit's command line."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from edge_agent.service import logs
from edge_agent.settings import ConfigError

_EPILOG = """examples:
  pledgewatch-agent provision --dir /var/lib/pw --unit PW000001
      make the unit's key and unit.csr; give the latter to 'pledgewatch fleet add --csr'
  pledgewatch-agent provision --dir /var/lib/pw --accept bundle.json --obd auto
      take home what the server answered, and write unit.toml
  pledgewatch-agent run --config /var/lib/pw/unit.toml
  pledgewatch-agent status --config /var/lib/pw/unit.toml
  pledgewatch-agent decode drive.nmea --json
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (it failed) or 2 (it cannot be done as asked)."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ConfigError as error:
        print(f"pledgewatch-agent: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"pledgewatch-agent: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    from edge_agent.decode import DECODE_HELP

    parser = argparse.ArgumentParser(
        prog="pledgewatch-agent",
        description="The in-car agent: reads a GNSS receiver and the OBD-II port, and publishes signed batches.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="read the ports and publish until stopped",
        epilog="'pledgewatch-agent settings' lists what unit.toml may say",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--config", type=Path, default=Path("unit.toml"), help="settings (default: ./unit.toml)")
    run.add_argument("--verbose", action="store_true", help="say more")
    run.add_argument("--log-json", action="store_true", help="one JSON object a line, for journald")
    run.add_argument(
        "--bench-clock",
        type=Path,
        metavar="FILE",
        help="for test benches: go by the clock in this file, never in a car",
    )
    run.set_defaults(command=_run)

    provision = commands.add_parser("provision", help="make the unit's key, then take home its certificate")
    provision.add_argument("--dir", type=Path, default=Path(), help="the unit's folder (default: here)")
    step = provision.add_mutually_exclusive_group(required=True)
    step.add_argument("--unit", help="first step: the unit's name; makes unit.key and unit.csr")
    step.add_argument("--accept", type=Path, metavar="BUNDLE", help="second step: what 'fleet add' answered")
    provision.add_argument(
        "--gnss", default="auto", metavar="PORT", help="the receiver's port (default: found by itself)"
    )
    provision.add_argument("--gnss-baud", type=int, default=0, metavar="BAUD", help="default: found by listening")
    provision.add_argument(
        "--obd", default=None, metavar="PORT", help="the adapter's port, or auto; without it the unit is GNSS-only"
    )
    provision.add_argument("--obd-baud", type=int, default=0, metavar="BAUD", help="default: found by asking")
    provision.set_defaults(command=_provision)

    status = commands.add_parser("status", help="what the running agent says of itself")
    status.add_argument("--config", type=Path, default=Path("unit.toml"), help="settings (default: ./unit.toml)")
    status.add_argument("--json", action="store_true", help="one JSON object")
    status.set_defaults(command=_status)

    settings = commands.add_parser("settings", help="every setting of unit.toml: default, bounds, meaning")
    settings.add_argument("--markdown", action="store_true", help="as the table in docs/unit-settings.md")
    settings.set_defaults(command=_settings)

    decode = commands.add_parser(
        "decode",
        help="an NMEA log through the very same modules: one line per epoch",
        description=DECODE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    decode.add_argument("file", type=Path)
    decode.add_argument("--json", action="store_true", help="JSON lines; absent values are null")
    decode.set_defaults(command=_decode)
    return parser


def _settings(arguments: argparse.Namespace) -> int:
    from edge_agent.config import settings_table

    if arguments.markdown:
        print("| section | setting | default | allowed | remote | meaning |\n|---|---|---|---|---|---|")
        for section, name, default, bounds, remote, text in settings_table():
            print(f"| {section} | `{name}` | {default} | {bounds} | {'yes' if remote else ''} | {text} |")
        return 0
    for section, name, default, bounds, remote, text in settings_table():
        allowed = f"; {bounds}" if bounds else ""
        print(f"[{section}] {name} = {default}{allowed}{'; may be set from afar' if remote else ''}\n    {text}")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from edge_agent.running import run  # loads serial, MQTT and SQLite; decode and --help need none
    from edge_agent.timing.bench_clock import BenchClock

    logs.set_up(arguments.verbose, arguments.log_json)
    clock = BenchClock(arguments.bench_clock) if arguments.bench_clock else None
    if clock is not None:
        logging.getLogger("edge_agent").warning("a test bench steers this unit's clock: %s", arguments.bench_clock)
    return run(arguments.config, clock=clock)


def _status(arguments: argparse.Namespace) -> int:
    from edge_agent.config import read_config
    from edge_agent.service.status import in_words
    from edge_agent.service.status_socket import NoAgentError, ask_agent

    folder = read_config(arguments.config).state_dir
    try:
        facts = ask_agent(folder)
    except NoAgentError as error:
        print(f"pledgewatch-agent: {error}", file=sys.stderr)
        return 1
    print(json.dumps(facts, ensure_ascii=False, indent=1) if arguments.json else in_words(facts))
    return 0


def _provision(arguments: argparse.Namespace) -> int:
    from edge_agent.identity import Ports, accept_bundle, make_key  # loads X.509

    if arguments.unit is not None:
        request = make_key(arguments.dir, arguments.unit)
        print(f"{request}: give it to 'pledgewatch fleet add --unit {arguments.unit} --csr {request} ...'")
        return 0
    ports = Ports(arguments.gnss, arguments.obd, arguments.gnss_baud, arguments.obd_baud)
    path = accept_bundle(arguments.dir, arguments.accept, ports)
    print(f"provisioned; next: pledgewatch-agent run --config {path}")
    return 0


def _decode(arguments: argparse.Namespace) -> int:
    from edge_agent.decode import decode_file

    return decode_file(arguments.file, sys.stdout, sys.stderr, arguments.json)


if __name__ == "__main__":
    sys.exit(main())
