"""Commands: what is signed is what is read, nothing else passes, and the table's bounds hold on both sides."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from wire import telemetry_pb2 as pb
from wire.commands import (
    COMMANDS,
    LONGEST_TEXT,
    MAX_LIFE_MS,
    MOST_PARAMETERS,
    MOST_RECALLED_MS,
    Command,
    checked_parameters,
)
from wire.records import Body, Receipt
from wire.refused import Reason, RefusedError
from wire.seal import (
    BATCH_PURPOSE,
    COMMAND_PURPOSE,
    MAX_SEALED_BYTES,
    RECEIPT_PURPOSE,
    Identity,
    open_command,
    open_receipt,
    open_seal,
    seal_batch,
    seal_command,
    seal_receipt,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEYS = [KEY.public_key()]
UNIT, ID, NOW_MS = "PW000042", bytes(range(16)), 1_795_000_000_000
COMMAND = Command(UNIT, ID, NOW_MS, NOW_MS + 3_600_000, "follow", {"minutes": "30", "every_s": "5"})
GOLDEN = Path(__file__).with_name("golden") / "command.hex"  # never made again, like its neighbours


def refused(act: Callable[[], object]) -> Reason:
    with pytest.raises(RefusedError) as error:
        act()
    return error.value.reason


def signed(content: bytes, purpose: bytes = COMMAND_PURPOSE, version: int = 1) -> bytes:
    sealed = pb.Sealed(version=version, content=content, signature=KEY.sign(purpose + content))
    return sealed.SerializeToString()


def content(**changed: object) -> bytes:
    fields: dict[str, object] = {
        "unit": UNIT,
        "id": ID,
        "issued_ms": NOW_MS,
        "expires_ms": NOW_MS + 1,
        "kind": "locate",
        "parameters": {},
    }
    return pb.CommandContent(**{**fields, **changed}).SerializeToString()  # type: ignore[arg-type]


def test_what_is_sealed_is_what_is_opened() -> None:
    data = seal_command(KEY, COMMAND)
    assert open_command(data, UNIT, [OTHER.public_key(), *KEYS]) == COMMAND
    assert data.hex() == bytes.fromhex(GOLDEN.read_text()).hex()


@given(st.dictionaries(st.text(max_size=LONGEST_TEXT), st.text(max_size=LONGEST_TEXT), max_size=MOST_PARAMETERS))
def test_any_parameters_survive(parameters: dict[str, str]) -> None:
    made = Command(UNIT, ID, -1, 2**62, "a kind of later", parameters)
    assert open_command(seal_command(KEY, made), UNIT, KEYS) == made


def test_a_command_is_believed_only_under_a_pinned_key_and_for_this_unit() -> None:
    data = seal_command(KEY, COMMAND)
    assert refused(lambda: open_command(data, UNIT, [OTHER.public_key()])) is Reason.SIGNATURE
    assert refused(lambda: open_command(data, UNIT, [])) is Reason.SIGNATURE
    assert refused(lambda: open_command(data, "PW000043", KEYS)) is Reason.OTHER_UNIT


def test_nothing_else_that_the_same_key_signed_passes_for_a_command() -> None:
    receipt = seal_receipt(KEY, Receipt(UNIT, ID, (), NOW_MS))
    batch = seal_batch(KEY, Identity(UNIT, ID, 1, 1), b"", Body(1))
    assert refused(lambda: open_command(batch, UNIT, KEYS)) is Reason.UNKNOWN_VERSION
    for data in (receipt, signed(content(), RECEIPT_PURPOSE), signed(content(), BATCH_PURPOSE)):
        assert refused(lambda data=data: open_command(data, UNIT, KEYS)) is Reason.SIGNATURE  # type: ignore[misc]
    command = seal_command(KEY, COMMAND)
    assert refused(lambda: open_receipt(command, UNIT, KEYS)) is Reason.SIGNATURE
    assert refused(lambda: open_seal(command, UNIT, KEYS[0])) is Reason.SIGNATURE


@pytest.mark.parametrize("position", [0, 10, 40, -1])
def test_a_changed_byte_is_noticed(position: int) -> None:
    data = bytearray(seal_command(KEY, COMMAND))
    data[position] ^= 1
    assert refused(lambda: open_command(bytes(data), UNIT, KEYS)) in {
        Reason.SIGNATURE,
        Reason.MALFORMED,
        Reason.UNKNOWN_VERSION,
    }


def test_what_is_out_of_shape() -> None:
    assert refused(lambda: open_command(bytes(MAX_SEALED_BYTES + 1), UNIT, KEYS)) is Reason.TOO_LARGE
    assert refused(lambda: open_command(signed(content(), version=2), UNIT, KEYS)) is Reason.UNKNOWN_VERSION
    long = "x" * (LONGEST_TEXT + 1)
    many = {str(n): "" for n in range(MOST_PARAMETERS + 1)}
    for bad in (
        content(id=b"short"),
        content(id=bytes(17)),
        content(kind=""),
        content(kind=long),
        content(parameters={"a": long}),
        content(parameters={long: ""}),
        content(parameters=many),
        b"\xff",
    ):
        assert refused(lambda bad=bad: open_command(signed(bad), UNIT, KEYS)) is Reason.MALFORMED  # type: ignore[misc]


def test_a_newer_server_may_say_more() -> None:
    newer = content() + b"\xa2\x06\x03new"  # field 100
    assert open_command(signed(newer), UNIT, KEYS).kind == "locate"


# -- the table


def test_bounds_of_parameters() -> None:
    assert checked_parameters("locate", {}) == {}
    assert checked_parameters("follow", {"minutes": "060"}) == {"minutes": "60", "every_s": "10"}
    assert checked_parameters("follow", {"minutes": "1", "every_s": "1"}) == {"minutes": "1", "every_s": "1"}
    window = {"from_ms": str(NOW_MS), "to_ms": str(NOW_MS + MOST_RECALLED_MS)}
    assert checked_parameters("recall", window) == window
    texts = {"section": "batch", "name": "samples", "value": "-5 %"}
    assert checked_parameters("set", texts) == texts


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("locate", {"minutes": "1"}, "no parameter 'minutes'"),
        ("follow", {}, "minutes is missing"),
        ("follow", {"minutes": "0"}, "from 1 to 60"),
        ("follow", {"minutes": "61"}, "from 1 to 60"),
        ("follow", {"minutes": "5", "every_s": "11"}, "from 1 to 10"),
        ("follow", {"minutes": "5", "every_s": "0"}, "from 1 to 10"),
        ("follow", {"minutes": "-5"}, "whole number"),
        ("follow", {"minutes": "5.0"}, "whole number"),
        ("follow", {"minutes": "٥"}, "whole number"),
        ("follow", {"minutes": "1_0"}, "whole number"),
        ("follow", {"minutes": " 5"}, "whole number"),
        ("follow", {"minutes": ""}, "whole number"),
        ("follow", {"minutes": "9" * 5000}, "whole number"),
        ("recall", {"from_ms": "5", "to_ms": "5"}, "to_ms must be after from_ms"),
        ("recall", {"from_ms": "6", "to_ms": "5"}, "to_ms must be after from_ms"),
        ("recall", {"from_ms": "0", "to_ms": str(MOST_RECALLED_MS + 1)}, "at most"),
        ("set", {"section": "batch", "name": "samples", "value": ""}, "value must be a text"),
        ("set", {"section": "batch", "name": "samples", "value": "x" * 201}, "value must be a text"),
        ("set", {"section": "batch", "name": "samples"}, "value is missing"),
    ],
)
def test_parameters_that_are_refused(kind: str, given: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        checked_parameters(kind, given)


@given(st.sampled_from(sorted(COMMANDS)), st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=4))
def test_what_passes_passes_again_unchanged(kind: str, given: dict[str, str]) -> None:
    try:
        passed = checked_parameters(kind, given)
    except ValueError:
        return
    assert checked_parameters(kind, passed) == passed


def test_the_table_is_safe() -> None:
    """A new kind must be thought about here too: none may act on the car, and what tells a place needs a reason."""
    assert set(COMMANDS) == {"locate", "follow", "cancel_follow", "recall", "status", "set"}
    assert {kind for kind, row in COMMANDS.items() if row.tells_place} == {"locate", "follow", "recall"}
    assert MAX_LIFE_MS == 7 * 86_400_000
    for row in COMMANDS.values():
        assert len(row.parameters) <= MOST_PARAMETERS
        for each in row.parameters:
            assert (each.low is None) == (each.high is None)
