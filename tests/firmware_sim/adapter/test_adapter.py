"""The adapter in time: pace, interruption, power, faults; and what each clone family does wrong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.adapter.profile import AdapterFaults, Profile
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.j1979 import GEARBOX, CarSnapshot

CAR = CarSnapshot(vin="LSVPW5000T2000001", battery_v=13.4, rpm=800, coolant_c=85)
GOOD = PROFILES["elm327_v14b"]


class Desk:
    """An adapter and the time."""

    def __init__(self, profile: Profile | str = GOOD, *typed: str, car: CarSnapshot = CAR, seed: int = 0) -> None:
        self.adapter = Adapter(PROFILES[profile] if isinstance(profile, str) else profile, seed=seed)
        self.car, self.now_s = car, 100.0
        for command in typed:
            self.ask(command)

    def type(self, text: str) -> None:
        self.adapter.feed(text.encode("latin-1"), self.car, self.now_s)

    def after(self, seconds: float) -> str:
        self.now_s += seconds
        self.adapter.feed(b"", self.car, self.now_s)
        return self.adapter.due(self.now_s).decode("latin-1")

    def ask(self, command: str) -> str:
        self.type(command + "\r")
        return self.after(30)

    def befall(self, faults: AdapterFaults) -> str:
        """What begins or ends now; it is noticed with the next call, which is this one."""
        self.adapter.faults = faults
        return self.after(0)

    def takes_s(self, command: str) -> float:
        """From the command to its answer's last byte."""
        self.type(command + "\r")
        begun_s = last_s = self.now_s
        while (next_s := self.adapter.next_s()) is not None:
            last_s = next_s
            assert self.adapter.due(next_s)
        self.now_s = last_s + 1
        return last_s - begun_s


READY = ("ATE0", "ATSP6")


def test_bytes_leave_at_the_line_s_rate() -> None:
    desk = Desk(replace(GOOD, pace=replace(GOOD.pace, packet_s=0.0)) if GOOD.pace else GOOD, "ATE0")
    assert desk.takes_s("ATI") == pytest.approx(0.004 + 15 * 10 / 38_400)  # "ELM327 v1.4b\r\r>"
    slow = Desk("v15_bt_slow", "ATE0")
    assert slow.takes_s("ATI") > 5 * desk.takes_s("ATI")


def test_it_is_not_all_there_at_once() -> None:
    desk = Desk(GOOD, "ATE0")
    desk.type("ATI\r")
    assert desk.adapter.due(desk.now_s) == b""
    assert desk.after(0.006) == "ELM327 "
    assert desk.after(1) == "v1.4b\r\r>"
    assert desk.adapter.next_s() is None


def test_waiting_for_more_follows_at_st_and_at_at() -> None:
    desk = Desk(GOOD, *READY, "ATAT0")
    patient = desk.takes_s("0105")  # 8 ms the car, then 200 ms for others
    assert desk.takes_s("01051") < patient - 0.15
    desk.ask("ATST 10")
    assert 0.13 < patient - desk.takes_s("0105") < 0.14  # 50 - 16 steps of 4 ms
    desk.ask("ATST 32")
    desk.ask("ATAT1")
    assert desk.takes_s("0105") < patient - 0.1
    desk.ask("ATST 01")  # 4 ms: too short for this car
    assert desk.ask("0105") == "NO DATA\r\r>"


def test_a_byte_during_the_car_s_answer_stops_it() -> None:
    desk = Desk(GOOD, *READY)
    desk.type("0105\r")
    desk.after(0.005)
    desk.type("0105\r")  # the first byte is lost, the others are the next command
    assert desk.after(5) == "STOPPED\r\r>NO DATA\r\r>"  # 105: byte 10, five frames
    assert desk.ask("0105") == "41 05 7D \r\r>"
    desk.ask("ATE1")
    desk.ask("ATMA")
    assert desk.adapter.next_s() is None  # nothing to be heard behind the gateway, for ever
    desk.type(" ")
    assert desk.after(1) == "STOPPED\r\r>"


def test_a_begun_line_is_ended_before_stopped() -> None:
    desk = Desk(GOOD, "ATE0", "ATSP0")
    desk.type("0100\r")
    assert desk.after(0.3) == "SEARCHING..."
    desk.type(" ")
    assert desk.after(1) == "\rSTOPPED\r\r>"


def test_at_commands_typed_ahead_wait_their_turn() -> None:
    desk = Desk(GOOD, "ATE0")
    desk.type("ATI\rATRV\r")
    assert desk.after(1) == "ELM327 v1.4b\r\r>13.4V\r\r>"
    desk.type("ATZ\r")
    desk.after(0.1)
    desk.type("ATI\r")  # not heard while it resets
    assert desk.after(2) == "\r\rELM327 v1.4b\r\r>"


