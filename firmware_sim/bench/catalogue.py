"""The stories on disk: those that come with the simulator, by name, and any file by its path."""

from collections.abc import Iterable
from pathlib import Path

from firmware_sim.bench.names import WORLD
from firmware_sim.bench.recordings import with_recordings
from firmware_sim.bench.stage import timing
from firmware_sim.story.reading import read_story
from firmware_sim.story.schema import Story, StoryError
from firmware_sim.story.tables import hint

FOLDER = Path(__file__).parents[1] / "scenarios"


def all_files() -> list[Path]:
    """Every scenario that comes with the simulator, by name."""
    return sorted(FOLDER.glob("*.toml"))


def read_file(path: Path, seed: int | None = None, *, fitted: bool = False) -> Story:
    """Read one file.

    Args:
        path: the file.
        seed: instead of the story's own.
        fitted: a drive takes as long as its way needs, if that is longer than the file says (0.2 s of work).

    Raises:
        StoryError: it cannot be read, or is no story.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoryError(f"{path.name}: cannot be read: {error}") from None
    told = with_recordings(read_story(text, path.stem, WORLD, seed), path.parent)
    if not fitted:
        return told
    found = timing(told)
    return with_recordings(read_story(text, path.stem, WORLD, seed, found.lengths_s, found.ends_s), path.parent)


def chosen(words: Iterable[str], seed: int | None = None) -> list[Story]:
    """Stories by name, by path, by `tag:WORD`, or `all`; each once.

    Raises:
        StoryError: nothing is called so, or a story cannot be read.
    """
    stories: dict[Path, Story] = {}
    for word in words:
        for path in _files(word):
            if path not in stories:
                stories[path] = read_file(path, seed, fitted=True)
    return list(stories.values())


def _files(word: str) -> list[Path]:
    if word.endswith(".toml") or "/" in word:
        return [Path(word).resolve()]
    if word == "all":
        return all_files()
    if word.startswith("tag:"):
        tag = word.removeprefix("tag:")
        if found := [path for path in all_files() if tag in read_file(path).tags]:
            return found
        raise StoryError(f"no story has the tag {tag!r}; 'pledgewatch-sim list' shows them")
    path = FOLDER / f"{word}.toml"
    if not path.is_file():
        raise StoryError(f"there is no story {word!r}{hint(word, [each.stem for each in all_files()])}")
    return [path]
