"""What was refused, tried again: after a fix of ours, or once a unit was enrolled that came too early."""

from collections import Counter
from collections.abc import Callable, Iterator

from server.live import Arrival, Verdict, take
from server.store import quarantine_rows
from server.store.db import Store

_AT_ONCE = 100


def replay(
    store: Store,
    now_ms: Callable[[], int],
    *,
    reason: str | None = None,
    topic: str | None = None,
    progress: Callable[[Counter[str]], None] = lambda _: None,
) -> Counter[str]:
    """Take in what waits in quarantine, in the order in which it came, by the same rules as if it came now.

    A unit learns of it with its next receipt. What is refused again stays, under its reason of today.

    Args:
        store: where it waits.
        now_ms: the server's clock, UTC ms.
        reason: only what was refused for this reason.
        topic: only what came on this topic.
        progress: told after each hundred.

    Returns:
        How many were "stored", "redelivered" or "refused".
    """
    found: Counter[str] = Counter()
    for part in _parts(store, reason, topic):
        outcomes, _ = take(store, [Arrival(each.topic, each.payload) for each in part], now_ms())
        with store.write() as connection:
            for verdict in (Verdict.STORED, Verdict.REDELIVERED):
                ids = [each.id for each, outcome in zip(part, outcomes, strict=True) if outcome.verdict is verdict]
                quarantine_rows.settle(connection, ids, verdict.value, now_ms())
        found.update(outcome.verdict.value for outcome in outcomes)
        progress(found)
    return found


def _parts(store: Store, reason: str | None, topic: str | None) -> Iterator[list[quarantine_rows.Waiting]]:
    after_id = 0
    while True:
        with store.read() as connection:
            part = quarantine_rows.waiting(connection, after_id=after_id, limit=_AT_ONCE, reason=reason, topic=topic)
        if not part:
            return
        yield part
        after_id = part[-1].id
