"""Rows out of a SQLite file whose structure is broken, page by page. Pure: bytes in, rows out.

SQLite itself reads a table from its root downwards, so one bad byte in the header or in an inner page hides thousands
of good rows. But each leaf page stands for itself: it says how many cells it has and where, and each cell holds its
row's id and columns. So every page is asked whether it is a leaf, and whatever reads as a row is handed out. That
includes rows which were deleted while their page is not used again, and, from a page with a bad byte, rows that never
were: the caller must be able to tell (here by signature and checksum).

After https://www.sqlite.org/fileformat2.html: 1.6 b-tree pages, 2.1 record format, 4 the write-ahead log.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Value = int | float | bytes | str | None

WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
_FIRST_PAGE_HEADER_BYTES = 100
_TABLE_LEAF = 0x0D
_WAL_MAGIC = 0x377F0682  # least significant bit: checksums are over big-endian words
_MOST_COLUMNS = 32
_FIXED_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it stands in a leaf: the id (NULL in the columns, if it has a name there) and the columns."""

    id: int
    columns: tuple[Value, ...]


class _NoRowError(Exception):
    """These bytes are no row."""


def page_bytes_of(file_header: bytes, otherwise: int) -> int:
    """The page size that the first 100 bytes of a database tell, or `otherwise` where they tell none."""
    told = int.from_bytes(file_header[16:18], "big")
    told = 65536 if told == 1 else told
    return told if 512 <= told <= 65536 and told & (told - 1) == 0 and len(file_header) >= 18 else otherwise


def rows_of_page(number: int, page: bytes, read_page: Callable[[int], bytes]) -> Iterator[Row]:
    """Every row of a page, if it is a table leaf.

    Args:
        number: of the page, from 1.
        page: its bytes.
        read_page: gives another page by number, b"" where there is none; long rows continue there.
    """
    begin = _FIRST_PAGE_HEADER_BYTES if number == 1 else 0
    if len(page) < begin + 8 or page[begin] != _TABLE_LEAF:
        return
    cells = int.from_bytes(page[begin + 3 : begin + 5], "big")
    for n in range(min(cells, (len(page) - begin - 8) // 2)):
        at = begin + 8 + 2 * n
        try:
            yield _row_at(page, int.from_bytes(page[at : at + 2], "big"), read_page)
        except _NoRowError:
            continue


def whole_frames(log: bytes) -> tuple[int, list[tuple[int, int]]]:
    """What SQLite will read of a write-ahead log.

    Returns:
        Where the committed part ends (bytes), and (page number, where its bytes begin) of each frame in it, oldest
        first. A log whose header is not whole has no committed part.
    """
    magic, version, page_bytes = struct.unpack(">III", log[:12].ljust(12, b"\0"))
    if magic & ~1 != _WAL_MAGIC or version != 3_007_000 or len(log) < WAL_HEADER_BYTES:
        return 0, []
    order = ">" if magic & 1 else "<"
    sums = _checksum(log[:24], (0, 0), order)
    if sums != struct.unpack(">II", log[24:32]):
        return 0, []
    end, committed, open_frames = WAL_HEADER_BYTES, 0, list[tuple[int, int]]()
    frames: list[tuple[int, int]] = []
    while len(header := log[end : end + FRAME_HEADER_BYTES]) == FRAME_HEADER_BYTES:
        number, pages_after, _, _, sum_1, sum_2 = struct.unpack(">6I", header)
        begin = end + FRAME_HEADER_BYTES
        page = log[begin : begin + page_bytes]
        if header[8:16] != log[16:24] or number == 0 or len(page) < page_bytes:
            break
        sums = _checksum(page, _checksum(header[:8], sums, order), order)
        if sums != (sum_1, sum_2):
            break
        open_frames.append((number, begin))
        end = begin + page_bytes
        if pages_after:  # the last frame of a commit
            frames += open_frames
            committed, open_frames = end, []
    return committed, frames


def _checksum(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


def _row_at(page: bytes, at: int, read_page: Callable[[int], bytes]) -> Row:
    length, at = _varint(page, at)
    row_id, at = _varint(page, at)
    usable = len(page)
    most_local = usable - 35
    if length <= most_local:
        record = page[at : at + length]
    else:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= most_local else least
        record = page[at : at + local]
        following = int.from_bytes(page[at + local : at + local + 4], "big")
        record += _overflow(following, length - local, read_page)
    if len(record) != length:
        raise _NoRowError
    return Row(row_id - (1 << 64) if row_id >= 1 << 63 else row_id, _columns(record))


def _overflow(number: int, length: int, read_page: Callable[[int], bytes]) -> bytes:
    parts: list[bytes] = []
    while length > 0:
        page = read_page(number) if number else b""
        if len(page) <= 4:
            raise _NoRowError
        parts.append(page[4 : 4 + length])
        length -= len(parts[-1])
        number = int.from_bytes(page[:4], "big")
    return b"".join(parts)


def _columns(record: bytes) -> tuple[Value, ...]:
    header_bytes, at = _varint(record, 0)
    kinds: list[int] = []
    while at < header_bytes and len(kinds) < _MOST_COLUMNS:
        kind, at = _varint(record, at)
        kinds.append(kind)
    values: list[Value] = []
    at = header_bytes
    for kind in kinds:
        value, at = _value(record, at, kind)
        values.append(value)
    if at != len(record):
        raise _NoRowError
    return tuple(values)


def _value(record: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind in (10, 11):
        raise _NoRowError
    length = 8 if kind == 7 else _FIXED_INTEGER_BYTES.get(kind, (kind - 12) // 2)
    data = record[at : at + length]
    if len(data) != length:
        raise _NoRowError
    if kind == 7:
        (number,) = struct.unpack(">d", data)
        return float(number), at + length
    if kind < 7:
        return int.from_bytes(data, "big", signed=True), at + length
    return (data if kind % 2 == 0 else data.decode("utf-8", "replace")), at + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Big-endian, seven bits a byte, the ninth byte whole."""
    value = 0
    for n in range(9):
        if not 0 <= at + n < len(data):
            raise _NoRowError
        byte = data[at + n]
        if n == 8:
            return value << 8 | byte, at + 9
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + n + 1
    raise AssertionError("nine bytes are the longest")
