"""Attacks on a running system: each is refused, counted, and changes nothing."""

import ssl
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent.identity import read_identity
from server.fleet.authority import INGEST_NAME
from server.setting_up import authority_folder
from tests.journey.world import World, until
from wire import telemetry_pb2 as pb
from wire.records import Body, Receipt, SequenceRange
from wire.seal import BATCH_PURPOSE, Identity, seal_batch, seal_receipt
from wire.topics import BATCH, RECEIPT

VICTIM, THIEF = "PW000001", "PW000002"


@contextmanager
def client(world: World, name: str, certificate: Path, key: Path, authority: Path) -> Iterator[mqtt.Client]:
    """A hand-made MQTT client with somebody's certificate."""
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(certificate, key)
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv311)
    made.tls_set_context(context)
    up = threading.Event()
    made.on_connect = lambda *_: up.set()
    made.connect("127.0.0.1", world.settings.broker.port)
    made.loop_start()
    assert up.wait(10)
    yield made
    made.disconnect()
    made.loop_stop()


@contextmanager
def as_unit(world: World, unit: str) -> Iterator[mqtt.Client]:
    folder = world.home / unit
    with client(world, unit, folder / "unit.crt", folder / "unit.key", folder / "authority.crt") as made:
        yield made


def publish(sender: mqtt.Client, topic: str, payload: bytes) -> None:
    sender.publish(topic, payload, qos=1).wait_for_publish(10)


def refused(world: World) -> dict[str, int]:
    return dict(world.rows("select reason, sum(times) from quarantine group by reason"))


def everything(world: World) -> list[list[tuple]]:
    """All that an attack must not change. That a boot's batches came again is counted beside it, and allowed."""
    tables = ("batches", "received_ranges", "vehicle_states", "events", "ledger_pending", "unit_counts")
    rows = [world.rows(f"select * from {table} order by 1, 2") for table in tables]
    return [*rows, world.rows("select id, unit_id, boot, number from boots order by 1")]


@pytest.fixture
def after_a_drive(world: World, synthetic_recording: Path) -> World:
    """The victim has driven and everything has arrived; the thief is another enrolled unit."""
    world.add_unit(VICTIM)
    world.add_unit(THIEF, vin="LSVPW500XT2000002")
    world.start("broker", "ingest", f"agent {VICTIM}")
    link = world.home / VICTIM / "gnss"
    world.play("sim", "replay", "--nmea", synthetic_recording, "--speed", "200", "--gnss-link", link)
    assert world.processes["sim"].wait(60) == 0
    world.stop(f"agent {VICTIM}")
    world.start(f"agent {VICTIM}")
    world.wait_for_drain(VICTIM)
    world.stop(f"agent {VICTIM}")
    until(lambda: len(world.rows("select 1 from batches")) > 10, 10, "the drive is stored")
    return world


def test_a_batch_under_another_units_name(after_a_drive: World) -> None:
    world = after_a_drive
    before = everything(world)
    ((captured,),) = world.rows("select sealed from batches where sequence = 3")
    key = read_identity(world.home / THIEF).key
    named = Identity(VICTIM, b"b" * 16, 99, 1)
    with as_unit(world, THIEF) as thief:
        publish(thief, BATCH.of(VICTIM), captured)  # the broker drops it
        publish(thief, BATCH.of(THIEF), captured)  # not the thief's signature
        publish(thief, BATCH.of(THIEF), seal_batch(key, named, b"", Body(1)))  # his signature, the victim's name
        until(lambda: len(refused(world)) == 2, 10, "both are refused")
    assert refused(world) == {"signature": 1, "other_unit": 1}
    assert everything(world) == before


def test_a_replay_from_an_old_boot(after_a_drive: World) -> None:
    world = after_a_drive
    ((old,),) = world.rows("select sealed from batches where sequence = 3")
    for part in world.home.glob(f"{VICTIM}/outbox.db*"):
        part.unlink()
    world.start(f"agent {VICTIM}")
    until(lambda: len(world.rows("select 1 from boots")) == 2, 20, "a new boot has begun")
    world.wait_for_drain(VICTIM)
    world.stop(f"agent {VICTIM}")
    key = read_identity(world.home / VICTIM).key
    with as_unit(world, VICTIM) as replayer:
        publish(replayer, BATCH.of(VICTIM), old)  # the unit has declared where that boot ended: known, nothing new
        redelivered = "select redelivered from boots where number = 1"
        until(lambda: world.rows(redelivered) > [(0,)], 10, "it is counted as a redelivery")
    before = everything(world)
    unseen = seal_batch(key, Identity(VICTIM, b"never seen boot!", 1, 1), b"", Body(1))
    with as_unit(world, VICTIM) as replayer:
        publish(replayer, BATCH.of(VICTIM), unseen)
        publish(replayer, BATCH.of(VICTIM), unseen)
        until(lambda: refused(world).get("old_boot") == 2, 10, "a boot that the unit never declared is refused")
    assert refused(world) == {"old_boot": 2}
    assert everything(world) == before
    assert world.rows("select count(*) from quarantine") == [(1,)], "the same bytes are kept once"


