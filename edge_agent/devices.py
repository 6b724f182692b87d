"""The unit's devices: receiver, adapter, supply, modem. Each has a thread of its own that only hands over what it has.

Instants come from the machine's own monotonic clock; the agent's clock may be another (a test skips hours with it), so
each is carried over by its age.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from edge_agent.car.abilities import WITHOUT_OBD
from edge_agent.car.obd_link import Ask, ObdLink
from edge_agent.car.readings import Reading
from edge_agent.config import UnitConfig
from edge_agent.gnss.cell_position import CellPosition
from edge_agent.gnss.receiver_setup import ReceiverSetup
from edge_agent.ports.finder import PortFinder
from edge_agent.ports.probe import Role
from edge_agent.ports.serial_port import SerialSource
from edge_agent.power.cut import Supply
from edge_agent.power.states import Obd, Plan
from edge_agent.power.supply import SupplyWatch
from edge_agent.rules.seen import ObdPort

_SPEECHLESS_S = 30.0  # bytes, but not one good sentence: this is no receiver, or at another speed
_MUTE_S = 120.0  # an open port and not a byte: a bridge or a modem that hung; opening it again may wake it
_REST_EVERY_S = 60.0  # s between two looks at the adapter's voltage while the car rests
_STRAYS_S = 120.0
_ASK = {Obd.ALL: Ask.ALL, Obd.RESTING: Ask.RESTING, Obd.OFF: Ask.OFF}


@dataclass(frozen=True, slots=True)
class Hands:
    """What is called with what the devices say, from their threads; instants are the agent's clock, s."""

    on_gnss: Callable[[bytes, float], None]
    on_gnss_silence: Callable[[float], None]
    on_reading: Callable[[Reading], None]
    on_supply: Callable[[Supply, float], None]
    on_supply_measured: Callable[[float, float | None, float | None], None]  # mono_s, V, mA


