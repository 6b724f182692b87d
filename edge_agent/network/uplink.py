"""The unit's MQTT connection: batches out, receipts and commands in. The only agent file that imports paho.

What arrives is handed to callbacks from the network thread; deciding what to send is `sending.py`'s. A PUBACK means
nothing here: the broker may lose what it acknowledged, so only the server's signed receipt counts.

paho's thread does the work, and its pauses between attempts are made in its last callback after each: they are spread
out (a broker that comes back is not met by all units at once), grow slower than patience, and end at once with `stop`.
(Not in `on_pre_connect`, which paho calls when the keepalive of the next connection is counted already: a pause longer
than it would end that connection as soon as it is made.)
What nobody can interrupt (a name that is not resolved, a connect or a handshake that is not answered) runs in that
thread alone; `stop` leaves it behind, and nothing that it still does is heard.
"""

import logging
import random
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config import BrokerConfig
from edge_agent.network.tls import CheckedTls, TlsFacts
from edge_agent.timing.receipt_time import TimeBounds
from wire.topics import BATCH, Topic

log = logging.getLogger(__name__)

_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 4.0, 60.0
# A handshake with certificates costs 4.8 kB: where the broker can be reached and one side refuses the other, trying it
# each minute would cost 7 MB a day.
_LONGEST_PAUSE_REFUSED_S = 1800.0
_STEADY_S = 60.0  # a connection that held for so long was a good one: the pauses begin anew
_LEAVE_S = 0.5
_DEAD_AFTER_MS = 60_000  # unacknowledged bytes: found out by TCP, without paying for pings


class Pauses:
    """How long to wait before the next attempt. Pure but for the dice.

    A quarter to the whole of 4, 8, 16 … 60 s: units that lost their broker together do not meet it together. Refusals
    in a row go on to half an hour.
    """

    def __init__(self, dice: Callable[[], float] = random.random) -> None:
        self._dice = dice  # 0 to 1
        self._failures = 0
        self._refusals = 0

    def failed(self, *, refused: bool) -> None:
        """An attempt failed or a connection ended; `refused`: it was reached, and one side refused the other."""
        self._failures += 1
        self._refusals = self._refusals + 1 if refused else 0

    def held(self) -> None:
        """A connection held for long enough to be called good."""
        self._failures = self._refusals = 0

    def next_s(self) -> float:
        """The pause before the next attempt; none before the first."""
        if not self._failures:
            return 0.0
        failed_s = min(_LONGEST_PAUSE_S, _SHORTEST_PAUSE_S * 2.0 ** min(self._failures - 1, 20))
        refused_s = min(_LONGEST_PAUSE_REFUSED_S, _SHORTEST_PAUSE_S * 2.0 ** min(self._refusals, 20))
        return max(failed_s, refused_s if self._refusals else 0.0) * (0.25 + 0.75 * self._dice())


