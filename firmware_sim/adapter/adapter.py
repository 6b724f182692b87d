"""One adapter while it runs: bytes typed in with the car as it is then, bytes out when they have left.

Source: Elm Electronics, ELM327 data sheet. Like the chip, it keeps its settings, the half-typed command, the protocol
in its EEPROM and what waits in its UART; a byte that is typed while the car is asked stops the asking. No I/O and no
clock: time is an argument, counts up, and any chunking of the same bytes at the same times gives the same output.
"""

import math
import random
import re
from collections import deque
from dataclasses import replace

from firmware_sim.adapter.asking import Step, ask, cut_after
from firmware_sim.adapter.commands import LEVELS, UNKNOWN, Act, Done, Looks, run_at
from firmware_sim.adapter.profile import NO_FAULTS, AdapterFaults, Pace, Profile
from firmware_sim.adapter.settings import Settings
from firmware_sim.adapter.st_commands import run_st, sent_by
from firmware_sim.j1979 import CarSnapshot

_MAX_COMMAND = 256  # characters the adapter can hold before the carriage return
_BITS = 10  # a byte on the line, with start and stop bit


class Adapter:
    """One adapter of `profile`. `faults` may be changed at any time and works from the next call on.

    `feed` with no bytes tells it how the car is: a supply that dips between two commands is seen only so.
    """

    def __init__(self, profile: Profile, faults: AdapterFaults = NO_FAULTS, seed: int = 0) -> None:
        self.profile = profile
        self.faults = faults
        self.settings = Settings(echo=profile.echo_at_reset)
        self.requests = 0  # OBD requests answered or refused so far
        self.clears = 0  # how often the car was told to forget its trouble codes (service 04) and agreed
        self._rng = random.Random(f"adapter {profile.name} {seed}")  # noqa: S311 - repeatable on purpose
        self._out: deque[tuple[float, float, bytes]] = deque()  # left the chip at, arrives at, bytes
        self._free_s = -math.inf  # when the chip's UART has sent what it has
        self._asks_until_s = -math.inf  # so long a typed byte stops the car's answer
        self._ready_s = -math.inf  # when the next command can begin
        self._deaf_until_s = -math.inf
        self._last_left = 0x0D  # the last byte that `due` gave away
        self._stored_protocol: tuple[str, bool] = ("0", True)
        self._blocked = ""  # what keeps the chip from working: "off", "dip", "hung"
        self._locked_up = False  # by a fault of its own
        self._sleeps = False
        self._powered_requests = 0
        self._battery_v = math.inf
        self._new_command()
        self._last = ""
        self._last_sent = b""

    def feed(self, data: bytes, car: CarSnapshot, t_s: float) -> None:
        """Bytes typed by the client at `t_s`, with the car as it is then."""
        self._battery_v = car.battery_v
        self._notice(t_s)
        for byte in data:
            if not (self._blocked or self._locked_up):
                self._hear(byte, car, t_s)

    def due(self, t_s: float) -> bytes:
        """What has arrived at the client's end by `t_s`, since the last call."""
        self._notice(t_s)
        arrived = bytearray()
        while self._out and self._out[0][1] <= t_s:
            arrived += self._out.popleft()[2]
        self._last_left = arrived[-1] if arrived else self._last_left
        return bytes(arrived)

    def next_s(self) -> float | None:
        """When `due` will have something; None: not before something is typed or befalls it."""
        return self._out[0][1] if self._out else None

    # Power

    def _notice(self, t_s: float) -> None:
        """A chip that lost its power or hangs says nothing more, and begins anew when that is over."""
        faults = self.faults
        dips = faults.brown_out or self._battery_v < self.profile.brown_out_v
        blocked = "off" if faults.unplugged else "dip" if dips else "hung" if faults.hung else ""
        if blocked and not self._blocked:
            self._forget_unsent(t_s)
        elif self._blocked and not blocked:
            self._begin_anew(t_s, "LV RESET" if self._blocked == "dip" and self.profile.says_low_voltage else "")
        self._blocked = blocked

    def _begin_anew(self, t_s: float, says: str = "") -> None:
        self._locked_up = self._sleeps = False
        self._powered_requests = 0
        self._forget_unsent(t_s)
        self._restart(t_s, self._lines("", "", says or self.profile.version))

    def _restart(self, t_s: float, banner: str) -> None:
        """Settings as after power-on; what is typed before the banner is not heard."""
        self._reset()
        self._answer([Step(self._paced(self._pace.reset_s), banner)], t_s)
        self._deaf_until_s = t_s + self._paced(self._pace.reset_s)

    def _reset(self) -> None:
        protocol, automatic = self._stored_protocol
        self.settings = Settings(echo=self.profile.echo_at_reset, protocol=protocol, automatic=automatic)
        self._new_command()
        self._last = ""
        self._asks_until_s = -math.inf

    def _forget_unsent(self, t_s: float) -> None:
        self._out = deque(each for each in self._out if each[0] <= t_s)
        self._free_s = min(self._free_s, t_s)
        self._asks_until_s = self._ready_s = -math.inf

    # Typing

    def _new_command(self) -> None:
        self._typed = bytearray()
        self._overflow = False

    def _hear(self, byte: int, car: CarSnapshot, t_s: float) -> None:
        if self._sleeps:  # the byte only wakes it
            self._sleeps = False
            self._begin_anew(t_s)
            return
        if t_s < self._deaf_until_s:
            return
        if t_s < self._asks_until_s and byte not in b"\0\n":
            self._stop(t_s)  # and the byte is lost
            return
        at_s = max(t_s, self._ready_s)
        if (self.settings.echo or self.faults.echo_stuck) and byte:
            echo = bytes((byte,)) + (b"\n" if byte == 0x0D and self.settings.linefeeds else b"")
            self._send(echo * 2 if self.profile.echo_twice and byte != 0x0D else echo, at_s)
        if byte == 0x0D:
            self._run(car, at_s)
        elif byte > 0x20:  # spaces, NUL and control characters are ignored
            self._typed.append(byte)
            if len(self._typed) > _MAX_COMMAND:
                self._typed.clear()
                self._overflow = True

    def _stop(self, t_s: float) -> None:
        """What has not left is dropped; a line that was begun is ended first."""
        self._forget_unsent(t_s)
        last = self._out[-1][2][-1] if self._out else self._last_left
        self._answer([Step(0.0, ("" if last in b"\r\n>" else self._eol) + self._lines("STOPPED"))], t_s)

    # Commands

    def _run(self, car: CarSnapshot, t_s: float) -> None:
        command = self._typed.upper().decode("latin-1")
        overflow = self._overflow
        self._new_command()
        if overflow:
            command = UNKNOWN
        command = command or self._last  # a lone carriage return repeats
        self._last = "" if overflow else command
        if command.startswith(("AT", "ST")):
            self._configure(command, car, t_s)
        else:
            self._request(command, car, t_s)

    def _configure(self, command: str, car: CarSnapshot, t_s: float) -> None:
        profile, rest = self.profile, command[2:]
        if profile.locks_up_at and re.fullmatch(profile.locks_up_at, rest):
            self._locked_up = True
            return
        if profile.mute and re.fullmatch(profile.mute, rest):
            return
        looks = Looks(car, profile.version, profile.device, self._last_sent, profile.chip or "")
        if profile.ignored and re.fullmatch(profile.ignored, rest):
            done = Done(self.settings)
        elif profile.refused and re.fullmatch(profile.refused, rest):
            done = Done(self.settings, (UNKNOWN,))
        elif command.startswith("AT"):
            done = run_at(rest, LEVELS.index(profile.level), self.settings, looks)
        elif profile.chip is None:
            done = Done(self.settings, (UNKNOWN,))
        elif (sent := sent_by(rest)) is not None:
            self._request(sent[1], car, t_s, header=sent[0])
            return
        else:
            done = run_st(rest, self.settings, looks)
        self._carry_out(done, t_s)

    def _carry_out(self, done: Done, t_s: float) -> None:
        self.settings = done.settings
        if done.act is Act.RESET:
            self._restart(t_s, self.profile.lead.decode("latin-1") + self._lines("", "", self.profile.version))
            return
        if done.act is Act.MONITOR:  # the connectors of cars sit behind a gateway, where nothing is to be heard
            self._asks_until_s = self._ready_s = math.inf
            return
        if done.act is Act.STORE_PROTOCOL:
            self._stored_protocol = (self.settings.protocol, self.settings.automatic)
        if done.act is Act.DEFAULTS:
            self._reset()
        self._answer([Step(self._paced(self._pace.command_s), self._lines(*done.lines))], t_s)
        self._sleeps = done.act is Act.SLEEP

    def _request(self, command: str, car: CarSnapshot, t_s: float, header: int | None = None) -> None:
        """Hex digits are sent to the car; an odd last digit says how many response frames to wait for."""
        if not re.fullmatch(r"[0-9A-F]{2,17}", command) or len(command) // 2 > (7 if self.settings.formatting else 8):
            self._answer([Step(self._paced(self._pace.command_s), self._lines(UNKNOWN))], t_s)
            return
        self.requests += 1
        self._powered_requests += 1
        if self._powered_requests == self.profile.hangs_after_requests:
            self._locked_up = True
            return
        even = len(command) // 2 * 2
        limit = int(command[even:], 16) if command[even:] else None
        settings = self.settings if header is None else replace(self.settings, header=header)
        self._last_sent = bytes.fromhex(command[:even])[: self.profile.request_bytes]
        asked = ask(self._last_sent, limit, settings, car, self.profile, self.faults, self._rng)
        self.settings = asked.settings if header is None else replace(asked.settings, header=self.settings.header)
        if asked.found_protocol and self.settings.memory:
            self._stored_protocol = (self.settings.protocol, True)
        self.clears += asked.cleared
        steps = [Step(self._paced(step.wait_s), step.text.replace("\n", self._eol)) for step in asked.steps]
        if self.profile.freezes_after_chars is not None:
            steps, self._locked_up = cut_after(steps, self.profile.freezes_after_chars)
        self._answer(steps, t_s, of_car=True)

    # Sending

    @property
    def _pace(self) -> Pace:
        return self.profile.pace or Pace()  # of which `_paced` makes nothing

    def _paced(self, seconds: float) -> float:
        return seconds if self.profile.pace else 0.0

    @property
    def _eol(self) -> str:
        return "\r\n" if self.settings.linefeeds else "\r"

    def _lines(self, *lines: str) -> str:
        return "".join(line + self._eol for line in lines)

    def _answer(self, steps: list[Step], t_s: float, *, of_car: bool = False) -> None:
        """Send what the steps print, each when its waiting is over, and the prompt."""
        profile, faults = self.profile, self.faults
        at_s = t_s + self._paced(self._pace.link_s) + faults.late_s
        for step in steps:
            at_s += step.wait_s
            text = step.text
            late = step is steps[-1] and self._rng.random() < profile.late_prompt_share and text.endswith(self._eol)
            self._send((text.removesuffix(self._eol) if late else text).encode("latin-1"), at_s, of_car=of_car)
            if late:
                at_s += self._paced(profile.late_prompt_s)
                self._send(self._eol.encode(), at_s)
        dropped = self._rng.random() < max(profile.drop_prompt_share, faults.drop_prompt_share)
        if not self._locked_up:
            self._send((self._eol + ("" if dropped else ">")).encode(), at_s)
        self._asks_until_s = max(self._free_s, at_s) if of_car else -math.inf
        self._ready_s = max(self._free_s, at_s)

    def _send(self, data: bytes, at_s: float, *, of_car: bool = False) -> None:
        """Into the UART's buffer at `at_s`; it leaves at the line's rate, and arrives with its packet."""
        if not data:
            return
        if self.profile.pace is None and self.faults is NO_FAULTS:  # many a player types thousands of commands a second
            self._free_s = max(self._free_s, at_s)
            self._out.append((self._free_s, self._free_s, data))
            return
        drops = max(self.faults.drop_byte_share, self.profile.drop_byte_share if of_car else 0.0)
        for byte in data:
            said = byte
            if drops and self._rng.random() < drops:
                continue
            if self.faults.garbage_share and self._rng.random() < self.faults.garbage_share:
                said = self._rng.randrange(256)
            self._free_s = max(self._free_s, at_s) + self._paced(_BITS / self._pace.baud)
            packet_s = self._pace.packet_s if self.profile.pace else 0.0
            arrives_s = math.ceil(self._free_s / packet_s - 1e-9) * packet_s if packet_s else self._free_s
            self._out.append((self._free_s, arrives_s, bytes((said,))))
