"""Server-sent events: what the first one says, what later ones add, and when a stream ends."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from server.config import WebSettings
from server.store.db import Store
from server.web import live
from server.web.app import create_app
from server.web.live_cursor import FleetLooks, VehicleCursor
from server.web.services import services
from tests.server.web.conftest import NOW_MS, SECRET, VIN, log_in, token
from tests.server.web.test_vehicle_status import row
from tests.server.web.world import World, sample

AsUser = Callable[[str], FlaskClient]


@dataclass
class Message:
    """One server-sent event."""

    event: str
    id: str
    data: dict[str, Any]


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(live, "LOOK_AT_ALL_S", 0.05)


def messages(client: FlaskClient, path: str, last_id: str = "") -> Iterator[Message]:
    """The stream's events; comments and the retry line are passed over."""
    with client.get(path, headers={"Last-Event-ID": last_id} if last_id else {}) as answer:
        assert answer.status_code == 200
        assert answer.mimetype == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        for frame in answer.iter_encoded():
            lines = dict(line.split(": ", 1) for line in frame.decode().splitlines() if ": " in line)
            if "data" in lines:
                yield Message(lines["event"], lines["id"], json.loads(lines["data"]))


def drive_on(world: World, first_ms: int, count: int = 3, arrived_ms: int | None = None, **values: float) -> None:
    samples = [sample(first_ms + 1000 * i, 39.95 + i * 1e-4, 116.4, **values) for i in range(count)]
    world.hear("PW000001", samples, NOW_MS if arrived_ms is None else arrived_ms)


def test_the_first_event_of_all_vehicles(jia: FlaskClient) -> None:
    first = next(messages(jia, "/live/vehicles"))
    assert (first.event, first.id) == ("vehicles", str(NOW_MS))
    assert [each["vin"] for each in first.data["vehicles"]] == [VIN, "LHGCM56745A000888"]
    told = first.data["vehicles"][0]
    assert told["facts"]["speed"] == {"text": "62", "unit": "km/h"}
    assert told["facts"]["status"] == {"text": "行驶", "tone": "good"}
    assert (told["map_lat"], told["map_lon"]) == (39.9059, 116.4)


def test_later_events_hold_only_what_changed(app: Flask, jia: FlaskClient, world: World) -> None:
    stream = messages(jia, "/live/vehicles")
    next(stream)
    drive_on(world, NOW_MS, arrived_ms=NOW_MS + 4000, speed_mps=20.0)
    second = next(stream)
    assert [each["vin"] for each in second.data["vehicles"]] == [VIN]
    assert second.data["vehicles"][0]["facts"]["speed"]["text"] == "72"
    assert second.id == str(NOW_MS + 4000)
    world.add_vehicle("甲汽车金融", "LZWADAGA4F4123456")
    assert [each["vin"] for each in next(stream).data["vehicles"]] == ["LZWADAGA4F4123456"]
    services(app).now_ms = lambda: NOW_MS + 3_600_000
    quiet = next(stream).data["vehicles"]
    assert [each["status"] for each in quiet] == ["quiet_moving"]
    stream.close()


def test_a_browser_that_comes_back_is_sent_what_it_missed(jia: FlaskClient, world: World) -> None:
    long_ago = str(NOW_MS - 3_600_000)
    assert len(next(messages(jia, "/live/vehicles", long_ago)).data["vehicles"]) == 1
    later = str(NOW_MS + 3_600_000)
    assert next(messages(jia, "/live/vehicles", later)).data["vehicles"] == []
    assert next(messages(jia, f"/live/vehicles?since={later}")).data["vehicles"] == []


def test_the_first_event_of_one_vehicle(jia: FlaskClient, world: World) -> None:
    first = next(messages(jia, f"/live/vehicles/{world.vehicles[VIN]}"))
    assert (first.event, first.id) == ("vehicle", f"{NOW_MS - 1000}.60")
    assert first.data["vehicle"]["state"]["speed_mps"] == 17.22
    assert first.data["facts"]["voltage"] == {"text": "14.12", "unit": "V"}
    assert first.data["track"]["time_ms"] == []
    assert first.data["events"][0]["text"] == "读取到故障码"
    assert first.data["events"][0]["details"] == [["故障码", "P0420 <b>"]]


