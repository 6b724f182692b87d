"""The receiver: true motion in, NMEA 0183 4.11 sentences out, once a second. Pure.

Sentences and fields: NMEA 0183 4.10/4.11 (RMC with navigational status, GSA with system id, GSV with signal id; GPS
is system 1, BeiDou system 4). The position error is a first-order Gauss-Markov process per axis, the usual model of
receiver wander, with a little white noise on top.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from firmware_sim.streets import radii_m
from firmware_sim.trip import Motion

_WANDER_M = 0.9  # standard deviation per horizontal axis
_WANDER_S = 45.0  # correlation time
_WHITE_M = 0.15
_VERTICAL = 1.8  # times the horizontal error
_SPEED_NOISE_MPS = 0.04
_COURSE_FROM_MPS = 0.5  # below this a receiver leaves the course empty
_MPS_TO_KNOTS = 3600 / 1852
_MASK_DEG = 8.0  # satellites below this elevation are seen but not used


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a receiver talks; the defaults are NMEA 4.11 as recent u-blox, Unicore and Allystar receivers speak it."""

    position_talker: str = "GN"
    beidou_talker: str = "GB"  # BD in the older Chinese module specification


@dataclass(frozen=True, slots=True)
class _Satellite:
    number: int
    elevation_deg: float
    azimuth_deg: float
    drift_deg_per_min: float

    def azimuth_at(self, t_s: float) -> float:
        return (self.azimuth_deg + self.drift_deg_per_min * t_s / 60) % 360


def sentence(body: str) -> bytes:
    """`body` between `$` and `*`, with its checksum (exclusive or of the characters) and CR LF."""
    checksum = 0
    for byte in body.encode("ascii"):
        checksum ^= byte
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


class Receiver:
    """One receiver with its wander and its sky."""

    def __init__(self, seed: int, start: datetime, dialect: Dialect | None = None) -> None:
        self._rng = random.Random(f"gnss {seed}")  # noqa: S311 - repeatable on purpose
        self._start = start
        self._dialect = dialect or Dialect()
        self._error_m = [self._rng.gauss(0, _WANDER_M) for _ in range(3)]
        self._last_t_s: float | None = None
        self._gps = self._sky(10, range(1, 33))
        self._beidou = self._sky(12, range(6, 47))

    def epoch(self, motion: Motion) -> list[bytes]:
        """The sentences of one second, in the order in which receivers send them."""
        self._wander(motion.t_s)
        east, north, up = (error + self._rng.gauss(0, _WHITE_M) for error in self._error_m)
        per_radian_north, per_radian_east = radii_m(motion.lat_deg)
        lat = motion.lat_deg + math.degrees(north / per_radian_north)
        lon = motion.lon_deg + math.degrees(east / per_radian_east)
        altitude = motion.altitude_m + _VERTICAL * up
        speed = abs(motion.speed_mps + self._rng.gauss(0, _SPEED_NOISE_MPS))
        course = (motion.course_deg + math.degrees(self._rng.gauss(0, _SPEED_NOISE_MPS) / max(speed, 0.5))) % 360
        now = self._start + timedelta(seconds=motion.t_s)
        return self._sentences(now, motion.t_s, lat, lon, altitude, speed, course)

    def _sentences(
        self, now: datetime, t_s: float, lat: float, lon: float, altitude: float, speed: float, course: float
    ) -> list[bytes]:
        talker = self._dialect.position_talker
        clock = now.strftime("%H%M%S.") + f"{now.microsecond // 10000:02d}"
        place = f"{_degrees_minutes(lat, 2)},{'NS'[lat < 0]},{_degrees_minutes(lon, 3)},{'EW'[lon < 0]}"
        heading = f"{course % 360:.2f}" if speed >= _COURSE_FROM_MPS else ""
        knots, kmh = f"{speed * _MPS_TO_KNOTS:.3f}", f"{speed * 3.6:.3f}"
        used = [[s.number for s in sky if s.elevation_deg >= _MASK_DEG][:12] for sky in (self._gps, self._beidou)]
        count = min(sum(len(numbers) for numbers in used), 99)
        return [
            sentence(f"{talker}RMC,{clock},A,{place},{knots},{heading},{now:%d%m%y},,,A,V"),
            sentence(f"{talker}VTG,{heading},T,,M,{knots},N,{kmh},K,A"),
            sentence(f"{talker}GGA,{clock},{place},1,{count:02d},0.72,{altitude:.1f},M,,M,,"),
            *(sentence(_gsa(numbers, system)) for numbers, system in zip(used, (1, 4), strict=True)),
            *self._satellites_in_view("GP", self._gps, t_s),
            *self._satellites_in_view(self._dialect.beidou_talker, self._beidou, t_s),
        ]

    def _satellites_in_view(self, talker: str, sky: Sequence[_Satellite], t_s: float) -> list[bytes]:
        """GSV, four satellites a sentence; signal id 1 is GPS L1 C/A and BeiDou B1I."""
        groups = [sky[i : i + 4] for i in range(0, len(sky), 4)]
        return [
            sentence(
                f"{talker}GSV,{len(groups)},{number},{len(sky):02d},"
                + ",".join(
                    f"{s.number:02d},{s.elevation_deg:02.0f},{int(s.azimuth_at(t_s)):03d},{self._cn0_dbhz(s):02d}"
                    for s in group
                )
                + ",1"
            )
            for number, group in enumerate(groups, 1)
        ]

    def _cn0_dbhz(self, satellite: _Satellite) -> int:
        return round(27 + 19 * math.sin(math.radians(satellite.elevation_deg)) + self._rng.gauss(0, 1))

    def _wander(self, t_s: float) -> None:
        if self._last_t_s is not None:
            keep = math.exp(-(t_s - self._last_t_s) / _WANDER_S)
            fresh = _WANDER_M * math.sqrt(1 - keep * keep)
            self._error_m = [error * keep + self._rng.gauss(0, fresh) for error in self._error_m]
        self._last_t_s = t_s

    def _sky(self, count: int, numbers: range) -> tuple[_Satellite, ...]:
        return tuple(
            _Satellite(
                number,
                math.degrees(math.asin(self._rng.uniform(math.sin(math.radians(5)), 1.0))),
                self._rng.uniform(0, 360),
                self._rng.uniform(-0.4, 0.4),
            )
            for number in sorted(self._rng.sample(numbers, count))
        )


def _gsa(numbers: Sequence[int], system: int) -> str:
    """Satellites of one system used in the solution: 3D fix, PDOP, HDOP, VDOP, system id."""
    fields = [f"{number:02d}" for number in numbers] + [""] * (12 - len(numbers))
    return f"GNGSA,A,3,{','.join(fields)},1.31,0.72,1.09,{system}"


def _degrees_minutes(degrees: float, digits: int) -> str:
    """ddmm.mmmmm or dddmm.mmmmm: 10^-5 minutes are 1.9 cm."""
    hundred_thousandths = round(abs(degrees) * 60 * 100_000)
    whole, rest = divmod(hundred_thousandths, 60 * 100_000)
    return f"{whole:0{digits}d}{rest // 100_000:02d}.{rest % 100_000:05d}"