def test_the_protocol_outlives_a_reset() -> None:
    desk = Desk(GOOD, "ATE0", "ATSP3")
    desk.ask("ATTP6")
    desk.ask("ATZ")
    assert "\r3\r" in desk.ask("ATDPN")
    desk.ask("ATSP0")
    desk.ask("0100")
    desk.ask("ATZ")
    assert "\rA6\r" in desk.ask("ATDPN")


def test_low_power_ends_with_any_byte() -> None:
    desk = Desk(GOOD, "ATE0")
    assert desk.ask("ATLP") == "OK\r\r>"
    desk.type("x")
    assert desk.after(2) == "\r\rELM327 v1.4b\r\r>"


@pytest.mark.parametrize(
    ("profile", "fault", "says"),
    [
        ("elm327_v14b", AdapterFaults(brown_out=True), "\r\rLV RESET\r\r>"),
        ("elm327_v14b", AdapterFaults(unplugged=True), "\r\rELM327 v1.4b\r\r>"),
        ("elm327_v14b", AdapterFaults(hung=True), "\r\rELM327 v1.4b\r\r>"),
        ("v15_freezes", AdapterFaults(brown_out=True), "\r\rELM327 v1.5\r\r>"),
    ],
)
def test_what_cuts_it_off_and_how_it_comes_back(profile: str, fault: AdapterFaults, says: str) -> None:
    desk = Desk(profile, *READY, "ATH1")
    desk.type("0105\r")
    assert desk.befall(fault) == ""
    assert desk.after(5) == ""
    assert desk.ask("ATI") == ""
    assert desk.befall(AdapterFaults()) == ""
    assert desk.after(5) == says
    assert desk.adapter.settings.echo
    assert not desk.adapter.settings.headers


def test_cranking_resets_a_poor_adapter_and_not_a_good_one() -> None:
    poor, good = Desk("v21_fake", *READY), Desk(GOOD, *READY)
    for desk in (poor, good):
        desk.car = replace(CAR, battery_v=8.9)
        desk.after(0.5)
        desk.car = CAR
        desk.after(0)
    assert "ELM327 v2.1" in poor.after(5)
    assert good.after(5) == ""


def test_faults_of_the_car_s_side() -> None:
    desk = Desk(GOOD, *READY)
    desk.adapter.faults = AdapterFaults(silent_car=True)
    assert desk.ask("0105") == "NO DATA\r\r>"
    desk.adapter.faults = AdapterFaults(bus_error="CAN ERROR")
    assert desk.ask("0105") == "CAN ERROR\r\r>"
    desk.adapter.faults = AdapterFaults(bus_error="ERR94", bus_error_share=0.0)
    assert desk.ask("0105") == "41 05 7D \r\r>"


def test_faults_of_its_own_side() -> None:
    desk = Desk(GOOD, "ATE0")
    plain_s = desk.takes_s("ATI")
    desk.adapter.faults = AdapterFaults(late_s=2.0)
    assert desk.takes_s("ATI") == pytest.approx(plain_s + 2, abs=0.002)
    desk.adapter.faults = AdapterFaults(echo_stuck=True)
    assert desk.ask("ATI").startswith("ATI\r")
    desk.adapter.faults = AdapterFaults(drop_prompt_share=1.0)
    assert desk.ask("ATI") == "ELM327 v1.4b\r\r"
    desk.adapter.faults = AdapterFaults(drop_byte_share=0.2)
    lost = [15 - len(desk.ask("ATI")) for _ in range(100)]
    assert 200 < sum(lost) < 400
    desk.adapter.faults = AdapterFaults(garbage_share=0.2)
    garbled = [sum(a != b for a, b in zip(desk.ask("ATI"), "ELM327 v1.4b\r\r>", strict=True)) for _ in range(100)]
    assert 200 < sum(garbled) < 400


def test_a_late_prompt_sets_an_early_client_back_by_one_answer() -> None:
    """python-OBD 184: the answer to 0100 was the end of the one before; issue 150: a prompt alone answered ATH1."""
    desk = Desk(replace(PROFILES["v15_late_prompt"], late_prompt_share=1.0), "ATE0")
    desk.type("ATSP6\r")
    assert desk.after(0.2) == "OK"
    assert desk.after(0.3) == "\r\r>"


def test_the_fake_v21() -> None:
    desk = Desk(replace(PROFILES["v21_fake"], drop_prompt_share=0.0), *READY)
    assert desk.ask("ATI") == "ELM327 v2.1\r\r>"
    for refused in ("ATFCSH7E0", "ATPPS", "ATCRA", "ATAMC", "ATFE", "ATBD"):
        assert desk.ask(refused) == "?\r\r>"
        assert Desk("elm327_v22", *READY).ask(refused) != "?\r\r>"
    for known in ("ATCRA7E8", "ATAT1", "ATIB10", "ATAL", "ATCAF1"):
        assert desk.ask(known) == "OK\r\r>"
    assert desk.ask("01050C") == "41 05 7D \r\r>"  # the third byte is not sent


