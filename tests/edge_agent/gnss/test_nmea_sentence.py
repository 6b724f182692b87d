"""Framing: which bytes are a sentence, which are refused and why, which are noise."""

from __future__ import annotations

from functools import reduce
from operator import xor

import pytest

from edge_agent.gnss.nmea_sentence import MAX_SENTENCE_BYTES, REFUSALS, SentenceFramer

GGA = b"GNGGA,100000.00,2230.00000,N,11404.00000,E,1,10,0.80,12.0,M,-2.0,M,,"
VTG = b"GNVTG,90.00,T,,M,10.000,N,18.520,K,A"


def signed(body: bytes, end: bytes = b"\r\n") -> bytes:
    return b"$" + body + b"*%02X" % reduce(xor, body) + end


def framed(data: bytes) -> tuple[list[str], dict[str, int], int]:
    framer = SentenceFramer()
    sentences = framer.feed(data)
    return [sentence.address for sentence in sentences], dict(framer.refused), framer.noise_bytes


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r", b"\n\r", b"  \r\n"])
def test_any_line_end_will_do(end: bytes) -> None:
    assert framed(signed(GGA, end) + signed(VTG, end)) == (["GNGGA", "GNVTG"], {}, 0)


def test_address_and_fields_come_out_as_sent() -> None:
    (sentence,) = SentenceFramer().feed(signed(VTG))
    assert (sentence.address, sentence.fields) == ("GNVTG", ["90.00", "T", "", "M", "10.000", "N", "18.520", "K", "A"])
    assert sentence.length == len(signed(VTG, b""))


def test_checksum_digits_may_be_lower_case() -> None:
    body = b"GNZDA,103607.00,06,03,2021,00,00"
    assert signed(body).endswith(b"*7F\r\n")
    assert framed(b"$" + body + b"*7f\r\n") == (["GNZDA"], {}, 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (signed(GGA).replace(b"2230", b"2231"), "checksum"),
        (b"$" + GGA + b"\r\n", "no_checksum"),
        (signed(GGA)[:40] + b"\r\n", "no_checksum"),
        (signed(GGA)[:40] + b"$\r\n", "interrupted"),
        (signed(GGA.replace(b"2230", b"22\x0030")), "not_ascii"),
        (signed(GGA.replace(b"2230", b"22\xb030")), "not_ascii"),
        (signed(GGA, b"")[:-2] + b"G1\r\n", "malformed"),
        (signed(GGA, b"7\r\n"), "malformed"),
        (b"$GPTXT," + b"u" * MAX_SENTENCE_BYTES + b"\r\n", "too_long"),
    ],
)
def test_a_refused_sentence_is_counted_by_its_reason(line: bytes, reason: str) -> None:
    addresses, refused, _ = framed(line + signed(VTG))
    assert addresses == ["GNVTG"]
    assert refused == {reason: 1}
    assert reason in REFUSALS


def test_the_next_dollar_saves_the_next_sentence() -> None:
    assert framed(signed(GGA)[:50] + signed(VTG)) == (["GNVTG"], {"interrupted": 1}, 0)


def test_a_doubled_dollar_costs_nothing() -> None:
    assert framed(b"$" + signed(GGA)) == (["GNGGA"], {}, 1)


def test_a_whole_sentence_needs_no_line_end() -> None:
    assert framed(signed(GGA, b"") + signed(VTG, b"") + b"\xb5\x62") == (["GNGGA", "GNVTG"], {}, 2)


def test_binary_between_sentences_is_noise_and_not_a_refused_sentence() -> None:
    ubx = b"\xb5\x62\x01\x07$\x00!\xff\r\n\x80$$\x01"
    assert framed(signed(GGA) + ubx + signed(VTG)) == (["GNGGA", "GNVTG"], {}, len(ubx) - 2)


def test_ais_sentences_start_with_an_exclamation_mark() -> None:
    vdm = b"!" + signed(b"AIVDM,1,1,,A,13aEOK?P00PD2wVMdLDRhgvL289?,0")[1:]
    assert framed(vdm) == (["AIVDM"], {}, 0)


def test_comments_of_a_log_are_neither_sentences_nor_noise() -> None:
    comment = "# B&G Zeus², $GPRMC,1 and the like\n".encode()
    assert framed(comment + signed(GGA) + comment) == (["GNGGA"], {}, 0)


def test_an_empty_comment_hides_nothing() -> None:
    assert framed(b"#\n" + signed(GGA) + b"#\r\n" + signed(VTG)) == (["GNGGA", "GNVTG"], {}, 0)


def test_a_hash_within_a_line_is_no_comment() -> None:
    assert framed(b"a#b" + signed(GGA)) == (["GNGGA"], {}, 3)


def test_binary_that_looks_like_a_comment_hides_nothing() -> None:
    assert framed(b"\n#\xb5\x62\x01\x07" + signed(GGA)) == (["GNGGA"], {}, 2)


def test_flush_takes_a_sentence_that_lacks_its_line_end_and_keeps_half_a_sentence() -> None:
    framer = SentenceFramer()
    assert framer.feed(signed(GGA, b"")) == []
    assert [sentence.address for sentence in framer.flush()] == ["GNGGA"]
    half, rest = signed(VTG)[:20], signed(VTG)[20:]
    assert framer.feed(b"\r\n" + half) == []
    assert framer.flush() == []
    assert [sentence.address for sentence in framer.feed(rest)] == ["GNVTG"]
    assert (dict(framer.refused), framer.noise_bytes) == ({}, 0)


def test_flush_refuses_a_wrong_checksum_too() -> None:
    framer = SentenceFramer()
    framer.feed(signed(GGA, b"").replace(b"2230", b"2231"))
    assert framer.flush() == []
    assert framer.refused == {"checksum": 1}


def test_the_longest_sentence_is_whole_and_the_next_longer_is_refused() -> None:
    longest = signed(b"GPTXT," + b"u" * (MAX_SENTENCE_BYTES - 10))
    assert len(longest) == MAX_SENTENCE_BYTES + 2
    assert framed(longest) == (["GPTXT"], {}, 0)
    addresses, refused, _ = framed(signed(b"GPTXT," + b"u" * (MAX_SENTENCE_BYTES - 9)))
    assert (addresses, refused) == ([], {"too_long": 1})


def test_a_line_without_end_does_not_grow_the_memory() -> None:
    framer = SentenceFramer()
    for _ in range(100):
        framer.feed(b"$GPTXT," + b"u" * 1000)
    assert len(framer._tail) <= MAX_SENTENCE_BYTES
    assert framer.refused["too_long"] == 100