def test_an_inflate_bomb(after_a_drive: World) -> None:
    world = after_a_drive
    before = everything(world)
    key = read_identity(world.home / VICTIM).key
    squeezer = zlib.compressobj(9)
    chunks = [squeezer.compress(bytes(1 << 20)) for _ in range(1024)]
    gigabyte = b"".join([*chunks, squeezer.flush()])
    squeezer = zlib.compressobj(9)
    small = b"".join([squeezer.compress(bytes(1 << 20)) for _ in range(12)] + [squeezer.flush()])
    ((boot, number, last),) = world.rows(
        "select boot, number, max(last) from boots join received_ranges on boot_id = id group by boot_id"
    )
    bombs = []
    for body in (gigabyte, small):
        content = pb.BatchContent(unit=VICTIM, boot=boot, boot_number=number, sequence=last + 5, link=b"l" * 16)
        content.body_zlib = body
        data = content.SerializeToString()
        sealed = pb.Sealed(version=1, content=data, signature=key.sign(BATCH_PURPOSE + data))
        bombs.append(sealed.SerializeToString())
    ingest = world.processes["ingest"].pid
    with as_unit(world, VICTIM) as bomber:
        publish(bomber, BATCH.of(VICTIM), bombs[1])
        until(lambda: refused(world) == {"inflates_too_far": 1}, 10, "the small bomb is refused")
        bomber.publish(BATCH.of(VICTIM), bombs[0], qos=1)  # over the broker's limit: it ends the connection
    assert everything(world) == before
    peak_kib = int(Path(f"/proc/{ingest}/status").read_text().split("VmHWM:")[1].split()[0])
    assert peak_kib < 200 * 1024
    assert world.processes["ingest"].poll() is None


def test_forged_receipts(after_a_drive: World, synthetic_recording: Path) -> None:
    """Even who may write on the receipt topic cannot make a car forget without the receipt key."""
    world = after_a_drive
    world.stop("ingest")
    connected = world.log("broker").count(f"as {VICTIM}")
    world.start(f"agent {VICTIM}")
    waiting = "select count(*) from batches where receipted_ms is null"
    until(lambda: world.outbox(VICTIM, waiting) != [(0,)], 10, "the restart is sealed")
    until(lambda: world.log("broker").count(f"as {VICTIM}") > connected, 10, "the agent hears the broker")
    ((boot,),) = world.rows("select boot from boots")
    forged = Receipt(VICTIM, boot, (SequenceRange(1, 10_000),), 1_800_000_000_000)
    folder = authority_folder(world.settings)
    certificate, key = folder / f"{INGEST_NAME}.crt", folder / f"{INGEST_NAME}.key"
    with client(world, INGEST_NAME, certificate, key, folder / "authority.crt") as insider:
        publish(insider, RECEIPT.of(VICTIM), seal_receipt(Ed25519PrivateKey.generate(), forged))
        publish(insider, RECEIPT.of(VICTIM), b"\x00garbage")
    with as_unit(world, THIEF) as thief:  # may not write receipts at all, not even his own
        publish(thief, RECEIPT.of(VICTIM), seal_receipt(Ed25519PrivateKey.generate(), forged))
    until(lambda: world.log(f"agent {VICTIM}").count("refused a receipt") >= 2, 10, "the agent refuses both")
    assert world.outbox(VICTIM, waiting) != [(0,)], "nothing was forgotten"
    world.start("ingest")
    world.wait_for_drain(VICTIM)
    world.stop(f"agent {VICTIM}")
    world.start(f"agent {VICTIM}")
    world.wait_for_drain(VICTIM)
    told = dict(world.rows("select name, value from unit_counts"))
    assert world.log(f"agent {VICTIM}").count("refused a receipt") == 2
    assert told.get("receipts.refused.signature") == 1
    assert told.get("receipts.refused.malformed") == 1
