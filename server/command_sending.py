"""Open commands → messages for the broker: signed once, sent again byte for byte until there is an answer."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.commanding import next_send_ms
from server.store import command_rows
from server.store.db import Store
from wire.seal import seal_command
from wire.topics import COMMAND

_MOST_AT_ONCE = 100


def due_messages(store: Store, key: Ed25519PrivateKey, now_ms: int) -> list[tuple[str, bytes]]:
    """What is due now, as (topic, payload). It counts as sent: what is lost on the way comes up again later."""
    with store.read() as connection:
        if not command_rows.any_due(connection, now_ms):
            return []
    messages = []
    with store.write() as connection:
        for each in command_rows.due(connection, now_ms, _MOST_AT_ONCE):
            sealed = each.sealed or seal_command(key, each.command)
            again_ms = next_send_ms(each.sends + 1, now_ms, each.command.expires_ms)
            command_rows.set_sent(connection, each.id, sealed, again_ms, now_ms)
            messages.append((COMMAND.of(each.command.unit), sealed))
    return messages


def send_again(store: Store, now_ms: int) -> None:
    """After a lost connection: every open command that was not sent just now is due."""
    with store.write() as connection:
        command_rows.send_again(connection, now_ms)
