"""Commands in the store: signed once, sent until answered, answered with the batch, and never across lenders."""

import secrets
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert, select, update

from server.command_sending import due_messages, send_again
from server.commanding import MOST_OPEN, OrderRefusedError, checked_order
from server.live import take
from server.store import command_rows, fleet_rows, people_rows
from server.store.command_rows import CommandRow, Issuer
from server.store.db import Store
from server.store.tables import commands, events, units, users
from tests.server.cars import NOW_MS, Car, add_car, everything, put_into
from wire.commands import Command
from wire.records import Event, TimeQuality
from wire.seal import open_command
from wire.topics import COMMAND

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
LOCATE = checked_order("locate", {}, "客户失联两天")
HOUR_MS = 3_600_000


@pytest.fixture
def car(store: Store) -> Car:
    return add_car(store)


def issue(car: Car, order: object = LOCATE, now_ms: int = NOW_MS, lender_id: int | None = None) -> bytes:
    command_id = secrets.token_bytes(16)
    with car.store.write() as connection:
        by = Issuer("wang")
        command_rows.issue(connection, lender_id or car.lender_id, car.name, order, by, command_id, now_ms)  # type: ignore[arg-type]
    return command_id


def listed(car: Car, **which: object) -> list[CommandRow]:
    with car.store.read() as connection:
        return command_rows.commands_of(connection, car.lender_id, **which)  # type: ignore[arg-type]


def told(command_id: bytes, outcome: str = "done", reason: str = "") -> Event:
    details = {"id": command_id.hex(), "kind": "locate", "outcome": outcome, "reason": reason}
    return Event("command_answer", 1, NOW_MS, TimeQuality.GNSS, details)


def test_an_order_is_kept_with_who_gave_it_and_why(car: Car) -> None:
    with car.store.write() as connection:
        people_rows.put_user(connection, car.lender_id, f"wang-{car.name}", "correct horse")
        user_id = connection.scalar(select(users.c.id).where(users.c.lender_id == car.lender_id))
        order = checked_order("follow", {"minutes": "30"}, "客户失联两天", HOUR_MS)
        by = Issuer("wang", user_id)
        command_rows.issue(connection, car.lender_id, car.name, order, by, b"i" * 16, NOW_MS)
    [row] = car.rows(commands)
    assert (row["user_id"], row["vehicle_id"], row["unit_id"]) == (user_id, car.vehicle_id, car.unit_id)
    [line] = listed(car)
    assert line == CommandRow(
        lender=line.lender,
        unit=car.name,
        command_id=b"i" * 16,
        kind="follow",
        parameters={"minutes": "30", "every_s": "10"},
        issued_by="wang",
        reason="客户失联两天",
        issued_ms=NOW_MS,
        expires_ms=NOW_MS + HOUR_MS,
        sends=0,
        sent_ms=None,
        answered_ms=None,
        outcome=None,
        answer="",
    )


def test_nobody_commands_another_lenders_unit(car: Car) -> None:
    other = add_car(car.store)
    before = everything(car.store)
    with pytest.raises(OrderRefusedError, match="no active unit of this lender"):
        issue(car, lender_id=other.lender_id)
    assert everything(car.store) == before


def test_a_retired_or_unknown_unit_is_not_commanded(car: Car) -> None:
    with car.store.write() as connection:
        connection.execute(update(units).where(units.c.id == car.unit_id).values(active=False))
    with pytest.raises(OrderRefusedError, match="no active unit"):
        issue(car)
    with pytest.raises(OrderRefusedError, match="no active unit"):
        issue(replace(car, name="NOBODY"))


def test_open_commands_are_bounded(car: Car) -> None:
    ids = [issue(car) for _ in range(MOST_OPEN)]
    with pytest.raises(OrderRefusedError, match="20 commands without an answer"):
        issue(car)
    take(car.store, [car.seal(events=[told(ids[0])])], NOW_MS)
    issue(car)
    with pytest.raises(OrderRefusedError):
        issue(car)
    issue(car, now_ms=NOW_MS + LOCATE.life_ms)  # the others have expired
    issue(add_car(car.store))


# -- sending


def test_signed_once_and_sent_again_byte_for_byte(car: Car) -> None:
    command_id = issue(car)
    [(topic, payload)] = due_messages(car.store, KEY, NOW_MS)
    assert topic == COMMAND.of(car.name)
    expected = Command(car.name, command_id, NOW_MS, NOW_MS + LOCATE.life_ms, "locate", {})
    assert open_command(payload, car.name, [KEY.public_key()]) == expected
    assert due_messages(car.store, KEY, NOW_MS + 29_999) == []
    other_key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    assert due_messages(car.store, other_key, NOW_MS + 30_000) == [(topic, payload)]
    assert due_messages(car.store, KEY, NOW_MS + 89_999) == []
    assert due_messages(car.store, KEY, NOW_MS + 90_000) == [(topic, payload)]
    [line] = listed(car)
    assert (line.sends, line.sent_ms) == (3, NOW_MS + 90_000)


def test_nothing_is_due_once_it_has_expired(car: Car) -> None:
    issue(car)
    assert due_messages(car.store, KEY, NOW_MS + LOCATE.life_ms) == []
    assert len(due_messages(car.store, KEY, NOW_MS + LOCATE.life_ms - 1)) == 1
    [row] = car.rows(commands)
    assert row["next_send_ms"] is None


