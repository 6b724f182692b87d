"""Losses as the outbox writes them down: joined where they touch, and never written twice."""

from collections.abc import Collection, Iterator

from sqlite_utils import Database

from edge_agent.store import outbox_file as form
from wire.records import Gap


def write_down(db: Database, gap: Gap, handed_out: Collection[int]) -> None:
    """Write a loss down; it joins the one before it while that is not handed out to be declared."""
    before = db.execute(
        'select id, "first", samples from gaps where told_in is null and boot = ? and reason = ? and "last" = ? '
        "order by id desc limit 1",
        [gap.boot, gap.reason, gap.first - 1],
    ).fetchone()
    if before is not None and before[0] not in handed_out:
        gap = Gap(gap.boot, before[1], gap.last, before[2] + gap.samples, gap.reason)
        db.execute("delete from gaps where id = ?", [before[0]])
    form.add_gap(db, gap)


def not_written_down(db: Database, boot: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Stretches of the sequences `first` to `last` of which no loss is written down."""
    told = 'select "first", "last" from gaps where boot = ? and "last" >= ? and "first" <= ? order by "first"'
    missing = first
    for begin, end in db.execute(told, [boot, first, last]).fetchall():
        if begin > missing:
            yield missing, begin - 1
        missing = max(missing, end + 1)
    if missing <= last:
        yield missing, last
