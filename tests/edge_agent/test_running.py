"""Agents one after the other in one process, and one process in one folder."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent import Ended
from edge_agent.commands.overrides import Overrides
from edge_agent.config import ConfigError, UnitConfig
from edge_agent.running import only_one, run
from edge_agent.service.systemd import CrashGuard, Service, Started
from edge_agent.store.outbox_recovery import OutboxUnavailableError


@dataclass
class Made:
    """Of Agent's shape, one that was made; `run` does what the test says."""

    config: UnitConfig
    started: Started
    runs: Callable[["Made"], Ended]
    service: Service
    guard: CrashGuard
    is_stopped: bool = False

    def run(self) -> Ended:
        return self.runs(self)

    def stop(self) -> None:
        self.is_stopped = True


@dataclass
class Agents:
    """All agents of a process; `lives` are their runs, in order, or what making one raises."""

    lives: list[Callable[[Made], Ended] | Exception]
    made: list[Made] = field(default_factory=list)

    def __call__(
        self, config: UnitConfig, *, service: Service, guard: CrashGuard, started: Started, scorer: object
    ) -> Made:
        life = self.lives.pop(0)
        if isinstance(life, Exception):
            raise life
        self.made.append(Made(config, started, life, service, guard))
        return self.made[-1]


def again(_made: Made) -> Ended:
    return Ended.AGAIN


def damaged(_made: Made) -> Ended:
    return Ended.DAMAGED


def until_signalled(made: Made) -> Ended:
    os.kill(os.getpid(), signal.SIGTERM)
    assert made.is_stopped
    return Ended.STOPPED


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Path]:
    """A unit.toml; signals are as before afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    path = tmp_path / "unit.toml"
    path.write_text('unit = "PW000001"\n[gnss]\n[broker]\nhost = "localhost"\n')
    yield path
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def agents(monkeypatch: pytest.MonkeyPatch) -> Agents:
    agents = Agents([])
    monkeypatch.setattr("edge_agent.running.Agent", agents)
    return agents


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """A service manager: what it was told since it was asked last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"}
        monkeypatch.setattr("edge_agent.running.Service", lambda: Service(told))

        def said() -> list[str]:
            words: list[str] = []
            try:
                while True:
                    words.append(heard.recv(100).decode())
            except BlockingIOError:
                return words

        yield said


def change(settings: Path, text: str) -> Callable[[Made], Ended]:
    """A run in which the server changes [batch] samples."""

    def changed(_made: Made) -> Ended:
        Overrides(settings.parent / "overrides.json").put("batch", "samples", text)
        return Ended.AGAIN

    return changed


# One after the other


def test_each_agent_has_the_settings_as_they_are_when_it_begins(settings: Path, agents: Agents) -> None:
    agents.lives = [change(settings, "7"), change(settings, "8"), until_signalled]
    assert run(settings) == 0
    assert [made.config.batch.samples for made in agents.made] == [60, 7, 8]


def test_a_damaged_outbox_begins_the_next_agent(settings: Path, agents: Agents) -> None:
    agents.lives = [damaged, until_signalled]
    assert run(settings) == 0
    assert len(agents.made) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_that_runs_now_and_begins_no_other(
    settings: Path, agents: Agents, number: signal.Signals
) -> None:
    def signalled(made: Made) -> Ended:
        os.kill(os.getpid(), number)
        return Ended.STOPPED if made.is_stopped else Ended.AGAIN

    agents.lives = [again, signalled]
    assert run(settings) == 0


