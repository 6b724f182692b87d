"""The running agent: devices, pipeline, outbox and sender, wired together around one inbox.

Every thread (receiver, adapter, supply, network) only puts what it has into the inbox; this one takes it out, so that
pipeline and outbox have a single owner. The order of the work is the promise: a sealed batch is on disk before it is
sent, and it is forgotten only on a receipt whose signature holds.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from importlib.metadata import version

from edge_agent.batch import Batcher, Sealed
from edge_agent.car.readings import Reading
from edge_agent.commands.desk import CommandDesk
from edge_agent.commands.memory import CommandMemory
from edge_agent.commands.orders import Orders
from edge_agent.commands.overrides import Overrides
from edge_agent.config import SECTIONS, UnitConfig
from edge_agent.devices import Devices, Hands
from edge_agent.gnss.position_source import Fallback
from edge_agent.identity import read_identity
from edge_agent.inbox import Inbox, Work
from edge_agent.network.sender import Counted, Sender
from edge_agent.network.uplink import Uplink
from edge_agent.pipeline import Pipeline
from edge_agent.power.halting import Halting
from edge_agent.power.sleeping import make_sleeper
from edge_agent.power.watch import PowerWatch
from edge_agent.rules import Watch
from edge_agent.sampling import Sampler
from edge_agent.score import Scorer
from edge_agent.service.status_socket import StatusSocket
from edge_agent.service.systemd import CrashGuard, Service, Started
from edge_agent.service.unit_facts import unit_facts
from edge_agent.situation import Situation
from edge_agent.store.kept import Keeping, Kept
from edge_agent.store.outbox_file import OutboxDamagedError
from edge_agent.store.outbox_recovery import Opened, open_outbox
from edge_agent.store.unsaved import Unsaved
from edge_agent.timing.clock import UtcClock
from edge_agent.timing.floor import Floor
from edge_agent.timing.receipt_time import TimeBounds
from edge_agent.timing.system_clock import Clock, SystemClock, system_time
from edge_agent.timing.ticks import Ticks
from wire.codec import decode_body
from wire.refused import RefusedError
from wire.topics import COMMAND, RECEIPT

log = logging.getLogger(__name__)

_ROOM_EVERY_S = 600.0
_REPORT_EVERY_S = 60.0
_MIB = 1024 * 1024


class Ended(Enum):
    """How a run ended."""

    STOPPED = "stopped"  # as asked
    AGAIN = "again"  # a changed setting: begin anew
    DAMAGED = "damaged"  # the outbox turned out unreadable: the next start recovers what can be read


class Agent:
    """One unit. `run` returns after `stop`, which any thread or signal handler may call."""

    def __init__(
        self,
        config: UnitConfig,
        clock: Clock | None = None,
        *,
        service: Service | None = None,
        guard: CrashGuard | None = None,
        started: Started | None = None,
        scorer: Scorer | None = None,
    ) -> None:
        """Open the outbox and wire everything; nothing runs yet.

        Args:
            config: the settings.
            clock: the machine's own unless given.
            service: the service manager; none unless given.
            guard: is told when this start has lasted.
            started: how this start stands in the row of starts; a safe one leaves out what could be at fault.
            scorer: the model that judges each sample.

        Raises:
            ConfigError: the unit is not provisioned, or its certificates cannot be used.
            OutboxUnavailableError: the disk is full or read-only; try again.
        """
        self._config, self._clock = config, clock or SystemClock()
        folder, mono_s = config.state_dir, self._clock.monotonic_s()
        started = started or Started(0, False)
        self._service, self._guard = service or Service({}), guard or CrashGuard(folder)
        identity = read_identity(folder)
        self._ended: Ended | None = None
        self._inbox = Inbox(lambda: self._ended is not None)
        self._floor = Floor(folder, self._clock.kernel_boot(), mono_s)
        uplink = self._make_uplink(self._floor.bounds)  # no boot begins where the certificates cannot be used
        opened = open_outbox(folder, config.unit, identity.key.public_key(), self._floor.at_ms(mono_s))
        self._outbox = opened.outbox
        self._unsaved = Unsaved(self._outbox.boot)  # sealed, but the disk did not take it yet
        self._journal: bytes | None = None  # what the disk holds of the records that are not sealed
        self._journalled_samples = 0
        self._journalled_s = self._made_room_s = self._reported_s = float("-inf")
        self._is_over_full = False

        self._keeping = Keeping(self._outbox.kept_text)
        kept = self._keeping.read
        sleeper = make_sleeper(config.power, folder)
        self._power = PowerWatch(config.power, sleeper.woken(), kept.energy, mono_s)
        self._devices = Devices(config, self._clock.monotonic_s, self._hands(), self._wants_fallback, started.is_safe)
        rough = self._devices.fallback
        self._fallback = Fallback(rough, config.fallback.after_s) if rough else None
        limits, before = config.batch, self._outbox.sealed_before(config.unit)
        batcher = Batcher(identity.key, before, self._clock.kernel_boot(), limits.samples, limits.after_s)
        self._pipeline = Pipeline(
            batcher,
            clock=UtcClock(plays_recording=config.clock.plays_recording),
            situation=Situation(config.vehicle.vin, config.engine),
            watch=Watch.from_state(config.events, kept.rules),
            sampler=Sampler(config.sampling),
            power=self._power,
            fallback=self._fallback,
            scorer=None if started.is_safe else scorer,
            hold=config.position.hold,
            told=kept.told,
        )
        self._pipeline.on_floor(self._floor.offset_ms, self._floor.is_told, mono_s)
        self._sender = Sender(config.unit, identity.receipt_keys, self._outbox, self._floor, uplink, self._make_uplink)
        self._halting = Halting(sleeper, partial(self._put_power, self._power.on_halt_failed))
        memory = CommandMemory(folder / "commands.json")
        self._desk = CommandDesk(config.unit, identity.receipt_keys, memory, SECTIONS)
        overrides = Overrides(folder / "overrides.json")
        self._orders = Orders(
            config, self._desk, self._pipeline, self._outbox, overrides, self.facts, self._begin_anew, kept.following
        )
        self._status = StatusSocket(folder, lambda reply: self._inbox.put(lambda: reply(self.facts())))
        self._begin(batcher, opened, started, mono_s)

    def run(self) -> Ended:
        """Work until `stop`, or until the agent has to begin anew."""
        self._devices.start()
        self._status.start()
        self._service.ready()
        ticks = Ticks(time.monotonic())
        try:
            while self._ended is None:
                self._do(self._inbox.next(ticks.wait_s(time.monotonic())))
                if ticks.due(time.monotonic()):
                    self._service.alive(self._clock.monotonic_s())
                    self._do(self._tick)
        except OutboxDamagedError as error:
            log.error("%s; the agent begins anew with what can be read", error)
            self._ended = Ended.DAMAGED
        finally:
            self._end()
        return self._ended

    def stop(self) -> None:
        """End `run` within two seconds. Only sets a flag: a signal may have caught the inbox with its lock held."""
        self._ended = Ended.STOPPED

    def facts(self) -> dict[str, str]:
        """What the unit says of itself; from the agent's own thread."""
        mono_s = self._clock.monotonic_s()
        return (
            unit_facts(
                self._config,
                self._pipeline,
                self._devices,
                self._power,
                self._outbox,
                self._sender,
                self._floor,
                mono_s,
            )
            | self._command_facts()
        )

    # Wiring

    def _hands(self) -> Hands:
        put = self._inbox.put
        return Hands(
            on_gnss=lambda data, mono_s: put(partial(self._on_gnss, data, mono_s)),
            on_gnss_silence=lambda mono_s: put(lambda: self._keep(self._pipeline.on_gnss_silence(mono_s))),
            on_reading=lambda reading: put(partial(self._on_reading, reading)),
            on_supply=lambda supply, mono_s: put(lambda: self._keep(self._pipeline.on_supply(supply, mono_s))),
            on_supply_measured=lambda mono_s, volts, current_ma: put(
                lambda: self._pipeline.on_supply_measured(mono_s, volts=volts, current_ma=current_ma)
            ),
        )

    def _make_uplink(self, bounds: TimeBounds) -> Uplink:
        config = self._config
        return Uplink(
            config.unit,
            config.broker,
            config.state_dir,
            on_up=partial(self._inbox.put, lambda: self._sender.on_up(self._clock.monotonic_s())),
            on_down=partial(self._inbox.put, lambda: self._sender.on_down()),
            on_message={
                RECEIPT: lambda data: self._inbox.put(partial(self._on_receipt, data)),
                COMMAND: lambda data: self._inbox.put(partial(self._on_command, data)),
            },
            bounds=bounds,
            monotonic_s=self._clock.monotonic_s,
        )

    def _wants_fallback(self) -> bool:
        return self._fallback is not None and self._fallback.is_wanted(self._clock.monotonic_s())

    def _put_power(self, tell: Callable[[str, float], None], why: str) -> None:
        self._inbox.put(lambda: tell(why, self._clock.monotonic_s()))

    # What comes in

    def _begin(self, batcher: Batcher, opened: Opened, started: Started, mono_s: float) -> None:
        """Seal what the journal kept, then tell that the unit has begun and how it found its outbox."""
        journal = self._outbox.journal()
        recovered: tuple[Sealed, ...] = ()
        if journal is not None:
            try:
                recovered = batcher.seal_body(decode_body(journal))
            except (RefusedError, ValueError):
                log.exception("the journal cannot be read; the samples of the last seconds are lost")
        self._declare_gaps()
        details = {"version": version("pledgewatch"), "outbox": opened.found, **opened.told}
        if started.in_a_row:
            details |= {"crashes": str(started.in_a_row), "mode": "safe" if started.is_safe else "full"}
        kind = "outbox_replaced" if opened.found == "replaced" else "unit_started"
        self._unsaved.add((*recovered, *self._pipeline.on_event(kind, mono_s, details)))
        self._unsaved.add(self._orders.on_start(mono_s))
        self._save()

    def _on_gnss(self, data: bytes, mono_s: float) -> None:
        self._devices.on_gnss_heard(data, mono_s)
        self._keep(self._pipeline.on_gnss(data, mono_s))

    def _on_reading(self, reading: Reading) -> None:
        self._keep(self._pipeline.on_reading(reading))

    def _on_receipt(self, data: bytes) -> None:
        mono_s = self._clock.monotonic_s()
        plays = self._config.clock.plays_recording
        taken = self._sender.on_receipt(data, mono_s, None if plays else self._pipeline.clock.witness_ms(mono_s))
        if isinstance(taken, Counted):
            self._pipeline.count(taken.name)
            return
        self._pipeline.count("receipts.batches", taken)
        self._pipeline.on_floor(self._floor.offset_ms, self._floor.is_told, mono_s)
        self._keep(self._orders.on_server_time(mono_s, self._sender.server_now_ms(mono_s)))

    def _on_command(self, data: bytes) -> None:
        mono_s = self._clock.monotonic_s()
        self._keep(self._orders.on_command(data, mono_s, self._sender.server_now_ms(mono_s)))

    def _do(self, work: Work) -> None:
        """A card that is full or read-only ends no agent: a receipt that could not be kept comes again."""
        try:
            work()
        except sqlite3.OperationalError as error:
            self._pipeline.count("outbox.not_written")
            log.error("the outbox cannot be written: %s; trying again", error)

    def _tick(self) -> None:
        pipeline, devices, mono_s = self._pipeline, self._devices, self._clock.monotonic_s()
        pipeline.on_obd_port(devices.obd_port)
        self._keep(pipeline.on_abilities(devices.abilities, mono_s))
        self._keep(pipeline.on_tick(mono_s, system_time(self._clock)))
        self._make_room(mono_s)
        self._declare_gaps()
        is_due = mono_s - self._journalled_s >= self._config.batch.journal_every_s
        if is_due or len(self._unsaved) or self._keeping.due(self._to_keep(), mono_s) is not None:
            self._save()
        devices.tend(pipeline.plan, pipeline.counts.get("gnss.accepted", 0), mono_s)
        self._sender.tend(pipeline.plan.send_every_s, mono_s)
        self._halt_or_visit(mono_s)
        self._sender.send(mono_s)
        self._guard.works(mono_s)
        if mono_s - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = mono_s
            self._report()

    def _halt_or_visit(self, mono_s: float) -> None:
        plan, newest = self._pipeline.plan, self._pipeline.newest
        drained = not len(self._unsaved) and self._outbox.is_drained()
        if plan.visit and drained and newest is not None and newest.lat_deg is not None:
            self._power.on_visit_done(mono_s)
        self._halting.tend(plan.halt, drained, self._power.memory(mono_s), mono_s)

    def _make_room(self, mono_s: float) -> None:
        is_pressed = len(self._unsaved) > 0
        if not (self._is_over_full or is_pressed) and mono_s - self._made_room_s < _ROOM_EVERY_S:
            return
        self._made_room_s, room = mono_s, self._config.outbox
        free_bytes = room.keep_free_mib * _MIB
        try:
            self._is_over_full = self._outbox.make_room(
                room.max_mib * _MIB, room.keep_days, free_bytes, is_pressed=is_pressed
            )
        except sqlite3.OperationalError as error:
            log.error("no room can be made in the outbox: %s; trying again", error)
        self._sender.forget_what_is_gone()

    def _declare_gaps(self) -> None:
        for gap in self._outbox.gaps_to_declare():
            self._pipeline.on_gap(gap)

    # What goes out

    def _keep(self, sealed: tuple[Sealed, ...]) -> None:
        """Put what was sealed on disk at once, then offer it to the network; journal the rest now and then."""
        if sealed:
            dropped = self._unsaved.add(sealed)
            if dropped:
                self._pipeline.count("outbox.dropped_in_memory", dropped)
            self._save()
            self._sender.send(self._clock.monotonic_s())
        elif self._pipeline.open_samples - self._journalled_samples >= self._config.batch.journal_every_s:
            self._save()  # at 1 Hz no sooner than by the clock; a recording played faster must not lose more either

    def _save(self, *, for_good: bool = False) -> None:
        """Sealed batches, the journal and what was told in one commit; a disk that takes none is tried each second."""
        journal, mono_s = self._pipeline.open_body(), self._clock.monotonic_s()
        self._journalled_s = mono_s
        kept = self._keeping.due(self._to_keep(), mono_s, for_good=for_good)
        if not len(self._unsaved) and journal == self._journal and kept is None:
            return
        batches = self._unsaved.batches
        try:
            self._outbox.put(batches, journal, self._unsaved.lost, kept)
        except sqlite3.OperationalError as error:
            log.error("the outbox does not take %d batches: %s; trying again", len(batches), error)
            return
        self._unsaved.on_put()
        self._keeping.on_put(kept, mono_s)
        for each in batches:
            self._sender.on_sealed(each.sequence, mono_s, urgent=each.urgent)
        self._journal, self._journalled_samples = journal, self._pipeline.open_samples

    def _begin_anew(self) -> None:
        if self._ended is None:
            self._ended = Ended.AGAIN

    def _to_keep(self) -> Kept:
        return Kept(
            self._pipeline.rules_state(), self._pipeline.told, self._power.energy_json(), self._orders.following
        )

    def _command_facts(self) -> dict[str, str]:
        listed = {f"commands.{each['id'][:8]}": f"{each['kind']} {each['outcome']}" for each in self._desk.listed()}
        return listed | {f"counts.{name}": str(count) for name, count in sorted(self._desk.counts.items())}

    def _report(self) -> None:
        held, facts = self._outbox.held(), self._devices
        counts = " ".join(f"{name}={count}" for name, count in sorted(self._pipeline.counts.items()))
        text = f"gnss {facts.gnss_state}; obd {facts.obd_state}; power {self._power.state}"
        self._service.status(text)
        log.info(
            "%s; outbox %d batches (%d samples) waiting, %d receipted, %.1f MiB; %s",
            text,
            held.waiting,
            held.waiting_samples,
            held.receipted,
            held.bytes / _MIB,
            counts,
        )

    def _end(self) -> None:
        ended = self._ended
        self._ended = ended or Ended.STOPPED
        self._service.stopping()
        self._status.stop()
        stopping = threading.Thread(target=self._devices.stop, daemon=True)
        stopping.start()
        with contextlib.suppress(OutboxDamagedError):
            for work in self._inbox.rest():  # what the ports had handed over still counts
                self._do(work)
            self._unsaved.add(self._pipeline.finish())
            self._save(for_good=True)
            self._do(lambda: self._sender.send(self._clock.monotonic_s()))
            if ended is not None:
                self._do(self._report)
        self._sender.close(self._clock.monotonic_s())
        stopping.join(1.5)
        self._outbox.close()
        if ended is not None:
            self._guard.ended()
