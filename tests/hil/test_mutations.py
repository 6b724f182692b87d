"""The mutation list still fits today's source, and a run's outcome is read rightly."""

import ast
import os
import subprocess
from pathlib import Path

import pytest

from firmware_sim.bench.catalogue import all_files
from tests.hil.mutate import (
    ROOT,
    Mutation,
    MutationError,
    Noticed,
    Seen,
    broken_copy,
    enough,
    main,
    read_mutations,
    seen,
)

MUTATIONS = read_mutations()
STORIES = {path.stem for path in all_files()}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_applies_to_todays_source(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text(encoding="utf-8")
    changed = mutation.applied(source)
    assert changed != source
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(source))  # still Python, and another program
    assert mutation.file.startswith("edge_agent/")
    assert mutation.stories
    assert set(mutation.stories) <= STORIES


def test_there_are_enough_and_each_once() -> None:
    assert len(MUTATIONS) >= 12
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS)


def test_text_that_is_not_there_once_is_refused() -> None:
    mutation = Mutation("m", "about", "edge_agent/x.py", "a", "b", ("first_drive",))
    with pytest.raises(MutationError, match="2 times"):
        mutation.applied("a a")
    with pytest.raises(MutationError, match="0 times"):
        mutation.applied("c")


def test_the_copy_is_what_the_program_runs(tmp_path: Path) -> None:
    mutation = Mutation("loud", "about", "edge_agent/__main__.py", "import sys\n", "import sys\n\nsys.exit(77)\n", ())
    program = broken_copy(mutation, tmp_path)
    words = [str(program), "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, env=dict(os.environ), check=False, timeout=60)
    assert done.returncode == 77


JUNIT = """<testsuites>
<testsuite name="good"><testcase name="a"/></testsuite>
<testsuite name="bad"><testcase name="a"/><testcase name="tow"><failure message="did not come"/></testcase></testsuite>
<testsuite name="stuck"><testcase name="b"><error message="no broker">Traceback</error></testcase></testsuite>
</testsuites>"""


@pytest.mark.parametrize(
    ("story", "how", "why"),
    [
        ("good", Seen.PASSED, ""),
        ("bad", Seen.FAILED, "tow: did not come"),
        ("stuck", Seen.NOT_PLAYED, "no broker"),
        ("absent", Seen.NOT_PLAYED, "the report does not name it"),
    ],
)
def test_reads_the_report(story: str, how: Seen, why: str) -> None:
    assert seen(JUNIT, story) == (how, why)


def test_nine_in_ten_are_enough() -> None:
    noticed, missed = Noticed(MUTATIONS[0], "first_drive", ""), Noticed(MUTATIONS[0], None, "")
    assert enough([noticed] * 9 + [missed])
    assert not enough([noticed] * 8 + [missed] * 2)


def test_list_and_unknown_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert "checksum_not_checked" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["no_such_mutation"])
