"""collision: a loss of speed that no brake makes. Pure.

The best road tyres brake at 1.1 g (10.8 m/s2); the hardest braking in the KIT recordings, which hold tests of
emergency braking and ice, is 0.76 g. What counts is the drop between two answers and the time between them. A
fresh-looking speed may be 5 s old where the adapter pauses, so the answer's own time is used, and the longest age
where that is not known. At one answer a second a stop from less than about `LEAST_KMH` cannot be told from braking:
those collisions are missed, and only an accelerometer would see them.

The wheels alone can lie: a locked wheel on ice stops at once while the car slides on, a clone may answer 0 in between,
and a logger may repeat one speed for half a minute and then tell the truth (a drive of the Twizy recordings). So the
low speed has to last `AFTER_S`; wheels and engine must not have stood at the very same values before; and where the
receiver gives a speed it has to have dropped by most of it as well. Where the wheels' speed is not known the
receiver's alone counts, with a wider margin, and the position has to stay where the vehicle stopped.
"""

from collections import deque
from dataclasses import dataclass

from edge_agent.rules.geometry import Position, metres_between
from edge_agent.rules.seen import LocalEvent, Seen

G_MPS2 = 9.80665
BRAKING_G = 1.1
RECEIVER_BRAKING_G = 1.2
LEAST_KMH = 35.0
RECEIVER_LEAST_KMH = 45.0
JITTER_S = 0.1  # of an answer's time
OLDEST_S = 5.0  # of a wheel speed without a time of its own
LONGEST_S = 6.0  # between two answers that are compared
ALIVE_S = 10.0  # no engine turns, and no car rolls, at the very same value for longer
AFTER_S = 5.0
RISE_KMH = 8.0
RECEIVER_SHARE = 0.6
RECEIVER_BEFORE_S = 3.0
STANDING_KMH = 5.0
STAYS_M = 25.0
QUIET_S = 60.0


@dataclass(frozen=True, slots=True)
class _Speed:
    mono_s: float
    kmh: float


@dataclass(frozen=True, slots=True)
class _Drop:
    """A drop that waits for what follows."""

    seen_mono_s: float
    before: _Speed
    after: _Speed
    wheels: bool
    position: Position | None