def test_a_retired_unit_is_sent_nothing(car: Car) -> None:
    issue(car)
    with car.store.write() as connection:
        connection.execute(update(units).where(units.c.id == car.unit_id).values(active=False))
    assert due_messages(car.store, KEY, NOW_MS) == []


def test_after_a_lost_connection_all_open_ones_are_due(car: Car) -> None:
    answered, early = issue(car), issue(car)
    assert len(due_messages(car.store, KEY, NOW_MS)) == 2
    take(car.store, [car.seal(events=[told(answered)])], NOW_MS)
    for n in (30_000, 90_000, 210_000):
        assert len(due_messages(car.store, KEY, NOW_MS + n)) == 1
    send_again(car.store, NOW_MS + 239_999)  # sent half a minute ago: on its way
    assert due_messages(car.store, KEY, NOW_MS + 239_999) == []
    send_again(car.store, NOW_MS + 240_000)
    [(_, payload)] = due_messages(car.store, KEY, NOW_MS + 240_000)
    assert open_command(payload, car.name, [KEY.public_key()]).id == early
    assert {line.command_id: line.sends for line in listed(car)} == {answered: 1, early: 5}


# -- answers


def test_the_answer_is_stored_with_its_batch(car: Car) -> None:
    command_id, other = issue(car), issue(car)
    due_messages(car.store, KEY, NOW_MS)
    arrival = car.seal(events=[told(command_id, "refused", "expired"), told(command_id, "done")])
    take(car.store, [arrival, arrival], NOW_MS + 5)
    rows = {row["command_id"]: row for row in car.rows(commands)}
    row = rows[command_id]
    assert (row["outcome"], row["answer"], row["answered_ms"]) == ("refused", "expired", NOW_MS + 5)
    assert row["batch_id"] == car.rows(events)[0]["batch_id"]
    assert rows[other]["outcome"] is None
    assert [payload for _, payload in due_messages(car.store, KEY, NOW_MS + 60_000)] == [rows[other]["sealed"]]


def test_the_first_answer_stands(car: Car) -> None:
    command_id = issue(car)
    take(car.store, [car.seal(events=[told(command_id, "done")])], NOW_MS + 5)
    take(car.store, [car.seal(events=[told(command_id, "interrupted")])], NOW_MS + 6)
    [line] = listed(car)
    assert (line.outcome, line.answered_ms) == ("done", NOW_MS + 5)


def test_an_answer_after_expiry_still_counts(car: Car) -> None:
    command_id = issue(car)
    take(car.store, [car.seal(events=[told(command_id, "done")])], NOW_MS + 2 * LOCATE.life_ms)
    assert listed(car)[0].outcome == "done"


def test_a_unit_answers_only_for_itself(car: Car) -> None:
    command_id = issue(car)
    with car.store.write() as connection:
        name, key = "SISTER" + car.name, Ed25519PrivateKey.generate()
        unit_id = fleet_rows.put_unit(connection, car.lender_id, name, key.public_key(), NOW_MS)
    sister = Car(car.store, car.lender_id, unit_id, None, name, key)
    stranger = add_car(car.store)
    for liar in (sister, stranger):
        take(car.store, [liar.seal(events=[told(command_id)])], NOW_MS)
    assert listed(car)[0].outcome is None


def test_a_batch_that_is_refused_answers_nothing(car: Car) -> None:
    command_id = issue(car)
    good = car.seal(events=[told(command_id)])
    spoiled = replace(good, payload=good.payload[:-1] + bytes([good.payload[-1] ^ 1]))
    take(car.store, [spoiled], NOW_MS)
    assert listed(car)[0].outcome is None


# -- lists


def test_lists_name_their_lender(car: Car) -> None:
    other = add_car(car.store)
    first, second = issue(car), issue(car)
    theirs = issue(other)
    assert [line.command_id for line in listed(car)] == [second, first]
    assert [line.command_id for line in listed(car, limit=1)] == [second]
    assert [line.command_id for line in listed(other)] == [theirs]
    assert listed(car, unit=other.name) == []
    assert listed(car, vehicle_id=other.vehicle_id) == []
    assert len(listed(car, vehicle_id=car.vehicle_id)) == len(listed(car, unit=car.name)) == 2
    with car.store.read() as connection:
        assert [each.command_id for each in command_rows.all_commands(connection)] == [theirs, second, first]
        assert [each.command_id for each in command_rows.all_commands(connection, unit=other.name)] == [theirs]


def test_a_command_stays_with_the_vehicle_it_was_given_for(car: Car) -> None:
    issue(car)
    with car.store.write() as connection:
        new = put_into(connection, car.lender_id, car.unit_id, "LSVPW5000T2999999")
    assert len(listed(car, vehicle_id=car.vehicle_id)) == 1
    assert listed(car, vehicle_id=new) == []


def test_a_lender_is_found_and_never_made(car: Car) -> None:
    with car.store.read() as connection:
        before = everything(car.store)["lenders"]
        assert command_rows.lender_named(connection, "nobody") is None
        assert command_rows.lender_named(connection, listed_name(car)) == car.lender_id
        assert everything(car.store)["lenders"] == before


def listed_name(car: Car) -> str:
    issue(car)
    return listed(car)[0].lender


def test_two_commands_never_share_an_id(car: Car) -> None:
    command_id = issue(car)
    [row] = car.rows(commands)
    with pytest.raises(Exception, match=r"UNIQUE|unique"), car.store.write() as connection:
        connection.execute(insert(commands).values({**row, "id": row["id"] + 1, "command_id": command_id}))
