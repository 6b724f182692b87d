"""The three signed envelopes: batches from the car, receipts and commands from the server.

Order is the safety here. `Sealed` is parsed (three fields), its size and version are looked at, the Ed25519 signature
(RFC 8032) is checked against the key that the caller has pinned, and only then is the content parsed and the body
inflated, under a cap. The signed text begins with its purpose, so a receipt can never pass for a command, nor any of
them for anything else signed with the same key (TLS 1.3 puts its own purpose first too, RFC 8446 §4.4.3).

The bytes that `seal_batch` returns are made once: sent, stored and hashed as they are.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.message import DecodeError

from wire import telemetry_pb2 as pb
from wire.codec import MAX_STEPS, decode_body, encode_body, read_ranges
from wire.commands import COMMAND_ID_BYTES, LONGEST_TEXT, MOST_PARAMETERS, Command
from wire.fold import MAX_BODY_BYTES, fold, inflate, unfold
from wire.records import BOOT_BYTES, LINK_BYTES, MAX_BOOTS, Body, Receipt, SequenceRange
from wire.refused import Reason, RefusedError

# The version tells how the content is to be read. What has not changed keeps the version that older sides read.
VERSION = 1
_FOLDED_WITH_LZMA = 2  # batches only
MAX_SEALED_BYTES = 16 * 1024  # under the smallest payload limit of the brokers that we run on
BATCH_PURPOSE = b"pledgewatch batch\x00"
RECEIPT_PURPOSE = b"pledgewatch receipt\x00"
COMMAND_PURPOSE = b"pledgewatch command\x00"


@dataclass(frozen=True, slots=True)
class Identity:
    """Names one batch for ever: unit, boot and sequence. The unit counts its boots from 1 in `boot_number`."""

    unit: str
    boot: bytes
    boot_number: int
    sequence: int


@dataclass(frozen=True, slots=True)
class OpenedSeal:
    """A batch whose signature held, its body still folded."""

    identity: Identity
    link: bytes
    body_zlib: bytes = b""  # one of the two
    body_lzma: bytes = b""


def link_to(sealed: bytes) -> bytes:
    """What the batch after `sealed` carries: 16 bytes of its SHA-256."""
    return hashlib.sha256(sealed).digest()[:LINK_BYTES]


def seal_batch(key: Ed25519PrivateKey, identity: Identity, link: bytes, records: Body) -> bytes:
    """Records → sealed bytes.

    Raises:
        ValueError: they take more than MAX_SEALED_BYTES or MAX_BODY_BYTES; seal fewer at once.
    """
    body = encode_body(records)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"a body of {len(body)} bytes is over the limit of {MAX_BODY_BYTES}")
    content = pb.BatchContent(
        unit=identity.unit,
        boot=identity.boot,
        boot_number=identity.boot_number,
        sequence=identity.sequence,
        link=link,
        body_lzma=fold(body),
    )
    sealed = _seal(key, BATCH_PURPOSE, content.SerializeToString(deterministic=True), _FOLDED_WITH_LZMA)
    if len(sealed) > MAX_SEALED_BYTES:
        raise ValueError(f"a batch of {len(sealed)} bytes is over the limit of {MAX_SEALED_BYTES}")
    return sealed


def open_seal(data: bytes, unit: str, key: Ed25519PublicKey | None) -> OpenedSeal:
    """Check a batch that came under `unit`'s name, and stop before its body is touched.

    Args:
        data: the payload.
        unit: whose topic it came on.
        key: the key pinned for that unit, None where no such unit is enrolled.

    Raises:
        RefusedError: TOO_LARGE, MALFORMED, UNKNOWN_VERSION, UNKNOWN_UNIT, SIGNATURE or OTHER_UNIT.
    """
    sealed = _parse(data, _FOLDED_WITH_LZMA)
    if key is None:
        raise RefusedError(Reason.UNKNOWN_UNIT, unit)
    _verify(sealed, BATCH_PURPOSE, (key,))
    try:
        content = pb.BatchContent.FromString(sealed.content)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, f"content: {error}") from None
    if content.unit != unit:
        raise RefusedError(Reason.OTHER_UNIT, f"the content names {content.unit!r}, the topic {unit!r}")
    identity = Identity(unit, content.boot, content.boot_number, content.sequence)
    numbered = 0 < identity.boot_number <= MAX_BOOTS and 0 < identity.sequence <= MAX_STEPS
    shaped = len(identity.boot) == BOOT_BYTES and numbered
    if not shaped or len(content.link) != (0 if identity.sequence == 1 else LINK_BYTES):
        raise RefusedError(Reason.MALFORMED, "boot, sequence or link out of shape")
    is_lzma = sealed.version == _FOLDED_WITH_LZMA
    if bool(content.body_lzma) != is_lzma or bool(content.body_zlib) == is_lzma:
        raise RefusedError(Reason.MALFORMED, f"not the body of a batch of version {sealed.version}")
    return OpenedSeal(identity, content.link, content.body_zlib, content.body_lzma)


def read_body(opened: OpenedSeal) -> Body:
    """Inflate and decode a batch whose seal held. Raises RefusedError."""
    return decode_body(unfolded_body(opened))


def unfolded_body(of: OpenedSeal | pb.BatchContent) -> bytes:
    """The body of a batch, inflated under a cap. Raises RefusedError."""
    return unfold(of.body_lzma) if of.body_lzma else inflate(of.body_zlib)


def stored_body(sealed: bytes) -> bytes:
    """The body of a batch that was checked when it was stored: for reading history. Raises RefusedError."""
    return unfolded_body(_stored(sealed))


def stored_link(sealed: bytes) -> bytes:
    """The link that a stored batch carries. Raises RefusedError."""
    return _stored(sealed).link


def seal_receipt(key: Ed25519PrivateKey, receipt: Receipt) -> bytes:
    """A receipt → sealed bytes, signed with the server key that the units have pinned."""
    content = pb.ReceiptContent(
        unit=receipt.unit,
        boot=receipt.boot,
        committed=_ranges(receipt.committed),
        server_time_ms=receipt.server_time_ms,
        wanted=_ranges(receipt.wanted),
    )
    return _seal(key, RECEIPT_PURPOSE, content.SerializeToString(deterministic=True))


def open_receipt(data: bytes, unit: str, server_keys: Iterable[Ed25519PublicKey]) -> Receipt:
    """Check a receipt against the pinned server keys (two while a key is being replaced).

    Raises:
        RefusedError: TOO_LARGE, MALFORMED, UNKNOWN_VERSION, SIGNATURE or OTHER_UNIT.
    """
    sealed = _parse(data)
    _verify(sealed, RECEIPT_PURPOSE, server_keys)
    try:
        content = pb.ReceiptContent.FromString(sealed.content)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, f"content: {error}") from None
    if content.unit != unit:
        raise RefusedError(Reason.OTHER_UNIT, f"a receipt for {content.unit!r}")
    committed, wanted = read_ranges(content.committed), read_ranges(content.wanted)
    return Receipt(content.unit, content.boot, committed, content.server_time_ms, wanted)


def seal_command(key: Ed25519PrivateKey, command: Command) -> bytes:
    """A command → sealed bytes, signed with the server key that the units have pinned."""
    content = pb.CommandContent(
        unit=command.unit,
        id=command.id,
        issued_ms=command.issued_ms,
        expires_ms=command.expires_ms,
        kind=command.kind,
        parameters=command.parameters,
    )
    return _seal(key, COMMAND_PURPOSE, content.SerializeToString(deterministic=True))


def open_command(data: bytes, unit: str, server_keys: Iterable[Ed25519PublicKey]) -> Command:
    """Check a command against the pinned server keys. Whether it is due, known and within bounds is not asked here.

    Raises:
        RefusedError: TOO_LARGE, MALFORMED, UNKNOWN_VERSION, SIGNATURE or OTHER_UNIT.
    """
    sealed = _parse(data)
    _verify(sealed, COMMAND_PURPOSE, server_keys)
    try:
        content = pb.CommandContent.FromString(sealed.content)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, f"content: {error}") from None
    if content.unit != unit:
        raise RefusedError(Reason.OTHER_UNIT, f"a command for {content.unit!r}")
    parameters = dict(content.parameters)
    texts = (content.kind, *parameters, *parameters.values())
    if len(content.id) != COMMAND_ID_BYTES or not content.kind or len(parameters) > MOST_PARAMETERS:
        raise RefusedError(Reason.MALFORMED, "id, kind or parameters out of shape")
    if max(map(len, texts)) > LONGEST_TEXT:
        raise RefusedError(Reason.MALFORMED, f"a text of more than {LONGEST_TEXT} characters")
    return Command(content.unit, content.id, content.issued_ms, content.expires_ms, content.kind, parameters)


def _seal(key: Ed25519PrivateKey, purpose: bytes, content: bytes, version: int = VERSION) -> bytes:
    return pb.Sealed(version=version, content=content, signature=key.sign(purpose + content)).SerializeToString()


def _parse(data: bytes, newest: int = VERSION) -> pb.Sealed:
    if len(data) > MAX_SEALED_BYTES:
        raise RefusedError(Reason.TOO_LARGE, f"{len(data)} bytes, the limit is {MAX_SEALED_BYTES}")
    try:
        sealed = pb.Sealed.FromString(data)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from None
    if not VERSION <= sealed.version <= newest:
        raise RefusedError(Reason.UNKNOWN_VERSION, f"version {sealed.version}, this side reads up to {newest}")
    # Nobody on the way can write the same batch in other bytes, which would break the link to the next one.
    again = pb.Sealed(version=sealed.version, content=sealed.content, signature=sealed.signature)
    if again.SerializeToString() != data:
        raise RefusedError(Reason.MALFORMED, "the envelope holds more than version, content and signature")
    return sealed


def _verify(sealed: pb.Sealed, purpose: bytes, keys: Iterable[Ed25519PublicKey]) -> None:
    for key in keys:
        try:
            key.verify(sealed.signature, purpose + sealed.content)
        except InvalidSignature:
            continue
        return
    raise RefusedError(Reason.SIGNATURE)


def _stored(sealed: bytes) -> pb.BatchContent:
    try:
        return pb.BatchContent.FromString(pb.Sealed.FromString(sealed).content)
    except DecodeError as error:
        raise RefusedError(Reason.MALFORMED, str(error)) from None


def _ranges(ranges: Iterable[SequenceRange]) -> list[pb.Range]:
    return [pb.Range(first=each.first, last=each.last) for each in ranges]
