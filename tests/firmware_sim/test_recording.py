"""A recording's bytes are untouched and its pace is the receiver's."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.receiver.sentences import sentence
from firmware_sim.recording import Piece, RecordingError, capture_head, read_capture, read_recording


def rmc(clock: str) -> bytes:
    return sentence(f"GNRMC,{clock},A,3954.42285,N,11625.62329,E,12.5,90.00,010926,,,A,V")


def offsets(*lines: bytes) -> list[float]:
    return [round(event.t_s, 3) for event in read_recording(b"".join(lines)).events]


def test_pace_is_the_time_of_day() -> None:
    vtg = sentence("GNVTG,,T,,M,0.0,N,0.0,K,A")
    gll = sentence("GNGLL,3954.42285,N,11625.62329,E,120003.20,A,A")
    zda = sentence("GNZDA,120004.00,01,09,2026,00,00")
    assert offsets(rmc("120000.00"), vtg, rmc("120001.00"), vtg, gll, zda) == [0, 0, 1, 1, 3.2, 4]


def test_across_midnight() -> None:
    assert offsets(rmc("235959.00"), rmc("000000.00"), rmc("000002.00")) == [0, 1, 3]


def test_small_steps_back_are_the_order_of_sentences() -> None:
    assert offsets(rmc("120000.00"), rmc("120000.20"), rmc("120000.00"), rmc("120001.00")) == [0, 0.2, 0.2, 1]


def test_a_clock_that_is_set_does_not_stall_the_play() -> None:
    lines = rmc("000001.00"), rmc("000002.00"), rmc("134500.00"), rmc("134501.00"), rmc("000010.00"), rmc("000011.00")
    recording = read_recording(b"".join(lines))
    assert [event.t_s for event in recording.events] == [0, 1, 2, 3, 4, 5]
    assert recording.clock_jumps == 2
    assert recording.duration_s == 5


def test_a_corrupted_time_is_not_believed() -> None:
    wrong = rmc("120001.00").replace(b"120001", b"120101")
    assert offsets(rmc("120000.00"), wrong, rmc("120002.00")) == [0, 0, 2]
    assert offsets(rmc("120000.00"), sentence("GNRMC,996199.00,A,,,,,,,,,,A,V"), rmc("120002.00")) == [0, 0, 2]


def test_times_without_a_right_checksum_anywhere_are_better_than_none() -> None:
    lines = [rmc(f"12000{n}.00").replace(b"*", b"x*") for n in range(3)]
    recording = read_recording(b"".join(lines))
    assert recording.is_timed
    assert recording.duration_s == 2


def test_a_sentence_after_binary_noise_counts() -> None:
    assert offsets(rmc("120000.00"), b"\xb5b\x01\x07$\x00" + rmc("120005.00")) == [0, 5]


def test_without_any_time_it_is_9600_baud() -> None:
    recording = read_recording(sentence("GPTXT,01,01,02,hello") * 96)
    assert not recording.is_timed
    assert recording.duration_s == pytest.approx(len(sentence("GPTXT,01,01,02,hello")) * 96 / 960)
    times = [event.t_s for event in recording.events]
    assert times == sorted(times)


def test_only_the_note_at_the_top_is_left_out() -> None:
    body = b"\r\n# amid\n" + rmc("120000.00") + b"# behind"
    recording = read_recording(b"# Name: a receiver\n#\n" + body)
    assert b"".join(event.data for event in recording.events) == body


@pytest.mark.parametrize("data", [b"", b"#", b"# only a note\n", b"hello\nworld\n", b"\x00\xff" * 500, b"$ 5 please"])
def test_no_recording(data: bytes) -> None:
    with pytest.raises(RecordingError):
        read_recording(data)


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([rmc("120000.00"), rmc("235959.50"), b"\n", b"$"]))))
def test_whatever_the_bytes_they_stay_and_time_only_goes_on(parts: list[bytes]) -> None:
    data = b"$GPTXT,\n" + b"".join(parts)
    recording = read_recording(data)
    assert b"".join(event.data for event in recording.events) == data
    times = [event.t_s for event in recording.events]
    assert times == sorted(times)
    assert times[0] >= 0


@pytest.mark.shared
def test_real_logs(telemetry: Path) -> None:
    """Every receiver log of gpsd's suite plays, byte for byte, and no longer than it took to record."""
    paths = sorted((telemetry / "gpsd_nmea").glob("*.log"))
    assert len(paths) > 50
    for path in paths:
        recording = read_recording(path.read_bytes())
        assert path.read_bytes().endswith(b"".join(event.data for event in recording.events)), path.name
        assert recording.duration_s < 1000, path.name
    (drive,) = (telemetry / "ublox_f9k_drive").glob("*.nmea.gz")
    assert read_recording(gzip.decompress(drive.read_bytes())).duration_s == 1727


def captured(*pieces: Piece) -> bytes:
    return capture_head({"port": "/dev/ttyUSB0", "baud": "9600"}) + b"".join(piece.line() for piece in pieces)


def test_a_capture_plays_with_its_own_times_from_the_first_byte_heard() -> None:
    line = rmc("120000.00")
    pieces = Piece(0.5, False, b"$PCAS10,0*1C\r\n"), Piece(2.0, True, line[:10]), Piece(2.016, True, line[10:])
    recording = read_recording(captured(*pieces, Piece(9.25, True, b"\xff\\n")))
    assert [(round(event.t_s, 6), event.data) for event in recording.events] == [
        (0.0, line[:10]),
        (0.016, line[10:]),
        (7.25, b"\xff\\n"),
    ]
    assert recording.is_timed
    assert round(recording.duration_s, 6) == 7.25


def test_a_capture_reads_as_text() -> None:
    assert Piece(1.5, False, b"ATZ\r").line() == b"1.500000 > ATZ\\r\n"
    assert read_capture(captured()).facts == {"port": "/dev/ttyUSB0", "baud": "9600"}


def test_a_capture_without_its_last_bytes_plays_what_is_whole() -> None:
    pieces = Piece(0.0, True, rmc("120000.00")), Piece(1.0, True, rmc("120001.00"))
    assert read_capture(captured(*pieces)[:-3]).pieces == pieces[:1]


@pytest.mark.parametrize(
    "line", [b"1.0 < late", b"0.000000 ? x", b"0.000000 < \\u4e2d", b"-1.000000 < x", b"0.000000 < \xff"]
)
def test_a_damaged_capture_is_refused(line: bytes) -> None:
    with pytest.raises(RecordingError, match="damaged"):
        read_capture(captured(Piece(0.5, True, b"x")) + line + b"\n")


def test_a_capture_must_go_on_in_time() -> None:
    with pytest.raises(RecordingError, match="line 4"):
        read_capture(captured(Piece(1.0, True, b"x"), Piece(0.999999, True, b"x")))


@given(st.lists(st.tuples(st.integers(0, 10**9), st.booleans(), st.binary(min_size=1, max_size=40))))
def test_every_byte_of_a_capture_comes_back(parts: list[tuple[int, bool, bytes]]) -> None:
    pieces = [Piece(time_us / 1e6, heard, data) for time_us, heard, data in sorted(parts, key=lambda part: part[0])]
    assert read_capture(captured(*pieces)).pieces == tuple(pieces)
