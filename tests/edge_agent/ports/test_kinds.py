"""Which kinds of ports are opened, and which are written to."""

import pytest

from edge_agent.ports.kinds import Candidate, Listing, May, may

NOTHING = Listing()


@pytest.mark.parametrize(
    ("port", "limits"),
    [
        (Candidate("/dev/ttyAMA0", driver="uart-pl011"), May.ASK),
        (Candidate("/dev/ttyUSB0", 0x1A86, 0x7523, "ch341-uart"), May.ASK),
        (Candidate("/dev/ttyUSB0", 0x0403, 0x6015, "ftdi_sio"), May.ASK),
        (Candidate("/dev/ttyUSB0", 0x10C4, 0xEA60, "cp210x"), May.ASK),
        (Candidate("/dev/ttyUSB0", 0x067B, 0x2303, "pl2303"), May.ASK),
        (Candidate("/dev/ttyACM0", 0x04D8, 0x000A, "cdc_acm"), May.ASK),
        (Candidate("/dev/ttyACM0", 0x1546, 0x01A8, "cdc_acm"), May.LISTEN),
        (Candidate("/dev/ttyACM0", 0x2341, 0x0043, "cdc_acm"), May.LISTEN),
        (Candidate("/dev/ttyACM0", 0x1546, 0x1102, "cdc_acm"), May.NOTHING),
        (Candidate("/dev/ttyUSB2", 0x2C7C, 0x0125, "option1"), May.NOTHING),
        (Candidate("/dev/ttyUSB2", 0x9999, 0x0001, "qcserial"), May.NOTHING),
        (Candidate("/dev/ttyACM0", 0x12D1, 0x0001, "cdc_acm"), May.NOTHING),
        (Candidate("/dev/rfcomm0"), May.NOTHING),
    ],
)
def test_kinds(port: Candidate, limits: May) -> None:
    found, text = may(port, NOTHING)
    assert found is limits
    assert text.startswith({May.ASK: "", May.LISTEN: "not asked: ", May.NOTHING: "left alone: "}[limits])
    assert bool(text) == (limits is not May.ASK)


@pytest.mark.parametrize(
    ("port", "limits"),
    [
        (Candidate("/dev/rfcomm0", listed=True), May.ASK),
        (Candidate("/dev/ttyACM0", 0x2341, 0x0043, "cdc_acm", listed=True), May.ASK),
        (Candidate("/dev/ttyUSB1", 0x2C7C, 0x0125, "option1", listed=True), May.LISTEN),
    ],
)
def test_a_person_who_names_a_port_knows_better_but_no_modem_is_asked(port: Candidate, limits: May) -> None:
    assert may(port, NOTHING)[0] is limits


def test_what_settings_exclude_and_the_console_are_never_opened() -> None:
    port = Candidate("/dev/ttyUSB0", listed=True)
    assert may(port, Listing(left_alone=frozenset({"/dev/ttyUSB0"}))) == (
        May.NOTHING,
        "left alone by [ports] leave_alone",
    )
    assert may(port, Listing(consoles=frozenset({"/dev/ttyUSB0"}))) == (
        May.NOTHING,
        "left alone: the system's console",
    )


def test_the_reason_tells_what_to_do() -> None:
    text = may(Candidate("/dev/ttyACM0", 0x2341, 0x0043, "cdc_acm"), NOTHING)[1]
    assert text == "not asked: 2341:0043 is no known bridge; name it in [ports] look_in, or by its path"
    assert may(Candidate("/dev/ttyUSB2", 0x2C7C, 0x0125, "option1"), NOTHING)[1] == "left alone: a modem by Quectel"