def test_a_signal_while_an_agent_is_being_made_ends_it(
    settings: Path, agents: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(*arguments: Any, **named: Any) -> Made:
        os.kill(os.getpid(), signal.SIGTERM)
        return agents(*arguments, **named)

    def ends_at_once(made: Made) -> Ended:
        assert made.is_stopped
        return Ended.STOPPED

    monkeypatch.setattr("edge_agent.running.Agent", signalled)
    agents.lives = [ends_at_once]
    assert run(settings) == 0


def test_a_signal_between_two_agents_is_not_lost(settings: Path, agents: Agents) -> None:
    def changed_and_signalled(_made: Made) -> Ended:
        os.kill(os.getpid(), signal.SIGTERM)
        return Ended.AGAIN  # it had already decided to begin anew

    agents.lives = [changed_and_signalled]
    assert run(settings) == 0


def test_settings_that_cannot_be_used_end_the_process_and_free_the_folder(settings: Path, agents: Agents) -> None:
    agents.lives = [ConfigError("the certificates cannot be used")]
    with pytest.raises(ConfigError, match="certificates"):
        run(settings)
    with only_one(settings.parent):
        pass


# A disk that takes nothing


def test_while_the_disk_takes_nothing_it_is_tried_again_and_the_service_manager_is_content(
    settings: Path, agents: Agents, manager: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_agent.running._RETRY_S", 0.02)
    monkeypatch.setattr("edge_agent.running._FEED_S", 0.01)
    full = OutboxUnavailableError("the disk is full")
    agents.lives = [full, full, until_signalled]
    assert run(settings) == 0
    assert len(agents.made) == 1
    said = manager()
    assert said[:2] == ["READY=1", "WATCHDOG=1"], "or it would be started again and again"


def test_a_signal_ends_the_wait_for_a_disk(settings: Path, agents: Agents, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_and_signalled(*_: Any, **__: Any) -> Made:
        os.kill(os.getpid(), signal.SIGTERM)
        raise OutboxUnavailableError("the disk is full")

    monkeypatch.setattr("edge_agent.running._RETRY_S", 1200.0)  # the test's own time would be over
    monkeypatch.setattr("edge_agent.running._FEED_S", 600.0)
    monkeypatch.setattr("edge_agent.running.Agent", full_and_signalled)
    assert run(settings) == 0


# After crashes


def crashed(settings: Path, times: int) -> None:
    (settings.parent / "starts.json").write_text(json.dumps({"in_a_row": times}))


def test_after_a_crash_loop_what_the_server_changed_is_left_out(settings: Path, agents: Agents) -> None:
    Overrides(settings.parent / "overrides.json").put("batch", "samples", "7")
    crashed(settings, 9)
    agents.lives = [again, until_signalled]
    assert run(settings) == 0
    assert [made.config.batch.samples for made in agents.made] == [60, 60]
    assert [made.started for made in agents.made] == [Started(9, True), Started(0, True)]


def test_a_crash_or_two_change_nothing_but_are_told(settings: Path, agents: Agents) -> None:
    Overrides(settings.parent / "overrides.json").put("batch", "samples", "7")
    crashed(settings, 2)
    agents.lives = [until_signalled]
    assert run(settings) == 0
    assert [(made.config.batch.samples, made.started) for made in agents.made] == [(7, Started(2, False))]


def test_a_start_counts_before_anything_can_go_wrong(settings: Path, agents: Agents) -> None:
    for times in (1, 2, 3):
        agents.lives = [RuntimeError("a fault in an agent that is being made")]
        with pytest.raises(RuntimeError):
            run(settings)
        assert json.loads((settings.parent / "starts.json").read_text()) == {"in_a_row": times}


def test_a_second_process_is_no_crash_of_the_first(settings: Path, agents: Agents) -> None:
    with only_one(settings.parent), pytest.raises(ConfigError, match="already running"):
        run(settings)
    assert not (settings.parent / "starts.json").exists()


# One process in one folder


def test_the_folder_is_free_again_once_its_agent_has_ended(tmp_path: Path) -> None:
    with only_one(tmp_path):
        with pytest.raises(ConfigError, match=f"process {os.getpid()}"), only_one(tmp_path):
            pass
        with pytest.raises(ConfigError, match="already running"), only_one(tmp_path):
            pass
    with only_one(tmp_path):
        pass


def test_a_folder_that_is_not_there_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere is not there; 'pledgewatch-agent provision --dir"):
        only_one(tmp_path / "nowhere").__enter__()
