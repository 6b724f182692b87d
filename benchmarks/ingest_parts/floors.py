"""What no ingest can beat: a client that throws the messages away, and a database that only takes the bytes."""

import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, Table, insert

from server.config import ServerSettings
from server.fleet.authority import INGEST_NAME
from server.setting_up import authority_folder
from server.store.db import Store
from wire.topics import BATCH

_BARE = Table(
    "bare_payloads",
    MetaData(),
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("sealed", LargeBinary, nullable=False),
)


def subscriber(
    settings: ServerSettings, *, subscribe_only: bool = False, wanted: int = 0, within_s: float = 120
) -> float:
    """Messages a second through one plain paho client that acknowledges and forgets them.

    Args:
        settings: where the broker is; the client shows the ingest's certificate and has its persistent session.
        subscribe_only: only make the session, so that the broker keeps for it what comes.
        wanted: how many wait in the broker.
        within_s: then it gives up.
    """
    came, first_s = 0, 0.0
    ready = False

    def on_message(*_: object) -> None:
        nonlocal came, first_s
        came += 1
        first_s = first_s or time.perf_counter()

    def on_subscribe(*_: object) -> None:
        nonlocal ready
        ready = True

    client = mqtt.Client(CallbackAPIVersion.VERSION2, INGEST_NAME, clean_session=False, protocol=mqtt.MQTTv311)
    folder = authority_folder(settings)
    client.tls_set_context(_context(folder))
    client.on_message, client.on_subscribe = on_message, on_subscribe
    client.connect("127.0.0.1", settings.broker.port, keepalive=60)
    client.subscribe(BATCH.everywhere(), qos=1)
    until_s = time.perf_counter() + within_s
    while came < wanted or (subscribe_only and not ready):
        client.loop(0.2)
        if time.perf_counter() > until_s:
            raise SystemExit(f"a plain subscriber got {came} of {wanted} messages in {within_s:.0f} s")
    took_s = time.perf_counter() - first_s
    client.disconnect()
    client.loop_write()
    return 0.0 if subscribe_only else came / took_s


def inserts(store: Store, payloads: Sequence[bytes], in_a_commit: int) -> float:
    """Rows a second, of the same bytes, in as durable commits as the store's."""
    with store.write() as connection:
        _BARE.drop(connection, checkfirst=True)
        _BARE.create(connection)
    began_s = time.perf_counter()
    for at in range(0, len(payloads), in_a_commit):
        with store.write() as connection:
            connection.execute(insert(_BARE), [{"sealed": each} for each in payloads[at : at + in_a_commit]])
    took_s = time.perf_counter() - began_s
    with store.write() as connection:
        _BARE.drop(connection)
    return len(payloads) / took_s


def _context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
    context.load_cert_chain(folder / f"{INGEST_NAME}.crt", folder / f"{INGEST_NAME}.key")
    return context
