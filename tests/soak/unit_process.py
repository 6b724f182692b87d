"""The agent as a process whose clocks are steered and whose sealed batches are written down from beside.

    python -m tests.soak.unit_process --config UNIT.TOML --wheel FILE --truth FILE

What it changes at the agent, and nothing else:

- its clock is a `SteeredClock`;
- each batch that the outbox has taken is noted in the truth file, after `put` has returned, by one write: what was
  noted outlives kill -9, and is what the server must end up with;
- the pauses between two attempts to connect are a twentieth of what they are: the soak has minutes, a car has years.
"""

import argparse
import contextlib
import functools
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edge_agent import running
from edge_agent.agent import Agent
from edge_agent.batch import Sealed
from edge_agent.network import uplink
from edge_agent.service import logs
from edge_agent.store.outbox import Outbox
from tests.soak.steering import SteeredClock

PAUSES_FASTER = 20
_PAUSES = ("_SHORTEST_PAUSE_S", "_LONGEST_PAUSE_S", "_LONGEST_PAUSE_REFUSED_S", "_STEADY_S")


def truth_line(boot: bytes, sequence: int, samples: int, data: bytes) -> str:
    """What is noted of a batch."""
    return f"{boot.hex()} {sequence} {samples} {hashlib.sha256(data).hexdigest()}\n"


def note_batches(truth: Path) -> None:
    """From now on every outbox notes what it has taken."""
    descriptor = os.open(truth, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    put, waiting = Outbox.put, list[str]()

    def noting(self: Outbox, sealed: Iterable[Sealed], *further: Any, **named: Any) -> Any:
        batches = list(sealed)
        taken = put(self, batches, *further, **named)
        waiting.extend(truth_line(self.boot, each.sequence, each.samples, each.data) for each in batches)
        with contextlib.suppress(OSError):  # where the harness lets no file grow: with the next batch
            if waiting:
                os.write(descriptor, "".join(waiting).encode())
                waiting.clear()
        return taken

    Outbox.put = noting  # type: ignore[method-assign]


def main() -> int:
    """Run until a signal, as `pledgewatch-agent run` does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("--config", "--wheel", "--truth"):
        parser.add_argument(name, type=Path, required=True)
    told = parser.parse_args()
    logs.set_up(verbose=False, as_json=False)
    note_batches(told.truth)
    for name in _PAUSES:
        setattr(uplink, name, getattr(uplink, name) / PAUSES_FASTER)
    vars(running)["Agent"] = functools.partial(Agent, clock=SteeredClock(told.wheel))
    return running.run(told.config)


if __name__ == "__main__":
    raise SystemExit(main())
