"""tow: the vehicle moves with its engine off. Pure.

Off means that the engine was found to be off, that no wheel turns by the car's own word, and that no shaft turns: a
hybrid drives at 0 rpm, so rpm alone proves nothing. A vehicle that has just parked still seems to move, because
receivers smooth and slow links lag (up to 36 s in the Twizy recordings), so the place where it stands is taken only
after `SETTLE_S`. From there it must have gone further than parked receivers wander, and be seen on its way:

- fast: at the receiver's own speed (Doppler, which does not wander) for most of half a minute and over `FAST_M`;
- slow, or without a Doppler speed: three or more fixes over a minute, all further than `SLOW_M`, and still going
  further.

A jump is no way: a fix that implies more than `JUMP_MPS`, or that comes after a pause of `PAUSE_S`, becomes the new
standing place instead, because half of all long pauses end elsewhere for honest reasons. A unit that sleeps through a
tow tells the server so by its next position, and the server judges that.
"""

from collections import deque

from edge_agent.rules.geometry import Position, metres_between
from edge_agent.rules.lasting import Lasting
from edge_agent.rules.seen import LocalEvent, Seen

SETTLE_S = 120.0
PAUSE_S = 60.0
JUMP_M = 120.0
JUMP_MPS = 50.0
WAY_S = 90.0  # how much of the way is kept
FAST_S = 30.0
FAST_KMH = 7.0
FAST_SHARE = 0.7
FAST_M = 80.0
SLOW_M = 150.0
SLOW_S = 60.0
SLOW_FIXES = 3


class Tow:
    """State: whether this tow was told; the engine running or wheels turning arm it again."""

    name = "tow"

    def __init__(self) -> None:
        self._told = False
        self._settling = Lasting()
        self._stand: Position | None = None
        self._way: deque[tuple[float, float, float | None]] = deque()  # mono_s, m from the stand, km/h; WAY_S long
        self._last: Position | None = None
        self._last_mono_s = 0.0

    def step(self, seen: Seen) -> LocalEvent | None:
        """The event, once until the car runs again."""
        if seen.engine == "running" or seen.wheels_turn:
            self._told = False
        off = seen.engine == "off" and not seen.wheels_turn
        settled_s = self._settling.step(off, seen.mono_s)
        if settled_s is None or settled_s < SETTLE_S or seen.raw_position is None:
            if settled_s is None or settled_s < SETTLE_S:
                self._stand = None
            return None
        self._follow(seen.raw_position, seen.mono_s, seen.gnss_kmh)
        if self._told:
            return None
        moves = self._fast() or self._slow()
        if moves is None:
            return None
        self._told = True
        details = {
            "reason": moves,
            "moved_m": f"{self._way[-1][1]:.0f}",
            "engine_off_s": f"{settled_s:.0f}",
            "adapter": seen.obd_port,
        }
        if seen.gnss_kmh is not None:
            details["speed_kmh"] = f"{seen.gnss_kmh:.0f}"
        return LocalEvent("tow", seen.mono_s, details)

    def to_state(self) -> object:
        return self._told

    def restore(self, state: object) -> None:
        self._told = state is True

    def _follow(self, position: Position, mono_s: float, kmh: float | None) -> None:
        if self._stand is None or self._last is None or self._jumped(position, mono_s):
            self._stand = position
            self._way.clear()
        if position != self._last:
            self._last, self._last_mono_s = position, mono_s
        elif kmh is None:
            return  # the same fix again
        self._way.append((mono_s, metres_between(self._stand, position), kmh))
        while mono_s - self._way[0][0] > WAY_S:
            self._way.popleft()

    def _jumped(self, position: Position, mono_s: float) -> bool:
        assert self._last is not None
        paused_s = mono_s - self._last_mono_s
        gone_m = metres_between(self._last, position)
        return gone_m > JUMP_M and (paused_s > PAUSE_S or gone_m > JUMP_MPS * paused_s)

    def _fast(self) -> str | None:
        now_s, gone_m, _ = self._way[-1]
        recent = [each for each in self._way if now_s - each[0] <= FAST_S]
        moving = sum(each[2] is not None and each[2] >= FAST_KMH for each in recent)
        whole = now_s - recent[0][0] >= FAST_S - 6.0  # receivers that tell a position every five seconds
        further = gone_m - recent[0][1] >= FAST_M / 2
        return "moving_fast" if whole and further and gone_m >= FAST_M and moving >= FAST_SHARE * len(recent) else None

    def _slow(self) -> str | None:
        recent = [each for each in self._way if self._way[-1][0] - each[0] <= SLOW_S + 15.0]
        away = [each for each in recent if each[1] >= SLOW_M]
        if len(away) < SLOW_FIXES or len(away) < len(recent) or away[-1][0] - away[0][0] < SLOW_S:
            return None
        return "moving_slowly" if away[-1][1] - away[0][1] >= SLOW_M / 10 else None
