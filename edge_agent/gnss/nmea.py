"""NMEA 0183 bytes → epochs: each second (or tenth of one) that the receiver tells of comes out as a `Fix`.

Theory. A receiver tells one epoch in several sentences: RMC, GGA, GLL and GNS carry its time of day and its position,
VTG and GSA carry neither, ZDA and RMC carry the date. Sentences with the same time of day, and the untimed ones among
them, are one epoch. All talkers (GP, GN, BD, GB, GA, GL, QZ, GI, IN ...) are read alike.

Which position. Only one that its own sentence declares valid (see nmea_fields), and only if its talker does not call
the epoch void. Per talker, because some modules send a GGA for GPS and another for Galileo. Where the sentences of one
talker contradict each other, two cases are told apart:

* "Void" and "estimated, by hand, simulated" (GGA 6, 7, 8; modes E, M, S) do not contradict each other.
  IEC 61162-1 wants status V for those modes: a u-blox beyond its dead-reckoning limits sends GGA 6 with RMC V, a
  Garmin that simulates GGA 8 with RMC V. The void stands, wherever it comes.
* "Void" and "a satellite solution" (GGA 1 to 5, RMC or GLL A, GNS) do. The receiver found or lost its fix while it sent
  the burst, so the sentence that was composed last knows best. gpsd decides likewise.

Of positions that agree the one with the most decimals counts, the later on a tie. Positions agree if they are at most
`AGREEMENT_DEG` apart or, where one has fewer decimals, at most its last digit. A device that stamps several positions
with one time (a chart plotter passing on another receiver's) gives a Fix for each, all with the same time, the most
precise or latest one last: nothing tells which is true. They come out of one call, so `best_of_each_time` can join
them. The receivers of cars repeat one solution and give one Fix.

When an epoch is over. (1) A sentence with another time of day begins the next one. (2) It holds every kind of sentence
that the last `LEARNED_EPOCHS` epochs held: it is given out at once, not a period later. (3) `flush()`: the line fell
silent, or the file ended. What comes late, after (2) or (3), refines nothing: a time of day that came out valid or void
does not come out again while it is among the last `REMEMBERED_EPOCHS`. So a GGA 8 whose RMC V went out before it gives
no position, and a receiver whose clock stands still gives one Fix, not a stream of stale ones.

Which date. A valid RMC or a ZDA dates the instant it names; any other epoch lies within 12 hours of the last instant
known. That carries the date over midnight when the new day's GGA comes before its RMC. Week rollover:
`gnss_time.py`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import Any

from edge_agent.gnss.nmea_fields import Position, RefusedError, Said, understand
from edge_agent.gnss.nmea_sentence import Sentence, SentenceFramer

LEARNED_EPOCHS = 16
REMEMBERED_EPOCHS = 4
MAX_EPOCH_SENTENCES = 64  # of the types that are read; the richest real epoch seen has 14
AGREEMENT_DEG = 2e-6  # 0.2 m; some receivers smooth RMC and not GGA, which differ by a few centimetres
HALF_A_DAY = timedelta(hours=12)


class FixSource(IntEnum):
    """Where the position of a Fix is from; the numbers are those of the wire."""

    GNSS = 0  # the receiver's own, as it said it
    CELL = 1  # of the cell of the mobile network that serves the unit
    WIFI = 2  # of Wi-Fi access points around
    HELD = 3  # of the receiver, where the vehicle came to stand: later noise is left out


@dataclass(frozen=True, slots=True)
class Fix:
    """One GNSS epoch as the receiver reported it; None = the receiver did not say, or said it without a valid fix."""

    time_utc: datetime | None  # aware UTC; None while no date is known
    time_of_day_ms: int | None  # ms since UTC midnight; 86_400_000 and more in a leap second
    lat_deg: float | None  # WGS-84, None without a valid fix (never 0.0 as "no fix")
    lon_deg: float | None
    alt_m: float | None  # above mean sea level
    speed_mps: float | None
    course_deg: float | None
    fix_quality: int | None  # GGA quality indicator 0..8
    satellites_used: int | None
    hdop: float | None
    date_talker: str | None = None  # GP, GN, BD ...: whose sentence the date is from; tells which weeks it counts
    source: FixSource = FixSource.GNSS
    accuracy_m: float | None = None  # radius in which the vehicle is with about 2/3 probability; of fallback sources


@dataclass(frozen=True, slots=True)
class NmeaCounts:
    """What became of every sentence since the start. Comments and line ends are in none of these."""

    accepted: Mapping[str, int]  # by sentence type (RMC, GGA ...), of the types that are read
    accepted_unused: int  # good checksum, a type that is not read
    refused: Mapping[str, int]  # by reason, see nmea_sentence.REFUSALS
    noise_bytes: int  # bytes between sentences that are not NMEA


class NmeaReader:
    """Bytes in, epochs out. No bytes make it raise; any chunking gives the same epochs."""

    def __init__(self) -> None:
        self.satellites_in_view: int | None = None  # of all systems, by the newest GSV; None: the receiver tells none
        self._views: dict[str, int] = {}  # by talker, since the last epoch
        self._framer = SentenceFramer()
        self._accepted: Counter[str] = Counter()
        self._unused = 0
        self._refused: Counter[str] = Counter()
        self._epoch = _Epoch()
        self._cycle = _Cycle()
        self._calendar = _Calendar()
        self._decided: deque[int] = deque(maxlen=REMEMBERED_EPOCHS)  # times of day given out with a verdict

    def feed(self, data: bytes) -> list[Fix]:
        """The epochs that `data` completes."""
        return [fix for sentence in self._framer.feed(data) for fix in self._read(sentence)]

    def flush(self) -> list[Fix]:
        """The open epoch, if any: the line fell silent or the file ended. Half a sentence stays for its other half."""
        fixes = [fix for sentence in self._framer.flush() for fix in self._read(sentence)]
        fixes.extend(self._give_out())
        return fixes

    @property
    def counts(self) -> NmeaCounts:
        """A copy that later sentences do not change."""
        refused = self._framer.refused + self._refused
        return NmeaCounts(dict(self._accepted), self._unused, dict(refused), self._framer.noise_bytes)

    def _read(self, sentence: Sentence) -> Iterator[Fix]:
        try:
            said = understand(sentence)
        except RefusedError as refusal:
            self._refused[refusal.reason] += 1
            return
        if said is None:
            self._unused += 1
            self._note_view(sentence)
            return
        self._accepted[said.type] += 1
        if said.date is not None and said.time_of_day_ms is not None:
            self._calendar.learn(said.date, said.time_of_day_ms, said.talker)
        if said.type != "ZDA":  # the clock's time, on some receivers seconds ahead of the epoch's
            yield from self._add(said)

    def _note_view(self, sentence: Sentence) -> None:
        """GSV: field 2 is how many satellites of its system are in view; NMEA 4.11 repeats it for each signal."""
        if sentence.address[2:] == "GSV" and len(sentence.fields) >= 3 and sentence.fields[2].isdecimal():
            talker, in_view = sentence.address[:2], int(sentence.fields[2][:2])
            self._views[talker] = max(in_view, self._views.get(talker, 0))

    def _add(self, said: Said) -> Iterator[Fix]:
        if said.time_of_day_ms in self._decided:
            self._cycle.add_late(said.address)
            return
        if not self._epoch.may_hold(said):
            yield from self._give_out()
        self._epoch.add(said)
        if self._cycle.is_whole(self._epoch.kinds) or len(self._epoch.said) >= MAX_EPOCH_SENTENCES:
            yield from self._give_out()

    def _give_out(self) -> Iterator[Fix]:
        epoch, self._epoch = self._epoch, _Epoch()
        if self._views:
            self.satellites_in_view, self._views = sum(self._views.values()), {}
        if all(said.type in ("VTG", "GSA") for said in epoch.said):
            return  # they belong to an epoch that is out already
        self._cycle.learn(epoch.kinds)
        time_of_day_ms = epoch.time_of_day_ms
        time_utc = None if time_of_day_ms is None else self._calendar.instant(time_of_day_ms)
        fixes = _merge(epoch.said, time_utc, time_of_day_ms, self._calendar.talker)
        if time_of_day_ms is not None and any(said.valid is not None for said in epoch.said):
            self._decided.append(time_of_day_ms)
        yield from fixes


class _Epoch:
    """The sentences of the epoch that is open."""

    def __init__(self) -> None:
        self.time_of_day_ms: int | None = None
        self.said: list[Said] = []
        self.kinds: set[str] = set()  # GNRMC1, GNGSA1, GNGSA2: the n-th sentence of its address

    def may_hold(self, said: Said) -> bool:
        """Same time of day; if one of them has none, the same verdict, and no verdict twice from one address."""
        if self.time_of_day_ms is not None and said.time_of_day_ms is not None:
            return said.time_of_day_ms == self.time_of_day_ms
        if said.type in ("VTG", "GSA"):
            return True
        return f"{said.address}1" not in self.kinds and all(one.valid in (None, said.valid) for one in self.said)

    def add(self, said: Said) -> None:
        if self.time_of_day_ms is None:
            self.time_of_day_ms = said.time_of_day_ms
        self.said.append(said)
        self.kinds.add(_kind(said.address, self.kinds))


class _Cycle:
    """Which kinds of sentences an epoch of this receiver has, learned from the last `LEARNED_EPOCHS` epochs."""

    def __init__(self) -> None:
        self._past: deque[set[str]] = deque(maxlen=LEARNED_EPOCHS)
        self._all_kinds: set[str] = set()

    def learn(self, kinds: set[str]) -> None:
        self._past.append(kinds)
        self._all_kinds = set().union(*self._past)

    def add_late(self, address: str) -> None:
        """A sentence that came after its epoch was given out: from now on its kind is waited for."""
        kind = _kind(address, self._past[-1])
        self._past[-1].add(kind)
        self._all_kinds.add(kind)

    def is_whole(self, kinds: set[str]) -> bool:
        return len(self._past) == LEARNED_EPOCHS and kinds >= self._all_kinds


def _kind(address: str, kinds: set[str]) -> str:
    count = 1
    while f"{address}{count}" in kinds:
        count += 1
    return f"{address}{count}"


class _Calendar:
    """The last instant known; a time of day without a date is the one nearest to it."""

    def __init__(self) -> None:
        self._last: datetime | None = None
        self.talker: str | None = None

    def learn(self, day: date, time_of_day_ms: int, talker: str) -> None:
        self.talker = talker
        self._last = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(milliseconds=time_of_day_ms)

    def instant(self, time_of_day_ms: int) -> datetime | None:
        if self._last is None:
            return None
        midnight = self._last.replace(hour=0, minute=0, second=0, microsecond=0)
        instant = midnight + timedelta(milliseconds=time_of_day_ms)
        if instant - self._last > HALF_A_DAY:
            instant -= timedelta(days=1)
        elif self._last - instant > HALF_A_DAY:
            instant += timedelta(days=1)
        self._last = instant
        return instant


# For each field of a Fix the sentence types that give it, best first.
SOURCES: Sequence[tuple[str, Sequence[str]]] = (
    ("fix_quality", ("GGA",)),
    ("satellites_used", ("GGA", "GNS")),
    ("hdop", ("GGA", "GNS", "GSA")),
    ("alt_m", ("GGA", "GNS")),
    ("speed_mps", ("RMC", "VTG")),
    ("course_deg", ("RMC", "VTG")),
)
NEED_A_POSITION = ("alt_m", "speed_mps", "course_deg")


def best_of_each_time(fixes: Iterable[Fix]) -> list[Fix]:
    """Of several positions with one time of day the last, which is the best; `fixes` is what one call gave."""
    given = list(fixes)
    superseded = {
        index
        for index, (fix, after) in enumerate(pairwise(given))
        if fix.time_of_day_ms is not None and fix.time_of_day_ms == after.time_of_day_ms
    }
    return [fix for index, fix in enumerate(given) if index not in superseded]


def _merge(
    said: Sequence[Said], time_utc: datetime | None, time_of_day_ms: int | None, date_talker: str | None
) -> list[Fix]:
    """The Fix of an epoch; several only if it was given several positions."""
    void_talkers = _void_talkers(said)
    believed_last = sorted(said, key=lambda one: one.talker not in void_talkers)
    positions = _distinct(one.position for one in said if one.position and one.talker not in void_talkers)
    values = {name: _latest(believed_last, name, types) for name, types in SOURCES}
    if values["satellites_used"] is None:
        values["satellites_used"] = _satellites_listed(said)
    if not positions:
        values |= dict.fromkeys(NEED_A_POSITION)
        return [Fix(time_utc, time_of_day_ms, None, None, **values, date_talker=date_talker)]
    return [
        Fix(time_utc, time_of_day_ms, position.lat_deg, position.lon_deg, **values, date_talker=date_talker)
        for position in positions
    ]


def _void_talkers(said: Iterable[Said]) -> set[str]:
    void: set[str] = set()
    for one in said:
        if one.valid is False:
            void.add(one.talker)
        elif one.valid and not one.estimated:
            void.discard(one.talker)
    return void


def _distinct(positions: Iterable[Position]) -> list[Position]:
    """Of positions that agree the most precise, the later on a tie; the most precise of all last."""
    kept: list[Position] = []
    for new in positions:
        same = next((old for old in kept if _agree(old, new)), None)
        if same is not None:
            kept.remove(same)
        kept.append(new if same is None or new.minute_decimals >= same.minute_decimals else same)
    return sorted(kept, key=lambda position: position.minute_decimals)


def _agree(one: Position, other: Position) -> bool:
    tolerance_deg = AGREEMENT_DEG
    if one.minute_decimals != other.minute_decimals:
        last_digit_deg = 10.0 ** -min(one.minute_decimals, other.minute_decimals) / 60
        tolerance_deg = max(tolerance_deg, 1.01 * last_digit_deg)  # 1 %: room for binary fractions
    return max(abs(one.lat_deg - other.lat_deg), abs(one.lon_deg - other.lon_deg)) <= tolerance_deg


def _latest(said: Iterable[Said], name: str, types: Sequence[str]) -> Any:
    by_type = {one.type: value for one in said if (value := getattr(one, name)) is not None}
    return next((by_type[kind] for kind in types if kind in by_type), None)


def _satellites_listed(said: Iterable[Said]) -> int | None:
    """How many satellites the GSA sentences list, for receivers that send no GGA and no GNS."""
    listed = [one.satellites_used for one in said if one.satellites_used is not None]
    return sum(listed) if listed else None
