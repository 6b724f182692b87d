"""The running agent: ports, pipeline, outbox and uplink, wired together around one inbox.

Every thread (receiver, adapter, network) only puts what it has into the inbox; this one takes it out, so pipeline and
outbox have a single owner. The order of the work is the promise: a sealed batch is on disk before it is sent, and it is
forgotten only on a receipt whose signature holds.
"""

import contextlib
import fcntl
import logging
import os
import queue
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

from edge_agent.batch import Batcher, Sealed
from edge_agent.config import ConfigError, UnitConfig
from edge_agent.identity import Identity, next_boot_number, read_identity
from edge_agent.obd import ObdLink
from edge_agent.outbox import Outbox, OutboxDamagedError, Waiting
from edge_agent.pipeline import Pipeline
from edge_agent.sending import SendWindow
from edge_agent.serial_port import SerialSource
from edge_agent.uplink import Uplink
from wire.codec import decode_body
from wire.records import Gap
from wire.refused import RefusedError
from wire.seal import open_receipt

log = logging.getLogger(__name__)

_INBOX_BOUND = 4096  # beyond it the port threads wait, and the kernel's buffers with them
_TICK_S = 1.0
_ROOM_EVERY_S = 600.0
_REPORT_EVERY_S = 60.0
_BYTES_PER_MIB = 1024 * 1024
_TIMESYNC = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd has set the clock since the machine started


class Agent:
    """One unit. `run` returns after `stop`, which any thread or signal handler may call."""

    def __init__(self, config: UnitConfig) -> None:
        """Open the outbox and wire everything; nothing runs yet.

        Raises:
            ConfigError: the unit is not provisioned, or its certificates cannot be used.
        """
        self._config = config
        self._identity: Identity = read_identity(config.state_dir)
        self._inbox: queue.Queue[Callable[[], None]] = queue.Queue(_INBOX_BOUND)
        self._stopping = False
        self._up = False
        self._window = SendWindow()
        self._unsaved: list[Sealed] = []  # sealed, but the disk did not take it yet
        self._journal: bytes | None = None  # what the disk holds of the records that are not sealed
        self._journalled_samples = 0
        self._declared: set[Gap] = set()  # what the server asked for in vain
        self._journalled_s = self._made_room_s = self._reported_s = float("-inf")
        self._uplink = Uplink(
            config.unit,
            config.broker,
            config.state_dir,
            on_up=partial(self._put, self._on_up),
            on_down=partial(self._put, self._on_down),
            on_receipt=lambda data: self._put(partial(self._on_receipt, data)),
        )
        self._outbox, started = _open_outbox(config.state_dir)
        self._pipeline = self._start_pipeline(started)
        self._gnss = SerialSource(
            config.gnss.port,
            config.gnss.baud or 9600,
            on_bytes=lambda data, mono_s: self._put(partial(self._on_gnss, data, mono_s)),
            on_silence=lambda mono_s: self._put(partial(self._on_gnss_silence, mono_s)),
            name="gnss",
        )
        self._obd = config.obd and ObdLink(
            config.obd.port,
            config.obd.baud or 38400,
            on_reading=lambda reading: self._put(lambda: self._keep(self._pipeline.on_reading(reading))),
        )

    def run(self) -> None:
        """Work until `stop`."""
        self._uplink.start()
        self._gnss.start()
        if self._obd:
            self._obd.start()
        ticks = _Ticks(time.monotonic())
        try:
            while not self._stopping:
                with contextlib.suppress(queue.Empty):
                    self._inbox.get(timeout=ticks.wait_s(time.monotonic()))()
                if ticks.due(time.monotonic()):
                    self._tick(time.monotonic())
        finally:
            self._end()

    def stop(self) -> None:
        """End `run` within two seconds. Only sets a flag: a signal may have caught the inbox with its lock held."""
        self._stopping = True

    def _start_pipeline(self, started: str) -> Pipeline:
        """Seal what the journal kept, then begin; `started` says how the outbox was found."""
        kernel_boot = _kernel_boot()
        before, limits = self._outbox.sealed_before(self._config.unit), self._config.batch
        batcher = Batcher(self._identity.key, before, kernel_boot, limits.samples, limits.after_s)
        pipeline = Pipeline(batcher)
        journal = self._outbox.journal()
        recovered: tuple[Sealed, ...] = ()
        if journal is not None:
            try:
                recovered = batcher.seal_body(decode_body(journal))
            except (RefusedError, ValueError):
                log.exception("the journal cannot be read; up to %g s of samples are lost", limits.journal_every_s)
        details = {"version": version("pledgewatch"), "outbox": started}
        kind = "outbox_replaced" if started == "replaced" else "unit_started"
        self._outbox.put((*recovered, *pipeline.on_event(kind, time.monotonic(), details)), None)
        return pipeline

    def _put(self, work: Callable[[], None]) -> None:
        while not self._stopping:
            with contextlib.suppress(queue.Full):
                self._inbox.put(work, timeout=0.5)
                return

    def _on_gnss(self, data: bytes, mono_s: float) -> None:
        self._keep(self._pipeline.on_gnss(data, mono_s))

    def _on_gnss_silence(self, mono_s: float) -> None:
        self._keep(self._pipeline.on_gnss_silence(mono_s))

    def _on_up(self) -> None:
        self._up = True
        self._window.on_connected()
        self._send(time.monotonic())

    def _on_down(self) -> None:
        self._up = False

    def _on_receipt(self, data: bytes) -> None:
        """Forget what the server says it has, once it is sure that the server says so."""
        try:
            receipt = open_receipt(data, self._config.unit, self._identity.receipt_keys)
        except RefusedError as error:
            self._pipeline.count(f"receipts.refused.{error.reason}")
            log.warning("refused a receipt: %s", error)
            return
        if receipt.boot != self._outbox.boot:
            self._pipeline.count("receipts.other_boot")
            return
        self._pipeline.count("receipts.batches", self._outbox.receipt(receipt))
        self._window.on_receipted(self._outbox.still_waiting(self._window.held()))
        for gap in self._outbox.missing(receipt.wanted):
            if gap not in self._declared:  # the server asks with every receipt until the declaration has reached it
                self._declared.add(gap)
                self._pipeline.on_gap(gap)
        self._send(time.monotonic())

    def _tick(self, mono_s: float) -> None:
        self._keep(self._pipeline.on_tick(mono_s, _ntp_offset_ms(mono_s)))
        if self._unsaved or mono_s - self._journalled_s >= self._config.batch.journal_every_s:
            self._save()
        if mono_s - self._made_room_s >= _ROOM_EVERY_S:
            self._made_room_s = mono_s
            room = self._config.outbox
            for gap in self._outbox.make_room(room.max_mib * _BYTES_PER_MIB, room.keep_days):
                self._pipeline.on_gap(gap)
            self._window.on_receipted(self._outbox.still_waiting(self._window.held()))  # what is gone holds no place
        if mono_s - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = mono_s
            self._report()
        self._send(mono_s)

    def _keep(self, sealed: tuple[Sealed, ...]) -> None:
        """Put what was sealed on disk at once, then offer it to the network; journal the rest now and then."""
        if sealed:
            self._unsaved += sealed
            self._save()
            self._send(time.monotonic())
        elif self._pipeline.open_samples - self._journalled_samples >= self._config.batch.journal_every_s:
            self._save()  # at 1 Hz no sooner than by the clock; a recording played faster must not lose more either

    def _save(self) -> None:
        """Sealed batches and the journal, in one commit. A disk that does not take them is tried again each second."""
        journal = self._pipeline.open_body()
        self._journalled_s = time.monotonic()
        if not self._unsaved and journal == self._journal:
            return
        try:
            self._outbox.put(self._unsaved, journal)
        except sqlite3.OperationalError as error:
            log.error("the outbox does not take %d batches: %s; trying again", len(self._unsaved), error)
            return
        self._unsaved, self._journal, self._journalled_samples = [], journal, self._pipeline.open_samples

    def _send(self, mono_s: float) -> None:
        self._window.expire(mono_s)
        if not self._up:
            return
        for batch in self._outbox.waiting(self._window.held(), self._window.room()):
            self._offer(batch, mono_s)
        for sequence in self._window.again(mono_s):
            self._offer(self._outbox.waiting_one(sequence), mono_s)

    def _offer(self, batch: Waiting | None, mono_s: float) -> None:
        if batch is not None and self._uplink.send(batch.data):
            self._window.on_sent(batch.sequence, mono_s)

    def _report(self) -> None:
        held = self._outbox.held()
        counts = " ".join(f"{name}={count}" for name, count in sorted(self._pipeline.counts.items()))
        obd = self._obd.state if self._obd else "none"
        log.info(
            "gnss %s; obd %s; outbox %d batches (%d samples) waiting, %d receipted, %.1f MiB; %s",
            self._gnss.state,
            obd,
            held.waiting,
            held.waiting_samples,
            held.receipted,
            held.bytes / _BYTES_PER_MIB,
            counts,
        )

    def _end(self) -> None:
        self._stopping = True
        self._gnss.stop()
        if self._obd:
            self._obd.stop()
        while True:  # what the ports had handed over still counts
            try:
                work = self._inbox.get_nowait()
            except queue.Empty:
                break
            work()
        self._unsaved += self._pipeline.finish()
        self._save()
        self._send(time.monotonic())
        self._uplink.stop()
        self._report()
        self._outbox.close()


