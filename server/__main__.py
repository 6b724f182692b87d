"""`pledgewatch`: the server's command line."""

import argparse
import getpass
import json
import logging
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from server.bench_clock import clock_of
from server.command_cli import add_commands
from server.config import MOST_WORKERS, ConfigError, ServerSettings, default_settings_path, read_settings
from server.fleet.authority import Authority, AuthorityError, ingest_name
from server.fleet.enrolment import Enrolment, enrol
from server.fleet.observer import make_observer
from server.quarantine_cli import add_quarantine
from server.setting_up import authority_folder, initialise, only_one, web_secret
from server.store import fleet_rows, people_rows
from server.store.db import Store

_EPILOG = """examples:
  pledgewatch demo                                 everything on this machine, with simulated vehicles
  pledgewatch init --dir /var/lib/pledgewatch      settings, authority, database
  pledgewatch user add --lender 示例汽车金融 --login wang
  pledgewatch fleet add --lender 示例汽车金融 --vin LSVAA4188E2100018 --unit PW000001 --csr unit.csr --out bundle.json
  pledgewatch serve                                take in batches and show the pages
  pledgewatch command PW000001 locate --lender 示例汽车金融 --reason 客户失联两天
  pledgewatch commands --unit PW000001             what came of it

--config names the settings (default: $PLEDGEWATCH_CONFIG, else ./server.toml).
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 (it failed) or 2 (it cannot be done as asked)."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        command: Callable[[argparse.Namespace], int] = arguments.command
        return command(arguments)
    except (ConfigError, AuthorityError) as error:
        print(f"pledgewatch: {error}", file=sys.stderr)
        return 2
    except SQLAlchemyError as error:
        print(f"pledgewatch: the database does not answer as it should: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"pledgewatch: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pledgewatch",
        description="Keeps sight of the vehicles that secure a lender's loans: the server.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, default=None, help="settings file (server.toml)")
    parser.add_argument(
        "--bench-clock",
        type=Path,
        metavar="FILE",
        help="for test benches: go by the clock in this file, never in service",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="broker, server and three simulated vehicles on this machine")
    demo.add_argument("--for", dest="seconds", type=float, default=None, metavar="SECONDS", help="end by itself")
    demo.add_argument("--json", action="store_true", help="last line: what was sealed, stored, lost, as JSON")
    demo.add_argument("--nmea", type=Path, default=None, help="replay this NMEA log in the first vehicle")
    demo.add_argument("--speed", type=float, default=1.0, help="simulated seconds per second (default 1)")
    demo.add_argument("--dir", type=Path, default=None, help="keep its data here (default: a temporary folder)")
    demo.add_argument("--port", type=int, default=8080, help="of the web pages (default 8080)")
    demo.add_argument(
        "--embedded", action="store_true", help="use the embedded broker even where Mosquitto is installed"
    )
    demo.set_defaults(command=_demo)

    init = commands.add_parser("init", help="make or complete a server's folder: settings, authority, database")
    init.add_argument("--dir", type=Path, default=Path(), help="the folder (default: here)")
    init.add_argument("--public-host", default="127.0.0.1", help="name or address under which units reach the broker")
    init.add_argument("--broker-port", type=int, default=8883)
    init.add_argument("--web-port", type=int, default=8080)
    init.set_defaults(command=_init)

    fleet = commands.add_parser("fleet", help="units and the vehicles they sit in").add_subparsers(required=True)
    add = fleet.add_parser("add", help="enrol a unit: take its key, issue its certificate, put it into a vehicle")
    add.add_argument("--lender", required=True)
    add.add_argument("--vin", required=True)
    add.add_argument("--unit", required=True, help="the unit's name, as on its label")
    key = add.add_mutually_exclusive_group(required=True)
    key.add_argument("--csr", type=Path, help="the certificate request that the unit made")
    key.add_argument("--public-key", type=Path, help="its public key (PEM) instead")
    add.add_argument("--plate")
    add.add_argument("--label", help="what people call the vehicle")
    add.add_argument("--out", type=Path, help="write the bundle for the unit here (default: standard output)")
    add.set_defaults(command=_fleet_add)
    many = fleet.add_parser("add-many", help="enrol the units of a list (CSV: unit, vin, csr, plate, label)")
    many.add_argument("--lender", required=True)
    many.add_argument("--list", type=Path, required=True, help="the list; paths in it are meant from its folder")
    many.add_argument("--out", type=Path, required=True, help="folder for the bundles, one file a unit")
    many.set_defaults(command=_fleet_add_many)
    fleet.add_parser("list", help="all units").set_defaults(command=_fleet_list)

    observer = commands.add_parser("observer", help="a certificate that reads every unit's batches, for a test bench")
    observer.add_argument("--out", type=Path, required=True, metavar="DIR", help="where it is written")
    observer.set_defaults(command=_observer)

    user = commands.add_parser("user", help="people who log in").add_subparsers(required=True)
    put = user.add_parser(
        "add", help="add a user, or give a known one a new password (asked for, or on standard input)"
    )
    put.add_argument("--lender", required=True)
    put.add_argument("--login", required=True)
    put.set_defaults(command=_user_add)

    for name, command, help_text in (
        ("serve", _serve, "take in batches and show the pages"),
        ("web", _web, "only show the pages"),
        ("broker-config", _broker_config, "write the Mosquitto configuration again"),
    ):
        commands.add_parser(name, help=help_text).set_defaults(command=command)
    ingest = commands.add_parser("ingest", help="only take in batches")
    ingest.add_argument(
        "--worker", type=int, default=1, metavar="N", help=f"of several that share the units, from 1 to {MOST_WORKERS}"
    )
    ingest.set_defaults(command=_ingest)
    add_commands(commands, lambda arguments: _store(_settings(arguments)))
    add_quarantine(commands, lambda arguments: _store(_settings(arguments)))
    return parser


def _settings(arguments: argparse.Namespace) -> ServerSettings:
    return read_settings(arguments.config or default_settings_path())


def _now(arguments: argparse.Namespace) -> datetime:
    return datetime.fromtimestamp(clock_of(arguments.bench_clock)() / 1000, UTC)


def _store(settings: ServerSettings) -> Store:
    store = Store(settings.store_url)
    store.migrate()
    return store


def _demo(arguments: argparse.Namespace) -> int:
    from server.demo.run import run_demo  # what only the demo needs is not loaded by the services

    return run_demo(
        seconds=arguments.seconds,
        as_json=arguments.json,
        nmea=arguments.nmea,
        speed=arguments.speed,
        folder=arguments.dir,
        web_port=arguments.port,
        embedded=arguments.embedded,
    )


def _init(arguments: argparse.Namespace) -> int:
    settings = initialise(
        arguments.dir,
        public_host=arguments.public_host,
        port=arguments.broker_port,
        web_port=arguments.web_port,
        now=_now(arguments),
    )
    print(f"ready in {settings.data_dir}. Next:")
    print(f"  mosquitto -c {settings.data_dir}/mosquitto/mosquitto.conf")
    print(f"  pledgewatch --config {settings.data_dir}/server.toml user add --lender NAME --login NAME")
    print(f"  pledgewatch --config {settings.data_dir}/server.toml serve")
    return 0


def _fleet_add(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    wanted = Enrolment(
        lender=arguments.lender,
        vin=arguments.vin,
        unit=arguments.unit,
        key_pem=(arguments.csr or arguments.public_key).read_bytes(),
        plate=arguments.plate,
        label=arguments.label,
    )
    authority = Authority(authority_folder(settings))
    bundle = enrol(_store(settings), authority, settings.broker, wanted, _now(arguments))
    text = json.dumps(bundle, indent=1)
    if arguments.out is None:
        print(text)
    else:
        arguments.out.write_text(text, encoding="utf-8")
        print(f"{wanted.unit} is enrolled in {bundle['vin']}; on the unit: pledgewatch-agent provision --accept BUNDLE")
    return 0


def _fleet_add_many(arguments: argparse.Namespace) -> int:
    from server.fleet.enrol_many import enrol_many, read_list

    settings = _settings(arguments)
    wanted = read_list(arguments.list, arguments.lender)
    authority = Authority(authority_folder(settings))
    count = enrol_many(_store(settings), authority, settings.broker, wanted, arguments.out, datetime.now(UTC))
    print(f"{count} units are enrolled; their bundles are in {arguments.out}")
    return 0


def _fleet_list(arguments: argparse.Namespace) -> int:
    with _store(_settings(arguments)).read() as connection:
        for unit in fleet_rows.all_units(connection):
            print(f"{unit.name:32} {unit.vin or '-':17} {'active' if unit.active else 'off':6} {unit.lender}")
    return 0


def _observer(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    authority = Authority(authority_folder(settings))
    count = make_observer(_store(settings), authority, settings.broker, arguments.out, _now(arguments))
    print(f"{arguments.out}: reads the batches of {count} units; 'pledgewatch-sim run --observer {arguments.out}'")
    return 0


def _user_add(arguments: argparse.Namespace) -> int:
    if sys.stdin.isatty():
        password = getpass.getpass(f"new password of {arguments.login}: ")
    else:
        password = sys.stdin.readline().rstrip("\r\n")  # spaces at its ends are part of it
    if len(password) < 8:
        print("pledgewatch: a password has at least 8 characters", file=sys.stderr)
        return 2
    try:
        with _store(_settings(arguments)).write() as connection:
            lender_id = people_rows.lender_id_of(connection, arguments.lender)
            people_rows.put_user(connection, lender_id, arguments.login, password)
    except ValueError as error:
        print(f"pledgewatch: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.login} can log in for {arguments.lender}")
    return 0


def _ingest(arguments: argparse.Namespace) -> int:
    from server.mqtt_in import Ingest  # loads the MQTT client

    settings = _settings(arguments)
    folder, number = authority_folder(settings), arguments.worker
    if not 1 <= number <= MOST_WORKERS:
        raise ConfigError(f"--worker is from 1 to {MOST_WORKERS}, not {number}")
    with only_one(settings.data_dir / f"{ingest_name(number)}.lock", f"the ingest worker {number}"):
        now_ms = clock_of(arguments.bench_clock)
        authority = Authority(folder)
        worker = authority.ingest_certificate(number, _now(arguments))
        store = _store(settings)
        ingest = Ingest(store, settings.broker, folder, authority.receipt_key, now_ms, worker, settings.ingest)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ingest.stop())
        ingest.run()
    logging.getLogger("server").info("taken in: %s", asdict(ingest.counts))
    return 0


def _web(arguments: argparse.Namespace) -> int:
    from server.web.serving import serve_web  # loads Flask

    settings = _settings(arguments)
    _store(settings).close()
    return serve_web(settings.store_url, settings.web, web_secret(settings))


def _serve(arguments: argparse.Namespace) -> int:
    from server.serving import serve_all

    path = (arguments.config or default_settings_path()).absolute()
    settings = read_settings(path)
    _store(settings).close()
    return serve_all(path, settings.ingest.workers)


def _broker_config(arguments: argparse.Namespace) -> int:
    from server.fleet.mosquitto import write_mosquitto

    settings = _settings(arguments)
    any_address = "0.0.0.0"  # noqa: S104 - units come from outside; every one of them shows a certificate
    folder = settings.data_dir / "mosquitto"
    print(write_mosquitto(folder, authority_folder(settings), any_address, settings.broker.port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
