"""One unit of the soak: its folder on a disk of its own, its devices, its line, its process and what that tells."""

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from edge_agent.service.status_socket import NoAgentError, ask_agent
from edge_agent.store.outbox_file import ordinal_of, parts_of
from tests.journey.world import World
from tests.soak.devices import Adapter, Bench, Car, Receiver
from tests.soak.disk import Disk
from tests.soak.ledger import Ledger
from tests.soak.lines import Line, Network
from tests.soak.steering import SteeringWheel
from tests.soak.unit_process import truth_line

TERM_LIMIT_S = 10.0  # then it counts as stuck; the promise is two seconds, and the figure is reported
_SECTOR_BYTES = 512
_GNSS_BAUD, _OBD_BAUD = 9600, 38400


@dataclass(frozen=True, slots=True)
class Plan:
    """How a unit differs from the others."""

    name: str
    has_obd: bool
    epochs_per_s: int = 1  # more than one: an old drive, played faster
    finds_ports: bool = False  # by what they say, under names that change
    profile: str = "full"
    is_spared: bool = False


PLANS = (
    Plan("PW000001", has_obd=True),
    Plan("PW000002", has_obd=True, finds_ports=True),
    Plan("PW000003", has_obd=False, epochs_per_s=5, profile="thin"),
    Plan("PW000004", has_obd=True, epochs_per_s=5, is_spared=True),
)


@dataclass(slots=True)
class Figures:
    """What was measured of a unit's processes."""

    starts: int = 0
    own_ends: list[str] = field(default_factory=list)  # the agent ended though nobody had asked
    terminated_s: list[float] = field(default_factory=list)
    pss_kib: list[tuple[float, int]] = field(default_factory=list)  # (s since the soak began, of the agent alone)
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)


