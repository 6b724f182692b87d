"""Story and evidence → one finding a thing that was to be: passed, failed with the reason, or waiting. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from math import hypot
from typing import Any

from firmware_sim.bench.evidence import Evidence, SeenEvent
from firmware_sim.bench.stage import apart_m
from firmware_sim.story.describe import expectation, prohibition, span
from firmware_sim.story.schema import Expect, Never, Story

_BEFORE_POWER_CUT_S = 12  # what was not sealed is journalled every 5 s; the rest of a minute may be in the receiver
_SETTLES_S = 8  # after a start, a fault or a skip, until the receiver's positions are samples again
_MOST_NAMED = 5
_OF_A_START = ("unit_started", "outbox_replaced", "unit_woke")


class Outcome(Enum):
    """How a finding ends."""

    PASSED = "passed"
    FAILED = "failed"
    WAITS = "waits"  # for something that is not built yet


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was judged."""

    what: str
    outcome: Outcome
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A story's findings, in order: its own, then those that every story is judged on."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Nothing failed."""
        return all(each.outcome is not Outcome.FAILED for each in self.findings)

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What failed."""
        return tuple(each for each in self.findings if each.outcome is Outcome.FAILED)

    @property
    def waits(self) -> int:
        """How many findings wait."""
        return sum(each.outcome is Outcome.WAITS for each in self.findings)


def judge(story: Story, evidence: Evidence) -> Verdict:
    """All findings."""
    own = [*_expected(story, evidence), *_forbidden(story, evidence)]
    always = [_finding(what, check(story, evidence)) for what, check in ALWAYS]
    return Verdict((*own, *always))


def _finding(what: str, why: str) -> Finding:
    return Finding(what, Outcome.FAILED if why else Outcome.PASSED, why)


# What the story says


def _expected(story: Story, evidence: Evidence) -> Iterator[Finding]:
    for expect in story.expects:
        what = expectation(expect)
        if expect.waits_for:
            yield Finding(what, Outcome.WAITS, expect.waits_for)
        elif evidence.is_physical and expect.kind in ("fact", "state"):
            yield Finding(what, Outcome.WAITS, "a unit whose status and server are within reach")
        elif evidence.is_physical and expect.event in _OF_A_START:
            yield Finding(what, Outcome.WAITS, "a unit that the bench starts")
        elif expect.kind == "event":
            yield _finding(what, _event_missing(expect, evidence.events))
        elif expect.kind == "gap":
            yield _finding(what, _gap_wrong(expect, evidence))
        else:
            yield _finding(what, _value_wrong(expect, evidence))


def _event_missing(expect: Expect, events: list[SeenEvent]) -> str:
    like = [event for event in events if event.kind == expect.event]
    fitting = [event for event in like if _has(event.details, expect.details)]
    within = [event for event in fitting if expect.from_s <= event.at_s <= expect.to_s]
    if len(within) >= expect.least and (expect.most is None or len(within) <= expect.most):
        return ""
    came = f"came {len(within)} times" if within else "did not come"
    if expect.most is not None and len(within) > expect.most:
        return f"{came}: {_listed(within)}"
    if others := [event for event in fitting if event not in within]:
        return f"{came}; outside the window: {_listed(others)}"
    if like:
        return f"{came}; with other details: {_listed(like)}"
    return came


def _gap_wrong(expect: Expect, evidence: Evidence) -> str:
    told = [f"{gap.first} to {gap.last} ({gap.samples} samples, {gap.reason})" for gap in evidence.gaps]
    if expect.gap and not told:
        return "no batch was declared lost"
    return "" if expect.gap or not told else f"declared lost: {'; '.join(told[:_MOST_NAMED])}"


def _value_wrong(expect: Expect, evidence: Evidence) -> str:
    asked_s = float("inf") if expect.at_s is None else expect.at_s
    if expect.kind == "fact":
        told = evidence.facts.get(asked_s, {})
        if not told:
            return "the unit did not answer when it was asked"
        if expect.fact not in told:
            return "the unit's status does not tell it"
        return _unlike(expect, told[expect.fact])
    told = evidence.states.get(asked_s, {})
    state = told.get("state") or {}
    if not told:
        return "the server's page did not answer"
    if expect.near:
        return _too_far(expect, state, evidence.places)
    found = state.get(expect.state, told.get(expect.state))
    return "the server does not know it" if found is None else _unlike(expect, found)


def _too_far(expect: Expect, state: Mapping[str, Any], places: Mapping[str, tuple[float, float]]) -> str:
    lat, lon = state.get("lat_deg"), state.get("lon_deg")
    if lat is None or lon is None:
        return "the server knows no position"
    off_m = hypot(*apart_m(places[expect.near], (float(lat), float(lon))))
    return "" if off_m <= expect.within_m else f"{off_m:.0f} m away from {expect.near}"


def _unlike(expect: Expect, found: Any) -> str:
    if expect.value is not None and str(found).lower() != str(expect.value).lower():
        return f"is {found}"
    if expect.has and expect.has not in str(found):
        return f"is {found}"
    if expect.unlike is not None and str(found).lower() == expect.unlike.lower():
        return f"is {found}"
    try:
        number = float(str(found).split()[0])
    except (ValueError, IndexError):
        return f"is {found}, no number" if expect.at_least is not None or expect.at_most is not None else ""
    low, high = expect.at_least, expect.at_most
    return f"is {found}" if (low is not None and number < low) or (high is not None and number > high) else ""


def _forbidden(story: Story, evidence: Evidence) -> Iterator[Finding]:
    for never in story.nevers:
        what = f"never {prohibition(never)}"
        if never.waits_for:
            yield Finding(what, Outcome.WAITS, never.waits_for)
        if never.events:
            came = [event for event in evidence.events if _is_forbidden(event, never)]
            yield _finding(what, f"came: {_listed(came)}" if came else "")


def _is_forbidden(event: SeenEvent, never: Never) -> bool:
    within = any(from_s <= event.at_s <= to_s for from_s, to_s in never.spans)
    return within and event.kind in never.events and _has(event.details, never.details)


def _has(details: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(str(details.get(name)).lower() == value.lower() for name, value in wanted.items())


def _listed(events: list[SeenEvent]) -> str:
    told = [
        f"{event.kind} at {span(event.at_s)}" + (f" {dict(event.details)}" if event.details else "")
        for event in events[:_MOST_NAMED]
    ]
    return "; ".join(told) + (f"; and {len(events) - _MOST_NAMED} more" if len(events) > _MOST_NAMED else "")


# What every story is judged on


def _nothing_lost(story: Story, evidence: Evidence) -> str:
    """Sequences of a boot have no holes, but for those that were declared."""
    by_boot: dict[str, set[int]] = defaultdict(set)
    for batch in evidence.batches:
        by_boot[batch.boot].add(batch.sequence)
    for gap in evidence.gaps:
        by_boot[gap.boot] |= set(range(gap.first, gap.last + 1))
    if not by_boot:
        return "not one batch arrived"
    holes = [
        f"batch {sequence} of boot {boot[:8]}"
        for boot, there in by_boot.items()
        for sequence in sorted(set(range(1, max(there) + 1)) - there)
    ]
    if holes:
        return f"neither arrived nor declared: {', '.join(holes[:_MOST_NAMED])}" + (" ..." if len(holes) > 5 else "")
    return f"still not sent at the end: {evidence.waiting}" if evidence.waiting else ""


def _nothing_twice(story: Story, evidence: Evidence) -> str:
    """One sequence is one batch; and the server has stored as many samples as were sealed."""
    named: dict[tuple[str, int], set[str]] = defaultdict(set)
    samples: dict[tuple[str, int], int] = {}
    for batch in evidence.batches:
        named[batch.boot, batch.sequence].add(batch.digest)
        samples[batch.boot, batch.sequence] = batch.samples
    if twice := [f"{boot[:8]} {sequence}" for (boot, sequence), digests in named.items() if len(digests) > 1]:
        return f"other bytes under the same number: {', '.join(twice[:_MOST_NAMED])}"
    sealed, stored = sum(samples.values()), evidence.server_samples
    if stored is not None and stored != sealed:
        return f"the server has stored {stored} samples, {sealed} were sealed"
    return ""


def _positions_arrived(story: Story, evidence: Evidence) -> str:
    """Each second of a drive in which a healthy receiver told a position is a sample, unless something explains it."""
    start_s = story.start.timestamp()
    excused = [(-60.0, float(_SETTLES_S))]
    excused += [
        (fault.begin_s - _BEFORE_POWER_CUT_S, fault.end_s + _SETTLES_S)
        for fault in story.faults
        if fault.part in ("receiver", "unit", "ports", "clock")
    ]
    excused += [(from_s - _BEFORE_POWER_CUT_S, to_s + _SETTLES_S) for from_s, to_s in evidence.off]
    excused += [(from_s - 1, to_s + _SETTLES_S) for from_s, to_s in evidence.skipped]
    missing = [
        at_s
        for second in evidence.told_s
        if second not in evidence.heard_s
        and not any(from_s <= (at_s := second - start_s) <= to_s for from_s, to_s in excused)
    ]
    if not missing:
        return ""
    named = ", ".join(span(each) for each in missing[:_MOST_NAMED])
    return f"{len(missing)} of {len(evidence.told_s)} seconds are missing: {named}" + (
        " ..." if len(missing) > 5 else ""
    )


def _seals_hold(story: Story, evidence: Evidence) -> str:
    return "; ".join(evidence.refused[:_MOST_NAMED])


def _no_traceback(story: Story, evidence: Evidence) -> str:
    return "; ".join(evidence.tracebacks[:_MOST_NAMED])


def _ends_as_asked(story: Story, evidence: Evidence) -> str:
    return "; ".join(evidence.trouble[:_MOST_NAMED])


ALWAYS: tuple[tuple[str, Callable[[Story, Evidence], str]], ...] = (
    ("every seal holds", _seals_hold),
    ("nothing that was sealed is lost", _nothing_lost),
    ("all that was sealed is stored, and once", _nothing_twice),
    ("every position of a drive arrives", _positions_arrived),
    ("no traceback in the agent's log", _no_traceback),
    ("the agent runs until it is asked to end", _ends_as_asked),
)
