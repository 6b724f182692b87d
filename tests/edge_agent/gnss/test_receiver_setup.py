"""Setting receivers up: published commands byte by byte, five makes played, and what must never be sent."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.gnss.receiver_dialects import (
    MON_VER,
    QUESTIONS,
    SWITCHABLE,
    WANTED_TYPES,
    Dialect,
    commands,
    sentence,
    ubx,
    ubx_frames,
    who_is_it,
)
from edge_agent.gnss.receiver_setup import ReceiverSettings, ReceiverSetup
from edge_agent.settings import ConfigError, read_section

AUTO = ReceiverSettings(configure="auto")
BANNER = b"$GPTXT,01,01,02,MA=CASIC*27\r\n$GPTXT,01,01,02,IC=AT6558F-5N-32-1C580900*06\r\n"
PDTINFO = b"$PDTINFO,UM621-02,G1B1L1E1,V1.2,R6.0.0.0Build2810,2310414000033,000101114303845*10\r\n"
VERSIONA = b"#VERSIONA,97,GPS,FINE,2215,377240000,0,0,18,676;UM980,R4.10Build11826,HRPT00-S10C-P*c43f5ddf\r\n"


def mon_ver(*extensions: str) -> bytes:
    payload = b"EXT CORE 1.00".ljust(30, b"\0") + b"00080000".ljust(10, b"\0")
    return ubx(MON_VER, payload + b"".join(text.encode().ljust(30, b"\0") for text in extensions))


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("built", "published"),
    [
        (sentence("PCAS02,1000"), b"$PCAS02,1000*2E\r\n"),
        (sentence("PCAS04,3"), b"$PCAS04,3*1A\r\n"),
        (QUESTIONS[0].data, b"$PCAS06,0*1B\r\n"),
        (QUESTIONS[3].data, bytes.fromhex("b5620a0400000e34")),
        (commands(Dialect.UBLOX, WANTED_TYPES, 1000)[0].data, bytes.fromhex("b56206080600e803010001000139")),
        (commands(Dialect.UBLOX)[1].data, bytes.fromhex("b56206010300f00100fb11")),  # GLL off
    ],
)
def test_published_commands_come_out_byte_by_byte(built: bytes, published: bytes) -> None:
    assert built == published


def test_the_mix_of_casic_leaves_antenna_texts_as_they_are() -> None:
    (command,) = commands(Dialect.CASIC)
    fields = command.data.split(b"*")[0].split(b",")
    assert fields == [b"$PCAS03", b"1", b"0", b"0", b"0", b"1", b"0", b"0", *[b""] * 11]
    assert [each.about for each in commands(Dialect.CASIC, WANTED_TYPES, 500, True)] == [
        "PCAS02 500 ms",
        "PCAS04 GPS and BeiDou",
        "PCAS03 GGA RMC",
    ]


def test_valset_goes_to_ram_only_and_one_port_at_a_time() -> None:
    sets = commands(Dialect.UBLOX_VALSET, WANTED_TYPES, 1000, True)
    frames = [frame for command in sets for frame in ubx_frames(command.data)]
    assert [frame[:2] for frame in frames] == [(0x06, 0x8A)] * 4
    assert {frame[2][:4] for frame in frames} == {b"\0\1\0\0"}
    assert struct.unpack("<IH", frames[0][2][4:]) == (0x30210001, 1000)
    for payload, gga, gll in ((frames[2][2], 0x209100BB, 0x209100CA), (frames[3][2], 0x209100BD, 0x209100CC)):
        values = dict(struct.iter_unpack("<IB", payload[4:]))
        assert (len(values), values[gga], values[gll]) == (7, 1, 0)
    signals = dict(struct.iter_unpack("<IB", frames[1][2][4:]))
    assert signals == {0x1031001F: 1, 0x10310022: 1, 0x10310021: 0, 0x10310025: 0}


def test_unicore_commands() -> None:
    assert [each.about for each in commands(Dialect.UNICORE_N4)] == ["UNLOG", "GNGGA 1", "GNRMC 1"]
    firebird = [each.data for each in commands(Dialect.FIREBIRD, WANTED_TYPES, 1000)]
    assert firebird[0].startswith(b"$CFGNAV,1000,1000,1000*")
    assert [each[:11] for each in firebird[1:]] == [b"$CFGMSG,0,%d" % number for number in range(7)]
    assert [each[12:13] for each in firebird[1:]] == [b"1", b"0", b"0", b"0", b"1", b"0", b"0"]


types = st.frozensets(st.sampled_from(SWITCHABLE))


@given(st.sampled_from(list(Dialect)), types, st.one_of(st.none(), st.integers(100, 5000)), st.booleans())
def test_nothing_saves_resets_or_changes_the_speed(
    dialect: Dialect, wanted: frozenset[str], interval_ms: int | None, gps_beidou: bool
) -> None:
    written = [each.data for each in (*QUESTIONS, *commands(dialect, wanted, interval_ms, gps_beidou))]
    for data in written:
        assert not re.search(rb"PCAS(00|01|10|12)|CFGSAVE|SAVECONFIG|CFGPRT|RESET|CFGSYS|CONFIG", data)
        for group, identity, payload in ubx_frames(data):
            assert (group, identity) in {(0x0A, 0x04), (0x06, 0x01), (0x06, 0x08), (0x06, 0x8A)}
            assert identity != 0x8A or payload[1] == 1
    assert len(set(written)) == len(written)


# --- who is it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heard", "dialect"),
    [
        (BANNER, Dialect.CASIC),
        (b"$GPTXT,01,01,02,SW=URANUS5,V5.3.0.0*1D\r\n", Dialect.CASIC),
        (b"$GPTXT,01,01,01,ANTENNA OK*35\r\n", None),
        (PDTINFO, Dialect.FIREBIRD),
        (b"$PDTINFO*62\r\n", None),  # an echo
        (VERSIONA, Dialect.UNICORE_N4),
        (mon_ver(), Dialect.UBLOX),
        (mon_ver("PROTVER 14.00"), Dialect.UBLOX),
        (mon_ver("FWVER=SPG 3.01", "PROTVER=18.00"), Dialect.UBLOX),
        (mon_ver("PROTVER=27.11"), Dialect.UBLOX_VALSET),
        (b"$GNRMC,1\xb5\x62" + mon_ver("FWVER=SPG 5.10", "PROTVER=34.10"), Dialect.UBLOX_VALSET),
        (mon_ver("PROTVER=34.10")[:-1] + b"\0", None),
        (ubx(MON_VER), None),  # our own question, echoed
        (b"$GNTXT,01,01,02,u-blox AG - www.u-blox.com*4E\r\n", None),  # asked before it is written to
        (b"", None),
    ],
)
def test_who_it_is_must_be_proved(heard: bytes, dialect: Dialect | None) -> None:
    assert who_is_it(heard) == dialect


# --- receivers, played ------------------------------------------------------------------------------------------------


class Receiver:
    """What a receiver of some make does with commands: answers, and another mix of sentences."""

    def __init__(self, answer: Callable[[bytes], tuple[bytes, set[str] | None]], every_s: float = 1.0) -> None:
        self.mix = {"RMC", "GGA", "GSA", "GSV", "VTG"}
        self.every_s = every_s
        self.answer = answer
        self.written: list[bytes] = []

    def say(self, second: float) -> bytes:
        time = f"{81500 + second:09.2f}"
        return b"".join(
            f"$GN{name},{time if name in ('RMC', 'GGA') else 'A'},x*00\r\n".encode() for name in sorted(self.mix)
        )

    def hear(self, data: bytes) -> bytes:
        self.written.append(data)
        said, mix = self.answer(data)
        if mix is not None:
            self.mix = mix
        return said


def play(setup: ReceiverSetup, receiver: Receiver, seconds: int, start: int = 0) -> None:
    for tenth in range(10 * start, 10 * (start + seconds)):
        mono_s = tenth / 10
        if tenth % round(10 * receiver.every_s) == 0:
            setup.feed(receiver.say(mono_s % 60), mono_s)
        data = setup.due(mono_s)
        if data:
            setup.feed(receiver.hear(data), mono_s)


def casic(data: bytes) -> tuple[bytes, set[str] | None]:
    if data.startswith(b"$PCAS06"):
        return BANNER, None
    if data.startswith(b"$PCAS03"):
        rates = data.split(b"*")[0].split(b",")[1:8]
        return b"", {name for name, rate in zip(SWITCHABLE, rates, strict=True) if rate == b"1"}
    return b"", None


def ublox(
    protocol: str, mix: set[str], nak: tuple[int, int] | None = None
) -> Callable[[bytes], tuple[bytes, set[str] | None]]:
    ids = dict(enumerate(("GGA", "GLL", "GSA", "GSV", "RMC", "VTG")))

    def answer(data: bytes) -> tuple[bytes, set[str] | None]:
        frames = ubx_frames(data)
        if not frames:
            return b"", None
        group, identity, payload = frames[0]
        if (group, identity) == MON_VER:
            return mon_ver(f"PROTVER={protocol}"), None
        if nak == (group, identity):
            return ubx((5, 0), bytes((group, identity))), None
        if (group, identity) == (6, 1) and payload[1] in ids:
            (mix.add if payload[2] else mix.discard)(ids[payload[1]])
        if (group, identity) == (6, 0x8A) and len(payload) > 30:
            mix.intersection_update({"RMC", "GGA"})
        return b"\x01noise" + ubx((5, 1), bytes((group, identity))), set(mix)

    return answer


def firebird(data: bytes) -> tuple[bytes, set[str] | None]:
    if data.startswith(b"$PDTINFO"):
        return PDTINFO, None
    return (b"$OK*04\r\n", None) if data.startswith(b"$CFG") else (b"", None)


def test_casic_is_asked_and_told_and_its_mix_checked() -> None:
    setup, receiver = ReceiverSetup(AUTO), Receiver(casic)
    play(setup, receiver, 30)
    assert (setup.dialect, setup.state, setup.refused) == (Dialect.CASIC, "done", [])
    assert receiver.mix == WANTED_TYPES
    assert [data[:7] for data in receiver.written] == [b"$PCAS06", b"$PCAS03"]


def test_a_faster_receiver_is_slowed_down() -> None:
    setup, receiver = ReceiverSetup(AUTO), Receiver(casic, every_s=0.2)
    play(setup, receiver, 30)
    assert b"$PCAS02,1000*2E\r\n" in receiver.written
    setup.revert(30.0)
    play(setup, receiver, 30, start=30)
    assert b"$PCAS02,200*1D\r\n" in receiver.written


@pytest.mark.parametrize(("protocol", "dialect"), [("18.00", Dialect.UBLOX), ("27.11", Dialect.UBLOX_VALSET)])
def test_u_blox_acknowledges_each_command(protocol: str, dialect: Dialect) -> None:
    receiver = Receiver(ublox(protocol, {"RMC", "GGA", "GSA", "GSV", "VTG"}))
    setup = ReceiverSetup(AUTO)
    play(setup, receiver, 40)
    assert (setup.dialect, setup.state, setup.refused) == (dialect, "done", [])
    assert len(receiver.written) == len(set(receiver.written))


def test_what_a_receiver_refuses_is_told_and_not_repeated() -> None:
    receiver = Receiver(ublox("34.10", {"RMC", "GGA", "GSA", "GSV", "VTG"}, nak=(6, 0x8A)))
    setup = ReceiverSetup(AUTO)
    play(setup, receiver, 40)
    assert setup.state == "unconfirmed: it sends GGA GSA GSV RMC VTG"
    assert setup.refused == ["UBX-CFG-VALSET RAM GGA RMC on UART1", "UBX-CFG-VALSET RAM GGA RMC on USB"]
    assert len(receiver.written) == len(QUESTIONS) + 2


def test_a_command_without_its_answer_is_said_twice() -> None:
    receiver = Receiver(lambda data: (PDTINFO if data.startswith(b"$PDTINFO") else b"", None))
    setup = ReceiverSetup(AUTO)
    play(setup, receiver, 60)
    assert (setup.dialect, len(setup.refused)) == (Dialect.FIREBIRD, 7)
    assert [receiver.written.count(data) for data in dict.fromkeys(receiver.written[2:])] == [2] * 7


def test_firebird_and_n4() -> None:
    setup, receiver = ReceiverSetup(AUTO), Receiver(firebird)
    play(setup, receiver, 40)
    assert (setup.dialect, setup.refused) == (Dialect.FIREBIRD, [])

    def n4(data: bytes) -> tuple[bytes, set[str] | None]:
        if data == b"VERSIONA\r\n":
            return b"$command,VERSIONA,response: OK*45\r\n" + VERSIONA, None
        line = data.strip()
        verdict = b"PARSING FAILED" if line == b"GNRMC 1" else b"OK"
        return b"$command," + line + b",response: " + verdict + b"*00\r\n", None

    setup, receiver = ReceiverSetup(AUTO), Receiver(n4)
    play(setup, receiver, 40)
    assert (setup.dialect, setup.refused) == (Dialect.UNICORE_N4, ["GNRMC 1"])
    assert receiver.written[-3:] == [b"UNLOG\r\n", b"GNGGA 1\r\n", b"GNRMC 1\r\n"]


def test_a_receiver_of_no_known_make_gets_the_questions_once() -> None:
    setup, receiver = ReceiverSetup(AUTO), Receiver(lambda _data: (b"", None))
    play(setup, receiver, 100)
    assert setup.state == "unknown receiver"
    assert receiver.written == [question.data for question in QUESTIONS]


def test_nothing_is_written_where_nothing_is_wanted() -> None:
    off, receiver = ReceiverSetup(ReceiverSettings()), Receiver(casic)
    play(off, receiver, 30)
    assert (receiver.written, off.state) == ([], "off")

    content = Receiver(casic)
    content.mix = {"RMC", "GGA"}
    setup = ReceiverSetup(AUTO)
    play(setup, content, 30)
    assert (content.written, setup.state) == ([], "done: it already sends what is wanted")
    systems = ReceiverSetup(ReceiverSettings("auto", "gps+beidou"))
    play(systems, content, 30)
    assert b"$PCAS04,3*1A\r\n" in content.written


def test_what_is_no_receiver_is_never_written_to() -> None:
    setup = ReceiverSetup(AUTO)
    for second in range(60):
        setup.feed(b"ELM327 v1.5\r>\xff\xfe$GNGGA,,,,,,0,00,25.5,,,,,,*64\r\n", float(second))
        assert setup.due(float(second)) == b""
    assert setup.state == "listening"
    assert ReceiverSetup(AUTO).due(100.0) == b""


def test_revert_brings_the_mix_back_that_was_heard() -> None:
    setup, receiver = ReceiverSetup(AUTO), Receiver(casic)
    before = set(receiver.mix)
    setup.revert(0.0)
    play(setup, receiver, 30)
    setup.revert(30.0)
    play(setup, receiver, 30, start=30)
    assert receiver.mix == before
    assert setup.state == "done: as it was before"


def test_a_receiver_that_restarted_is_set_up_again_but_not_all_the_time() -> None:
    setup, receiver = ReceiverSetup(AUTO), Receiver(casic)
    play(setup, receiver, 30)
    setup.feed(BANNER[:20], 31.0)
    setup.feed(BANNER[20:], 31.1)
    assert setup.state == "done"
    receiver.mix = {"RMC", "GGA", "GSV"}
    setup.feed(BANNER, 100.0)
    assert setup.state == "listening"
    play(setup, receiver, 30, start=101)
    assert (setup.state, receiver.mix) == ("done", WANTED_TYPES)


def test_a_port_opened_anew_begins_anew() -> None:
    setup = ReceiverSetup(AUTO)
    play(setup, Receiver(lambda _data: (b"", None)), 60)
    setup.restart()
    play(setup, Receiver(casic), 30, start=60)
    assert (setup.dialect, setup.state) == (Dialect.CASIC, "done")


pieces = st.sampled_from(
    [
        BANNER,
        PDTINFO,
        VERSIONA,
        mon_ver("PROTVER=18.00"),
        b"$GNRMC,081500.00,A*00\r\n",
        b"$GNGGA,081501,x\r\n",
        b"\xb5\x62",
    ]
)


@given(st.lists(st.tuples(st.one_of(pieces, st.binary(max_size=60)), st.floats(0, 20)), max_size=40), st.booleans())
def test_whatever_is_heard_nothing_raises_and_only_known_commands_are_written(
    heard: list[tuple[bytes, float]], revert: bool
) -> None:
    setup, mono_s, written = ReceiverSetup(AUTO), 0.0, []
    for data, passed_s in heard:
        mono_s += passed_s
        setup.feed(data, mono_s)
        written.append(setup.due(mono_s))
        if revert:
            setup.revert(mono_s)
    known = re.compile(
        rb"(\$PCAS0[236],|\$PDTINFO|VERSIONA|UNLOG|GN[A-Z]{3} |\$CFG(MSG|NAV),|\xb5\x62[\x06\x0a]).*", re.DOTALL
    )
    assert all(not data or known.fullmatch(data) for data in written)


def test_settings_are_off_by_default_and_checked() -> None:
    assert ReceiverSettings() == ReceiverSettings(configure="off", systems="keep")
    with pytest.raises(ConfigError):
        read_section(ReceiverSettings, {"configure": "on"}, "[receiver]")
