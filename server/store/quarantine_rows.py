"""Refused bytes: kept once each with their reason, counted however often they come, taken in again once that is mended.

A unit gone mad must not fill the disk: of one topic and reason MOST_KEPT different payloads are kept, and beyond that
they are only counted; `trim` bounds the whole.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from server.store.tables import quarantine, refusals
from wire.refused import RefusedError
from wire.seal import MAX_SEALED_BYTES

MOST_KEPT = 200


@dataclass(frozen=True, slots=True)
class QuarantineCount:
    """How often a reason came up, when last (UTC ms), and from how many units."""

    reason: str
    times: int
    last_ms: int
    units: int


@dataclass(frozen=True, slots=True)
class Refused:
    """One payload that was refused. `outcome` and `settled_ms` where it was taken in since; times UTC ms."""

    id: int
    topic: str
    reason: str
    detail: str
    size: int
    times: int
    first_ms: int
    last_ms: int
    settled_ms: int | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A payload that was kept whole and can be tried again."""

    id: int
    topic: str
    payload: bytes


def refuse(
    connection: Connection, lender_id: int | None, topic: str, payload: bytes, error: RefusedError, now_ms: int
) -> None:
    """Put the payload aside with its reason; the same one again only counts. Over-long payloads are kept cut."""
    digest = hashlib.sha256(payload).digest()
    topic, reason = topic[:200], str(error.reason)
    again = connection.execute(
        update(quarantine)
        .where(quarantine.c.digest == digest, quarantine.c.topic == topic, quarantine.c.reason == reason)
        .values(times=quarantine.c.times + 1, last_ms=now_ms, settled_ms=None, outcome=None)
    )
    of = and_(refusals.c.topic == topic, refusals.c.reason == reason)
    known = connection.execute(select(refusals.c.kept, refusals.c.last_ms).where(of).with_for_update()).first()
    is_kept = not again.rowcount and (known is None or known.kept < MOST_KEPT)
    if known is None:
        counted = {"topic": topic, "reason": reason, "lender_id": lender_id, "times": 1, "kept": int(is_kept)}
        connection.execute(insert(refusals).values(first_ms=now_ms, last_ms=now_ms, **counted))
    else:
        more = {"times": refusals.c.times + 1, "kept": refusals.c.kept + int(is_kept)}
        last_ms = max(known.last_ms, now_ms)
        connection.execute(update(refusals).where(of).values(last_ms=last_ms, lender_id=lender_id, **more))
    if is_kept:
        connection.execute(
            insert(quarantine).values(
                lender_id=lender_id,
                topic=topic,
                reason=reason,
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
    query = select(
        refusals.c.reason,
        func.sum(refusals.c.times).label("times"),
        func.max(refusals.c.last_ms),
        func.count(),
    )
    if lender_id is not None:
        query = query.where(refusals.c.lender_id == lender_id)
    rows = connection.execute(query.group_by(refusals.c.reason).order_by(func.sum(refusals.c.times).desc()))
    return [QuarantineCount(reason, int(times), last_ms, units) for reason, times, last_ms, units in rows]


def newest(connection: Connection, lender_id: int | None, limit: int = 50) -> list[Refused]:
    """Payloads that were refused last: of one lender, or all (the operator's view) where none is named."""
    columns = (quarantine.c[name] for name in Refused.__dataclass_fields__)
    query = select(*columns).order_by(quarantine.c.last_ms.desc(), quarantine.c.id.desc()).limit(limit)
    if lender_id is not None:
        query = query.where(quarantine.c.lender_id == lender_id)
    return [Refused(*row) for row in connection.execute(query)]


def waiting(
    connection: Connection, *, after_id: int, limit: int, reason: str | None = None, topic: str | None = None
) -> list[Waiting]:
    """Payloads that were kept whole and not taken in since, as they came: for the operator alone."""
    query = (
        select(quarantine.c.id, quarantine.c.topic, quarantine.c.bytes)
        .where(_is_open(), quarantine.c.id > after_id)
        .order_by(quarantine.c.id)
        .limit(limit)
    )
    if reason is not None:
        query = query.where(quarantine.c.reason == reason)
    if topic is not None:
        query = query.where(quarantine.c.topic == topic)
    return [Waiting(*row) for row in connection.execute(query)]


def settle(connection: Connection, ids: Sequence[int], outcome: str, now_ms: int) -> None:
    """These were taken in after all."""
    if ids:
        settled = update(quarantine).where(quarantine.c.id.in_(ids))
        connection.execute(settled.values(settled_ms=now_ms, outcome=outcome))


def trim(connection: Connection, most_bytes: int, before_ms: int) -> int:
    """Delete what is older, and the oldest where all together take more; what was refused how often stays known.

    Returns:
        How many payloads were deleted.
    """
    rows = connection.execute(
        select(quarantine.c.id, quarantine.c.last_ms, func.length(quarantine.c.bytes)).order_by(
            quarantine.c.last_ms.desc(), quarantine.c.id.desc()
        )
    )
    held, gone = 0, []
    for row_id, last_ms, size in rows:
        held += size
        if last_ms < before_ms or held > most_bytes:
            gone.append(row_id)
    for at in range(0, len(gone), 500):
        connection.execute(delete(quarantine).where(quarantine.c.id.in_(gone[at : at + 500])))
    if gone:  # there is room again for new ones of each kind
        of = and_(quarantine.c.topic == refusals.c.topic, quarantine.c.reason == refusals.c.reason)
        left = select(func.count()).where(of).select_from(quarantine).scalar_subquery()
        connection.execute(update(refusals).values(kept=left))
    return len(gone)


def _is_open() -> ColumnElement[bool]:
    return and_(quarantine.c.settled_ms.is_(None), quarantine.c.size == func.length(quarantine.c.bytes))
