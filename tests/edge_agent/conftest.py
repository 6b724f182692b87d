"""Fixtures of the whole agent (`whole_agent.py`)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.edge_agent.whole_agent import Broker, Program, Receiver, Running, Server, Unit, until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def unit(broker: Broker, receiver: Receiver, tmp_path: Path) -> Unit:
    return Unit(tmp_path, broker.port, receiver.port)


@pytest.fixture
def server(broker: Broker, unit: Unit) -> Iterator[Server]:
    server = Server(broker.port, unit)
    assert server.subscribed.wait(30)
    yield server
    server.close()


@pytest.fixture
def start(receiver: Receiver) -> Iterator[Callable[[Unit], Running]]:
    """Starts agents and sees to it that none stays."""
    with ExitStack() as stack:

        def started(unit: Unit) -> Running:
            receiver.put_a_mark()
            running = Running(unit)
            stack.callback(running.stop)
            receiver.wait_until_opened()
            until(unit.has_begun)
            return running

        yield started


@pytest.fixture
def launch(receiver: Receiver) -> Iterator[Callable[[Unit], Program]]:
    with ExitStack() as stack:

        def launched(unit: Unit) -> Program:
            receiver.put_a_mark()
            program = Program(unit)
            stack.callback(program.kill)
            receiver.wait_until_opened()
            until(unit.has_begun)
            return program

        yield launched


@pytest.fixture
def fast_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agents in threads end ten times as fast; those in processes tick once a second as they should."""
    monkeypatch.setattr("edge_agent.timing.ticks._TICK_S", 0.1)


@pytest.fixture
def lone_unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path, 1, "/dev/nowhere")
