"""Mosquitto → `intake.py` → receipts; and commands to the units. The only server file that speaks MQTT.

One thread does it all: it reads what the broker has for us, gives what has gathered to the intake in one commit, sends
the receipts and only then acknowledges. While a commit is under way nothing is read, so the broker waits, and with it
the units: that is all the back pressure there is. (Two threads took turns at Python's lock, one read at a time, and
settled a fifth.) The client's own thread would only be missed where one commit takes longer than the keepalive.

Between two commits the commands that are due are sent, about once a second.
"""

import logging
import select
import ssl
import time
from dataclasses import asdict
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy.exc import SQLAlchemyError

from server.bench_clock import NowMs, machine_ms
from server.config import BrokerSettings, IngestSettings
from server.fleet.authority import INGEST_NAME
from server.intake import IngestCounts, Intake, Message
from server.leases import LEASE_MS, Leases
from server.live import Arrival
from server.store.db import Store
from wire.topics import BATCH, BUCKETS

log = logging.getLogger(__name__)

_MOST_IN_A_COMMIT = 500
_GATHER_S = 0.02  # how long the first arrival of a commit waits for others
_TICK_S = 0.2
_RETRY_S = 1.0
_LONGEST_RETRY_S = 15.0
_COMMANDS_EVERY_S = 1.0
_FORGET_S = 5.0
_KEEPALIVE_S = 120  # longer than any commit


