"""A command's way through the unit: carried out once, answered at once, held while the time is not known."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.commands import memory as command_memory
from edge_agent.commands.desk import ANSWER_AGAIN_S, MOST_HELD, Answer, CommandDesk, Do
from edge_agent.commands.judging import Follow, Locate
from edge_agent.commands.memory import CommandMemory
from edge_agent.timing.receipt_time import SealTimes, TimeBounds
from tests.edge_agent.commanding import HOUR_MS, KEYS, NOW_MS, OTHER_KEY, SECTIONS, UNIT, command, sealed
from wire.commands import Command, Outcome
from wire.records import Receipt, SequenceRange

Start = Callable[[], CommandDesk]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """The agent starts, for the first time or again, over the same card."""
    return lambda: CommandDesk(UNIT, KEYS, CommandMemory(tmp_path / "commands.json"), SECTIONS)


def details(made: Command, outcome: str, reason: str = "", *, repeated: bool = False) -> Answer:
    told = {"id": made.id.hex(), "kind": made.kind, "outcome": outcome, "reason": reason}
    return Answer({**told, "repeated": "yes"} if repeated else told)


def test_carried_out_once_and_answered_again(start: Start) -> None:
    desk, made = start(), command("follow", {"minutes": "1"})
    assert desk.on_start(0.0) == ()
    assert desk.on_command(sealed(made), 10.0, NOW_MS) == (Do(made, Follow(10, 70.0)),)
    assert desk.finish(made, Outcome.DONE, "", 10.0) == details(made, "done")
    assert desk.on_command(sealed(made), 10.0 + ANSWER_AGAIN_S, NOW_MS) == (details(made, "done", repeated=True),)
    again = start()
    assert again.on_start(5.0) == ()
    assert again.on_command(sealed(made), 5.0, None) == (details(made, "done", repeated=True),)
    assert (desk.counts["commands.done"], desk.counts["commands.repeated"]) == (1, 1)


def test_a_command_that_is_still_being_carried_out_is_not_begun_again(start: Start) -> None:
    desk, made = start(), command()
    assert desk.on_command(sealed(made), 1.0, NOW_MS) == (Do(made, Locate()),)
    assert desk.on_command(sealed(made), 2.0, NOW_MS) == ()
    assert desk.finish(made, Outcome.FAILED, "no fix", 3.0) == details(made, "failed", "no fix")


def test_power_fails_while_it_is_carried_out(start: Start) -> None:
    made = command()
    assert start().on_command(sealed(made), 1.0, NOW_MS) == (Do(made, Locate()),)
    desk = start()
    assert desk.on_start(0.0) == (details(made, "interrupted"),)
    assert desk.on_command(sealed(made), 100.0, NOW_MS) == (details(made, "interrupted", repeated=True),)


def test_what_the_broker_queued_is_answered_once(start: Start) -> None:
    """A unit that was away gets every copy that the server sent meanwhile, in one second."""
    desk, made, late = start(), command(), command(issued_ms=NOW_MS - 2 * HOUR_MS)
    assert desk.on_command(sealed(made), 1.0, NOW_MS) == (Do(made, Locate()),)
    desk.finish(made, Outcome.DONE, "", 1.0)
    assert [desk.on_command(sealed(made), 1.0 + n / 100, NOW_MS) for n in range(30)] == [()] * 30
    answers = [desk.on_command(sealed(late), 1.0 + n / 100, NOW_MS) for n in range(30)]
    assert answers == [(details(late, "refused", "expired"),), *[()] * 29]


def test_refusals_are_answered(start: Start) -> None:
    desk = start()
    unknown, wild = command("sing"), command("follow", {"minutes": "99"})
    assert desk.on_command(sealed(unknown), 1.0, NOW_MS) == (details(unknown, "not_understood"),)
    (told,) = desk.on_command(sealed(wild), 1.0, NOW_MS)
    assert isinstance(told, Answer)
    assert (told.details["outcome"], told.details["reason"][:10]) == ("refused", "parameters")


def test_a_refusal_stands_though_a_later_unit_would_understand(start: Start, tmp_path: Path) -> None:
    """The lender has read "refused": the command must not come to life with the next update."""
    made = command("set", {"section": "sealing", "name": "samples", "value": "30"})
    desk = CommandDesk(UNIT, KEYS, CommandMemory(tmp_path / "commands.json"), {})
    (told,) = desk.on_command(sealed(made), 1.0, NOW_MS)
    assert isinstance(told, Answer)
    assert told.details["outcome"] == "refused"
    (again,) = start().on_command(sealed(made), 1.0, NOW_MS)
    assert isinstance(again, Answer)
    assert again.details == {**told.details, "repeated": "yes"}


def test_nobody_is_told_of_what_the_server_did_not_sign(start: Start) -> None:
    desk = start()
    assert desk.on_command(sealed(command(), OTHER_KEY), 1.0, NOW_MS) == ()
    assert desk.on_command(b"", 1.0, None) == ()
    assert desk.counts == {"commands.unbelieved.signature": 1, "commands.unbelieved.unknown_version": 1}


def test_the_status_lists_the_newest(start: Start) -> None:
    desk, made = start(), [command() for _ in range(4)]
    for each in made:
        desk.on_command(sealed(each), 1.0, NOW_MS)
    desk.finish(made[2], Outcome.FAILED, "no fix", 2.0)
    assert desk.listed(most=2) == [
        {"id": made[3].id.hex(), "kind": "locate", "outcome": "begun", "reason": ""},
        {"id": made[2].id.hex(), "kind": "locate", "outcome": "failed", "reason": "no fix"},
    ]
    assert len(start().listed()) == 4


# -- time


def test_held_until_the_time_is_known(start: Start) -> None:
    desk, good, late = start(), command(), command(issued_ms=NOW_MS - 2 * HOUR_MS)
    for made in (good, late, good):
        assert desk.on_command(sealed(made), 1.0, None) == ()
    assert desk.on_server_time(2.0, NOW_MS) == (Do(good, Locate()), details(late, "refused", "expired"))
    assert desk.on_server_time(3.0, NOW_MS) == ()


def test_what_is_held_is_bounded(start: Start) -> None:
    desk, many = start(), [command() for _ in range(MOST_HELD + 3)]
    for made in many:
        desk.on_command(sealed(made), 1.0, None)
    begun = [each.command for each in desk.on_server_time(2.0, NOW_MS) if isinstance(each, Do)]
    assert begun == many[3:]
    assert desk.counts["commands.not_held"] == 3


def test_a_spoofed_receiver_and_an_old_receipt_do_not_revive_a_command(start: Start) -> None:
    """The broker kept receipt and command for five days; the receiver shows the day on which both were made."""
    boot, made = b"b" * 16, command()
    seals, bounds = SealTimes(boot), TimeBounds(0)
    seals.on_sealed(41, 0.5)
    old = Receipt(UNIT, boot, (SequenceRange(1, 40),), NOW_MS)
    bounds = bounds.told(old.server_time_ms, 1.0, seals.of(old))
    desk = start()
    assert desk.on_command(sealed(made), 1.0, bounds.server_now_ms(1.0)) == ()
    fresh = Receipt(UNIT, boot, (SequenceRange(1, 41),), NOW_MS + 120 * HOUR_MS)
    bounds = bounds.told(fresh.server_time_ms, 2.0, seals.of(fresh))
    now_ms = bounds.server_now_ms(2.0)
    assert now_ms is not None
    assert desk.on_server_time(2.0, now_ms) == (details(made, "refused", "expired"),)


# -- the card


def test_what_cannot_be_remembered_is_not_carried_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, made = start(), command()

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(command_memory, "replace_durably", full_disk)
        assert desk.on_command(sealed(made), 1.0, NOW_MS) == ()
    assert desk.counts == {"commands.not_remembered": 1}
    assert desk.on_command(sealed(made), 2.0, NOW_MS) == (Do(made, Locate()),)
    with monkeypatch.context() as patched:
        patched.setattr(command_memory, "replace_durably", full_disk)
        assert desk.finish(made, Outcome.DONE, "", 2.0) == details(made, "done")


def test_a_lost_memory_obeys_only_what_is_issued_afterwards(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "commands.json").write_bytes(bytes(64))
    desk, old, new = start(), command(), command(issued_ms=NOW_MS + 2)
    assert desk.on_command(sealed(old), 1.0, None) == ()
    with monkeypatch.context() as patched:
        patched.setattr(command_memory, "replace_durably", lambda *_: (_ for _ in ()).throw(OSError("full")))
        assert desk.on_command(sealed(new), 1.0, NOW_MS + 1) == ()  # the line itself must be kept first
    assert desk.on_server_time(2.0, NOW_MS + 1) == (details(old, "refused", "forgotten"),)
    assert desk.on_command(sealed(new), 3.0, NOW_MS + 3) == (Do(new, Locate()),)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["come", "come unknown", "restart", "finish"])), max_size=40)
)
def test_whatever_happens_no_command_is_carried_out_twice(
    tmp_path_factory: pytest.TempPathFactory, story: list[tuple[int, str]]
) -> None:
    path = tmp_path_factory.mktemp("card") / "commands.json"
    orders = [command() for _ in range(5)]
    desk, begun = CommandDesk(UNIT, KEYS, CommandMemory(path), SECTIONS), list[Command]()
    for step, (which, what) in enumerate(story):
        made, now_s = orders[which], float(step) * 100
        if what == "restart":
            desk = CommandDesk(UNIT, KEYS, CommandMemory(path), SECTIONS)
            desk.on_start(now_s)
        elif what == "finish":
            if made in begun:
                desk.finish(made, Outcome.DONE, "", now_s)
        elif what == "come unknown":
            assert not any(isinstance(each, Do) for each in desk.on_command(sealed(made), now_s, None))
        else:
            begun += [each.command for each in desk.on_command(sealed(made), now_s, NOW_MS) if isinstance(each, Do)]
    assert len(begun) == len({each.id for each in begun})
