"""Broker → `live.py` → receipts; and commands to the units. The only server file that speaks MQTT.

The network thread only queues; one worker takes what has gathered, hands it to `live.take` in one commit, sends the
receipts and only then acknowledges to the broker. If the store fails, nothing is acknowledged and the same arrivals are
tried again; what the broker loses meanwhile, the units send again, for they have no receipt.

Between two commits the worker sends the commands that are due (`command_sending.py`), about once a second.
"""

import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode
from sqlalchemy.exc import SQLAlchemyError

from server.command_sending import due_messages, send_again
from server.config import BrokerSettings
from server.fleet.authority import INGEST_NAME
from server.live import Arrival, Outcome, Verdict, take
from server.store.db import Store
from wire.records import Receipt
from wire.seal import seal_receipt
from wire.topics import BATCH, COMMAND, RECEIPT

log = logging.getLogger(__name__)

_MOST_IN_A_COMMIT = 500
_GATHER_S = 0.02
_QUEUE_BOUND = 20_000  # arrivals; beyond it the network thread waits, and the broker with it
_RETRY_S = 1.0
_COMMANDS_EVERY_S = 1.0


@dataclass
class IngestCounts:
    """What this process has taken in since it started."""

    batches: int = 0
    samples: int = 0
    redelivered: int = 0
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)


class Ingest:
    """Subscribes to the units' batches until stopped. `now_ms` is the server's clock (UTC ms)."""

    def __init__(
        self,
        store: Store,
        broker: BrokerSettings,
        authority_folder: Path,
        receipt_key: Ed25519PrivateKey,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        client_id: str = INGEST_NAME,
    ) -> None:
        self.counts = IngestCounts()
        self._store, self._broker, self._receipt_key, self._now_ms = store, broker, receipt_key, now_ms
        self._arrived: queue.Queue[mqtt.MQTTMessage] = queue.Queue(_QUEUE_BOUND)
        self._stopping = threading.Event()
        self._reconnected = threading.Event()  # set by the network thread: the broker may have lost commands
        # A persistent session: what units publish while we are away waits in the broker, as far as the broker keeps it.
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=False,
            protocol=mqtt.MQTTv311,
            manual_ack=True,
        )
        if broker.tls:
            context = ssl.create_default_context(cafile=str(authority_folder / "authority.crt"))
            context.load_cert_chain(authority_folder / f"{client_id}.crt", authority_folder / f"{client_id}.key")
            self._client.tls_set_context(context)
        self._client.reconnect_delay_set(min_delay=1, max_delay=15)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message

    def run(self) -> None:
        """Take in batches until `stop` is called from another thread or a signal handler."""
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=30)
        self._client.loop_start()
        commands_due_s = time.monotonic()
        try:
            while not self._stopping.is_set():
                messages = self._gather()
                if messages:
                    self._take(messages)
                if time.monotonic() >= commands_due_s:
                    self._send_commands()
                    commands_due_s = time.monotonic() + _COMMANDS_EVERY_S
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def stop(self) -> None:
        """End `run` after the commit in hand."""
        self._stopping.set()

    def _gather(self) -> list[mqtt.MQTTMessage]:
        """What has arrived: waits for the first, then a moment for more, so that one commit serves many."""
        try:
            messages = [self._arrived.get(timeout=0.2)]
        except queue.Empty:
            return []
        until = time.monotonic() + _GATHER_S
        while len(messages) < _MOST_IN_A_COMMIT:
            try:
                messages.append(self._arrived.get(timeout=max(0.0, until - time.monotonic())))
            except queue.Empty:
                break
        return messages

    def _take(self, messages: Sequence[mqtt.MQTTMessage]) -> None:
        arrivals = [Arrival(message.topic, bytes(message.payload)) for message in messages]
        while True:
            try:
                outcomes, receipts = take(self._store, arrivals, self._now_ms())
                break
            except SQLAlchemyError:
                log.exception("the store did not take %d batches; trying again", len(arrivals))
                if self._stopping.wait(_RETRY_S):
                    return
        for receipt in receipts:
            self._send(receipt)
        for message in messages:
            self._client.ack(message.mid, message.qos)
        self._count(outcomes)

    def _send(self, receipt: Receipt) -> None:
        payload = seal_receipt(self._receipt_key, receipt)
        self._client.publish(RECEIPT.of(receipt.unit), payload, qos=RECEIPT.qos)

    def _send_commands(self) -> None:
        if not self._client.is_connected():
            return
        try:
            if self._reconnected.is_set():
                self._reconnected.clear()
                send_again(self._store, self._now_ms())
            messages = due_messages(self._store, self._receipt_key, self._now_ms())
        except SQLAlchemyError:
            self._reconnected.set()
            log.exception("the store does not tell which commands are due; trying again")
            return
        for topic, payload in messages:
            self._client.publish(topic, payload, qos=COMMAND.qos)

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.verdict is Verdict.STORED:
                self.counts.batches += 1
                self.counts.samples += outcome.samples
            elif outcome.verdict is Verdict.REDELIVERED:
                self.counts.redelivered += 1
            else:
                self.counts.refused += 1
                reason = str(outcome.reason)
                self.counts.refused_by_reason[reason] = self.counts.refused_by_reason.get(reason, 0) + 1

    def _on_connect(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            log.error("the broker at %s:%d refuses us: %s", self._broker.host, self._broker.port, reason)
            return
        log.info("connected to the broker at %s:%d", self._broker.host, self._broker.port)
        client.subscribe(BATCH.everywhere(), qos=BATCH.qos)
        self._reconnected.set()

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        if not self._stopping.is_set():
            log.warning("lost the broker (%s); trying again", reason)

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._arrived.put(message)