class Ingest:
    """Subscribes to the units' batches until stopped. `now_ms` is the server's clock (UTC ms)."""

    def __init__(
        self,
        store: Store,
        broker: BrokerSettings,
        authority_folder: Path,
        receipt_key: Ed25519PrivateKey,
        now_ms: NowMs = machine_ms,
        worker: str = INGEST_NAME,
        limits: IngestSettings = IngestSettings(),  # noqa: B008 - frozen
    ) -> None:
        self._intake = Intake(store, receipt_key, now_ms, limits)
        self._leases = Leases(store, worker)
        self._broker, self._folder = broker, authority_folder
        self._subscribed: frozenset[str] = frozenset()
        self._waiting: list[mqtt.MQTTMessage] = []  # arrived, not yet acknowledged
        self._is_stopping = False
        # A persistent session: what units publish while we are away waits in the broker, as far as the broker keeps it.
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=worker,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        if broker.tls:
            self._client.tls_set_context(_context(authority_folder, worker))
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = lambda _client, _data, message: self._waiting.append(message)

    @property
    def counts(self) -> IngestCounts:
        """What this process has taken in since it started."""
        return self._intake.counts

    def run(self) -> None:
        """Take in batches until `stop` is called from another thread or a signal handler."""
        retry_s = _RETRY_S
        while not self._is_stopping:
            if self._connect():
                retry_s = _RETRY_S
                self._serve()
            else:
                self._rest(retry_s)
                retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        if len(self._leases.held) < BUCKETS and self._subscribed:  # others go on, and keep what comes from now on
            self._client.unsubscribe(sorted(self._subscribed))
        self._client.disconnect()
        self._client.loop_write()
        try:
            self._leases.leave()
        except SQLAlchemyError:
            log.warning("the store does not take back our buckets; they are free in %d s", LEASE_MS // 1000)

    def stop(self) -> None:
        """End `run` after the commit in hand."""
        self._is_stopping = True

    def _connect(self) -> bool:
        try:
            self._client.connect(self._broker.host, self._broker.port, keepalive=_KEEPALIVE_S)
        except OSError as error:  # ssl.SSLError is one
            log.warning("no broker at %s:%d (%s); trying again", self._broker.host, self._broker.port, error)
            return False
        return True

    def _serve(self) -> None:
        """Until the connection is lost, or we stop."""
        commands_due_s = time.monotonic()
        while self._client.socket() is not None and not self._is_stopping:
            if self._leases.is_due and self._client.is_connected():
                self._renew()
            self._gather()
            if self._waiting:
                self._take()
            if time.monotonic() >= commands_due_s and self._client.is_connected():
                self._send(self._intake.commands())
                commands_due_s = time.monotonic() + _COMMANDS_EVERY_S
            self._client.loop_misc()

    def _gather(self) -> None:
        """Read what has come: wait for the first, then a moment for more, so that one commit serves many."""
        until_s: float | None = None
        while len(self._waiting) < _MOST_IN_A_COMMIT and not self._is_stopping:
            count = len(self._waiting)
            self._client.loop_read()
            if len(self._waiting) > count:
                continue
            if self._waiting and until_s is None:
                until_s = time.monotonic() + _GATHER_S
            rest_s = _TICK_S if until_s is None else until_s - time.monotonic()
            if rest_s <= 0 or not self._is_readable(rest_s):
                return

    def _renew(self) -> None:
        """Say that we are there, and hear the units of the buckets that are ours now."""
        counts = self._intake.counts
        figures = {name: value for name, value in asdict(counts).items() if isinstance(value, int)}
        try:
            held = self._leases.renew({**figures, "waiting": len(self._waiting)})
        except SQLAlchemyError:
            log.exception("the store does not tell which buckets are ours; going on with %d", len(self._leases.held))
            return
        wanted = _topics(held)
        # What is new is heard before what is old is not: for a moment some comes twice, and nothing is missed.
        if new := wanted - self._subscribed:
            self._client.subscribe([(topic, BATCH.qos) for topic in sorted(new)])
        if gone := self._subscribed - wanted:
            self._client.unsubscribe(sorted(gone))
        self._subscribed = wanted
        for name in self._leases.lost:
            self._forget(name)

    def _forget(self, worker: str) -> None:
        """Clear the session of a worker that died: else the broker would keep for it what we take in."""
        if self._broker.tls and not (self._folder / f"{worker}.crt").exists():
            log.warning("%s is gone; its session stays in the broker until it comes back or expires", worker)
            return
        client = mqtt.Client(CallbackAPIVersion.VERSION2, worker, clean_session=True, protocol=mqtt.MQTTv311)
        if self._broker.tls:
            client.tls_set_context(_context(self._folder, worker))
        connected: list[bool] = []
        client.on_connect = lambda _c, _d, _f, reason, _p: connected.append(not reason.is_failure)
        try:
            client.connect(self._broker.host, self._broker.port)
            until_s = time.monotonic() + _FORGET_S
            while not connected and time.monotonic() < until_s:
                client.loop(0.1)
            client.disconnect()
            client.loop_write()
        except OSError as error:
            log.warning("the session of %s, which is gone, stays in the broker: %s", worker, error)
            return
        log.info("%s is gone; its buckets were taken over, its session is cleared", worker)

    def _is_readable(self, within_s: float) -> bool:
        """Whether the broker says something within this time; writes meanwhile what could not be written at once."""
        socket = self._client.socket()
        if socket is None:
            return False
        if isinstance(socket, ssl.SSLSocket) and socket.pending():
            return True
        wants_write = [socket] if self._client.want_write() else []
        readable, writable, _ = select.select([socket], wants_write, [], within_s)
        if writable:
            self._client.loop_write()
        return bool(readable or writable)

    def _take(self) -> None:
        """One commit; where the store fails, what has arrived stays and is tried again after a rest."""
        try:
            receipts = self._intake.take([Arrival(each.topic, bytes(each.payload)) for each in self._waiting])
        except SQLAlchemyError:
            log.exception("the store did not take %d batches; trying again", len(self._waiting))
            self._rest(_RETRY_S)
            return
        self._send(receipts)
        for each in self._waiting:
            self._client.ack(each.mid, each.qos)
        self._waiting.clear()

    def _send(self, messages: list[Message]) -> None:
        for each in messages:
            self._client.publish(each.topic, each.payload, qos=each.qos)

    def _rest(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._is_stopping and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _TICK_S))

    def _on_connect(
        self, client: mqtt.Client, _data: object, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            log.error("the broker at %s:%d refuses us: %s", self._broker.host, self._broker.port, reason)
            return
        log.info("connected to the broker at %s:%d", self._broker.host, self._broker.port)
        self._subscribed = frozenset()
        self._renew()
        if flags.session_present and self._subscribed:  # it may still hear what was ours before we were away
            client.unsubscribe(sorted(_EVERY_TOPIC - self._subscribed))
        self._intake.reconnected()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        self._waiting.clear()  # not acknowledged, so the broker brings them again
        if not self._is_stopping:
            log.warning("lost the broker (%s); trying again", reason)


def _topics(buckets: frozenset[int]) -> frozenset[str]:
    """What to subscribe to for these buckets."""
    if len(buckets) == BUCKETS:
        return frozenset((BATCH.everywhere(),))
    return frozenset(BATCH.everywhere(f"{bucket:02x}") for bucket in buckets)


_EVERY_TOPIC = frozenset((BATCH.everywhere(), *(BATCH.everywhere(f"{bucket:02x}") for bucket in range(BUCKETS))))


def _context(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    return context