def test_lock_ups_last_until_the_power_is_cut() -> None:
    for fatal in ("ATTPA0", "0902\r0902"):
        desk = Desk(replace(PROFILES["v15_freezes"], freezes_after_chars=40), *READY)
        desk.ask(fatal)
        assert desk.ask("ATI") == ""
        desk.befall(AdapterFaults(unplugged=True))
        desk.befall(AdapterFaults())
        assert "ELM327 v1.5" in desk.after(5)
        assert "41 05 7D" in desk.ask("0105")
    desk = Desk("v15_freezes", *READY)
    answers = [desk.ask("0105") for _ in range(401)]
    assert answers.index("") == 399
    assert desk.ask("ATAL") == ""
    searched = Desk("v15_freezes", "ATE0", car=replace(CAR, ecu_awake=False))
    assert searched.ask("0100") == "SEARCHING...\rNOT CONNECTED\r\r>"
    assert searched.ask("ATAL") == ""
    assert searched.ask("ATI") == "ELM327 v1.5\r\r>"  # mute to one command is not hung


def test_echoes_that_stay_or_come_twice() -> None:
    stuck = Desk("v15_echo_stuck")
    assert stuck.ask("ATE0") == "ATE0\rOK\r\r>"
    assert stuck.ask("ATI") == "ATI\rELM327 v1.5\r\r>"
    twice = Desk("v15_echo_twice")
    assert twice.ask("ATE0") == "AATTEE00\rOK\r\r>"
    assert twice.ask("ATI") == "ELM327 v1.5\r\r>"


def test_frames_twice_and_messages_counted() -> None:
    assert Desk("v15_frames_twice", *READY).ask("0105") == "41 05 7D \r41 05 7D \r\r>"
    counted = Desk(replace(PROFILES["v15_bt_slow"], drop_byte_share=0.0), *READY)
    assert counted.ask("09021").count("\r") == 5  # all four lines
    assert Desk(GOOD, *READY).ask("09021").count("\r") == 3  # the first frame's two


def test_the_stn1110_s_own_commands() -> None:
    desk = Desk("stn1110", "ATE0")
    assert desk.ask("ATZ").startswith("\0\0\0\0\r\rELM327 v1.4b")
    desk.ask("ATE0")
    assert desk.ask("STI") == "STN1110 v4.2.0\r\r>"
    assert desk.ask("STP 33") == "OK\r\r>"
    assert desk.ask("STPR") == "33\r\r>"
    assert desk.ask("ATDPN") == "6\r\r>"
    assert desk.ask("STPX H:7E0, D:0105, R:1") == "41 05 7D \r\r>"
    assert desk.ask("STXX") == "?\r\r>"
    assert Desk(GOOD, "ATE0").ask("STI") == "?\r\r>"


def test_codes_are_cleared_with_the_engine_off() -> None:
    desk = Desk(GOOD, *READY)
    assert desk.ask("04") == "7F 04 22 \r\r>"
    assert desk.adapter.clears == 0
    desk.car = replace(CAR, rpm=0)
    assert desk.ask("04") == "44 \r\r>"
    assert desk.adapter.clears == 1


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_tells_the_same_twice_and_says_where_it_comes_from(name: str) -> None:
    def session(seed: int) -> list[str]:
        desk = Desk(name, seed=seed, car=replace(CAR, other_ecus=(GEARBOX,)))
        return [desk.ask(command) for command in ("ATZ", "ATE0", "ATH1", "ATSP6", "0100", "0902", "010C1", "03")]

    assert session(1) == session(1)
    assert PROFILES[name].about.endswith(".")
    assert PROFILES[name].name == name


@given(st.lists(st.sampled_from(["ATZ", "ATE0", "ATL1", "0100", "0902", "", "x"]), max_size=8), st.data())
def test_any_chunking_of_the_same_bytes_is_the_same(commands: list[str], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PROFILES)))
    stream = "".join(f"{command}\r" for command in commands)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole, parts = Desk(name), Desk(name)
    whole.type(stream)
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        parts.type(stream[begin:end])
    looks = data.draw(st.lists(st.floats(0, 3), max_size=5))
    assert whole.after(sum(looks)) == "".join(parts.after(look) for look in looks)
    assert whole.adapter.settings == parts.adapter.settings


@given(st.binary(max_size=300), st.sampled_from(sorted(PROFILES)))
def test_random_bytes_break_nothing(noise: bytes, name: str) -> None:
    desk = Desk(name)
    desk.type(noise.decode("latin-1"))
    desk.after(60)
    desk.type("\r")
    desk.after(60)
    assert desk.adapter.next_s() is None