class Devices:
    """Started and stopped together. `is_safe`: after a crash loop, the receiver alone."""

    def __init__(
        self,
        config: UnitConfig,
        now_s: Callable[[], float],
        hands: Hands,
        wants_fallback: Callable[[], bool],
        is_safe: bool,
    ) -> None:
        """`wants_fallback` is asked from a thread: whether GNSS has been silent for long enough.

        Raises:
            ConfigError: the fallback's list of cells cannot be read.
        """
        self._now_s, self._hands = now_s, hands
        self._finder = PortFinder(config.ports, config.state_dir / "ports.json")
        self._gnss = SerialSource(
            self._finder.seek(Role.GNSS, config.gnss.port, config.gnss.baud),
            on_bytes=lambda data, mono_s: hands.on_gnss(data, self._here(mono_s)),
            on_silence=lambda mono_s: hands.on_gnss_silence(self._here(mono_s)),
            name="gnss",
        )
        self._obd = None
        if config.obd is not None and not is_safe:
            find = self._finder.seek(Role.OBD, config.obd.port, config.obd.baud)
            self._obd = ObdLink(
                find, on_reading=lambda each: hands.on_reading(replace(each, mono_s=self._here(each.mono_s)))
            )
        self._receiver = ReceiverSetup(config.receiver)
        self._is_safe = is_safe
        self.fallback = None if is_safe else CellPosition.from_settings(config.fallback, wants_fallback)
        self._supply = SupplyWatch(
            config.power,
            on_supply=lambda supply: hands.on_supply(
                replace(supply, since_s=self._here(supply.since_s)), self._here(time.monotonic())
            ),
            on_volts=lambda volts, mono_s: hands.on_supply_measured(self._here(mono_s), volts, None),
            on_current=lambda current_ma, mono_s: hands.on_supply_measured(self._here(mono_s), None, current_ma),
        )
        self._asked = Ask.ALL
        self._strayed_s = float("inf")  # since when the link asks more than it was told to
        self._good = self._bytes_then = self._opened = 0
        # When the receiver was last as it should be; nothing is doubted before the first look.
        self._good_s = float("inf")

    def start(self) -> None:
        """Begin to listen."""
        self._finder.start()
        self._gnss.start()
        self._supply.start()
        for device in (self._obd, self.fallback):
            if device is not None:
                device.start()

    def stop(self) -> None:
        """End every thread, all at once; each takes a second or two at most, with a driver that hangs."""
        devices = (self._gnss, self._obd, self.fallback, self._supply, self._finder)
        leaving = [threading.Thread(target=each.stop, daemon=True) for each in devices if each is not None]
        for each in leaving:
            each.start()
        for each in leaving:
            each.join(2.0)

    def on_gnss_heard(self, data: bytes, mono_s: float) -> None:
        """What the receiver said, for setting it up."""
        if not self._is_safe:
            self._receiver.feed(data, mono_s)

    def tend(self, plan: Plan, good_sentences: int, mono_s: float) -> None:
        """Once a second: ask the car as much as the plan allows, set the receiver up, doubt one without NMEA."""
        if self._obd is not None:
            self._ask(self._obd, _ASK[plan.obd], mono_s)
        if self._gnss.counts.opened != self._opened:  # it may be another receiver, or the same without its set-up
            self._opened = self._gnss.counts.opened
            self._receiver.restart()
        if words := self._receiver.due(mono_s):
            self._gnss.write(words)
        heard = self._gnss.counts.bytes_in
        if good_sentences != self._good or self._gnss.state != "open" or self._good_s > mono_s:
            self._good, self._bytes_then, self._good_s = good_sentences, heard, mono_s
            return
        longest_s, what = (_MUTE_S, "not a byte") if heard == self._bytes_then else (_SPEECHLESS_S, "no NMEA sentence")
        if mono_s - self._good_s >= longest_s:
            self._bytes_then, self._good_s = heard, mono_s
            self._finder.doubt(Role.GNSS, f"{what} in {longest_s:.0f} s")
            self._gnss.reopen()

    def _ask(self, obd: ObdLink, wish: Ask, mono_s: float) -> None:
        """Ask so much. A resting link asks everything by itself when the voltage rises: a while later, if that was no
        start but a charger or a door, it is to rest again."""
        strays = wish is self._asked and obd.asked_for is not wish
        self._strayed_s = min(self._strayed_s, mono_s) if strays else float("inf")
        if wish is not self._asked or mono_s - self._strayed_s >= _STRAYS_S:
            self._asked, self._strayed_s = wish, float("inf")
            obd.ask(wish, _REST_EVERY_S)

    @property
    def gnss_state(self) -> str:
        """For a person."""
        return (
            self._gnss.state if self._gnss.state == "open" else f"{self._gnss.state}; {self._finder.state(Role.GNSS)}"
        )

    @property
    def receiver_state(self) -> str:
        """How far the receiver is set up."""
        return self._receiver.state

    @property
    def obd_state(self) -> str:
        """For a person."""
        if self._obd is None:
            return "none configured"
        waits = self._obd.state.startswith("waiting")
        return f"{self._obd.state}; {self._finder.state(Role.OBD)}" if waits else self._obd.state

    @property
    def obd_port(self) -> ObdPort:
        """For the rules."""
        if self._obd is None:
            return "none configured"
        if self._obd.state == "querying":
            return "answering"
        if self._asked is Ask.OFF:  # nobody looks, so nobody knows of an adapter that is gone
            return "car silent"
        return "no adapter" if self._obd.hello is None else "car silent"

    @property
    def abilities(self) -> dict[str, str]:
        """What the car and its adapter can tell."""
        return dict(WITHOUT_OBD if self._obd is None else self._obd.abilities.told())

    @property
    def counts(self) -> dict[str, int]:
        """Under the names that travel to the server."""
        told = {"gnss.port_opened": self._gnss.counts.opened, "gnss.port_lost": self._gnss.counts.lost}
        if self._obd is not None:
            its = self._obd.counts
            told |= {
                "obd.spawned": its.spawned,
                "obd.killed_silent": its.killed_silent,
                "obd.refused": its.refused_lines + its.refused_values,
            }
        return told

    def _here(self, mono_s: float) -> float:
        return self._now_s() - (time.monotonic() - mono_s)
