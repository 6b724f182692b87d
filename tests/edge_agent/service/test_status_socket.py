"""The running agent, asked through its folder."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import edge_agent.service.status_socket as module
from edge_agent.service.status_socket import NoAgentError, StatusSocket, ask_agent

Reply = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    deep = tmp_path / ("d" * 100) / ("e" * 100)  # longer than a socket's path may be
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def answering(folder: Path) -> Iterator[StatusSocket]:
    asked: list[int] = []

    def ask(reply: Reply) -> None:
        asked.append(1)
        threading.Thread(target=reply, args=({"unit": "PW1", "time": len(asked), "text": "停车"},)).start()

    status = StatusSocket(folder, ask)
    status.start()
    yield status
    status.stop()


def test_each_question_is_answered_anew(folder: Path, answering: StatusSocket) -> None:
    assert [ask_agent(folder)["time"] for _ in range(3)] == [1, 2, 3]
    assert ask_agent(folder)["text"] == "停车"


def test_whoever_hangs_up_or_says_nothing_disturbs_nobody(folder: Path, answering: StatusSocket) -> None:
    for _ in range(3):
        with module._reachable(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as way:
            way.connect(path)
    assert ask_agent(folder)["unit"] == "PW1"


def test_after_the_end_nobody_answers(folder: Path, answering: StatusSocket) -> None:
    answering.stop()
    assert list(folder.iterdir()) == []
    with pytest.raises(NoAgentError, match="no agent runs in"):
        ask_agent(folder)


def test_a_socket_left_by_a_killed_agent_is_taken_over(folder: Path) -> None:
    with module._reachable(folder) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(path)
    with pytest.raises(NoAgentError, match="does not answer"):
        ask_agent(folder)
    status = StatusSocket(folder, lambda reply: reply({"unit": "PW2"}))
    status.start()
    assert ask_agent(folder) == {"unit": "PW2"}
    status.stop()


def test_a_loop_that_hangs_is_told_from_one_that_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.2)
    status = StatusSocket(folder, lambda reply: None)
    status.start()
    assert "did not answer within 0.2 s" in ask_agent(folder)["stuck"]
    status.stop()


def test_a_folder_that_takes_no_socket_stops_no_agent(tmp_path: Path) -> None:
    status = StatusSocket(tmp_path / "nowhere", lambda reply: None)
    status.start()
    status.stop()
