"""The envelopes: what was not signed by the right key, for the right purpose, in exactly these bytes, is refused."""

import hashlib
import random
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire import seal
from wire import telemetry_pb2 as pb
from wire.codec import MAX_STEPS, encode_body
from wire.fold import MAX_BODY_BYTES, fold, inflate, unfold
from wire.records import MAX_BOOTS, Body, Event, Receipt, Sample, SequenceRange, TimeQuality
from wire.refused import Reason, RefusedError
from wire.seal import (
    BATCH_PURPOSE,
    MAX_SEALED_BYTES,
    RECEIPT_PURPOSE,
    Identity,
    link_to,
    open_receipt,
    open_seal,
    read_body,
    seal_batch,
    seal_receipt,
    stored_body,
    stored_link,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
UNIT = "PW000001"
BOOT = bytes(range(16))
LINK = bytes(range(100, 116))
FIRST = Identity(UNIT, BOOT, 1, 1)
SECOND = Identity(UNIT, BOOT, 1, 2)
BODY = Body(7, (Sample(1.0, None, TimeQuality.NONE, lat_deg=31.2), Sample(2.0, None, TimeQuality.NONE)))
RECEIPT = Receipt(UNIT, BOOT, (SequenceRange(1, 4),), 1_790_000_000_000, (SequenceRange(6, 6),))

BATCH_BYTES = seal_batch(KEY, FIRST, b"", BODY)
RECEIPT_BYTES = seal_receipt(KEY, RECEIPT)


def open_batch(data: bytes, unit: str = UNIT) -> Body:
    return read_body(open_seal(data, unit, KEY.public_key()))


def open_told(data: bytes, unit: str = UNIT) -> Receipt:
    return open_receipt(data, unit, [KEY.public_key()])


both = pytest.mark.parametrize(
    ("data", "opened"), [(BATCH_BYTES, open_batch), (RECEIPT_BYTES, open_told)], ids=["batch", "receipt"]
)


def reason(of: Callable[[], object]) -> Reason:
    with pytest.raises(RefusedError) as refused:
        of()
    return refused.value.reason


def signed(content: bytes, purpose: bytes = BATCH_PURPOSE, version: int = 1) -> bytes:
    return pb.Sealed(version=version, content=content, signature=KEY.sign(purpose + content)).SerializeToString()


def content(body_zlib: bytes, padding: int = 0) -> bytes:
    """A first batch's content; the padding is a field that nobody knows."""
    written = pb.BatchContent(unit=UNIT, boot=BOOT, boot_number=1, sequence=1, body_zlib=body_zlib).SerializeToString()
    length = pb.Range(first=padding).SerializeToString()[1:]  # a varint, without its tag
    return written + b"\xfa\x06" + length + bytes(padding) if padding else written


def test_what_is_sealed_is_opened() -> None:
    opened = open_seal(BATCH_BYTES, UNIT, KEY.public_key())
    assert (opened.identity, opened.link, read_body(opened)) == (FIRST, b"", BODY)
    later = seal_batch(KEY, SECOND, LINK, BODY)
    opened = open_seal(later, UNIT, KEY.public_key())
    assert (opened.identity, opened.link, read_body(opened)) == (SECOND, LINK, BODY)
    assert (stored_body(later), stored_link(later)) == (encode_body(BODY), LINK)
    assert open_told(RECEIPT_BYTES) == RECEIPT


def test_the_same_records_are_sealed_into_the_same_bytes() -> None:
    assert seal_batch(KEY, FIRST, b"", BODY) == BATCH_BYTES
    assert seal_receipt(KEY, RECEIPT) == RECEIPT_BYTES


def test_the_link_is_half_of_the_digest() -> None:
    assert link_to(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223"  # FIPS 180-4, SHA-256 of "abc"
    assert link_to(BATCH_BYTES) == hashlib.sha256(BATCH_BYTES).digest()[:16]


# -- signatures


@both
def test_no_byte_can_be_changed(data: bytes, opened: Callable[[bytes], object]) -> None:
    for at in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            assert reason(lambda changed=changed: opened(bytes(changed))) in {
                Reason.SIGNATURE,
                Reason.MALFORMED,
                Reason.UNKNOWN_VERSION,
            }, (at, bit)


@both
def test_no_byte_can_be_cut_off_or_added(data: bytes, opened: Callable[[bytes], object]) -> None:
    for length in range(len(data)):
        reason(lambda length=length: opened(data[:length]))
    added = (
        [bytes([n]) for n in range(256)]
        + [
            b"\xfa\x06\x02ab",  # a field that nobody knows: it is not signed
            b"\x08\x01",  # the version once more
            data,
            data[2:],
        ]
    )
    for more in added:
        assert reason(lambda more=more: opened(data + more)) is Reason.MALFORMED, more
        reason(lambda more=more: opened(more + data))


@both
def test_the_same_content_in_other_bytes_is_refused(data: bytes, opened: Callable[[bytes], object]) -> None:
    """Else whoever forwards a batch could break its link to the next one, for good."""
    sealed = pb.Sealed.FromString(data)
    version = data[1]
    longer_varint = bytes([8, 0x80 | version, 0]) + data[2:]
    turned = pb.Sealed(content=sealed.content, signature=sealed.signature).SerializeToString() + bytes([8, version])
    for other in (longer_varint, turned):
        assert pb.Sealed.FromString(other) == sealed
        assert reason(lambda other=other: opened(other)) is Reason.MALFORMED


def test_a_batch_is_no_receipt_and_a_receipt_no_batch() -> None:
    assert reason(lambda: open_told(BATCH_BYTES)) is Reason.UNKNOWN_VERSION
    assert reason(lambda: open_batch(RECEIPT_BYTES)) is Reason.SIGNATURE
    # Not even where version and content would do.
    batch, receipt = (pb.Sealed.FromString(data).content for data in (BATCH_BYTES, RECEIPT_BYTES))
    assert reason(lambda: open_told(signed(batch))) is Reason.SIGNATURE
    assert reason(lambda: open_batch(signed(batch, RECEIPT_PURPOSE))) is Reason.SIGNATURE
    assert reason(lambda: open_told(signed(receipt, BATCH_PURPOSE))) is Reason.SIGNATURE
    assert reason(lambda: open_batch(signed(batch, b""))) is Reason.SIGNATURE
    assert open_batch(signed(batch, version=2)) == BODY
    assert open_told(signed(receipt, RECEIPT_PURPOSE)) == RECEIPT


def test_another_key() -> None:
    assert reason(lambda: open_seal(BATCH_BYTES, UNIT, OTHER_KEY.public_key())) is Reason.SIGNATURE
    assert reason(lambda: open_receipt(RECEIPT_BYTES, UNIT, [OTHER_KEY.public_key()])) is Reason.SIGNATURE
    assert reason(lambda: open_receipt(RECEIPT_BYTES, UNIT, [])) is Reason.SIGNATURE


def test_two_receipt_keys_are_believed_while_one_is_replaced() -> None:
    keys = [OTHER_KEY.public_key(), KEY.public_key()]
    assert open_receipt(RECEIPT_BYTES, UNIT, keys) == RECEIPT
    assert open_receipt(RECEIPT_BYTES, UNIT, reversed(keys)) == RECEIPT


def test_nobody_is_enrolled_under_the_name() -> None:
    assert reason(lambda: open_seal(BATCH_BYTES, UNIT, None)) is Reason.UNKNOWN_UNIT


@both
def test_another_unit(data: bytes, opened: Callable[[bytes, str], object]) -> None:
    assert reason(lambda: opened(data, "PW000002")) is Reason.OTHER_UNIT


@pytest.mark.parametrize("version", [0, 3, 2**32 - 1])
def test_a_version_that_this_side_does_not_read(version: int) -> None:
    batch, receipt = (pb.Sealed.FromString(data).content for data in (BATCH_BYTES, RECEIPT_BYTES))
    assert reason(lambda: open_batch(signed(batch, version=version))) is Reason.UNKNOWN_VERSION
    for later in (version, 2):  # only batches have a second one
        told = signed(receipt, RECEIPT_PURPOSE, later)
        assert reason(lambda told=told: open_told(told)) is Reason.UNKNOWN_VERSION


# -- shapes


@pytest.mark.parametrize(
    ("identity", "link"),
    [
        (Identity(UNIT, BOOT[1:], 1, 1), b""),
        (Identity(UNIT, BOOT + b"x", 1, 1), b""),
        (Identity(UNIT, b"", 1, 1), b""),
        (Identity(UNIT, BOOT, 0, 1), b""),
        (Identity(UNIT, BOOT, 1, 0), b""),
        (Identity(UNIT, BOOT, 1, 0), LINK),
        (Identity(UNIT, BOOT, 1, MAX_STEPS + 1), LINK),
        (FIRST, LINK),  # the first batch follows none
        (SECOND, b""),
        (SECOND, LINK[1:]),
        (SECOND, LINK + b"x"),
    ],
)
def test_identities_and_links_out_of_shape(identity: Identity, link: bytes) -> None:
    assert reason(lambda: open_batch(seal_batch(KEY, identity, link, BODY))) is Reason.MALFORMED


def test_the_last_sequence() -> None:
    last = Identity(UNIT, BOOT, MAX_BOOTS, MAX_STEPS)
    assert open_seal(seal_batch(KEY, last, LINK, BODY), UNIT, KEY.public_key()).identity == last
    beyond = replace(last, boot_number=MAX_BOOTS + 1)  # which no database column holds
    assert reason(lambda: open_batch(seal_batch(KEY, beyond, LINK, BODY))) is Reason.MALFORMED


def test_content_that_is_no_content() -> None:
    assert reason(lambda: open_batch(signed(b"\xff"))) is Reason.MALFORMED
    assert reason(lambda: open_told(signed(b"\xff", RECEIPT_PURPOSE))) is Reason.MALFORMED
    assert reason(lambda: open_batch(signed(b""))) is Reason.OTHER_UNIT
    backwards = pb.ReceiptContent(unit=UNIT, boot=BOOT, committed=[pb.Range(first=2, last=1)]).SerializeToString()
    assert reason(lambda: open_told(signed(backwards, RECEIPT_PURPOSE))) is Reason.MALFORMED
    backwards = pb.ReceiptContent(unit=UNIT, boot=BOOT, wanted=[pb.Range(first=2, last=1)]).SerializeToString()
    assert reason(lambda: open_told(signed(backwards, RECEIPT_PURPOSE))) is Reason.MALFORMED


def test_facts_of_a_newer_side_are_passed_over() -> None:
    batch, receipt = (pb.Sealed.FromString(data).content for data in (BATCH_BYTES, RECEIPT_BYTES))
    assert open_batch(signed(batch + b"\xfa\x06\x02ab", version=2)) == BODY
    assert open_told(signed(receipt + b"\xfa\x06\x02ab", RECEIPT_PURPOSE)) == RECEIPT


# -- sizes


def test_a_batch_of_the_greatest_size_is_opened_and_one_byte_more_is_not() -> None:
    body = zlib.compress(encode_body(BODY))
    padding = MAX_SEALED_BYTES - len(signed(content(body, 10_000))) + 10_000
    greatest = signed(content(body, padding))
    assert len(greatest) == MAX_SEALED_BYTES == 16384
    assert open_batch(greatest) == BODY
    assert reason(lambda: open_batch(signed(content(body, padding + 1)))) is Reason.TOO_LARGE


def test_what_is_too_large_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "pb", None)
    assert reason(lambda: open_batch(bytes(MAX_SEALED_BYTES + 1))) is Reason.TOO_LARGE
    assert reason(lambda: open_told(bytes(MAX_SEALED_BYTES + 1))) is Reason.TOO_LARGE


def told(text: str) -> Body:
    return Body(7, events=(Event("e", 0, None, TimeQuality.NONE, {"a": text}),))


def test_records_that_do_not_fit_are_not_sealed() -> None:
    with pytest.raises(ValueError, match="limit of 16384"):
        seal_batch(KEY, FIRST, b"", told(random.Random(1).randbytes(20_000).hex()))
    with pytest.raises(ValueError, match="limit of 262144"):
        seal_batch(KEY, FIRST, b"", told("x" * MAX_BODY_BYTES))


def test_a_body_of_the_greatest_size_is_sealed_and_opened() -> None:
    length = MAX_BODY_BYTES - len(encode_body(told("x" * (MAX_BODY_BYTES - 100)))) + MAX_BODY_BYTES - 100
    body = told("x" * length)
    assert len(encode_body(body)) == MAX_BODY_BYTES
    assert open_batch(seal_batch(KEY, FIRST, b"", body)) == body
    with pytest.raises(ValueError, match="limit of 262144"):
        seal_batch(KEY, FIRST, b"", told("x" * (length + 1)))


def test_a_batch_of_the_greatest_size_is_sealed_and_opened() -> None:
    body = told(random.Random(1).randbytes(12_500).decode("latin-1"))  # as UTF-8 it folds to about 15,500 bytes
    name = "U" * 200  # over 127 already, so that its length takes two bytes before and after the padding
    name += "U" * (MAX_SEALED_BYTES - len(seal_batch(KEY, Identity(name, BOOT, 1, 1), b"", body)))
    sealed = seal_batch(KEY, Identity(name, BOOT, 1, 1), b"", body)
    assert len(sealed) == MAX_SEALED_BYTES
    assert open_batch(sealed, name) == body
    with pytest.raises(ValueError, match="limit of 16384"):
        seal_batch(KEY, Identity(name + "U", BOOT, 1, 1), b"", body)


@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_body_of_the_greatest_size_is_inflated_and_one_byte_more_is_not(level: int) -> None:
    assert inflate(zlib.compress(bytes(MAX_BODY_BYTES), level)) == bytes(MAX_BODY_BYTES)
    more = zlib.compress(bytes(MAX_BODY_BYTES + 1), level)
    assert reason(lambda: inflate(more)) is Reason.INFLATES_TOO_FAR


def bomb(mebibytes: int) -> bytes:
    """zlib data that inflates to zeros; deflate blocks after a full flush stand alone, so one can be repeated."""
    deflate = zlib.compressobj(9)
    first = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return first + block * (mebibytes - 1)


def test_a_bomb_stays_small_in_memory() -> None:
    gibibyte = signed(content(bomb(1024)))
    largest = bomb(15)
    small = signed(content(largest))
    assert len(small) < MAX_SEALED_BYTES
    whole = signed(content(zlib.compress(bytes(15 << 20), 9)))
    tracemalloc.start()
    try:
        assert reason(lambda: open_batch(gibibyte)) is Reason.TOO_LARGE
        assert reason(lambda: open_batch(small)) is Reason.INFLATES_TOO_FAR
        assert reason(lambda: open_batch(whole)) is Reason.INFLATES_TOO_FAR
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_BODY_BYTES


def test_nothing_is_inflated_before_it_is_asked_for() -> None:
    opened = open_seal(signed(content(b"no zlib data")), UNIT, KEY.public_key())
    assert reason(lambda: read_body(opened)) is Reason.MALFORMED


def test_a_body_that_is_cut_or_followed_by_more_is_refused() -> None:
    whole = zlib.compress(encode_body(BODY))
    assert inflate(whole) == encode_body(BODY)
    for length in range(len(whole)):
        assert reason(lambda length=length: inflate(whole[:length])) is Reason.MALFORMED
    for more in (b"\x00", whole, bytes(9)):
        assert reason(lambda more=more: inflate(whole + more)) is Reason.MALFORMED


# -- the second version, folded with LZMA


def content2(body_lzma: bytes) -> bytes:
    return pb.BatchContent(unit=UNIT, boot=BOOT, boot_number=1, sequence=1, body_lzma=body_lzma).SerializeToString()


def test_a_folded_body_of_the_greatest_size_is_unfolded_and_one_byte_more_is_not() -> None:
    assert unfold(fold(bytes(MAX_BODY_BYTES))) == bytes(MAX_BODY_BYTES)
    assert unfold(fold(b"")) == b""
    assert reason(lambda: unfold(fold(bytes(MAX_BODY_BYTES + 1)))) is Reason.INFLATES_TOO_FAR


def test_an_lzma_bomb_stays_small_in_memory() -> None:
    largest = fold(bytes(64 << 20))
    assert len(largest) < MAX_SEALED_BYTES
    data = signed(content2(largest), version=2)
    tracemalloc.start()
    try:
        assert reason(lambda: open_batch(data)) is Reason.INFLATES_TOO_FAR
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_BODY_BYTES


def test_a_folded_body_that_is_cut_changed_or_followed_by_more_is_refused() -> None:
    whole = fold(encode_body(BODY))
    assert unfold(whole) == encode_body(BODY)
    for length in range(len(whole)):
        assert reason(lambda length=length: unfold(whole[:length])) is Reason.MALFORMED
    for more in (b"\x00", whole, bytes(9)):
        assert reason(lambda more=more: unfold(whole + more)) is Reason.MALFORMED


def test_the_version_tells_which_body_there_is() -> None:
    """It is not signed, so nobody on the way may be able to change it."""
    for version, made in ((1, content2(fold(b""))), (2, content(zlib.compress(b"")))):
        data = signed(made, version=version)
        assert reason(lambda data=data: open_seal(data, UNIT, KEY.public_key())) is Reason.MALFORMED
    neither = pb.BatchContent(unit=UNIT, boot=BOOT, boot_number=1, sequence=1).SerializeToString()
    assert reason(lambda: open_seal(signed(neither), UNIT, KEY.public_key())) is Reason.MALFORMED


@given(st.binary(max_size=200))
def test_a_folded_body_of_random_bytes_is_read_or_refused(data: bytes) -> None:
    for made in (data, fold(data)):
        try:
            open_batch(signed(content2(made), version=2))
        except RefusedError as refused:
            if refused.reason is not Reason.MALFORMED:
                raise


# -- any bytes


@given(st.binary(max_size=300) | st.binary(max_size=60).map(signed) | st.binary(max_size=60).map(content).map(signed))
def test_random_bytes_are_refused(data: bytes) -> None:
    for opened in (open_batch, open_told):
        reason(lambda opened=opened: opened(data))


@given(st.binary(max_size=100).map(zlib.compress).map(content).map(signed))
def test_a_signed_body_of_random_bytes_is_read_or_refused(data: bytes) -> None:
    try:
        open_batch(data)
    except RefusedError as refused:
        if refused.reason is not Reason.MALFORMED:
            raise


@given(st.binary(max_size=100))
def test_stored_bytes_that_are_none(data: bytes) -> None:
    for read in (stored_body, stored_link):
        try:
            read(data)
        except RefusedError as refused:
            if refused.reason is not Reason.MALFORMED:
                raise


ranges = st.lists(
    st.tuples(st.integers(0, 2**63), st.integers(0, 2**63)).map(lambda ends: SequenceRange(min(ends), max(ends))),
    max_size=9,
).map(tuple)


@given(ranges, ranges, st.integers(-(2**63), 2**63 - 1))
def test_receipts_tell_what_they_were_told(
    committed: tuple[SequenceRange, ...], wanted: tuple[SequenceRange, ...], now_ms: int
) -> None:
    receipt = Receipt(UNIT, BOOT, committed, now_ms, wanted)
    assert open_told(seal_receipt(KEY, receipt)) == receipt
