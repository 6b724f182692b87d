"""unit.toml: what is read, and one clear sentence for everything that cannot be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import (
    SECTIONS,
    BatchConfig,
    BrokerConfig,
    ConfigError,
    GnssConfig,
    ObdConfig,
    OutboxConfig,
    UnitConfig,
    VehicleConfig,
    read_config,
)

SMALLEST: Mapping[str, Any] = {
    "unit": "PW000001",
    "gnss": {"port": "/dev/ttyAMA0", "baud": 9600},
    "broker": {"host": "mqtt.example.org"},
}


def toml(table: Mapping[str, Any]) -> str:
    """Flat keys first, then one section for each table."""

    def line(key: str, value: object) -> str:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
        return f"{key} = {text}\n"

    lines = [line(key, value) for key, value in table.items() if not isinstance(value, Mapping)]
    for name, section in table.items():
        if isinstance(section, Mapping):
            lines += [f"[{name}]\n", *(line(key, value) for key, value in section.items())]
    return "".join(lines)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "unit.toml"


def read(path: Path, **changes: Any) -> UnitConfig:
    """The smallest settings that work, with other or (None) without these top-level keys."""
    table = {key: value for key, value in (SMALLEST | changes).items() if value is not None}
    path.write_text(toml(table), encoding="utf-8")
    return read_config(path)


def refusal(path: Path, **changes: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        read(path, **changes)
    text = str(refused.value)
    assert str(path) in text
    assert "\n" not in text
    return text.removeprefix(str(path))


def test_the_smallest_file_is_a_gnss_only_unit_with_the_defaults(path: Path) -> None:
    config = read(path)
    assert (config.unit, config.state_dir, config.obd) == ("PW000001", path.parent, None)
    assert config.gnss == GnssConfig("/dev/ttyAMA0", 9600)
    assert config.broker == BrokerConfig("mqtt.example.org", port=8883, tls=True, keepalive_s=3600)
    for name in SECTIONS.keys() - {"obd", "gnss", "broker"}:
        assert getattr(config, name) == SECTIONS[name]()


def test_everything_can_be_set(path: Path) -> None:
    config = read(
        path,
        state_dir="state",
        obd={"port": "/dev/ttyUSB0", "baud": 38400},
        vehicle={"vin": "LSVPW5000T2000001"},
        broker={"host": "127.0.0.1", "port": 1883, "tls": False, "keepalive_s": 60},
        batch={"samples": 5, "after_s": 10, "journal_every_s": 1.5},
        outbox={"max_mib": 1, "keep_days": 0, "keep_free_mib": 2},
        power={"sleep": "rtc", "cutoff_v": 12.0},
        sampling={"profile": "thin"},
    )
    assert config.state_dir == path.parent / "state"
    assert config.obd == ObdConfig("/dev/ttyUSB0", 38400)
    assert config.vehicle == VehicleConfig("LSVPW5000T2000001")
    assert config.broker == BrokerConfig("127.0.0.1", 1883, False, 60)
    assert config.batch == BatchConfig(5, 10.0, 1.5)
    assert config.outbox == OutboxConfig(1, 0, 2)
    assert (config.power.sleep, config.power.cutoff_v) == ("rtc", 12.0)
    assert config.sampling.profile == "thin"
    assert type(config.batch.after_s) is float


def test_what_the_server_changed_is_laid_over_the_file(path: Path) -> None:
    read(path)
    config = read_config(path, {"batch": {"samples": "30"}, "sampling": {"profile": "thin"}})
    assert (config.batch.samples, config.sampling.profile) == (30, "thin")


def test_a_change_that_does_not_fit_is_left_out(path: Path) -> None:
    read(path)
    changes = {"batch": {"samples": "0", "after_s": "30"}, "broker": {"host": "evil.example"}, "gone": {"x": "1"}}
    config = read_config(path, changes)
    assert (config.batch.samples, config.batch.after_s, config.broker.host) == (60, 30.0, "mqtt.example.org")


def test_the_state_is_beside_the_settings_wherever_the_agent_is_started(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(path)
    monkeypatch.chdir(tmp_path.parent)
    config = read_config(path.relative_to(tmp_path.parent))
    assert config.state_dir == tmp_path
    assert read(path, state_dir="/var/lib/pw").state_dir == Path("/var/lib/pw")


def test_no_file_says_how_to_make_one(path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unit\.toml is not there; 'pledgewatch-agent provision"):
        read_config(path)


@pytest.mark.parametrize("content", [b"unit = ", b"[gnss\n", b"\xff\xfe", b"unit = 'a'\nunit = 'b'\n"])
def test_what_is_not_toml_says_so(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"unit\.toml cannot be read"):
        read_config(path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"gnns": {"port": "x", "baud": 1}}, ": no setting is called 'gnns'; did you mean 'gnss'?"),
        ({"statedir": "x"}, ": no setting is called 'statedir'; did you mean 'state_dir'?"),
        ({"colour": "x"}, ": no setting is called 'colour'"),
        (
            {"gnss": {"port": "x", "baud": 9600, "buad": 1}},
            ", [gnss]: no setting is called 'buad'; did you mean 'baud'?",
        ),
        ({"batch": {"sample": 5}}, ", [batch]: no setting is called 'sample'; did you mean 'samples'?"),
        ({"outbox": {"zzz": 5}}, ", [outbox]: no setting is called 'zzz'"),
        ({"broker": {"host": "h", "keepalive": 5}}, ", [broker]: no setting is called 'keepalive'; did you mean"),
        ({"obd": {"port": "x", "baud": 9600, "protocol": "6"}}, ", [obd]: no setting is called 'protocol'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_one(path: Path, changes: dict[str, Any], hint: str) -> None:
    assert refusal(path, **changes).startswith(hint)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unit": None}, ": unit must be a name"),
        ({"broker": None}, ", [broker]: host is missing"),
        ({"broker": {"port": 1883}}, ", [broker]: host is missing"),
        ({"gnss": "/dev/ttyAMA0"}, ", [gnss] must be a table"),
        ({"batch": 60}, ", [batch] must be a table"),
    ],
)
def test_what_is_missing_is_named(path: Path, changes: dict[str, Any], reason: str) -> None:
    assert refusal(path, **changes) == reason or refusal(path, **changes).startswith(reason)


@pytest.mark.parametrize("name", ["ab", "a" * 33, "a b", "a/b", "a.b", "+", "#", "-ab", "", "käfer", 7, True])
def test_a_name_that_no_unit_may_have(path: Path, name: object) -> None:
    assert "unit must be a name of 3 to 32 letters" in refusal(path, unit=name)


@pytest.mark.parametrize("name", ["abc", "a" * 32, "A-1_b", "007"])
def test_a_name_that_a_unit_may_have(path: Path, name: str) -> None:
    assert read(path, unit=name).unit == name


@pytest.mark.parametrize(
    ("section", "values", "reason"),
    [
        ("gnss", {"port": 5, "baud": 9600}, "port must be a text, not 5"),
        ("gnss", {"port": "x", "baud": "9600"}, "baud must be a whole number, not '9600'"),
        ("gnss", {"port": "x", "baud": 9600.0}, "baud must be a whole number, not 9600.0"),
        ("gnss", {"port": "x", "baud": True}, "baud must be a whole number, not True"),
        ("broker", {"host": "h", "tls": 1}, "tls must be true or false, not 1"),
        ("broker", {"host": "h", "tls": "no"}, "tls must be true or false, not 'no'"),
        ("batch", {"after_s": "60"}, "after_s must be a number, not '60'"),
        ("batch", {"after_s": True}, "after_s must be a number, not True"),
        ("batch", {"samples": 2.5}, "samples must be a whole number, not 2.5"),
        ("outbox", {"max_mib": [1]}, "max_mib must be a whole number, not [1]"),
    ],
)
def test_a_value_of_another_type_is_refused(path: Path, section: str, values: dict[str, Any], reason: str) -> None:
    assert refusal(path, **{section: values}) == f", [{section}]: {reason}"


def test_ports_are_found_where_none_are_named(path: Path) -> None:
    config = read(path, gnss=None, obd={})
    assert (config.gnss, config.obd) == (GnssConfig("auto", 0), ObdConfig("auto", 0))


def test_a_state_dir_of_another_type_is_refused(path: Path) -> None:
    assert refusal(path, state_dir=5) == ": state_dir must be a path"


BOUNDS = [
    ("gnss", "baud", 0, 4_000_000),
    ("obd", "baud", 0, 4_000_000),
    ("batch", "samples", 1, 600),
    ("batch", "after_s", 1, 600),
    ("batch", "journal_every_s", 1, 10),
    ("outbox", "max_mib", 1, 65536),
    ("outbox", "keep_days", 0, 365),
    ("broker", "port", 1, 65535),
    ("broker", "keepalive_s", 5, 65535),
]


@pytest.mark.parametrize(("section", "key", "low", "high"), BOUNDS)
def test_bounds_are_included_and_what_is_beyond_is_refused(
    path: Path, section: str, key: str, low: int, high: int
) -> None:
    rest = SMALLEST.get(section, {"port": "x"} if section == "obd" else {})
    for value in (low, high):
        assert getattr(getattr(read(path, **{section: rest | {key: value}}), section), key) == value
    for value in (low - 1, high + 1, -low - 1):
        said = refusal(path, **{section: rest | {key: value}})
        assert f"[{section}]: {key} is {value:g}; it must be from {low:g} to {high:g}" in said


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0.999", "600.001"])
def test_odd_numbers_are_out_of_bounds(path: Path, value: str) -> None:
    assert "[batch]: after_s is" in refusal(path, batch={"after_s": float(value)})
