"""Where to look first, and with which speed."""

from edge_agent.ports.kinds import Candidate, Listing
from edge_agent.ports.plan import Refusal, Remembered, Stage, Want, location, plans
from edge_agent.ports.probe import ADAPTER_BAUDS, RECEIVER_BAUDS, Pace, Plan, Role

PACE = Pace()
A, B = Candidate("/dev/ttyUSB0", location="1-1.1"), Candidate("/dev/ttyUSB1", location="1-1.2")
UART = Candidate("/dev/ttyAMA0")
LISTING = Listing((A, B, UART))


def at(stage: Stage, *wants: Want, listing: Listing = LISTING, taken: dict[str, str] | None = None) -> dict[str, Plan]:
    return plans(stage, wants, listing, taken or {}, PACE)[0]


def test_without_a_memory_all_ports_are_tried_for_both_roles() -> None:
    wants = Want(Role.GNSS), Want(Role.OBD)
    assert at(Stage.WHERE_IT_WAS, *wants) == {}
    assert at(Stage.ELSEWHERE, *wants) == dict.fromkeys(
        (A.path, B.path, UART.path), Plan(RECEIVER_BAUDS, ADAPTER_BAUDS, PACE)
    )
    assert at(Stage.DOUBTED, *wants) == {}


def test_the_last_good_speed_comes_first_and_alone_in_the_short_look() -> None:
    want = Want(Role.GNSS, last=Remembered(UART.path, 115200))
    assert at(Stage.WHERE_IT_WAS, want) == {UART.path: Plan((115200,), (), PACE)}
    full = at(Stage.ELSEWHERE, want)[UART.path].listen_at
    assert full[0] == 115200
    assert sorted(full) == sorted(RECEIVER_BAUDS)


def test_a_usb_socket_is_where_it_was_whatever_its_number_is_now() -> None:
    want = Want(Role.OBD, last=Remembered("/dev/ttyUSB0", 38400, "1-1.2"))
    assert list(at(Stage.WHERE_IT_WAS, want)) == [B.path]
    gone = Want(Role.OBD, last=Remembered("/dev/ttyUSB0", 38400, "1-1.9"))
    assert at(Stage.WHERE_IT_WAS, gone) == {}


def test_two_devices_that_changed_places_are_found_in_the_short_look() -> None:
    wants = (
        Want(Role.GNSS, last=Remembered(A.path, 9600, "1-1.1")),
        Want(Role.OBD, last=Remembered(B.path, 38400, "1-1.2")),
    )
    assert at(Stage.WHERE_IT_WAS, *wants) == dict.fromkeys((A.path, B.path), Plan((9600,), (38400,), PACE))


def test_a_doubted_port_is_tried_last() -> None:
    want = Want(Role.GNSS, last=Remembered(UART.path, 9600), doubted=UART.path)
    assert at(Stage.WHERE_IT_WAS, want) == {}
    assert list(at(Stage.ELSEWHERE, want)) == [A.path, B.path]
    assert at(Stage.DOUBTED, want) == {UART.path: Plan(RECEIVER_BAUDS, (), PACE)}


def test_what_is_taken_or_may_not_be_asked_is_refused_with_the_reason() -> None:
    receiver = Candidate("/dev/ttyACM0", 0x1546, 0x01A8, "cdc_acm")
    listing = Listing((A, receiver))
    wants = Want(Role.GNSS), Want(Role.OBD)
    tries, refused = plans(Stage.ELSEWHERE, wants, listing, {A.path: "in use for obd"}, PACE)
    assert tries == {receiver.path: Plan(RECEIVER_BAUDS, (), PACE)}
    assert refused == [
        Refusal(Role.GNSS, A.path, "in use for obd"),
        Refusal(Role.OBD, A.path, "in use for obd"),
        Refusal(Role.OBD, receiver.path, "not asked: a u-blox receiver"),
    ]


def test_a_chosen_path_is_the_only_one_and_a_chosen_speed_too() -> None:
    chosen = Want(Role.OBD, port="/dev/rfcomm0")
    assert at(Stage.ELSEWHERE, chosen) == {"/dev/rfcomm0": Plan((), ADAPTER_BAUDS, PACE)}
    assert at(Stage.WHERE_IT_WAS, chosen) == at(Stage.DOUBTED, chosen) == {}
    fixed_speed = Want(Role.GNSS, baud=4800, last=Remembered(UART.path, 9600))
    assert {plan.listen_at for plan in at(Stage.ELSEWHERE, fixed_speed).values()} == {(4800,)}


def test_a_port_knows_its_socket() -> None:
    assert location(B.path, LISTING.ports) == "1-1.2"
    assert location("/dev/ttyUSB9", LISTING.ports) == ""
