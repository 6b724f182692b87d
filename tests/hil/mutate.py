"""Would the stories notice a broken agent? One deliberate bug at a time, in a copy of it.

    python -m tests.hil.mutate [NAME ...] [--jobs N] [--list] [--json FILE]

For each mutation of mutations.toml: a copy of edge_agent in a temporary folder gets the bug, the stories that have to
notice it are played to that copy, and the first one that fails proves it. The same stories are first played to the
agent as it is: a story that fails there proves nothing. Exit status: 0 where nine in ten of the mutations are noticed.
"""

import argparse
import json
import shutil
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from xml.etree import ElementTree as Xml

ROOT = Path(__file__).parents[2]
LIST = Path(__file__).with_name("mutations.toml")
NOTICED_SHARE = 0.9
_LONGEST_S = 1800.0  # one story; the longest takes some minutes


class MutationError(Exception):
    """A mutation does not fit the source; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """One bug: `search` occurs once in `file` (a path in the repository) and becomes `replace`."""

    name: str
    about: str
    file: str
    search: str
    replace: str
    stories: tuple[str, ...]  # that have to notice it, the cheapest first

    def applied(self, source: str) -> str:
        """The file with the bug. Raises MutationError where `search` is not there exactly once."""
        if (times := source.count(self.search)) != 1:
            raise MutationError(f"{self.name}: its text occurs {times} times in {self.file}, not once")
        return source.replace(self.search, self.replace)


class Seen(Enum):
    """How one story went."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_PLAYED = "not played"  # the bench itself could not: no proof either way


@dataclass(frozen=True, slots=True)
class Noticed:
    """What became of one mutation: the story that failed, or None."""

    mutation: Mutation
    by: str | None
    why: str


def read_mutations(path: Path = LIST) -> tuple[Mutation, ...]:
    """The list."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["mutation"]
    return tuple(Mutation(**{**row, "stories": tuple(row["stories"])}) for row in rows)


def broken_copy(mutation: Mutation, folder: Path) -> Path:
    """A copy of the agent with the bug in `folder`; returns the program that starts it.

    The folder comes first on the path of imports, and the current folder is kept off it, also in the processes that
    the agent starts itself.
    """
    shutil.copytree(ROOT / "edge_agent", folder / "edge_agent", ignore=shutil.ignore_patterns("__pycache__"))
    target = folder / mutation.file
    target.write_text(mutation.applied(target.read_text(encoding="utf-8")), encoding="utf-8")
    program = folder / "pledgewatch-agent"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{folder}" PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 exec "{sys.executable}" '
        '-m edge_agent "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def play(story: str, agent: Path | None) -> tuple[Seen, str]:
    """Play one story; how it went, and why it failed."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as name:
        report = Path(name) / "junit.xml"
        words = [sys.executable, "-m", "firmware_sim", "run", story, "--junit", str(report)]
        words += [] if agent is None else ["--agent", str(agent)]
        try:
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=_LONGEST_S, check=False)
        except subprocess.TimeoutExpired:
            return Seen.NOT_PLAYED, f"took more than {_LONGEST_S:g} s"
        if not report.exists():
            return Seen.NOT_PLAYED, done.stderr.strip()[-300:]
        return seen(report.read_text(encoding="utf-8"), story)


def seen(junit: str, story: str) -> tuple[Seen, str]:
    """How `story` went by a JUnit report: a suite a story, an error where the bench could not play it."""
    suite = next((each for each in Xml.fromstring(junit).iter("testsuite") if each.get("name") == story), None)
    if suite is None:
        return Seen.NOT_PLAYED, "the report does not name it"
    if (error := suite.find("./testcase/error")) is not None:
        return Seen.NOT_PLAYED, error.get("message", "")
    failed = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    if failed:
        failure = failed[0].find("failure")
        why = "" if failure is None else failure.get("message", "")
        return Seen.FAILED, f"{failed[0].get('name', '')}: {why}"[:160]
    return Seen.PASSED, ""


def try_out(mutation: Mutation, sound: Iterable[str]) -> Noticed:
    """Play the mutation's stories until one fails. `sound`: the stories that the agent passes as it is."""
    usable = set(sound)
    with tempfile.TemporaryDirectory(prefix=f"mutant-{mutation.name}-") as name:
        agent = broken_copy(mutation, Path(name))
        told = [f"{story}: fails without the bug as well" for story in mutation.stories if story not in usable]
        for story in (each for each in mutation.stories if each in usable):
            how, why = play(story, agent)
            if how is Seen.FAILED:
                return Noticed(mutation, story, why)
            told.append(f"{story}: {how.value}{': ' + why if why else ''}")
    return Noticed(mutation, None, "; ".join(told))


def enough(noticed: Sequence[Noticed]) -> bool:
    """Whether nine in ten are noticed."""
    return sum(each.by is not None for each in noticed) >= NOTICED_SHARE * len(noticed)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.hil.mutate", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these mutations")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="so many stories at a time (default: 2)")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result for programs")
    told = parser.parse_args(argv)
    every = read_mutations()
    if unknown := sorted(set(told.names) - {each.name for each in every}):
        parser.error(f"no mutation is called {', '.join(unknown)}; --list shows them")
    chosen = [each for each in every if not told.names or each.name in told.names]
    if told.list:
        for each in chosen:
            print(f"{each.name:<40} {', '.join(each.stories):<44} {each.about}")
        return 0
    with ThreadPoolExecutor(told.jobs) as pool:
        stories = sorted({story for each in chosen for story in each.stories})
        went = dict(zip(stories, pool.map(lambda story: play(story, None), stories), strict=True))
        for story, (how, why) in went.items():
            if how is not Seen.PASSED:
                print(f"without any bug: {story}: {how.value}: {why}", flush=True)
        sound = [story for story, (how, _) in went.items() if how is Seen.PASSED]
        found: list[Noticed] = []
        for result in pool.map(lambda mutation: try_out(mutation, sound), chosen):
            found.append(result)
            verdict = "noticed" if result.by else "MISSED"
            print(f"{verdict:<8} {result.mutation.name:<40} {result.by or ''} {result.why}", flush=True)
    count = sum(result.by is not None for result in found)
    print(f"{count} of {len(found)} mutations are noticed")
    if told.json:
        rows = {result.mutation.name: {"noticed_by": result.by, "why": result.why} for result in found}
        told.json.write_text(json.dumps({"noticed": count, "of": len(found), "mutations": rows}, indent=2) + "\n")
    return 0 if enough(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
