"""Where the car roughly is when its receiver cannot say: garages, tunnels, jammers, a torn antenna cable. Pure.

A `PositionSource` knows a rough position from elsewhere (the mobile network's cell, Wi-Fi access points). It is asked
only after the receiver has had no position for `after_s`, and each of its measurements is given out once: a cell that
was looked up once a minute gives one position a minute, never the same one every second. It is never mixed with GNSS:
a Fix has the receiver's position or a fallback's, marked by `Fix.source` and `Fix.accuracy_m`, without speed, course
and altitude, and the position filter lets it pass (a cell is a jump by nature).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Protocol

from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.settings import setting

MAX_ACCURACY_M = 50_000.0  # beyond it "somewhere in the province" would look like a place on a map


@dataclass(frozen=True, slots=True)
class FallbackSettings:
    """`[fallback]` of unit.toml."""

    source: str = setting(
        "where a rough position is from while GNSS has none", "off", choices=("off", "modem", "command")
    )
    cells: str = setting("for modem: CSV file of cell positions (columns as OpenCelliD's), plain or .gz", "")
    command: str = setting("for command: prints a JSON object with lat, lon, accuracy_m, or mcc, mnc, lac, cid", "")
    after_s: float = setting("seconds without a GNSS position until it is used", 60.0, low=5, high=3600, remote=True)
    every_s: float = setting("seconds between two of its positions", 60.0, low=10, high=86_400, remote=True)


@dataclass(frozen=True, slots=True)
class RoughPosition:
    """One measurement of a fallback source."""

    lat_deg: float  # WGS-84
    lon_deg: float
    accuracy_m: float  # radius in which the unit is with about 2/3 probability
    source: FixSource  # CELL or WIFI
    mono_s: float  # when it was measured


class PositionSource(Protocol):
    """What knows rough positions. `latest` returns at once; whoever measures does so elsewhere."""

    def latest(self) -> RoughPosition | None:
        """The newest measurement; None while there is none."""
        ...


class Fallback:
    """Gives fixes without a position a rough one, when it is time and a new one is there."""

    def __init__(self, source: PositionSource, after_s: float = 60.0) -> None:
        self.counts: Counter[str] = Counter()  # fixes by source: cell, wifi
        self._source = source
        self._after_s = after_s
        self._gnss_mono_s: float | None = None
        self._given_mono_s = float("-inf")

    def is_wanted(self, mono_s: float) -> bool:
        """Whether GNSS has been silent long enough; the source need not measure before."""
        if self._gnss_mono_s is None:
            self._gnss_mono_s = mono_s  # the unit has just started: the receiver has its time to find satellites
        return mono_s - self._gnss_mono_s >= self._after_s

    def step(self, fix: Fix, mono_s: float) -> Fix:
        """A fix of the receiver; with a rough position in it if it has none of its own and one is due.

        To be called before the position filter: a position that the filter withholds is still one.
        """
        if fix.lat_deg is not None:
            self._gnss_mono_s = mono_s
            return fix
        rough = self._due(mono_s)
        return fix if rough is None else _placed(fix, rough)

    def without_epoch(self, mono_s: float) -> Fix | None:
        """Once a second while the receiver says nothing at all: a fix with only a rough position, if one is due."""
        rough = self._due(mono_s)
        return None if rough is None else _placed(_NOTHING, rough)

    def _due(self, mono_s: float) -> RoughPosition | None:
        if not self.is_wanted(mono_s):
            return None
        rough = self._source.latest()
        if rough is None or rough.mono_s <= self._given_mono_s or mono_s - rough.mono_s > self._after_s:
            return None
        self._given_mono_s = rough.mono_s
        self.counts[rough.source.name.lower()] += 1
        return rough


_NOTHING = Fix(None, None, None, None, None, None, None, None, None, None)


def _placed(fix: Fix, rough: RoughPosition) -> Fix:
    return replace(
        fix,
        lat_deg=rough.lat_deg,
        lon_deg=rough.lon_deg,
        accuracy_m=rough.accuracy_m,
        source=rough.source,
        alt_m=None,
        speed_mps=None,
        course_deg=None,
    )
