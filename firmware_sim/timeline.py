"""What a play is made of: timed events, and the clock that says which of them are due. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge

from firmware_sim.j1979 import CarSnapshot


@dataclass(frozen=True, slots=True)
class GnssBytes:
    """Bytes the receiver sends at `t_s` seconds of play, exactly as given; usually one sentence."""

    t_s: float
    data: bytes


@dataclass(frozen=True, slots=True)
class CarAt:
    """The car's values from `t_s` seconds of play on."""

    t_s: float
    car: CarSnapshot


Event = GnssBytes | CarAt


def in_order(*streams: Iterable[Event]) -> Iterator[Event]:
    """Several streams, each in order of time, as one."""
    return merge(*streams, key=lambda event: event.t_s)


def repeated(events: tuple[Event, ...], pause_s: float = 1.0) -> Iterator[Event]:
    """The same events for ever, each round `pause_s` after the last event of the round before."""
    start_s = 0.0
    while events:
        for event in events:
            yield replace(event, t_s=event.t_s + start_s)
        start_s += events[-1].t_s + pause_s


class PlayClock:
    """Seconds of play: runs `speed` times as fast as the wall clock, and stands still while it is held."""

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._t_s = 0.0
        self._running_since: float | None = None

    def at(self, now_s: float) -> float:
        """Seconds of play at wall-clock time `now_s`."""
        if self._running_since is None:
            return self._t_s
        return self._t_s + (now_s - self._running_since) * self._speed

    @property
    def is_held(self) -> bool:
        return self._running_since is None

    def hold(self, now_s: float) -> None:
        self._t_s, self._running_since = self.at(now_s), None

    def run(self, now_s: float) -> None:
        if self._running_since is None:
            self._running_since = now_s

    def wall_s_until(self, t_s: float, now_s: float) -> float:
        """Wall-clock seconds from now until `t_s` seconds of play, if the clock runs."""
        return max(0.0, (t_s - self.at(now_s)) / self._speed)
