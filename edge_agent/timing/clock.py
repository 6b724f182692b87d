"""UTC from whatever knows it, with its quality. Pure: every instant is an argument.

The monotonic clock is the unit's own and never jumps. Each source ties it to UTC by an offset; a quartz drifts some
20 ppm, 70 ms an hour, so a tie is good for as long as the unit runs. The best source that has spoken counts:

* GNSS: the receiver's own epoch, its date repaired or refused by `gnss/gnss_time.py`;
* NTP: the system clock, while the kernel says that somebody on the network disciplines it;
* RTC: the system clock, where a battery-backed clock set it, and only if that is not before the floor;
* FLOOR: the newest time that a signed receipt of the server has told, and the monotonic time since. It means *not
  before*, and nothing more: the receipt may have waited at the broker, and if it came before the unit was last started,
  the time without power is not in it. The server does not take it for an event time; it times such a record later, from
  the monotonic clock, as one with NONE;
* NONE: nothing at all is known.

A system clock before the floor, or more than `HORIZON_MS` after it, is wrong and tells nothing. A source that jumps
against the monotonic clock is suspicious: its old tie is kept until the new one has been confirmed `CONFIRM_TIMES`
times over `CONFIRM_S`, then it is believed. Each jump is counted. Nothing here is remembered beyond this run.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from edge_agent.settings import setting
from wire.records import TimeQuality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

JUMP_MS = 3000  # epochs come up to 1 s after their instant, and a busy machine adds to that
CONFIRM_TIMES, CONFIRM_S = 5, 5.0
# A unit that lay for ten years in a drawer has no valid certificate any more, so a clock beyond that is wrong.
HORIZON_MS = 3652 * 86_400_000
SLACK_MS = 86_400_000  # the server's clock, which sets the floor, and the network's may differ by so much


@dataclass(frozen=True, slots=True)
class ClockConfig:
    """How far the receiver's time is believed."""

    plays_recording: bool = setting("an old drive is being played to the unit: take its times as they come", False)


@dataclass(frozen=True, slots=True)
class SystemTime:
    """What the machine's own clock says: UTC less monotonic, and who vouches for it."""

    offset_ms: int
    is_disciplined: bool  # over the network, by the kernel's own account
    has_rtc: bool  # set by a battery-backed clock when the machine started


@dataclass(frozen=True, slots=True)
class Tie:
    """One source's offset (UTC less monotonic, ms), and a rival that has not been confirmed yet."""

    offset_ms: int | None = None
    rival_ms: int | None = None
    rival_since_s: float = 0.0
    rival_times: int = 0
    jumps: int = 0  # how often a rival came up

    def told(self, offset_ms: int, mono_s: float, reference_ms: int | None = None) -> "Tie":
        """The source said this at `mono_s`. A first word is measured against `reference_ms`, another source's tie."""
        held_ms = reference_ms if self.offset_ms is None else self.offset_ms
        if held_ms is None or abs(offset_ms - held_ms) <= JUMP_MS:
            return Tie(offset_ms, jumps=self.jumps)
        if self.rival_ms is None or abs(offset_ms - self.rival_ms) > JUMP_MS:
            return Tie(self.offset_ms, offset_ms, mono_s, 1, self.jumps + 1)
        if self.rival_times + 1 >= CONFIRM_TIMES and mono_s - self.rival_since_s >= CONFIRM_S:
            return Tie(offset_ms, jumps=self.jumps)
        return replace(self, rival_ms=offset_ms, rival_times=self.rival_times + 1)

    def forgotten(self) -> "Tie":
        """The source does not vouch any more."""
        return Tie(jumps=self.jumps)


@dataclass(frozen=True, slots=True)
class UtcClock:
    """What each source has told. `floor_offset_ms` is at least that of the day the software was built.

    With `plays_recording` the receiver's time is taken as it comes, with all its jumps: an old drive is being played,
    perhaps faster than it was driven.
    """

    gnss: Tie = Tie()
    ntp: Tie = Tie()
    rtc: Tie = Tie()
    floor_offset_ms: int | None = None
    floor_is_told: bool = False  # by a receipt, now or long ago; without one the floor tells no time
    plays_recording: bool = False

    def told_by_gnss(self, time_utc: datetime, mono_s: float) -> "UtcClock":
        """The receiver said that it was `time_utc` at `mono_s`."""
        offset_ms = utc_ms(time_utc) - _ms(mono_s)
        if self.plays_recording:
            return replace(self, gnss=Tie(offset_ms))
        return replace(self, gnss=self.gnss.told(offset_ms, mono_s, reference_ms=self.ntp.offset_ms))

    def told_by_system(self, system: SystemTime, mono_s: float) -> "UtcClock":
        """The system clock, looked at once a second."""
        ntp, rtc = self.ntp.forgotten(), self.rtc.forgotten()
        if self._is_plausible(system.offset_ms):
            if system.is_disciplined:
                ntp = self.ntp.told(system.offset_ms, mono_s)
            elif system.has_rtc and (self.floor_offset_ms is None or system.offset_ms >= self.floor_offset_ms):
                rtc = self.rtc.told(system.offset_ms, mono_s)
        return replace(self, ntp=ntp, rtc=rtc)

    def told_by_floor(self, offset_ms: int, is_told: bool) -> "UtcClock":
        """It is not earlier than monotonic plus this offset, by a receipt or only by the day of building."""
        return replace(self, floor_offset_ms=offset_ms, floor_is_told=is_told)

    def at(self, mono_s: float) -> tuple[int | None, TimeQuality]:
        """UTC ms and its quality at a monotonic instant."""
        for offset_ms, quality in (
            (self.gnss.offset_ms, TimeQuality.GNSS),
            (self.ntp.offset_ms, TimeQuality.NTP),
            (self.rtc.offset_ms, TimeQuality.RTC),
            (self.floor_offset_ms if self.floor_is_told else None, TimeQuality.FLOOR),
        ):
            if offset_ms is not None:
                return _ms(mono_s) + offset_ms, quality
        return None, TimeQuality.NONE

    def witness_ms(self, mono_s: float) -> int | None:
        """UTC ms by the best source that is not the server itself."""
        time_ms, quality = self.at(mono_s)
        return None if quality is TimeQuality.FLOOR else time_ms

    @property
    def counts(self) -> dict[str, int]:
        """How often each source jumped, under the names that travel to the server."""
        told = {"clock.gnss_jumps": self.gnss.jumps, "clock.system_jumps": self.ntp.jumps + self.rtc.jumps}
        return {name: count for name, count in told.items() if count}

    def _is_plausible(self, offset_ms: int) -> bool:
        if self.floor_offset_ms is None:
            return True
        return -SLACK_MS <= offset_ms - self.floor_offset_ms <= HORIZON_MS


def utc_ms(time: datetime) -> int:
    """An aware time as whole milliseconds since 1970, exactly."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def _ms(mono_s: float) -> int:
    return round(mono_s * 1000)
