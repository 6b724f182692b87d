"""The receiver: true motion in, NMEA 0183 4.11 out, with whatever goes wrong; commands in, answers out. Pure.

    motion ─▶ sky ─▶ reception ─▶ navigation ─▶ sentences ─▶ line ─▶ bytes
                        ▲ faults      ▲ faults                 ▲ faults
    bytes written to it ─▶ commands ─▶ casic | ublox | unicore ─▶ Output: how often which sentences

The same settings, motions, faults and commands give the same bytes. Randomness is drawn from a source of its own for
each part, so a fault of one part leaves the draws of the others as they were.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from firmware_sim.receiver import casic, ublox, unicore
from firmware_sim.receiver.commands import Command, CommandReader
from firmware_sim.receiver.forms import FORMS
from firmware_sim.receiver.line import BadLine
from firmware_sim.receiver.navigation import Calendar, Navigator
from firmware_sim.receiver.reception import Reception
from firmware_sim.receiver.sentences import Epoch, Hand, sentence, sentences
from firmware_sim.receiver.settings import NO_FAULTS, Output, ReceiverFaults, ReceiverSettings, output_at_start
from firmware_sim.receiver.sky import InSky, sky
from firmware_sim.roads.motion import Motion

_SKY_S = 15.0  # satellites are placed anew so often: the fastest moves by 0.2 degrees
_SKY_DEG = 0.05  # or when the receiver has moved so far (5 km)

_Answer = Callable[[Output, Command], tuple[Output, bytes]]
_ANSWERS: Mapping[str, _Answer] = MappingProxyType(
    {
        "casic": casic.answer,
        "ublox": ublox.answer_m10,
        "ublox_m8": ublox.answer_m8,
        "unicore": unicore.answer_firebird,
        "unicore_n4": unicore.answer_n4,
    }
)


class Receiver:
    """One receiver, switched on when it is first asked for an epoch; `start_utc` is `t_s` = 0 of the motions."""

    def __init__(self, settings: ReceiverSettings) -> None:
        form = FORMS[settings.make]
        self._settings = settings
        self._hand = Hand(form, *(settings.talkers or form.talkers))
        self._output = output_at_start(settings)
        self._reader = CommandReader()
        self._reception = Reception(settings.seed, settings.start)
        self._navigator = Navigator(settings.seed, was_running=settings.start == "running")
        self._calendar = Calendar(settings.start_in_utc, beidou_only=settings.systems == ("BeiDou",))
        self._line = BadLine(settings.seed)
        self._faults = NO_FAULTS
        self._sky: tuple[tuple[object, ...], list[InSky]] | None = None
        self._place_deg = (0.0, 0.0)
        self._last_index: int | None = None
        self._banner_due = settings.start != "running"
        self._was_spoofed = False

    @property
    def interval_s(self) -> float:
        """Between epochs, as configured now."""
        return self._output.interval_ms / 1000

    @property
    def baud(self) -> int:
        """Of its serial line, as configured now."""
        return self._output.baud

    @property
    def output(self) -> Output:
        """All that commands can change."""
        return self._output

    def epoch(self, motion: Motion, faults: ReceiverFaults = NO_FAULTS) -> list[bytes]:
        """The sentences of one epoch, in the order in which the make sends them.

        May be called more often than the rate: between two epochs it returns nothing. Times must not go back.
        """
        self._faults = faults
        index = int(motion.t_s * 1000 / self._output.interval_ms + 1e-6)
        if index == self._last_index:
            return []
        self._last_index = index
        return self._line.carry(self._epoch(index, motion, faults), faults)

    def heard(self, data: bytes, t_s: float) -> bytes:
        """Bytes that somebody wrote to the receiver, cut anywhere; what it answers at once."""
        answer = _ANSWERS.get(self._settings.make)
        if answer is None:
            return b""
        said = []
        for command in self._reader.feed(data):
            before = self._output
            self._output, reply = answer(before, command)
            said.append(reply)
            if self._output.interval_ms != before.interval_ms:
                self._last_index = None
            if self._output.restart is not None:
                self._restart(self._output.restart, t_s)
        return b"" if self._faults.silent else b"".join(said)

    def _restart(self, start: str, t_s: float) -> None:
        self._output = replace(self._output, restart=None)
        self._reception.restart(start, t_s)
        self._navigator.restart()
        self._banner_due = True

    def _epoch(self, index: int, motion: Motion, faults: ReceiverFaults) -> list[bytes]:
        if self._was_spoofed and not faults.spoofed:
            self._reception.lose_all()  # the strong false signals it followed are gone
        self._was_spoofed = faults.spoofed
        heard = self._reception.step(motion.t_s, self._in_sky(motion), motion.course_deg, faults)
        fix = self._navigator.step(motion, heard, faults)
        told = self._calendar.told(motion.t_s, faults)
        clock = told if self._reception.knows_time(motion.t_s) else None
        wanted = [name for name, every in self._output.every.items() if every and index % every == 0]
        banner = [sentence(line) for line in self._hand.form.banner] if self._banner_due else []
        self._banner_due = False
        return banner + sentences(Epoch(clock, fix, heard, self._output.systems), self._hand, wanted)

    def _in_sky(self, motion: Motion) -> list[InSky]:
        """Placed at whole multiples of 15 s, so that the sky does not depend on when it was asked for."""
        slot = motion.t_s // _SKY_S
        moved = max(abs(motion.lat_deg - self._place_deg[0]), abs(motion.lon_deg - self._place_deg[1])) > _SKY_DEG
        key = (slot, self._output.systems)
        if self._sky is None or self._sky[0] != key or moved:
            self._place_deg = motion.lat_deg, motion.lon_deg
            utc = self._calendar.utc(slot * _SKY_S)
            placed = sky(utc, motion.lat_deg, motion.lon_deg, motion.altitude_m, self._output.systems)
            self._sky = key, placed
        return self._sky[1]
