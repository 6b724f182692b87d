"""Many units' MQTT connections in one thread. The only file of the simulator that imports paho.

Each unit has a paho client of its own with its own certificate, as in a car; one epoll serves them all through paho's
`loop_read` and `loop_write`. What paho does only by waiting (connecting, and the TLS handshake) runs in a few threads,
which hand the connection over; nothing else is done there.

paho facts that this file rests on (2.1 and 2.2): without `loop_start` a publish is written to the socket at once, but
for what callbacks queue; `loop_read` may leave bytes in OpenSSL that epoll does not tell of; after a reconnection it
sends again what has no PUBACK.
"""

import logging
import os
import random
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim.fleet.identities import Enrolled
from wire.topics import BATCH, COMMAND, RECEIPT

log = logging.getLogger(__name__)

_KEEPALIVE_S = 900
_HANDSHAKES = 8  # at a time
_CARE_EVERY_S = 15.0  # paho's keep-alive is looked after so often
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class Ears(Protocol):
    """Who is told what happens on the lines; `line` is the number that `Lines.add` was given."""

    def on_up(self, line: int) -> None:
        """The broker took the unit in, and it hears its receipts."""

    def on_down(self, line: int) -> None:
        """The connection ended; the next attempt is under way."""

    def on_refused(self, line: int) -> None:
        """An attempt failed."""

    def on_receipt(self, line: int, payload: bytes) -> None:
        """A receipt came, unchecked."""

    def on_command(self, line: int) -> None:
        """A command came; it is not carried out."""

    def on_acknowledged(self, line: int, message: int) -> None:
        """The broker has a message (what `Lines.publish` returned)."""


@dataclass(slots=True)
class _Line:
    number: int
    unit: str
    client: mqtt.Client
    is_up: bool = False
    failures: int = 0
    descriptor: int = -1
    wants_write: bool = False


