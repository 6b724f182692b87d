"""From the outbox to the network and back: what leaves when, which receipts count, when the line is open at all.

Used from the agent's own thread. The order of sending is `network/sending.py`'s; this file is the hands.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edge_agent.network.sending import WINDOW, SendWindow
from edge_agent.network.uplink import Uplink
from edge_agent.store.outbox import Outbox
from edge_agent.timing.floor import Floor
from edge_agent.timing.receipt_time import SealTimes, TimeBounds
from wire.refused import RefusedError
from wire.seal import open_receipt

log = logging.getLogger(__name__)

_OPEN_AT_LEAST_S = 20.0  # a receipt may be on its way, and a command with it


@dataclass(frozen=True, slots=True)
class Counted:
    """A receipt that did not count, by the name under which it is counted."""

    name: str


class Sender:
    """One unit's line to its server."""

    def __init__(
        self,
        unit: str,
        keys: tuple[Ed25519PublicKey, ...],
        outbox: Outbox,
        floor: Floor,
        uplink: Uplink,
        make_uplink: Callable[[TimeBounds], Uplink],
    ) -> None:
        """`uplink` is a line that is not open yet, made with the floor's bounds; each is used once, then made anew."""
        self._unit, self._keys, self._outbox, self._floor = unit, keys, outbox, floor
        self._make_uplink = make_uplink
        self._bounds = floor.bounds
        self._seals = SealTimes(outbox.boot)
        self._window = SendWindow()
        self._is_up = False
        self.uplink = uplink
        self._is_open = False
        self._opened_s = self._closed_s = float("-inf")
        self._urgent = False

    @property
    def is_up(self) -> bool:
        """Whether the broker has taken us in."""
        return self._is_up

    @property
    def is_open(self) -> bool:
        """Whether a line is wanted now; False while the power budget closes it."""
        return self._is_open

    def server_now_ms(self, mono_s: float) -> int | None:
        """The server's time, by receipts of this run; None before the first."""
        return self._bounds.server_now_ms(mono_s)

    def tend(self, send_every_s: float | None, mono_s: float) -> None:
        """Open or close the line as the budget wants: 0 open, None shut, else now and then and for what is urgent."""
        if send_every_s == 0.0 or (self._urgent and send_every_s is not None):
            wanted = True
        elif self._is_open:
            idle = mono_s - self._opened_s >= _OPEN_AT_LEAST_S and self._outbox.is_drained()
            wanted = send_every_s is not None and not idle
        else:
            wanted = send_every_s is not None and mono_s - self._closed_s >= send_every_s
        if wanted and not self._is_open:
            if self._opened_s > float("-inf"):
                self.uplink = self._make_uplink(self._bounds)
            self.uplink.start()
            self._is_open, self._opened_s = True, mono_s
        elif not wanted and self._is_open:
            log.info("the line is closed to spare the battery")
            self.close(mono_s)
        if self._urgent and self._outbox.is_drained():
            self._urgent = False

    def close(self, mono_s: float) -> None:
        """Leave; what is under way is sent again next time."""
        if self._is_open:
            self.uplink.stop()
        self._is_open = self._is_up = False
        self._closed_s = mono_s

    def on_up(self, mono_s: float) -> None:
        """The broker has taken us in."""
        self._is_up = True
        self._window.on_connected(self._outbox.newest_id)
        self.send(mono_s)

    def on_down(self) -> None:
        """The connection is lost."""
        self._is_up = False

    def on_sealed(self, sequence: int, mono_s: float, *, urgent: bool) -> None:
        """A batch of this boot is on disk."""
        self._seals.on_sealed(sequence, mono_s)
        self._urgent = self._urgent or urgent

    def on_receipt(self, data: bytes, mono_s: float, witness_ms: int | None) -> int | Counted:
        """Take a receipt, once it is sure that our server says so; how many batches it covers that had none.

        Args:
            data: the payload.
            mono_s: now.
            witness_ms: UTC by the unit's own clocks, None where they do not know.
        """
        try:
            receipt = open_receipt(data, self._unit, self._keys)
        except RefusedError as error:
            log.warning("refused a receipt: %s", error)
            return Counted(f"receipts.refused.{error.reason}")
        if not self._outbox.knows(receipt.boot):
            return Counted("receipts.other_boot")
        bounds = self._bounds.told(receipt.server_time_ms, mono_s, self._seals.of(receipt))
        if not self.uplink.told(bounds):
            return Counted("receipts.certificate_not_valid")
        self._bounds = bounds
        self._floor.told(receipt.server_time_ms, mono_s, witness_ms)
        covered = self._outbox.receipt(receipt)
        self.forget_what_is_gone()
        self.send(mono_s)
        return covered

    def forget_what_is_gone(self) -> None:
        """Receipts or the bound of the outbox took batches away: they hold no place in the window."""
        self._window.on_receipted(self._outbox.still_waiting(self._window.held()))

    def send(self, mono_s: float) -> None:
        """Hand over what may leave now."""
        self._window.expire(mono_s)
        if not self._is_up:
            return
        waiting = self._outbox.waiting(self._window.live_from, self._window.held(), WINDOW)
        for choice in self._window.next(waiting, mono_s):
            data = self._outbox.sealed(choice.id)
            if data is not None and self.uplink.send(data):
                self._window.on_sent(choice, mono_s)
