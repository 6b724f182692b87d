"""A scenario file's text → a Story, or a StoryError that says where it is wrong and what would do."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from firmware_sim.story.schema import Act, Expect, Fault, Never, Order, Story, StoryError, Text
from firmware_sim.story.tables import Table, hint
from firmware_sim.story.vocabulary import ACTS, BENCH_FAULTS, ONCE, STYLES

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_AT = re.compile(r"(begin|end) of ([a-z][a-z0-9_]*)")
ALL_EVENTS = "*"
LATE_S = 60.0  # an event counts for so long after its act, unless the story says otherwise


@dataclass(frozen=True, slots=True)
class World:
    """The names that the rest of the simulator and the contract know; a story may use only these."""

    cities: tuple[str, ...]
    places: tuple[str, ...]
    events: tuple[str, ...]  # of the wire
    alarms: tuple[str, ...]  # those that "*" in [[never]] stands for
    profiles: tuple[str, ...]  # of adapters
    commands: tuple[str, ...]
    faults: tuple[str, ...]  # of receiver, adapter and car: "part.name"


def read_story(
    text: str,
    name: str,
    world: World,
    seed: int | None = None,
    lengths: Mapping[str, float] | None = None,
    ends: Mapping[str, float] | None = None,
) -> Story:
    """Read one scenario file.

    Args:
        text: the TOML.
        name: the story's name: the file's without .toml.
        world: the names that it may use.
        seed: instead of the story's own.
        lengths: how many seconds acts take at least, by name: the way to a place takes what it takes.
        ends: what "end of" means for an act, in seconds from its begin: of a drive, just before the engine is stopped.

    Raises:
        StoryError: not TOML, an unknown or missing key, a name that is nowhere, a time outside its act.
    """
    where = f"{name}.toml"
    try:
        top = Table(where, tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise StoryError(f"{where}: not TOML: {error}") from None
    if not _NAME.fullmatch(name):
        raise StoryError(f"{where}: a story's name is of small letters, digits and '_'")
    acts = _acts(top, world, lengths or {})
    own_seed = top.whole("seed")
    story = Story(
        name=name,
        title=_text(top, "title"),
        about=_text(top, "about"),
        tags=_tags(top),
        seed=own_seed if seed is None else seed,
        start=_start(top),
        city=top.text("city", among=world.cities),
        at=top.text("at", "home", world.places),
        speed=top.number("speed", 1.0, 0.1, 100),
        acts=acts,
        unit=_sections(top),
        car=_plain(top, "car"),
        receiver=_device(top, "receiver", "make"),
        adapter=_device(top, "adapter", "profile", world.profiles),
    )
    faults = tuple(_fault(row, story, world) for row in top.rows("fault"))
    orders = tuple(_order(row, story, world) for row in top.rows("order"))
    expects = tuple(_expect(row, story, world, ends or {}) for row in top.rows("expect"))
    nevers = tuple(_never(row, story, world) for row in top.rows("never"))
    top.end()
    if not expects and not nevers:
        raise StoryError(f"{where}: a story without [[expect]] and [[never]] judges nothing")
    return replace(story, faults=faults, orders=orders, expects=expects, nevers=nevers)


def _text(top: Table, key: str) -> Text:
    table = top.table(key)
    found = Text(table.text("zh"), table.text("en"))
    table.end()
    return found


def _tags(top: Table) -> tuple[str, ...]:
    tags = top.texts("tags")
    if bad := [tag for tag in tags if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", tag)]:
        raise top.refuse("tags", f"{bad[0]!r} is not a word of small letters")
    return tags


def _start(top: Table) -> datetime:
    start = top.any("start")
    if not isinstance(start, datetime) or start.tzinfo is None:
        raise top.refuse("start", f"must be a UTC time such as 2026-11-23T14:00:00Z, not {start!r}")
    return start.astimezone(UTC)


def _sections(top: Table) -> dict[str, dict[str, Any]]:
    table = top.any("unit", {})
    if not isinstance(table, Mapping) or not all(isinstance(each, Mapping) for each in table.values()):
        raise top.refuse("unit", "must be a table of sections, such as power = { parked_after_s = 30 }")
    return {name: dict(section) for name, section in table.items()}


def _plain(top: Table, key: str) -> dict[str, Any]:
    value = top.any(key, {})
    if not isinstance(value, Mapping):
        raise top.refuse(key, "must be a table")
    return dict(value)


def _device(top: Table, key: str, chooses: str, known: Iterable[str] | None = None) -> dict[str, Any] | None:
    """A device's table; "none", or "none" as what is chosen, means that there is no such device."""
    value = top.any(key, {})
    if value == "none":
        return None
    table = _plain(top, key)
    if table.get(chooses) == "none":
        return None
    if known is not None and chooses in table and table[chooses] not in (names := list(known)):
        raise top.refuse(f"{key}.{chooses}", f"{table[chooses]!r} is not known{hint(str(table[chooses]), names)}")
    return table


