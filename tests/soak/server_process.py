"""The server as a process whose clock is steered: where hours are skipped, they pass on the server too.

python -m tests.soak.server_process WHEEL ARGUMENT…       the arguments are those of `pledgewatch`
"""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

from server import __main__ as server
from server import bench_clock
from tests.soak.steering import SteeredClock


def main(wheel: Path, arguments: list[str]) -> int:
    """Run one command of the server."""
    clock = SteeredClock(wheel)
    steered = SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("_")})
    steered.time_ns = lambda: clock.utc_ms() * 1_000_000
    bench_clock.time = steered  # type: ignore[attr-defined,assignment]
    return server.main(arguments)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2:]))
