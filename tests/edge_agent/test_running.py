"""Agents one after the other in one process, and one process in one folder."""

import os
from pathlib import Path

import pytest

from edge_agent.config import ConfigError
from edge_agent.running import only_one


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
