"""Bytes from a unit → an opened seal, or RefusedError with its reason. Pure: the pinned key is an argument.

Nothing is inflated before the signature has held.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from server.columns import Told, read_all
from wire.refused import Reason, RefusedError
from wire.seal import OpenedSeal, open_seal, unfolded_body
from wire.topics import unit_of


def sender(topic: str) -> str:
    """The unit that a batch topic belongs to; the broker lets only that unit publish there.

    Raises:
        RefusedError: WRONG_TOPIC.
    """
    unit = unit_of(topic)
    if unit is None:
        raise RefusedError(Reason.WRONG_TOPIC, topic[:80])
    return unit


def check_seal(payload: bytes, unit: str, key: Ed25519PublicKey | None) -> OpenedSeal:
    """Size, version, signature and name of a batch; `key` is None for a unit that is not enrolled or not active.

    Raises:
        RefusedError: see `wire.seal.open_seal`.
    """
    return open_seal(payload, unit, key)


def read(opened: OpenedSeal) -> Told:
    """What a batch tells whose seal held.

    Raises:
        RefusedError: INFLATES_TOO_FAR or MALFORMED.
    """
    return read_all(unfolded_body(opened))
