"""Which ports there are: ptys under links stand for devices under udev's names."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from serial.tools.list_ports_common import ListPortInfo

from edge_agent.ports.kinds import Candidate
from edge_agent.ports.listing import PortsSettings, list_all
from edge_agent.settings import ConfigError, read_section


@pytest.fixture
def pty() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def info(path: str, vid: int | None = None, pid: int | None = None, location: str | None = None) -> ListPortInfo:
    made = ListPortInfo(path)
    made.vid, made.pid, made.location = vid, pid, location
    return made


def names(settings: PortsSettings, *infos: ListPortInfo) -> list[str]:
    return [port.path for port in list_all(settings, lambda: infos).ports]


def test_a_device_under_several_names_is_one_port(tmp_path: Path, pty: str) -> None:
    for name in ("by-id-one", "by-path-two"):
        (tmp_path / name).symlink_to(pty)
    settings = PortsSettings(look_in=f"{tmp_path}/by-* {pty}")
    listing = list_all(settings, lambda: [info(pty, 0x1A86, 0x7523, "1-1.2")])
    (port,) = listing.ports
    assert port == Candidate(pty, 0x1A86, 0x7523, "", "1-1.2", True, port.stamp)


def test_what_the_system_lists_is_not_thereby_named_by_a_person(pty: str) -> None:
    (port,) = list_all(PortsSettings(look_in=""), lambda: [info(pty)]).ports
    assert not port.listed


def test_files_folders_and_dead_links_are_no_ports(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("/dev/pts/99999")
    assert names(PortsSettings(look_in=f"{tmp_path}/*"), info("/dev/pts/99998")) == []


@pytest.mark.parametrize("pattern", ["{pty}", "/dev/pts/*", "{folder}/mod?m"])
def test_ports_are_left_alone_by_name_pattern_or_link(tmp_path: Path, pty: str, pattern: str) -> None:
    (tmp_path / "modem").symlink_to(pty)
    settings = PortsSettings(look_in=pty, leave_alone=pattern.format(pty=pty, folder=tmp_path))
    assert list_all(settings, list).left_alone == {pty}
    assert list_all(PortsSettings(look_in=pty, leave_alone="/dev/ttyUSB*"), list).left_alone == frozenset()


def test_a_device_that_goes_while_it_is_listed_does_not_matter(pty: str) -> None:
    def vanishing() -> list[ListPortInfo]:
        raise TypeError("int() can't convert non-string with explicit base")  # pyserial 3.5, sysfs file gone

    assert [port.path for port in list_all(PortsSettings(look_in=pty), vanishing).ports] == [pty]


def test_listings_differ_exactly_when_something_came_or_went(tmp_path: Path) -> None:
    settings = PortsSettings(look_in=f"{tmp_path}/*")
    master, slave = os.openpty()
    (tmp_path / "port").symlink_to(os.ttyname(slave))
    before = list_all(settings, list)
    os.write(master, b"bytes\n")
    os.read(slave, 9)
    assert list_all(settings, list) == before
    (tmp_path / "port").unlink()
    assert list_all(settings, list) != before
    os.close(master)
    os.close(slave)


def test_the_system_of_this_machine_can_be_listed() -> None:
    listing = list_all(PortsSettings())
    assert all(os.path.realpath(port.path) == port.path for port in listing.ports)
    assert len({port.path for port in listing.ports}) == len(listing.ports)


def test_settings_are_read_and_bounded() -> None:
    settings = read_section(PortsSettings, {"leave_alone": "/dev/ttyUSB3", "longest_pause_s": 30.0}, "[ports]")
    assert settings == PortsSettings(leave_alone="/dev/ttyUSB3", longest_pause_s=30.0)
    with pytest.raises(ConfigError, match="longest_pause_s"):
        read_section(PortsSettings, {"longest_pause_s": 1.0}, "[ports]")