class Collision:
    """No state: what a restart interrupts is not judged."""

    name = "collision"

    def __init__(self) -> None:
        self._wheel: _Speed | None = None
        self._wheel_same_since_s = 0.0
        self._turning: tuple[float | None, float | None] = (None, None)  # wheels, engine
        self._alive_mono_s = float("-inf")  # when either last changed
        self._receiver: deque[_Speed] = deque()  # the last ten seconds
        self._drop: _Drop | None = None
        self._quiet_until_s = float("-inf")

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, AFTER_S after the drop."""
        alive = self._alive(seen)
        if not alive:
            self._wheel = None
        wheel_drop = self._wheel_drop(seen)
        receiver_drop = self._receiver_drop(seen)
        if self._drop is not None:
            return self._confirm(self._drop, seen)
        if seen.mono_s >= self._quiet_until_s:
            self._drop = wheel_drop or (receiver_drop if seen.wheel_kmh is None else None)
        return None

    def to_state(self) -> object:
        return None

    def restore(self, state: object) -> None:
        """Nothing to take up."""

    def _alive(self, seen: Seen) -> bool:
        """Whether the adapter was telling news until now, this second's left aside: some repeat the old for minutes."""
        alive = seen.mono_s - self._alive_mono_s <= ALIVE_S
        turning = (seen.wheel_kmh, seen.rpm)
        if turning != self._turning:
            self._turning, self._alive_mono_s = turning, seen.mono_s
        return alive

    def _wheel_drop(self, seen: Seen) -> _Drop | None:
        if seen.wheel_kmh is None:
            self._wheel = None
            return None
        if seen.obd_speed_mono_s is None:
            return self._untimed_drop(seen, seen.wheel_kmh)
        before, now = self._wheel, _Speed(seen.obd_speed_mono_s, seen.wheel_kmh)
        self._wheel = now
        if before is None or now.mono_s <= before.mono_s:
            return None
        return _drop(before, now, now.mono_s - before.mono_s, seen, wheels=True)

    def _untimed_drop(self, seen: Seen, kmh: float) -> _Drop | None:
        before, now = self._wheel, _Speed(seen.mono_s, kmh)
        if before is None or before.kmh != kmh:
            self._wheel_same_since_s = seen.mono_s if before is None else before.mono_s
        self._wheel = now
        if before is None:
            return None
        since_s = max(self._wheel_same_since_s, seen.mono_s - OLDEST_S - (seen.mono_s - before.mono_s))
        return _drop(before, now, seen.mono_s - since_s, seen, wheels=True)

    def _receiver_drop(self, seen: Seen) -> _Drop | None:
        if seen.gnss_kmh is None:
            return None
        now = _Speed(seen.mono_s, seen.gnss_kmh)
        before = self._receiver[-1] if self._receiver else None
        self._receiver.append(now)
        while now.mono_s - self._receiver[0].mono_s > RECEIVER_BEFORE_S + AFTER_S + 2.0:
            self._receiver.popleft()
        return _drop(before, now, now.mono_s - before.mono_s, seen, wheels=False) if before else None

    def _confirm(self, drop: _Drop, seen: Seen) -> LocalEvent | None:
        follows_kmh = seen.wheel_kmh if drop.wheels else seen.gnss_kmh
        if follows_kmh is not None and follows_kmh > drop.after.kmh + RISE_KMH:
            self._drop = None
            return None
        if seen.mono_s - drop.seen_mono_s < AFTER_S:
            return None
        self._drop = None
        receiver = self._receiver_fell(drop) if drop.wheels else self._stays(drop, seen)
        if receiver == "denied":
            return None
        self._quiet_until_s = seen.mono_s + QUIET_S
        details = {
            "reason": "wheels" if drop.wheels else "receiver",
            "receiver_speed": receiver,
            "speed_before_kmh": f"{drop.before.kmh:.0f}",
            "speed_after_kmh": f"{drop.after.kmh:.0f}",
            "within_s": f"{drop.after.mono_s - drop.before.mono_s:.1f}",
            "ago_s": f"{seen.mono_s - drop.seen_mono_s:.0f}",
        }
        return LocalEvent("collision", seen.mono_s, details)

    def _receiver_fell(self, drop: _Drop) -> str:
        start_s = drop.seen_mono_s - RECEIVER_BEFORE_S
        recent = [speed.kmh for speed in self._receiver if speed.mono_s >= start_s]
        if len(recent) < 5:
            return "unknown"
        fell_kmh = max(recent[:4]) - min(recent[2:])
        return "confirmed" if fell_kmh >= RECEIVER_SHARE * (drop.before.kmh - drop.after.kmh) else "denied"

    @staticmethod
    def _stays(drop: _Drop, seen: Seen) -> str:
        if seen.wheel_kmh is not None or seen.raw_position is None or drop.position is None:
            return "denied"
        stands = drop.after.kmh <= STANDING_KMH and (seen.gnss_kmh or 0.0) <= STANDING_KMH
        return "confirmed" if stands and metres_between(drop.position, seen.raw_position) <= STAYS_M else "denied"


def _drop(before: _Speed, after: _Speed, between_s: float, seen: Seen, *, wheels: bool) -> _Drop | None:
    fell_kmh = before.kmh - after.kmh
    least_kmh, braking_g = (LEAST_KMH, BRAKING_G) if wheels else (RECEIVER_LEAST_KMH, RECEIVER_BRAKING_G)
    brakes_kmh = braking_g * G_MPS2 * 3.6 * (between_s + JITTER_S)
    if between_s > LONGEST_S or fell_kmh < max(least_kmh, brakes_kmh):
        return None
    return _Drop(seen.mono_s, before, after, wheels, seen.raw_position)
