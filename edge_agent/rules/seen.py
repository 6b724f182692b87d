"""What the rules see each second, and what they tell. Pure values.

Every rule gets the same `Seen`, whether or not its part of it is known: None and "unknown" never start or end
anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from wire.records import Sample

Engine = Literal["running", "off", "unknown"]
ObdPort = Literal["answering", "car silent", "no adapter", "none configured"]
Verdict = Literal["same", "different", "unknown"]

MOST_WINDOW_S = 60.0  # what the ring of `sampling.py` holds


@dataclass(frozen=True, slots=True)
class Seen:
    """All that the unit knows of one second. Build one a second, also while parked and while no sample is made."""

    mono_s: float  # the unit's monotonic clock
    sample: Sample | None = None  # this second's sample at full rate, whatever of it will be sent
    engine: Engine = "unknown"  # from voltage, rpm and speed; "off" is a finding, not the absence of answers
    volts: float | None = None  # of the 12 V (or 24 V) supply
    external_power: bool | None = None  # as judged by power/cut.py; False: the unit lives on its backup
    obd_port: ObdPort = "none configured"
    obd_speed_mono_s: float | None = (
        None  # when the sample's wheel speed was answered; None: up to 5 s before the sample
    )
    satellites_in_view: int | None = None
    raw_position: tuple[float, float] | None = None  # WGS-84 degrees, this second's fix before any holding
    vin: Verdict = "unknown"  # the VIN that the car told, held against the one that the unit is bound to
    told_vin: str | None = None
    bound_vin: str | None = None
    dtc_codes: tuple[str, ...] = ()  # SAE J2012, as last read

    @property
    def wheel_kmh(self) -> float | None:
        """Speed of the wheels over OBD, km/h."""
        return None if self.sample is None else self.sample.obd_speed_kmh

    @property
    def rpm(self) -> float | None:
        """Engine speed, 1/min; a hybrid drives at 0."""
        return None if self.sample is None else self.sample.engine_rpm

    @property
    def gnss_kmh(self) -> float | None:
        """Speed over ground by the receiver, km/h; only with a position."""
        if self.sample is None or self.sample.speed_mps is None or self.raw_position is None:
            return None
        return self.sample.speed_mps * 3.6

    @property
    def wheels_turn(self) -> bool:
        """Whether the car itself says that it drives."""
        return bool(self.wheel_kmh) or bool(self.rpm)


@dataclass(frozen=True, slots=True)
class LocalEvent:
    """Something a rule has concluded at `mono_s`.

    `details` hold the reason as a key that pages translate, and numbers with their unit in the name. `window_s` is how
    far back the samples at full rate belong to it, at most MOST_WINDOW_S.
    """

    kind: str  # a key of wire.records.EVENT_KINDS
    mono_s: float
    details: Mapping[str, str] = field(default_factory=dict)
    window_s: float = MOST_WINDOW_S
