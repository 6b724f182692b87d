"""Where every thread puts its work, and one takes it out: pipeline and outbox have a single owner."""

import contextlib
import queue
from collections.abc import Callable, Iterator

Work = Callable[[], None]

_BOUND = 4096  # beyond it the port threads wait, and the kernel's buffers with them


class Inbox:
    """`put` from any thread; `next` and `rest` from the owner's."""

    def __init__(self, is_over: Callable[[], bool]) -> None:
        """`is_over`: nobody takes anything out any more, so nobody has to wait for a place."""
        self._queue: queue.Queue[Work] = queue.Queue(_BOUND)
        self._is_over = is_over

    def put(self, work: Work) -> None:
        """Hand work over; waits for a place."""
        while not self._is_over():
            with contextlib.suppress(queue.Full):
                self._queue.put(work, timeout=0.5)
                return

    def next(self, wait_s: float) -> Work:
        """The next piece of work, or nothing to do where none comes within `wait_s`."""
        try:
            return self._queue.get(timeout=wait_s)
        except queue.Empty:
            return _nothing

    def rest(self) -> Iterator[Work]:
        """What is there and was not taken yet."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._queue.get_nowait()


def _nothing() -> None:
    """No work within the wait."""
