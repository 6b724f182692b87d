"""Coverage-guided fuzzing of all that a receiver's bytes pass through: nothing raises, any chunking gives the same.

    python tests/fuzz/fuzz_nmea.py [CORPUS_DIR] [-runs=N] [-seed=N] [-max_total_time=S]      options are libFuzzer's

The first byte of an input chooses how the rest is used: as it is, or as lines that get the right checksum, so that the
fuzzer need not guess those. `tests/fuzz/test_fuzz_nmea.py` runs it for a moment with a fixed seed.
"""

import sys
from functools import reduce
from operator import xor
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["edge_agent"]):
    from edge_agent.gnss.gnss_time import BUILT_UTC, HORIZON, SLACK, GnssTime
    from edge_agent.gnss.nmea import NmeaReader, best_of_each_time
    from edge_agent.gnss.position import PositionFilter
    from edge_agent.gnss.receiver_setup import ReceiverSettings, ReceiverSetup

SEEDS = (
    b"\x01GNRMC,081503.00,A,3149.12345,N,11713.54321,E,10.000,90.00,231126,,,A,V\nGNVTG,90.00,T,,M,10.000,N,18.520,K,A",
    b"\x01GNGGA,081503.00,3149.12345,N,11713.54321,E,1,09,1.10,37.7,M,-1.2,M,,",
    b"\x01BDGGA,081503.00,3149.12345,N,11713.54321,E,6,09,,,,,,,\nGPGLL,3326.9500,S,07039.6000,W,081503.00,A,A",
    b"\x01GBGNS,235960.00,3149.12345,N,11713.54321,E,NNNA,14,0.7,37.4,-1.2,,,V\nGPZDA,081503.00,23,11,2026,00,00",
    b"\x01GNGSA,A,3,01,03,06,08,13,,,,,,,,2.10,1.10,1.79,4\nGPTXT,01,01,02,MA=CASIC\nGPTXT,01,01,02,SW=URANUS5,V5.3.0.0",
    b"\x00# comment\r\n\xb5\x62\x0a\x04\x00\x00\x0e\x34$GPRMC,,V,,,,,,,,,,N*53\r\n\xba\xce\x04\x00\x05\x01$PDTINFO",
)


def one_input(data: bytes) -> None:
    if not data:
        return
    signed = b"".join(b"$%b*%02X\r\n" % (line, reduce(xor, line, 0)) for line in data[1:].split(b"\n"))
    stream = data[1:] if data[0] % 2 == 0 else signed
    reader, clock, given = NmeaReader(), GnssTime(), PositionFilter()
    setup = ReceiverSetup(ReceiverSettings(configure="auto"))
    step = 1 + data[0] // 2
    mono_s = 0.0
    fixes = []
    for at in range(0, len(stream), step):
        mono_s += 0.3
        chunk = stream[at : at + step]
        setup.feed(chunk, mono_s)
        setup.due(mono_s)
        for fix in reader.feed(chunk):
            fixes.append(fix)
            shown = given.step(clock.step(fix), mono_s)
            assert shown.time_utc is None or BUILT_UTC - SLACK <= shown.time_utc <= BUILT_UTC + HORIZON
            assert (shown.lat_deg is None) == (shown.lon_deg is None)
            assert shown.lat_deg is None or abs(shown.lat_deg) <= 90
            assert shown.lon_deg is None or abs(shown.lon_deg) <= 180
    fixes += reader.flush()
    whole = NmeaReader()
    assert whole.feed(stream) + whole.flush() == fixes
    assert whole.counts == reader.counts
    assert len(best_of_each_time(fixes)) <= len(fixes)


def main() -> None:
    arguments = sys.argv
    if not any(not argument.startswith("-") for argument in arguments[1:]):  # no corpus: begin with ours
        for seed in SEEDS:
            one_input(seed)
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
