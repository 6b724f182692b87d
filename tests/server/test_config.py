"""The settings file: every key is known, of the right type and told about, or the server does not start."""

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from server.config import (
    MOST_WORKERS,
    BrokerSettings,
    ConfigError,
    IngestSettings,
    ServerSettings,
    WebSettings,
    default_settings_path,
    read_settings,
)
from server.setting_up import initialise


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


def read(path: Path, text: str) -> ServerSettings:
    path.write_text(text, encoding="utf-8")
    return read_settings(path)


def refusal(path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        read(path, text)
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_an_empty_file_gives_the_defaults(path: Path) -> None:
    assert read(path, "") == ServerSettings(path.parent)
    assert read(path, "").store_url == f"sqlite:///{path.parent}/pledgewatch.db"
    assert read(path, "[broker]\n[ingest]\n[web]\n") == ServerSettings(path.parent)


def test_every_setting_is_read(path: Path) -> None:
    text = """
data_dir = "data"
database_url = "postgresql+psycopg://u@h/d"
[broker]
host = "b"
port = 1
tls = false
public_host = "p"
[ingest]
workers = 3
unit_per_s = 4
unit_burst = 5
[web]
host = "w"
port = 2
threads = 3
tile_url = "https://t/{z}/{x}/{y}.png"
tile_datum = "gcj02"
tile_attribution = "某图"
"""
    assert read(path, text) == ServerSettings(
        path.parent / "data",
        "postgresql+psycopg://u@h/d",
        BrokerSettings("b", 1, False, "p"),
        IngestSettings(3, 4, 5),
        WebSettings("w", 2, 3, "https://t/{z}/{x}/{y}.png", "gcj02", "某图"),
    )
    assert read(path, text).store_url == "postgresql+psycopg://u@h/d"


def test_paths_are_meant_from_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text('data_dir = "data"')
    monkeypatch.chdir("/")
    assert read_settings(path).data_dir == path.parent / "data"
    monkeypatch.chdir(path.parent)
    assert read_settings(Path("server.toml")).data_dir == path.parent / "data"
    path.write_text('data_dir = "/var/lib/pledgewatch"')
    assert read_settings(path).data_dir == Path("/var/lib/pledgewatch")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('data_dri = "x"', ["'data_dri'", "did you mean 'data_dir'?"]),
        ("[brokr]\nport = 1", ["'brokr'", "did you mean 'broker'?"]),
        ('[broker]\nhots = "x"', ["[broker]", "'hots'", "did you mean 'host'?"]),
        ("[web]\nthread = 1", ["[web]", "'thread'", "did you mean 'threads'?"]),
        ("[web]\nxyzzy = 1", ["[web]", "'xyzzy'"]),
    ],
)
def test_an_unknown_key_is_an_error_with_a_hint(path: Path, text: str, words: list[str]) -> None:
    said = refusal(path, text)
    assert all(word in said for word in words)
    assert ("did you mean" in said) == any("did you mean" in word for word in words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("data_dir = 1", "data_dir must be a path, not 1"),
        ("database_url = true", "database_url must be a text, not True"),
        ('[broker]\nport = "8883"', "port must be a whole number, not '8883'"),
        ("[broker]\nport = 8883.0", "port must be a whole number, not 8883.0"),
        ("[broker]\nport = true", "port must be a whole number, not True"),
        ("[broker]\ntls = 1", "tls must be true or false, not 1"),
        ('[broker]\ntls = "true"', "tls must be true or false"),
        ("[broker]\nhost = ['a']", "host must be a text"),
        ("broker = 1", "[broker] must be a table"),
        ("[[web]]\nport = 1", "[web] must be a table"),
        ('[web]\ntile_datum = "wgs-84"', "tile_datum is one of wgs84, gcj02, bd09"),
    ],
)
def test_a_wrong_type_is_an_error(path: Path, text: str, words: str) -> None:
    assert words in refusal(path, text)


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:secret@h/d", "postgresql://u:secret@h/d", "sqlite:x.db"])
def test_a_database_that_we_do_not_speak_is_an_error(path: Path, url: str) -> None:
    said = refusal(path, f'database_url = "{url}"')
    assert "sqlite:/// or postgresql+psycopg://" in said
    assert "secret" not in said


@pytest.mark.parametrize("section", ["broker", "web"])
@pytest.mark.parametrize("port", [-1, 0, 65_536])
def test_a_port_that_is_none_is_an_error(path: Path, section: str, port: int) -> None:
    assert "port" in refusal(path, f"[{section}]\nport = {port}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("workers = 0", f"workers is from 1 to {MOST_WORKERS}, not 0"),
        (f"workers = {MOST_WORKERS + 1}", f"workers is from 1 to {MOST_WORKERS}"),
        ("unit_per_s = 0", "unit_per_s is at least 1, not 0"),
        ("unit_burst = -1", "unit_burst is at least 1, not -1"),
    ],
)
def test_an_ingest_that_could_take_in_nothing_is_an_error(path: Path, text: str, words: str) -> None:
    assert words in refusal(path, f"[ingest]\n{text}")


def test_a_file_that_is_not_there_says_what_to_do(path: Path) -> None:
    with pytest.raises(ConfigError, match=f"is not there; 'pledgewatch init --dir {path.parent}' makes one"):
        read_settings(path)


@pytest.mark.parametrize("data", [b"data_dir = ", b"[broker\n", b"\xff\xfe", b'data_dir = "a"\ndata_dir = "b"'])
def test_what_is_not_toml_is_an_error(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path)


def test_where_the_settings_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLEDGEWATCH_CONFIG", raising=False)
    assert default_settings_path() == Path("server.toml")
    monkeypatch.setitem(os.environ, "PLEDGEWATCH_CONFIG", "/etc/pledgewatch.toml")
    assert default_settings_path() == Path("/etc/pledgewatch.toml")


def test_init_writes_every_setting_with_its_default(tmp_path: Path) -> None:
    settings = initialise(tmp_path)
    assert settings == ServerSettings(tmp_path, "", BrokerSettings(), IngestSettings(), WebSettings())
    text = (tmp_path / "server.toml").read_text(encoding="utf-8")
    told: set[Any] = {line.split("=")[0].strip() for line in text.splitlines() if "=" in line and line[0] != "#"}
    known = {
        each.name for kind in (ServerSettings, BrokerSettings, IngestSettings, WebSettings) for each in fields(kind)
    }
    assert told == known - {"broker", "ingest", "web"}
    for each in fields(ServerSettings):
        assert each.name in text
