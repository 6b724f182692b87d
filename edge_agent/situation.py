"""What the unit knows of its car in this second: for the rules, the power budget and the sampling. Pure.

Everything the pipeline hears is told here too; `seen` puts it together once a second.
"""

from dataclasses import dataclass

from edge_agent.car.engine import EngineJudge, EngineSettings
from edge_agent.car.readings import Reading, is_stale
from edge_agent.car.vin import VinWatch
from edge_agent.gnss.nmea import Fix, FixSource
from edge_agent.gnss.position import CREEPING_MPS, MOVING_MPS
from edge_agent.rules import Seen
from edge_agent.rules.seen import ObdPort
from wire.records import Sample

_FIX_HOLDS_S = 5.0  # some receivers refresh their position each 5 s only
_VOLTS = ("module_voltage_v", "adapter_voltage_v")


@dataclass(frozen=True, slots=True)
class _Place:
    """The newest position as the receiver gave it, and what the filter made of it."""

    mono_s: float
    raw: tuple[float, float] | None
    speed_mps: float | None
    is_held: bool


class Situation:
    """Holds the newest of everything; forgets nothing by itself, `seen` asks how old it is."""

    def __init__(self, bound_vin: str, engine: EngineSettings) -> None:
        self._readings: dict[str, Reading] = {}
        self._vin = VinWatch(bound_vin or None)
        self._engine = EngineJudge(engine)
        self._place: _Place | None = None
        self._in_view: tuple[int, float] | None = None
        self._codes: tuple[str, ...] = ()
        self._supply_v: tuple[float, float] | None = None
        self._external: bool | None = None
        self.obd_port: ObdPort = "none configured"

    def on_reading(self, reading: Reading) -> None:
        """A value from the car."""
        self._readings[reading.name] = reading
        if reading.name in ("vin", "vin_part"):
            self._vin = self._vin.heard(str(reading.value))
        elif reading.name == "dtc_codes" and isinstance(reading.value, tuple):
            self._codes = reading.value

    def on_fix(self, raw: Fix, shown: Fix, mono_s: float) -> None:
        """A fix as the receiver gave it, and as it is to be shown."""
        position = None if raw.lat_deg is None or raw.lon_deg is None else (raw.lat_deg, raw.lon_deg)
        self._place = _Place(mono_s, position, raw.speed_mps, shown.source is FixSource.HELD)

    def on_satellites(self, in_view: int, mono_s: float) -> None:
        """How many satellites the receiver says that it sees."""
        self._in_view = in_view, mono_s

    def on_supply_volts(self, volts: float, mono_s: float) -> None:
        """The unit's own monitor measured its supply."""
        self._supply_v = volts, mono_s

    def on_external(self, is_present: bool | None) -> None:
        """Whether the vehicle supplies the unit; None: nothing tells."""
        self._external = is_present

    def is_moving(self, mono_s: float) -> bool | None:
        """Whether the vehicle moves: by its wheels, else by the receiver; None where neither tells."""
        wheels = self._fresh("speed_kmh", mono_s)
        if wheels is not None:
            return wheels > 0
        place = self._place
        if place is None or mono_s - place.mono_s > _FIX_HOLDS_S or place.speed_mps is None:
            return None
        return place.speed_mps >= (MOVING_MPS if place.is_held else CREEPING_MPS)

    def seen(self, sample: Sample | None, mono_s: float) -> Seen:
        """This second, put together. Judges the engine, so it is to be called once a second."""
        place = self._place if self._place and mono_s - self._place.mono_s <= _FIX_HOLDS_S else None
        self._engine = self._engine.judged(self._readings, place.speed_mps if place else None, mono_s)
        speed = self._readings.get("speed_kmh")
        return Seen(
            mono_s=mono_s,
            sample=sample,
            engine=self._engine.state.value,
            volts=self._volts(mono_s),
            external_power=self._external,
            obd_port=self.obd_port,
            obd_speed_mono_s=speed.mono_s if speed and not is_stale(speed, mono_s) else None,
            satellites_in_view=self._in_view[0] if self._in_view and mono_s - self._in_view[1] <= 10 else None,
            raw_position=place.raw if place and sample is not None and place.mono_s >= sample.mono_s else None,
            vin=self._vin.verdict.value,
            told_vin=self._vin.other or None,
            bound_vin=self._vin.bound,
            dtc_codes=self._codes,
        )

    def _volts(self, mono_s: float) -> float | None:
        if self._supply_v and mono_s - self._supply_v[1] <= 20:
            return self._supply_v[0]
        return next((volts for name in _VOLTS if (volts := self._fresh(name, mono_s)) is not None), None)

    def _fresh(self, name: str, mono_s: float) -> float | None:
        reading = self._readings.get(name)
        if reading is None or not isinstance(reading.value, float) or is_stale(reading, mono_s):
            return None
        return reading.value
