"""THE LOOP: timed events out of the receiver's port, requests and replies through the adapter's port.

Two ways to treat a reader that is slow or gone:

- patient (the default): time stands still for the whole simulated world until the reader takes the bytes, so nothing
  is lost but what a killed reader left unread in the kernel;
- realtime: time goes on as in the real world; what nobody hears is lost and counted.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from firmware_sim.elm327 import Elm327
from firmware_sim.j1979 import CarSnapshot
from firmware_sim.ports import PtyPort, wait_for_bytes
from firmware_sim.timeline import CarAt, Event, PlayClock

_LOOK_S = 0.05  # how often to look whether an absent reader has come
_IDLE_S = 0.25  # longest sleep while everybody is there: bounds the answer to a signal
_RETRY_S = 0.005  # how soon to try again when the kernel holds enough unread bytes
_SHORTEST_S = 0.002  # a fast play takes its events in bundles instead of spinning
_SLOW_READER_S = 0.25  # a reader that lets bytes lie for so long stops the clock, or loses them in realtime
_MAX_WAITING = 4096  # bytes for either port that the kernel has not taken yet
_DRAIN_S = 1.0  # how long the end of a realtime play waits for the reader to take the last bytes


@dataclass(frozen=True, slots=True)
class Manners:
    """How to treat readers; see the top of this file."""

    speed: float = 1.0
    realtime: bool = False
    wait: bool = True  # start the clock when the first reader listens, not before


@dataclass(slots=True)
class Summary:
    """What was played; `seconds` is wall-clock time, `played_s` seconds of play, a sentence a line beginning with $."""

    bytes_sent: int = 0
    sentences_sent: int = 0
    bytes_unheard: int = 0
    bytes_left_unread: int = 0
    obd_requests: int = 0
    seconds: float = 0.0
    played_s: float = 0.0
    ended: str = "stopped"  # or "end": everything was played


class Player:
    """One play on one or two ports. `run` returns at the end of the events or when `stop()` says so."""

    def __init__(
        self, events: Iterator[Event], gnss: PtyPort | None, obd: PtyPort | None, adapter: Elm327, manners: Manners
    ) -> None:
        self.summary = Summary()
        self._gnss, self._obd = gnss, obd
        self._leader = gnss or obd  # the port whose reader starts and stops the clock
        self._adapter = adapter
        self._manners = manners
        self._clock = PlayClock(manners.speed)
        self._started = manners.realtime and not manners.wait
        self._to_gnss, self._to_obd = bytearray(), bytearray()
        self._last_sent = b"\n"
        self._blocked_since: float | None = None
        self._done_since: float | None = None
        self._car = CarSnapshot(ecu_awake=False)
        self._events = events
        self._next = next(events, None)
        self._last_taken_s = 0.0
        while isinstance(self._next, CarAt) and self._next.t_s <= 0:  # the car stands there before the clock starts
            self._car, self._next = self._next.car, next(events, None)

    @property
    def waits_for_reader(self) -> bool:
        """Whether the play stands still because nobody listens."""
        return self._clock.is_held and self._leader is not None and not self._leader.is_listening

    def run(self, stop: Callable[[], bool], watch: Callable[["Player"], None]) -> Summary:
        """Play; `watch` is called in every round and may look at `summary` and `waits_for_reader`."""
        began = time.monotonic()
        ports = [port for port in (self._gnss, self._obd) if port is not None]
        while not stop() and not self._is_over(time.monotonic()):
            now = time.monotonic()
            self._serve_adapter(now)
            self._hear_receiver_port()
            self._keep_time(now)
            self._take_due_events(now)
            self._send_to_receiver_port(now)
            self.summary.obd_requests = self._adapter.requests
            self.summary.seconds = now - began
            self.summary.played_s = self._position_s(now)
            watch(self)
            wait_for_bytes(ports, self._sleep_s(now))
        if self._gnss is not None:
            self.summary.bytes_left_unread = self._gnss.unread() + len(self._to_gnss)
        return self.summary

    def _serve_adapter(self, now: float) -> None:
        if self._obd is None:
            return
        was_open = self._obd.is_open
        self._to_obd += self._adapter.feed(self._obd.receive(), self._car, self._clock.at(now))
        del self._to_obd[_MAX_WAITING:]  # a client that types and never reads
        if self._obd.is_open:
            del self._to_obd[: self._obd.write(self._to_obd)]
        else:  # a serial line keeps nothing for a listener who is not there
            self._to_obd.clear()
            if was_open:
                self._obd.discard_unread()

    def _hear_receiver_port(self) -> None:
        if self._gnss is None:
            return
        was_open = self._gnss.is_open
        self._gnss.receive()  # what an agent writes to a receiver (its configuration) is not acted on
        if self._manners.realtime and was_open and not self._gnss.is_open:
            self.summary.bytes_unheard += self._gnss.discard_unread()

    def _keep_time(self, now: float) -> None:
        heard = self._leader is None or self._leader.is_listening
        self._started = self._started or heard
        patient_stop = not self._manners.realtime and (not heard or self._is_blocked(now))
        if self._started and not patient_stop:
            self._clock.run(now)
        else:
            self._clock.hold(now)

    def _take_due_events(self, now: float) -> None:
        t_s = self._clock.at(now)
        while self._started and self._next is not None and self._next.t_s <= t_s and len(self._to_gnss) < _MAX_WAITING:
            event, self._next = self._next, next(self._events, None)
            self._last_taken_s = event.t_s
            if isinstance(event, CarAt):
                self._car = event.car
            elif self._gnss is not None:
                self._to_gnss += event.data

    def _send_to_receiver_port(self, now: float) -> None:
        if self._gnss is None or not self._to_gnss:
            return
        if self._gnss.is_listening:
            taken = self._gnss.write(self._to_gnss)
            self.summary.bytes_sent += taken
            self.summary.sentences_sent += (self._last_sent + self._to_gnss[:taken]).count(b"\n$")
            self._last_sent = bytes(self._to_gnss[:taken][-1:]) or self._last_sent
            del self._to_gnss[:taken]
        if self._manners.realtime and self._to_gnss and (not self._gnss.is_listening or self._is_blocked(now)):
            self.summary.bytes_unheard += len(self._to_gnss)
            self._to_gnss.clear()
        if not self._to_gnss:
            self._blocked_since = None
        elif self._blocked_since is None:
            self._blocked_since = now

    def _position_s(self, now: float) -> float:
        """How far the play is: the clock, but never beyond what was taken from the events."""
        return min(self._clock.at(now), self._last_taken_s if self._next is None else self._next.t_s)

    def _is_blocked(self, now: float) -> bool:
        return self._blocked_since is not None and now - self._blocked_since > _SLOW_READER_S

    def _is_over(self, now: float) -> bool:
        """Everything played, and taken by the reader as far as there is one."""
        if self._next is not None or self._to_gnss or self._to_obd:
            return False
        self._done_since = self._done_since or now
        waited_s = now - self._done_since
        reader_is_busy = self._gnss is not None and self._gnss.is_open and self._gnss.unread() > 0
        over = waited_s > _RETRY_S and (not reader_is_busy or (self._manners.realtime and waited_s > _DRAIN_S))
        if over:
            self.summary.ended = "end"
        return over

    def _sleep_s(self, now: float) -> float:
        ports = [port for port in (self._gnss, self._obd) if port is not None]
        if self._to_gnss or self._to_obd or self._next is None:
            longest = _RETRY_S
        elif all(port.is_open for port in ports) and (self._leader is None or self._leader.is_listening):
            longest = _IDLE_S
        else:
            longest = _LOOK_S
        if self._next is not None and not self._clock.is_held:
            longest = min(longest, self._clock.wall_s_until(self._next.t_s, now))
        return max(longest, _SHORTEST_S)