class Uplink:
    """Connects, and connects again for as long as it runs; never blocks the caller.

    `on_up` is called when the broker has taken us in, `on_down` when the connection is lost, `on_message` of a topic
    with the bytes of each message on it; all of them from the network thread.
    """

    def __init__(
        self,
        unit: str,
        broker: BrokerConfig,
        folder: Path,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_message: Mapping[Topic, Callable[[bytes], None]],
        bounds: TimeBounds,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing connects yet.

        Args:
            unit: its name, which is its client id and stands in its topics.
            broker: where to.
            folder: certificates and key, where the broker wants TLS.
            on_up: see above.
            on_down: see above.
            on_message: what to listen to: one line a topic.
            bounds: what is known of the time before the first receipt (`Floor.bounds`).
            monotonic_s: the unit's monotonic clock, to which the bounds refer.

        Raises:
            ConfigError: the certificates cannot be used.
        """
        self._unit, self._broker = unit, broker
        self._on_up, self._on_down = on_up, on_down
        self._on_message = {topic.of(unit): heard for topic, heard in on_message.items()}
        self._wanted = [(topic.of(unit), topic.qos) for topic in on_message]
        self._leaving = threading.Event()
        self._pauses = Pauses()
        self._up_since_s: float | None = None
        self._is_distrusted = False
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=unit, clean_session=False, protocol=mqtt.MQTTv311
        )
        self._tls = CheckedTls(folder, bounds, monotonic_s) if broker.tls else None
        if self._tls is not None:
            self._client.tls_set_context(self._tls.context)
        self._client.reconnect_delay_set(0, 0)  # the pauses are ours, see `_pause`
        self._client.on_pre_connect = self._before_connect
        self._client.on_socket_open = self._opened
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._failed
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._heard

    def start(self) -> None:
        """Begin to connect."""
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=self._broker.keepalive_s)
        self._client.loop_start()

    def send(self, data: bytes) -> bool:
        """Hand one batch to the network; False where there is none."""
        info = self._client.publish(BATCH.of(self._unit), data, qos=BATCH.qos)
        return info.rc == mqtt.MQTT_ERR_SUCCESS

    def told(self, bounds: TimeBounds) -> bool:
        """A signed receipt came, and the time is known within `bounds` now.

        Returns:
            Whether the connection's certificates are valid by them. If not it is dropped, and the bounds do not count.
        """
        if self._tls is None or self._tls.told(bounds):
            return True
        self._is_distrusted = True
        self._drop()
        return False

    @property
    def tls_facts(self) -> TlsFacts | None:
        """For the status; None without TLS."""
        return None if self._tls is None else self._tls.facts

    def stop(self) -> None:
        """Leave; what is under way is sent again next time."""
        self._leaving.set()
        self._client.disconnect()
        leaving = threading.Thread(target=self._client.loop_stop, daemon=True)
        leaving.start()
        leaving.join(_LEAVE_S)

    def _drop(self) -> None:
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            # Not SSLSocket.shutdown, which first forgets its encryption while the network thread may be writing.
            try:
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            except OSError as error:
                log.debug("the connection was gone already: %s", error)

    def _pause(self) -> None:
        self._leaving.wait(self._pauses.next_s())

    def _before_connect(self, _client: mqtt.Client, _data: object) -> None:
        if self._leaving.is_set():
            raise ConnectionAbortedError("leaving")

    def _opened(self, _client: mqtt.Client, _data: object, connection: object) -> None:
        if isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)
        if self._leaving.is_set():
            self._drop()

    def _failed(self, _client: mqtt.Client, _data: object) -> None:
        if self._leaving.is_set():
            return
        error = sys.exc_info()[1]  # paho calls this while it handles the error, and does not hand it over
        log.info("no broker at %s:%d yet: %s", self._broker.host, self._broker.port, error)
        hung_up = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))  # a broker that is just starting
        self._pauses.failed(refused=isinstance(error, ssl.SSLError) and not hung_up)
        self._pause()

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if self._leaving.is_set():
            return
        if reason.is_failure:
            log.warning("the broker at %s:%d refuses this unit: %s", self._broker.host, self._broker.port, reason)
            return
        log.info("connected to the broker at %s:%d", self._broker.host, self._broker.port)
        self._up_since_s = time.monotonic()
        client.subscribe(self._wanted)
        self._on_up()

    def _disconnected(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        was_up_s, self._up_since_s = self._up_since_s, None
        if was_up_s is not None and time.monotonic() - was_up_s >= _STEADY_S:
            self._pauses.held()
        self._pauses.failed(refused=was_up_s is None or self._is_distrusted)
        self._is_distrusted = False
        if self._leaving.is_set():
            return
        log.info("the connection ended: %s", reason)
        if was_up_s is not None:
            self._on_down()
        self._pause()

    def _heard(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        heard = self._on_message.get(message.topic)
        if heard is None or self._leaving.is_set():
            return
        try:
            heard(bytes(message.payload))
        except Exception:  # paho's thread would end with it, and nobody would notice
            log.exception("a message on %s could not be handled", message.topic)
