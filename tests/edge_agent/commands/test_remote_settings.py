"""Settings from afar: only what is declared so, within its bounds, and the agent starts whatever was kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.commands.remote_settings import Value, overridden, remote_names, remote_value
from edge_agent.settings import ConfigError, read_section
from tests.edge_agent.commanding import SECTIONS, Sealing


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("samples", "1", 1),
        ("samples", "600", 600),
        ("after_s", "2.5", 2.5),
        ("after_s", "30", 30.0),
        ("profile", "thin", "thin"),
        ("measured", "false", False),
        ("measured", "true", True),
    ],
)
def test_a_value_of_its_type(name: str, text: str, value: Value) -> None:
    found = remote_value(SECTIONS, "sealing", name, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("section", "name", "text", "says"),
    [
        ("sealing", "samples", "0", "must be from 1 to 600"),
        ("sealing", "samples", "601", "must be from 1 to 600"),
        ("sealing", "samples", "30.5", "must be a whole number"),
        ("sealing", "samples", "many", "must be a whole number"),
        ("sealing", "after_s", "nan", "must be a number"),
        ("sealing", "after_s", "inf", "must be a number"),
        ("sealing", "profile", "all", "must be one of full, thin"),
        ("sealing", "measured", "True", "must be true or false"),
        ("sealing", "measured", "1", "must be true or false"),
        ("sealing", "sample", "5", "did you mean 'samples'"),
        ("sealing", "local", "5", "may not be changed from afar"),
        ("sealing", "path", "/etc/passwd", "may not be changed from afar"),
        ("sealing", "loose_s", "1e300", "may not be changed from afar"),
        ("sealing", "__class__", "5", "no setting is called"),
        ("broker", "host", "evil.example.org", "no section is called 'broker'"),
    ],
)
def test_what_is_refused(section: str, name: str, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        remote_value(SECTIONS, section, name, text)


def test_what_may_be_changed_is_listed() -> None:
    assert remote_names(SECTIONS) == [
        ("sealing", "samples"),
        ("sealing", "after_s"),
        ("sealing", "profile"),
        ("sealing", "measured"),
        ("port", "rate_hz"),
    ]


def test_changes_are_laid_over_the_file() -> None:
    table = {"unit": "PW000042", "sealing": {"samples": 60, "local": 3}, "port": {"port": "/dev/x"}}
    changed, left_out = overridden(table, {"sealing": {"samples": "30"}, "port": {"rate_hz": "5"}}, SECTIONS)
    assert changed == {
        "unit": "PW000042",
        "sealing": {"samples": 30, "local": 3},
        "port": {"port": "/dev/x", "rate_hz": 5},
    }
    assert left_out == []
    assert table["sealing"] == {"samples": 60, "local": 3}, "the file's own table stays as it is"


def test_a_section_that_the_file_leaves_to_its_defaults() -> None:
    assert overridden({}, {"sealing": {"samples": "30"}}, SECTIONS) == ({"sealing": {"samples": 30}}, [])


def test_changes_that_no_longer_fit_are_left_out() -> None:
    table = {"sealing": {"samples": 60}}
    old = {"sealing": {"samples": "6000", "gone": "1", "after_s": "30"}, "gone": {"x": "1"}, "port": {"rate_hz": "5"}}
    changed, left_out = overridden(table, old, SECTIONS)
    assert changed == {"sealing": {"samples": 60, "after_s": 30.0}}
    assert len(left_out) == 4
    assert any("[port] is not in use" in each for each in left_out)


@given(
    st.dictionaries(
        st.sampled_from(["sealing", "port", "x"]),
        st.dictionaries(st.sampled_from(["samples", "after_s", "profile", "measured", "rate_hz", "y"]), st.text()),
    )
)
def test_whatever_was_kept_the_settings_can_be_read(overrides: dict[str, dict[str, str]]) -> None:
    changed, _ = overridden({}, overrides, SECTIONS)
    assert changed.keys() <= {"sealing"}
    assert isinstance(read_section(Sealing, changed.get("sealing", {}), "here"), Sealing)
