"""A receiver's date, with the week rollover repaired, or not believed. Pure.

Theory. GPS L1 C/A counts weeks in 10 bits (IS-GPS-200, 20.3.3.3.1.1): the count starts anew every 1,024 weeks
(1999-08-22, 2019-04-07, 2038-11-21). BeiDou counts them in 13 bits (BDS-SIS-ICD B1I, WN), for the first time anew
in 2163. A receiver resolves its count with a reference date in its firmware, and some years after that was made it
dates everything a whole number of cycles too early. The time of day stays right. Since the error is a whole number of
cycles and time never goes back, a date before an instant that is certainly past is moved forward by cycles until it is
not before it any more.

`not_before_utc` is that instant: the later of the day the software was built and the unit's persisted floor. The floor
moves only with receipts signed by the server (never with a receiver's time), so nobody can push it into the future by
radio.

What is believed: a time from `SLACK` before the floor to `HORIZON` after it, as it is or moved. Everything else gives
no time (`time_utc` None): the sample then has the next best clock. A spoofed far-future year therefore spoils no time
and locks nothing out: it is counted, nothing is remembered of it, and the first true time afterwards counts at once. A
spoofed year within the horizon cannot be told from a unit that lay in a drawer; the server sees it against its own
clock, and again nothing is remembered. The horizon is half a GPS cycle, so at most one cycle count fits: 1999-08-22
seen in 2026 could only be 2038, which is not believed, rather than guessed.

The known error is of receivers that are dated by GPS weeks, also where they say GN. A receiver that only ever says BD
or GB counts BeiDou weeks: a date in 2006 there is a clock that was never set, not a rollover, and adding 1,024 weeks
would invent a time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from edge_agent.gnss.nmea import Fix

BUILT_UTC = datetime(2026, 6, 1, tzinfo=UTC)  # this software did not exist before; may be raised with a release
GPS_CYCLE_WEEKS = 1024
BEIDOU_CYCLE_WEEKS = 8192
BEIDOU_TALKERS = ("BD", "GB")
SLACK = timedelta(days=1)  # the server's clock, which sets the floor, and the receiver's may differ
HORIZON = timedelta(weeks=512)  # almost ten years
REASONS = {
    "before_floor": "a date in the past that no whole number of cycles brings to the present",
    "beyond_horizon": "a date far in the future",
}


@dataclass(frozen=True, slots=True)
class Repaired:
    """A time as it is believed: None, and why, if it is not."""

    time_utc: datetime | None
    weeks_added: int = 0
    distrust: str | None = None  # a key of REASONS


def cycle_weeks(date_talker: str | None) -> int:
    """After how many weeks the receiver's calendar begins anew, by the talker of the sentence that gave the date."""
    return BEIDOU_CYCLE_WEEKS if date_talker in BEIDOU_TALKERS else GPS_CYCLE_WEEKS


def repaired(time_utc: datetime, not_before_utc: datetime, cycle: int = GPS_CYCLE_WEEKS) -> Repaired:
    """`time_utc` moved forward by as many whole cycles (in weeks) as bring it to `not_before_utc` or later."""
    if time_utc - not_before_utc > HORIZON:
        return Repaired(None, distrust="beyond_horizon")
    if not_before_utc - time_utc <= SLACK:
        return Repaired(time_utc)
    length = timedelta(weeks=cycle)
    cycles = -((time_utc - (not_before_utc - SLACK)) // length)
    if time_utc - not_before_utc > HORIZON - cycles * length:  # compared this way round, no date leaves the calendar
        return Repaired(None, distrust="before_floor")
    return Repaired(time_utc + cycles * length, weeks_added=cycles * cycle)


class GnssTime:
    """Fixes in, the same fixes with a believable time out; counts what it did."""

    def __init__(self, not_before_utc: datetime = BUILT_UTC) -> None:
        self._not_before_utc = max(not_before_utc, BUILT_UTC)
        self.counts: Counter[str] = Counter()  # repaired, before_floor, beyond_horizon: how many fixes

    def raise_floor(self, not_before_utc: datetime) -> None:
        """The persisted floor moved: a signed receipt told the server's time."""
        self._not_before_utc = max(self._not_before_utc, not_before_utc)

    def step(self, fix: Fix) -> Fix:
        """The fix with its time repaired, or without one; its time of day and its position stay."""
        if fix.time_utc is None:
            return fix
        result = repaired(fix.time_utc, self._not_before_utc, cycle_weeks(fix.date_talker))
        if result.distrust is not None:
            self.counts[result.distrust] += 1
        elif result.weeks_added:
            self.counts["repaired"] += 1
        return fix if result.time_utc == fix.time_utc else replace(fix, time_utc=result.time_utc)
