"""The testers' guide in both languages: its commands can be typed, its links lead somewhere, its stories are there."""

import re
import shlex
from pathlib import Path

import pytest

from firmware_sim.arguments import parser
from firmware_sim.bench.catalogue import all_files

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [DOCS / f"testers-guide.{language}.md" for language in ("zh", "en")]
STORIES = {path.stem for path in all_files()}


def commands(guide: Path) -> list[list[str]]:
    """The words of each `pledgewatch-sim` line in its shell blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words[1:] for words in found if words and words[0].endswith("pledgewatch-sim")]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_its_commands_can_be_typed(guide: Path) -> None:
    found = commands(guide)
    assert len(found) >= 12
    for words in found:
        told = parser(words[0]).parse_args(words)
        for name in getattr(told, "stories", []):
            assert name in STORIES or name == "all" or name.startswith("tag:") or name.endswith(".toml"), words


def test_both_have_the_same_commands() -> None:
    chinese, english = (commands(guide) for guide in GUIDES)
    languages = {"--language", "en"}
    assert chinese == [[word for word in words if word not in languages] for words in english]


@pytest.mark.parametrize("guide", [*GUIDES, DOCS / "scenario-schema.md"], ids=lambda guide: guide.stem)
def test_its_links_lead_somewhere(guide: Path) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", guide.read_text(encoding="utf-8"))
    assert links
    assert all((guide.parent / link).is_file() for link in links)
