"""Signals that end the work and not the process, so that what was done is whole and is told."""

import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def until_signalled() -> Iterator[Callable[[], bool]]:
    """Within, SIGINT, SIGTERM and SIGHUP do not kill: the function tells whether one came."""
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda caught, _frame: came.append(caught)) for number in numbers]
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
