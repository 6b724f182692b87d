"""Bodies folded for the wire, and unfolded under a cap.

LZMA without a container (one stream of the LZMA SDK's `LZMA1` with an end mark, literal bits 0, dictionary 4 KiB): its
adaptive bits take 8 to 11 % less than zlib's Huffman tables for bodies of some hundred bytes (`wire_size` measures it).
The first version of the wire folded with zlib (RFC 1950), and its batches are read for ever.
"""

import lzma
import zlib

from wire.refused import Reason, RefusedError

MAX_BODY_BYTES = 256 * 1024
_FILTERS = ({"id": lzma.FILTER_LZMA1, "dict_size": 4096, "lc": 0, "lp": 0, "pb": 0},)


def fold(body: bytes) -> bytes:
    """A body → `BatchContent.body_lzma`."""
    return lzma.compress(body, lzma.FORMAT_RAW, filters=_FILTERS)


def unfold(body_lzma: bytes) -> bytes:
    """What `fold` made, or a stranger; at most MAX_BODY_BYTES are unfolded.

    Raises:
        RefusedError: INFLATES_TOO_FAR or MALFORMED.
    """
    unfolding = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        body = unfolding.decompress(body_lzma, MAX_BODY_BYTES)
        if not unfolding.eof and unfolding.decompress(b"", 1):  # or the end mark was all that was left
            raise RefusedError(Reason.INFLATES_TOO_FAR, f"over {MAX_BODY_BYTES} bytes")
    except (lzma.LZMAError, EOFError) as error:
        raise RefusedError(Reason.MALFORMED, f"body: {error}") from None
    return _whole(body, unfolding.eof, unfolding.unused_data)


def inflate(body_zlib: bytes) -> bytes:
    """The body of a batch of the first version; at most MAX_BODY_BYTES are inflated.

    Raises:
        RefusedError: INFLATES_TOO_FAR or MALFORMED.
    """
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(body_zlib, MAX_BODY_BYTES)
        if inflater.unconsumed_tail:
            raise RefusedError(Reason.INFLATES_TOO_FAR, f"over {MAX_BODY_BYTES} bytes")
    except zlib.error as error:
        raise RefusedError(Reason.MALFORMED, f"body: {error}") from None
    return _whole(body, inflater.eof, inflater.unused_data)


def _whole(body: bytes, is_ended: bool, more: bytes) -> bytes:
    if not is_ended or more:
        raise RefusedError(Reason.MALFORMED, "body: cut short, or followed by other bytes")
    return body
