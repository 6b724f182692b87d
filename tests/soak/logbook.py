"""The logs of all processes, read as they grow: tracebacks in them, and which of those are no fault."""

from collections.abc import Iterable, Sequence
from pathlib import Path

# (what the last line of the traceback contains, why it may be there)
EXPECTED: tuple[tuple[str, str], ...] = ()
_BEGIN = "Traceback (most recent call last):"


class Logbook:
    """Finds tracebacks in files that only grow."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._read = dict.fromkeys(files, 0)
        self.expected = 0

    def unexpected(self) -> list[str]:
        """Those that came since the last call: the file's name, where it happened, and what."""
        found: list[str] = []
        for path, begin in self._read.items():
            if not path.exists():
                continue
            with path.open(errors="replace") as file:
                file.seek(begin)
                lines = file.read().splitlines()
                self._read[path] = file.tell()
            for ending in tracebacks(lines):
                if any(words in ending for words, _ in EXPECTED):
                    self.expected += 1
                else:
                    found.append(f"{path.name}: {ending}")
        return found


def tracebacks(lines: Sequence[str]) -> list[str]:
    """Each traceback as `file, line: error`."""
    found = []
    for at, line in enumerate(lines):
        if line.strip() != _BEGIN and not line.endswith(_BEGIN):
            continue
        body: list[str] = []
        for each in lines[at + 1 :]:
            if not each.startswith(" "):
                found.append(f"{body[-2].strip() if len(body) > 1 else '?'}: {each}")
                break
            if each.strip().startswith("File "):
                body += [each, ""]
    return found
