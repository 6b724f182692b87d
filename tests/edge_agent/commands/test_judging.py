"""What a unit makes of a command: every reason to refuse, in its order, and nothing that could reach the car."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge_agent
from edge_agent.commands.judging import (
    ACTIONS,
    Accepted,
    Action,
    CancelFollow,
    ChangeSetting,
    Follow,
    Held,
    Judgement,
    Locate,
    Recall,
    Refused,
    Remembered,
    Repeated,
    Seen,
    SendStatus,
    Unbelieved,
    answer,
    judge,
)
from tests.edge_agent.commanding import HOUR_MS, KEY, KEYS, NOW_MS, OTHER_KEY, SECTIONS, UNIT, command, sealed
from wire.commands import COMMANDS, MAX_LIFE_MS, MOST_RECALLED_MS, Command, Outcome
from wire.records import Receipt
from wire.seal import seal_receipt

NOTHING = Seen({}, 0, 10)
HERE = Path(edge_agent.__file__).parent


def judged(made: Command, now_ms: int | None = NOW_MS, seen: Seen = NOTHING) -> Judgement:
    return judge(sealed(made), UNIT, KEYS, seen, SECTIONS, 100.0, now_ms)


def reason(judgement: Judgement) -> str:
    assert isinstance(judgement, Refused)
    assert judgement.outcome is Outcome.REFUSED
    return judgement.reason


@pytest.mark.parametrize(
    ("kind", "parameters", "action"),
    [
        ("locate", {}, Locate()),
        ("follow", {"minutes": "30"}, Follow(10, 1900.0)),
        ("follow", {"minutes": "1", "every_s": "2"}, Follow(2, 160.0)),
        ("cancel_follow", {}, CancelFollow()),
        ("recall", {"from_ms": "5", "to_ms": "9"}, Recall(5, 9)),
        ("status", {}, SendStatus()),
        (
            "set",
            {"section": "sealing", "name": "samples", "value": "30"},
            ChangeSetting("sealing", "samples", "30", 30),
        ),
    ],
)
def test_what_is_asked_becomes_an_action(kind: str, parameters: dict[str, str], action: Action) -> None:
    made = command(kind, parameters)
    assert judged(made) == Accepted(made, action)


def test_every_kind_of_the_contract_has_its_action() -> None:
    assert ACTIONS.keys() == COMMANDS.keys()


def test_a_kind_of_later_is_not_understood() -> None:
    made = command("sing", {"song": "x"})
    assert judged(made) == Refused(made, Outcome.NOT_UNDERSTOOD, "")


def test_only_the_server_is_obeyed_and_only_for_this_unit() -> None:
    def unbelieved(data: bytes) -> str:
        found = judge(data, UNIT, KEYS, NOTHING, SECTIONS, 0.0, NOW_MS)
        assert isinstance(found, Unbelieved)
        return found.reason

    assert unbelieved(sealed(command(), OTHER_KEY)) == "signature"
    assert unbelieved(seal_receipt(KEY, Receipt(UNIT, bytes(16), (), NOW_MS))) == "signature"
    assert unbelieved(sealed(command(unit="PW000043"))) == "other_unit"
    assert unbelieved(b"nonsense") == "malformed"
    assert unbelieved(bytes(20_000)) == "too_large"


def test_time_is_the_servers() -> None:
    made = command(life_ms=HOUR_MS)
    assert judged(made, None) == Held()
    assert isinstance(judged(made, NOW_MS - 10 * HOUR_MS), Accepted)  # the unit's view lags; the signature does not
    assert isinstance(judged(made, made.expires_ms - 1), Accepted)
    assert reason(judged(made, made.expires_ms)) == "expired"
    assert reason(judged(made, 2**62)) == "expired"


def test_how_long_a_command_may_live() -> None:
    assert isinstance(judged(command(life_ms=MAX_LIFE_MS)), Accepted)
    assert reason(judged(command(life_ms=MAX_LIFE_MS + 1))) == "too_long_lived"
    assert reason(judged(command(life_ms=0))) == "too_long_lived"
    assert reason(judged(command(life_ms=-5), None)) == "too_long_lived"  # no clock is needed to see it


@pytest.mark.parametrize(
    ("kind", "parameters", "says"),
    [
        ("follow", {"minutes": "61"}, "minutes is 61; it must be from 1 to 60"),
        ("follow", {"minutes": "5", "every_s": "60"}, "every_s is 60"),
        ("locate", {"speed": "1"}, "no parameter 'speed'"),
        ("recall", {"from_ms": "0", "to_ms": str(MOST_RECALLED_MS + 1)}, "to_ms"),
        ("set", {"section": "sealing", "name": "samples", "value": "601"}, "must be from 1 to 600"),
        ("set", {"section": "sealing", "name": "local", "value": "2"}, "may not be changed from afar"),
        ("set", {"section": "broker", "name": "host", "value": "evil"}, "no section is called 'broker'"),
    ],
)
def test_parameters_out_of_bounds(kind: str, parameters: dict[str, str], says: str) -> None:
    told = reason(judged(command(kind, parameters)))
    assert told.startswith("parameters: ")
    assert says in told


def test_what_came_before_is_not_carried_out_again() -> None:
    made = command()
    first = Remembered("locate", made.expires_ms, Outcome.DONE, "")
    for now_ms in (None, NOW_MS, made.expires_ms + 1):
        assert judged(made, now_ms, Seen({made.id: first}, 0, 10)) == Repeated(made, first)


def test_the_same_id_under_another_content_is_still_the_same_command() -> None:
    first = Remembered("locate", NOW_MS, Outcome.DONE, "")
    again = command("status", command_id=b"i" * 16)
    assert judged(again, NOW_MS, Seen({b"i" * 16: first}, 0, 10)) == Repeated(again, first)


def test_a_full_memory_and_a_lost_one() -> None:
    full = Seen({bytes([n]) * 16: Remembered("locate", NOW_MS) for n in range(200, 210)}, 0, 10)
    assert reason(judged(command(), seen=full)) == "too_many"
    assert isinstance(judged(command(), seen=Seen(dict(list(full.commands.items())[1:]), 0, 10)), Accepted)
    made = command()
    assert reason(judged(made, seen=Seen({}, made.issued_ms, 10))) == "forgotten"
    assert isinstance(judged(made, seen=Seen({}, made.issued_ms - 1, 10)), Accepted)


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert isinstance(judge(data, UNIT, KEYS, NOTHING, SECTIONS, 0.0, NOW_MS), Unbelieved)


@given(
    st.sampled_from(sorted(COMMANDS)),
    st.dictionaries(st.sampled_from(["minutes", "every_s", "from_ms", "value"]), st.text(max_size=20)),
)
def test_any_parameters_are_judged(kind: str, parameters: dict[str, str]) -> None:
    found = judged(command(kind, parameters))
    if isinstance(found, Accepted) and isinstance(found.action, Follow):
        assert 1 <= found.action.every_s <= 10
        assert found.action.until_mono_s <= 100.0 + 3600


def test_an_answer_names_its_command() -> None:
    told = answer(b"\x01" * 16, "locate", Outcome.DONE, "x" * 1000)
    assert told == {"id": "01" * 16, "kind": "locate", "outcome": "done", "reason": "x" * 300}
    assert answer(b"\x01" * 16, "locate", Outcome.DONE, "", repeated=True)["repeated"] == "yes"


# -- nothing of this can endanger driving

DOORS_TO_THE_CAR = ("car", "obd_process", "ports", "devices")
DOWNLINK = (
    "commands.judging",
    "commands.desk",
    "commands.memory",
    "commands.remote_settings",
    "commands.overrides",
    "timing.receipt_time",
)


def imported(module: str) -> set[str]:
    """Every module that this one of ours loads, directly or through others of ours; ours without "edge_agent."."""
    todo, found = [module], set[str]()
    while todo:
        path = HERE / todo.pop().replace(".", "/")
        for name in _imports(path / "__init__.py" if path.is_dir() else path.with_suffix(".py")):
            ours = name.removeprefix("edge_agent.")
            if ours not in found:
                found.add(ours)
                if ours != name:
                    todo.append(ours)
    return found


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            package = HERE.parent / node.module.replace(".", "/")  # `from edge_agent.commands import memory`
            yield from (f"{node.module}.{each.name}" for each in node.names if (package / f"{each.name}.py").exists())


def doors(found: set[str]) -> set[str]:
    return {each for each in found if each.split(".")[0] in DOORS_TO_THE_CAR}


@pytest.mark.parametrize("module", DOWNLINK)
def test_the_downlink_cannot_reach_the_car(module: str) -> None:
    found = imported(module)
    assert found
    assert not doors(found)
    roots = {each.split(".")[0] for each in found}
    assert not roots & {"serial", "obd", "subprocess", "socket", "multiprocessing", "agent", "pipeline"}


def test_the_search_would_find_a_way() -> None:
    assert {"car.obd_link", "ports.serial_port", "commands.memory"} <= imported("agent")
    assert doors(imported("agent"))
    assert "serial" in imported("ports.serial_port")


def test_no_action_carries_anything_for_a_port() -> None:
    """Numbers of seconds and instants; and texts only for a setting, whose value has been checked."""
    for kind in get_args(Action):
        hints = get_type_hints(kind)
        texts = {each.name for each in fields(kind) if hints[each.name] not in (int, float)}
        assert texts == ({"section", "name", "text", "value"} if kind is ChangeSetting else set())