class _Ticks:
    """Once a second, without drifting and without catching up."""

    def __init__(self, mono_s: float) -> None:
        self._next_s = mono_s + _TICK_S

    def wait_s(self, mono_s: float) -> float:
        return max(0.0, self._next_s - mono_s)

    def due(self, mono_s: float) -> bool:
        if mono_s < self._next_s:
            return False
        self._next_s = max(self._next_s + _TICK_S, mono_s)
        return True


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the unit's folder; raises ConfigError where another agent holds it. The lock dies with the process."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not there; 'pledgewatch-agent provision --dir {folder} --unit NAME' makes it")
    with (folder / "agent.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(f"an agent is already running in {folder} (process {file.read().strip()})") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _open_outbox(folder: Path) -> tuple[Outbox, str]:
    """The outbox and how it was found: "kept", "new", or "replaced" where a damaged one was set aside."""
    path = folder / "outbox.db"
    try:
        return Outbox(path), "kept"
    except FileNotFoundError:
        found = "new"
    except OutboxDamagedError as error:
        number = next(n for n in range(1, 10_000) if not path.with_suffix(f".damaged-{n}").exists())
        for name in ("", "-wal", "-shm"):
            part = Path(f"{path}{name}")
            if part.exists():
                part.replace(Path(f"{path.with_suffix(f'.damaged-{number}')}{name}"))
        log.error("%s; set aside, a new boot begins", error)
        found = "replaced"
    return Outbox.create(path, next_boot_number(folder)), found


def _kernel_boot() -> int:
    """32 bits that name this run of the monotonic clock."""
    return int(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:8], 16)


def _ntp_offset_ms(mono_s: float) -> int | None:
    """System clock less monotonic clock in ms, where the system clock is known to be disciplined."""
    if not _TIMESYNC.exists():
        return None
    return round(time.time() * 1000) - round(mono_s * 1000)
