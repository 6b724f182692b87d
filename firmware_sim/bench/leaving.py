"""Ctrl-C and SIGTERM end a run of stories without leaving anything behind: every program and folder of theirs goes.

Both become a SystemExit in the process that plays, so that what its `with` and `finally` promise is done. The processes
of a pool are told by the one that started them, and by the kernel where that one was killed.
"""

import ctypes
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_PR_SET_PDEATHSIG = 1  # prctl(2)
_STATUS = 128  # plus the number of the signal, as shells say it


def _leave(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not interrupt the tidying up
    raise SystemExit(_STATUS + number)


@contextmanager
def leaving_tidily() -> Iterator[None]:
    """While this holds, SIGTERM and SIGINT raise SystemExit with 143 or 130."""
    before = {number: signal.signal(number, _leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave_with_parent() -> None:
    """Of a process in a pool: SIGTERM raises SystemExit and comes too when the parent dies; Ctrl-C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
