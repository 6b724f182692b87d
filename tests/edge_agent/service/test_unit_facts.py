"""What a unit says of itself: to a person at its side, and to the server that asks for its status."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.batch import Sealed
from edge_agent.car.readings import Reading
from edge_agent.config import UnitConfig, read_config
from edge_agent.network.tls import TlsFacts
from edge_agent.pipeline import Pipeline
from edge_agent.power.settings import PowerSettings
from edge_agent.power.watch import PowerWatch
from edge_agent.service.unit_facts import unit_facts
from edge_agent.store.outbox import Outbox
from edge_agent.timing.clock import UtcClock
from edge_agent.timing.floor import BUILT_MS, Floor
from tests.edge_agent.pipelines import BEGIN_MS, NOBODY, UNIT, epoch, ntp, pipeline_of, played
from wire.records import Receipt, Sample, SequenceRange, TimeQuality


@dataclass
class Line:
    """What of an uplink is told."""

    tls_facts: TlsFacts | None = None


@dataclass
class Sender:
    """What of a sender is told."""

    is_up: bool = False
    is_open: bool = False
    uplink: Line = field(default_factory=Line)


@dataclass
class Devices:
    """What of the devices is told."""

    gnss_state: str = "open"
    receiver_state: str = "off"
    obd_state: str = "none configured"
    abilities: dict[str, str] = field(default_factory=lambda: {"obd": "no"})
    counts: dict[str, int] = field(default_factory=lambda: {"gnss.port_opened": 1})


@dataclass
class Unit:
    """Everything that is asked; real but for the ports and the network."""

    config: UnitConfig
    outbox: Outbox
    floor: Floor
    pipeline: Pipeline = field(default_factory=lambda: pipeline_of(clock=UtcClock()))
    power: PowerWatch = field(default_factory=lambda: PowerWatch(PowerSettings(), None, None, 0.0))
    devices: Any = field(default_factory=Devices)
    sender: Any = field(default_factory=Sender)

    def facts(self, mono_s: float = 0.0) -> dict[str, str]:
        return unit_facts(
            self.config, self.pipeline, self.devices, self.power, self.outbox, self.sender, self.floor, mono_s
        )


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    path = tmp_path / "unit.toml"
    path.write_text(
        f'unit = "{UNIT}"\n[gnss]\n[broker]\nhost = "mqtt.example.org"\nport = 8884\n[outbox]\nmax_mib = 64\n'
    )
    return Unit(read_config(path), Outbox.create(tmp_path / "outbox.db", 1), Floor(tmp_path, 7, 0.0))


def test_a_unit_that_knows_nothing_yet_says_so(unit: Unit) -> None:
    facts = unit.facts()
    assert not [name for name in facts if name.startswith(("gnss.position", "gnss.sample", "gnss.satell", "tls."))]
    assert (facts["time.utc"], facts["time.from"]) == ("unknown", "none")
    assert facts["car.vin_bound"] == "none"
    assert facts["outbox.waiting"] == "0 batches, 0 samples"
    assert {type(text) for text in facts.values()} == {str}, "they travel in an event"


def test_it_says_where_it_is_and_how_old_that_is(unit: Unit) -> None:
    for n in range(3):
        unit.pipeline.on_gnss(epoch(n), float(n))
    facts = unit.facts(12.0)
    assert facts["gnss.position"] == "31.81893 117.22572"  # 31°49.13580' N, 117°13.54321' E: the second
    assert (facts["gnss.sample_age_s"], facts["gnss.satellites"]) == ("10", "9")
    assert facts["outbox.not_sealed"] == "2 samples"


def test_a_position_without_satellites_is_shown_without_them(unit: Unit) -> None:
    unit.pipeline.newest = Sample(1.0, None, TimeQuality.NONE, lat_deg=31.2, lon_deg=121.5)  # by a cell
    facts = unit.facts(1.0)
    assert facts["gnss.position"] == "31.20000 121.50000"
    assert "gnss.satellites" not in facts


def test_a_second_without_a_position_shows_none_of_before(unit: Unit) -> None:
    played(unit.pipeline, [epoch(0)])
    assert "gnss.position" in unit.facts(1.0)
    unit.pipeline.on_tick(60.0, NOBODY)
    facts = unit.facts(61.0)
    assert facts["gnss.sample_age_s"] == "1"
    assert "gnss.position" not in facts


def test_it_says_what_time_it_takes_it_to_be_and_by_whom(unit: Unit) -> None:
    unit.pipeline.on_tick(1.0, ntp(BEGIN_MS))
    facts = unit.facts(11.0)
    assert (facts["time.utc"], facts["time.from"]) == ("2026-11-23 08:15:11 UTC", "ntp")


def test_the_floor_is_told_apart_from_the_time(unit: Unit) -> None:
    before = unit.facts()["time.not_before"]
    assert unit.floor.told(BUILT_MS + 90_061_000, 0.0, None)
    after = unit.facts()
    assert before.endswith("00:00:00 UTC")
    assert after["time.not_before"].endswith("01:01:01 UTC")
    assert after["time.utc"] == "unknown"


def test_what_waits_and_what_is_receipted_are_told_apart(unit: Unit) -> None:
    unit.outbox.put([Sealed(n, b"%d" % n * 400_000, 10) for n in (1, 2, 3)], None)
    for time_ms in (1, 2):
        unit.outbox.receipt(Receipt(UNIT, unit.outbox.boot, (SequenceRange(1, 1),), time_ms))
    facts = unit.facts()
    assert (facts["outbox.waiting"], facts["outbox.receipted"]) == ("2 batches, 20 samples", "1 batches")
    size, of = facts["outbox.size"].split(" MiB of ")
    assert float(size) >= 1.1
    assert of == "64"


@pytest.mark.parametrize(
    ("is_up", "is_open", "told"),
    [(True, True, "up"), (False, True, "connecting"), (False, False, "closed to spare the battery")],
)
def test_the_line_is_up_or_says_why_not(unit: Unit, is_up: bool, is_open: bool, told: str) -> None:
    unit.sender = Sender(is_up, is_open)
    facts = unit.facts()
    assert (facts["line.state"], facts["line.server"]) == (told, "mqtt.example.org:8884")


def test_certificates_that_end_soon_or_are_refused_can_be_seen(unit: Unit) -> None:
    good = TlsFacts(BEGIN_MS, 29.6, None, "floor", 0, None)
    unit.sender = Sender(uplink=Line(good))
    facts = {name: text for name, text in unit.facts().items() if name.startswith("tls.")}
    assert facts == {"tls.own_days_left": "30", "tls.checked_against": "floor", "tls.refused": "0"}
    unit.sender = Sender(uplink=Line(replace(good, own_days_left=-3.0, refused=2, last_refusal="the broker's expired")))
    facts = unit.facts()
    assert (facts["tls.own_days_left"], facts["tls.refused"]) == ("-3", "2")
    assert facts["tls.last_refusal"] == "the broker's expired"


def test_the_supply_is_told_with_the_state_that_it_leads_to(unit: Unit) -> None:
    unit.power.on_reading(Reading("adapter_voltage_v", 12.6, 1.0))
    facts = unit.facts(2.0)
    assert (facts["power.state"], facts["power.reason"], facts["power.volts"]) == ("idle", "started", "12.60")


def test_counts_of_all_parts_are_there_in_order(unit: Unit) -> None:
    played(unit.pipeline, [epoch(0).replace(b"45.000", b"46.000")])
    unit.pipeline.count("receipts.batches", 3)
    unit.devices = Devices(counts={"obd.spawned": 2, "gnss.port_opened": 1})
    counts = {name: text for name, text in unit.facts().items() if name.startswith("counts.")}
    assert list(counts) == sorted(counts)
    expected = {"receipts.batches": "3", "obd.spawned": "2", "gnss.port_opened": "1", "gnss.refused.checksum": "2"}
    assert {f"counts.{name}": text for name, text in expected.items()}.items() <= counts.items()


def test_what_the_car_can_tell_and_the_devices_do_is_told_as_they_say_it(unit: Unit) -> None:
    unit.config = replace(unit.config, vehicle=replace(unit.config.vehicle, vin="LSVPW5000T2000001"))
    unit.devices = Devices("waiting: vanished", "done", "resting", {"vin": "yes", "odometer": "no"})
    facts = unit.facts()
    told = {"gnss.state": "waiting: vanished", "gnss.set_up": "done", "obd.state": "resting", "car.vin": "yes"}
    told |= {"car.odometer": "no", "car.vin_bound": "LSVPW5000T2000001", "unit.name": UNIT}
    assert told.items() <= facts.items()
