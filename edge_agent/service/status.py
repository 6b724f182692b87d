"""What the unit says of itself: one flat table of texts, for the status event, `--json` and people. Pure."""

from collections.abc import Mapping

# The lines of `pledgewatch-agent status`, by the beginning of the names that they show.
_HEADINGS: tuple[tuple[str, str], ...] = (
    ("unit", "Unit"),
    ("gnss", "Receiver"),
    ("obd", "OBD adapter"),
    ("car", "Car"),
    ("power", "Power"),
    ("energy", "Energy"),
    ("time", "Time"),
    ("outbox", "Outbox"),
    ("line", "Server"),
    ("tls", "Certificates"),
    ("commands", "Commands"),
    ("counts", "Counts"),
)


def in_words(facts: Mapping[str, str]) -> str:
    """The table for a person: a heading, and its facts indented under it."""
    lines: list[str] = []
    left = dict(facts)
    for beginning, heading in _HEADINGS:
        names = [name for name in left if name.split(".")[0] == beginning]
        if names:
            lines.append(heading)
            lines += _aligned({name.partition(".")[2] or name: left.pop(name) for name in names})
    if left:
        lines += ["Other", *_aligned(left)]
    return "\n".join(lines)


def _aligned(facts: Mapping[str, str]) -> list[str]:
    width = max(len(name) for name in facts)
    return [f"  {name.replace('_', ' '):<{width}}  {value}" for name, value in facts.items()]
