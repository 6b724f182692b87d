"""From what is heard to what is told: is there a fix, where, how good, and what time is it. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from firmware_sim.receiver.errors import PlaceErrors
from firmware_sim.receiver.reception import Heard
from firmware_sim.receiver.settings import ReceiverFaults
from firmware_sim.receiver.sky import Dilution, InSky, dilution
from firmware_sim.roads.geometry import radii_m
from firmware_sim.roads.motion import Motion

_PDOP_LIMIT = 25.0  # worse geometry gives no fix (u-blox: CFG-NAVSPG-OUTFIL_PDOP, default 25.0)
_GPS_CYCLE, _BEIDOU_CYCLE = timedelta(weeks=1024), timedelta(weeks=8192)


@dataclass(frozen=True, slots=True)
class Fix:
    """A solution as told. `dimension` 2: the height is the last one known. Course: of the movement, always a number."""

    dimension: int
    lat_deg: float
    lon_deg: float
    altitude_m: float
    speed_mps: float
    course_deg: float
    used: tuple[InSky, ...]
    dilution: Dilution


class Navigator:
    """Keeps what the fix of one epoch has to do with that of the epoch before."""

    def __init__(self, seed: int, was_running: bool) -> None:
        self._errors = PlaceErrors(seed)
        self._had_fix = was_running  # its filter settled long ago
        self._height_error_m: float | None = None
        self._dragged_m = (0.0, 0.0)
        self._last_drag_s: float | None = None
        self._frozen: Fix | None = None
        self._geometry: tuple[tuple[InSky, ...], bool, Dilution | None] | None = None

    def restart(self) -> None:
        """After the receiver's own reset: what the filter knew is gone."""
        self._had_fix, self._height_error_m, self._frozen = False, None, None

    def step(self, motion: Motion, heard: Sequence[Heard], faults: ReceiverFaults) -> Fix | None:
        """The fix of this epoch; None where too few satellites are usable or they stand too badly."""
        offset_m, drag = self._spoofed(motion.t_s, faults)
        used = tuple(item.place for item in heard if item.usable)
        dimension, quality = self._solvable(used)
        if quality is None:
            self._had_fix = False
            return None
        if not self._had_fix:
            self._errors.found_again(motion.t_s)
        self._had_fix = True
        error_m = self._errors.step(
            motion.t_s,
            quality.hdop,
            quality.vdop,
            motion.speed_mps,
            motion.course_deg,
            faults.canyon,
            faults.multipath_m,
        )
        if dimension == 3 or self._height_error_m is None:
            self._height_error_m = error_m[2]
        fix = self._fix(motion, dimension, quality, used, (error_m[0] + offset_m[0], error_m[1] + offset_m[1]), drag)
        if not faults.frozen:
            self._frozen = None
            return fix
        if self._frozen is None:
            self._frozen = fix
        return self._frozen

    def _fix(
        self,
        motion: Motion,
        dimension: int,
        quality: Dilution,
        used: tuple[InSky, ...],
        offset_m: tuple[float, float],
        drag: tuple[float, float],
    ) -> Fix:
        per_radian_north, per_radian_east = radii_m(motion.lat_deg)
        course = math.radians(motion.course_deg)
        noise = self._errors.doppler(quality.hdop)
        east_mps = motion.speed_mps * math.sin(course) + drag[0] + noise[0]
        north_mps = motion.speed_mps * math.cos(course) + drag[1] + noise[1]
        lat = motion.lat_deg + math.degrees(offset_m[1] / per_radian_north)
        lon = motion.lon_deg + math.degrees(offset_m[0] / per_radian_east)
        return Fix(
            dimension,
            max(-90.0, min(90.0, lat)),
            (lon + 180) % 360 - 180,
            motion.altitude_m + (self._height_error_m or 0.0),
            math.hypot(east_mps, north_mps),
            math.degrees(math.atan2(east_mps, north_mps)) % 360,
            used,
            quality,
        )

    def _solvable(self, used: tuple[InSky, ...]) -> tuple[int, Dilution | None]:
        """3 and its dilution, 2 with the height held, or 0: three unknowns of the place and a clock for each system."""
        unknowns = 3 + len({place.system for place in used})
        height_held = len(used) == unknowns - 1 and self._height_error_m is not None
        if len(used) < unknowns and not height_held:
            return 0, None
        if self._geometry is None or self._geometry[:2] != (used, height_held):
            self._geometry = used, height_held, dilution(used, height_held)
        quality = self._geometry[2]
        if quality is None or quality.pdop > _PDOP_LIMIT:
            return 0, None
        return (2 if height_held else 3), quality

    def _spoofed(self, t_s: float, faults: ReceiverFaults) -> tuple[tuple[float, float], tuple[float, float]]:
        """Displacement (m) and its speed (m/s), each to the east and to the north."""
        drag = faults.spoof_drag_mps
        if not faults.spoofed:
            self._dragged_m = (0.0, 0.0)
        if not any(drag):
            self._last_drag_s = None
        else:
            since_s = 0.0 if self._last_drag_s is None else t_s - self._last_drag_s
            self._last_drag_s = t_s
            self._dragged_m = (self._dragged_m[0] + drag[0] * since_s, self._dragged_m[1] + drag[1] * since_s)
        jump = faults.spoof_jump_m
        return (jump[0] + self._dragged_m[0], jump[1] + self._dragged_m[1]), drag


@dataclass(frozen=True, slots=True)
class Clock:
    """A date and time of day as told; `leap`: the second is 60, the date that of the day which it ends."""

    utc: datetime
    leap: bool = False

    def text(self, decimals: int) -> str:
        """hhmmss.ss with so many decimals, cut and not rounded."""
        seconds = 60 if self.leap else self.utc.second
        return f"{self.utc:%H%M}{seconds:02d}.{self.utc.microsecond:06d}"[: 7 + decimals]


class Calendar:
    """True time to told time: leap seconds and week rollovers."""

    def __init__(self, start_utc: datetime, beidou_only: bool) -> None:
        self._start = start_utc
        self._cycle = _BEIDOU_CYCLE if beidou_only else _GPS_CYCLE
        self._armed = self._was_on = False
        self._last: datetime | None = None
        self._leaps: list[datetime] = []

    def utc(self, t_s: float) -> datetime:
        """True time."""
        return self._start + timedelta(seconds=t_s)

    def told(self, t_s: float, faults: ReceiverFaults) -> Clock:
        now = self.utc(t_s)
        if faults.leap_second and not self._was_on:
            self._armed = True
        self._was_on, self._armed = faults.leap_second, self._armed and faults.leap_second
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        if self._armed and self._last is not None and self._last < midnight <= now:
            self._leaps.append(midnight)
            self._armed = False
        self._last = now
        leap = bool(self._leaps) and now - self._leaps[-1] < timedelta(seconds=1)
        late = timedelta(seconds=len(self._leaps))
        return Clock(_moved(now - late, -faults.week_rollovers * self._cycle), leap)


def _moved(utc: datetime, by: timedelta) -> datetime:
    """The calendar's first and last days where the sum lies outside it."""
    try:
        return utc + by
    except OverflowError:
        return datetime.combine(date.min if by < timedelta() else date.max, utc.time(), tzinfo=UTC)
