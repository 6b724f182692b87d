"""A recorded drive as Motion: positions and speeds that somebody really drove, ten times a second. Pure.

The key follows from the recording: engine speed where there is any (0: off; below 500: cranking), else the engine runs
from shortly before the first motion to shortly after the last. Between two looks everything goes on linearly; positions
that a receiver repeats while the wheels turn (the slow uplinks of `rsk_twizy_ev`, of `ved_sample`) are taken once.
Recorded NMEA and OBD tables are played byte for byte by `recording.py` and `obd_table.py`; this is for mixing a real
drive with simulated faults.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from firmware_sim.roads.geometry import Plane
from firmware_sim.roads.land import altitude_m
from firmware_sim.roads.motion import STEP_S, Motion, Phase

_MOVES_MPS = 0.5
_RUNS_BEFORE_S, _RUNS_AFTER_S = 10.0, 10.0
_FIRES_RPM = 500.0
_TYRES_MPS2 = 9.0  # what looks like more is the coarseness of the recording
_COURSE_FROM_M = 3.0  # nearer places say nothing of the direction
_KNOT_MPS = 1852 / 3600


@dataclass(frozen=True, slots=True)
class Look:
    """What a recording says at one moment; None: nothing. Degrees are WGS-84, speed is that of the wheels or ground."""

    t_s: float
    lat_deg: float | None = None
    lon_deg: float | None = None
    speed_mps: float | None = None
    rpm: float | None = None


class RecordingError(ValueError):
    """Nothing in it that moves a car; the message is a sentence for a person."""


def looks_of_nmea(lines: Iterable[bytes]) -> Iterator[Look]:
    """The valid RMC sentences of a log, checksums checked, `t_s` from its first; a clock that steps back ends it."""
    first_s: float | None = None
    last_s = -1.0
    for line in lines:
        fields = _checked(line)
        if len(fields) < 8 or fields[0][2:] != "RMC" or fields[2] != "A":
            continue
        try:
            clock_s = int(fields[1][:2]) * 3600 + int(fields[1][2:4]) * 60 + float(fields[1][4:])
            look = (_degrees(fields[3], fields[4]), _degrees(fields[5], fields[6]), float(fields[7]) * _KNOT_MPS)
        except ValueError:
            continue
        first_s = clock_s if first_s is None else first_s
        since_s = (clock_s - first_s) % 86400
        if since_s - last_s > 43200 or since_s < last_s:
            return
        last_s = since_s
        yield Look(since_s, *look)


def looks_of_columns(columns: dict[str, Sequence[float | None]]) -> Iterator[Look]:
    """Rows of a table with `t_s`, `lat`, `lon`, and `speed_kmh`, `rpm` where it has them."""
    count = len(columns["t_s"])
    blank: Sequence[float | None] = [None] * count
    speeds, rpms = columns.get("speed_kmh", blank), columns.get("rpm", blank)
    for t_s, lat, lon, kmh, rpm in zip(columns["t_s"], columns["lat"], columns["lon"], speeds, rpms, strict=True):
        if t_s is not None:
            yield Look(t_s, lat, lon, None if kmh is None else kmh / 3.6, rpm)


def recorded(looks: Iterable[Look], start_s: float = 0.0) -> Iterator[Motion]:
    """Motions from `start_s` on, as long as the recording is.

    Raises:
        RecordingError: fewer than two places.
    """
    seen = sorted(looks, key=lambda look: look.t_s)
    places = _places(seen)
    if len(places) < 2:
        raise RecordingError("the recording has fewer than two places: nothing in it moves")
    speeds = [(look.t_s, look.speed_mps) for look in seen if look.speed_mps is not None] or _speeds(places)
    rpms = [(look.t_s, look.rpm) for look in seen if look.rpm is not None]
    moving = [t_s for t_s, mps in speeds if mps > _MOVES_MPS] or [seen[0].t_s]
    lats, lons = [(t_s, lat) for t_s, lat, _ in places], [(t_s, lon) for t_s, _, lon in places]
    where = {"lat": _Linear(lats), "lon": _Linear(lons), "speed": _Linear(speeds), "rpm": _Linear(rpms)}
    courses = _Courses(places)
    begin_s, end_s = places[0][0], max(places[-1][0], speeds[-1][0])
    before_mps = where["speed"].at(begin_s)
    for step in range(round((end_s - begin_s) / STEP_S) + 1):
        t_s = begin_s + step * STEP_S
        lat_deg, lon_deg, mps = (where[name].at(t_s) for name in ("lat", "lon", "speed"))
        running = moving[0] - _RUNS_BEFORE_S <= t_s <= moving[-1] + _RUNS_AFTER_S
        phase = _phase(where["rpm"].at(t_s) if rpms else None, running)
        yield Motion(
            t_s=round(start_s + step * STEP_S, 1),
            lat_deg=lat_deg,
            lon_deg=lon_deg,
            altitude_m=altitude_m(lat_deg, lon_deg),
            speed_mps=mps,
            accel_mps2=min(_TYRES_MPS2, max(-_TYRES_MPS2, (mps - before_mps) / STEP_S)),
            course_deg=courses.at(t_s),
            phase=phase,
        )
        before_mps = mps


class _Linear:
    """Values over time, asked in order of time; held before the first and after the last."""

    def __init__(self, points: Sequence[tuple[float, float]]) -> None:
        self._points = points
        self._index = 0

    def at(self, t_s: float) -> float:
        points = self._points
        while self._index + 2 < len(points) and points[self._index + 1][0] <= t_s:
            self._index += 1
        (a_s, a), (b_s, b) = points[self._index], points[min(self._index + 1, len(points) - 1)]
        part = 0.0 if b_s <= a_s else min(1.0, max(0.0, (t_s - a_s) / (b_s - a_s)))
        return a + (b - a) * part


class _Courses:
    """From one place to the next that is far enough away; kept while the car stands."""

    def __init__(self, places: Sequence[tuple[float, float, float]]) -> None:
        self._turns: list[tuple[float, float]] = []
        anchor = places[0]
        for place in places[1:]:
            east, north = Plane(anchor[1], anchor[2]).flat(place[1], place[2])
            if math.hypot(east, north) >= _COURSE_FROM_M:
                self._turns.append((anchor[0], math.degrees(math.atan2(east, north)) % 360))
                anchor = place
        self._index = 0

    def at(self, t_s: float) -> float:
        if not self._turns:
            return 0.0
        while self._index + 1 < len(self._turns) and self._turns[self._index + 1][0] <= t_s:
            self._index += 1
        return self._turns[self._index][1]


def _places(seen: Sequence[Look]) -> list[tuple[float, float, float]]:
    """Time, latitude, longitude; a place that is told again while the car moves is the receiver's last one."""
    found: list[tuple[float, float, float]] = []
    for look in seen:
        if look.lat_deg is None or look.lon_deg is None:
            continue
        same = bool(found) and found[-1][1:] == (look.lat_deg, look.lon_deg)
        if not same or (look.speed_mps or 0.0) <= _MOVES_MPS:
            found.append((look.t_s, look.lat_deg, look.lon_deg))
    return found


