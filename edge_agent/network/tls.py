"""Mutual TLS for a unit whose clock may be wrong, in two steps.

OpenSSL checks the chain, the signatures and the host name as always, but not the validity times: it would compare them
with the system clock, which says 1970 at boot and anything after a fault (lf-edge/eve#1456). The times of the whole
verified chain (RFC 5280, 4.1.2.5) are checked here, right after the handshake and before a byte of ours is sent,
against what is certain: first against the persisted floor, so that a certificate that expired before it is refused;
then, once a signed receipt has come in this run, against the interval that receipts prove, both ends. The connection
that brought the receipt is checked again with it.

A receipt by whose time its own connection's certificate would be invalid counts as no time at all: the connection is
dropped, and if it was the server's clock that was wrong, nothing has to be undone.
"""

import contextlib
import logging
import socket
import ssl
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509

from edge_agent.settings import ConfigError
from edge_agent.timing.clock import utc_ms
from edge_agent.timing.receipt_time import TimeBounds

log = logging.getLogger(__name__)

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, OpenSSL 1.1.0 and later; the ssl module has no name for it
WARN_DAYS = 30
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Validity:
    """Whose certificate, and from when to when it is valid (UTC ms, both included)."""

    subject: str
    not_before_ms: int
    not_after_ms: int

    @classmethod
    def of(cls, certificate: x509.Certificate) -> "Validity":
        """Of one certificate; its times are whole seconds, the last one belongs to it."""
        not_before_ms, not_after_ms = utc_ms(certificate.not_valid_before_utc), utc_ms(certificate.not_valid_after_utc)
        return cls(certificate.subject.rfc4514_string(), not_before_ms, not_after_ms + 999)


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """For the status. Times are UTC ms, None where nothing is known yet."""

    own_not_after_ms: int
    own_days_left: float  # by the earliest time that is possible now
    broker_not_after_ms: int | None  # the first one of its chain to expire
    checked_against: str  # "floor" or "receipt"
    refused: int
    last_refusal: str | None


def fault(chain: Sequence[Validity], bounds: TimeBounds, mono_s: float) -> str | None:
    """What is certainly wrong with the times of a chain; None: nothing."""
    earliest_ms, latest_ms = bounds.earliest_ms(mono_s), bounds.latest_ms(mono_s)
    for each in chain:
        if each.not_after_ms < earliest_ms:
            return f"{each.subject} expired {_text(each.not_after_ms)}, it is {_text(earliest_ms)} or later"
        if latest_ms is not None and each.not_before_ms > latest_ms:
            return f"{each.subject} is valid from {_text(each.not_before_ms)}, it is {_text(latest_ms)} or earlier"
    return None


class CheckedTls:
    """The unit's TLS context, and what is known of the time and of the newest connection's chain.

    The handshake runs in the network's thread, everything else in the agent's: what they share is replaced whole.
    """

    def __init__(self, folder: Path, bounds: TimeBounds, monotonic_s: Callable[[], float]) -> None:
        """`folder` holds authority.crt, unit.crt and unit.key. Raises ConfigError where they cannot be used."""
        self._bounds, self._monotonic_s = bounds, monotonic_s
        self._chain: tuple[Validity, ...] = ()
        self._by_receipt = False
        self._refused = 0
        self._last_refusal: str | None = None
        self._warned_s = float("-inf")
        try:
            self.context = ssl.create_default_context(cafile=str(folder / "authority.crt"))
            self.context.load_cert_chain(folder / "unit.crt", folder / "unit.key")
            self._own = Validity.of(x509.load_pem_x509_certificate((folder / "unit.crt").read_bytes()))
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError(f"the certificates in {folder} cannot be used: {error}") from None
        self.context.verify_flags |= _NO_CHECK_TIME
        self.context.sslsocket_class = _socket_class(self._check)

    def told(self, bounds: TimeBounds) -> bool:
        """A receipt came over the newest connection: check it again, and go by these bounds from now on.

        Returns:
            False where the connection's certificates are not valid by them: drop it; the bounds are not taken over.
        """
        found = fault(self._chain, bounds, self._monotonic_s())
        if found is not None:
            self._refuse(found)
            return False
        self._bounds, self._by_receipt = bounds, True
        self._warn_of_expiry()
        return True

    @property
    def facts(self) -> TlsFacts:
        """For the status."""
        return TlsFacts(
            self._own.not_after_ms,
            (self._own.not_after_ms - self._bounds.earliest_ms(self._monotonic_s())) / _DAY_MS,
            min((each.not_after_ms for each in self._chain), default=None),
            "receipt" if self._by_receipt else "floor",
            self._refused,
            self._last_refusal,
        )

    def _check(self, chain: tuple[Validity, ...]) -> None:
        found = fault(chain, self._bounds, self._monotonic_s())
        if found is not None:
            self._refuse(found)
            raise ssl.SSLCertVerificationError(found)
        self._chain = chain

    def _refuse(self, found: str) -> None:
        self._refused += 1
        self._last_refusal = found
        log.warning("the broker is not trusted: %s", found)

    def _warn_of_expiry(self) -> None:
        now_s, left = self._monotonic_s(), self.facts.own_days_left
        if left < WARN_DAYS and now_s - self._warned_s >= _DAY_MS / 1000:
            self._warned_s = now_s
            # Whether it is still good is the broker's to judge: a connection that it keeps up is not ended here.
            log.warning("this unit's certificate expires in %.0f days (%s)", left, _text(self._own.not_after_ms))


def _socket_class(check: Callable[[tuple[Validity, ...]], None]) -> type[ssl.SSLSocket]:
    class CheckedSocket(ssl.SSLSocket):
        """Ends its handshake with `check`; where that raises, the connection is closed."""

        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            try:
                check(tuple(Validity.of(x509.load_der_x509_certificate(each)) for each in _verified_chain(self)))
            except BaseException:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self, socket.SHUT_RDWR)
                self.close()
                raise

    return CheckedSocket


def _verified_chain(connection: ssl.SSLSocket) -> list[bytes]:
    """The chain that OpenSSL built and verified, from the peer to the root, in DER.

    Python has it as a method from 3.13 on; before that (3.10 to 3.12) only the object underneath has it.
    """
    if sys.version_info >= (3, 13):
        return list(connection.get_verified_chain())
    underneath: Any = connection._sslobj  # type: ignore[attr-defined]
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in underneath.get_verified_chain()]


def _text(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
