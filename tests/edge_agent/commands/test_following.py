"""Following goes on after a restart: a flicker of the supply must not end it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge_agent.commands.desk import CommandDesk
from edge_agent.commands.memory import CommandMemory
from edge_agent.commands.orders import Orders
from edge_agent.commands.overrides import Overrides
from edge_agent.config import SECTIONS, read_config, unit_toml
from edge_agent.pipeline import Pipeline
from edge_agent.store.kept import Following
from edge_agent.store.outbox import Outbox
from tests.edge_agent.commanding import KEYS, NOW_MS, UNIT, command, sealed
from tests.edge_agent.pipelines import pipeline_of

Start = Callable[..., tuple[Orders, Pipeline]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A run of the unit: its orders and its pipeline."""
    path = tmp_path / "unit.toml"
    path.write_text(unit_toml(UNIT, {"broker": {"host": "x"}}))
    outbox = Outbox.create(tmp_path / "outbox.db", 1)

    def started(following: Following | None = None) -> tuple[Orders, Pipeline]:
        pipeline = pipeline_of()
        desk = CommandDesk(UNIT, KEYS, CommandMemory(tmp_path / "commands.json"), SECTIONS)
        overrides = Overrides(tmp_path / "overrides.json")
        orders = Orders(read_config(path), desk, pipeline, outbox, overrides, dict, lambda: None, following=following)
        return orders, pipeline

    yield started
    outbox.close()


def test_it_goes_on_as_long_as_was_asked_for_once_the_servers_time_is_known(start: Start) -> None:
    orders, pipeline = start()
    orders.on_command(sealed(command("follow", {"minutes": "10", "every_s": "5"})), 1000.0, NOW_MS)
    assert pipeline.follows(1600.0)
    assert orders.following == Following(5, NOW_MS + 600_000)
    again, after = start(orders.following)  # the monotonic clock began anew
    assert again.on_server_time(7.0, None) == ()
    assert not after.follows(8.0)
    again.on_server_time(9.0, NOW_MS + 60_000)
    assert after.follows(9.0 + 540.0)
    assert not after.follows(9.0 + 540.5)
    assert again.following == orders.following


def test_what_is_over_or_was_cancelled_does_not_begin_again(start: Start) -> None:
    orders, _ = start()
    orders.on_command(sealed(command("follow", {"minutes": "10", "every_s": "5"})), 1.0, NOW_MS)
    over, pipeline = start(orders.following)
    over.on_server_time(9.0, NOW_MS + 600_001)
    assert not pipeline.follows(9.0)
    orders.on_command(sealed(command("cancel_follow")), 2.0, NOW_MS)
    assert orders.following is None


def test_a_locate_does_not_cut_a_follow_short(start: Start) -> None:
    orders, pipeline = start()
    orders.on_command(sealed(command("follow", {"minutes": "10", "every_s": "5"})), 0.0, NOW_MS)
    orders.on_command(sealed(command("locate")), 1.0, NOW_MS)
    assert pipeline.follows(600.0)


def test_the_status_is_sealed_and_handed_on_with_its_answer(start: Start) -> None:
    """A batch that is sealed and not handed on would leave a hole in the chain."""
    orders, _ = start()
    made = orders.on_command(sealed(command("status")), 1.0, NOW_MS)
    assert [each.sequence for each in made] == list(range(1, 1 + len(made)))
    assert len(made) == 2