def _acts(top: Table, world: World, lengths: Mapping[str, float]) -> tuple[Act, ...]:
    acts: list[Act] = []
    now_s = 0.0
    for row in top.rows("act"):
        name, do = row.text("name"), row.text("do", among=ACTS)
        if not _NAME.fullmatch(name) or any(each.name == name for each in acts):
            raise row.refuse("name", f"{name!r} must be a word of small letters that no other act has")
        told_s, kind = row.seconds(), ACTS[do]
        seconds = max(told_s, lengths.get(name, 0.0))
        to = row.text("to", "", world.places) if "to" in kind.keys else ""
        city = row.text("city", "", world.cities) if to and row.has("city") else ""
        more: dict[str, Any] = {}
        if "style" in kind.keys and row.has("style"):
            more["style"] = row.text("style", among=STYLES)
        for key, low, high in (("speed_kmh", 0.5, 150.0), ("metres", 1.0, 500.0)):
            if key in kind.keys and row.has(key):
                more[key] = row.number(key, low=low, high=high)
        if "recording" in kind.keys:
            more["recording"] = row.text("recording")
            if row.has("trip"):
                more["trip"] = row.text("trip")
            more["from_s"] = row.number("from_s", 0.0, low=0.0)
        row.end()
        acts.append(Act(name, do, now_s, seconds, to, city, told_s, more))
        now_s += seconds
    if not acts:
        raise StoryError(f"{top.where}: a story needs at least one [[act]]")
    return tuple(acts)


def _in_act(row: Table, story: Story) -> Act:
    name = row.text("in", among=[act.name for act in story.acts])
    return story.act(name)


def _within(row: Table, key: str, value_s: float, act: Act) -> float:
    """Seconds from the act's begin → story seconds; within the act."""
    if not 0 <= value_s <= act.seconds:
        raise row.refuse(key, f"{value_s:g} s is outside the act {act.name!r}, which takes {act.seconds:g} s")
    return act.begin_s + value_s


def _until(row: Table, story: Story) -> float | None:
    """`until`: the end of a later act, or of the story."""
    if not row.has("until"):
        return None
    name = row.text("until", among=["end", *(act.name for act in story.acts)])
    return story.duration_s if name == "end" else story.act(name).end_s


def _fault(row: Table, story: Story, world: World) -> Fault:
    act, what = _in_act(row, story), row.text("what", among=(*world.faults, *BENCH_FAULTS))
    begin_s = _within(row, "at_s", row.number("at_s", 0.0), act)
    until_s = _until(row, story)
    if what in ONCE and (row.has("for_s") or until_s is not None):
        raise row.refuse("for_s", f"{what} happens once")
    if until_s is not None and row.has("for_s"):
        raise row.refuse("for_s", "for_s and until say the same thing twice")
    if until_s is None:
        until_s = begin_s + row.number("for_s", 0.0 if what in ONCE else act.end_s - begin_s, low=0.0)
    if not begin_s <= until_s <= story.duration_s:
        raise row.refuse("for_s", f"the fault begins at {begin_s:g} s and the story ends at {story.duration_s:g} s")
    value = row.any("value", True)
    if what == "clock.jump_s" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise row.refuse("value", "how far the clock jumps, in s")
    if what in BENCH_FAULTS and what != "clock.jump_s" and row.has("value"):
        raise row.refuse("value", f"{what} takes none")
    row.end()
    return Fault(act.name, what, begin_s, until_s, value)


def _order(row: Table, story: Story, world: World) -> Order:
    act = _in_act(row, story)
    at_s = _within(row, "at_s", row.number("at_s", 0.0), act)
    found = Order(act.name, at_s, row.text("command", among=world.commands), row.mapping("arguments"))
    row.end()
    return found


