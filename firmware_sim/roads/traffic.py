"""How full the streets are at which hour, and what that does to speeds. Pure.

The travel time on a full street is t = t0 (1 + 0.15 x^4) with x the volume over the capacity (Bureau of Public Roads,
Traffic Assignment Manual, 1964). Volumes follow the two peaks of a Chinese working day, 7 to 9 and 17 to 19 o'clock;
over x = 1 there are queues as well, in which cars crawl.
"""

from dataclasses import dataclass

# Volume over capacity at each full hour of a working day and of a day off, local time.
_WORKDAY: tuple[float, ...] = (0.15, 0.1, 0.1, 0.1, 0.15, 0.3, 0.7, 1.25, 1.4, 1.0, 0.85, 0.9)
_WORKDAY += (0.9, 0.85, 0.85, 0.9, 1.0, 1.3, 1.45, 1.1, 0.8, 0.65, 0.45, 0.25)
_DAY_OFF: tuple[float, ...] = (0.2, 0.15, 0.1, 0.1, 0.1, 0.15, 0.25, 0.4, 0.6, 0.8, 1.0, 1.0)
_DAY_OFF += (0.9, 0.9, 1.0, 1.05, 1.1, 1.1, 1.0, 0.9, 0.8, 0.65, 0.45, 0.3)
CRAWL_MPS = 2.5


@dataclass(frozen=True, slots=True)
class Traffic:
    """`speed`: times the free flow's; `queue_share`: of the stretches before lights, how many are queues;
    `red_share`: of the lights, how many stop the car (in a queue green does not help)."""

    speed: float
    queue_share: float
    red_share: float


def traffic(hour: float, day_off: bool = False) -> Traffic:
    """At `hour` (0 to 24, local time), linear between the full hours."""
    table = _DAY_OFF if day_off else _WORKDAY
    whole, part = int(hour) % 24, hour % 1.0
    fullness = table[whole] + (table[(whole + 1) % 24] - table[whole]) * part
    queue_share = min(0.5, max(0.0, fullness - 0.9))
    return Traffic(1 / (1 + 0.15 * fullness**4), queue_share, min(0.75, 0.25 + 0.25 * fullness))
