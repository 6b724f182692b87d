"""Refused bytes: kept once each with their reason, counted however often they come."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from server.store.tables import quarantine
from wire.refused import RefusedError
from wire.seal import MAX_SEALED_BYTES


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """How often a reason came up, and when last (UTC ms)."""

    reason: str
    times: int
    last_ms: int


def refuse(
    connection: Connection, lender_id: int | None, topic: str, payload: bytes, error: RefusedError, now_ms: int
) -> None:
    """Put the payload aside with its reason; the same one again only counts. Over-long payloads are kept cut."""
    digest = hashlib.sha256(payload).digest()
    topic = topic[:200]
    again = connection.execute(
        update(quarantine)
        .where(quarantine.c.digest == digest, quarantine.c.topic == topic, quarantine.c.reason == str(error.reason))
        .values(times=quarantine.c.times + 1, last_ms=now_ms)
    )
    if again.rowcount:
        return
    connection.execute(
        insert(quarantine).values(
            lender_id=lender_id,
            topic=topic,
            reason=str(error.reason),
            detail=error.detail[:300],
            digest=digest,
            bytes=payload[:MAX_SEALED_BYTES],
            size=len(payload),
            first_ms=now_ms,
            last_ms=now_ms,
            times=1,
        )
    )


def counts(connection: Connection, lender_id: int | None = None) -> list[QuarantineCount]:
    """Refusals by reason, most frequent first: of one lender, or all (the operator's view) where none is named."""
    query = select(quarantine.c.reason, func.sum(quarantine.c.times).label("times"), func.max(quarantine.c.last_ms))
    if lender_id is not None:
        query = query.where(quarantine.c.lender_id == lender_id)
    rows = connection.execute(query.group_by(quarantine.c.reason).order_by(func.sum(quarantine.c.times).desc()))
    return [QuarantineCount(reason, int(times), last_ms) for reason, times, last_ms in rows]
