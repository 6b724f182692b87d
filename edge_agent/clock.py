"""UTC from whatever knows it, with its quality. Pure: every instant is an argument.

The monotonic clock is the unit's own; a GNSS epoch, or a system clock that is disciplined over the network, ties it to
UTC. A crystal drifts some 20 ppm, 70 ms an hour, so a tie is good for as long as the unit runs. Without one a sample
has no UTC time: it says so, and the server can time it later from the monotonic clock.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from wire.records import TimeQuality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class UtcClock:
    """Milliseconds to add to the monotonic clock (in ms) to get UTC, by source; None: never heard."""

    gnss_offset_ms: int | None = None
    ntp_offset_ms: int | None = None

    def told_by_gnss(self, time_utc: datetime, mono_s: float) -> "UtcClock":
        """The receiver said that it was `time_utc` at `mono_s`."""
        return replace(self, gnss_offset_ms=utc_ms(time_utc) - round(mono_s * 1000))

    def told_by_ntp(self, offset_ms: int | None) -> "UtcClock":
        """The system clock stands at this offset and is disciplined; None: it is not."""
        return replace(self, ntp_offset_ms=offset_ms)

    def at(self, mono_s: float) -> tuple[int | None, TimeQuality]:
        """UTC ms and its quality at a monotonic instant."""
        for offset_ms, quality in (
            (self.gnss_offset_ms, TimeQuality.GNSS),
            (self.ntp_offset_ms, TimeQuality.NTP),
        ):
            if offset_ms is not None:
                return round(mono_s * 1000) + offset_ms, quality
        return None, TimeQuality.NONE


def utc_ms(time: datetime) -> int:
    """An aware time as whole milliseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(milliseconds=1)
