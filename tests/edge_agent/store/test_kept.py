"""What the agent keeps between two runs: when there is something to keep, and what is read of a damaged text."""

import json

import pytest

from edge_agent.store.kept import Following, Keeping, Kept

KEPT = Kept(
    {"supply": True},
    {"vin": "LSVAA4182E2184847", "dtc_codes": ["P0301"]},
    '{"h": 1}',
    Following(every_s=10, until_ms=1_795_421_700_000),
)


def kept(keeping: Keeping, what: Kept, mono_s: float, *, for_good: bool = False) -> object:
    """What is put at this instant, None where nothing is due."""
    text = keeping.due(what, mono_s, for_good=for_good)
    keeping.on_put(text, mono_s)
    return None if text is None else json.loads(text)


def test_the_next_run_reads_what_this_one_kept() -> None:
    keeping = Keeping(None)
    assert keeping.read == Kept()
    assert Keeping(keeping.due(KEPT, 0.0)).read == KEPT


def test_it_is_due_when_something_was_told_and_for_the_energy_once_an_hour() -> None:
    keeping = Keeping(None)
    assert kept(keeping, Kept({}, {}, "a"), 0.0) is None
    assert kept(keeping, Kept({"tow": 1}, {}, "b"), 1.0) == {
        "rules": {"tow": 1},
        "told": {},
        "energy": "b",
        "following": None,
    }
    assert kept(keeping, Kept({"tow": 1}, {}, "c"), 3600.9) is None
    assert kept(keeping, Kept({"tow": 1}, {}, "d"), 3601.0) is not None
    assert kept(keeping, Kept({"tow": 1}, {"vin": "X"}, "e"), 3602.0) is not None
    assert kept(keeping, Kept({"tow": 1}, {"vin": "X"}, "e", Following(10, 5)), 3602.0) is not None


def test_the_end_keeps_the_energy_whenever_it_is() -> None:
    text = Keeping(None).due(Kept({}, {}, "a"), 10.0, for_good=True)
    assert Keeping(text).read.energy == "a"


def test_what_the_disk_did_not_take_stays_due() -> None:
    keeping = Keeping(None)
    text = keeping.due(KEPT, 0.0)
    assert keeping.due(KEPT, 1.0) == text
    keeping.on_put(text, 1.0)
    assert keeping.due(KEPT, 2.0) is None


def test_what_the_caller_changes_later_is_a_change() -> None:
    keeping = Keeping(None)
    told: dict[str, object] = {"vin": "A"}
    kept(keeping, Kept({}, told), 0.0)
    told["vin"] = "B"
    assert keeping.due(Kept({}, told), 1.0) is not None


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", "null", '{"following": {"every_s": "x", "until_ms": 1}}'])
def test_a_damaged_text_begins_anew_and_says_so(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert Keeping(text).read == Kept()
    assert "begin anew" in caplog.text


def test_a_part_of_the_wrong_type_costs_that_part_only() -> None:
    assert Keeping('{"rules": [], "told": {"vin": "A"}, "energy": 7}').read == Kept({}, {"vin": "A"}, None)
