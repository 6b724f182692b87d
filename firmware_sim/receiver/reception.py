"""Which satellites the receiver hears, how loud, and which it can use. Pure: time is an argument.

Theory. Every satellite above the horizon has a signal: carrier-to-noise density by elevation (30 dBHz at the horizon to
47 overhead, what patch antennas on dashboards show), less what houses, a tunnel or a jammer take away. A channel goes

    not heard --signal strong enough for so long--> tracked --navigation data--> usable (if above the mask)

* Tracking ends below 14 dBHz (-160 dBm: tracking sensitivity of a u-blox NEO-M8, data sheet UBX-15031086, is -164 to
  -167), searching succeeds from 26 dBHz (cold sensitivity -148 dBm), finding again what was just lost from 18 dBHz
  (re-acquisition -160 dBm).
* How long finding takes: about a second where time, place and orbits are known, some seconds more where not.
* Ephemerides: subframes 1 to 3 come once in 30 s (IS-GPS-200, 20.3.3; BeiDou D1 likewise, BDS-SIS-ICD B1I, 5.2), so
  they are complete 18 to 36 s after tracking began, if the signal is above 25 dBHz meanwhile; they serve two hours.
  Hence 1 to 2 s to the first fix after a hot start and about 30 s after a warm or cold one, as in that data sheet.
* Time is known from the first hand-over word, 6 s after tracking began (6 s subframes), or from the clock that a backup
  battery kept (hot, warm).

Spoofing comes from one antenna: all satellites are equally loud, whatever their elevation, and hide the true ones
(Humphreys et al., ION GNSS 2008; Psiaki and Humphreys, Proc. IEEE 104 (2016) 1258).

A canyon is a street between two rows of houses: they hide what stands lower than 75° times `canyon` across the street,
less towards its ends, and three in ten of the hidden ones are heard all the same, by reflection, 8 to 20 dB weaker
(Groves, Principles of GNSS, 2nd edition, 9.3.4 and 10.6).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.receiver.settings import ReceiverFaults
from firmware_sim.receiver.sky import InSky

MASK_DEG = 7.0  # satellites below this elevation are heard but not used
USE_DBHZ = 15.0
_HOLD_DBHZ, _FIND_AGAIN_DBHZ, _FIND_DBHZ, _READ_DBHZ = 14.0, 18.0, 26.0, 25.0
_HORIZON_DBHZ, _OVERHEAD_DBHZ = 30.0, 17.0
_JAMMER_DB, _TUNNEL_DB = 60.0, 60.0
_HOUSES_DEG = 75.0
_SPOOFER_DBHZ = 44.0
_EPHEMERIS_S = 7200.0
_ALMANAC_KNOWN_S = 750.0  # 12.5 minutes: 25 frames of 30 s
_LONG_GAP_S = 60.0  # between epochs: the story was wound on, and the receiver went on hearing what it heard before
_FADE_S, _FADE_DB = 20.0, 1.2
_SUBFRAME_S = 6.0


@dataclass(frozen=True, slots=True)
class Heard:
    """One satellite as the receiver tells of it: C/N0 None where it is known to be there and not heard."""

    place: InSky
    cn0_dbhz: float | None
    usable: bool
    placed: bool = True  # elevation and azimuth are known, from almanac or ephemeris


@dataclass(slots=True)
class _Channel:
    offset_db: float  # its own, always: satellites and antenna patterns differ
    bounces: bool  # whether it is heard by reflection where houses hide it
    echo_db: float
    fade_db: float = 0.0
    tracked_since_s: float | None = None
    strong_since_s: float | None = None
    takes_s: float = 0.0  # to find it, from when it is strong enough
    data_from_s: float = math.inf
    data_until_s: float = -math.inf
    was_tracked: bool = False


class Reception:
    """The channels of one receiver. `start`: running, hot, warm or cold."""

    def __init__(self, seed: int, start: str) -> None:
        self._rng = random.Random(f"gnss reception {seed}")  # noqa: S311 - repeatable on purpose
        self._seed = seed
        self._channels: dict[tuple[str, int], _Channel] = {}
        self._last_s: float | None = None
        self.restart(start, 0.0)

    def restart(self, start: str, t_s: float) -> None:
        """As after the receiver's own reset."""
        self._start = start
        self._started_s: float | None = None  # the next epoch's time
        self._clock_from_s = math.inf if start == "cold" else -math.inf
        self._almanac = start != "cold"
        self._had_use = False
        for channel in self._channels.values():
            _lose(channel)
            channel.was_tracked = False
            self._give_data(channel, t_s)

    def knows_time(self, t_s: float) -> bool:
        return t_s >= self._clock_from_s

    def lose_all(self) -> None:
        """Every satellite has to be found again: the signals that were tracked are gone from one moment to the next."""
        for channel in self._channels.values():
            _lose(channel)

    def step(self, t_s: float, sky: Sequence[InSky], street_deg: float, faults: ReceiverFaults) -> list[Heard]:
        """One epoch: what is told of each satellite of `sky`; `street_deg` is the street's course."""
        fresh = self._started_s is None
        self._started_s = t_s if self._started_s is None else self._started_s
        since_s = 0.0 if self._last_s is None else t_s - self._last_s
        wound_on = since_s > _LONG_GAP_S and self._had_use
        keep = math.exp(-since_s / _FADE_S)
        heard = []
        for place in sky:
            channel = self._channel(place, t_s, fresh)
            channel.fade_db = channel.fade_db * keep + self._rng.gauss(0, _FADE_DB * math.sqrt(1 - keep * keep))
            level = _signal_dbhz(place, channel, street_deg, faults) + self._rng.gauss(0, 0.4)
            self._follow(channel, level, t_s, at_once=wound_on or (fresh and self._start == "running"))
            heard += self._told(place, channel, level, t_s)
        above = {(place.system, place.number) for place in sky}
        for key, channel in self._channels.items():
            if key not in above:
                _lose(channel)
        if any(item.cn0_dbhz is not None for item in heard):
            self._almanac = self._almanac or t_s - self._started_s >= _ALMANAC_KNOWN_S
        self._had_use = any(item.usable for item in heard)
        self._last_s = t_s
        return heard

    def _follow(self, channel: _Channel, level: float, t_s: float, at_once: bool) -> None:
        if channel.tracked_since_s is not None:
            if level < _HOLD_DBHZ:
                _lose(channel)
            elif level < _READ_DBHZ:  # too weak to read: what is not complete yet is a subframe away at least
                if t_s < channel.data_from_s:
                    channel.data_from_s = max(channel.data_from_s, t_s + _SUBFRAME_S)
            else:
                self._clock_from_s = min(self._clock_from_s, t_s + _SUBFRAME_S)
                if channel.data_from_s <= t_s:
                    channel.data_until_s = t_s + _EPHEMERIS_S
            return
        known = channel.was_tracked or (self._start in ("hot", "running") and channel.data_until_s > t_s)
        if level < (_FIND_AGAIN_DBHZ if known else _FIND_DBHZ):
            channel.strong_since_s = None
            return
        if channel.strong_since_s is None:
            channel.strong_since_s = t_s
            channel.takes_s = self._finding_s(known)
        if at_once or t_s - channel.strong_since_s >= channel.takes_s:
            channel.tracked_since_s, channel.was_tracked = t_s, True
            if at_once:
                channel.data_from_s, channel.data_until_s = t_s, t_s + _EPHEMERIS_S
            elif channel.data_until_s <= t_s:
                channel.data_from_s = t_s + self._rng.uniform(18.0, 36.0)

    def _finding_s(self, known: bool) -> float:
        if known:
            return 0.7 + self._rng.expovariate(1 / 0.6)
        return 1.5 + self._rng.expovariate(1 / (4.0 if self._start == "cold" else 1.5))

    def _told(self, place: InSky, channel: _Channel, level: float, t_s: float) -> list[Heard]:
        if channel.tracked_since_s is None:
            return [Heard(place, None, usable=False)] if self._almanac or channel.data_until_s > t_s else []
        has_data = channel.data_from_s <= t_s <= channel.data_until_s
        usable = has_data and place.elevation_deg >= MASK_DEG and level >= USE_DBHZ and self.knows_time(t_s)
        return [Heard(place, max(level, 0.0), usable, placed=has_data or self._almanac)]

    def _channel(self, place: InSky, t_s: float, fresh: bool) -> _Channel:
        """The satellite's channel; its character is drawn once, independent of the order in which satellites rise."""
        key = place.system, place.number
        if key not in self._channels:
            rng = random.Random(f"gnss satellite {self._seed} {key}")  # noqa: S311 - repeatable on purpose
            channel = _Channel(rng.gauss(0, 1.5), rng.random() < 0.3, rng.uniform(8.0, 20.0))
            self._channels[key] = channel
            if fresh:  # in the sky when the receiver started; what rises later is new to it
                self._give_data(channel, t_s)
        return self._channels[key]

    def _give_data(self, channel: _Channel, t_s: float) -> None:
        fresh = self._start in ("running", "hot")
        channel.data_from_s = t_s if fresh else math.inf
        channel.data_until_s = t_s + _EPHEMERIS_S if fresh else -math.inf


def _lose(channel: _Channel) -> None:
    channel.tracked_since_s = channel.strong_since_s = None


def _signal_dbhz(place: InSky, channel: _Channel, street_deg: float, faults: ReceiverFaults) -> float:
    if faults.tunnel:
        return _HORIZON_DBHZ - _TUNNEL_DB
    if faults.spoofed:
        return _SPOOFER_DBHZ - _JAMMER_DB * faults.jammed
    level = _HORIZON_DBHZ + _OVERHEAD_DBHZ * math.sin(math.radians(place.elevation_deg))
    level += channel.offset_db + channel.fade_db - _JAMMER_DB * faults.jammed
    across = abs(math.sin(math.radians(place.azimuth_deg - street_deg)))
    if place.elevation_deg < _HOUSES_DEG * faults.canyon * across:
        level -= channel.echo_db if channel.bounces else _TUNNEL_DB
    return level
