"""Docs that fail: what is not written down, or written down wrongly, breaks the build."""

import importlib
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from edge_agent import config as unit_config
from edge_agent.__main__ import main as agent_main
from server import config as server_config
from server import setting_up

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def names(*kinds: type) -> set[str]:
    return {each.name for kind in kinds for each in fields(kind)}


def test_every_setting_of_the_unit_says_what_it_means() -> None:
    rows = list(unit_config.settings_table())
    assert {section for section, *_ in rows} == names(unit_config.UnitConfig) - {"unit", "state_dir"}
    assert not [row for row in rows if len(row[-1]) < 8]


def test_the_page_of_the_units_settings_is_what_the_agent_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert agent_main(["settings", "--markdown"]) == 0
    page = (ROOT / "docs" / "unit-settings.md").read_text()
    assert page.endswith(capsys.readouterr().out), "pledgewatch-agent settings --markdown prints the table anew"


def test_every_setting_of_the_server_is_in_its_settings_file() -> None:
    template = setting_up._SETTINGS
    told = {setting or section for setting, section in re.findall(r"^(\w+) = |^\[(\w+)]", template, re.MULTILINE)}
    sections = ("ServerSettings", "BrokerSettings", "IngestSettings", "WebSettings")
    kinds = [getattr(server_config, each) for each in sections]
    assert told == names(*kinds)


@pytest.mark.parametrize("package", ["server", "edge_agent", "firmware_sim"])
def test_every_command_teaches(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"{package}.__main__").main
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples" in text.lower()
    listed = text.split("\n\n")[2] if "positional" in text.split("\n\n")[2] else text.split("\n\n")[1]
    found = re.findall(r"^    (\w[\w-]*) ", listed, re.MULTILINE)
    assert found
    for name in found:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0


def test_every_dependency_says_what_uses_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    wanted = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    for each in wanted:
        assert re.search(rf'^ *"{re.escape(each)}", +# \S', text, re.MULTILINE), f"{each} has no comment"


def test_the_files_that_the_docs_name_exist() -> None:
    for page in DOCS:
        for path in re.findall(
            r"`((?:wire|edge_agent|server|firmware_sim|docs|deploy|benchmarks)/[\w./-]+)`", page.read_text()
        ):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_benchmarks_that_the_docs_name_exist() -> None:
    for page in [*DOCS, ROOT / "CHANGELOG.md"]:
        for name in re.findall(r"python -m benchmarks\.([a-z]\w*)", page.read_text()):
            assert (ROOT / "benchmarks" / f"{name}.py").exists(), f"{page.name} names {name}"


def test_every_make_target_that_people_type_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))
    assert set(phony[1].split()) - explained == {"packages"}


def test_no_module_outgrows_one_purpose() -> None:
    for package in ("wire", "edge_agent", "server", "firmware_sim"):
        for path in (ROOT / package).rglob("*.py"):
            if not path.name.endswith("_pb2.py"):
                assert len(path.read_text().splitlines()) <= 400, path