class Unit:
    """What one unit consists of. Used from the harness's one thread; the status is asked by another."""

    def __init__(self, plan: Plan, world: World, bench: Bench, network: Network) -> None:
        self.plan, self.name = plan, plan.name
        self._world, self.folder = world, world.home / plan.name
        self.disk = Disk(self.folder)
        world.add_unit(plan.name, obd=plan.has_obd)
        self.wheel = SteeringWheel(world.home / f"{plan.name}.wheel")
        self.line = Line(network, world.settings.broker.port)
        self.truth, self._truth_read = world.home / f"{plan.name}.truth", 0
        ports = world.home / f"{plan.name}-ports"
        ports.mkdir()
        self.car = Car(lambda: self.wheel.now.utc_shift_s - self.clock_error_s)
        self.clock_error_s = 0.0
        renames, rate = plan.finds_ports, plan.epochs_per_s
        self.receiver = Receiver(self.car, ports, "ttyGNSS", _GNSS_BAUD, epochs_per_s=rate, renames=renames)
        self.adapter = Adapter(self.car, ports, "ttyOBD", _OBD_BAUD, renames=renames) if plan.has_obd else None
        bench.cars.append(self.car)
        bench.devices += [self.receiver, *([self.adapter] if self.adapter else [])]
        (self.folder / "unit.toml").write_text(self._settings(ports))
        self._job = f"agent {plan.name}"
        world.commands[self._job] = [
            *(sys.executable, "-m", "tests.soak.unit_process", "--config", str(self.folder / "unit.toml")),
            *("--wheel", str(self.wheel.path), "--truth", str(self.truth)),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._asked_to_end_s: float | None = None
        self.figures = Figures()
        self.quiet_since_s = time.monotonic()  # since when it has owed an answer
        self.facts: dict[str, str] = {}
        self.asked_s = float("-inf")  # when those were asked for
        self.damaged = 0

    def _settings(self, ports: Path) -> str:
        auto, plan = self.plan.finds_ports, self.plan
        obd = f'[obd]\nport = "{"auto" if auto else ports / "ttyOBD"}"\nbaud = {0 if auto else _OBD_BAUD}\n'
        return (
            f'unit = "{plan.name}"\n'
            f'[gnss]\nport = "{"auto" if auto else ports / "ttyGNSS"}"\nbaud = {0 if auto else _GNSS_BAUD}\n'
            f"{obd if plan.has_obd else ''}"
            f'[ports]\nlook_in = "{ports}/tty*"\nleave_alone = "/dev/ttyS*"\nlongest_pause_s = 5\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.line.port}\n'
            "[batch]\nsamples = 6\nafter_s = 5\njournal_every_s = 2\n"
            f'[sampling]\nprofile = "{plan.profile}"\nheartbeat_s = 60\n'
            f"[clock]\nplays_recording = {str(plan.epochs_per_s > 1).lower()}\n"
            f"[position]\nhold = {str(plan.epochs_per_s == 1).lower()}\n"
            f"[outbox]\nmax_mib = 4\nkeep_days = {int(auto)}\nkeep_free_mib = 1\n"
        )

    # The process

    @property
    def pid(self) -> int | None:
        """Of the agent that runs; None where none does."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the agent, unless it runs."""
        if self._process is None:
            self._world.start(self._job)
            self._process, self._asked_to_end_s = self._world.processes[self._job], None
            self.disk.mind(self._process.pid)
            self.figures.starts += 1
            self.owes_an_answer()

    def owes_an_answer(self) -> None:
        """What kept it from answering is over: from now on its silence counts."""
        self.quiet_since_s = time.monotonic()

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._world.kill(self._job)
            self._process = None

    def terminate(self) -> None:
        """SIGTERM; `reap` sees the end."""
        if self._process is not None and self._asked_to_end_s is None:
            self._asked_to_end_s = time.monotonic()
            self._process.terminate()

    def reap(self) -> str | None:
        """Look whether the process has ended; what is wrong with that, or None."""
        if self._process is None:
            return None
        code, now_s = self._process.poll(), time.monotonic()
        if code is None:
            if self._asked_to_end_s is not None and now_s - self._asked_to_end_s > TERM_LIMIT_S:
                self.kill()
                return f"{self.name}: SIGTERM did not end it within {TERM_LIMIT_S:g} s"
            return None
        self._process = None
        if self._asked_to_end_s is not None:
            self.figures.terminated_s.append(now_s - self._asked_to_end_s)
            # before the handler is there, the signal itself ends the process
            return None if code in (0, -signal.SIGTERM) else f"{self.name}: SIGTERM ended it with status {code}"
        self.figures.own_ends.append(f"{self.name} ended by itself with status {code}")
        return self.figures.own_ends[-1]

    # What it tells

    def ask(self) -> bool:
        """Ask the status socket; whether the agent's loop answered. Used by the watching thread."""
        asked_s = time.monotonic()
        try:
            told = ask_agent(self.folder)
        except (NoAgentError, OSError):
            return False
        if "stuck" in told:
            return False
        self.facts, self.asked_s = told, asked_s
        self.owes_an_answer()
        return True

    def measure(self, since_s: float) -> None:
        """Memory, descriptors and threads of the agent's own process."""
        if self.pid is None:
            return
        process = Path(f"/proc/{self.pid}")
        with contextlib.suppress(OSError):
            rollup = dict(line.split(None, 1) for line in (process / "smaps_rollup").read_text().splitlines()[1:])
            self.figures.pss_kib.append((since_s, int(rollup["Pss:"].split()[0])))
            self.figures.descriptors.append(len(list((process / "fd").iterdir())))
            self.figures.threads.append(len(list((process / "task").iterdir())))

    # Truth

    def read_truth(self, ledger: Ledger) -> None:
        """What the outbox has taken since the last look."""
        if not self.truth.exists():
            return
        with self.truth.open() as file:
            file.seek(self._truth_read)
            for line in file:
                self._note(line, ledger)
            self._truth_read = file.tell()

    def _note(self, line: str, ledger: Ledger) -> None:
        boot, sequence, samples, digest = line.split()
        ledger.on_sealed(self.name, boot, int(sequence), int(samples), digest)

    def read_outbox(self, ledger: Ledger) -> None:
        """Note what the outbox of an agent that is down holds: a commit that a kill kept from being noted counts too.

        A copy is read, since SQLite changes what it opens. One that is damaged tells nothing.
        """
        copies = self._world.home / "copies"
        copies.mkdir(exist_ok=True)
        for part in parts_of(self.folder / "outbox.db")[:2]:
            (copies / part.name).unlink(missing_ok=True)
            if part.exists():
                shutil.copyfile(part, copies / part.name)
        with (
            contextlib.suppress(sqlite3.DatabaseError),
            contextlib.closing(sqlite3.connect(copies / "outbox.db")) as db,
        ):
            boots = dict(db.execute("select ordinal, boot from boots"))
            query = "select id, sequence, samples, sealed from batches where state in (1, 2)"
            for batch, sequence, samples, sealed in db.execute(query):
                boot = boots.get(ordinal_of(batch))
                if boot is not None:
                    self._note(truth_line(boot, sequence, samples, sealed), ledger)
        shutil.rmtree(copies)

    def damage(self, dice: random.Random) -> str:
        """Damage the outbox at a random place; what was done. Only while the agent is down."""
        path = self.folder / "outbox.db"
        files = [part for part in parts_of(path)[:2] if part.exists() and part.stat().st_size]
        if not files:
            return "no outbox is there"
        file = dice.choices(files, [3, 2][: len(files)])[0]
        size = file.stat().st_size
        at = dice.randrange(size)
        with file.open("r+b") as opened:
            way = dice.choices(("a byte", "a sector", "the end"), (7, 2, 1))[0]
            if way == "a byte":
                opened.seek(at)
                old = opened.read(1)
                opened.seek(at)
                opened.write(bytes([old[0] ^ dice.randrange(1, 256)]))
            elif way == "a sector":
                at -= at % _SECTOR_BYTES
                opened.seek(at)
                opened.write(dice.randbytes(min(_SECTOR_BYTES, size - at)))
            else:
                at = max(at, size - 4 * _SECTOR_BYTES)
                opened.truncate(at)
        self.damaged += 1
        return f"{way} of {file.name} at {at} of {size}"

    def log(self) -> Path:
        """What the agent has said."""
        return self._world.home / f"agent-{self.name}.log"

    def close(self) -> None:
        self.kill()
        self.wheel.close()
        self.disk.close()


def spawn_server(world: World, wheel: SteeringWheel) -> None:
    """The ingest runs on a steered clock, too."""
    command = world.commands["ingest"]
    world.commands["ingest"] = [
        *(sys.executable, "-m", "tests.soak.server_process", str(wheel.path)),
        *command[command.index("server") + 1 :],
    ]
