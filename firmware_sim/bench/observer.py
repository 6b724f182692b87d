"""The judge's ear: every batch of one unit, as the broker delivers it, its seal checked and its body read."""

import base64
import hashlib
import json
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from firmware_sim.bench.processes import BenchError
from wire.records import Body
from wire.refused import RefusedError
from wire.seal import Identity, open_seal, read_body
from wire.topics import BATCH


@dataclass(frozen=True, slots=True)
class Heard:
    """One batch: who and which, what it says, the SHA-256 of its bytes."""

    identity: Identity
    body: Body
    digest: str


class Observer:
    """Connected until `close`. What it hears waits until `take`; used from one thread besides the network's."""

    def __init__(self, folder: Path, unit: str, broker: str | None = None) -> None:
        """`folder` is what `pledgewatch observer` wrote. Raises BenchError where it cannot be used."""
        self._unit = unit
        try:
            told = json.loads((folder / "observer.json").read_text(encoding="utf-8"))
            self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(told["units"][unit]))
            host, port, tls = _address(broker, told["broker"])
            self._client = mqtt.Client(
                CallbackAPIVersion.VERSION2, client_id=told["name"], clean_session=False, protocol=mqtt.MQTTv311
            )
            if tls:
                context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
                context.load_cert_chain(folder / "observer.crt", folder / "observer.key")
                self._client.tls_set_context(context)
        except KeyError as error:
            raise BenchError(f"{folder} does not know {error}; write it again: pledgewatch observer") from None
        except (OSError, ValueError) as error:
            raise BenchError(f"{folder} cannot be used: {error}") from None
        self._guard = threading.Lock()
        self._heard: list[Heard | str] = []
        self._connected = threading.Event()
        self._client.reconnect_delay_set(min_delay=1, max_delay=4)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect_async(host, port, keepalive=30)
        self._client.loop_start()

    def wait(self, within_s: float) -> None:
        """Until the broker delivers. Raises BenchError where it does not."""
        if not self._connected.wait(within_s):
            raise BenchError(f"the broker did not let the observer read within {within_s:g} s")

    def take(self) -> list[Heard | str]:
        """What came since the last call; a text tells of a batch that was refused."""
        with self._guard:
            heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _data: object, _flags: object, code: ReasonCode, _props: object) -> None:
        if not code.is_failure:
            client.subscribe(BATCH.of(self._unit), qos=1)

    def _on_subscribe(self, _client: object, _data: object, _mid: int, codes: list[ReasonCode], _props: object) -> None:
        if not any(code.is_failure for code in codes):
            self._connected.set()

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        try:
            sealed = bytes(message.payload)
            opened = open_seal(sealed, self._unit, self._key)
            found: Heard | str = Heard(opened.identity, read_body(opened), hashlib.sha256(sealed).hexdigest())
        except RefusedError as error:
            found = str(error)
        with self._guard:
            self._heard.append(found)


def _address(url: str | None, told: dict[str, object]) -> tuple[str, int, bool]:
    if url is None:
        return str(told["host"]), int(str(told["port"])), bool(told["tls"])
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise BenchError(f"{url!r} is no broker: write mqtts://HOST:PORT")
    tls = parts.scheme == "mqtts"
    return parts.hostname, parts.port or (8883 if tls else 1883), tls
