"""The judge finds each thing that is wrong, and nothing where nothing is."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from firmware_sim.bench.evidence import Evidence, SeenBatch, SeenEvent, SeenGap
from firmware_sim.bench.judge import ALWAYS, Outcome, Verdict, judge
from firmware_sim.story.schema import Act, Expect, Fault, Never, Story, Text

START = datetime(2026, 11, 23, tzinfo=UTC)
START_S = int(START.timestamp())
BOOT = "ab" * 16


def story(*expects: Expect, nevers: tuple[Never, ...] = (), faults: tuple[Fault, ...] = ()) -> Story:
    text = Text("一", "one")
    acts = (Act("drive", "drive", 0.0, 100.0), Act("night", "park", 100.0, 1000.0))
    found = Story("one", text, text, (), 1, START, "chengdu", "home", 1.0, acts, faults)
    return replace(found, expects=expects, nevers=nevers)


def healthy() -> Evidence:
    return Evidence(
        events=[SeenEvent(20.0, "ignition_on", {"volts": "14.1"}, 25.0)],
        batches=[SeenBatch(BOOT, sequence, 30, f"{sequence:064x}") for sequence in (1, 2, 3)],
        told_s=[START_S + second for second in range(10, 90)],
        heard_s={START_S + second for second in range(10, 90)},
        facts={100.0: {"obd.state": "querying"}, float("inf"): {"outbox.waiting": "0 batches, 0 samples"}},
        states={float("inf"): {"vin": "LSV", "state": {"lat_deg": 30.001, "lon_deg": 104.0, "odometer_km": 120.4}}},
        places={"home": (30.0, 104.0)},
        server_samples=90,
    )


def failures(verdict: Verdict) -> list[str]:
    return [f"{each.what}: {each.why}" for each in verdict.failures]


def test_a_healthy_run_passes() -> None:
    verdict = judge(story(Expect(event="ignition_on", act="drive", to_s=60.0)), healthy())
    assert verdict.passed
    assert len(verdict.findings) == 1 + len(ALWAYS)


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        (Expect(event="tow", to_s=60.0), "did not come"),
        (Expect(event="ignition_on", from_s=30.0, to_s=60.0), "outside the window: ignition_on at 0:20"),
        (Expect(event="ignition_on", to_s=60.0, details={"volts": "12"}), "with other details"),
        (Expect(event="ignition_on", to_s=60.0, least=2, most=2), "came 1 times"),
        (Expect(fact="obd.state", value="silent", at_s=100.0), "is querying"),
        (Expect(fact="obd.state", has="silent", at_s=100.0), "is querying"),
        (Expect(fact="obd.state", unlike="querying", at_s=100.0), "is querying"),
        (Expect(fact="gnss.state", value="x", at_s=100.0), "does not tell it"),
        (Expect(fact="obd.state", value="querying", at_s=50.0), "did not answer"),
        (Expect(fact="obd.state", at_least=3.0, at_s=100.0), "no number"),
        (Expect(state="odometer_km", at_least=121.0), "is 120.4"),
        (Expect(state="odometer_km", at_most=120.0), "is 120.4"),
        (Expect(state="fuel_pct", at_most=120.0), "does not know it"),
        (Expect(state="lat_deg", near="home", within_m=50.0), "111 m away from home"),
        (Expect(gap=True), "no batch was declared lost"),
    ],
)
def test_what_was_expected_and_is_not(expect: Expect, told: str) -> None:
    verdict = judge(story(expect), healthy())
    assert not verdict.passed
    assert told in failures(verdict)[0]


@pytest.mark.parametrize(
    "expect",
    [
        Expect(event="ignition_on", to_s=60.0, least=1, most=1, details={"volts": "14.1"}),
        Expect(fact="obd.state", value="querying", has="quer", unlike="silent", at_s=100.0),
        Expect(state="vin", value="lsv"),
        Expect(state="odometer_km", at_least=120.0, at_most=121.0),
        Expect(state="lat_deg", near="home", within_m=120.0),
        Expect(gap=False),
    ],
)
def test_what_was_expected_and_is(expect: Expect) -> None:
    assert judge(story(expect), healthy()).passed


def test_what_waits_is_neither_passed_nor_failed() -> None:
    never = Never((), ((0.0, 60.0),), alerts=("L1",), waits_for="server alerts")
    verdict = judge(story(Expect(alert="L1.tow", to_s=60.0, waits_for="server alerts"), nevers=(never,)), healthy())
    assert verdict.passed
    assert verdict.waits == 2
    assert verdict.findings[0].outcome is Outcome.WAITS


def test_what_must_not_come() -> None:
    bad = Never(("tow", "ignition_on"), ((0.0, 19.0), (19.5, 30.0)))
    assert "came: ignition_on at 0:20" in failures(judge(story(nevers=(bad,)), healthy()))[0]
    for fine in (replace(bad, spans=((0.0, 19.0),)), replace(bad, details={"volts": "9"})):
        assert judge(story(nevers=(fine,)), healthy()).passed


def _hole(evidence: Evidence) -> None:
    del evidence.batches[1]
    evidence.server_samples = 60


def _other_bytes(evidence: Evidence) -> None:
    evidence.batches.append(SeenBatch(BOOT, 2, 30, "f" * 64))


def _stored_twice(evidence: Evidence) -> None:
    evidence.server_samples = 120


def _never_arrived(evidence: Evidence) -> None:
    evidence.heard_s.discard(START_S + 50)


def _refused(evidence: Evidence) -> None:
    evidence.refused.append("signature")


def _waiting(evidence: Evidence) -> None:
    evidence.waiting = "3 batches, 90 samples"


def _traceback(evidence: Evidence) -> None:
    evidence.tracebacks.append("agent.py, line 3: ValueError")


def _crashed(evidence: Evidence) -> None:
    evidence.trouble.append("the agent ended by itself with status 1")


def _silent(evidence: Evidence) -> None:
    evidence.batches.clear()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_hole, "nothing that was sealed is lost: neither arrived nor declared: batch 2 of boot abababab"),
        (_waiting, "nothing that was sealed is lost: still not sent at the end: 3 batches"),
        (_silent, "nothing that was sealed is lost: not one batch arrived"),
        (_other_bytes, "all that was sealed is stored, and once: other bytes under the same number: abababab 2"),
        (_stored_twice, "all that was sealed is stored, and once: the server has stored 120 samples, 90 were sealed"),
        (_never_arrived, "every position of a drive arrives: 1 of 80 seconds are missing: 0:50"),
        (_refused, "every seal holds: signature"),
        (_traceback, "no traceback in the agent's log: agent.py"),
        (_crashed, "the agent runs until it is asked to end: the agent ended by itself"),
    ],
)
def test_what_every_story_is_judged_on(spoil: Callable[[Evidence], None], told: str) -> None:
    evidence = healthy()
    spoil(evidence)
    assert any(each.startswith(told) for each in failures(judge(story(), evidence)))


def test_a_batch_that_was_sent_again_is_no_fault() -> None:
    evidence = healthy()
    evidence.batches.append(evidence.batches[1])
    assert judge(story(), evidence).passed


def test_a_declared_gap_is_not_lost() -> None:
    evidence = healthy()
    _hole(evidence)
    evidence.gaps.append(SeenGap(BOOT, 2, 2, 30, "damaged"))
    assert judge(story(), evidence).passed


def test_a_fault_explains_what_did_not_arrive() -> None:
    evidence = healthy()
    _never_arrived(evidence)
    assert judge(story(faults=(Fault("drive", "unit.kill", 55.0, 60.0),)), evidence).passed
    assert not judge(story(faults=(Fault("drive", "network.down", 45.0, 60.0),)), evidence).passed


def test_a_physical_unit_is_not_asked() -> None:
    evidence = healthy()
    evidence.is_physical = True
    verdict = judge(story(Expect(fact="obd.state", value="silent", at_s=100.0)), evidence)
    assert verdict.passed
    assert verdict.waits == 1
