"""Values as people read them: times in the lender's time zone, numbers with the digits that mean something."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from babel.dates import get_timezone

NOTHING = "–"
MPS_TO_KMH = 3.6


@dataclass(frozen=True, slots=True)
class Shown:
    """One value on a page: its text, the unit beside it, what hovering tells, and UTC ms where it is a time."""

    text: str
    unit: str = ""
    title: str = ""
    time_ms: int | None = None
    tone: str = ""  # good, warn, bad or dim: how the page colours it

    def as_json(self) -> dict[str, Any]:
        """For the page's script."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


def time_zone_of(name: str) -> tzinfo:
    """The zone of this name; UTC where nobody knows it, and then the page says UTC."""
    try:
        zone: tzinfo = get_timezone(name)
    except LookupError:
        return UTC
    return zone


def zone_name(zone: tzinfo, now_ms: int) -> str:
    """`Asia/Shanghai (UTC+08:00)`."""
    if zone is UTC:
        return "UTC"
    offset = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).strftime("%z")
    return f"{zone} (UTC{offset[:3]}:{offset[3:]})"


def shown_time(time_ms: int | None, zone: tzinfo) -> Shown:
    """A moment in the lender's zone, with UTC on hover."""
    moment = _moment(time_ms)
    if moment is None:
        return Shown(NOTHING)
    local = moment.astimezone(zone)
    return Shown(f"{local:%Y-%m-%d %H:%M:%S}", title=f"{moment:%Y-%m-%d %H:%M:%S} UTC", time_ms=time_ms)


def iso_utc(time_ms: int | None) -> str | None:
    """ISO 8601 for JSON twins and `datetime` attributes."""
    moment = _moment(time_ms)
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S}.{(time_ms or 0) % 1000:03d}Z"


def _moment(time_ms: int | None) -> datetime | None:
    if time_ms is None:
        return None
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # a time that no calendar has
        return None


def number(value: float | None, digits: int, unit: str = "", tone: str = "") -> Shown:
    """A number with its unit; groups of three are parted by a comma in both languages."""
    return Shown(NOTHING) if value is None else Shown(f"{value:,.{digits}f}", unit, tone=tone)


def speed(speed_mps: float | None, tone: str = "") -> Shown:
    """m/s → km/h, whole."""
    return number(None if speed_mps is None else speed_mps * MPS_TO_KMH, 0, "km/h", tone)


def position(lat_deg: float | None, lon_deg: float | None) -> Shown:
    """`39.90421° N, 116.40739° E`: five places are about a metre."""
    if lat_deg is None or lon_deg is None:
        return Shown(NOTHING)
    north, east = "N" if lat_deg >= 0 else "S", "E" if lon_deg >= 0 else "W"
    return Shown(f"{abs(lat_deg):.5f}° {north}, {abs(lon_deg):.5f}° {east}", title="WGS-84")