class Lines:
    """The connections; `serve` does all the work, and calls the ears."""

    def __init__(self, enrolled: Enrolled, keys: Path, ears: Ears, seed: int) -> None:
        """`keys` holds NAME.crt and NAME.key of each unit."""
        self._enrolled, self._keys, self._ears = enrolled, keys, ears
        self._dice = random.Random(f"fleet lines {seed}")  # noqa: S311 - only spreads attempts
        self._lines: dict[int, _Line] = {}
        self._by_descriptor: dict[int, _Line] = {}
        self._epoll = select.epoll()
        self._connecting = ThreadPoolExecutor(_HANDSHAKES, thread_name_prefix="connect")
        self._connected: deque[tuple[_Line, Exception | None]] = deque()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._attempts: list[tuple[float, int]] = []  # when, which line
        self._cared_s = time.monotonic()
        self._closing = False

    def add(self, number: int, unit: str) -> None:
        """A unit's connection, begun by the next `serve`. Raises OSError or ssl.SSLError for a certificate."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=unit, clean_session=False, protocol=mqtt.MQTTv311)
        client.max_inflight_messages_set(0)  # the window is ours
        if self._enrolled.tls:
            context = ssl.create_default_context(cafile=str(self._enrolled.authority))
            context.load_cert_chain(self._keys / f"{unit}.crt", self._keys / f"{unit}.key")
            client.tls_set_context(context)
        line = _Line(number, unit, client)
        receipts, commands = RECEIPT.of(unit), COMMAND.of(unit)

        def connected(
            _client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
        ) -> None:
            if reason.is_failure:
                log.warning("the broker refuses %s: %s", unit, reason)
                return
            client.subscribe([(receipts, RECEIPT.qos), (commands, COMMAND.qos)])

        def subscribed(*_: object) -> None:
            line.is_up, line.failures = True, 0
            self._ears.on_up(number)

        def heard(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
            if message.topic == receipts:
                self._ears.on_receipt(number, bytes(message.payload))
            else:
                self._ears.on_command(number)

        def acknowledged(_client: mqtt.Client, _data: object, message: int, *_: object) -> None:
            self._ears.on_acknowledged(number, message)

        client.on_connect = connected
        client.on_subscribe = subscribed
        client.on_message = heard
        client.on_publish = acknowledged
        client.on_socket_close = lambda _client, _data, closed: self._closed(line, closed)
        self._lines[number] = line
        heappush(self._attempts, (0.0, number))

    def is_up(self, number: int) -> bool:
        """Whether the line can be published on."""
        return self._lines[number].is_up

    def publish(self, number: int, data: bytes) -> int | None:
        """Send one batch; the message's number on this line, None where the connection just ended."""
        line = self._lines[number]
        told = line.client.publish(BATCH.of(line.unit), data, qos=BATCH.qos)
        self._after(line)
        return told.mid if told.rc == mqtt.MQTT_ERR_SUCCESS else None

    def drop(self, number: int) -> bool:
        """End a connection without a word, as a lost network does; it is made again at once."""
        connection = self._lines[number].client.socket()
        if not isinstance(connection, socket.socket):
            return False
        try:
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        except OSError:
            return False
        return True

    def serve(self, wait_s: float) -> None:
        """Wait for at most so long for something to happen, and handle all that did."""
        self._begin_attempts()
        if self._attempts:
            wait_s = min(wait_s, max(0.0, self._attempts[0][0] - time.monotonic()))
        for descriptor, happened in self._epoll.poll(wait_s):
            if descriptor == self._bell:
                os.eventfd_read(self._bell)
                continue
            line = self._by_descriptor.get(descriptor)
            if line is None:  # closed by what came before it in this round
                continue
            if happened & ~select.EPOLLOUT:
                self._read(line)
            if happened & select.EPOLLOUT and line.client.socket() is not None:
                line.client.loop_write()
            self._after(line)
        while self._connected:
            self._take_over(*self._connected.popleft())
        if time.monotonic() - self._cared_s > _CARE_EVERY_S:
            self._cared_s = time.monotonic()
            for line in list(self._by_descriptor.values()):
                line.client.loop_misc()
                self._after(line)

    def close(self) -> None:
        """Leave the broker politely."""
        self._closing = True
        self._connecting.shutdown(wait=True, cancel_futures=True)
        for line in self._lines.values():
            line.client.disconnect()
            line.descriptor = -1  # paho closes the socket once the client is collected
        self._epoll.close()
        os.close(self._bell)

    def _begin_attempts(self) -> None:
        now_s = time.monotonic()
        while self._attempts and self._attempts[0][0] <= now_s:
            line = self._lines[heappop(self._attempts)[1]]
            self._connecting.submit(self._connect, line)

    def _connect(self, line: _Line) -> None:
        """In a thread of its own: TCP, TLS, and the CONNECT packet."""
        error: Exception | None = None
        try:
            line.client.connect(self._enrolled.host, self._enrolled.port, keepalive=_KEEPALIVE_S)
        except (OSError, ValueError) as refused:  # ssl.SSLError is an OSError
            error = refused
        self._connected.append((line, error))
        os.eventfd_write(self._bell, 1)

    def _take_over(self, line: _Line, error: Exception | None) -> None:
        connection = line.client.socket()
        if error is not None or connection is None:
            log.info("no connection for %s: %s", line.unit, error)
            self._refused(line)
            return
        line.descriptor = connection.fileno()
        line.wants_write = False
        self._by_descriptor[line.descriptor] = line
        self._epoll.register(line.descriptor, select.EPOLLIN)
        self._read(line)  # the answer may be here already, decrypted
        self._after(line)

    def _read(self, line: _Line) -> None:
        """All that is there, in OpenSSL's own buffer too."""
        while (connection := line.client.socket()) is not None:
            if line.client.loop_read() != mqtt.MQTT_ERR_SUCCESS:
                return
            pending: Callable[[], int] | None = getattr(connection, "pending", None)
            try:
                if pending is None or not pending():
                    return
            except ValueError:  # closed meanwhile
                return

    def _after(self, line: _Line) -> None:
        """What callbacks queued is written now; what the socket did not take waits for room."""
        if line.descriptor < 0:
            return
        if line.client.want_write() and not line.wants_write:
            line.client.loop_write()
        wants = line.descriptor >= 0 and line.client.want_write()
        if wants != line.wants_write and line.descriptor >= 0:
            line.wants_write = wants
            self._epoll.modify(line.descriptor, select.EPOLLIN | (select.EPOLLOUT if wants else 0))

    def _closed(self, line: _Line, _connection: Any) -> None:
        """paho is about to close the socket: it must be out of epoll before its number is used again."""
        if line.descriptor < 0:
            return  # never taken over; `_take_over` will see it
        del self._by_descriptor[line.descriptor]
        self._epoll.unregister(line.descriptor)
        line.descriptor, was_up, line.is_up = -1, line.is_up, False
        if self._closing:
            return
        if was_up:
            self._ears.on_down(line.number)
            heappush(self._attempts, (time.monotonic(), line.number))
        else:
            self._refused(line)

    def _refused(self, line: _Line) -> None:
        """Try again, after a pause that grows: a broker that is overrun is not helped by more of the same."""
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**line.failures) * self._dice.uniform(0.5, 1.0)
        line.failures += 1
        heappush(self._attempts, (time.monotonic() + pause_s, line.number))
        self._ears.on_refused(line.number)
