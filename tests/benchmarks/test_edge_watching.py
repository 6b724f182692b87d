"""What the benchmark sees of other processes' databases."""

import json
import sqlite3
import time
from pathlib import Path

from benchmarks.edge_parts.stand import wait
from benchmarks.edge_parts.watching import EventRows, NewestDurable
from edge_agent.store.outbox import Outbox
from wire.codec import encode_body
from wire.records import Body, Sample, TimeQuality


def test_a_committed_event_is_seen_and_one_that_is_not_committed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "server.db"
    with sqlite3.connect(path) as db:
        db.execute("pragma journal_mode = wal")
        db.execute("create table events(id integer primary key, kind text, details text, arrived_ms integer)")
    db = sqlite3.connect(path, isolation_level=None)
    rows = EventRows(path)
    insert = "insert into events(kind, details, arrived_ms) values(?, ?, ?)"
    arrived_ms = time.time() * 1000 - 100
    db.execute(insert, ("trouble_codes", json.dumps({"codes": "P0001 P3FFF"}), arrived_ms))
    assert wait(lambda: ("trouble_codes", "P0001 P3FFF") in rows.seen, 10.0)
    first = rows.seen["trouble_codes", "P0001 P3FFF"]
    db.execute("begin")
    db.execute(insert, ("model_told", json.dumps({"time_ms": "17"}), arrived_ms))
    db.execute("rollback")
    db.execute(insert, ("model_told", json.dumps({"time_ms": "18"}), arrived_ms))
    assert wait(lambda: ("model_told", "18") in rows.seen, 10.0)
    rows.stop()
    db.close()
    assert ("model_told", "17") not in rows.seen
    assert rows.seen["trouble_codes", "P0001 P3FFF"] is first
    assert first.visible_s - first.arrived_s >= 0.1


def test_the_newest_durable_sample_is_the_journals_or_the_last_batchs(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    outbox = Outbox.create(path, 1)
    watch = NewestDurable(path)
    body = encode_body(Body(1, (Sample(time.monotonic() - 7.0, None, TimeQuality.NONE),)))
    outbox.put((), body)
    assert wait(lambda: len(watch.ages_s) > 0, 10.0)
    watch.stop()
    outbox.close()
    assert 6.9 < watch.ages_s[0] < 17.0
