"""Which values take the bytes of a sample: what a sealed batch would save without each of them. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wire.codec import COLUMNS, decode_body
from wire.records import BOOT_BYTES, LINK_BYTES, Body
from wire.seal import Identity, seal_batch, stored_body

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))  # any: signatures are all of one length
_IDENTITY = Identity("PW000001", b"b" * BOOT_BYTES, 1, 2)


def bytes_by_column(sealed: Sequence[bytes]) -> dict[str, float]:
    """Bytes a sample, by column, the costliest first; those that cost nothing are left out.

    What a column costs is how much shorter the sealed batches would be without it. `seal` is what a batch without
    records takes (signature, link, identity), `together` what remains: counts, and what columns save each other.
    """
    bodies = [decode_body(stored_body(each)) for each in sealed]
    samples = sum(len(body.samples) for body in bodies)
    if not samples:
        return {}
    whole = sum(map(_sealed_bytes, bodies))
    saved = {name: whole - sum(_sealed_bytes(_without(body, name)) for body in bodies) for name in _NAMES}
    costs = {name: count for name, count in sorted(saved.items(), key=lambda item: -item[1]) if count > 0}
    costs["seal"] = len(bodies) * _sealed_bytes(Body(bodies[0].kernel_boot))
    costs["together"] = whole - sum(costs.values())
    return {name: round(count / samples, 2) for name, count in costs.items()}


_NAMES = tuple(column.name for column in COLUMNS)


def _without(body: Body, name: str) -> Body:
    without: dict[str, None] = {name: None}
    return replace(body, samples=tuple(replace(each, **without) for each in body.samples))  # type: ignore[arg-type]


def _sealed_bytes(body: Body) -> int:
    return len(seal_batch(_KEY, _IDENTITY, b"l" * LINK_BYTES, body))
