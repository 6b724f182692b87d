"""A rough position in place of none: when, how often, how marked, and never mixed with GNSS."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.gnss.position_source import Fallback, FallbackSettings, RoughPosition
from edge_agent.settings import ConfigError, read_section

NOW = datetime(2026, 11, 23, 8, 15, 3, tzinfo=UTC)
TRUE = Fix(NOW, 1000, 31.8, 117.2, 30.0, 5.0, 90.0, 1, 9, 0.8)
VOID = Fix(NOW, 1000, None, None, None, None, None, 0, 2, 9.9)


class Source:
    def __init__(self) -> None:
        self.newest: RoughPosition | None = None

    def measure(self, mono_s: float, source: FixSource = FixSource.CELL) -> None:
        self.newest = RoughPosition(31.9, 117.3, 700.0, source, mono_s)

    def latest(self) -> RoughPosition | None:
        return self.newest


def test_it_waits_until_gnss_has_been_silent_long_enough() -> None:
    source = Source()
    fallback = Fallback(source, after_s=60)
    assert fallback.step(TRUE, 100.0) is TRUE
    source.measure(150.0)
    assert not fallback.is_wanted(159.9)
    assert fallback.step(VOID, 159.9) is VOID
    assert fallback.is_wanted(160.0)
    shown = fallback.step(VOID, 160.0)
    assert (shown.lat_deg, shown.lon_deg, shown.accuracy_m, shown.source) == (31.9, 117.3, 700.0, FixSource.CELL)
    assert (shown.time_utc, shown.fix_quality, shown.satellites_used) == (NOW, 0, 2)
    assert (shown.alt_m, shown.speed_mps, shown.course_deg) == (None, None, None)


def test_a_measurement_is_given_once() -> None:
    source = Source()
    fallback = Fallback(source, after_s=10)
    fallback.step(TRUE, 0.0)
    source.measure(10.0)
    given = [fallback.step(VOID, 10.0 + second).lat_deg for second in range(5)]
    source.measure(15.0, FixSource.WIFI)
    given += [fallback.step(VOID, 15.0 + second).lat_deg for second in range(5)]
    assert given == [31.9, None, None, None, None, 31.9, None, None, None, None]
    assert fallback.counts == {"cell": 1, "wifi": 1}


def test_an_old_measurement_is_not_given() -> None:
    source = Source()
    fallback = Fallback(source, after_s=10)
    fallback.step(TRUE, 0.0)
    source.measure(3.0)
    assert fallback.step(VOID, 13.1).lat_deg is None
    source.measure(3.2)
    assert fallback.step(VOID, 13.2).lat_deg == 31.9


def test_gnss_is_never_mixed_with_it_and_ends_it_at_once() -> None:
    source = Source()
    fallback = Fallback(source, after_s=10)
    fallback.step(VOID, 0.0)
    source.measure(20.0)
    assert fallback.step(TRUE, 20.0) is TRUE
    assert fallback.step(VOID, 21.0) is VOID


def test_a_unit_that_has_just_started_gives_its_receiver_time() -> None:
    source = Source()
    source.measure(1000.0)
    fallback = Fallback(source, after_s=60)
    assert not fallback.is_wanted(1000.0)
    assert fallback.is_wanted(1060.0)


def test_where_the_receiver_says_nothing_at_all_the_tick_gives_it() -> None:
    source = Source()
    fallback = Fallback(source, after_s=10)
    assert fallback.without_epoch(0.0) is None
    assert fallback.without_epoch(10.0) is None
    source.measure(10.5)
    shown = fallback.without_epoch(11.0)
    assert shown is not None
    assert (shown.time_utc, shown.lat_deg, shown.source, shown.satellites_used) == (None, 31.9, FixSource.CELL, None)
    assert fallback.without_epoch(12.0) is None


def test_settings_are_off_by_default_and_checked() -> None:
    assert FallbackSettings().source == "off"
    assert read_section(FallbackSettings, {"source": "modem", "cells": "c.csv"}, "[fallback]").cells == "c.csv"
    for wrong in ({"source": "gps"}, {"after_s": 1.0}, {"every_s": 1}, {"sauce": "off"}):
        with pytest.raises(ConfigError):
            read_section(FallbackSettings, wrong, "[fallback]")
