"""What receivers do when they are configured: recorded and published bytes in, answers and other sentences out."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.gnss.receiver_setup import ReceiverSettings as SetupSettings
from edge_agent.gnss.receiver_setup import ReceiverSetup
from firmware_sim.receiver.commands import CommandReader, Frame, Line, Sentence, ubx
from firmware_sim.receiver.receiver import Receiver
from firmware_sim.receiver.sentences import sentence
from firmware_sim.receiver.settings import MAKES
from firmware_sim.receiver.unicore import n4_log
from tests.firmware_sim.receiver.listening import listen, receiver, straight_on

CFG_VALSET = (0x06, 0x8A)


def kinds(sender: Receiver, from_s: float, epochs: int = 1) -> list[set[str]]:
    """The types told in each of the next epochs."""
    motions = straight_on(epochs * sender.interval_s, from_s=from_s, step_s=sender.interval_s)
    return [{line[3:6].decode() for line in second.raw} for second in listen(sender, motions)]


def ack(kind: tuple[int, int], yes: bool = True) -> bytes:
    return ubx((0x05, int(yes)), bytes(kind))


# --- cutting what is heard into commands ------------------------------------------------------------------------------

SPOKEN = (
    b"\xff\xfe"
    + ubx((0x06, 0x08), struct.pack("<HHH", 200, 1, 1))
    + b"$PCAS06,0*1B\r\n"
    + ubx((0x0A, 0x04))
    + b"UNLOG\r\n"
    b"$PDTINFO\r\n$PCAS02,1000*2F\r\n\xb5\x62\x06\x01\x03\x00\xf0\x01\x00\xfb\x12\xb5\x62\xff\xff\xff\xff\n"
    b"noise $PCAS10,0*1C\r\n\r\n\x80\x81\r\n"
)
COMMANDS = [
    Frame((0x06, 0x08), struct.pack("<HHH", 200, 1, 1)),
    Sentence("PCAS06,0", True),
    Frame((0x0A, 0x04), b""),
    Line("UNLOG"),
    Sentence("PDTINFO", None),
    Sentence("PCAS02,1000", False),
    Sentence("PCAS10,0", True),
]


@given(st.lists(st.integers(0, len(SPOKEN)), max_size=12))
def test_any_chunking_gives_the_same_commands(cuts: list[int]) -> None:
    reader, edges = CommandReader(), [0, *sorted(cuts), len(SPOKEN)]
    found = [command for a, b in itertools.pairwise(edges) for command in reader.feed(SPOKEN[a:b])]
    assert found == COMMANDS


@given(st.lists(st.binary(max_size=200), max_size=20), st.sampled_from(MAKES))
def test_nothing_that_is_said_breaks_a_receiver(chunks: list[bytes], make: str) -> None:
    sender = receiver(make=make)
    for chunk in chunks:
        sender.heard(chunk, 0.0)
    sender.heard(b"\r\n" + b"\0" * 1100 + b"\r\n", 0.0)
    assert listen(sender, straight_on(1))[0].raw


def test_frames_are_those_of_the_manuals() -> None:
    """UBX-13003221: a MON-VER poll, and CFG-RATE to 1,000 ms as u-center sends it."""
    assert ubx((0x0A, 0x04)) == bytes.fromhex("b5620a0400000e34")
    assert ubx((0x06, 0x08), struct.pack("<HHH", 1000, 1, 1)) == bytes.fromhex("b56206080600e803010001000139")


# --- CASIC ------------------------------------------------------------------------------------------------------------


def test_casic_tells_its_product() -> None:
    sender = receiver(make="casic")
    assert sender.heard(b"$PCAS06,0*1B\r\n", 0.0) == b"$GPTXT,01,01,02,SW=URANUS5,V5.3.0.0*1D\r\n"
    assert sender.heard(b"$PCAS06,1*1A\r\n", 0.0) == b"$GPTXT,01,01,02,HW=ATGM336H,0001170603610*17\r\n"
    assert sender.heard(sentence("PCAS06,2"), 0.0) == b"$GPTXT,01,01,02,MO=GB*77\r\n"
    assert sender.heard(sentence("PCAS06,9") + b"$PCAS06,0*00\r\n", 0.0) == b""


def test_casic_changes_mix_rate_systems_and_speed() -> None:
    sender = receiver(make="casic")
    assert sender.heard(sentence("PCAS03,1,0,0,5,1,0,0,0,,,,,,,,,,"), 0.0) == b""
    told = kinds(sender, 0, 6)
    assert told[0] == told[5] == {"GGA", "RMC", "GSV"}
    assert told[1] == told[4] == {"GGA", "RMC"}
    sender.heard(
        sentence("PCAS03,10,,,0,,,,,,,,,,,,,,"), 6.0
    )  # empty fields, and above 9, leave the others as they are
    sender.heard(b"$PCAS02,200*1D\r\n", 6.0)
    assert sender.interval_s == 0.2
    assert kinds(sender, 6.0, 5) == [{"GGA", "RMC"}] * 5
    sender.heard(sentence("PCAS02,50"), 7.0)  # faster than it can
    assert sender.interval_s == 0.2
    sender.heard(b"$PCAS01,1*1D\r\n", 7.0)
    assert sender.baud == 9600
    sender.heard(sentence("PCAS03,0,0,1,0,1,0,0,0") + sentence("PCAS04,1"), 8.0)
    (only_gps,) = listen(sender, straight_on(1, from_s=20))
    assert [gsa.systemId for gsa in only_gps.all_of("GSA")] == ["1"]


def test_a_cold_restart_starts_cold_and_shows_the_banner() -> None:
    sender = receiver(make="casic", sentences=("RMC",))
    assert listen(sender, straight_on(5))[-1].has_fix
    sender.heard(sentence("PCAS10,2"), 5.0)
    seconds = listen(sender, straight_on(60, from_s=5))
    assert seconds[0].raw[0] == b"$GPTXT,01,01,02,MA=CASIC*27\r\n"
    back = next(index for index, second in enumerate(seconds) if second.has_fix)
    assert 20 < back < 55
    sender.heard(sentence("PCAS10,0"), 65.0)
    assert listen(sender, straight_on(4, from_s=65))[-1].has_fix


# --- u-blox -----------------------------------------------------------------------------------------------------------


def test_ublox_tell_their_version() -> None:
    for make, protocol in (("ublox_m8", b"PROTVER=18.00"), ("ublox", b"PROTVER=34.10")):
        told = receiver(make=make).heard(bytes.fromhex("b5620a0400000e34"), 0.0)
        (frame,) = CommandReader().feed(told)
        assert isinstance(frame, Frame)
        assert frame.kind == (0x0A, 0x04)
        assert (len(frame.payload) - 40) % 30 == 0
        assert frame.payload[70:100].rstrip(b"\0") == protocol


def test_an_m8_is_set_message_by_message() -> None:
    sender = receiver(make="ublox_m8")
    gll_off = bytes.fromhex("b56206010300f00100fb11")  # as published in many a sketch
    assert sender.heard(gll_off, 0.0) == bytes.fromhex("b5620501020006010f38")  # ACK-ACK of CFG-MSG
    assert kinds(sender, 0) == [{"RMC", "VTG", "GGA", "GSA", "GSV"}]
    eight = ubx((0x06, 0x01), bytes((0xF0, 3, 9, 2, 9, 9, 9, 9)))  # on UART1 every other epoch
    assert sender.heard(eight, 1.0) == ack((0x06, 0x01))
    assert ["GSV" in told for told in kinds(sender, 1, 4)] == [False, True, False, True]  # by the clock
    assert sender.heard(ubx((0x06, 0x01), bytes((0xF0, 3))), 5.0).startswith(
        ubx((0x06, 0x01), bytes((0xF0, 3, 0, 2, 0, 0, 0, 0)))
    )
    assert sender.heard(ubx((0x06, 0x01), bytes((0xF0, 0x55, 1))), 5.0) == ack((0x06, 0x01), yes=False)
    assert sender.heard(ubx((0x06, 0x08), struct.pack("<HHH", 200, 1, 1)), 5.0) == ack((0x06, 0x08))
    assert sender.interval_s == 0.2
    assert sender.heard(ubx((0x06, 0x08), struct.pack("<HHH", 20, 1, 1)), 5.0) == ack((0x06, 0x08), yes=False)
    assert sender.heard(ubx((0x06, 0x08)), 5.0) == ubx((0x06, 0x08), struct.pack("<HHH", 200, 1, 1)) + ack((0x06, 0x08))
    assert sender.heard(ubx(CFG_VALSET, b"\0\1\0\0" + struct.pack("<IB", 0x209100CA, 1)), 5.0) == ack(
        CFG_VALSET, yes=False
    )
    port = struct.pack("<BBHIIHHHH", 1, 0, 0, 0x8D0, 38400, 7, 3, 0, 0)
    assert sender.heard(ubx((0x06, 0x00), port), 5.0) == ack((0x06, 0x00))
    assert sender.baud == 38400
    systems = (
        struct.pack("<BBBB", 0, 32, 32, 2)
        + struct.pack("<BBBBI", 0, 8, 16, 0, 1)
        + struct.pack("<BBBBI", 3, 8, 16, 0, 0)
    )
    assert sender.heard(ubx((0x06, 0x3E), systems), 5.0) == ack((0x06, 0x3E))
    assert sender.output.systems == ("GPS",)
    assert sender.heard(ubx((0x06, 0x04), struct.pack("<HBB", 0xFFFF, 1, 0)), 5.0) == b""  # CFG-RST is not answered
    assert not listen(sender, straight_on(1, from_s=6))[0].has_fix


def test_an_m10_is_set_by_keys() -> None:
    sender = receiver(make="ublox")

    def valset(*values: bytes, layers: int = 1) -> bytes:
        return sender.heard(ubx(CFG_VALSET, bytes((0, layers, 0, 0)) + b"".join(values)), 0.0)

    no_gsv, no_gll = struct.pack("<IB", 0x209100C5, 0), struct.pack("<IB", 0x209100CA, 0)
    assert valset(no_gsv, struct.pack("<IB", 0x209100C8, 0)) == ack(CFG_VALSET, yes=False)  # USB: an M10 has none
    assert kinds(sender, 0) == [{"RMC", "VTG", "GGA", "GSA", "GSV", "GLL"}]  # refused whole
    assert valset(no_gsv, no_gll) == ack(CFG_VALSET)
    assert kinds(sender, 1) == [{"RMC", "VTG", "GGA", "GSA"}]
    assert valset(struct.pack("<IB", 0x209100AC, 0), layers=4) == ack(CFG_VALSET)  # flash: not what runs
    assert kinds(sender, 2) == [{"RMC", "VTG", "GGA", "GSA"}]
    assert valset(struct.pack("<IH", 0x30210001, 250), struct.pack("<IH", 0x30210002, 2)) == ack(CFG_VALSET)
    assert sender.interval_s == 0.5
    assert valset(struct.pack("<IB", 0x1031001F, 0), struct.pack("<IB", 0x10310022, 0)) == ack(CFG_VALSET, yes=False)
    assert valset(struct.pack("<IB", 0x1031001F, 0)) == ack(CFG_VALSET)
    assert sender.output.systems == ("BeiDou",)
    assert valset(struct.pack("<II", 0x40520001, 9600)) == ack(CFG_VALSET)
    assert sender.baud == 9600
    assert valset(no_gsv[:-1]) == valset() == ack(CFG_VALSET, yes=False)
    assert sender.heard(bytes.fromhex("b56206010300f00100fb11"), 0.0) == ack((0x06, 0x01), yes=False)  # gone with M10


# --- Unicore ----------------------------------------------------------------------------------------------------------


def test_a_firebird_answers_ok_or_fail() -> None:
    sender = receiver(make="unicore")
    product = b"$PDTINFO,UM621-02,G1B1L1E1,V1.2,R6.0.0.0Build2810,2310414000033,000101114303845*10\r\n"
    assert sender.heard(b"$PDTINFO\r\n", 0.0) == product + b"$OK*04\r\n"
    assert sender.heard(b"$CFGMSG,0,3,0\r\n", 0.0) == b"$OK*04\r\n"
    assert sender.heard(sentence("CFGMSG,0,5,1"), 0.0) == b"$OK*04\r\n"
    assert kinds(sender, 0) == [{"RMC", "GGA", "GSA", "VTG"}]
    assert sender.heard(b"$CFGNAV,200,200,1000\r\n", 1.0) == b"$OK*04\r\n"
    assert sender.interval_s == 0.2
    assert kinds(sender, 1) == [{"RMC", "GGA", "GSA", "GSV"}]  # CFGNAV brought the mix back
    for wrong in (
        b"$CFGNAV,200,200,1\r\n",
        b"$CFGNAV,200,100,1000\r\n",
        b"$CFGMSG,0,9,1\r\n",
        b"$CFGMSG,0,3,0*00\r\n",
        b"$NO\r\n",
    ):
        assert sender.heard(wrong, 1.0).startswith(b"$FAIL,")
    assert sender.heard(b"$CFGPRT,1,h0,9600,129,3\r\n", 1.0) == b"$OK*04\r\n"
    assert sender.baud == 9600
    assert sender.heard(b"$CFGSYS,h10\r\n", 1.0) == b"$OK*04\r\n"
    assert sender.output.systems == ("BeiDou",)
    assert sender.heard(b"$RESET,0,h85\r\n", 1.0) == b"$OK*04\r\n"
    assert not listen(sender, straight_on(1, from_s=5))[0].has_fix


def test_an_n4_answers_as_recorded() -> None:
    sender = receiver(make="unicore_n4")
    told = sender.heard(b"VERSIONA\r\n", 0.0)
    assert told.startswith(b"$command,VERSIONA,response: OK*45\r\n#VERSIONA,")
    assert b'"UM980","R4.10Build11833"' in told
    assert sender.heard(b"GPGGA 1\r\n", 0.0) == b"$command,GPGGA 1,response: OK*19\r\n"
    assert sender.heard(b"THISHEADERDOESNOTEXIST\r\n", 0.0) == (
        b"$command,THISHEADERDOESNOTEXIST,response: PARSING FAILED NO MATCHING FUNC  THISHEADERDOESNOTEXIST*05\r\n"
    )
    recorded = (
        'VERSIONA,79,GPS,FINE,2326,378237000,15434,0,18,889;"UM982","R4.10Build15434","HRPT00-S10C-P",'
        '"2310415000012-LR23A2225208904","ff2740966a10124c","2024/08/08"'
    )
    assert n4_log(recorded).endswith(b"*769fd54f\r\n")


def test_an_n4_has_a_period_for_each_log() -> None:
    sender = receiver(make="unicore_n4")
    for line in (b"unlog\r\n", b"GNRMC COM1 0.2\r\n", b"LOG GNGGA ONTIME 1\r\n", b"GNGSV 2\r\n"):
        assert b"response: OK*" in sender.heard(line, 0.0)
    told = kinds(sender, 0, 11)
    assert sender.interval_s == 0.2
    assert [index for index, names in enumerate(told) if "GGA" in names] == [0, 5, 10]
    assert [index for index, names in enumerate(told) if "GSV" in names] == [0, 10]
    assert all("RMC" in names for names in told)
    assert b"response: OK*" in sender.heard(b"UNLOG COM1 GNGSV\r\nSAVECONFIG\r\nCONFIG COM1 460800\r\n", 3.0)
    assert sender.baud == 460800
    assert kinds(sender, 4.0) == [{"RMC", "GGA"}]
    for wrong in (b"GNRMC 0.01\r\n", b"GNXYZ 1\r\n", b"LOG\r\n"):
        assert b"PARSING FAILED" in sender.heard(wrong, 5.0)
    assert sender.heard(b"FRESET\r\n", 5.0).startswith(b"$command,FRESET,response: OK*")
    assert not listen(sender, straight_on(1, from_s=6))[0].has_fix


def test_a_receiver_of_no_make_answers_nothing() -> None:
    sender = receiver()
    assert sender.heard(SPOKEN, 0.0) == b""
    assert sender.interval_s == 1.0


# --- the agent's own setup, against receivers that share no code with it ----------------------------------------------


@pytest.mark.parametrize("make", [make for make in MAKES if make != "generic"])
@pytest.mark.parametrize("rate_hz", [1.0, 5.0])
def test_the_agent_can_set_up_every_make(make: str, rate_hz: float) -> None:
    sender, setup = receiver(make=make, rate_hz=rate_hz), ReceiverSetup(SetupSettings(configure="auto"))
    for motion in straight_on(60, step_s=0.1):
        for line in sender.epoch(motion):
            setup.feed(line, motion.t_s)
        answer = sender.heard(setup.due(motion.t_s), motion.t_s)
        if answer:
            setup.feed(answer, motion.t_s)
    assert setup.state == "done"
    texts = {"TXT"} if make == "casic" else set()  # the agent leaves antenna texts as they are
    assert kinds(sender, 70.0, 3) == [{"RMC", "GGA"} | texts] * 3
    assert sender.interval_s == 1.0
