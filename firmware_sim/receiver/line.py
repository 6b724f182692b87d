"""What happens to sentences between the receiver and whoever listens: bad bytes, breaks, noise, and time. Pure."""

import random
from collections import deque
from collections.abc import Sequence

from firmware_sim.receiver.settings import ReceiverFaults

_BITS_A_BYTE = 10  # start bit, eight data bits, stop bit
_AT_ONCE = 32  # bytes: what a USB bridge hands on together
_BUFFER_BYTES = 4096


class BadLine:
    """The faults of the line, drawn from a source of their own: the sentences themselves stay those of the seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"gnss line {seed}")  # noqa: S311 - repeatable on purpose

    def carry(self, sentences: Sequence[bytes], faults: ReceiverFaults) -> list[bytes]:
        """What arrives of one epoch."""
        if faults.silent:
            return []
        arrived = [self._rng.randbytes(faults.noise_bytes)] if faults.noise_bytes else []
        for data in sentences:
            if faults.half_sentences_share and self._rng.random() < faults.half_sentences_share:
                arrived.append(data[: self._rng.randint(1, len(data) - 3)])
            elif faults.corrupt_share and self._rng.random() < faults.corrupt_share:
                arrived.append(self._corrupted(data))
            else:
                arrived.append(data)
        return arrived

    def _corrupted(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._rng.randint(1, 3)):
            changed[self._rng.randrange(len(changed))] ^= self._rng.randint(1, 255)
        return bytes(changed)


class PacedLine:
    """A UART at `baud`: when which bytes have left it.

    Its buffer holds 4 KiB; a sentence that does not fit any more is dropped whole, as receivers do (u-blox: "txbuf
    alloc").
    """

    def __init__(self, baud: int) -> None:
        self.baud = baud
        self.dropped = 0  # sentences
        self._queue: deque[bytes] = deque()
        self._waiting = 0  # bytes
        self._free_s = 0.0  # when the last byte handed out has left

    def put(self, data: bytes, t_s: float) -> None:
        """The receiver writes `data` at `t_s`."""
        if self._waiting + len(data) > _BUFFER_BYTES:
            self.dropped += 1
            return
        if not self._queue:
            self._free_s = max(self._free_s, t_s)
        self._queue += [data[i : i + _AT_ONCE] for i in range(0, len(data), _AT_ONCE)]
        self._waiting += len(data)

    def due(self, t_s: float) -> list[tuple[float, bytes]]:
        """What has left the line by `t_s` and when its last bit did, in order."""
        gone = []
        while (next_s := self.next_s()) is not None and next_s <= t_s:
            data = self._queue.popleft()
            self._waiting -= len(data)
            self._free_s = next_s
            gone.append((next_s, data))
        return gone

    def next_s(self) -> float | None:
        """When the next bytes will have left; None if nothing waits."""
        return self._free_s + len(self._queue[0]) * _BITS_A_BYTE / self.baud if self._queue else None
