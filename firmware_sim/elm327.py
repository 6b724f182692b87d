"""An adapter that takes no time: bytes typed in, the whole answer out. For players that keep no time of their own.

It is firmware_sim/adapter/ without pace; what it says is said there. Any chunking of the input gives the same output.
"""

from dataclasses import dataclass, replace

from firmware_sim.adapter.adapter import Adapter
from firmware_sim.adapter.profile import AdapterFaults
from firmware_sim.adapter.profiles import PROFILES
from firmware_sim.adapter.settings import Settings
from firmware_sim.j1979 import CarSnapshot


@dataclass(frozen=True, slots=True)
class Quirks:
    """How this adapter differs from a good one; the defaults are a good one."""

    version: str = "ELM327 v1.5"
    silent_after_s: float | None = None  # from this second on nothing is answered, not even echoed: a hung adapter


GENUINE = Quirks()


class Elm327:
    """The good v1.5 adapter, at once."""

    def __init__(self, quirks: Quirks = GENUINE) -> None:
        self._silent_after_s = quirks.silent_after_s
        self._adapter = Adapter(replace(PROFILES["elm327_v15"], version=quirks.version, pace=None))

    @property
    def settings(self) -> Settings:
        return self._adapter.settings

    @property
    def requests(self) -> int:
        """OBD requests answered or refused so far."""
        return self._adapter.requests

    def feed(self, data: bytes, car: CarSnapshot, now_s: float) -> bytes:
        """Bytes from the client → bytes to the client, with the car as it is at `now_s` seconds of play."""
        if self._silent_after_s is not None and now_s >= self._silent_after_s:
            self._adapter.faults = AdapterFaults(hung=True)
        self._adapter.feed(data, car, now_s)
        return self._adapter.due(now_s)
