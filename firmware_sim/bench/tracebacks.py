"""Tracebacks in a log, one line each. Pure."""

from collections.abc import Sequence

_BEGIN = "Traceback (most recent call last):"


def tracebacks(lines: Sequence[str]) -> list[str]:
    """Each as `file, line: error`; one that the log breaks off in is told, too."""
    found = []
    for at, line in enumerate(lines):
        if not line.rstrip().endswith(_BEGIN):
            continue
        place, error = "?", "the log ends within it"
        for each in lines[at + 1 :]:
            if not each.startswith(" "):
                error = each.strip()
                break
            if each.strip().startswith("File "):
                place = each.strip()
        found.append(f"{place}: {error}")
    return found
