"""Runs agents one after the other in this process until one is stopped: a changed setting begins the next."""

import contextlib
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from edge_agent.agent import Agent, Ended
from edge_agent.commands.overrides import Overrides
from edge_agent.config import ConfigError, read_config
from edge_agent.score import Scorer
from edge_agent.service.systemd import CrashGuard, Service, Started
from edge_agent.store.outbox_recovery import OutboxUnavailableError
from edge_agent.timing.system_clock import Clock

log = logging.getLogger(__name__)

_RETRY_S = 10.0
_FEED_S = 5.0


def run(settings: Path, scorer: Scorer | None = None, clock: Clock | None = None) -> int:
    """Run the unit of this unit.toml until a signal; the exit status.

    Args:
        settings: unit.toml.
        scorer: the model that judges each sample.
        clock: the machine's own unless given; a test bench steers another.

    Raises:
        ConfigError: it cannot run with these settings, or another agent runs in the folder.
    """
    config = read_config(settings)
    service, guard, stopping = Service(), CrashGuard(config.state_dir), threading.Event()
    make = Agent if clock is None else partial(Agent, clock=clock)
    running: list[Agent] = []

    def stop(*_: object) -> None:
        stopping.set()
        for each in running:
            each.stop()

    with only_one(config.state_dir):
        started = guard.begin(time.monotonic())
        if started.in_a_row:
            log.warning("%d starts in a row did not last; %s", started.in_a_row, "safe" if started.is_safe else "full")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        while not stopping.is_set():
            overrides = {} if started.is_safe else Overrides(config.state_dir / "overrides.json").values
            config = read_config(settings, overrides)
            try:
                agent = make(config, service=service, guard=guard, started=started, scorer=scorer)
            except OutboxUnavailableError as error:
                log.error("%s; trying again every %.0f s", error, _RETRY_S)
                _wait(stopping, service)
                continue
            running[:] = [agent]
            if stopping.is_set():
                agent.stop()
            if agent.run() is Ended.DAMAGED:
                log.error("beginning anew")
            started = Started(0, started.is_safe)
    return 0


def _wait(stopping: threading.Event, service: Service) -> None:
    """The service manager is told that we live: a full disk is no reason to be started again and again."""
    service.ready()
    for _ in range(round(_RETRY_S / _FEED_S)):
        service.alive(time.monotonic())
        if stopping.wait(_FEED_S):
            return


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the unit's folder; raises ConfigError where another agent holds it. The lock dies with the process."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not there; 'pledgewatch-agent provision --dir {folder} --unit NAME' makes it")
    with (folder / "agent.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(f"an agent is already running in {folder} (process {file.read().strip()})") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