def test_one_vehicle_goes_on_and_a_reconnect_catches_up(jia: FlaskClient, world: World) -> None:
    path = f"/live/vehicles/{world.vehicles[VIN]}"
    stream = messages(jia, path)
    first = next(stream)
    drive_on(world, NOW_MS)
    second = next(stream)
    assert second.data["track"]["time_ms"] == [NOW_MS, NOW_MS + 1000, NOW_MS + 2000]
    assert second.data["history_grew"] is False
    stream.close()
    again = next(messages(jia, path, first.id))
    assert again.data["track"] == second.data["track"]
    assert again.data["history_grew"] is False
    assert next(messages(jia, path, second.id)).data["track"]["time_ms"] == []
    assert len(next(messages(jia, f"{path}?after={NOW_MS - 3000}")).data["track"]["time_ms"]) == 5


def test_a_backlog_is_told_as_grown_history(jia: FlaskClient, world: World) -> None:
    stream = messages(jia, f"/live/vehicles/{world.vehicles[VIN]}")
    next(stream)
    drive_on(world, NOW_MS - 7_200_000, arrived_ms=NOW_MS + 1)
    late = next(stream)
    assert late.data["history_grew"] is True
    assert late.data["track"]["time_ms"] == []
    stream.close()


def test_a_stream_ends_with_its_login(app: Flask, jia: FlaskClient, world: World) -> None:
    csrf = token(jia, "/vehicles")
    stream = messages(jia, "/live/vehicles")
    next(stream)
    assert jia.post("/logout", data={"csrf_token": csrf}).status_code == 303
    assert list(stream) == []


def test_a_stream_ends_when_its_person_is_switched_off(jia: FlaskClient, world: World) -> None:
    stream = messages(jia, "/live/vehicles")
    next(stream)
    with world.store.write() as connection:
        connection.execute(text("UPDATE users SET active = 0"))
    assert list(stream) == []


def test_a_stream_ends_after_its_time_with_the_server_and_with_the_store(
    app: Flask, jia: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = messages(jia, "/live/vehicles")
    next(stream)
    services(app).is_stopping = lambda: True
    assert list(stream) == []
    services(app).is_stopping = lambda: False
    monkeypatch.setattr(live, "LONGEST_S", 0.0)
    assert list(messages(jia, "/live/vehicles")) == []
    monkeypatch.undo()
    stream = messages(jia, "/live/vehicles")
    next(stream)
    services(app).store = Store("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    assert list(stream) == []


def test_an_idle_stream_sends_a_comment_now_and_again(jia: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.05)
    with jia.get("/live/vehicles") as answer:
        frames = answer.iter_encoded()
        assert [next(frames)[:6] for _ in range(2)] == [b"retry:", b"id: 17"]
        assert next(frames) == b":\n\n"


def test_live_pages_leave_threads_for_the_others(world: World) -> None:
    app = create_app(world.store, WebSettings(threads=4), SECRET)
    client = app.test_client()
    assert log_in(client, "jia") == 303
    streams = [client.get("/live/vehicles") for _ in range(2)]
    refused = client.get("/live/vehicles")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "15")
    for stream in streams:
        stream.close()  # never read: its place must come back all the same
    with client.get("/live/vehicles") as answer:
        assert answer.status_code == 200


def test_cursors_of_others_are_no_cursors() -> None:
    for odd in ("", "x", "1.2.3", "-1", "٣", "9" * 40, "1.", ".1"):
        assert VehicleCursor.parse(odd) == VehicleCursor()
    for odd in ("", "x", "-1", "9" * 40):
        assert FleetLooks.after(odd).since_ms is None
    assert VehicleCursor.parse("12.3") == VehicleCursor(12, 3)
    assert VehicleCursor.parse(str(VehicleCursor(12, 3))) == VehicleCursor(12, 3)


def test_a_browser_that_was_away_for_long_asks_for_the_track_again() -> None:
    cursor = VehicleCursor(1000, 5)
    assert cursor.history_grew(row(fix_time_ms=9_000, samples=9), points=4, oldest_ms=2000)
    assert not cursor.history_grew(row(fix_time_ms=9_000, samples=5), points=0, oldest_ms=2000)
    assert not cursor.history_grew(row(fix_time_ms=9_000, samples=9), points=4, oldest_ms=900)
    assert cursor.history_grew(row(fix_time_ms=9_000, samples=9), points=3, oldest_ms=900)