def _expect(row: Table, story: Story, world: World, ends: Mapping[str, float]) -> Expect:
    kinds = [name for name in ("event", "alert", "gap", "fact", "state") if row.has(name)]
    if len(kinds) != 1:
        raise StoryError(f"{row.where}: expects exactly one of event, alert, gap, fact or state")
    waits_for = row.text("waits_for", "")
    if kinds[0] == "gap":
        if not isinstance(gap := row.any("gap"), bool):
            raise row.refuse("gap", "must be true or false")
        found = Expect(gap=gap, waits_for=waits_for)
    elif kinds[0] in ("event", "alert"):
        found = _expect_event(row, story, world, waits_for)
    else:
        found = _expect_value(row, story, world, ends, waits_for)
    row.end()
    return found


def _expect_event(row: Table, story: Story, world: World, waits_for: str) -> Expect:
    act = _in_act(row, story)
    from_s, until_s = act.begin_s + row.number("from_s", 0.0, low=0.0), _until(row, story)
    if until_s is not None and row.has("to_s"):
        raise row.refuse("to_s", "to_s and until say the same thing twice")
    to_s = until_s if until_s is not None else act.begin_s + row.number("to_s", act.seconds + LATE_S, low=0.1)
    if from_s >= to_s:
        raise row.refuse("to_s", f"{to_s - act.begin_s:g} is not after from_s, {from_s - act.begin_s:g}")
    count = row.any("count")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise row.refuse("count", "a whole number from 1 on; what must not come is for [[never]]")
    found = Expect(
        event=row.text("event", "", world.events),
        alert=row.text("alert", ""),
        act=act.name,
        from_s=from_s,
        to_s=to_s,
        least=count or 1,
        most=count,
        details=row.mapping("details"),
        waits_for=waits_for,
    )
    if found.alert and not waits_for:
        raise row.refuse("alert", 'the server tells no alerts yet; write waits_for = "server alerts"')
    return found


def _expect_value(row: Table, story: Story, world: World, ends: Mapping[str, float], waits_for: str) -> Expect:
    if not any(row.has(key) for key in ("is", "has", "not", "from", "to", "near")):
        raise StoryError(f"{row.where}: a fact or state needs one of is, has, not, from, to or near")
    at_s = None
    if row.has("at"):
        match = _AT.fullmatch(row.text("at"))
        if match is None or match[2] not in [act.name for act in story.acts]:
            raise row.refuse("at", 'must be "begin of ACT" or "end of ACT"')
        act = story.act(match[2])
        at_s = act.begin_s if match[1] == "begin" else act.begin_s + ends.get(act.name, act.seconds)
    return Expect(
        fact=row.text("fact", ""),
        state=row.text("state", ""),
        value=row.any("is"),
        has=row.text("has", ""),
        unlike=row.text("not", "") if row.has("not") else None,
        at_least=row.optional("from"),
        at_most=row.optional("to"),
        near=row.text("near", "", world.places),
        within_m=row.number("within_m", 50.0, low=1.0),
        at_s=at_s,
        waits_for=waits_for,
    )


def _never(row: Table, story: Story, world: World) -> Never:
    events, alerts = row.texts("event"), row.texts("alert")
    waits_for = row.text("waits_for", "")
    if not events and not alerts:
        raise StoryError(f"{row.where}: names neither event nor alert")
    for each in events:
        if each != ALL_EVENTS and each not in world.events:
            raise row.refuse("event", f"{each!r} is not known{hint(each, world.events)}")
    if alerts and not waits_for:
        raise row.refuse("alert", 'the server tells no alerts yet; write waits_for = "server alerts"')
    if ALL_EVENTS in events:
        events = tuple(dict.fromkeys([*world.alarms, *(each for each in events if each != ALL_EVENTS)]))
    names = row.texts("in")
    for each in names:
        if each not in (known := [act.name for act in story.acts]):
            raise row.refuse("in", f"{each!r} is not an act{hint(each, known)}")
    spans = tuple((story.act(each).begin_s, story.act(each).end_s) for each in names) or ((0.0, story.duration_s),)
    if len(spans) == 1:
        begin_s, end_s = spans[0]
        from_s = begin_s + row.number("from_s", 0.0, low=0.0)
        spans = ((from_s, begin_s + row.number("to_s", end_s - begin_s, low=0.1)),)
    found = Never(events, spans, row.mapping("details"), alerts, waits_for)
    row.end()
    return found
