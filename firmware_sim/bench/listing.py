"""`pledgewatch-sim list`: stories with their tags and what they wait for, cities, columns of recorded tables."""

import json
import sys

from firmware_sim.bench.catalogue import all_files, read_file
from firmware_sim.j1979 import PID_BY_FIELD
from firmware_sim.obd_table import OTHER_NAMES, TIME_COLUMNS
from firmware_sim.roads.cities import CITIES
from firmware_sim.story.describe import span
from firmware_sim.story.schema import Story, StoryError


def check() -> int:
    """Read every story; 2 where one is wrong."""
    files, wrong = all_files(), 0
    for path in files:
        try:
            read_file(path)
        except StoryError as error:
            wrong += 1
            print(f"pledgewatch-sim: {error}", file=sys.stderr)
    print(f"{len(files)} stories read, {wrong} wrong")
    return 2 if wrong else 0


def list_all(*, as_json: bool, tag: str | None) -> int:
    """Everything that there is to play. Raises StoryError where a story cannot be read."""
    stories = [story for story in map(read_file, all_files()) if tag is None or tag in story.tags]
    columns, clocks = sorted({*PID_BY_FIELD, *OTHER_NAMES}), [name for name, _ in TIME_COLUMNS]
    if as_json:
        cities = {city.name: {"zh": city.name_zh, "lat": city.lat_deg, "lon": city.lon_deg} for city in CITIES.values()}
        found = {
            "stories": {story.name: _told(story) for story in stories},
            "cities": cities,
            "obd_columns": columns,
            "time_columns": clocks,
        }
        print(json.dumps(found, ensure_ascii=False))
        return 0
    print("Stories for `run` and `describe`:")
    for story in stories:
        print(f"  {story.name:<28} {span(story.duration_s):>11}  {' '.join(story.tags):<24} {story.title.zh}")
        print(f"  {'':<28} {'':>11}  {'':<24} {story.title.en}")
        for waits_for in story.waiting:
            told = [each.waits_for for each in story.expects] + [each.waits_for for each in story.nevers]
            waiting = told.count(waits_for)
            print(f"  {'':<28} {'':>11}  waits for {waits_for}: {waiting} of its expectations are not judged yet")
    if tag is None:
        print("Cities for `drive --city` and stories:")
        for city in CITIES.values():
            print(f"  {city.name:<10} {city.name_zh}  {city.lat_deg:.4f} N {city.lon_deg:.4f} E")
        print("Columns that `replay --obd` plays:")
        print(f"  time:   {', '.join(clocks)}")
        print(f"  values: {', '.join(columns)}")
    return 0


def _told(story: Story) -> dict[str, object]:
    return {
        "title": {"zh": story.title.zh, "en": story.title.en},
        "tags": story.tags,
        "seconds": story.duration_s,
        "waits_for": story.waiting,
    }
