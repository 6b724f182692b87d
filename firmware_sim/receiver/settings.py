"""What a simulated receiver is made of, and everything that can go wrong with it. Pure: values only."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType

SENTENCES = ("RMC", "VTG", "GGA", "GSA", "GSV", "GLL", "GNS", "ZDA", "TXT")
SYSTEMS = ("GPS", "BeiDou", "GLONASS", "Galileo")
MAKES = ("generic", "casic", "ublox", "ublox_m8", "unicore", "unicore_n4")
STARTS = ("running", "hot", "warm", "cold")
POSITION_TALKERS = ("GN", "GP", "BD", "GB")
BEIDOU_TALKERS = ("GB", "BD")
BAUDS = (4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 100, 10_000

# What each make sends when nobody has told it anything: the default mix of its data sheet, or of the transcript named
# in forms.py. N4 receivers are silent from the factory; boards are sold with these three saved.
DEFAULT_SENTENCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "generic": ("RMC", "VTG", "GGA", "GSA", "GSV"),
        "casic": ("GGA", "GLL", "GSA", "GSV", "RMC", "VTG", "ZDA", "TXT"),
        "ublox": ("RMC", "VTG", "GGA", "GSA", "GSV", "GLL"),
        "ublox_m8": ("RMC", "VTG", "GGA", "GSA", "GSV", "GLL"),
        "unicore": ("RMC", "GGA", "GSA", "GSV"),
        "unicore_n4": ("GGA", "RMC", "GSV"),
    }
)


class SettingsError(Exception):
    """Settings that no receiver can have; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class ReceiverSettings:
    """`[receiver]` of a scenario. A wrong value is refused with SettingsError when it is made.

    `make`: whose sentences, banner and configuration protocol: "casic" (AT6558R, URANUS5 firmware), "ublox" (M10,
    UBX-CFG-VALSET), "ublox_m8" (UBX-CFG-MSG), "unicore" (UFirebird, UM620 series), "unicore_n4" (UM980); "generic"
    answers nothing. `start`: "running" had its fix long before; "hot" has time and fresh ephemerides, "warm" time and
    almanac, "cold" nothing. `talkers`: of positions, and of BeiDou's satellites; None: those of the make. `sentences`:
    which types it sends from the start; None: the default mix of the make.
    """

    seed: int
    start_utc: datetime
    make: str = "generic"
    talkers: tuple[str, str] | None = None
    rate_hz: float = 1.0
    sentences: tuple[str, ...] | None = None
    baud: int = 115200
    start: str = "hot"
    systems: tuple[str, ...] = ("GPS", "BeiDou")

    def __post_init__(self) -> None:
        for value, allowed, what in (
            (self.make, MAKES, "make"),
            (self.start, STARTS, "start"),
            (self.baud, BAUDS, "baud"),
            *((name, SENTENCES, "sentence") for name in self.sentences or ()),
            *((name, SYSTEMS, "system") for name in self.systems),
            *zip(
                self.talkers or (),
                (POSITION_TALKERS, BEIDOU_TALKERS),
                ("position talker", "BeiDou talker"),
                strict=False,
            ),
        ):
            if value not in allowed:
                raise SettingsError(
                    f"{value!r} is no {what} of a receiver: it is one of {', '.join(map(str, allowed))}."
                )
        if self.talkers is not None and len(self.talkers) != 2:
            raise SettingsError("The talkers are two: of positions, and of BeiDou's satellites.")
        if not self.systems or len(set(self.systems)) != len(self.systems):
            raise SettingsError("A receiver uses at least one satellite system, and each once.")
        if not MIN_INTERVAL_MS <= self.interval_ms <= MAX_INTERVAL_MS:
            raise SettingsError("A receiver's rate is from 0.1 to 10 Hz.")
        if self.start_utc.utcoffset() is None:
            raise SettingsError("The start of a receiver is told in UTC, with its zone.")

    @property
    def interval_ms(self) -> int:
        return round(1000 / self.rate_hz) if self.rate_hz > 0 else 0

    @property
    def start_in_utc(self) -> datetime:
        return self.start_utc.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class ReceiverFaults:
    """What goes wrong at this moment; all off by default. The receiver faults of the scenario schema.

    A field that changes takes effect with the next epoch. "On" is any value but the default.
    """

    jammed: float = 0.0  # 0 to 1: a jammer costs every satellite 60 dB times this; from 0.6 on nothing is tracked
    tunnel: bool = False  # no signal at all; satellites are found again afterwards, one by one
    canyon: float = 0.0  # 0 to 1: how high houses stand on both sides of the street (1: up to 75 degrees)
    multipath_m: float = 0.0  # standard deviation (1 sigma, each horizontal axis) of an added, slowly changing error
    spoof_jump_m: tuple[float, float] = (0.0, 0.0)  # east, north: the place told is displaced at once
    spoof_drag_mps: tuple[float, float] = (0.0, 0.0)  # east, north: the place told drifts away, from when it began
    frozen: bool = False  # place, speed, course and height stay as they were; time and status go on
    week_rollovers: int = 0  # told dates are so many cycles too early: GPS 1024 weeks; BeiDou 8192 if it is used alone
    leap_second: bool = False  # the next UTC midnight is preceded by 23:59:60; all later times are one second behind
    corrupt_share: float = 0.0  # 0 to 1: of the sentences, in which one to three bytes are other ones
    half_sentences_share: float = (
        0.0  # 0 to 1: of the sentences, which break off somewhere, the next one follows at once
    )
    silent: bool = False  # nothing is sent, nothing answered; the receiver goes on inside
    noise_bytes: int = 0  # so many random bytes before each epoch, as of another protocol or a wrong line speed

    def __post_init__(self) -> None:
        for name in ("jammed", "canyon", "corrupt_share", "half_sentences_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is from 0 to 1.")
        if not 0 <= self.multipath_m <= 1000 or not 0 <= self.noise_bytes <= 4096:
            raise SettingsError("multipath_m is from 0 to 1000, noise_bytes from 0 to 4096.")
        for name, limit in (("spoof_jump_m", 2e7), ("spoof_drag_mps", 100.0)):
            pair = getattr(self, name)
            if len(pair) != 2 or not all(math.isfinite(part) and abs(part) <= limit for part in pair):
                raise SettingsError(f"{name} is two numbers, east and north, of at most {limit:g}.")

    @property
    def spoofed(self) -> bool:
        return any(self.spoof_jump_m) or any(self.spoof_drag_mps)


NO_FAULTS = ReceiverFaults()


@dataclass(frozen=True, slots=True)
class Output:
    """What the receiver was told to do, as configuration commands change it.

    `every`: sentence type → how many epochs from one to the next, counted from `start_utc` (0: never). `restart`: a
    start that a command asked for, until it is carried out.
    """

    interval_ms: int
    every: Mapping[str, int]
    systems: tuple[str, ...]
    baud: int
    restart: str | None = None

    def with_sentences(self, changed: Mapping[str, int]) -> "Output":
        return replace(self, every=MappingProxyType({**self.every, **changed}))


def output_at_start(settings: ReceiverSettings) -> Output:
    """What the receiver does before anybody has told it anything: also after a restart to factory settings."""
    names = DEFAULT_SENTENCES[settings.make] if settings.sentences is None else settings.sentences
    every = MappingProxyType({name: int(name in names) for name in SENTENCES})
    return Output(settings.interval_ms, every, settings.systems, settings.baud)
