"""The unit's MQTT connection: batches out, receipts in. The only agent file that imports paho.

What arrives is handed to callbacks from the network thread; deciding what to send is `sending.py`'s. A PUBACK means
nothing here: the broker may lose what it acknowledged, so only the server's signed receipt counts.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from edge_agent.config import BrokerConfig, ConfigError
from wire.topics import BATCH, RECEIPT

log = logging.getLogger(__name__)

_RETRY_S = (1, 60)
_LEAVE_S = 0.5  # the client's thread may sit in a connect that nobody answers for 5 s; it ends with the process
_DEAD_AFTER_MS = 60_000  # unacknowledged bytes: found out by TCP, without paying for pings


class Uplink:
    """Connects, and connects again for as long as it runs; never blocks the caller.

    `on_up` is called when the broker has taken us in, `on_down` when the connection is lost, `on_receipt` with the
    bytes of each receipt; all three from the network thread.
    """

    def __init__(
        self,
        unit: str,
        broker: BrokerConfig,
        folder: Path,
        on_up: Callable[[], None],
        on_down: Callable[[], None],
        on_receipt: Callable[[bytes], None],
    ) -> None:
        self._unit, self._broker = unit, broker
        self._on_up, self._on_down, self._on_receipt = on_up, on_down, on_receipt
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=unit, clean_session=False, protocol=mqtt.MQTTv311
        )
        if broker.tls:
            self._client.tls_set_context(_tls(folder))
        self._client.reconnect_delay_set(*_RETRY_S)
        self._client.on_socket_open = _watch_over
        self._client.on_connect = self._connected
        self._client.on_connect_fail = lambda *_: log.info("no broker at %s:%d yet", broker.host, broker.port)
        self._client.on_disconnect = self._disconnected
        self._client.on_message = lambda _client, _data, message: self._on_receipt(bytes(message.payload))

    def start(self) -> None:
        """Begin to connect."""
        self._client.connect_async(self._broker.host, self._broker.port, keepalive=self._broker.keepalive_s)
        self._client.loop_start()

    def send(self, data: bytes) -> bool:
        """Hand one batch to the network; False where there is none."""
        info = self._client.publish(BATCH.of(self._unit), data, qos=BATCH.qos)
        return info.rc == mqtt.MQTT_ERR_SUCCESS

    def stop(self) -> None:
        """Leave; what is under way is sent again next time."""
        self._client.disconnect()
        leaving = threading.Thread(target=self._client.loop_stop, daemon=True)
        leaving.start()
        leaving.join(_LEAVE_S)

    def _connected(
        self, client: mqtt.Client, _data: object, _flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            log.warning("the broker at %s:%d refuses this unit: %s", self._broker.host, self._broker.port, reason)
            return
        log.info("connected to the broker at %s:%d", self._broker.host, self._broker.port)
        client.subscribe(RECEIPT.of(self._unit), qos=RECEIPT.qos)
        self._on_up()

    def _disconnected(
        self,
        _client: mqtt.Client,
        _data: object,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _properties: object,
    ) -> None:
        log.info("the connection ended: %s", reason)
        self._on_down()


def _watch_over(_client: mqtt.Client, _data: object, connection: object) -> None:
    if isinstance(connection, socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_AFTER_MS)


def _tls(folder: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
        context.load_cert_chain(folder / "unit.crt", folder / "unit.key")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates in {folder} cannot be used: {error}") from None
    return context
