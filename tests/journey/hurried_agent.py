"""`pledgewatch-agent run`, but that hours can be skipped: its clocks are ahead by the seconds that a file holds.

python -m tests.journey.hurried_agent UNIT.TOML FILE
"""

import functools
import sys
import time
from pathlib import Path

from edge_agent import running
from edge_agent.agent import Agent
from edge_agent.service import logs
from edge_agent.timing.system_clock import SystemClock


def ahead_s(file: Path) -> float:
    """How much was skipped; 0 while there is no file."""
    return float(file.read_text()) if file.exists() else 0.0


class SkippingClock(SystemClock):
    """The machine's clocks and what was skipped."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def monotonic_s(self) -> float:
        return time.monotonic() + ahead_s(self._file)

    def utc_ms(self) -> int:
        return super().utc_ms() + round(1000 * ahead_s(self._file))


if __name__ == "__main__":
    logs.set_up(verbose=False, as_json=False)
    vars(running)["Agent"] = functools.partial(Agent, clock=SkippingClock(Path(sys.argv[2])))
    sys.exit(running.run(Path(sys.argv[1])))