def _speeds(places: Sequence[tuple[float, float, float]]) -> list[tuple[float, float]]:
    """From place to place, where nothing else tells them."""
    found = [(places[0][0], 0.0)]
    for a, b in pairwise(places):
        if b[0] > a[0]:
            found.append((b[0], math.hypot(*Plane(a[1], a[2]).flat(b[1], b[2])) / (b[0] - a[0])))
    return found


def _phase(rpm: float | None, running: bool) -> Phase:
    if rpm is None:
        return Phase.RUNNING if running else Phase.OFF
    if rpm >= _FIRES_RPM or (running and rpm == 0):  # a hybrid, or an engine that stops at lights
        return Phase.RUNNING
    return Phase.CRANKING if rpm > 0 else Phase.OFF


def _checked(line: bytes) -> list[str]:
    """The fields of a sentence whose checksum is right; none of any other."""
    body, star, told = line.strip().partition(b"*")
    total = 0
    for byte in body[1:]:
        total ^= byte
    try:
        right = body[:1] == b"$" and star == b"*" and int(told[:2], 16) == total
        return body[1:].decode("ascii").split(",") if right else []
    except ValueError:
        return []


def _degrees(text: str, side: str) -> float:
    """ddmm.mmmm or dddmm.mmmm, with N, S, E or W."""
    point = text.index(".")
    degrees = float(text[: point - 2]) + float(text[point - 2 :]) / 60
    return -degrees if side in ("S", "W") else degrees
