"""On-board diagnosis: when a defect becomes a code, and when the lamp lights and goes out. Pure.

Codes are those of SAE J2012. A defect is pending when it is first seen, confirmed with the lamp when it is seen in the
next trip as well, or at once where it is severe. The lamp goes out after three trips without the defect, the code is
forgotten after 40 warm-ups. A permanent code leaves only when the lamp has gone out by itself: neither a tester nor a
disconnected battery takes it away (California Code of Regulations, title 13, 1968.2 (d)(2); GB 18352.6-2016, annex J,
follows it; services 03, 07 and 0A of SAE J1979 tell them).
"""

from collections.abc import Mapping
from dataclasses import dataclass

_CLEAN_TRIPS_TO_DARK = 3
_WARM_UPS_TO_FORGET = 40
_TRIP_S = 10.0  # shorter runs of the engine are no trip


@dataclass(slots=True)
class _Code:
    trips: int = 0  # in a row with the defect
    confirmed: bool = False
    lamp: bool = False
    seen: bool = False  # in this trip
    clean_trips: int = 0
    warm_ups: int = 0


class Diagnosis:
    """The fault memory of the engine's ECU."""

    def __init__(self, stored: tuple[str, ...] = ()) -> None:
        self._codes = {code: _Code(2, confirmed=True, lamp=True) for code in stored}
        self._permanent = set(stored)
        self._ran_s = 0.0

    @property
    def lamp(self) -> bool:
        return any(code.lamp for code in self._codes.values())

    @property
    def stored(self) -> tuple[str, ...]:
        return tuple(sorted(name for name, code in self._codes.items() if code.confirmed))

    @property
    def pending(self) -> tuple[str, ...]:
        return tuple(
            sorted(name for name, code in self._codes.items() if code.trips and (code.seen or code.trips == 1))
        )

    @property
    def permanent(self) -> tuple[str, ...]:
        return tuple(sorted(self._permanent))

    def watch(self, failing: Mapping[str, bool], dt_s: float, *, is_on: bool) -> tuple[str, ...]:
        """While the ignition is on: the monitors that fail now, True where the lamp lights at once. New codes."""
        self._ran_s += dt_s if is_on else 0.0
        new = tuple(sorted(set(failing) - set(self._codes)))
        for name, at_once in failing.items():
            code = self._codes.setdefault(name, _Code())
            if not code.seen:
                code.trips, code.seen, code.clean_trips, code.warm_ups = code.trips + 1, True, 0, 0
            if at_once or code.trips >= 2:
                code.confirmed = code.lamp = True
                self._permanent.add(name)
        return new

    def end_trip(self, *, warmed_up: bool) -> None:
        """The key is turned off."""
        if self._ran_s >= _TRIP_S:
            for name, code in list(self._codes.items()):
                self._end_trip_of(name, code, warmed_up)
        self._ran_s = 0.0

    def clear(self) -> None:
        """Service 04, or no supply: all but permanent codes are forgotten."""
        self._codes.clear()

    def _end_trip_of(self, name: str, code: _Code, warmed_up: bool) -> None:
        if code.seen:
            code.seen = False
            return
        code.trips = 0
        code.clean_trips += 1
        if code.lamp and code.clean_trips >= _CLEAN_TRIPS_TO_DARK:
            code.lamp = False
            self._permanent.discard(name)
        code.warm_ups += warmed_up and not code.lamp
        if not code.confirmed or code.warm_ups >= _WARM_UPS_TO_FORGET:
            del self._codes[name]
