"""Seconds for the rules, and a watch that sees them; every event is held against the table."""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from edge_agent.rules import DETAILS, WORDS, EventSettings, LocalEvent, Seen, Watch
from edge_agent.rules.seen import MOST_WINDOW_S
from wire.records import Sample, TimeQuality

HOME = (31.8187242, 117.2257202)
OF_SAMPLE = ("obd_speed_kmh", "engine_rpm", "speed_mps", "satellites_used", "fix_quality", "mil_on", "dtc_count")


def second(mono_s: float, **known: Any) -> Seen:
    """One second; fields of the sample and of Seen alike, `place` for the raw position."""
    place = known.pop("place", None)
    said = {name: known.pop(name) for name in OF_SAMPLE if name in known}
    lat_deg, lon_deg = place or (None, None)
    sample = Sample(mono_s, None, TimeQuality.NONE, lat_deg=lat_deg, lon_deg=lon_deg, **said)
    return Seen(mono_s, sample, raw_position=place, **known)


def away(north_m: float, east_m: float = 0.0) -> tuple[float, float]:
    """A place so far from HOME."""
    return HOME[0] + north_m / 111_195, HOME[1] + east_m / 111_195 / math.cos(math.radians(HOME[0]))


def steady(start_s: float, count: int, **known: Any) -> Iterator[Seen]:
    """The same for `count` seconds."""
    return (second(start_s + i, **known) for i in range(count))


def played(watch: Watch, seconds: Iterable[Seen]) -> list[LocalEvent]:
    """What the watch tells; with details, words and a window that the table promises."""
    told = [event for seen in seconds for event in watch.step(seen)]
    for event in told:
        assert set(event.details) <= set(DETAILS[event.kind])
        assert all(value in WORDS[name] for name, value in event.details.items() if name in WORDS)
        assert all(0 < len(value) <= 1000 for value in event.details.values())
        assert 0 <= event.window_s <= MOST_WINDOW_S
    return told


def new_watch() -> Watch:
    return Watch(EventSettings())


def kinds(events: Iterable[LocalEvent]) -> list[str]:
    return [event.kind for event in events]


def restarted(watch: Watch) -> Watch:
    """The watch after the agent was killed and started: its state went through a file."""
    return Watch.from_state(EventSettings(), json.loads(json.dumps(watch.to_state())))
