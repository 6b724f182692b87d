"""What holds for any bytes: no chunking changes the epochs, nothing raises, no broken sentence places a car."""

from __future__ import annotations

from functools import reduce
from itertools import pairwise
from operator import xor
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edge_agent.gnss.nmea import Fix, NmeaCounts, NmeaReader
from edge_agent.gnss.nmea_sentence import MAX_SENTENCE_BYTES

LOGS = Path(__file__).resolve().parents[2] / "logs"
RECORDED = [log.read_bytes() for log in sorted(LOGS.glob("nmea_*.log"))]
SENTENCES = [
    b"GNRMC,081503.00,A,3149.12345,N,11713.54321,E,10.000,90.00,231126,,,A,V",
    b"BDGGA,081503.00,3149.12345,N,11713.54321,E,1,09,1.10,37.7,M,-1.2,M,,",
    b"GPGLL,3326.9500,S,07039.6000,W,081503.00,A,A",
    b"GBGNS,081503.00,3149.12345,N,11713.54321,E,NNNA,14,0.7,37.4,-1.2,,,V",
    b"GNVTG,90.00,T,,M,10.000,N,18.520,K,A",
    b"GNGSA,A,3,01,03,06,08,13,,,,,,,,2.10,1.10,1.79,4",
    b"GPZDA,081503.00,23,11,2026,00,00",
]


def signed(body: bytes) -> bytes:
    return b"$" + body + b"*%02X\r\n" % reduce(xor, body)


# A sentence field by field: empty, as it should be, or anything at all.
fields = st.one_of(
    st.sampled_from([field for sentence in SENTENCES for field in sentence.split(b",")[1:]]),
    st.sampled_from(
        [b"", b"V", b"N", b"0", b"235960", b"240000", b"0000.0", b"9999.9", b"-1", b"1e9", b"\x00", b"nan"]
    ),
    st.binary(max_size=8),
)
addresses = st.sampled_from([sentence.split(b",")[0] for sentence in SENTENCES])
odd_sentences = st.builds(lambda address, rest: signed(b",".join([address, *rest])), addresses, st.lists(fields))
streams = st.lists(
    st.one_of(
        st.sampled_from([signed(body) for body in SENTENCES]),
        odd_sentences,
        st.sampled_from(
            [b"#", b"\r\n", b"$", b"!", b"# comment\n", b"\xb5\x62\x06$", b"$" + b"x" * MAX_SENTENCE_BYTES]
        ),
        st.binary(max_size=40),
    ),
    max_size=30,
).map(b"".join)


def read(chunks: list[bytes]) -> tuple[list[Fix], NmeaCounts]:
    reader = NmeaReader()
    fixes = [fix for chunk in chunks for fix in reader.feed(chunk)]
    return fixes + reader.flush(), reader.counts


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


@given(streams, st.lists(st.integers(0, 10_000), max_size=40))
def test_any_chunking_gives_the_same_epochs_and_counts(data: bytes, places: list[int]) -> None:
    assert read(cut(data, places)) == read([data])


@settings(max_examples=20)
@given(st.sampled_from(RECORDED), st.integers(1, 600))
def test_any_chunk_length_gives_the_same_epochs_of_a_log(data: bytes, length: int) -> None:
    assert read([data[at : at + length] for at in range(0, len(data), length)]) == read([data])


@given(st.binary(max_size=2000))
def test_random_bytes_never_raise(data: bytes) -> None:
    read([data])


@given(streams)
def test_odd_sentences_never_raise_and_positions_are_on_earth(data: bytes) -> None:
    fixes, _ = read([data])
    for fix in fixes:
        assert (fix.lat_deg is None) == (fix.lon_deg is None)
        assert fix.lat_deg is None or -90 <= fix.lat_deg <= 90
        assert fix.lon_deg is None or -180 <= fix.lon_deg <= 180
        assert (fix.lat_deg, fix.lon_deg) != (0, 0)
        assert fix.fix_quality is None or 0 <= fix.fix_quality <= 8
        assert fix.time_of_day_ms is None or 0 <= fix.time_of_day_ms < 86_401_000


@given(st.sampled_from(SENTENCES[:4]), st.data())
def test_one_wrong_byte_gives_no_position(body: bytes, data: st.DataObject) -> None:
    line = signed(body)
    at = data.draw(st.integers(0, len(line) - 3))
    changed = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    assume(not (at >= len(line) - 4 and chr(changed).upper() == chr(line[at])))  # a lower-case digit is the same digit
    fixes, _ = read([line[:at] + bytes([changed]) + line[at + 1 :], b"\r\n"])
    assert [fix for fix in fixes if fix.lat_deg is not None] == []


@given(st.sampled_from(SENTENCES[:4]), st.data())
def test_one_lost_byte_gives_no_position(body: bytes, data: st.DataObject) -> None:
    line = signed(body)
    at = data.draw(st.integers(0, len(line) - 3))
    fixes, _ = read([line[:at] + line[at + 1 :], b"\r\n"])
    assert [fix for fix in fixes if fix.lat_deg is not None] == []


@given(
    st.lists(st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=6), min_size=1, max_size=6),
    st.sets(st.integers(0, 40)),
)
def test_a_flush_anywhere_gives_no_second_position_for_a_time(epochs: list[list[bytes]], flushes: set[int]) -> None:
    reader = NmeaReader()
    fixes = []
    lines = [
        signed(
            body.replace(b"3326.9500,S,07039.6000,W", b"3149.1234,N,11713.5432,E")
            .replace(b"081503.00", b"0815%02d.00" % second)
        )
        for second, epoch in enumerate(epochs)
        for body in epoch
    ]  # fmt: skip
    for number, line in enumerate(lines):
        fixes += reader.feed(line)
        if number in flushes:
            fixes += reader.flush()
    fixes += reader.flush()
    times = [fix.time_of_day_ms for fix in fixes if fix.lat_deg is not None]
    assert len(times) == len(set(times))
    assert times == sorted(times)


frames = st.one_of(
    st.builds(lambda body: b"\xb5\x62\x01\x07" + body, st.binary(max_size=100)),  # u-blox
    st.builds(lambda body: b"\xba\xce\x50\x00\x01\x03" + body, st.binary(max_size=100)),  # CASIC
).map(lambda frame: frame.replace(b"#", b"-"))  # after a line end it opens a comment, as recorded logs have them


@given(st.lists(st.tuples(frames, st.sampled_from(SENTENCES)), min_size=1, max_size=10))
def test_binary_frames_between_sentences_cost_none_of_them(mixed: list[tuple[bytes, bytes]]) -> None:
    _, counts = read([b"".join(frame + signed(body) for frame, body in mixed)])
    assert sum(counts.accepted.values()) == len(mixed)
